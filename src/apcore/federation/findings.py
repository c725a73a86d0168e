"""Find what is missing, contradictory or risky in the registrations of a federation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from attrs import frozen

from apcore.federation.data_use import is_data_type, needs_data
from apcore.federation.routes import Registered
from apcore.handlers import HandlerKind, handler_name
from apcore.ports import Durability
from apcore.vocab import Activity

__all__ = ["CheckFinding", "Registrations", "find_problems"]


@frozen
class CheckFinding:
    """A finding of `Federation.check`."""

    level: Literal["error", "warning"]
    """The severity: an error prevents a node from being made, a warning is logged."""
    text: str


@frozen(kw_only=True)
class Registrations:
    """The registrations of a federation that `find_problems` compares."""

    has_actor: bool
    named: Sequence[str]
    """The methods by which names of actors were registered, such as ``handle``."""
    listened: Sequence[type[Activity]]
    """The types of activity that have a listener."""
    unrouted_collections: Sequence[str]
    """The collections of an actor that have a handler and no route."""
    handlers: Sequence[Registered]
    declared_data: Sequence[Any]
    """The type of the data, if the federation declares it: ``Federation[Session]()``."""


def find_problems(
    registrations: Registrations,
    *,
    blocking: bool | None,
    serves: bool,
    durability: Durability | None,
    has_data: bool | None,
) -> tuple[CheckFinding, ...]:
    """Return the findings for a node that is described as for `apcore.federation.Federation.check`."""
    findings: list[CheckFinding] = []
    if serves and registrations.listened and not registrations.has_actor:
        names = ", ".join(view.__name__ for view in registrations.listened)
        findings.append(
            CheckFinding(
                "error", f"there are listeners ({names}) but no actor, so nothing can arrive: register actor(path)"
            )
        )
    if serves and registrations.named and not registrations.has_actor:
        findings.append(
            CheckFinding(
                "error",
                f"there are names of actors ({', '.join(registrations.named)}) but no actor: register actor(path)",
            )
        )
    if registrations.unrouted_collections:
        findings.append(
            CheckFinding(
                "error",
                f"there are collections of an actor ({', '.join(registrations.unrouted_collections)}) but no actor: "
                "register actor(path)",
            )
        )
    if blocking:
        findings += [
            CheckFinding(
                "error",
                f"{handler_name(handler.fn)} is an async def, which a blocking node cannot run: "
                "use AsyncNode, or a plain function",
            )
            for handler in registrations.handlers
            if handler.handler_kind is HandlerKind.COROUTINE
        ]
    if serves and durability == "none":
        findings.append(
            CheckFinding(
                "warning",
                "the store keeps nothing when the process ends: "
                "keys, followers and acknowledged activities are lost then",
            )
        )
    if has_data is False:
        findings += _missing_data(registrations)
    return tuple(findings)


def _missing_data(registrations: Registrations) -> list[CheckFinding]:
    """Return a warning if handlers use data, or the federation declares its type."""
    names = [handler_name(handler.fn) for handler in registrations.handlers if needs_data(handler.fn)]
    declared = registrations.declared_data
    if names:
        reason = f"ctx.data is used ({', '.join(names)})"
    elif any(map(is_data_type, declared)):
        reason = f"the federation declares data ({getattr(declared[0], '__name__', declared[0])})"
    else:
        return []
    advice = "make the node with data=, and name that node to commands (module:node)"
    return [CheckFinding("warning", f"{reason}, and no data is given: {advice}")]
