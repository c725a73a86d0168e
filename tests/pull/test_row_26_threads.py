"""Check row 26: a thread is read after the fact, each post from its own origin, within bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.collections import Thread, ThreadBounds, read_thread
from apcore.errors import ConnectFailed
from apcore.http import Response
from apcore.remote import FetchPolicy, NotFound
from scripted_web import ScriptedWeb, document

A, B, C = "https://a.example", "https://b.example", "https://c.example"
CONTEXT = f"{A}/contexts/1"
AS2 = "https://www.w3.org/ns/activitystreams"


def post(address: str, **members: Any) -> dict[str, Any]:
    owner = f"{address.rpartition('/')[0]}/author"
    return {"@context": AS2, "id": address, "type": "Note", "attributedTo": owner, **members}


def collection(address: str, items: list[Any], **members: Any) -> dict[str, Any]:
    return {"@context": AS2, "id": address, "type": "Collection", "items": items, **members}


def web_of(*documents: dict[str, Any]) -> ScriptedWeb:
    return ScriptedWeb({members["id"]: document(members) for members in documents})


def read(web: ScriptedWeb, start: str, **bounds: Any) -> Thread:
    return web.run(read_thread(start, policy=FetchPolicy(), bounds=ThreadBounds(**bounds)))


def ids(thread: Thread) -> list[str | None]:
    return [found.id for found in thread.posts]


def test_posts_above_and_below_are_read_from_their_origins() -> None:
    web = web_of(
        post(f"{A}/1", replies=f"{A}/1/replies"),
        collection(f"{A}/1/replies", [f"{B}/2", f"{C}/3"]),
        post(f"{B}/2", inReplyTo=f"{A}/1", replies=collection(f"{B}/2/replies", [f"{C}/4"])),
        collection(f"{B}/2/replies", [f"{C}/4"]),
        post(f"{C}/3", inReplyTo=f"{A}/1"),
        post(f"{C}/4", inReplyTo=f"{B}/2"),
    )
    for start in (f"{A}/1", f"{B}/2", f"{C}/4"):
        thread = read(web, start)
        assert thread.posts[0].id == f"{A}/1"
        assert set(ids(thread)) == {f"{A}/1", f"{B}/2", f"{C}/3", f"{C}/4"}
        assert len(ids(thread)) == 4
        assert thread.ended is None


def test_context_that_is_a_collection_is_read_with_posts_and_activities() -> None:
    create = {
        "@context": AS2,
        "id": f"{B}/2/activity",
        "type": "Create",
        "actor": f"{B}/author",
        "object": f"{B}/2",
    }
    web = web_of(
        post(f"{A}/1", context=CONTEXT),
        collection(CONTEXT, [f"{A}/1", create, f"{C}/3", f"{C}/5"]),
        create,
        post(f"{B}/2", context=CONTEXT),
        post(f"{C}/3", context=CONTEXT),
        post(f"{C}/5", context=f"{C}/another"),
    )
    assert ids(read(web, f"{A}/1")) == [f"{A}/1", f"{B}/2", f"{C}/3"]


@pytest.mark.parametrize("context", ["tag:a.example,2026:thread", f"{A}/1", f"{A}/missing"])
def test_context_that_is_no_collection_is_no_obstacle(context) -> None:
    web = web_of(post(f"{A}/1", context=context, replies=f"{A}/r"), collection(f"{A}/r", [f"{B}/2"]))
    web.pages[f"{B}/2"] = document(post(f"{B}/2", inReplyTo=f"{A}/1"))
    web.pages[f"{A}/missing"] = Response(404)
    assert ids(read(web, f"{A}/1")) == [f"{A}/1", f"{B}/2"]


def test_posts_of_others_cannot_be_put_into_a_thread() -> None:
    lie = post(f"{B}/2", inReplyTo=f"{A}/1", content="a lie")
    web = web_of(
        post(f"{A}/1", replies=f"{A}/r"),
        collection(f"{A}/r", [lie, f"{C}/3"]),
        post(f"{B}/2", content="genuine"),
        post(f"{C}/3", inReplyTo=f"{C}/elsewhere"),
    )
    thread = read(web, f"{A}/1")
    assert ids(thread) == [f"{A}/1"]


def test_posts_that_cannot_be_loaded_are_named() -> None:
    web = web_of(post(f"{A}/1", inReplyTo=f"{B}/0", replies=f"{A}/r"), collection(f"{A}/r", [f"{C}/3"]))
    web.pages[f"{B}/0"] = Response(404)
    web.pages[f"{C}/3"] = ConnectFailed("cut")
    thread = read(web, f"{A}/1")
    assert ids(thread) == [f"{A}/1"]
    assert thread.failed == (f"{B}/0", f"{C}/3")
    with pytest.raises(NotFound):
        read(web, f"{B}/0")


def test_bounds_end_a_thread_in_words() -> None:
    endless = {f"{A}/{number}": post(f"{A}/{number}", inReplyTo=f"{A}/{number + 1}") for number in range(100)}
    thread = read(web_of(*endless.values()), f"{A}/0", depth_max=10)
    assert len(thread.posts) == 11
    assert thread.ended == "more than 10 posts are above it"
    replies = [f"{A}/r/{number}" for number in range(50)]
    wide = web_of(
        post(f"{A}/1", replies=f"{A}/rs"),
        collection(f"{A}/rs", replies),
        *(post(address, inReplyTo=f"{A}/1") for address in replies),
    )
    assert len(read(wide, f"{A}/1", posts_max=20).posts) == 20
    few = read(wide, f"{A}/1", loads_max=10)
    assert few.loads <= 10
    assert few.ended == "it takes more than 10 documents"


ADDRESSES = [f"{origin}/{number}" for origin in (A, B) for number in range(4)]
links = st.none() | st.sampled_from([*ADDRESSES, "http://localhost/", "tag:x", "", 5])


@st.composite
def graphs(draw: Any) -> ScriptedWeb:
    pages: dict[str, Any] = {}
    for address in ADDRESSES:
        kind = draw(st.sampled_from(["post", "collection", "error", "html"]))
        if kind == "post":
            members = {name: draw(links) for name in ("inReplyTo", "context", "replies")}
            pages[address] = document(post(address, **members))
        elif kind == "collection":
            items = draw(st.lists(links, max_size=3))
            pages[address] = document(collection(address, items, first=draw(links)))
        else:
            pages[address] = Response(500) if kind == "error" else Response(200, {"content-type": "text/html"}, b"")
    pages[f"{A}/0"] = document(post(f"{A}/0", replies=draw(links), context=draw(links), inReplyTo=draw(links)))
    return ScriptedWeb(pages)


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_any_graph_is_read_within_its_bounds(web) -> None:
    thread = read(web, f"{A}/0", loads_max=15, posts_max=5, depth_max=3)
    assert thread.loads <= 15 + 20
    addresses = ids(thread)
    assert len(addresses) == len(set(addresses)) <= 5 + 3
    urls = web.asked()
    assert len(urls) <= 60
    assert not [url for url in urls if "localhost" in url]
