"""Check the copies of documents: one for each viewer, indexed by owner, origin and due time; and their tombstones."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from apcore.http import Response
from apcore.remote import FetchPolicy, Gone, Identity, NotFound, load, resolve
from apcore.remote.copies import due_copies, forget_copies, prune_copies
from apcore.remote.records import CACHED_DOCUMENTS, DUE_DOCUMENTS, ORIGIN_DOCUMENTS, OWNED_DOCUMENTS
from scripted_web import ScriptedWeb, document, redirect

A, B = "https://a.example", "https://b.example"
NOTE, BOB = f"{A}/notes/1", f"{A}/bob"
POLICY = FetchPolicy()
ME = Identity(key_name="instance", key_id="https://me.example/actor#main-key")
ME_LATER = Identity(key_name="instance-2", key_id="https://me.example/actor#main-key-2")
ALICE = Identity(key_name="alice", key_id="https://me.example/alice#main-key")
DAY_S = 86400.0


def note(content: str = "hi", ident: str = NOTE, **members: str) -> Response:
    return document({"id": ident, "type": "Note", "attributedTo": BOB, "content": content, **members})


def content(web: ScriptedWeb, uri: str = NOTE, *, fresh: bool = False, identity: Identity | None = None) -> str:
    loaded = web.run(load(uri, policy=POLICY, fresh=fresh, identity=identity))
    return loaded.document.words["content"]


def sizes(web: ScriptedWeb) -> list[int]:
    kinds = (CACHED_DOCUMENTS, DUE_DOCUMENTS, OWNED_DOCUMENTS, ORIGIN_DOCUMENTS)
    return [len(web.store.scan(kind.prefix, limit=1000)) for kind in kinds]


def test_copy_survives_the_replacement_of_keys() -> None:
    web = ScriptedWeb({NOTE: note()})
    assert content(web, identity=ME) == content(web, identity=ME_LATER) == "hi"
    assert web.asked() == [NOTE]


def test_each_viewer_has_a_copy_of_its_own() -> None:
    web = ScriptedWeb({NOTE: note("for me")})
    assert content(web, identity=ME) == "for me"
    web.pages[NOTE] = note("for alice")
    assert content(web, identity=ALICE) == "for alice"
    web.pages[NOTE] = note("for everyone")
    assert content(web) == "for everyone"
    assert [content(web, identity=ME), content(web, identity=ALICE), content(web)] == [
        "for me",
        "for alice",
        "for everyone",
    ]
    assert sizes(web) == [3, 3, 3, 3]


def test_refreshing_twice_leaves_the_store_the_same_size() -> None:
    web = ScriptedWeb({NOTE: note()})
    assert content(web) == "hi"
    for number in range(2):
        web.pass_s(60)
        web.pages[NOTE] = note(f"version {number}")
        assert content(web, fresh=True) == f"version {number}"
        assert sizes(web) == [1, 1, 1, 1]


def test_entry_of_a_former_owner_is_removed_from_the_index() -> None:
    web = ScriptedWeb({NOTE: note()})
    assert content(web) == "hi"
    web.pages[NOTE] = note(attributedTo=f"{A}/carol")
    assert content(web, fresh=True) == "hi"
    assert web.run(forget_copies(owner=BOB)) == 0
    assert web.run(forget_copies(owner=f"{A}/carol")) == 1
    assert sizes(web) == [0, 0, 0, 0]


def test_older_version_never_replaces_a_newer_one() -> None:
    web = ScriptedWeb({NOTE: note("new", updated="2025-12-31T12:00:00Z")})
    assert content(web) == "new"
    web.pages[NOTE] = note("old", updated="2025-12-30T12:00:00Z")
    assert content(web, fresh=True) == "new"
    assert content(web) == "new"
    web.pages[NOTE] = note("newest", updated="2025-12-31T12:00:01Z")
    assert content(web, fresh=True) == "newest"


def test_version_in_the_far_future_does_not_freeze_a_document() -> None:
    web = ScriptedWeb({NOTE: note("a lie", updated="9999-12-31T23:59:59Z")})
    assert content(web) == "a lie"
    web.pages[NOTE] = note("true", updated="2026-01-01T11:00:00Z")
    assert content(web, fresh=True) == "true"


def test_410_leaves_a_tombstone_that_nothing_revives() -> None:
    web = ScriptedWeb({NOTE: note()})
    assert content(web) == "hi"
    web.pages[NOTE] = Response(410)
    with pytest.raises(Gone):
        _ = content(web, fresh=True)
    web.pages[NOTE] = note()
    _ = web.asked()
    for fresh in (False, True):
        for identity in (None, ME):
            with pytest.raises(Gone, match="its origin answered 410"):
                _ = content(web, fresh=fresh, identity=identity)
    web.pages[f"{A}/moved"] = redirect(NOTE, status=301)
    with pytest.raises(Gone):
        _ = content(web, f"{A}/moved")
    assert web.asked() == [f"{A}/moved", NOTE]
    assert sizes(web) == [0, 0, 0, 0]


def test_forgotten_document_is_asked_for_again_even_if_it_was_gone() -> None:
    web = ScriptedWeb({NOTE: Response(410)})
    with pytest.raises(Gone):
        _ = content(web)
    assert web.run(forget_copies(uri=NOTE)) == 0
    web.pages[NOTE] = note()
    assert content(web) == "hi"
    assert web.run(forget_copies(uri=NOTE)) == 1
    assert sizes(web) == [0, 0, 0, 0]


def test_forgetting_a_failure_lets_the_origin_be_asked_at_once() -> None:
    web = ScriptedWeb({NOTE: Response(404)})
    with pytest.raises(NotFound):
        _ = web.run(resolve(NOTE, policy=POLICY))
    _ = web.run(forget_copies(uri=NOTE))
    web.pages[NOTE] = note()
    assert web.run(resolve(NOTE, policy=POLICY)).words["content"] == "hi"


def test_all_documents_of_an_origin_are_forgotten_at_once() -> None:
    pages = {f"{A}/notes/{number}": note(ident=f"{A}/notes/{number}") for number in range(45)}
    web = ScriptedWeb({**pages, f"{B}/1": document({"id": f"{B}/1", "type": "Note"})})
    for uri in (*pages, f"{B}/1"):
        _ = web.run(load(uri, policy=POLICY))
    assert web.run(forget_copies(origin=A)) == 45
    assert sizes(web) == [1, 1, 0, 1]


def test_permanent_redirect_becomes_an_alias() -> None:
    web = ScriptedWeb({NOTE: redirect(f"{B}/1", status=301), f"{B}/1": note(ident=f"{B}/1", attributedTo=f"{B}/bob")})
    assert content(web) == "hi"
    assert web.asked() == [NOTE, f"{B}/1"]
    web.pass_s(4000 * DAY_S / 400)
    assert content(web, NOTE) == content(web, f"{B}/1") == "hi"
    assert web.asked() == []


@pytest.mark.parametrize("statuses", [(302,), (301, 307), (307, 308)])
def test_temporary_redirect_becomes_no_alias(statuses: tuple[int, ...]) -> None:
    hops = [NOTE, *(f"{A}/{number}" for number in range(len(statuses)))]
    web = ScriptedWeb({hops[-1]: note(ident=hops[-1])})
    web.pages |= {hop: redirect(hops[number + 1], statuses[number]) for number, hop in enumerate(hops[:-1])}
    assert content(web) == "hi"
    _ = web.asked()
    assert content(web) == "hi"
    assert web.asked() == hops


def test_address_that_answers_for_itself_again_is_no_alias_any_more() -> None:
    web = ScriptedWeb({NOTE: redirect(f"{B}/1", status=308), f"{B}/1": note("moved", ident=f"{B}/1")})
    assert content(web) == "moved"
    web.pages[NOTE] = note("back")
    assert content(web, fresh=True) == "back"
    assert content(web) == "back"


def test_aliases_in_a_circle_end() -> None:
    web = ScriptedWeb({NOTE: redirect(f"{B}/1", status=301), f"{B}/1": note("there", ident=f"{B}/1")})
    assert content(web) == "there"
    web.pages |= {f"{B}/1": redirect(NOTE, status=301), NOTE: note("here")}
    assert content(web, f"{B}/1", fresh=True) == "here"
    assert content(web, f"{B}/1") in {"here", "there"}


def test_due_copies_are_listed_stalest_first() -> None:
    actors = [f"{A}/users/{number}" for number in range(3)]
    web = ScriptedWeb({actor: document({"id": actor, "type": "Person"}) for actor in actors})
    for actor in actors:
        _ = web.run(load(actor, policy=POLICY))
        web.pass_s(60)
    assert web.run(due_copies(web.runtime.now(), limit=10)) == ()
    web.pass_s(2 * DAY_S)
    assert [copy.uri for copy in web.run(due_copies(web.runtime.now(), limit=10))] == actors
    assert [copy.uri for copy in web.run(due_copies(web.runtime.now(), limit=2))] == actors[:2]


@pytest.mark.parametrize(
    ("bounds", "count"),
    [({"documents_max": 7}, 7), ({"bytes_max": 300}, 2), ({"age_s_max": 300.0}, 4), ({}, 30)],
)
def test_graph_is_pruned_by_number_size_and_age(bounds: dict[str, float], count: int) -> None:
    uris = [f"{A}/notes/{number:02}" for number in range(30)]
    web = ScriptedWeb({uri: note(ident=uri) for uri in uris})
    for uri in uris:
        _ = web.run(load(uri, policy=POLICY))
        web.pass_s(60)
    limits = {"documents_max": 100, "bytes_max": 10**6, "age_s_max": DAY_S, **bounds}
    assert web.run(prune_copies(web.runtime.now(), **limits)) == 30 - count  # type: ignore[arg-type]
    stored = [CACHED_DOCUMENTS.decode(entry.value).uri for entry in web.store.scan(CACHED_DOCUMENTS.prefix, limit=99)]
    assert sorted(stored) == uris[30 - count :]
    assert sizes(web) == [count] * 4


def test_post_is_fresh_for_ever_and_a_timeline_for_an_hour() -> None:
    timeline = f"{A}/outbox"
    web = ScriptedWeb({NOTE: note(), timeline: document({"id": timeline, "type": "OrderedCollection"})})
    for uri in (NOTE, timeline):
        _ = web.run(load(uri, policy=POLICY))
    _ = web.asked()
    web.pass_s(timedelta(hours=2).total_seconds())
    for uri in (NOTE, timeline):
        _ = web.run(load(uri, policy=POLICY))
    assert web.asked() == [timeline]


def test_copy_is_kept_400_days_at_most() -> None:
    web = ScriptedWeb({NOTE: note()})
    assert content(web) == "hi"
    web.pass_s(400 * DAY_S + 1)
    assert content(web) == "hi"
    assert web.asked() == [NOTE, NOTE]


def test_word_of_the_server_comes_before_the_rule_of_the_type() -> None:
    web = ScriptedWeb({NOTE: evolve(note(), headers=note().headers.with_set("cache-control", "max-age=600"))})
    assert content(web) == "hi"
    web.pass_s(601)
    assert content(web) == "hi"
    assert web.asked() == [NOTE, NOTE]
