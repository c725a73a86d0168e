"""Check the URLs of pages: they have no query for any cursor, and former URLs with a query still work."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.collections import CURSOR_BYTES_MAX, PageItems
from apcore.errors import ConfigurationError, RequestError
from apcore.federation import Federation
from apcore.federation.serving.page_names import cursor_of, page_name
from apcore.http import Headers, Request, Response, parse_url
from apcore.vocab import Note, Person
from outbox_fixture import ALICE, HERE, Outgoing

AP = Headers({"Accept": "application/activity+json"})
ODD_CURSORS = [
    "",
    "first",
    "~",
    "~Zmlyc3Q",
    ".",
    "..",
    "a/b",
    "/",
    "?",
    "a b",
    "%2F",
    "é",
    "-x",
    "x" * CURSOR_BYTES_MAX,
]


def make_federation(cursors: list[str] | None = None, path: str = "/users/{identifier}/list") -> Federation[None]:
    """Build a federation with a list of one item per page and the given cursors."""
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}", followers="/followers/{+identifier}" if path.startswith("/all/") else None)
    def actor(ctx: Any, identifier: str) -> Person | None:
        return Person(preferred_username=identifier) if identifier == "alice" else None

    @federation.collection("list", path)
    def pages(ctx: Any, identifier: str, cursor: str | None) -> PageItems:
        names = [None, *(cursors or [])]
        position = names.index(cursor)
        return PageItems([f"{HERE}/item/{position}"], dict(enumerate(names)).get(position + 1))

    return federation


def get(out: Outgoing, url: str) -> Response:
    answer = out.node.handle(Request("GET", url, AP))
    assert isinstance(answer, Response)
    return answer


def read(out: Outgoing, url: str) -> Any:
    answer = get(out, url)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def walk(out: Outgoing, root: str) -> list[Any]:
    """Follow a collection from page to page."""
    pages = [read(out, read(out, root)["first"])]
    while "next" in pages[-1]:
        pages.append(read(out, pages[-1]["next"]))
    return pages


def test_every_page_has_its_own_url_without_a_query() -> None:
    pages = walk(Outgoing(make_federation(ODD_CURSORS)), f"{ALICE}/list")
    assert len(pages) == len(ODD_CURSORS) + 1
    assert len({page["id"] for page in pages}) == len(pages)
    for page, next_page in pairwise(pages):
        assert page["next"] == next_page["id"]
    for page in pages:
        assert page["partOf"] == f"{ALICE}/list"
        url = parse_url(page["id"])
        assert (url.query, url.fragment, str(url)) == (None, None, page["id"])


def test_plain_cursor_is_written_unchanged() -> None:
    pages = walk(Outgoing(make_federation(["20", "2026-01-02.x_y"])), f"{ALICE}/list")
    assert [page["id"].removeprefix(f"{ALICE}/list/page/") for page in pages] == ["first", "20", "2026-01-02.x_y"]


def test_managed_collection_is_read_page_by_page() -> None:
    out = Outgoing(make_federation())
    for number in range(45):
        out.node.publish(Note(content=str(number)), by="alice")
    pages = walk(out, f"{ALICE}/outbox")
    contents = [item["object"]["content"] for page in pages for item in page["orderedItems"]]
    assert sorted(contents, key=int) == [str(number) for number in range(45)]
    assert [len(page["orderedItems"]) for page in pages] == [20, 20, 5]


def test_former_urls_with_a_query_lead_to_the_same_pages() -> None:
    out = Outgoing(make_federation(["20"]))
    for query, name in (("?page=true", "first"), ("?page=true&cursor=20", "20")):
        page = read(out, f"{ALICE}/list{query}")
        assert page["id"] == f"{ALICE}/list{query}"
        assert page | {"id": f"{ALICE}/list/page/{name}"} == read(out, f"{ALICE}/list/page/{name}")


@pytest.mark.parametrize(
    "name", ["~!", "~A", "~gICA", "-", ".x", "%2E", "~" + "QUFB" * 200, "x" * (CURSOR_BYTES_MAX + 1), "a%2Fb", "%00"]
)
def test_malformed_page_name_is_refused(name: str) -> None:
    answer = get(Outgoing(make_federation()), f"{ALICE}/list/page/{name}")
    assert answer.status == 400
    assert answer.headers.get("content-type") == "application/problem+json"


@pytest.mark.parametrize("path", ["page", "page/", "page/first/more", "pages/first"])
def test_similar_paths_are_not_served_as_pages(path: str) -> None:
    assert not isinstance(Outgoing(make_federation()).node.handle(Request("GET", f"{ALICE}/list/{path}", AP)), Response)


def test_pages_of_an_unknown_actor_are_not_found() -> None:
    assert get(Outgoing(make_federation()), f"{HERE}/users/nobody/list/page/first").status == 404


def test_pages_of_a_route_with_a_reserved_variable_have_a_query() -> None:
    pages = walk(Outgoing(make_federation(["a b"], path="/all/{+identifier}")), f"{HERE}/all/alice")
    assert [page["id"] for page in pages] == [f"{HERE}/all/alice?page=true", f"{HERE}/all/alice?page=true&cursor=a+b"]


def test_page_url_is_not_read_as_its_collection() -> None:
    out = Outgoing(make_federation())
    place = out.node.site().federation.places.read(out.node.site().origin, f"{ALICE}/followers/page/first")
    assert place is not None
    assert place.target.kind == "page"


def test_route_that_conflicts_with_pages_is_refused() -> None:
    federation = make_federation()
    with pytest.raises(ConfigurationError, match="match the same paths"):
        federation.object(Note, "/users/{identifier}/list/page/{number}")(lambda ctx, identifier, number: None)


@given(st.text().filter(lambda text: text.isprintable() or text.isascii()))
def test_any_cursor_round_trips_as_a_page_name(cursor: str) -> None:
    if len(cursor.encode()) <= CURSOR_BYTES_MAX:
        assert cursor_of(page_name(cursor)) == cursor
    assert page_name(cursor) not in {"", ".", ".."}
    assert page_name(cursor) != page_name(None)


@given(st.text())
def test_any_name_is_a_cursor_or_a_request_error(name: str) -> None:
    try:
        cursor = cursor_of(name)
    except RequestError:
        return
    assert cursor is None or cursor_of(page_name(cursor)) == cursor
