"""Check the description of pull row by row, and the acceptance tests that belong to it; `pull_rows` lists them all."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import pull_rows as rows
from apcore.adapters.memory import MemoryStore
from apcore.collections import traverse
from apcore.errors import LimitExceeded
from apcore.federation import Federation
from apcore.http import Headers, Request, Response
from apcore.node import Node
from apcore.remote import FetchPolicy, Forbidden, Freshness, Gone, NotFound, PeerFailing, WrongId
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Actor, Event, Integer, Note, Object, Person, Reference, View
from inbox_fixture import ALICE, BOB, HERE, Ground
from scripted_web import ScriptedWeb, document, redirect

A, B = "https://a.example", "https://b.example"
NOTE = f"{A}/notes/1"
PUBLIC = "https://www.w3.org/ns/activitystreams#Public"
DAY_S = 86400.0
HERE_DIRECTORY = Path(__file__).parent


def note(content: str = "hi", ident: str = NOTE, **members: Any) -> Response:
    return document({"id": ident, "type": "Note", "content": content, **members})


def make_node(web: ScriptedWeb, origin: str | None = None, **fetching: Any) -> Node[None]:
    federation: Federation[None] = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person(name="Alice"))
    options: dict[str, Any] = {"transport": web, "runtime": web.runtime, "signer": ReusedKeys(), "slots": 0}
    return Node(federation, origin, MemoryStore(clock=web.clock), fetching=FetchPolicy(**fetching), **options)


def read(node: Node[None], uri: str = NOTE, **options: Any) -> Any:
    return node.reference(uri).resolve(**options).words.get("content")


# --- the tables -----------------------------------------------------------------------------------------------------


def numbers(kind: str) -> set[int]:
    """Return the numbers in the names of tests and of their modules."""
    paths = list(HERE_DIRECTORY.glob("test_*.py"))
    texts = [path.read_text(encoding="utf-8") for path in paths] + [f"def {path.stem}_" for path in paths]
    return {int(number) for text in texts for number in re.findall(rf"def test_{kind}_(\d\d)_", text)}


def test_every_row_has_a_test_named_after_it() -> None:
    assert rows.ROWS.keys() == numbers("row")


def test_every_acceptance_test_has_a_place() -> None:
    assert numbers("acceptance") == rows.ACCEPTANCE_OF_PULL
    assert rows.ACCEPTANCE.keys() | rows.ACCEPTANCE_OF_PULL == set(range(1, 22))
    tests = HERE_DIRECTORY.parents[1]
    assert [path for path in rows.ACCEPTANCE.values() if not (tests / path).is_file()] == []


# --- references and resolving ---------------------------------------------------------------------------------------


def test_row_01_push_works_without_pull_and_pull_without_push() -> None:
    ground = Ground()
    assert ground.bob.deliver(ground.node, ground.bob.activity("Like", object=f"{HERE}/1"), to="alice").status == 202
    with make_node(ScriptedWeb({NOTE: note()})) as reader:
        assert read(reader) == "hi"
        assert not reader.origins.serves


def test_row_02_reference_is_a_value_that_stores_nothing() -> None:
    web = ScriptedWeb()
    with make_node(web) as node:
        pointer = node.reference("HTTPS://A.example:443/notes/1")
        assert pointer.reference == Reference(NOTE)
        assert pointer.uri == "HTTPS://A.example:443/notes/1"
        assert list(node.ports.store.scan((), limit=10)) == []
    assert web.asked() == []


def test_row_03_document_comes_from_its_authoritative_source() -> None:
    lie = {f"{B}/copy": note("a lie", NOTE)}
    with make_node(ScriptedWeb({NOTE: note("true"), **lie})) as node:
        with pytest.raises(WrongId):
            _ = read(node, f"{B}/copy")
        assert read(node) == "true"


def test_row_04_state_tells_freshness_and_never_stays_resolved() -> None:
    web = ScriptedWeb({NOTE: document({"id": NOTE, "type": "Person"})})
    with make_node(web) as node:
        pointer = node.reference(NOTE)
        names = [pointer.state().name]
        pointer.resolve()
        for _ in range(3):
            names.append(pointer.state().name)
            web.pass_s(20 * DAY_S)
        assert names == ["unknown", "fresh", "stale", "unknown"]


def test_row_05_later_access_is_local_then_revalidated_with_validators() -> None:
    uri = f"{A}/outbox"
    web = ScriptedWeb({uri: document({"id": uri, "type": "OrderedCollection", "content": "x"}, ETag='"1"')})
    with make_node(web) as node:
        assert [read(node, uri), read(node, uri)] == ["x", "x"]
        assert len(web.asked()) == 1
        web.pages[uri] = Response(304)
        web.pass_s(3601)
        assert read(node, uri) == "x"
        assert web.requests[-1].headers.get("if-none-match") == '"1"'
        assert node.reference(uri).state().name == "fresh"


class Recipe(Object, ns="https://recipes.example/ns#"):
    """A facet of an application of its own."""

    servings: Integer = Integer()


def test_row_06_typed_view_is_made_over_one_document() -> None:
    with make_node(ScriptedWeb({NOTE: note(name="a title")})) as node:
        pointer = node.reference(NOTE)
        pointer.resolve()
        assert (pointer.view(Note).content, pointer.view(Object).name) == ("hi", "a title")
        assert pointer.document.is_a(Actor) is False


def test_row_07_several_vocabularies_read_one_document_without_refetch() -> None:
    tree = {
        "@context": ["https://www.w3.org/ns/activitystreams", {"r": "https://recipes.example/ns#"}],
        "id": NOTE,
        "type": "Note",
        "content": "soup",
        "https://recipes.example/ns#servings": 4,
    }
    web = ScriptedWeb({NOTE: document(tree)})
    with make_node(web) as node:
        pointer = node.reference(NOTE)
        pointer.resolve()
        assert (pointer.view(Note).content, Recipe.over(pointer.document).servings) == ("soup", 4)
        assert pointer.document.tree == tree
    assert web.asked() == [NOTE]


def test_row_08_many_are_resolved_at_once_when_the_application_decides() -> None:
    uris = [f"{A}/{number}" for number in range(4)]
    web = ScriptedWeb({uri: note(ident=uri) for uri in uris})
    with make_node(web) as node:
        pointers = [node.reference(uri) for uri in uris]
        assert web.asked() == []
        assert len(node.resolve_many([pointer.reference for pointer in pointers])) == 4
        assert len(web.asked()) == 4


# --- notifications --------------------------------------------------------------------------------------------------


def test_row_09_inbox_takes_pushes_for_an_actor_and_for_the_server() -> None:
    ground = Ground()
    for number, inbox in enumerate((f"{ALICE}/inbox", f"{HERE}/inbox")):
        activity = ground.bob.activity(
            "Create", object={"id": f"{BOB}/{number}", "type": "Note", "to": ALICE}, to=ALICE
        )
        assert ground.node.handle(ground.bob.request(activity, inbox)).status == 202  # type: ignore[union-attr]
    ground.work()
    assert len(ground.heard) == 2


@pytest.mark.parametrize("fault", ["unsigned", "flipped"])
def test_row_10_unauthenticated_activity_is_neither_stored_nor_heard(fault: str) -> None:
    ground = Ground()
    activity = ground.bob.activity("Create", object={"id": NOTE, "type": "Note"})
    request = ground.bob.request(activity, f"{ALICE}/inbox")
    if fault == "unsigned":
        request = Request(request.method, request.url, request.headers.without("signature"), request.body)
    else:
        signature = request.headers.get("signature") or ""
        start = signature.index('signature="') + len('signature="')
        flipped = f"{signature[:start]}{'B' if signature[start] == 'A' else 'A'}{signature[start + 1 :]}"
        request = Request(request.method, request.url, request.headers.with_set("signature", flipped), request.body)
    assert ground.post(request).status == 401
    ground.work()
    assert ground.heard == []
    assert not ground.kinds() & {"in", "in-todo"}


def test_row_11_actor_that_may_not_change_an_object_reaches_no_listener() -> None:
    ground = Ground()
    activity = ground.carol.activity("Update", object={"id": f"{BOB}/1", "type": "Note", "attributedTo": BOB})
    assert ground.carol.deliver(ground.node, activity, to="alice").status == 403
    ground.work()
    assert ground.heard == []


def test_row_12_repeated_activity_is_processed_once() -> None:
    ground = Ground()
    activity = ground.bob.activity("Create", object={"id": f"{BOB}/1", "type": "Note", "attributedTo": BOB})
    for _ in range(2):
        assert ground.bob.deliver(ground.node, activity, to="alice").status == 202
        ground.clock.pass_s(2)
    ground.work()
    assert len(ground.heard) == 1


# --- collections and documents of ours ------------------------------------------------------------------------------


def serve(node: Node[None], url: str, **headers: str) -> Response:
    fields = {"Accept": "application/activity+json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    served = node.handle(Request("GET", url, Headers(fields)))
    assert isinstance(served, Response)
    return served


def test_row_13_outbox_is_served_with_its_pages() -> None:
    with make_node(ScriptedWeb(), HERE) as node:
        ident = node.publish(Note(content="one"), by="alice")
        outbox = json.loads(serve(node, f"{ALICE}/outbox").body)
        page = json.loads(serve(node, outbox["first"]).body)
        assert outbox["totalItems"] == 1
        assert isinstance(page["orderedItems"], list)
        assert ident in json.dumps(page["orderedItems"])


def test_row_14_membership_is_idempotent() -> None:
    with make_node(ScriptedWeb(), HERE) as node:
        shelf = f"{HERE}/shelf"
        for _ in range(2):
            node.append(shelf, NOTE)
        assert (node.count(shelf), node.contains(shelf, NOTE)) == (1, True)
        for _ in range(2):
            node.remove(shelf, NOTE)
        assert (node.count(shelf), node.contains(shelf, NOTE)) == (0, False)


def test_row_16_items_since_a_time_are_read() -> None:
    outbox = f"{A}/outbox"
    items = [
        {"id": f"{A}/{day}", "type": "Create", "published": f"2026-01-0{day}T12:00:00Z"} for day in range(4, 0, -1)
    ]
    web = ScriptedWeb({outbox: document({"id": outbox, "type": "OrderedCollection", "orderedItems": items})})
    since = datetime(2026, 1, 3, tzinfo=UTC)
    result = web.run(traverse(outbox, policy=FetchPolicy(), since=since))
    assert [item.uri for item in result.items] == [f"{A}/4", f"{A}/3"]


def test_row_17_served_documents_have_validators_and_answer_304() -> None:
    with make_node(ScriptedWeb(), HERE) as node:
        served = serve(node, ALICE)
        etag = served.headers.get("etag")
        assert etag is not None
        assert served.headers.get("cache-control") is not None
        assert serve(node, ALICE, If_None_Match=etag).status == 304


# --- keeping the graph current --------------------------------------------------------------------------------------


def test_row_18_older_version_never_replaces_a_newer_one() -> None:
    web = ScriptedWeb({NOTE: note("new", updated="2025-12-31T00:00:00Z")})
    with make_node(web) as node:
        assert read(node) == "new"
        web.pages[NOTE] = note("old", updated="2025-12-30T00:00:00Z")
        assert read(node, fresh=True) == "new"


def test_row_19_due_references_are_listed_and_refreshed_by_a_worker() -> None:
    bob = f"{A}/bob"
    web = ScriptedWeb({bob: document({"id": bob, "type": "Person", "content": "old"})})
    with make_node(web, HERE) as node:
        _ = read(node, bob)
        web.pass_s(3 * DAY_S)
        web.pages[bob] = document({"id": bob, "type": "Person", "content": "new"})
        assert [state.uri for state in node.due_for_refresh()] == [bob]
        assert node.refresh_due() == 1
        node.work(until_idle=True)
        assert node.due_for_refresh() == ()
        _ = web.asked()
        assert read(node, bob) == "new"
    assert web.asked() == []


def test_row_20_cached_data_is_shown_while_it_is_refreshed() -> None:
    bob = f"{A}/bob"
    web = ScriptedWeb({bob: document({"id": bob, "type": "Person", "content": "old"})})
    with make_node(web, HERE) as node:
        _ = read(node, bob)
        web.pass_s(3 * DAY_S)
        web.pages[bob] = document({"id": bob, "type": "Person", "content": "new"})
        assert read(node, bob) == "old"
        node.work(until_idle=True)
        assert read(node, bob) == "new"


def test_row_21_local_reference_is_never_fetched() -> None:
    web = ScriptedWeb()
    with make_node(web, HERE) as node:
        pointer = node.reference(ALICE)
        assert pointer.is_local
        assert pointer.resolve(fresh=True).words["name"] == "Alice"
        assert pointer.state().provenance == "own"
    assert web.asked() == []


def test_row_22_minted_ids_are_served() -> None:
    with make_node(ScriptedWeb(), HERE) as node:
        ident = node.publish(Note(content="one"), by="alice")
        assert json.loads(serve(node, ident).body)["id"] == ident


def test_row_23_unknown_types_and_members_survive() -> None:
    tree = {"id": NOTE, "type": ["Event", "https://x.example/Gig"], "https://x.example/band": ["b", "a"], "name": "Gig"}
    with make_node(ScriptedWeb({NOTE: document(tree)})) as node:
        node.reference(NOTE).resolve()
        document_again = node.reference(NOTE).resolve()
        assert document_again.tree == tree
        assert document_again.view(Event).name == "Gig"


def test_row_25_views_do_not_need_an_account_or_a_store() -> None:
    class Title(View, ns="https://www.w3.org/ns/activitystreams#"):
        """A presentation of its own."""

    with make_node(ScriptedWeb({NOTE: note()})) as node:
        assert Title.over(node.reference(NOTE).resolve()).id == NOTE


def test_row_27_application_decides_how_long_each_document_is_fresh() -> None:
    def freshness(document: Any) -> Freshness:
        return Freshness(rule="mine", fresh_s=10.0 if document.is_a(Note) else 3600.0)

    web = ScriptedWeb({NOTE: note()})
    with make_node(web, freshness=freshness) as node:
        _ = read(node)
        assert node.reference(NOTE).state().rule == "mine"
        web.pass_s(11)
        _ = read(node)
    assert web.asked() == [NOTE, NOTE]


# --- acceptance tests -----------------------------------------------------------------------------------------------


def test_acceptance_07_maps_arrays_and_order_round_trip() -> None:
    tree = {
        "id": NOTE,
        "type": "Note",
        "contentMap": {"en": "hello", "fr": "bonjour"},
        "tag": [{"type": "Hashtag", "name": "#b"}, {"type": "Hashtag", "name": "#a"}],
    }
    body = json.dumps(tree).encode()
    page = Response(200, {"content-type": "application/activity+json"}, body)
    with make_node(ScriptedWeb({NOTE: page})) as node:
        for _ in range(2):
            assert json.dumps(node.reference(NOTE).resolve().tree).encode() == body


def test_acceptance_11_refresh_sends_validators_and_drops_vanished_fields() -> None:
    web = ScriptedWeb({NOTE: note(summary="old", ETag='"1"')})
    web.pages[NOTE] = document({"id": NOTE, "type": "Note", "content": "hi", "summary": "old"}, ETag='"1"')
    with make_node(web) as node:
        assert node.reference(NOTE).resolve().words["summary"] == "old"
        web.pages[NOTE] = note()
        assert "summary" not in node.reference(NOTE).resolve(fresh=True).words
        assert web.requests[-1].headers.get("if-none-match") == '"1"'
        assert "summary" not in node.reference(NOTE).resolve().words


def test_acceptance_12_each_failure_has_a_type_of_its_own_and_500_is_retried() -> None:
    failures: dict[type[Exception], Response] = {
        NotFound: Response(404),
        Forbidden: Response(403),
        PeerFailing: Response(500),
        WrongId: note(ident=f"{B}/1"),
        Gone: Response(410),
    }
    for kind, answer in failures.items():
        web = ScriptedWeb({NOTE: answer})
        with make_node(web) as node, pytest.raises(kind) as caught:
            _ = read(node)
        assert type(caught.value) is kind
    web = ScriptedWeb({NOTE: Response(500)})
    with make_node(web) as node:
        with pytest.raises(PeerFailing):
            _ = read(node)
        web.pages[NOTE] = note("mended")
        web.pass_s(61)
        assert read(node) == "mended"


def test_acceptance_15_object_has_etag_cache_control_and_vary() -> None:
    with make_node(ScriptedWeb(), HERE) as node:
        served = serve(node, node.publish(Note(content="one"), by="alice"))
        assert all(served.headers.get(name) for name in ("etag", "cache-control", "vary"))


def test_acceptance_20_chain_of_redirects_over_the_limit_fails_by_type() -> None:
    hops = [f"{A}/{number}" for number in range(10)]
    web = ScriptedWeb({hop: redirect(hops[number + 1]) for number, hop in enumerate(hops[:-1])})
    with make_node(web) as node, pytest.raises(LimitExceeded):
        _ = read(node, hops[0])


def test_acceptance_21_refreshing_twice_leaves_the_store_the_same_size() -> None:
    web = ScriptedWeb({NOTE: note(attachment=[{"type": "Document"}, {"type": "Document"}])})
    with make_node(web) as node:
        sizes = []
        for _ in range(3):
            _ = read(node, fresh=True)
            sizes.append(len(node.ports.store.scan((), limit=100)))
            web.pass_s(60)
    assert len(set(sizes)) == 1
