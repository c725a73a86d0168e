"""A module of the federation holds one job: not so much that it has several, nor so little that it is a fragment."""

from __future__ import annotations

from source_tree import MODULES

LINES_MAX = 300
LINES_MIN = 60

SMALL = {
    "serving.page_names": "two inverse functions, with a property test of their own",
    "site": "the value that every operation takes, below all of them",
    "unit_setup": "joins the site and the unit of work, which must not import each other",
}
"""Reasons for modules with fewer than `LINES_MIN` lines."""

UNFINISHED = {"outbox.local_delivery", "inbox.received_activity", "worker"}
"""Modules that are still to be divided or joined."""


def sizes() -> dict[str, int]:
    prefix = "apcore.federation."
    return {
        name.removeprefix(prefix): len(module.path.read_text(encoding="utf-8").splitlines())
        for name, module in MODULES.items()
        if name.startswith(prefix) and not module.is_package
    }


def test_no_module_is_too_large():
    assert {name: size for name, size in sizes().items() if size > LINES_MAX and name not in UNFINISHED} == {}


def test_small_modules_have_a_reason():
    assert sizes().keys() >= SMALL.keys()
    small = {name for name, size in sizes().items() if size < LINES_MIN}
    assert small - UNFINISHED - SMALL.keys() == set()
    assert SMALL.keys() <= small
