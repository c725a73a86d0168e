"""Check that a document changed by its owner is fetched anew, and that no other actor can drop a cached copy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apcore.errors import ApcoreError
from apcore.federation.actors.keys import instance_identity
from apcore.http import Headers, Request, Response
from apcore.remote import Gone, cached_owners, changed_document
from apcore.vocab import Note, Object
from inbox_fixture import BOB, CAROL, Ground

AS2 = "https://www.w3.org/ns/activitystreams"
NOTE = "https://remote.example/posts/7"


def note(content: str, **members: Any) -> dict[str, Any]:
    return {"@context": AS2, "id": NOTE, "type": "Note", "attributedTo": BOB, "content": content} | members


def read(ground: Ground, uri: str = NOTE) -> str | None:
    return ground.node.reference(uri).resolve().view(Note).content


def deliver_and_process(ground: Ground, activity: dict[str, Any], *, peer: Any = None) -> None:
    ground.clock.pass_s(2)
    assert (peer or ground.bob).deliver(ground.node, activity, to="alice").status == 202
    ground.work()
    ground.clock.pass_s(1)


@pytest.fixture
def ground() -> Ground:
    """Build a server that has cached the first text of the note, while the peer now serves the second."""
    ground = Ground()
    ground.bob.serve(NOTE, note("first"))
    assert read(ground) == "first"
    ground.bob.serve(NOTE, note("second"))
    assert read(ground) == "first", "a fresh copy was not served from the cache"
    return ground


UPDATES: dict[str, Any] = {
    "embedded": note("second"),
    "embedded without an owner": {"id": NOTE, "type": "Note", "content": "second"},
    "by its id": NOTE,
    "several": [note("second"), f"{NOTE}0"],
}


@pytest.mark.parametrize("object_", UPDATES.values(), ids=UPDATES)
def test_update_by_the_owner_takes_effect_at_once(ground: Ground, object_: Any) -> None:
    deliver_and_process(ground, ground.bob.activity("Update", object=object_))
    assert read(ground) == "second"
    assert read(ground) == "second"
    fetches = [exchange for exchange in ground.network.exchanges if exchange.url == NOTE]
    assert len(fetches) == 2, "the new text was not cached"


@pytest.mark.parametrize("object_", [NOTE, {"id": NOTE, "type": "Tombstone"}, note("first")])
def test_deleted_document_is_gone_at_once(ground: Ground, object_: Any) -> None:
    ground.bob.serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Tombstone"}, status=410)
    deliver_and_process(ground, ground.bob.activity("Delete", object=object_))
    with pytest.raises(Gone):
        read(ground)


def test_deleted_document_stays_gone_whatever_its_origin_serves(ground: Ground) -> None:
    deliver_and_process(ground, ground.bob.activity("Delete", object=NOTE))
    for fresh in (False, True):
        with pytest.raises(Gone, match="its owner deleted it"):
            ground.node.reference(NOTE).resolve(fresh=fresh)
    deliver_and_process(ground, ground.bob.activity("Update", object=note("back", to=f"{AS2}#Public")))
    with pytest.raises(Gone):
        read(ground)


def test_changed_document_is_fetched_without_its_old_validator() -> None:
    """Answer 304 for the new text, as a server may after two changes within a second."""
    ground = Ground()
    answers = [Response(200, Headers({"Content-Type": "application/activity+json", "ETag": '"1"'}), b"")]

    def answer(request: Request) -> Response | None:
        if request.url != NOTE:
            return None
        if request.headers.get("if-none-match") is not None:
            return Response(304)
        return Response(200, answers[0].headers, json.dumps(note(text)).encode())

    served = ground.bob.answer
    ground.bob.answer = lambda request: answer(request) or served(request)  # type: ignore[method-assign]
    text = "first"
    assert read(ground) == "first"
    text = "second"
    deliver_and_process(ground, ground.bob.activity("Update", object=note("second")))
    assert read(ground) == "second"


@pytest.mark.parametrize("kind", ["Update", "Delete"])
@pytest.mark.parametrize(
    "object_", [NOTE, {"id": NOTE, "type": "Note", "content": "x"}, note("x", attributedTo=f"{BOB}-2")]
)
def test_another_actor_of_the_origin_drops_no_copy(ground: Ground, kind: str, object_: Any) -> None:
    neighbour = ground.network.peer(f"{BOB}-2")
    deliver_and_process(ground, neighbour.activity(kind, object=object_), peer=neighbour)
    assert read(ground) == "first"


@pytest.mark.parametrize("kind", ["Update", "Delete"])
def test_actor_of_another_origin_drops_no_copy(ground: Ground, kind: str) -> None:
    ground.clock.pass_s(2)
    activity = ground.carol.activity(kind, object=NOTE)
    assert ground.carol.deliver(ground.node, activity, to="alice").status == 403
    ground.work()
    assert read(ground) == "first"


def test_copy_is_dropped_in_the_commit_that_completes_the_activity(ground: Ground) -> None:
    def fail(ctx: Any, activity: Any) -> None:
        raise RuntimeError

    ground.listeners.append(fail)
    deliver_and_process(ground, ground.bob.activity("Update", object=note("second")))
    assert read(ground) == "first"
    ground.listeners.clear()
    ground.clock.pass_s(3600)
    ground.work()
    assert ground.store.scan(("doc-changed",), limit=10)


def test_fetch_under_way_during_a_change_is_repeated(ground: Ground) -> None:
    """Read the old text, let the owner change it, and only then cache the old text."""
    ground.clock.pass_s(2)
    update = ground.bob.activity("Update", object=note("second"))
    served = ground.bob.answer

    def answer(request: Request) -> Response | None:
        response = served(request)
        if request.url == NOTE and request.method == "GET":
            ground.bob.answer = served  # type: ignore[method-assign]
            deliver_and_process(ground, update)
            ground.bob.serve(NOTE, note("third"))
        return response

    ground.bob.answer = answer  # type: ignore[method-assign]
    assert ground.node.reference(NOTE).resolve(fresh=True).view(Note).content == "second"
    assert read(ground) == "third"


@pytest.mark.parametrize("kind", ["Update", "Delete"])
def test_fetched_actor_counts_as_known(kind: str) -> None:
    ground = Ground()
    assert ground.node.reference(CAROL).resolve().id == CAROL
    renamed = ground.carol.document | {"name": "renamed"}
    ground.carol.serve(CAROL, renamed)
    deliver_and_process(ground, ground.carol.activity(kind, object=renamed), peer=ground.carol)
    if kind == "Update":
        assert ground.node.reference(CAROL).resolve().view(Object).name == "renamed"
    else:
        with pytest.raises(Gone):
            ground.node.reference(CAROL).resolve()


def test_owners_of_a_cached_copy_are_those_it_names(ground: Ground) -> None:
    identity = ground.node.run(instance_identity(ground.node.site()))
    assert ground.node.run(cached_owners(NOTE, identity=identity)) == (BOB,)
    assert ground.node.run(cached_owners(f"{NOTE}0", identity=identity)) is None


def test_change_of_a_non_http_id_is_refused() -> None:
    with pytest.raises(ApcoreError):
        changed_document("urn:x:1", Ground().clock.now())
