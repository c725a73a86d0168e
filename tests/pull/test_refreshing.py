"""Check refreshing: stale copies are used while a worker refreshes them, and copies that are due are refreshed."""

from __future__ import annotations

from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.errors import QueueUnavailable
from apcore.federation import Federation
from apcore.federation.refreshing import refresh_due
from apcore.federation.wake_ups import LANES
from apcore.http import Response
from apcore.node import Node
from apcore.remote import FetchPolicy, Freshness
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Document, Person
from scripted_web import ScriptedWeb, document

A, HERE = "https://a.example", "https://local.example"
BOB = f"{A}/users/bob"
DAY_S = 86400.0


def person(name: str, ident: str = BOB) -> Response:
    return document({"id": ident, "type": "Person", "name": name})


class Reader:
    """A node with a worker, and a web that serves one actor."""

    def __init__(self, origin: str | None = HERE, **options: Any) -> None:
        self.web = ScriptedWeb({BOB: person("first")})
        self.store = MemoryStore(clock=self.web.clock)
        federation: Federation[None] = Federation()
        federation.actor("/users/{identifier}")(lambda ctx, identifier: Person() if identifier == "alice" else None)
        ports: dict[str, Any] = {"transport": self.web, "runtime": self.web.runtime, "signer": ReusedKeys(), "slots": 0}
        self.node: Node[None] = Node(federation, origin, self.store, **ports, **options)

    def read(self, **options: Any) -> str:
        name: str = self.node.reference(BOB, **options).resolve().words["name"]
        return name

    def work(self) -> int:
        return self.node.work(until_idle=True)


def test_stale_profile_is_returned_at_once_and_refreshed_by_a_worker() -> None:
    reader = Reader()
    assert reader.read() == "first"
    reader.web.pages[BOB] = person("second")
    reader.web.pass_s(3 * DAY_S)
    _ = reader.web.asked()
    assert [reader.read(), reader.read()] == ["first", "first"]
    assert reader.web.asked() == []
    assert reader.store.depth(LANES).ready == 1, "equal messages wait only once"
    assert reader.work() == 1
    assert reader.web.asked() == [BOB]
    assert reader.read() == "second"


def test_profile_that_is_stale_for_too_long_is_loaded_before_it_is_returned() -> None:
    reader = Reader()
    assert reader.read() == "first"
    reader.web.pages[BOB] = person("second")
    reader.web.pass_s(8 * DAY_S)
    assert reader.read() == "second"


def test_node_without_a_worker_loads_a_stale_profile_at_once() -> None:
    reader = Reader(None)
    assert reader.read() == "first"
    reader.web.pages[BOB] = person("second")
    reader.web.pass_s(3 * DAY_S)
    assert reader.read() == "second"


def test_copy_of_an_actor_is_refreshed_as_that_actor() -> None:
    reader = Reader()
    assert reader.read(by="alice") == "first"
    reader.web.pass_s(3 * DAY_S)
    assert reader.read(by="alice") == "first"
    reader.web.pages[BOB] = person("second")
    assert reader.work() == 1
    assert f'keyId="{HERE}/users/alice#main-key"' in (reader.web.requests[-1].headers.get("signature") or "")
    assert reader.read(by="alice") == "second"


def test_failed_refresh_ends_its_message_and_is_not_repeated_before_its_retry_time() -> None:
    reader = Reader()
    assert reader.read() == "first"
    reader.web.pass_s(3 * DAY_S)
    reader.web.pages[BOB] = Response(500)
    assert reader.read() == "first"
    assert reader.work() == 1
    _ = reader.web.asked()
    assert reader.read() == "first"
    assert reader.work() == 0
    assert reader.web.asked() == []
    reader.web.pass_s(61)
    assert reader.read() == "first"
    assert reader.work() == 1
    assert reader.web.asked() == [BOB]


def test_due_copies_are_refreshed_with_conditional_requests() -> None:
    reader = Reader()
    page = person("first")
    reader.web.pages[BOB] = Response(200, page.headers.with_set("etag", '"1"'), page.body)
    assert reader.read() == "first"
    assert reader.node.run(refresh_due(reader.node.site().origin, limit=10)) == 0
    reader.web.pass_s(3 * DAY_S)
    reader.web.pages[BOB] = Response(304)
    assert reader.node.run(refresh_due(reader.node.site().origin, limit=10)) == 1
    assert reader.work() == 1
    assert reader.web.requests[-1].headers.get("if-none-match") == '"1"'
    assert reader.node.run(refresh_due(reader.node.site().origin, limit=10)) == 0
    assert reader.node.reference(BOB).state().name == "fresh"


@pytest.mark.parametrize("limit", [0, 101])
def test_number_of_due_copies_is_bounded(limit: int) -> None:
    reader = Reader()
    with pytest.raises(ValueError, match="1 to 100"):
        reader.node.run(refresh_due(reader.node.site().origin, limit=limit))


def test_message_about_a_copy_that_is_not_there_any_more_is_settled() -> None:
    reader = Reader()
    assert reader.read() == "first"
    reader.web.pass_s(3 * DAY_S)
    assert reader.read() == "first"
    reader.web.pass_s(60 * DAY_S)
    _ = reader.web.asked()
    assert reader.work() == 1
    assert reader.web.asked() == []


def test_stale_copy_is_returned_although_the_queue_fails() -> None:
    class NoQueue(MemoryStore):
        def enqueue(self, messages: Any, /) -> None:
            raise QueueUnavailable("down")

    reader = Reader(queue=NoQueue())
    assert reader.read() == "first"
    reader.web.pass_s(3 * DAY_S)
    assert reader.read() == "first"


def test_policy_of_the_application_decides_by_the_document_alone() -> None:
    def freshness(document: Document) -> Freshness:
        return Freshness(rule="by name", fresh_s=60.0 if document.words["name"] == "first" else 7200.0, error_s=0.0)

    reader = Reader(None, fetching=FetchPolicy(freshness=freshness))
    assert reader.read() == "first"
    assert reader.node.reference(BOB).state().rule == "by name"
    reader.web.pages[BOB] = person("second")
    reader.web.pass_s(61)
    assert reader.read() == "second"
    reader.web.pass_s(7199)
    assert reader.node.reference(BOB).state().name == "fresh"
    reader.web.pass_s(2)
    assert reader.node.reference(BOB).state().name == "expired"


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan"), 10**9, True, "1"])
def test_freshness_out_of_range_is_refused(seconds: Any) -> None:
    with pytest.raises(ValueError, match=r"Freshness\.fresh_s"):
        Freshness(rule="mine", fresh_s=seconds)
