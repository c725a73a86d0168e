"""The kinds of stored record that the library declares, with all record modules imported."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from apcore.records import RECORD_KINDS, RecordKind
from source_tree import MODULES

PENDING_KEYS = {
    *("c", "circuit", "dead", "in", "in-todo", "lookup", "lost-inbox", "obj", "out", "out-retry", "planned", "reach"),
    *("send", "sent", "used"),
}
"""The strings with which keys begin whose kinds are not declared yet."""


def is_record_module(name: str) -> bool:
    return name.endswith("records") or name.startswith("apcore.records.")


@cache
def declared_kinds() -> list[RecordKind[Any, Any]]:
    for name in MODULES:
        if is_record_module(name):
            importlib.import_module(name)
    return [kind for kind in RECORD_KINDS.values() if kind.record.__module__.startswith("apcore.")]
