"""Check row 15: a collection of another server is walked page by page, each item once, and a crash loses nothing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.collections import (
    Member,
    TraversalBounds,
    TraversalProgress,
    add_member,
    continue_traversal,
    forget_traversal,
    members_page,
    traverse,
)
from apcore.errors import ApcoreError, ConnectFailed, StoreBusy, Unavailable
from apcore.http import Response
from apcore.ports import NO_CHANGE, Batch
from apcore.remote import FetchPolicy, Identity
from scripted_web import ScriptedWeb, document
from source_pages import HERE, OUTBOX, Crash, crash_before, page, root

POLICY = FetchPolicy()
FIRST, SECOND, THIRD = (f"{OUTBOX}?page={number}" for number in (1, 2, 3))
COPY = "https://reader.example/copy"


def note(number: int, day: int | None = None, **members: Any) -> Any:
    published = {} if day is None else {"published": f"2026-01-{day:02d}T00:00:00Z"}
    return {"id": f"{HERE}/notes/{number}", "type": "Note", **published, **members}


def ids(*numbers: int) -> list[str]:
    return [f"{HERE}/notes/{number}" for number in numbers]


def web_of(documents: dict[str, Any]) -> ScriptedWeb:
    return ScriptedWeb({url: document(members) for url, members in documents.items()})


def read(documents: dict[str, Any], **options: Any) -> tuple[list[str | None], str | None]:
    result = web_of(documents).run(traverse(OUTBOX, policy=POLICY, **options))
    return [item.uri for item in result.items], result.ended


PAGES = {
    OUTBOX: root(first=FIRST, totalItems=5),
    FIRST: page([note(5, 5), note(4, 4)], next=SECOND),
    SECOND: page([note(3, 3), note(2, 2)], next=THIRD),
    THIRD: page([note(1, 1)]),
}


# --- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [{"type": "https://new.example/Feed"}, {"type": None}, {"type": ["Feed"]}])
def test_unknown_type_is_recognised_by_its_members(members) -> None:
    assert read({OUTBOX: root(orderedItems=ids(2, 1), **members)}) == (ids(2, 1), None)
    assert read({OUTBOX: root(first=FIRST, **members), FIRST: page(ids(1), type=None)}) == (ids(1), None)


def test_relative_address_of_a_page_is_resolved_against_the_page_that_names_it() -> None:
    documents = {OUTBOX: root(first="/outbox?page=1"), FIRST: page(ids(2), next="?page=2"), SECOND: page(ids(1))}
    assert read(documents) == (ids(2, 1), None)


@pytest.mark.parametrize("link", [5, True, ["", 5]])
def test_link_that_cannot_be_read_is_not_the_end(link) -> None:
    items, ended = read({OUTBOX: root(first=FIRST), FIRST: page(ids(1), next=link)})
    assert items == ids(1)
    assert ended is not None
    assert "'next'" in ended
    assert read({OUTBOX: root(orderedItems=ids(1), first=link)})[1] is not None


def test_items_of_an_excerpt_come_once_and_before_those_of_the_whole_page() -> None:
    documents = {OUTBOX: root(first=page(ids(3, 2), id=FIRST)), FIRST: page(ids(3, 2, 1), id=FIRST)}
    assert read(documents) == (ids(3, 2, 1), None)


def test_objects_without_an_id_come_once() -> None:
    anonymous = {"type": "Note", "content": "hi"}
    result = web_of({OUTBOX: root(orderedItems=[anonymous, {**anonymous}, {"type": "Note"}])}).run(
        traverse(OUTBOX, policy=POLICY)
    )
    assert len(result.items) == 2


def test_claimed_number_of_items_is_passed_on_and_never_relied_on() -> None:
    result = web_of({OUTBOX: root(first=FIRST, totalItems=10**18), FIRST: page(ids(1))}).run(
        traverse(OUTBOX, policy=POLICY)
    )
    assert (result.total, len(result.items)) == (10**18, 1)


# --- since ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "numbers", "pages"),
    [
        (ids(4)[0], (5,), 2),
        (ids(3, 1), (5, 4), 3),
        (ids(9), (5, 4, 3, 2, 1), 4),
        (datetime(2026, 1, 4, tzinfo=UTC), (5, 4), 3),
        (datetime(2027, 1, 1, tzinfo=UTC), (), 2),
    ],
)
def test_items_since_a_known_one_are_read_and_no_page_after_it(since, numbers, pages) -> None:
    result = web_of(PAGES).run(traverse(OUTBOX, policy=POLICY, since=since))
    assert [item.uri for item in result.items] == ids(*numbers)
    assert result.pages == pages
    assert (result.ended is None) == (len(numbers) == 5)


def test_oldest_first_collection_is_read_to_its_end_for_its_newest_items() -> None:
    documents = {
        OUTBOX: root(first=FIRST),
        FIRST: page([note(1, 1), note(2, 2)], next=SECOND),
        SECOND: page([note(3, 3)]),
    }
    assert read(documents, since=datetime(2026, 1, 2, tzinfo=UTC)) == (ids(2, 3), None)


def test_date_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        read(PAGES, since=datetime(2026, 1, 2))  # noqa: DTZ001 - this is the case


# --- bounds ---------------------------------------------------------------------------------------------------------


def test_bytes_and_time_are_bounded() -> None:
    items, ended = read(PAGES, bounds=TraversalBounds(bytes_max=100))
    assert (items, ended) == ([], "it has more than 100 bytes")
    web = web_of(PAGES)
    slow = web.pages[FIRST]

    def answer(_request: Any) -> Response:
        web.pass_s(400)
        assert isinstance(slow, Response)
        return slow

    web.pages[FIRST] = web.pages[SECOND] = answer
    result = web.run(traverse(OUTBOX, policy=POLICY, bounds=TraversalBounds(time_s_max=300)))
    assert (result.pages, result.ended) == (2, "reading it takes more than 300 s")


def test_pages_are_signed_for_the_given_identity() -> None:
    web = web_of(PAGES)
    _ = web.run(traverse(OUTBOX, policy=POLICY, identity=Identity(key_name="k", key_id="https://me.example/#key")))
    assert len(web.requests) == 4
    assert all("signature" in request.headers for request in web.requests)


# --- a position in the store ----------------------------------------------------------------------------------------


def copy_items(items: Any) -> Any:
    """Return the writes that add the items to a managed collection. Adding an item twice conflicts."""
    batch = Batch()
    for item in items:
        batch += add_member(COPY, Member(item.uri), order=item.uri)
    return batch
    yield


def step(web: ScriptedWeb, *, name: str = "copy", crash: int | None = None, **options: Any) -> TraversalProgress:
    op = continue_traversal(name, OUTBOX, copy_items, policy=POLICY, **options)
    return web.run(op if crash is None else crash_before(op, crash))


def run_to_end(web: ScriptedWeb, **options: Any) -> TraversalProgress:
    for _ in range(1000):
        progress = step(web, **options)
        if progress.is_over:
            return progress
    raise AssertionError("the traversal does not end")


def copied(web: ScriptedWeb) -> list[str]:
    return sorted(member.id for member in web.run(members_page(COPY, limit=1000)).items)


def test_resumable_traversal_reads_one_document_at_each_call() -> None:
    web = web_of(PAGES)
    reports = [step(web) for _ in range(4)]
    assert [(report.is_over, report.pages, report.items) for report in reports] == [
        (False, 1, 0),
        (False, 2, 2),
        (False, 3, 4),
        (True, 4, 5),
    ]
    assert copied(web) == sorted(ids(1, 2, 3, 4, 5))
    _ = web.asked()
    assert step(web) == reports[-1]
    assert web.asked() == []


@pytest.mark.parametrize("effect", range(1, 30))
def test_crash_before_any_effect_repeats_at_most_one_request(effect) -> None:
    long_page = page([*ids(*range(100, 170)), note(5)], next=SECOND)
    web = web_of(PAGES | {FIRST: long_page})
    crashes = 0
    try:
        for _ in range(10):
            if step(web, crash=effect).is_over:
                break
    except Crash:
        crashes = 1
    assert run_to_end(web).ended is None
    assert copied(web) == sorted(ids(*range(100, 170), 5, 3, 2, 1))
    assert len(web.asked()) <= 4 + crashes


def test_page_that_cannot_be_had_now_leaves_the_position() -> None:
    web = web_of(PAGES)
    good = web.pages[SECOND]
    _ = step(web), step(web)
    web.pages[SECOND] = ConnectFailed("cut")
    for _ in range(3):
        with pytest.raises(Unavailable):
            step(web)
    web.pages[SECOND] = good
    assert run_to_end(web).ended is None
    assert copied(web) == sorted(ids(1, 2, 3, 4, 5))


def test_page_that_is_gone_ends_the_traversal() -> None:
    web = web_of(PAGES)
    web.pages[SECOND] = Response(410)
    progress = run_to_end(web)
    assert progress.items == 2
    assert progress.ended == f"the page {SECOND} could not be loaded"
    assert step(web).ended == progress.ended


def test_two_processes_store_each_item_once() -> None:
    web = web_of(PAGES)
    _ = step(web)
    slow = continue_traversal("copy", OUTBOX, copy_items, policy=POLICY)
    effect, answers = next(slow), []
    while type(effect).__name__ != "Commit":  # the slow process has read the page, and not stored it
        answers.append(web.run(answer_of(effect)))
        effect = slow.send(answers[-1])
    _ = step(web)
    with pytest.raises(StoreBusy):
        web.run(resume(slow, effect))
    _ = run_to_end(web)
    assert copied(web) == sorted(ids(1, 2, 3, 4, 5))


def answer_of(effect: Any) -> Any:
    return (yield from effect)


def resume(op: Any, effect: Any) -> Any:
    while True:
        answer = yield effect
        effect = op.send(answer)


def test_collection_that_leads_back_ends_even_if_the_way_back_is_long() -> None:
    documents = {f"{OUTBOX}?page={number}": page(next=f"{OUTBOX}?page={(number + 1) % 7 + 1}") for number in range(8)}
    progress = run_to_end(web_of({OUTBOX: root(first=FIRST), **documents}))
    assert progress.ended is not None
    assert "leads back" in progress.ended


def test_item_limit_counts_the_items_that_were_stored() -> None:
    web = web_of({OUTBOX: root(orderedItems=ids(*range(50)))})
    progress = run_to_end(web, bounds=TraversalBounds(items_max=30))
    assert (progress.items, progress.ended) == (30, "it has more than 30 items")
    assert len(copied(web)) == 30


def test_forgotten_traversal_begins_anew_and_leaves_no_record() -> None:
    web = web_of({OUTBOX: root(orderedItems=ids(*range(200)))})
    size = len(web.store.scan(("traversal", "1"), limit=1000))
    _ = step(web)
    web.run(forget_traversal("copy"))
    assert len(web.store.scan(("traversal", "1"), limit=1000)) == size
    assert not web.store.scan(("traversal-read", "1"), limit=10)
    stored: list[str] = []

    def note_items(items: Any) -> Any:
        stored.extend(item.uri for item in items)
        return NO_CHANGE
        yield

    _ = web.run(continue_traversal("copy", OUTBOX, note_items, policy=POLICY))
    assert len(stored) == 200


# --- any page graph -------------------------------------------------------------------------------------------------

URLS = [OUTBOX, *(f"{OUTBOX}?page={number}" for number in range(1, 6))]
EVIL = "https://evil.example/page"
items = st.lists(st.integers(0, 8).map(lambda number: ids(number)[0]), max_size=4)
links = st.recursive(
    st.none() | st.sampled_from([*URLS, EVIL, "http://localhost/admin", "file:///etc/passwd", 7, {}, ""]),
    lambda inner: st.builds(
        lambda held, link, address: page(held, next=link, **({} if address is None else {"id": address})),
        items,
        inner,
        st.none() | st.sampled_from(URLS),
    ),
    max_leaves=3,
)
documents_of_a_page = st.builds(
    lambda held, members: {**page(held), **{name: value for name, value in members.items() if value is not None}},
    items,
    st.fixed_dictionaries(
        {
            "next": links,
            "prev": links,
            "first": links,
            "last": links,
            "totalItems": st.sampled_from([None, 0, 3, -1, 10**18, "many"]),
            "type": st.sampled_from(["OrderedCollection", "OrderedCollectionPage", "Feed"]),
        }
    ),
)
answers = st.one_of(
    documents_of_a_page.map(document),
    st.sampled_from(
        [
            Response(404),
            Response(410),
            Response(403),
            Response(500),
            Response(200, {"content-type": "text/html"}, b"<html>"),
            Response(302, {"location": "http://localhost/admin"}),
            Response(302, {"location": EVIL}),
            Response(200, {"content-type": "application/activity+json"}, b"[" * 5000),
            ConnectFailed("cut"),
        ]
    ),
)
graphs = st.fixed_dictionaries(dict.fromkeys(URLS, answers))


@settings(max_examples=150, deadline=None)
@given(graphs)
def test_any_page_graph_is_read_within_its_bounds_and_each_item_once(graph) -> None:
    web = ScriptedWeb({**graph, EVIL: document(page(ids(99)))})
    bounds = TraversalBounds(pages_max=10, items_max=6)
    try:
        result = web.run(traverse(OUTBOX, policy=POLICY, bounds=bounds))
    except ApcoreError:
        assert len(web.asked()) <= 7
        return
    keys = [item.uri for item in result.items]
    assert max(Counter(keys).values(), default=0) <= 1
    assert len(keys) <= 6
    assert ids(99)[0] not in keys
    urls = web.asked()
    assert len(urls) <= 10 * 6
    assert not [url for url in urls if "localhost" in url]


@settings(max_examples=100, deadline=None)
@given(graphs, st.lists(st.integers(1, 12), max_size=12))
def test_crashes_anywhere_change_nothing_that_is_stored(graph, crashes) -> None:
    """The store is written by commits only, so the crashed traversal stores the items of the uninterrupted one."""
    stored: list[list[str]] = []
    ends: list[object] = []
    for plan in ([], crashes):
        web = ScriptedWeb({**graph, EVIL: document(page(ids(99)))})
        remaining = list(plan)
        end: object = "endless"
        for _ in range(60):
            try:
                progress = step(web, crash=remaining.pop() if remaining else None)
            except Crash:
                continue
            except ApcoreError as error:
                if not remaining:
                    end = type(error)
                    break
                continue
            if progress.is_over and not remaining:
                end = progress.ended
                break
        stored.append(copied(web))
        ends.append(end)
    assert stored[0] == stored[1]
    assert ends[0] == ends[1] != "endless"
