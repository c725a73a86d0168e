"""Check served documents: their ids, statuses and viewers, and that any spelling of a request gets an answer."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.collections import PageItems
from apcore.errors import ContractError
from apcore.federation import Federation
from apcore.http import Headers, Request, Response
from apcore.jsonld import expand
from apcore.node import Elsewhere
from apcore.vocab import Create, Note, Person, Tombstone
from outbox_fixture import ALICE, HERE, Outgoing

AP = {"Accept": "application/activity+json"}
X = "https://x.example"


def build_federation() -> Federation[None]:
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx: Any, identifier: str) -> Person | Tombstone | None:
        if identifier == "gone":
            return Tombstone(former_type="Person")
        return Person(preferred_username=identifier) if identifier in {"alice", "é"} else None

    @federation.object(Note, "/notes/{number}")
    def note(ctx: Any, number: str) -> Note | Tombstone | None:
        if number == "0":
            return Tombstone()
        return Note(id=ctx.object_uri(Note, number=number), content=number, bcc=[f"{X}/secret"])

    @federation.collection("featured", "/users/{identifier}/featured")
    def featured(ctx: Any, identifier: str, cursor: str | None) -> PageItems | None:
        first = int(cursor or 0)
        if identifier == "é":
            return None
        items = [Note(id=f"{HERE}/notes/{first}", content="x", bto=[f"{X}/secret"]), f"{X}/notes/1"]
        return PageItems(items, str(first + 1) if first < 2 else None, total=6)

    return federation


@pytest.fixture(scope="module")
def out() -> Outgoing:
    server = Outgoing(build_federation())
    server.node.publish(Note(content="hi"), by="alice")
    return server


def ask(out: Outgoing, url: str, method: str = "GET", *, has_pages: bool = False, **headers: str) -> Any:
    fields = AP | {name.replace("_", "-"): value for name, value in headers.items()}
    return out.node.handle(Request(method, url, Headers(fields)), has_pages=has_pages)


def read(out: Outgoing, url: str) -> Any:
    answer = ask(out, url)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


STATUSES = {
    "an actor": (ALICE, 200),
    "an actor in another spelling": (f"{HERE}/users/%61lice", 200),
    "an actor beyond ASCII": (f"{HERE}/users/%C3%A9", 200),
    "an actor that is gone": (f"{HERE}/users/gone", 410),
    "an unknown actor": (f"{HERE}/users/nobody", 404),
    "followers of an unknown actor": (f"{HERE}/users/nobody/followers", 404),
    "followers of a deleted actor": (f"{HERE}/users/gone/followers", 410),
    "an object": (f"{HERE}/notes/1", 200),
    "an object in another spelling": (f"{HERE}/notes/%31", 200),
    "an object that is gone": (f"{HERE}/notes/0", 410),
    "a collection": (f"{ALICE}/followers", 200),
    "a page": (f"{ALICE}/followers/page/first", 200),
    "a page by its former URL": (f"{ALICE}/followers?page=true", 200),
    "no collection": (f"{HERE}/users/%C3%A9/featured", 404),
    "no page": (f"{HERE}/users/%C3%A9/featured/page/first", 404),
    "a cursor that the handler cannot read": (f"{ALICE}/featured/page/nonsense", 400),
    "a page of an unknown actor": (f"{HERE}/users/nobody/followers/page/first", 404),
    "too many fields": (f"{ALICE}/featured?" + "&".join(f"f{n}=1" for n in range(12)), 400),
    "too many fields for WebFinger": (f"{HERE}/.well-known/webfinger?" + "&".join(f"f{n}=1" for n in range(12)), 400),
    "no managed object": (f"{ALICE}/objects/nothing", 404),
    "the instance": (f"{HERE}/actor", 200),
}


def has_meaning(document: dict[str, Any], name: str) -> bool:
    """Return whether the context of a document defines its member ``name``."""
    alone = {"@context": document["@context"], "id": f"{X}/1", name: document[name]}
    return any(name != "@id" for node in expand(alone) for name in node)


@pytest.mark.parametrize("url", [ALICE, f"{HERE}/actor", f"{ALICE}/outbox", f"{ALICE}/outbox?page=true", "the note"])
def test_every_member_of_a_served_document_is_a_term_of_its_context(out: Outgoing, url: str) -> None:
    """Otherwise a peer that reads JSON-LD does not see it: Fedify found no key in `assertionMethod`."""
    page = json.loads(ask(out, f"{ALICE}/outbox?page=true").body)
    document = json.loads(ask(out, page["orderedItems"][0]["object"]["id"] if url == "the note" else url).body)
    names = document.keys() - {"@context", "id", "type"}
    assert sorted(names) == sorted(name for name in names if has_meaning(document, name))


@pytest.mark.parametrize(("url", "status"), STATUSES.values(), ids=STATUSES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_document_has_its_status_and_head_has_no_body(out: Outgoing, url: str, status: int, method: str) -> None:
    answer = ask(out, url, method)
    assert answer.status == status
    assert bool(answer.body) is (method == "GET")
    assert answer.headers.get("content-type") == ask(out, url).headers.get("content-type")
    assert answer.headers.get("etag") == ask(out, url).headers.get("etag")


@pytest.mark.parametrize(
    "path", ["/users/%61lice", "/notes/%31", "/users/%61lice/featured", "/users/%61lice/outbox/page/first"]
)
def test_id_of_a_document_is_the_same_in_every_spelling(out: Outgoing, path: str) -> None:
    plain = path.replace("%61", "a").replace("%31", "1")
    assert read(out, HERE + path)["id"] == HERE + plain
    assert read(out, HERE + path) == read(out, HERE + plain)


def test_published_object_is_found_in_another_spelling(out: Outgoing) -> None:
    [create] = read(out, f"{ALICE}/outbox?page=true")["orderedItems"]
    ident = create["object"]["id"]
    assert read(out, ident.replace("/users/a", "/users/%61")) == read(out, ident)


# --- collections ----------------------------------------------------------------------------------------------------


def test_pages_of_a_custom_collection_link_to_the_last(out: Outgoing) -> None:
    root = read(out, f"{ALICE}/featured")
    assert root["totalItems"] == 6
    url, item_ids = root["first"], []
    while url is not None:
        page = read(out, url)
        assert page["id"] == url
        assert page["partOf"] == root["id"]
        item_ids += [item if isinstance(item, str) else item["id"] for item in page["orderedItems"]]
        assert b"secret" not in ask(out, url).body
        url = page.get("next")
    assert item_ids == [item for n in range(3) for item in (f"{HERE}/notes/{n}", f"{X}/notes/1")]


def test_items_keep_the_meaning_of_their_terms() -> None:
    federation = build_federation()
    custom_item = {"@context": ["https://www.w3.org/ns/activitystreams", {"x": "https://x.example/ns#x"}], "x": "1"}

    @federation.collection("outbox")
    def outbox(ctx: Any, identifier: str, cursor: str | None) -> PageItems:
        return PageItems(
            [custom_item, custom_item] if cursor is None else [custom_item, Create(id=f"{HERE}/c")], "more"
        )

    out = Outgoing(federation)
    uniform_page = read(out, f"{ALICE}/outbox?page=true")
    assert uniform_page["@context"] == custom_item["@context"]
    assert uniform_page["orderedItems"] == [{"x": "1"}] * 2
    mixed_page = read(out, f"{ALICE}/outbox?page=true&cursor=more")
    assert mixed_page["@context"] == "https://www.w3.org/ns/activitystreams"
    assert mixed_page["orderedItems"][0] == custom_item
    assert mixed_page["orderedItems"][1]["type"] == "Create"


@pytest.mark.parametrize("page", [[], "text", {"items": []}], ids=["a list", "text", "a dict"])
def test_handler_that_returns_no_page_is_a_contract_error(page: Any) -> None:
    federation = build_federation()
    federation.collection("outbox")(lambda ctx, identifier, cursor: page)
    out = Outgoing(federation)
    with pytest.raises(ContractError, match="Page"):
        ask(out, f"{ALICE}/outbox?page=true")


def test_value_error_without_a_cursor_is_raised() -> None:
    def broken(ctx: Any, identifier: str, cursor: str | None) -> PageItems:
        raise ValueError("a bug")

    federation = build_federation()
    federation.collection("outbox")(broken)
    with pytest.raises(ValueError, match="a bug"):
        ask(Outgoing(federation), f"{ALICE}/outbox?page=true")


# --- request methods ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("url", [ALICE, f"{ALICE}/outbox", f"{HERE}/notes/1", f"{HERE}/.well-known/nodeinfo"])
def test_other_methods_are_refused_for_documents(out: Outgoing, url: str, method: str) -> None:
    answer = ask(out, url, method)
    assert (answer.status, answer.headers.get("allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize("url", [f"{HERE}/inbox", f"{ALICE}/inbox"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_other_methods_than_post_are_refused_by_an_inbox(out: Outgoing, url: str, method: str) -> None:
    answer = ask(out, url, method)
    assert (answer.status, answer.headers.get("allow")) == (405, "POST")


def test_matching_etag_is_answered_304(out: Outgoing) -> None:
    first = ask(out, ALICE)
    etag = first.headers.get("etag")
    for etags in (etag, f'"other", {etag}', "*"):
        not_modified = ask(out, ALICE, if_none_match=etags)
        assert (not_modified.status, not_modified.body, not_modified.headers.get("etag")) == (304, b"", etag)
        assert not_modified.headers.get("vary") == "Accept"
    assert ask(out, ALICE, if_none_match='"other"').status == 200
    assert ask(out, f"{HERE}/users/gone", if_none_match="*").status == 410


@pytest.mark.parametrize(
    ("accept", "has_pages", "served"),
    [
        ("application/activity+json", True, True),
        ('application/ld+json; profile="https://www.w3.org/ns/activitystreams"', True, True),
        ("text/html", True, False),
        ("text/html", False, False),
        ("*/*", True, False),
        ("*/*", False, True),
        ("", False, True),
    ],
)
def test_request_for_html_is_left_to_the_site(out: Outgoing, accept: str, has_pages: bool, served: bool) -> None:
    answer = ask(out, ALICE, has_pages=has_pages, Accept=accept)
    assert isinstance(answer, Response) if served else answer is Elsewhere.NOT_ACCEPTABLE


@pytest.mark.parametrize("url", [f"{HERE}/elsewhere", "https://other.example/users/alice", f"{HERE}/users/alice/x/y"])
def test_unknown_url_is_left_to_the_site(out: Outgoing, url: str) -> None:
    assert ask(out, url) is Elsewhere.NOT_OURS


@given(
    path=st.sampled_from(
        ["/users/alice", "/users/alice/outbox", "/users/alice/featured", "/notes/1", "/inbox", "/actor"]
    ),
    query=st.one_of(
        st.text(alphabet="page=trucso&.%0~-", max_size=60),
        st.binary(max_size=300).map(lambda raw: f"page=true&cursor={quote(raw)}"),
        st.integers(0, 512).map(lambda size: "page=true&cursor=" + "%00" * size + "."),
    ),
    accept=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    method=st.sampled_from(["GET", "HEAD", "POST"]),
)
def test_any_request_gets_an_answer(path: str, query: str, accept: str, method: str) -> None:
    answer = ask(SHARED, f"{HERE}{path}?{query}", method, Accept=accept)
    assert isinstance(answer, Elsewhere) or answer.status < 500


SHARED = Outgoing(build_federation())


def test_origins_on_one_store_are_separate_servers() -> None:
    other = "https://other.example"
    out = Outgoing(build_federation(), origin=(HERE, other))
    out.node.publish(Note(content="hi"), by="alice", origin=other)
    assert read(out, f"{HERE}/users/alice/outbox")["totalItems"] == 0
    assert read(out, f"{other}/users/alice/outbox")["totalItems"] == 1
    [create] = read(out, f"{other}/users/alice/outbox?page=true")["orderedItems"]
    assert create["id"].startswith(other)
    assert ask(out, create["id"].replace(other, HERE)).status == 404
    keys = {read(out, f"{origin}/users/alice")["publicKey"]["publicKeyPem"] for origin in (HERE, other)}
    assert len(keys) == 2
