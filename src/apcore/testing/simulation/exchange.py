"""Play a scenario with a simple law: nodes send each other coins; none is lost, and none is made.

It is the smallest program with the structure of federation: facts in a store, messages in a queue, requests that are
repeated, answers that get lost. It keeps its law by the rules of delivery. Debit and fact are in one commit. There is
at least one request, always with the same id, and the receiver remembers ids. The fact is deleted when an answer
arrived. A pass over the facts restores lost messages. `Rules` can switch each of them off, to show that the law breaks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from typing import Any, Final

from attrs import define, frozen

from apcore.effects import Call, Enqueue, Fetch, Get, Lease, Op, RandomBytes, Scan, Settle, commit, gather
from apcore.errors import FetchFailed, StoreBusy
from apcore.handlers import operation
from apcore.http import Request, Response
from apcore.ports import Check, DeleteEntry, Done, Entry, LeasedMessage, Message, Put, Retry, digest_part
from apcore.testing.simulation.faults import Faults, swarm
from apcore.testing.simulation.nodes import SimulatedNode
from apcore.testing.simulation.world import Simulation

__all__ = ["COINS", "Rules", "exchange"]

COINS: Final = 100
"""The coins of each node at the start."""

_BALANCE: Final = ("balance",)
_LANE: Final = "out"


@frozen(kw_only=True)
class Rules:
    """The rules of the exchange. Without any one of them coins are lost, made, or never arrive."""

    remembers_ids: bool = True
    """The receiver accepts each id once."""
    fact_with_debit: bool = True
    """The fact is committed together with the debit, not after it."""
    reconciles: bool = True
    """Facts with lost messages are found again."""


def exchange(
    seed: int, *, faults: Faults | None = None, rules: Rules | None = None, nodes: int = 3, for_s: float = 200.0
) -> Simulation:
    """Play the exchange under the faults of ``seed`` (or ``faults``), let it come to rest, and check its law.

    Raises:
        SimulationFailed: The law does not hold, or the exchange does not come to rest.
    """
    sim = Simulation(seed, faults=swarm(seed) if faults is None else faults)
    origins = [f"https://{number}.example" for number in range(nodes)]
    banks = [
        _Bank(
            origin,
            tuple(other for other in origins if other != origin),
            Rules() if rules is None else rules,
            handler_kind,
        )
        for origin, handler_kind in zip(origins, cycle(_TAKES), strict=False)
    ]
    for bank in banks:
        sim.node(bank.origin, bank.boot, atomic=seed % 2 == 0)
    sim.run(for_s=for_s)
    sim.heal()
    for bank in banks:
        bank.pays = False
    sim.run_until(partial(_nothing_is_owed, sim), within_s=3600)
    coins = sum(node.look(_coins())[0] for node in sim.nodes.values())
    sim.hold(coins == nodes * COINS, f"{nodes * COINS} coins are {coins} now")
    return sim


def _nothing_is_owed(sim: Simulation) -> bool:
    return not any(node.look(_owed(1)) for node in sim.nodes.values())


def _owed(limit: int) -> Op[Sequence[Entry]]:
    return (yield from Scan(("out",), limit=limit))


def _coins() -> Op[tuple[int, bytes | None]]:
    """Return the balance and its version."""
    [entry] = yield from Get((_BALANCE,))
    return (int(entry.value), entry.version) if entry else (0, None)


def _as_bytes(number: int) -> bytes:
    return b"%d" % number


@define
class _Bank:
    """The part of one node in the exchange."""

    origin: str
    others: tuple[str, ...]
    rules: Rules
    take: Callable[..., Any]
    pays: bool = True

    def boot(self, node: SimulatedNode) -> None:
        if node.boots == 1:
            node.look(commit((Check(_BALANCE, None),), (Put(_BALANCE, _as_bytes(COINS)),)))
        node.serve = self.serve
        node.loop(self.pay, pause_s=10, name="pay")
        node.loop(self.work, pause_s=2, name="work")
        if self.rules.reconciles:
            node.loop(self.reconcile, pause_s=30, name="reconcile")

    def pay(self) -> Op[None]:
        """Owe another node a few coins."""
        if not self.pays:
            return
        random_bytes = yield from RandomBytes(18)
        coins, version = yield from _coins()
        amount = min(coins, random_bytes[0] % 10 + 1)
        name = random_bytes[2:].hex()
        fact = Put(("out", name), json.dumps([self.others[random_bytes[1] % len(self.others)], amount]).encode())
        debit = Put(_BALANCE, _as_bytes(coins - amount))
        message = Message(random_bytes[2:], _LANE, name.encode(), dedup=name)
        if self.rules.fact_with_debit:
            yield from commit((Check(_BALANCE, version),), (debit, fact), messages=(message,))
        elif (yield from commit((Check(_BALANCE, version),), (debit,))):
            yield from commit((Check(fact.key, None),), (fact,), messages=(message,))

    def work(self) -> Op[bool]:
        """Deliver due payments."""
        leased = yield from Lease((_LANE,), limit=4, lease_s=120)
        yield from gather(*[self.deliver(one) for one in leased])
        return bool(leased)

    def deliver(self, leased: LeasedMessage) -> Op[None]:
        """Send a payment to its receiver, at least once, until it has answered."""
        key = ("out", leased.message.body.decode())
        [entry] = yield from Get((key,))
        if entry is None:
            yield from Settle((Done(leased),))
            return
        receiver, amount = json.loads(entry.value)
        body = json.dumps([f"{self.origin}/{key[1]}", amount]).encode()
        if (yield from _heard(Request("POST", f"{receiver}/coins", body=body))):
            yield from commit((Check(key, entry.version),), (DeleteEntry(key),), settles=(Done(leased),))
        else:
            yield from Settle((Retry(leased, min(60.0, 2.0**leased.attempt)),))

    def reconcile(self) -> Op[None]:
        """Restore the messages of unpaid debts; the queue may have lost them."""
        owed = yield from _owed(100)
        messages = [Message(bytes.fromhex(e.key[1]), _LANE, e.key[1].encode(), dedup=e.key[1]) for e in owed]
        yield from Enqueue(messages)

    def serve(self, request: Request) -> Op[Response]:
        """Receive coins."""
        name, amount = json.loads(request.body)
        yield from Call(self.take, name, amount, contexts_for=_Till(self.rules))
        return Response(202)


def _heard(request: Request) -> Op[bool]:
    try:
        response = yield from Fetch(request)
    except FetchFailed:
        return False
    return response.status == 202


@define
class _Till:
    """The context of the three handlers below: two methods, with a variant for each kind of handler."""

    rules: Rules
    run: Callable[[Op[Any]], Any] | None = None

    def blocking(self, run: Callable[[Op[Any]], Any], /) -> _Till:
        return _Till(self.rules, run)

    def awaiting(self, run: Callable[[Op[Any]], Any], /) -> _Till:
        return _Till(self.rules, run)

    def operation(self) -> _Till:
        return _Till(self.rules, _as_it_is)

    def knows(self, name: str) -> Any:
        assert self.run is not None
        return self.run(self._knows(name))

    def add(self, name: str, amount: int) -> Any:
        assert self.run is not None
        return self.run(self._add(name, amount))

    def _knows(self, name: str) -> Op[bool]:
        [entry] = yield from Get((("in", digest_part(name)),))
        return entry is not None and self.rules.remembers_ids

    def _add(self, name: str, amount: int) -> Op[None]:
        receipt_key = ("in", digest_part(name))
        coins, version = yield from _coins()
        checks = (Check(_BALANCE, version), Check(receipt_key, None))
        committed_token = yield from commit(
            checks if self.rules.remembers_ids else checks[:1],
            (Put(_BALANCE, _as_bytes(coins + amount)), Put(receipt_key, name.encode())),
        )
        if not committed_token:
            raise StoreBusy("the balance changed at the same time")


def _as_it_is(op: Op[Any]) -> Op[Any]:
    return op


def _take(till: _Till, name: str, amount: int) -> None:
    if not till.knows(name):
        till.add(name, amount)


async def _take_awaiting(till: _Till, name: str, amount: int) -> None:
    if not await till.knows(name):
        await till.add(name, amount)


@operation
def _take_asking(till: _Till, name: str, amount: int) -> Op[None]:
    if not (yield from till.knows(name)):
        yield from till.add(name, amount)


_TAKES: Final[tuple[Callable[..., Any], ...]] = (_take, _take_awaiting, _take_asking)
