"""The public names: those in the ``__all__`` of the packages that docs/reference/index.md lists."""

from __future__ import annotations

import re
from importlib import import_module

from source_tree import MODULES, SOURCE

INDEX = SOURCE.parent / "docs" / "reference" / "index.md"

PACKAGES = re.findall(r"^rooms/(apcore[\w.]*)$", INDEX.read_text(encoding="utf-8"), re.MULTILINE)


def public_names(package: str) -> list[str]:
    """Return the public names of a package, sorted."""
    return sorted(MODULES[package].all or ())


def is_public(package: str, name: str) -> bool:
    """Return whether a program may write ``from package import name``."""
    return f"{package}.{name}" in PACKAGES or (package in PACKAGES and name in public_names(package))


def public_values() -> dict[str, object]:
    """Return all public values by qualified name.

    A name that `apcore` re-exports is listed under its own package only. A module is a package of the list.
    """
    values = {
        f"{package}.{name}": getattr(import_module(package), name)
        for package in PACKAGES
        if package != "apcore"
        for name in public_names(package)
    }
    return {qualified: value for qualified, value in values.items() if qualified not in PACKAGES}
