"""Published holes, tried on our inbox: who says something, whether it is theirs to say, and what is done before that is settled."""

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


class Listening(Ground):
    """As `Ground`, and its listener looks at what the activity is about."""

    def __init__(self) -> None:
        self.read: list[str | None] = []
        """The content of each object, as its resolution gave it."""
        super().__init__()

    def _federation(self, *_given: Any) -> Federation[None]:
        federation: Federation[None] = Federation(software="test/1.0")

        @federation.actor("/users/{identifier}")
        def actor(ctx, identifier):
            return Person(preferred_username="alice") if identifier == "alice" else None

        @federation.on(Activity)
        def arrived(ctx, activity):
            self.heard.append(ctx.activity_id)
            if activity.object is not None:
                self.read.append(Note.over(ctx.resolve(activity.object)).content)

        return federation


def post(ground: Ground, by: Peer, activity: dict[str, Any] | bytes, *, to: str = INBOX, **fields: str) -> int:
    return ground.post(request(by, activity, to=to, **fields)).status


def request(by: Peer, activity: dict[str, Any] | bytes, *, to: str = INBOX, **fields: str) -> Request:
    body = activity if isinstance(activity, bytes) else json.dumps(activity).encode()
    return by.sign(Request("POST", to, Headers({"content-type": AP} | fields), body))


def activity_of(peer: Peer, name: str = "Like", **members: Any) -> dict[str, Any]:
    return peer.activity(name, object=ALICE) | members


def nothing_happened(ground: Ground) -> None:
    ground.work()
    assert ground.heard == []
    assert ground.kinds() <= OWN | CACHED


def test_there_are_many_types():
    assert len(TYPES) > 25
    assert {"Create", "Update", "Delete", "Announce", "Move", "Undo", "Flag", "QuoteRequest"} <= set(TYPES)


# --- whose it is ----------------------------------------------------------------------------------------------------


@pytest.mark.hole(7, 26, 47)
@pytest.mark.parametrize("to", [INBOX, SHARED], ids=["inbox", "shared"])
@pytest.mark.parametrize("name", TYPES)
def test_nobody_speaks_for_somebody_else(name, to):
    ground = Ground()
    theirs = activity_of(ground.bob, name)
    # Carol signs, with her own good key, what Bob is to have done; under every id, and with the key named as if it were his.
    for ident in (theirs["id"], f"{CAROL}/1", f"{HERE}/1"):
        assert post(ground, ground.carol, theirs | {"id": ident}, to=to) in {401, 403}
    renamed = ground.carol.key.renamed(key_id=f"{BOB}#main-key", owner=BOB)
    body = json.dumps(theirs).encode()
    forged = cavage.sign(Request("POST", to, Headers({"content-type": AP}), body), renamed, now=NOON)
    assert ground.post(forged).status == 401
    nothing_happened(ground)
    # The same by Bob is fine.
    assert post(ground, ground.bob, theirs | {"object": f"{BOB}/x"}, to=to) == 202


@pytest.mark.hole(7)
@pytest.mark.parametrize("name", TYPES)
def test_nobody_does_something_under_an_id_of_another_origin_or_together_with_others(name):
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
    nothing_happened(ground)


@pytest.mark.hole(7, 39)
@pytest.mark.parametrize("name", ["Create", "Announce", "Like", "Add", "Offer", "QuoteRequest"])
def test_what_is_of_somebody_else_is_asked_of_them_whatever_came_inside(name):
    ground = Listening()
    theirs = {"id": "https://third.example/notes/1", "type": "Note", "attributedTo": CAROL, "content": "forged"}
    ground.carol.serve(theirs["id"], theirs | {"content": "true"})
    assert post(ground, ground.bob, activity_of(ground.bob, name, object=theirs)) in {202, 403}
    ground.work()
    assert ground.read in ([], ["true"])
    assert name == "Create" or ground.read == ["true"]


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
def test_nobody_changes_what_is_of_somebody_else(name, object_):
    ground = Ground()
    assert post(ground, ground.bob, activity_of(ground.bob, name, object=object_)) == 403
    nothing_happened(ground)


@pytest.mark.hole(12)
def test_a_wider_audience_from_somebody_else_widens_nothing():
    ground = Listening()
    private = {"id": NOTE, "type": "Note", "attributedTo": BOB, "content": "private", "to": [ALICE]}
    ground.bob.serve(NOTE, None, status=404)
    assert post(ground, ground.bob, activity_of(ground.bob, "Create", object=private, to=[ALICE])) == 202
    ground.work()
    assert ground.read == ["private"]
    public = {"to": ["https://www.w3.org/ns/activitystreams#Public"]}
    # Carol cannot say again what Bob said, neither as his nor inside her own: his server is asked, and it says nothing.
    create = {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": f"{BOB}#activities/1",
        "type": "Create",
        "actor": BOB,
    }
    assert post(ground, ground.carol, create | {"object": private | public} | public) == 401
    assert post(ground, ground.carol, activity_of(ground.carol, "Announce", object=private | public)) == 202
    ground.work()
    assert ground.read == ["private"]
    # And what Bob has done is done: the same id says nothing new.
    heard = list(ground.heard)
    assert post(ground, ground.bob, create | {"object": private | public} | public) == 202
    ground.work()
    assert [ident for ident in ground.heard if ident == f"{BOB}#activities/1"] == [f"{BOB}#activities/1"]
    assert heard


# --- signatures that prove too little -------------------------------------------------------------------------------

SIGNATURE_ALONE = 'keyId="{key}",{covered}signature="{value}"'


def headers_changed(by: Peer, **fields: str | None) -> Request:
    made = request(by, activity_of(by))
    headers = made.headers
    for name, value in fields.items():
        field = name.replace("_", "-")
        headers = headers.without(field) if value is None else headers.with_set(field, value)
    return evolve(made, headers=headers)


def covering(by: Peer, *covered: str, algorithm: str | None = None) -> Request:
    made = Request("POST", INBOX, Headers({"content-type": AP}), json.dumps(activity_of(by)).encode())
    signed = cavage.sign(made, by.key, now=NOON, covered=covered)
    if algorithm is None:
        return signed
    value = signed.headers.get("signature") or ""
    before, _, after = value.partition('algorithm="')
    return evolve(
        signed,
        headers=signed.headers.with_set("signature", f'{before}algorithm="{algorithm}"{after[after.index(chr(34)) :]}'),
    )


@pytest.mark.hole(20)
@pytest.mark.parametrize(
    "made",
    [
        lambda by: covering(by, "date"),
        lambda by: covering(by, "host", "date"),
        lambda by: covering(by, "(request-target)", "host", "date"),
        lambda by: covering(by, "(request-target)", "date", "digest"),
        lambda by: covering(by, "(request-target)", "host", "digest"),
        lambda by: headers_changed(by, signature=f'keyId="{by.key_id}",headers="",signature="AAAA"'),
        lambda by: headers_changed(by, signature=f'keyId="{by.key_id}",signature="AAAA"'),
        lambda by: headers_changed(by, signature=f'keyId="{by.key_id}",headers="(request-target) host date digest",signature=""'),
        lambda by: headers_changed(by, digest=None),
        lambda by: headers_changed(by, digest=make_digest(b"{}")),
        lambda by: headers_changed(by, host="third.example"),
        lambda by: headers_changed(by, signature=None),
        lambda by: headers_changed(by, authorization="Bearer x", signature=None),
        lambda by: covering(by, "(request-target)", "host", "date", "digest", algorithm="hmac-sha256"),
        lambda by: covering(by, "(request-target)", "host", "date", "digest", algorithm="none"),
        lambda by: covering(by, "(request-target)", "host", "date", "digest", algorithm="ed25519"),
        lambda by: evolve(request(by, activity_of(by)), method="GET"),
        lambda by: evolve(request(by, activity_of(by)), url=SHARED),
    ],
    ids=[
        *("date", "host-date", "no-digest", "no-host", "no-date", "empty-list", "no-list", "empty-signature", "digest-left-out"),
        *("other-digest", "other-host", "unsigned", "bearer", "hmac", "none", "other-algorithm", "other-method", "other-target"),
    ],
)  # fmt: skip
def test_a_signature_that_covers_too_little_or_something_else_proves_nothing(made):
    ground = Ground()
    answer = ground.post(made(ground.bob))
    assert answer.status in {400, 401, 405}
    nothing_happened(ground)
    assert ground.post(covering(ground.bob, "(request-target)", "host", "date", "digest")).status == 202


@pytest.mark.hole(40)
@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
def test_a_request_that_is_sent_again_does_nothing_again(scheme):
    ground = Ground()
    ground.bob.scheme = scheme
    made = request(ground.bob, activity_of(ground.bob, "Follow"))
    for _ in range(3):
        assert ground.post(made).status in {202, 401}
        ground.work()
    assert len(ground.heard) == len(ground.noted()) == 1
    assert ground.collection("followers") == [BOB]
    # Elsewhere, it is another request than was signed; later, an old one.
    assert ground.post(evolve(made, url=SHARED)).status == 401
    ground.clock.pass_s(2 * 86400)
    assert ground.post(made).status == 401
    ground.work()
    assert len(ground.heard) == 1


# --- bytes that two readers read differently ------------------------------------------------------------------------

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
        *("name-twice", "name-twice-escaped", "name-twice-inside", "bom", "utf-16", "utf-16-be", "second-document", "nul", "trailing"),
        *("invalid-utf-8", "overlong-utf-8", "half-a-pair", "nan", "comma", "array", "quotes"),
    ],
)  # fmt: skip
def test_bytes_that_two_readers_read_differently_are_refused_before_anybody_is_asked(body):
    ground = Ground()
    answer = ground.post(request(ground.bob, body))
    assert (answer.status, reason_of(answer)) == (400, "bad-request")
    assert not any(isinstance(effect, (Fetch, Commit, Enqueue)) for effect in ground.asked)
    nothing_happened(ground)


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
def test_more_than_is_read_is_refused_before_anybody_is_asked(body):
    ground = Ground()
    answer = ground.post(request(ground.bob, body))
    assert answer.status in {400, 413}
    assert not any(isinstance(effect, (Fetch, Commit, Enqueue)) for effect in ground.asked)


# --- work for strangers ---------------------------------------------------------------------------------------------


@pytest.mark.hole(28, 49)
def test_a_key_that_cannot_be_had_is_asked_for_once_in_a_while():
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
    assert ground.kinds() <= OWN, "what a stranger made us keep is kept for ever"


@pytest.mark.hole(43)
@pytest.mark.parametrize("name", ["Announce", "Create", "Like", "Undo", "Accept", "Add"])
def test_a_chain_is_not_followed_for_the_asking(name):
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
    # The key, and nothing for the sake of what was said.
    assert {exchange.url for exchange in ground.network.exchanges} == {BOB}


@pytest.mark.hole(53, 59)
@pytest.mark.parametrize(
    "key",
    [
        None, "", 1, True, [], {}, "x", [None], [[[]]], {"id": 1}, {"id": f"{BOB}#main-key"},
        *({"id": f"{BOB}#main-key", "owner": BOB, "publicKeyPem": pem} for pem in (None, "", "x", 1, [], {}, "-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "\x00" * 5000)),
        *({"id": f"{BOB}#main-key", "owner": owner, "publicKeyPem": "x"} for owner in (None, 1, [], {}, [BOB, CAROL], {"id": CAROL})),
        {"id": f"{BOB}#main-key", "type": "Multikey", "controller": BOB, "publicKeyMultibase": "z6Mk"},
    ],
    ids=lambda key: repr(key)[:60].replace("https://remote.example", ""),
)  # fmt: skip
def test_a_malformed_key_is_a_key_that_cannot_be_had(key):
    ground = Ground()
    ground.bob.serve(BOB, ground.bob.document | {"publicKey": key})
    answer = ground.post(request(ground.bob, activity_of(ground.bob)))
    assert answer.status in {400, 401}
    assert reason_of(answer)
    nothing_happened(ground)


@pytest.mark.hole(53)
def test_a_malformed_key_does_not_spoil_the_good_one_beside_it():
    ground = Ground()
    good = ground.bob.document["publicKey"]
    for bad in (
        None,
        1,
        "x",
        {"id": f"{BOB}#other", "owner": BOB, "publicKeyPem": "x"},
        {"id": f"{BOB}#third", "owner": CAROL},
    ):
        ground = Ground()
        ground.bob.serve(BOB, ground.bob.document | {"publicKey": [bad, good]})
        assert post(ground, ground.bob, activity_of(ground.bob)) == 202


@pytest.mark.hole(58)
def test_a_key_that_only_says_whose_it_is_is_nobodys():
    """Of the claim alone, the owner was never asked; of another origin's id, the document was never there."""
    ground = Ground()
    mallory = ground.network.peer("https://third.example/users/mallory")
    # Her own key, which says that it is Bob's; then a document at her server that says that it is Bob.
    alone = {"id": f"{mallory.actor}/key", "owner": BOB, "publicKeyPem": mallory.key.public.pem}
    posing = ground.bob.document | {
        "publicKey": {"id": mallory.actor, "owner": BOB, "publicKeyPem": mallory.key.public.pem}
    }
    for key_id, served in ((alone["id"], alone), (mallory.actor, posing), (f"{mallory.actor}#main-key", posing)):
        mallory.serve(key_id.partition("#")[0], served)
        body = json.dumps(activity_of(ground.bob)).encode()
        forged = Request("POST", INBOX, Headers({"content-type": AP}), body)
        assert ground.post(cavage.sign(forged, mallory.key.renamed(key_id=key_id, owner=BOB), now=NOON)).status == 401
    nothing_happened(ground)


@pytest.mark.hole(58)
def test_what_is_kept_says_in_which_form():
    """So that what an older release believed is not believed by a newer one that knows better."""
    ground = Ground()
    assert post(ground, ground.bob, activity_of(ground.bob)) == 202
    kept = [entry.key for entry in ground.store.scan((), limit=1000) if entry.key[0] in CACHED]
    assert kept
    assert all(key[1].isdigit() for key in kept)


# --- graphs that say the same, and documents that do not ------------------------------------------------------------

AS2 = "https://www.w3.org/ns/activitystreams"
SECURITY = "https://w3id.org/security/v1"


def ld_signed(ground: Ground) -> dict[str, Any]:
    """What Bob signed: that he likes Alice's note."""
    members = {"@context": [AS2, SECURITY], "id": f"{BOB}/likes/1", "type": "Like", "actor": BOB, "object": f"{ALICE}/notes/1"}  # fmt: skip
    return ld_signature.create(members, ground.bob.key, now=NOON)


def without(members: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in names}


FORGED = {"id": f"{BOB}/likes/2", "type": "Announce", "actor": BOB, "object": f"{CAROL}/notes/1"}


@pytest.mark.hole(18, 51)
@pytest.mark.parametrize("word", ["@graph", "@included", "@reverse", "@nest"])
@pytest.mark.parametrize("way", ["as it is", "alias", "alias in a scoped context", "one deeper"])
def test_a_signed_graph_is_one_document_and_no_other(word, way):
    ground = Ground()
    signed = ld_signed(ground)
    # Handed on by Carol, it is Bob's: the signature inside says so.
    assert post(ground, ground.carol, signed, to=SHARED) == 202
    ground.work()
    assert ground.heard == [signed["id"]]
    # The same statements, and another activity around them.
    inner: Any = without(signed, "@context", "signature")
    held: Any = {"object": inner} if word == "@reverse" else [inner] if word != "@nest" else inner
    context: list[Any] = [AS2, SECURITY]
    name = word
    if way.startswith("alias"):
        name = "x"
        own: dict[str, Any] = {"x": word}
        context.append(own if way == "alias" else {"Announce": {"@id": "as:Announce", "@context": own}})
    outer = FORGED | {name: held} if way != "one deeper" else FORGED | {"instrument": {"type": "Note", name: held}}
    for around in (outer, without(outer, "type", "actor", "object"), {name: held}, {"id": FORGED["id"], name: held}):
        again = {"@context": context, **around, "signature": signed["signature"]}
        assert post(ground, ground.carol, again, to=SHARED) in {400, 401, 403, 413}
    ground.work()
    assert ground.heard == [signed["id"]]


@pytest.mark.hole(19)
def test_what_a_context_left_out_of_the_signature_is_not_heard():
    """A term that the sender's own context makes meaningless, or another: it is not among what was signed."""
    told: list[Any] = []

    class Told(Ground):
        def _federation(self, *_given: Any) -> Federation[None]:
            federation: Federation[None] = Federation(software="test/1.0")

            @federation.actor("/users/{identifier}")
            def actor(ctx, identifier):
                return Person(preferred_username="alice") if identifier == "alice" else None

            @federation.on(Activity)
            def arrived(ctx, activity):
                told.append((activity.object.uri, activity.target, activity.summary))

            return federation

    ground = Told()
    signed = ld_signed(ground)
    for extra in ({"summary": None}, {"target": []}, {"unheardOf": "x"}, {"attributionDomains": "x"}):
        again = signed | {"id": signed["id"]} | extra
        _ = post(ground, ground.carol, again, to=SHARED)
        ground.work()
    for extra in ({"summary": "forged"}, {"target": CAROL}):
        assert post(ground, ground.carol, signed | extra, to=SHARED) in {400, 401, 403}
    context = [*signed["@context"], {"summary": None, "target": "https://third.example/term"}]
    for extra in ({"summary": "forged"}, {"target": CAROL}):
        _ = post(ground, ground.carol, signed | extra | {"@context": context}, to=SHARED)
    ground.work()
    assert set(told) <= {(f"{ALICE}/notes/1", None, None)}
    assert told
