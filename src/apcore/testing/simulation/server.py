"""Simulate the server of a federation: it answers requests and works through its queue, on a simulated node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from apcore.effects import Op
from apcore.federation import Federation
from apcore.federation.outbox.send import act
from apcore.federation.reconcile import reconcile
from apcore.federation.serving.serve import serve
from apcore.federation.site import Site
from apcore.federation.worker import handle, origin_of
from apcore.federation.write_notes import PendingWrite, PublishObject, SendActivity
from apcore.http import Request, Response, parse_origin
from apcore.ports import LeasedMessage, Signer
from apcore.remote import FetchPolicy
from apcore.testing.keys import ReusedKeys
from apcore.testing.simulation.nodes import Process, SimulatedNode
from apcore.testing.simulation.world import Simulation
from apcore.vocab import View

__all__ = ["SimulatedServer"]

_RECONCILE_S: Final = 30.0


class SimulatedServer:
    """One server of a simulated federation, with a worker.

    The store survives a crash; requests, handlers and leases do not. ``data`` is the same value for all handlers.

    Raises:
        ConfigurationError: `Federation.check` finds an error.
        ValueError: ``origin`` is not an origin, or has a node already.
    """

    def __init__(
        self,
        simulation: Simulation,
        federation: Federation[Any],
        origin: str,
        *,
        data: Any = None,
        signer: Signer | None = None,
        atomic: bool = True,
    ) -> None:
        _ = federation.bind(blocking=False, serves=True, has_data=data is not None)
        self._site: Final = Site(
            federation=federation,
            origin=parse_origin(origin),
            fetching=FetchPolicy(
                vocabulary=federation.vocabulary,
                unknown_contexts=federation.unknown_contexts,
                budgets=federation.budgets,
            ),
            signatures=federation.signature_policy,
            data=data,
        )
        self.node: Final[SimulatedNode] = simulation.node(
            origin, self._boot, atomic=atomic, signer=ReusedKeys() if signer is None else signer
        )

    def publish(
        self,
        object: View,  # noqa: A002 - the field's word
        /,
        *,
        by: str,
        to: str | Sequence[str] | None = None,
    ) -> Process:
        """Begin `Node.publish`. The outcome of the process is the id of the object."""
        return self._spawn(PublishObject(object.document, by, None if to is None else _recipients(to)))

    def send(self, activity: View, /, *, by: str, to: str | Sequence[str]) -> Process:
        """Begin `Node.send`. The outcome of the process is the id of the activity."""
        return self._spawn(SendActivity(activity.document, by, _recipients(to)))

    def _spawn(self, pending_write: PendingWrite) -> Process:
        return self.node.spawn(self._act(pending_write), type(pending_write).__name__)

    def _act(self, pending_write: PendingWrite) -> Op[str]:
        [ident] = yield from act(self._site, pending_write)
        return ident

    def _boot(self, node: SimulatedNode) -> None:
        node.serve = self._serve
        node.work(self._handle)
        node.loop(reconcile, pause_s=_RECONCILE_S, name="reconcile")

    def _serve(self, request: Request) -> Op[Response]:
        answer = yield from serve(self._site, request)
        return answer if isinstance(answer, Response) else Response(404)

    def _handle(self, leased: LeasedMessage) -> Op[None]:
        if (yield from origin_of(leased)) is not None:
            yield from handle(self._site, leased)


def _recipients(to: str | Sequence[str]) -> tuple[str, ...]:
    return (to,) if isinstance(to, str) else tuple(to)
