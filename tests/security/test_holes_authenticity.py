"""Try published holes on the inbox: forged authors, weak signatures, and work before authentication."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from apcore import vocab
from apcore.effects import Commit, Enqueue, Fetch
from apcore.federation import Federation
from apcore.federation.inbox.receive import BODY_BYTES_MAX
from apcore.http import Headers, Request, make_digest
from apcore.signatures import cavage, ld_signature
from apcore.testing.peer import Peer
from apcore.vocab import Activity, Note, Person
from inbox_fixture import ALICE, BOB, CACHED, CAROL, HERE, INBOX, NOON, OWN, SHARED, Ground, reason_of

AP = "application/activity+json"
TYPES = sorted(
    cls.type_name
    for cls in vars(vocab).values()
    if isinstance(cls, type) and issubclass(cls, Activity) and cls.type_name is not None
)
NOTE = "https://remote.example/notes/1"


class ReadingServer(Ground):
    """A `Ground` with a listener that resolves the object of each activity."""

    def __init__(self) -> None:
        self.contents: list[str | None] = []
        """The content of each resolved object."""
        super().__init__()

    def _federation(self, *_args: Any) -> Federation[None]:
        federation: Federation[None] = Federation(software="test/1.0")

        @federation.actor("/users/{identifier}")
        def actor(ctx, identifier):
            return Person(preferred_username="alice") if identifier == "alice" else None

        @federation.on(Activity)
        def handle_activity(ctx, activity):
            self.heard.append(ctx.activity_id)
            if activity.object is not None:
                self.contents.append(Note.over(ctx.resolve(activity.object)).content)

        return federation


def post(ground: Ground, by: Peer, activity: dict[str, Any] | bytes, *, to: str = INBOX, **fields: str) -> int:
    return ground.post(request(by, activity, to=to, **fields)).status


def request(by: Peer, activity: dict[str, Any] | bytes, *, to: str = INBOX, **fields: str) -> Request:
    body = activity if isinstance(activity, bytes) else json.dumps(activity).encode()
    return by.sign(Request("POST", to, Headers({"content-type": AP} | fields), body))


def activity_of(peer: Peer, name: str = "Like", **members: Any) -> dict[str, Any]:
    return peer.activity(name, object=ALICE) | members


def check_nothing_happened(ground: Ground) -> None:
    ground.work()
    assert ground.heard == []
    assert ground.kinds() <= OWN | CACHED


def test_all_activity_types_are_tried():
    assert len(TYPES) > 25
    assert {"Create", "Update", "Delete", "Announce", "Move", "Undo", "Flag", "QuoteRequest"} <= set(TYPES)


# --- ownership ------------------------------------------------------------------------------------------------------


@pytest.mark.hole(7, 26, 47)
@pytest.mark.parametrize("to", [INBOX, SHARED], ids=["inbox", "shared"])
@pytest.mark.parametrize("name", TYPES)
def test_activity_signed_by_another_actor_is_refused(name, to):
    ground = Ground()
    activity = activity_of(ground.bob, name)
    # Carol signs an activity of Bob with her own key: under different ids, and with her key named as if it were Bob's.
    for ident in (activity["id"], f"{CAROL}/1", f"{HERE}/1"):
        assert post(ground, ground.carol, activity | {"id": ident}, to=to) in {401, 403}
    renamed = ground.carol.key.renamed(key_id=f"{BOB}#main-key", owner=BOB)
    body = json.dumps(activity).encode()
    forged = cavage.sign(Request("POST", to, Headers({"content-type": AP}), body), renamed, now=NOON)
    assert ground.post(forged).status == 401
    check_nothing_happened(ground)
    # The same activity signed by Bob is accepted.
    assert post(ground, ground.bob, activity | {"object": f"{BOB}/x"}, to=to) == 202


@pytest.mark.hole(7)
@pytest.mark.parametrize("name", TYPES)
def test_activity_with_foreign_id_or_other_actors_is_refused(name):
    ground = Ground()
    for change in (
        {"id": f"{CAROL}/1"},
        {"id": "https://remote.example:8443/1"},
        {"id": "http://remote.example/1"},
        {"id": "https://remote.example.third.example/1"},
        {"id": "https://remote.example@third.example/1"},
        {"actor": [BOB, CAROL]},
        {"actor": [CAROL, BOB]},
        {"actor": {"id": CAROL, "type": "Person"}},
    ):
        assert post(ground, ground.bob, activity_of(ground.bob, name) | change) in {400, 401, 403}, change
    check_nothing_happened(ground)


@pytest.mark.hole(7, 39)
@pytest.mark.parametrize("name", ["Create", "Announce", "Like", "Add", "Offer", "QuoteRequest"])
def test_embedded_object_of_another_origin_is_fetched_from_there(name):
    ground = ReadingServer()
    embedded_note = {"id": "https://third.example/notes/1", "type": "Note", "attributedTo": CAROL, "content": "forged"}
    ground.carol.serve(embedded_note["id"], embedded_note | {"content": "true"})
    assert post(ground, ground.bob, activity_of(ground.bob, name, object=embedded_note)) in {202, 403}
    ground.work()
    assert ground.contents in ([], ["true"])
    assert name == "Create" or ground.contents == ["true"]


@pytest.mark.hole(7)
@pytest.mark.parametrize("name", ["Update", "Delete"])
@pytest.mark.parametrize(
    "object_",
    [
        CAROL,
        {"id": CAROL, "type": "Person", "inbox": f"{CAROL}/i", "outbox": f"{CAROL}/o"},
        {"id": "https://third.example/notes/1", "type": "Note", "attributedTo": BOB},
        {"id": NOTE, "type": "Note", "attributedTo": CAROL},
        {"id": NOTE, "type": "Note", "attributedTo": f"{BOB}2"},
        {"id": f"{BOB}2", "type": "Person", "inbox": f"{BOB}2/i", "outbox": f"{BOB}2/o"},
        ALICE,
    ],
    ids=["actor", "actor-embedded", "note", "of-another", "of-a-neighbour", "a-neighbour", "ours"],
)
def test_update_or_delete_of_anothers_object_is_refused(name, object_):
    ground = Ground()
    assert post(ground, ground.bob, activity_of(ground.bob, name, object=object_)) == 403
    check_nothing_happened(ground)


@pytest.mark.hole(12)
def test_audience_widened_by_another_actor_has_no_effect():
    ground = ReadingServer()
    private = {"id": NOTE, "type": "Note", "attributedTo": BOB, "content": "private", "to": [ALICE]}
    ground.bob.serve(NOTE, None, status=404)
    assert post(ground, ground.bob, activity_of(ground.bob, "Create", object=private, to=[ALICE])) == 202
    ground.work()
    assert ground.contents == ["private"]
    public = {"to": ["https://www.w3.org/ns/activitystreams#Public"]}
    # Carol cannot repeat Bob's note, neither as his activity nor inside her own: his server does not confirm it.
    create = {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": f"{BOB}#activities/1",
        "type": "Create",
        "actor": BOB,
    }
    assert post(ground, ground.carol, create | {"object": private | public} | public) == 401
    assert post(ground, ground.carol, activity_of(ground.carol, "Announce", object=private | public)) == 202
    ground.work()
    assert ground.contents == ["private"]
    # A second activity of Bob with the same id has no effect.
    heard_before = list(ground.heard)
    assert post(ground, ground.bob, create | {"object": private | public} | public) == 202
    ground.work()
    assert [ident for ident in ground.heard if ident == f"{BOB}#activities/1"] == [f"{BOB}#activities/1"]
    assert heard_before


# --- signatures that prove too little -------------------------------------------------------------------------------

SIGNATURE_FIELD = 'keyId="{key}",{covered}signature="{value}"'


def request_with_headers(by: Peer, **fields: str | None) -> Request:
    signed_request = request(by, activity_of(by))
    headers = signed_request.headers
    for name, value in fields.items():
        field = name.replace("_", "-")
        headers = headers.without(field) if value is None else headers.with_set(field, value)
    return evolve(signed_request, headers=headers)


def request_covering(by: Peer, *covered: str, algorithm: str | None = None) -> Request:
    unsigned = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(activity_of(by)).encode())
    signed_request = cavage.sign(unsigned, by.key, now=NOON, covered=covered)
    if algorithm is None:
        return signed_request
    value = signed_request.headers.get("signature") or ""
    prefix, _, suffix = value.partition('algorithm="')
    return evolve(
        signed_request,
        headers=signed_request.headers.with_set(
            "signature", f'{prefix}algorithm="{algorithm}"{suffix[suffix.index(chr(34)) :]}'
        ),
    )


@pytest.mark.hole(20)
@pytest.mark.parametrize(
    "make_request",
    [
        lambda by: request_covering(by, "date"),
        lambda by: request_covering(by, "host", "date"),
        lambda by: request_covering(by, "(request-target)", "host", "date"),
        lambda by: request_covering(by, "(request-target)", "date", "digest"),
        lambda by: request_covering(by, "(request-target)", "host", "digest"),
        lambda by: request_with_headers(by, signature=f'keyId="{by.key_id}",headers="",signature="AAAA"'),
        lambda by: request_with_headers(by, signature=f'keyId="{by.key_id}",signature="AAAA"'),
        lambda by: request_with_headers(
            by, signature=f'keyId="{by.key_id}",headers="(request-target) host date digest",signature=""'
        ),
        lambda by: request_with_headers(by, digest=None),
        lambda by: request_with_headers(by, digest=make_digest(b"{}")),
        lambda by: request_with_headers(by, host="third.example"),
        lambda by: request_with_headers(by, signature=None),
        lambda by: request_with_headers(by, authorization="Bearer x", signature=None),
        lambda by: request_covering(by, "(request-target)", "host", "date", "digest", algorithm="hmac-sha256"),
        lambda by: request_covering(by, "(request-target)", "host", "date", "digest", algorithm="none"),
        lambda by: request_covering(by, "(request-target)", "host", "date", "digest", algorithm="ed25519"),
        lambda by: evolve(request(by, activity_of(by)), method="GET"),
        lambda by: evolve(request(by, activity_of(by)), url=SHARED),
    ],
    ids=[
        *(
            "date",
            "host-date",
            "no-digest",
            "no-host",
            "no-date",
            "empty-list",
            "no-list",
            "empty-signature",
            "digest-left-out",
        ),
        *(
            "other-digest",
            "other-host",
            "unsigned",
            "bearer",
            "hmac",
            "none",
            "other-algorithm",
            "other-method",
            "other-target",
        ),
    ],
)
def test_signature_that_covers_too_little_or_another_request_is_refused(make_request):
    ground = Ground()
    answer = ground.post(make_request(ground.bob))
    assert answer.status in {400, 401, 405}
    check_nothing_happened(ground)
    assert ground.post(request_covering(ground.bob, "(request-target)", "host", "date", "digest")).status == 202


@pytest.mark.hole(40)
@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
def test_repeated_request_is_processed_once(scheme):
    ground = Ground()
    ground.bob.scheme = scheme
    original = request(ground.bob, activity_of(ground.bob, "Follow"))
    for _ in range(3):
        assert ground.post(original).status in {202, 401}
        ground.work()
    assert len(ground.heard) == len(ground.noted()) == 1
    assert ground.collection("followers") == [BOB]
    # At another URL, the signature is wrong; later, it has expired.
    assert ground.post(evolve(original, url=SHARED)).status == 401
    ground.clock.pass_s(2 * 86400)
    assert ground.post(original).status == 401
    ground.work()
    assert len(ground.heard) == 1


# --- ambiguous or oversized bodies ----------------------------------------------------------------------------------

LIKE = json.dumps({"id": f"{BOB}/1", "type": "Like", "actor": BOB, "object": ALICE}).encode()


@pytest.mark.hole(42)
@pytest.mark.parametrize(
    "body",
    [
        LIKE[:-1] + b',"actor":"' + CAROL.encode() + b'"}',
        LIKE[:-1] + b',"\\u0061ctor":"' + CAROL.encode() + b'"}',
        LIKE[:-1] + b',"x":{"a":1,"a":2}}',
        b"\xef\xbb\xbf" + LIKE,
        LIKE.decode().encode("utf-16"),
        LIKE.decode().encode("utf-16-be"),
        LIKE + b"{}",
        LIKE + b"\x00",
        LIKE + b"x",
        LIKE[:-1] + b',"content":"\xff"}',
        LIKE[:-1] + b',"content":"\xc0\xaf"}',
        LIKE[:-1] + b',"content":"\\ud800"}',
        LIKE[:-1] + b',"content":NaN}',
        LIKE[:-1] + b',"content":1,}',
        b"[" + LIKE + b"]",
        LIKE.replace(b'"', b"'"),
    ],
    ids=[
        *(
            "name-twice",
            "name-twice-escaped",
            "name-twice-inside",
            "bom",
            "utf-16",
            "utf-16-be",
            "second-document",
            "nul",
            "trailing",
        ),
        *("invalid-utf-8", "overlong-utf-8", "half-a-pair", "nan", "comma", "array", "quotes"),
    ],
)
def test_ambiguous_json_is_refused_before_any_fetch_or_write(body):
    ground = Ground()
    answer = ground.post(request(ground.bob, body))
    assert (answer.status, reason_of(answer)) == (400, "bad-request")
    assert not any(isinstance(effect, (Fetch, Commit, Enqueue)) for effect in ground.asked)
    check_nothing_happened(ground)


@pytest.mark.hole(14, 58)
@pytest.mark.parametrize(
    "body",
    [
        LIKE[:-1] + b',"tag":[' + b",".join([b'{"type":"Hashtag"}'] * 30_000) + b"]}",
        LIKE[:-1] + b',"to":[' + b",".join([b'"x"'] * 100_000) + b"]}",
        LIKE[:-1] + b"," + b",".join(b'"p%d":1' % number for number in range(60_000)) + b"}",
        LIKE[:-1] + b',"x":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
        LIKE[:-1] + b',"content":"' + b"x" * BODY_BYTES_MAX + b'"}',
        LIKE[:-1] + b',"n":' + b"9" * 100_000 + b"}",
    ],
    ids=["tags", "recipients", "members", "depth", "bytes", "digits"],
)
def test_oversized_document_is_refused_before_any_fetch_or_write(body):
    ground = Ground()
    answer = ground.post(request(ground.bob, body))
    assert answer.status in {400, 413}
    assert not any(isinstance(effect, (Fetch, Commit, Enqueue)) for effect in ground.asked)


# --- work for strangers ---------------------------------------------------------------------------------------------


@pytest.mark.hole(28, 49)
def test_missing_key_is_fetched_once_per_pause():
    ground = Ground()
    mallory = ground.network.peer("https://third.example/users/mallory")
    ground.carol.serve(mallory.actor, None, status=404)
    for number in range(20):
        assert post(ground, mallory, activity_of(mallory, id=f"{mallory.actor}/{number}")) == 401
    assert [exchange.url for exchange in ground.network.exchanges] == [mallory.actor]
    ground.clock.pass_s(3600)
    for number in range(20):
        assert post(ground, mallory, activity_of(mallory, id=f"{mallory.actor}/{number}")) == 401
    assert len(ground.network.exchanges) == 2
    ground.clock.pass_s(31 * 86400)
    assert ground.kinds() <= OWN, "records about a stranger do not expire"


@pytest.mark.hole(43)
@pytest.mark.parametrize("name", ["Announce", "Create", "Like", "Undo", "Accept", "Add"])
def test_chain_of_embedded_activities_is_not_followed(name):
    ground = Ground()
    inner: Any = f"{BOB}/chain/0"
    for number in range(30):
        inner = {
            "type": name,
            "id": f"{BOB}/chain/{number}",
            "actor": BOB,
            "object": inner,
            "inReplyTo": f"{CAROL}/{number}",
        }
    for number in range(30):
        step = {"type": name, "id": f"{BOB}/chain/{number}", "actor": BOB, "object": f"{BOB}/chain/{number + 1}"}
        ground.bob.serve(step["id"], step)
    assert post(ground, ground.bob, activity_of(ground.bob, name, object=inner)) in {202, 413}
    assert post(ground, ground.bob, activity_of(ground.bob, name, object=f"{BOB}/chain/0")) in {202, 403}
    ground.work()
    # Only the key is fetched.
    assert {exchange.url for exchange in ground.network.exchanges} == {BOB}


@pytest.mark.hole(53, 59)
@pytest.mark.parametrize(
    "key",
    [
        None,
        "",
        1,
        True,
        [],
        {},
        "x",
        [None],
        [[[]]],
        {"id": 1},
        {"id": f"{BOB}#main-key"},
        *(
            {"id": f"{BOB}#main-key", "owner": BOB, "publicKeyPem": pem}
            for pem in (
                None,
                "",
                "x",
                1,
                [],
                {},
                "-----BEGIN PUBLIC KEY-----",
                "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
                "\x00" * 5000,
            )
        ),
        *(
            {"id": f"{BOB}#main-key", "owner": owner, "publicKeyPem": "x"}
            for owner in (None, 1, [], {}, [BOB, CAROL], {"id": CAROL})
        ),
        {"id": f"{BOB}#main-key", "type": "Multikey", "controller": BOB, "publicKeyMultibase": "z6Mk"},
    ],
    ids=lambda key: repr(key)[:60].replace("https://remote.example", ""),
)
def test_malformed_key_is_refused(key):
    ground = Ground()
    ground.bob.serve(BOB, ground.bob.document | {"publicKey": key})
    answer = ground.post(request(ground.bob, activity_of(ground.bob)))
    assert answer.status in {400, 401}
    assert reason_of(answer)
    check_nothing_happened(ground)


@pytest.mark.hole(53)
def test_malformed_key_does_not_affect_the_valid_one_beside_it():
    ground = Ground()
    valid_key = ground.bob.document["publicKey"]
    for malformed_key in (
        None,
        1,
        "x",
        {"id": f"{BOB}#other", "owner": BOB, "publicKeyPem": "x"},
        {"id": f"{BOB}#third", "owner": CAROL},
    ):
        ground = Ground()
        ground.bob.serve(BOB, ground.bob.document | {"publicKey": [malformed_key, valid_key]})
        assert post(ground, ground.bob, activity_of(ground.bob)) == 202


@pytest.mark.hole(58)
def test_key_that_its_claimed_owner_does_not_list_is_refused():
    """Claim Bob as the owner of Mallory's key, in the key and in a document that poses as Bob."""
    ground = Ground()
    mallory = ground.network.peer("https://third.example/users/mallory")
    # Mallory's own key, which claims to be Bob's; then a document on her server that claims to be Bob.
    claimed_key = {"id": f"{mallory.actor}/key", "owner": BOB, "publicKeyPem": mallory.key.public.pem}
    posing_actor = ground.bob.document | {
        "publicKey": {"id": mallory.actor, "owner": BOB, "publicKeyPem": mallory.key.public.pem}
    }
    for key_id, document in (
        (claimed_key["id"], claimed_key),
        (mallory.actor, posing_actor),
        (f"{mallory.actor}#main-key", posing_actor),
    ):
        mallory.serve(key_id.partition("#")[0], document)
        body = json.dumps(activity_of(ground.bob)).encode()
        forged = Request("POST", INBOX, Headers({"content-type": AP}), body)
        assert ground.post(cavage.sign(forged, mallory.key.renamed(key_id=key_id, owner=BOB), now=NOON)).status == 401
    check_nothing_happened(ground)


@pytest.mark.hole(58)
def test_cached_records_carry_a_format_version():
    """Look for the version in each key: a newer release must not trust records of an older one."""
    ground = Ground()
    assert post(ground, ground.bob, activity_of(ground.bob)) == 202
    cached_keys = [entry.key for entry in ground.store.scan((), limit=1000) if entry.key[0] in CACHED]
    assert cached_keys
    assert all(key[1].isdigit() for key in cached_keys)


# --- linked data signatures -----------------------------------------------------------------------------------------

AS2 = "https://www.w3.org/ns/activitystreams"
SECURITY = "https://w3id.org/security/v1"


def sign_like(ground: Ground) -> dict[str, Any]:
    """Build an activity signed by Bob: he likes Alice's note."""
    members = {
        "@context": [AS2, SECURITY],
        "id": f"{BOB}/likes/1",
        "type": "Like",
        "actor": BOB,
        "object": f"{ALICE}/notes/1",
    }
    return ld_signature.create(members, ground.bob.key, now=NOON)


def without(members: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in names}


FORGED = {"id": f"{BOB}/likes/2", "type": "Announce", "actor": BOB, "object": f"{CAROL}/notes/1"}


@pytest.mark.hole(18, 51)
@pytest.mark.parametrize("keyword", ["@graph", "@included", "@reverse", "@nest"])
@pytest.mark.parametrize("placement", ["as it is", "alias", "alias in a scoped context", "one deeper"])
def test_signed_graph_inside_another_document_is_refused(keyword, placement):
    ground = Ground()
    signed = sign_like(ground)
    # Forwarded by Carol, the activity counts as Bob's by its signature.
    assert post(ground, ground.carol, signed, to=SHARED) == 202
    ground.work()
    assert ground.heard == [signed["id"]]
    # The same statements inside another activity.
    inner_graph: Any = without(signed, "@context", "signature")
    nested_graph: Any = (
        {"object": inner_graph} if keyword == "@reverse" else [inner_graph] if keyword != "@nest" else inner_graph
    )
    context: list[Any] = [AS2, SECURITY]
    name = keyword
    if placement.startswith("alias"):
        name = "x"
        alias_context: dict[str, Any] = {"x": keyword}
        context.append(
            alias_context if placement == "alias" else {"Announce": {"@id": "as:Announce", "@context": alias_context}}
        )
    outer_activity = (
        FORGED | {name: nested_graph}
        if placement != "one deeper"
        else FORGED | {"instrument": {"type": "Note", name: nested_graph}}
    )
    for wrapper in (
        outer_activity,
        without(outer_activity, "type", "actor", "object"),
        {name: nested_graph},
        {"id": FORGED["id"], name: nested_graph},
    ):
        rewrapped = {"@context": context, **wrapper, "signature": signed["signature"]}
        assert post(ground, ground.carol, rewrapped, to=SHARED) in {400, 401, 403, 413}
    ground.work()
    assert ground.heard == [signed["id"]]


@pytest.mark.hole(19)
def test_terms_outside_the_signed_graph_are_not_read():
    """Add terms that the sender's own context drops or redefines: they are not among the signed statements."""
    read_values: list[Any] = []

    class RecordingServer(Ground):
        def _federation(self, *_args: Any) -> Federation[None]:
            federation: Federation[None] = Federation(software="test/1.0")

            @federation.actor("/users/{identifier}")
            def actor(ctx, identifier):
                return Person(preferred_username="alice") if identifier == "alice" else None

            @federation.on(Activity)
            def handle_activity(ctx, activity):
                read_values.append((activity.object.uri, activity.target, activity.summary))

            return federation

    ground = RecordingServer()
    signed = sign_like(ground)
    for extra in ({"summary": None}, {"target": []}, {"unheardOf": "x"}, {"attributionDomains": "x"}):
        forwarded = signed | {"id": signed["id"]} | extra
        _ = post(ground, ground.carol, forwarded, to=SHARED)
        ground.work()
    for extra in ({"summary": "forged"}, {"target": CAROL}):
        assert post(ground, ground.carol, signed | extra, to=SHARED) in {400, 401, 403}
    context = [*signed["@context"], {"summary": None, "target": "https://third.example/term"}]
    for extra in ({"summary": "forged"}, {"target": CAROL}):
        _ = post(ground, ground.carol, signed | extra | {"@context": context}, to=SHARED)
    ground.work()
    assert set(read_values) <= {(f"{ALICE}/notes/1", None, None)}
    assert read_values
