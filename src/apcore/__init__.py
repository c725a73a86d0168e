"""The embedded core for ActivityPub: sans-IO, for any framework and any store.

The names that most programs need can be imported from here. All others are in the rooms (`apcore.vocab`, `apcore.http`,
...). A name is loaded when it is first used, so ``import apcore`` costs almost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from apcore.collections import PageItems
    from apcore.drivers import Stepper, run, run_async
    from apcore.errors import ApcoreError
    from apcore.federation import (
        AsyncContext,
        Context,
        DomainRules,
        Drop,
        Federation,
        FollowVerdict,
        KeyPolicy,
        Later,
        OpContext,
        RetryPolicy,
        Router,
        Severity,
    )
    from apcore.handlers import operation
    from apcore.node import AsyncNode, Node, open_signer, open_store

__all__ = [
    "ApcoreError",
    "AsyncContext",
    "AsyncNode",
    "Context",
    "DomainRules",
    "Drop",
    "Federation",
    "FollowVerdict",
    "KeyPolicy",
    "Later",
    "Node",
    "OpContext",
    "PageItems",
    "RetryPolicy",
    "Router",
    "Severity",
    "Stepper",
    "open_signer",
    "open_store",
    "operation",
    "run",
    "run_async",
]

_FEDERATION: Final = "apcore.federation"
_PLACES: Final = {
    "ApcoreError": "apcore.errors",
    "AsyncContext": _FEDERATION,
    "AsyncNode": "apcore.node",
    "Context": _FEDERATION,
    "DomainRules": _FEDERATION,
    "Drop": _FEDERATION,
    "Federation": _FEDERATION,
    "FollowVerdict": _FEDERATION,
    "KeyPolicy": _FEDERATION,
    "Later": _FEDERATION,
    "Node": "apcore.node",
    "OpContext": _FEDERATION,
    "PageItems": "apcore.collections",
    "RetryPolicy": _FEDERATION,
    "Router": _FEDERATION,
    "Severity": _FEDERATION,
    "Stepper": "apcore.drivers",
    "open_signer": "apcore.node",
    "open_store": "apcore.node",
    "operation": "apcore.handlers",
    "run": "apcore.drivers",
    "run_async": "apcore.drivers",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'apcore' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(place), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
