"""Check hostile proofs and answers: every request gets a status with a reason, and only proven content is accepted."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from apcore.http import ACTIVITY_JSON, Headers, Request, Response
from apcore.testing.peer import Peer
from inbox_fixture import ALICE, BOB, CACHED, CAROL, INBOX, OWN, Ground, reason_of

AS2 = "https://www.w3.org/ns/activitystreams"
LIKE, NOTE = f"{BOB}/likes/1", "https://remote.example/notes/1"
ANSWERS = {202, 400, 401, 403, 413, 503}

NAMES = [
    BOB,
    CAROL,
    ALICE,
    LIKE,
    NOTE,
    f"{BOB}#main-key",
    f"{BOB}#ed25519-key",
    f"{CAROL}#main-key",
    "did:key:z6Mk",
    "",
]
WORDS = [
    "DataIntegrityProof",
    "RsaSignature2017",
    "eddsa-jcs-2022",
    "eddsa-rdfc-2022",
    "assertionMethod",
    AS2,
    "_:b0",
    "@id",
]
ODD = [
    "2026-01-01T11:00:00Z",
    "2026-01-01",
    "9999-12-31T23:59:60Z",
    "z" + "1" * 90,
    "AAAA",
    "https://[",
    "\U0001f600",
    "x",
]
TEXTS = st.sampled_from([*NAMES, *WORDS, *ODD])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXTS | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "type",
                    "actor",
                    "object",
                    "@context",
                    "@id",
                    "@graph",
                    "@included",
                    "@reverse",
                    "creator",
                    "proof",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
PROOF = ["type", "cryptosuite", "verificationMethod", "proofPurpose", "proofValue", "created", "expires", "@context"]
SIGNATURE = ["type", "creator", "created", "expires", "signatureValue", "nonce", "domain", "id", "@context"]
KINDS = st.sampled_from(["Like", "Delete", "Update", "Create", "Undo", "Add", "Move", "Announce"])


@st.composite
def spoiled_activity(draw: st.DrawFn, members: dict[str, Any]) -> dict[str, Any]:
    """Draw an activity with wrong members, mostly in its proof or signature."""
    activity = dict(members)
    for _ in range(draw(st.integers(0, 2))):
        part, names = draw(st.sampled_from([("proof", PROOF), ("signature", SIGNATURE), ("", [])]))
        inner = activity.get(part)
        if isinstance(inner, dict):
            activity[part] = inner | {draw(st.sampled_from(names)): draw(VALUES)}
        else:
            name = draw(
                st.sampled_from(["proof", "signature", "object", "@context", "@graph", "id", "actor", "to", "x"])
            )
            activity[name] = draw(VALUES)
    return activity


def draw_answer(members: dict[str, Any]) -> st.SearchStrategy[Response]:
    """Draw a response of a server other than the expected document."""
    bodies = spoiled_activity(members).map(lambda activity: json.dumps(activity).encode()) | st.binary(max_size=20)
    types = st.sampled_from([ACTIVITY_JSON, "application/ld+json", "text/html", "", "\xff"])
    statuses = st.sampled_from([200, 200, 200, 304, 301, 401, 404, 410, 418, 429, 500])
    locations = st.sampled_from([BOB, CAROL, LIKE, "http://127.0.0.1/", "//", "https://["])
    return st.builds(
        lambda status, body, media, location: Response(status, {"Content-Type": media, "Location": location}, body),
        statuses,
        bodies,
        types,
        locations,
    )


@given(data=st.data())
@settings(max_examples=60)
def test_any_proof_gets_a_status_and_only_proven_content_is_processed(data):
    ground = Ground()
    kind, object_ = data.draw(KINDS), data.draw(st.sampled_from([NOTE, BOB, ALICE, {"id": NOTE, "attributedTo": BOB}]))
    activity = {"@context": AS2, "id": LIKE, "type": kind, "actor": BOB, "object": object_}
    activity["published"] = "2026-01-01T11:00:00Z"
    for prove in data.draw(st.lists(st.sampled_from([Peer.prove, Peer.ld_sign]), unique=True)):
        if "signature" not in activity:
            activity = prove(ground.bob, activity)
    proven_activity = dict(activity)
    activity = data.draw(spoiled_activity(activity))
    lies: dict[str, Response] = {}
    for uri in data.draw(st.lists(st.sampled_from([BOB, LIKE, NOTE, CAROL]), unique=True, max_size=2)):
        honest_document = {BOB: ground.bob.document, CAROL: ground.carol.document}.get(uri, activity)
        lies[uri] = data.draw(draw_answer(honest_document))
    for peer in (ground.bob, ground.carol):
        peer.answer = _answer_with(peer, lies)  # type: ignore[method-assign]
    body = json.dumps(activity).encode()
    request = Request("POST", INBOX, Headers({"content-type": ACTIVITY_JSON}), body)
    signer = data.draw(st.sampled_from([None, ground.bob, ground.carol]))
    for attempt in range(2):
        answer = ground.post(request if signer is None else signer.sign(request))
        event(f"{answer.status} {reason_of(answer)}")
        assert answer.status in ANSWERS
        assert len(ground.network.exchanges) <= 40 * (attempt + 1)
        ground.work()
    if answer.status != 202:
        assert reason_of(answer)
        assert ground.heard == []
        assert ground.kinds() <= OWN | CACHED
    elif signer is not ground.bob and BOB not in lies and LIKE not in lies and NOTE not in lies:
        # No other evidence was present, so at most the proven activity was processed.
        assert set(ground.heard) <= {proven_activity["id"], f"{NOTE}#delete", f"{BOB}#delete"}


def _answer_with(peer: Peer, lies: dict[str, Response]) -> Any:
    honest = peer.answer
    return lambda request: lies.get(request.url) or honest(request)
