"""Check rows 15 and 16 against hostile sources: any page, any answer, any failure, and a crash anywhere."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from apcore.errors import ConnectFailed, FetchTimedOut
from apcore.federation import PollPolicy
from apcore.federation.reconcile import reconcile
from apcore.federation.wake_ups import POLL, lanes_for
from apcore.federation.worker import handle, lease_lanes
from apcore.http import Request, Response, parse_url
from apcore.remote import Rate
from scripted_web import document
from source_pages import Crash, Reader, Source, SourceWeb, crash_before

HERE, VICTIM = "https://source.example", "https://victim.example"
ANNA, ZOE, BEN = f"{HERE}/users/anna", f"{HERE}/users/zoe", f"{VICTIM}/users/ben"
OUTBOX = f"{HERE}/users/anna/outbox"
URLS = [OUTBOX, *(f"{OUTBOX}?page={number}" for number in range(4))]
LOCAL = "http://localhost/admin"


def create(origin: str, actor: str, number: int, content: str, **members: Any) -> dict[str, Any]:
    address = f"{origin}/objects/{number}"
    thing = {"id": address, "type": "Note", "attributedTo": actor, "content": content}
    activity = {"id": f"{address}/activity", "type": "Create", "actor": actor, "object": thing}
    return {"@context": "https://www.w3.org/ns/activitystreams", **activity, **members}


GENUINE = [create(HERE, ANNA, number, "genuine") for number in range(6)]
SERVED = [create(VICTIM, BEN, number, "genuine") for number in range(3)]
"""The activities that the victim serves itself."""
LIES = [
    *(create(VICTIM, BEN, number, "lie") for number in range(6)),
    create(HERE, ZOE, 50, "lie"),
    create(HERE, BEN, 51, "lie"),
    {**create(HERE, ANNA, 52, "lie"), "id": f"{VICTIM}/objects/2/activity"},
    create(HERE, ANNA, 53, "lie", published="9999-12-31T23:59:59Z"),
    create(HERE, ANNA, 54, "lie", type="Follow", object="https://reader.example/users/rita"),
    {"type": "Create", "actor": ANNA, "object": {"type": "Note", "content": "lie"}},
    create("https://reader.example", "https://reader.example/users/rita", 1, "lie"),
]
ODD = [None, 7, [], "", "tag:x", LOCAL, {"id": LOCAL}, {"type": "Tombstone"}, "https://nowhere.example/1", ANNA, OUTBOX]

items = st.builds(
    lambda first, others: [*first, *others],
    # An activity by which the owner of the outbox can be proved. After that, embedded items may be believed.
    st.sampled_from([[], GENUINE[:1], GENUINE[:1]]),
    st.lists(
        st.sampled_from([*GENUINE, *LIES, *ODD, *(activity["id"] for activity in [*GENUINE, *SERVED, *LIES[:6]])]),
        max_size=6,
    ),
)
links = st.sampled_from([None, None, *URLS, *URLS, LOCAL, f"{VICTIM}/outbox", 5, {}])
pages = st.builds(
    lambda held, **members: document(
        {
            "@context": "https://www.w3.org/ns/activitystreams",
            "orderedItems": held,
            **{name: value for name, value in members.items() if value is not None},
        },
        etag='"same"',
    ),
    items,
    next=links,
    first=links,
    last=links,
    id=st.sampled_from([None, *URLS]),
    type=st.sampled_from(["OrderedCollection", "OrderedCollectionPage", "Feed"]),
    totalItems=st.sampled_from([None, 0, 10**18, -1]),
)
failures = st.sampled_from(
    [
        Response(304),
        Response(401),
        Response(403),
        Response(404),
        Response(418),
        Response(429, {"retry-after": "100000"}),
        Response(500),
        Response(200, {"content-type": "text/html"}, b"<html>"),
        Response(200, {"content-type": "application/activity+json"}, b"[" * 9000),
        Response(302, {"location": LOCAL}),
        Response(302, {"location": f"{VICTIM}/outbox"}),
        ConnectFailed("cut"),
        FetchTimedOut("slow"),
    ]
)
webs = st.fixed_dictionaries({url: st.one_of(pages, pages, failures) for url in URLS})
ALL_LIES = {OUTBOX: document({"id": OUTBOX, "type": "OrderedCollection", "orderedItems": [GENUINE[0], *LIES, *ODD]})}


class HostileWeb(SourceWeb):
    """A source that answers as a test says, and a victim that serves only its own activities."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Response | Exception] = {}
        self.requested_urls: list[str] = []
        _ = self.peer(ANNA), self.peer(BEN)
        self.served = {activity["id"]: document(activity) for activity in SERVED}
        # The source serves its own activities too, but neither those of others nor the invented ones.
        self.served |= {activity["id"]: document(activity) for activity in GENUINE}

    def send(self, request: Request, /) -> Response:
        if request.method == "GET" and parse_url(request.url).origin.host != "reader.example":
            self.requested_urls.append(request.url)
            answer = self.answers.get(request.url) or self.served.get(request.url)
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                return answer
        return super().send(request)

    def asked(self) -> list[str]:
        urls = list(self.requested_urls)
        self.requested_urls.clear()
        return urls


def poll_and_crash(reader: Reader, effects: int) -> None:
    """Let a worker die in the middle of a poll."""
    for leased in reader.node.run(lease_lanes(lanes_for(POLL), limit=1, lease_s=1.0)):
        with suppress(Crash):
            reader.node.run(crash_before(handle(reader.node.site(), leased), effects))


def check(reader: Reader, web: HostileWeb) -> None:
    calls = Counter(reader.calls)
    assert max(calls.values(), default=0) <= 1
    genuine = {activity["id"] for activity in [*GENUINE, *SERVED]}
    assert set(calls) <= genuine
    for activity in reader.activities:
        assert activity.document.words["object"]["content"] == "genuine"
    assert not [url for url in web.requested_urls if "localhost" in url]


@settings(max_examples=40, deadline=None)
@example([ALL_LIES], [], 1)
@given(st.lists(webs, min_size=1, max_size=3), st.lists(st.none() | st.integers(1, 40), max_size=6), st.integers(1, 20))
def test_hostile_source_gets_nothing_believed_or_repeated_within_its_budget(phases, crashes, history) -> None:
    web = HostileWeb()
    policy = PollPolicy(host_rate=Rate(1000, 100), pages_max=5, fetches_max=5)
    reader = Reader(web, polls=policy)
    _ = reader.node.subscribe(OUTBOX, history=history)
    remaining = list(crashes)
    for answers in phases:
        web.answers = dict(answers)
        for _ in range(2):
            if remaining:
                effects = remaining.pop()
                if effects is not None:
                    poll_and_crash(reader, effects)
            _ = reader.work()
            # A poll reads 5 pages and 5 items, and looks for the collection and its owner. Each page and item may
            # redirect, and a second knock may follow.
            assert len(web.requested_urls) <= 150
            check(reader, web)
            _ = web.asked()
            subscription = reader.node.subscription(OUTBOX)
            assert subscription is not None
            assert subscription.state != "active" or subscription.reason is None
            due_in_s = subscription.due_in_s
            assert due_in_s <= 86400 * 1.11 + 100000
            if due_in_s > 2:
                web.runtime.moment += timedelta(seconds=due_in_s - 1)
                _ = reader.work()
                assert web.asked() == [], "it is asked before its time"
            web.runtime.moment += timedelta(seconds=2)
    assert len(reader.store.scan(("subscription-due", "1"), limit=10)) <= 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=8), st.sampled_from([True, False]), st.integers(1, 30))
def test_crashes_anywhere_lose_and_repeat_no_activity(crashes, embeds, count) -> None:
    web = SourceWeb()
    source = Source(web, embeds=embeds, page_size=4)
    reader = Reader(web, polls=PollPolicy(host_rate=Rate(1000, 100)))
    published = [source.publish() for _ in range(count)]
    _ = reader.node.subscribe(source.outbox, history=100)
    for effects in crashes:
        poll_and_crash(reader, effects)
        web.runtime.moment += timedelta(seconds=100)
        _ = reader.node.run(reconcile())
    _ = reader.work(seconds=7200, step_s=600)
    assert Counter(reader.calls) == Counter(published)
