"""A document that its owner has updated or deleted is asked for anew, and nobody else's word drops a copy."""

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


def hear(ground: Ground, activity: dict[str, Any], *, peer: Any = None) -> None:
    ground.clock.pass_s(2)
    assert (peer or ground.bob).deliver(ground.node, activity, to="alice").status == 202
    ground.work()
    ground.clock.pass_s(1)


@pytest.fixture
def ground() -> Ground:
    """A server that has read the first text of the note, and another one's."""
    ground = Ground()
    ground.bob.serve(NOTE, note("first"))
    assert read(ground) == "first"
    ground.bob.serve(NOTE, note("second"))
    assert read(ground) == "first", "a copy is kept while it is fresh"
    return ground


UPDATES: dict[str, Any] = {
    "embedded": note("second"),
    "embedded without an owner": {"id": NOTE, "type": "Note", "content": "second"},
    "by its id": NOTE,
    "several": [note("second"), f"{NOTE}0"],
}


@pytest.mark.parametrize("object_", UPDATES.values(), ids=UPDATES)
def test_an_update_by_the_owner_is_seen_at_once(ground: Ground, object_: Any) -> None:
    hear(ground, ground.bob.activity("Update", object=object_))
    assert read(ground) == "second"
    assert read(ground) == "second"
    fetched = [one for one in ground.network.exchanges if one.url == NOTE]
    assert len(fetched) == 2, "the new text is kept like any other"


@pytest.mark.parametrize("object_", [NOTE, {"id": NOTE, "type": "Tombstone"}, note("first")])
def test_a_deleted_document_is_gone_at_once(ground: Ground, object_: Any) -> None:
    ground.bob.serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Tombstone"}, status=410)
    hear(ground, ground.bob.activity("Delete", object=object_))
    with pytest.raises(Gone):
        read(ground)


def test_a_tombstone_that_is_served_with_200_is_given(ground: Ground) -> None:
    ground.bob.serve(NOTE, {"@context": AS2, "id": NOTE, "type": "Tombstone"})
    hear(ground, ground.bob.activity("Delete", object=NOTE))
    assert ground.node.reference(NOTE).resolve().types == ("Tombstone",)


def test_no_validator_brings_the_old_text_back() -> None:
    """A server may say 304 for what it changed within one second."""
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
    hear(ground, ground.bob.activity("Update", object=note("second")))
    assert read(ground) == "second"


@pytest.mark.parametrize("kind", ["Update", "Delete"])
@pytest.mark.parametrize(
    "object_", [NOTE, {"id": NOTE, "type": "Note", "content": "x"}, note("x", attributedTo=f"{BOB}-2")]
)
def test_a_neighbour_drops_no_copy(ground: Ground, kind: str, object_: Any) -> None:
    neighbour = ground.network.peer(f"{BOB}-2")
    hear(ground, neighbour.activity(kind, object=object_), peer=neighbour)
    assert read(ground) == "first"


@pytest.mark.parametrize("kind", ["Update", "Delete"])
def test_another_origin_drops_no_copy(ground: Ground, kind: str) -> None:
    ground.clock.pass_s(2)
    activity = ground.carol.activity(kind, object=NOTE)
    assert ground.carol.deliver(ground.node, activity, to="alice").status == 403
    ground.work()
    assert read(ground) == "first"


def test_a_copy_is_dropped_in_the_commit_that_ends_the_activity(ground: Ground) -> None:
    def fail(ctx: Any, activity: Any) -> None:
        raise RuntimeError

    ground.listeners.append(fail)
    hear(ground, ground.bob.activity("Update", object=note("second")))
    assert read(ground) == "first"
    ground.listeners.clear()
    ground.clock.pass_s(3600)
    ground.work()
    assert ground.store.scan(("doc-changed",), limit=10)


def test_a_fetch_that_was_under_way_is_not_believed(ground: Ground) -> None:
    """The old text is read, the owner changes it, and only then is the old text kept."""
    ground.clock.pass_s(2)
    update = ground.bob.activity("Update", object=note("second"))
    served = ground.bob.answer

    def answer(request: Request) -> Response | None:
        response = served(request)
        if request.url == NOTE and request.method == "GET":
            ground.bob.answer = served  # type: ignore[method-assign]
            hear(ground, update)
            ground.bob.serve(NOTE, note("third"))
        return response

    ground.bob.answer = answer  # type: ignore[method-assign]
    assert ground.node.reference(NOTE).resolve(fresh=True).view(Note).content == "second"
    assert read(ground) == "third"


@pytest.mark.parametrize("kind", ["Update", "Delete"])
def test_an_actor_that_was_only_read_is_no_stranger(kind: str) -> None:
    ground = Ground()
    assert ground.node.reference(CAROL).resolve().id == CAROL
    renamed = ground.carol.document | {"name": "renamed"}
    ground.carol.serve(CAROL, renamed)
    hear(ground, ground.carol.activity(kind, object=renamed), peer=ground.carol)
    assert ground.node.reference(CAROL).resolve().view(Object).name == "renamed"


def test_the_owners_of_a_copy_are_those_it_names(ground: Ground) -> None:
    identity = ground.node.run(instance_identity(ground.node.site()))
    assert ground.node.run(cached_owners(NOTE, identity=identity)) == (BOB,)
    assert ground.node.run(cached_owners(f"{NOTE}0", identity=identity)) is None


def test_only_an_address_is_marked() -> None:
    with pytest.raises(ApcoreError):
        changed_document("urn:x:1", Ground().clock.now())
