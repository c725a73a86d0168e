"""The kinds of stored record that the library declares, with all record modules imported."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from apcore.records import RECORD_KINDS, RecordKind
from source_tree import MODULES


def is_record_module(name: str) -> bool:
    return name.endswith("records") or name.startswith("apcore.records.")


@cache
def declared_kinds() -> list[RecordKind[Any, Any]]:
    for name in MODULES:
        if is_record_module(name):
            importlib.import_module(name)
    return [kind for kind in RECORD_KINDS.values() if kind.record.__module__.startswith("apcore.")]
