"""Check row 15: a subscription polls a collection, and hands each new activity to the inbox's listeners once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apcore.errors import ConfigurationError, ConnectFailed, RequestError
from apcore.federation import Federation, PollPolicy
from apcore.federation.wake_ups import POLL, lanes_for
from apcore.federation.worker import lease_lanes
from apcore.http import Response
from apcore.node import Node
from apcore.remote import Rate
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Create, Event, Note, Person
from source_pages import Reader, Source, SourceWeb

PAGINGS = pytest.mark.parametrize("paging", ["cursor", "offset", "none"])


@PAGINGS
@pytest.mark.parametrize("embeds", [True, False], ids=["embedded", "ids"])
def test_activities_of_an_outbox_reach_the_listener_once(paging, embeds) -> None:
    web = SourceWeb()
    source, reader = Source(web, paging=paging, embeds=embeds), Reader(web)
    first = [source.publish() for _ in range(12)]
    assert reader.node.subscribe(source.outbox, history=10)
    assert not reader.node.subscribe(source.outbox, history=10)
    assert sorted(reader.work(seconds=600)) == sorted(first)
    assert set(reader.methods) == {"origin"}
    second = [source.publish() for _ in range(7)]
    assert sorted(reader.work(seconds=3600)) == sorted(second)
    assert reader.work(seconds=86400) == []
    assert reader.state(source.outbox).activities == 19


def test_subscription_to_an_actor_polls_its_outbox() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    activity = source.publish()
    _ = reader.node.subscribe(source.actor)
    assert reader.work() == [activity]
    assert reader.state(source.actor).collection == source.outbox


def test_actor_with_an_empty_outbox_is_polled_at_its_featured_objects() -> None:
    web = SourceWeb()
    featured = "https://events.example/featured"
    peer = web.peer("https://events.example/org", members={"featured": featured})
    event = {"id": "https://events.example/e/1", "type": "Event", "attributedTo": peer.actor, "name": "Concert"}
    listing: dict[str, Any] = {"id": featured, "type": "OrderedCollection", "orderedItems": [event]}
    peer.serve(featured, {"@context": "https://www.w3.org/ns/activitystreams", **listing})
    reader = Reader(web)
    _ = reader.node.subscribe(peer.actor)
    assert reader.work() == [f"{event['id']}#create"]
    assert isinstance(reader.activities[0], Create) or reader.activities[0].document.is_a(Create)
    changed = event | {"name": "Concert, moved", "updated": "2026-03-01T12:30:00Z"}
    listing["orderedItems"] = [changed]
    peer.serve(featured, {"@context": "https://www.w3.org/ns/activitystreams", **listing})
    [update] = reader.work(seconds=7200)
    assert update.startswith(f"{event['id']}#update-")
    assert reader.work(seconds=86400) == []


def test_only_the_wanted_types_are_handed_over() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    _ = source.publish("Note")
    event = source.publish("Event", name="Concert")
    _ = source.publish("Image")
    _ = reader.node.subscribe(source.outbox, types=[Event])
    assert reader.work() == [event]
    assert reader.state(source.outbox).types == ("Event",)
    assert not reader.node.subscribe(source.outbox, types=[Event, Note])  # changes the subscription
    note = source.publish("Note")
    assert reader.work(seconds=60) == [note]


def test_object_that_an_activity_only_names_is_fetched_to_learn_its_type() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    ids = [source.publish("Event"), source.publish("Note")]
    for item in source.items:
        thing = item["object"]
        source.peer.serve(thing["id"], {"@context": "https://www.w3.org/ns/activitystreams", **thing})
        item["object"] = thing["id"]
    _ = reader.node.subscribe(source.outbox, types=["Event"])
    assert reader.work() == ids[:1]


def test_activity_without_a_listener_is_not_stored() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web, listens_to=Create)
    source.items.insert(0, source.peer.activity("View", object=f"{source.here}/video"))
    activity = source.publish()
    _ = reader.node.subscribe(source.outbox)
    assert reader.work() == [activity]


# --- push and poll --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipient", [None, "rita"], ids=["shared", "personal"])
@pytest.mark.parametrize("idempotency", ["inbox", "origin"])
def test_activity_that_is_polled_and_then_delivered_runs_the_listener_once(recipient, idempotency) -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web, idempotency=idempotency)
    activity = source.publish()
    _ = reader.node.subscribe(source.outbox)
    assert reader.work() == [activity]
    for _ in range(2):
        assert source.peer.deliver(reader.node, context(source.items[0]), to=recipient).status == 202
    assert reader.work(seconds=3600) == []


@pytest.mark.parametrize("recipient", [None, "rita"], ids=["shared", "personal"])
def test_activity_that_is_delivered_and_then_polled_runs_the_listener_once(recipient) -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    activity = source.publish()
    assert source.peer.deliver(reader.node, context(source.items[0]), to=recipient).status == 202
    _ = reader.node.subscribe(source.outbox)
    assert reader.work(seconds=3600) == [activity]


def test_delivery_between_the_poll_and_its_processing_runs_the_listener_once() -> None:
    """A worker has stored the polled activity, and none has processed it yet."""
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    activity = source.publish()
    _ = reader.node.subscribe(source.outbox)
    [leased] = reader.node.run(lease_lanes(lanes_for(POLL), limit=1))
    reader.node.handle_leased(leased)
    assert source.peer.deliver(reader.node, context(source.items[0]), to="rita").status == 202
    assert reader.work(seconds=3600) == [activity]


def test_activity_that_its_actor_has_undone_is_not_handed_over() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    like = source.peer.activity("Like", object="https://other.example/note")
    undo = source.peer.activity("Undo", object=like["id"])
    assert source.peer.deliver(reader.node, undo).status == 202
    assert reader.work() == [undo["id"]]
    source.items.insert(0, like)
    _ = reader.node.subscribe(source.outbox)
    assert reader.work() == []


def test_messages_to_one_actor_count_only_if_they_are_delivered() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    source.items.insert(0, source.peer.activity("Follow", object="https://reader.example/users/rita"))
    _ = reader.node.subscribe(source.outbox)
    assert reader.work() == []
    assert reader.node.count("https://reader.example/users/rita/followers") == 0


# --- trust ----------------------------------------------------------------------------------------------------------


def context(activity: dict[str, Any]) -> dict[str, Any]:
    return {"@context": "https://www.w3.org/ns/activitystreams", **activity}


def test_item_of_another_origin_is_fetched_there_and_a_lie_is_ignored() -> None:
    web = SourceWeb()
    liar, victim, reader = Source(web, "liar.example"), Source(web, "victim.example"), Reader(web)
    genuine = victim.publish(content="genuine")
    lie = {**victim.items[0], "object": {**victim.items[0]["object"], "content": "lie"}}
    invented = {**lie, "id": f"{victim.here}/objects/99/activity"}
    liar.items = [invented, lie]
    _ = liar.publish()
    _ = reader.node.subscribe(liar.outbox)
    handed = reader.work()
    assert genuine in handed
    assert invented["id"] not in handed
    [copy] = [activity for activity in reader.activities if activity.document.id == genuine]
    assert copy.document.words["object"]["content"] == "genuine"


def test_embedded_item_of_another_owner_on_the_same_origin_is_fetched() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    _ = source.publish()
    forged = {
        "id": f"{source.here}/objects/77/activity",
        "type": "Create",
        "actor": f"{source.here}/users/zoe",
        "object": {"id": f"{source.here}/objects/77", "type": "Note", "attributedTo": f"{source.here}/users/zoe"},
    }
    source.items.insert(0, forged)
    things = source.items
    _ = reader.node.subscribe(source.actor)
    source._response, respond = (
        (lambda request, target: None if "77" in target else respond(request, target)),
        source._response,
    )  # type: ignore[method-assign]
    assert forged["id"] not in reader.work()
    assert len(things) == 2


def test_activity_of_the_year_9999_is_refused_and_moves_no_mark() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    future = source.publish(published=datetime(9999, 1, 1, tzinfo=UTC))
    present = source.publish()
    _ = reader.node.subscribe(source.outbox)
    assert reader.work() == [present]
    later = source.publish()
    assert reader.work(seconds=3600) == [later]
    assert future not in reader.calls


def test_suspended_domain_is_never_polled() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    _ = source.publish()
    _ = reader.node.subscribe(source.outbox)
    reader.node.block_domain("source.example")
    assert reader.work(seconds=3600) == []
    assert source.asked() == []
    assert reader.state(source.outbox).state == "suspended"


# --- failures -------------------------------------------------------------------------------------------------------

FAILURES = [
    (Response(404), "missing"),
    (Response(401), "forbidden"),
    (Response(403), "forbidden"),
    (Response(500), "failing"),
    (ConnectFailed("cut"), "failing"),
    (Response(200, {"content-type": "text/html"}, b"<html>"), "unreadable"),
    (Response(200, {"content-type": "application/activity+json"}, b'{"type": "Note"'), "unreadable"),
    (Response(302, {"location": "http://localhost/admin"}), "unreadable"),
    (Response(418), "unreadable"),
]


@pytest.mark.parametrize(("answer", "state"), FAILURES, ids=range(len(FAILURES)))
def test_failing_source_is_asked_less_and_less_and_recovers(answer, state) -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    _ = reader.node.subscribe(source.outbox)
    _ = reader.work(seconds=60)
    _ = source.asked()
    source.answer = answer
    _ = reader.work(seconds=86400, step_s=300)
    requests = len(source.asked())
    assert 1 <= requests <= 20
    subscription = reader.state(source.outbox)
    assert subscription.state == state
    assert subscription.reason
    source.answer = None
    activity = source.publish()
    assert reader.work(seconds=2 * 86400, step_s=300) == [activity]
    assert reader.state(source.outbox).state == "active"


def test_source_that_is_gone_is_never_asked_again() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    _ = reader.node.subscribe(source.outbox)
    source.answer = Response(410)
    _ = reader.work()
    assert reader.state(source.outbox).state == "gone"
    _ = source.asked()
    _ = reader.work(seconds=7 * 86400, step_s=3600)
    assert source.asked() == []


def test_retry_after_is_respected_for_all_subscriptions_to_the_host() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    _ = reader.node.subscribe(source.outbox)
    _ = reader.work()
    source.answer = Response(429, {"retry-after": "7200"})
    _ = reader.work(seconds=1800)
    _ = source.asked()
    _ = reader.node.subscribe(source.actor)
    _ = reader.work(seconds=5000)
    assert source.asked() == []
    source.answer = None
    activity = source.publish()
    assert reader.work(seconds=7200).count(activity) == 1


def test_page_that_moves_is_found_again_from_the_collection() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    _ = source.publish()
    _ = reader.node.subscribe(source.outbox)
    _ = reader.work()
    collection = source._collection
    source._collection = lambda query: None if query else collection(query)  # type: ignore[method-assign]
    _ = reader.work(seconds=7200)
    source._collection = collection  # type: ignore[method-assign]
    activity = source.publish()
    assert reader.work(seconds=86400) == [activity]


def test_item_whose_server_does_not_answer_follows_later() -> None:
    web = SourceWeb()
    aggregator, author, reader = Source(web, "list.example"), Source(web, "author.example"), Reader(web)
    activity = author.publish()
    aggregator.items = [dict(author.items[0])]
    author.answer = ConnectFailed("cut")
    _ = reader.node.subscribe(aggregator.outbox)
    assert reader.work(seconds=600) == []
    author.answer = None
    assert reader.work(seconds=86400) == [activity]


# --- budgets --------------------------------------------------------------------------------------------------------


def test_unchanged_source_is_answered_by_304_and_asked_at_growing_intervals() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    _ = source.publish()
    _ = reader.node.subscribe(source.outbox)
    _ = reader.work()
    _ = source.asked()
    _ = reader.work(seconds=7 * 86400, step_s=600)
    statuses = [status for _, status in source.asked()]
    assert 7 <= len(statuses) <= 30
    assert statuses.count(304) >= 0.9 * len(statuses)


def test_busy_source_is_asked_at_the_polite_minimum_at_most() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    _ = reader.node.subscribe(source.outbox)
    calls: list[str] = []
    published: list[str] = []
    for _ in range(120):
        published.append(source.publish())
        calls += reader.work(seconds=60)
    calls += reader.work(seconds=7200)
    assert sorted(calls) == sorted(published)
    assert len(source.asked()) <= 4 * 3600 / 300 * 2 + 5


def test_wish_of_the_source_makes_the_interval_longer() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    respond = source._response

    def patient(request: Any, target: str) -> Response | None:
        response = respond(request, target)
        if response is None:
            return None
        return Response(response.status, response.headers.with_set("cache-control", "max-age=40000"), response.body)

    source._response = patient  # type: ignore[method-assign]
    _ = reader.node.subscribe(source.outbox)
    _ = reader.work(seconds=3600)
    _ = source.asked()
    _ = reader.work(seconds=30000, step_s=600)
    assert source.asked() == []


def test_budget_of_a_host_covers_all_its_collections() -> None:
    web = SourceWeb()
    policy = PollPolicy(host_rate=Rate(5, 0.01))
    source, reader = Source(web), Reader(web, polls=policy)
    for number in range(40):
        _ = reader.node.subscribe(f"{source.outbox}?list={number}")
    _ = reader.work(seconds=3600)
    assert len(source.asked()) <= 5 * 3 + 3600 * 0.01 * 2


def test_walk_that_reaches_a_limit_goes_on_a_minute_later() -> None:
    web = SourceWeb()
    source = Source(web, embeds=False, page_size=4)
    reader = Reader(web, polls=PollPolicy(pages_max=2, fetches_max=3, host_rate=Rate(1000, 100)))
    published = [source.publish() for _ in range(30)]
    _ = reader.node.subscribe(source.outbox, history=100)
    assert len(reader.work()) == 3
    assert sorted(reader.work(seconds=1800) + reader.calls[:3]) == sorted(published)


def test_endless_pages_end_at_the_limit_of_a_walk() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web, polls=PollPolicy(host_rate=Rate(1000, 100)))
    number = iter(range(10**6))

    def endless(query: str) -> dict[str, Any]:
        return {
            "type": "OrderedCollectionPage",
            "id": f"{source.outbox}?{query}",
            "orderedItems": [],
            "next": f"{source.outbox}?page={next(number)}",
        }

    source._collection = endless  # type: ignore[method-assign]
    _ = reader.node.subscribe(source.outbox, history=1000)
    _ = reader.work(seconds=8 * 3600)
    assert len(source.asked()) <= 200


# --- management -----------------------------------------------------------------------------------------------------


def test_subscriptions_are_listed_page_by_page_and_ended() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    addresses = {f"{source.outbox}?list={number}" for number in range(7)}
    for address in addresses:
        _ = reader.node.subscribe(address)
    listed: list[str] = []
    cursor = None
    while True:
        page = reader.node.subscriptions(cursor=cursor, limit=3)
        listed += [subscription.address for subscription in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(listed) == sorted(addresses)
    for address in addresses:
        assert reader.node.unsubscribe(address)
        assert not reader.node.unsubscribe(address)
    _ = reader.work(seconds=86400, step_s=3600)
    assert source.asked() == []
    assert not reader.store.scan(("subscription-due", "1"), limit=10)


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("https://reader.example/users/rita/outbox", {}),
        ("ftp://source.example/outbox", {}),
        ("https://source.example/outbox", {"history": 0}),
        ("https://source.example/outbox", {"history": 1001}),
        ("https://source.example/outbox", {"types": [5]}),
        ("https://source.example/outbox", {"types": [f"T{number}" for number in range(51)]}),
    ],
)
def test_wrong_arguments_are_refused(address, options) -> None:
    with pytest.raises((ValueError, RequestError)):
        Reader(SourceWeb()).node.subscribe(address, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"interval_s": 0},
        {"interval_s_min": 1000.0},
        {"interval_s_max": 600.0},
        {"pages_max": 0},
        {"fetches_max": 1001},
        {"host_rate": 5},
    ],
)
def test_wrong_policy_is_refused(options) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        PollPolicy(**options)


def test_policy_of_another_kind_is_refused_by_the_federation() -> None:
    with pytest.raises(ConfigurationError, match="PollPolicy"):
        Federation(polls=5)  # type: ignore[arg-type]


def test_first_poll_hands_over_nothing_older_than_asked_for() -> None:
    web = SourceWeb()
    source, reader = Source(web), Reader(web)
    now = web.runtime.moment
    old = [source.publish(published=now - timedelta(days=days)) for days in (40, 30, 20)]
    new = [source.publish(published=now - timedelta(days=days)) for days in (2, 1)]
    _ = reader.node.subscribe(source.outbox, since=now - timedelta(days=3), history=10)
    assert sorted(reader.work(seconds=86400)) == sorted(new)
    assert not set(old) & set(reader.calls)


def test_registered_subscription_begins_with_the_worker_and_once() -> None:
    web = SourceWeb()
    source = Source(web)
    federation: Federation[None] = Federation()
    federation.subscribe(source.outbox, types=[Note])
    with pytest.raises(ConfigurationError, match="registered already"):
        federation.subscribe(source.outbox)
    with pytest.raises(ValueError, match="history"):
        federation.subscribe(f"{source.outbox}?x", history=0)
    calls: list[str | None] = []

    @federation.actor("/users/{identifier}")
    def actor(_ctx: Any, identifier: str) -> Person | None:
        return None

    @federation.on(Create)
    def listen(_ctx: Any, activity: Create) -> None:
        calls.append(activity.document.id)

    node: Node[None] = Node(
        federation, "https://reader.example", transport=web, runtime=web.runtime, signer=ReusedKeys(), slots=0
    )
    activity = source.publish()
    for _ in range(2):
        _ = node.work(until_idle=True)
    assert calls == [activity]
    assert len(node.subscriptions().items) == 1
    with pytest.raises(ConfigurationError, match="too late"):
        federation.subscribe(f"{source.outbox}?late")
