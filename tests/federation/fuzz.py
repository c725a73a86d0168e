"""Fuzz the authentication of deliveries with garbled requests, lying servers, failures and races.

    python tests/federation/fuzz.py [--inputs 100000] [--seed 1]

An input is a history: a fresh server, one to three deliveries to its inboxes, and some time between them. Bob and Carol
are honest, and their servers answer truthfully or not at all. Mallory's server answers anything, and Mallory may send
every request that was ever sent, garbled or not. The fuzzer answers each effect of the operation: the store loses
answers, refuses commits and is unavailable, the signer is unavailable, and a fetch returns a lie, a redirect or a
failure. In some histories the honest servers lie too; then only the form of the answers is checked.

Each answer must be 202, or a problem with a reason and a status of 4xx, or 503 with `Retry-After`. The number of
effects is bounded. And the records in the store must be true: each stored key belongs to its stated owner, each stored
document equals that of its server, and each accepted activity is one of its actor.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from attrs import evolve

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.drivers import Ports, Stepper, run
from apcore.effects import (  # fmt: skip
    All,
    Call,
    Commit,
    Effect,
    Enqueue,
    Fetch,
    Get,
    MakeKey,
    Now,
    Op,
    Raised,
    RandomBytes,
    Returned,
    Scan,
    Sign,
)
from apcore.errors import (
    AddressBlocked,
    ApcoreError,
    ConnectFailed,
    FetchTimedOut,
    QueueUnavailable,
    ResponseTooBig,
    SignerUnavailable,
    StoreBusy,
    StoreUnavailable,
    TlsFailed,
)
from apcore.federation import Federation
from apcore.federation.serving.serve import serve
from apcore.http import ACTIVITY_JSON, Request, Response, parse_url
from apcore.jsonld import BUNDLED, canonicalize, parse_document
from apcore.node import Node
from apcore.ports import MadeKey
from apcore.records.format import decode_record
from apcore.signatures import PrivateKey, cavage, ld_signature, proofs, rfc9421
from apcore.vocab import Activity, Person
from fixed_keys import fixed_ed25519, fixed_rsa
from fuzzed_bytes import PIECES, Case, garble, garble_json, garble_request, main, read_wire, wire

NOW = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
INBOXES = (f"{ALICE}/inbox", f"{HERE}/inbox")
BOB, CAROL = "https://remote.example/users/bob", "https://third.example/users/carol"
MALLORY = "https://evil.example/users/mallory"
HONEST = ("https://remote.example", "https://third.example")
EVIL = "https://evil.example"

BOB_KEY = fixed_rsa(f"{BOB}#main-key", BOB)
BOB_PROOFS = fixed_ed25519(f"{BOB}#ed25519-key", BOB)
CAROL_KEY = fixed_ed25519("https://third.example/keys/carol", CAROL)
MALLORY_KEY = fixed_ed25519(f"{MALLORY}#main-key", MALLORY)
TRUE_KEYS = {(key.key_id, key.public.owner): key.public.spki for key in (BOB_KEY, BOB_PROOFS, CAROL_KEY)}
# PeerTube names a key by its owner, who has only one.
TRUE_KEYS[BOB, BOB] = BOB_KEY.public.spki

EFFECTS_MAX = 200
"""The most effects of one delivery: three times the measured number, which a loop that a peer can lengthen exceeds."""
FETCHES_MAX = 20

CONTEXT = [
    "https://www.w3.org/ns/activitystreams",
    "https://w3id.org/security/v1",
    "https://w3id.org/security/data-integrity/v2",
]
CONTEXTS = BUNDLED.ignoring("https://unknown.example/ns")


# --- the true documents ---------------------------------------------------------------------------------------------


def pem_key(key: PrivateKey) -> dict[str, Any]:
    return {"id": key.key_id, "owner": key.public.owner, "publicKeyPem": key.public.pem}


def multikey(key: PrivateKey) -> dict[str, Any]:
    names = {"id": key.key_id, "type": "Multikey", "controller": key.public.owner}
    return {**names, "publicKeyMultibase": key.public.multibase}


def person(actor: str, **members: Any) -> dict[str, Any]:
    names = {"@context": CONTEXT, "id": actor, "type": "Person", "inbox": f"{actor}/inbox"}
    return names | {"preferredUsername": actor.rpartition("/")[2]} | members


def activity_of(actor: str, type_: str, name: str, **members: Any) -> dict[str, Any]:
    names = {"@context": CONTEXT, "id": f"{actor}/{name}", "type": type_, "actor": actor}
    return names | {"published": "2026-11-22T07:59:00Z"} | members


NOTE = {"id": f"{BOB}/notes/1", "type": "Note", "attributedTo": BOB, "content": "true", "to": [ALICE]}
ACTIVITIES = [
    activity_of(BOB, "Create", "1", object=NOTE, to=[ALICE]),
    activity_of(BOB, "Like", "2", object=f"{ALICE}/notes/1"),
    activity_of(BOB, "Follow", "3", object=ALICE),
    activity_of(BOB, "Update", "4", object={**NOTE, "content": "truer"}),
    activity_of(BOB, "Announce", "5", object=f"{CAROL}/notes/1"),
    activity_of(
        CAROL, "Create", "1", object={"id": f"{CAROL}/notes/1", "type": "Note", "attributedTo": CAROL, "content": "c"}
    ),
    activity_of(CAROL, "Undo", "2", object={"id": f"{CAROL}/3", "type": "Like", "actor": CAROL, "object": ALICE}),
]
GONE = [
    activity_of(BOB, "Delete", "6", object=f"{BOB}/notes/2", to=[ALICE]),
    activity_of(CAROL, "Delete", "gone", object=CAROL),
]
KEYS = {BOB: BOB_KEY, CAROL: CAROL_KEY, MALLORY: MALLORY_KEY}
PROOF_KEYS = {BOB: BOB_PROOFS, CAROL: CAROL_KEY, MALLORY: MALLORY_KEY}

PAGES: dict[str, dict[str, Any]] = {
    BOB: person(BOB, publicKey=pem_key(BOB_KEY), assertionMethod=[multikey(BOB_PROOFS)]),
    CAROL: person(CAROL, publicKey=[CAROL_KEY.key_id], assertionMethod=[CAROL_KEY.key_id]),
    CAROL_KEY.key_id: {"@context": CONTEXT, **multikey(CAROL_KEY)},
    **{activity["id"]: activity for activity in ACTIVITIES},
    NOTE["id"]: {"@context": CONTEXT, **NOTE},
}
REDIRECTS = {"https://remote.example/out": f"{EVIL}/x", "https://third.example/@carol": CAROL}
"""One honest server has an open redirect."""


def meaning(document: dict[str, Any]) -> str:
    """Return the canonical statements of a document, without its proofs."""
    bare = {name: value for name, value in document.items() if name not in {"proof", "signature"}}
    return canonicalize({"@context": CONTEXT, **bare}, contexts=CONTEXTS)


@cache
def true_meanings() -> frozenset[tuple[str, str]]:
    return frozenset((activity["actor"], meaning(activity)) for activity in (*ACTIVITIES, *GONE))


# --- the deliveries -------------------------------------------------------------------------------------------------


def post(document: dict[str, Any] | bytes, number: int = 0) -> Request:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Request("POST", INBOXES[number % 2], {"Host": "local.example", "Content-Type": ACTIVITY_JSON}, body)


@cache
def honest_deliveries() -> tuple[bytes, ...]:
    """Return every request that Bob or Carol signed, so that anyone may have it: delivered, proved or relayed."""
    requests: list[Request] = []
    for number, activity in enumerate((*ACTIVITIES, *GONE)):
        actor = activity["actor"]
        proof = proofs.create(activity, PROOF_KEYS[actor], now=NOW)
        requests += [
            cavage.sign(post(activity, number), KEYS[actor], now=NOW),
            rfc9421.sign(post(activity, number), KEYS[actor], now=NOW),
            rfc9421.sign(post(proof, number), KEYS[actor], now=NOW),
            rfc9421.sign(post(proof, number), KEYS[CAROL if actor == BOB else BOB], now=NOW),
            post(proof, number),
            # Delivered by another actor without a proof: the receiver can ask the activity's own server.
            cavage.sign(post(activity, number), KEYS[CAROL if actor == BOB else BOB], now=NOW),
        ]
        if actor == BOB:
            linked = ld_signature.create(activity, BOB_KEY, now=NOW)
            requests += [cavage.sign(post(linked, number), CAROL_KEY, now=NOW), post(linked, number)]
    return tuple(wire(request) for request in requests)


def delivery(rng: Random) -> bytes:
    """Return one request: an honest one, a garbled one, or one that Mallory invented."""
    honest = honest_deliveries()
    choice = rng.random()
    if choice < 0.3:
        return rng.choice(honest)
    if choice < 0.55:
        return garble_request(rng, rng.choice(honest), honest)
    head, _, body = rng.choice(honest).partition(b"\n\n")
    if choice < 0.65:
        body = json.dumps(activity_of(MALLORY, "Create", "1", object={**NOTE, "attributedTo": MALLORY})).encode()
    elif choice < 0.9:
        body = garble_json(rng, body, [other.partition(b"\n\n")[2] for other in honest])
    if rng.random() < 0.3:
        body = body.replace(rng.choice((BOB, CAROL)).encode(), rng.choice((BOB, CAROL, MALLORY)).encode())
    key = MALLORY_KEY
    if rng.random() < 0.5:
        # Mallory signs under the name of another key.
        names = [(f"{EVIL}/k", BOB), (f"{BOB}#other", BOB), (BOB, BOB), ("https://remote.example/out#k", BOB)]
        key_id, owner = rng.choice([*TRUE_KEYS, *names])
        key = MALLORY_KEY.renamed(key_id=key_id, owner=owner)
    if rng.random() < 0.2:
        body = json.dumps(_prove_with(key, body)).encode()
    sign = rng.choice((cavage.sign, rfc9421.sign))
    request = sign(post(body, rng.randint(0, 1)), key, now=NOW)
    request_bytes = wire(request)
    if rng.random() < 0.2:
        # The signature of another request stands beside Mallory's.
        request_bytes = request_bytes.replace(b"\n\n", b"\n" + b"\n".join(_signature_lines(head)) + b"\n\n", 1)
    return garble_request(rng, request_bytes, honest) if rng.random() < 0.3 else request_bytes


def _prove_with(key: PrivateKey, body: bytes) -> Any:
    try:
        document = parse_document(body)
        return proofs.create({name: value for name, value in document.items() if name != "signature"}, key, now=NOW)
    except (ApcoreError, ValueError):
        return json.loads(b"{}")


def _signature_lines(head: bytes) -> list[bytes]:
    return [line for line in head.split(b"\n")[1:] if line.partition(b":")[0] in {b"signature", b"signature-input"}]


# --- the answers ----------------------------------------------------------------------------------------------------


class Clock(BlockingRuntime):
    def __init__(self) -> None:
        super().__init__()
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def seconds(self) -> float:
        return self.at.timestamp()


@cache
def federation() -> Federation[None]:
    rules: Federation[None] = Federation(software="fuzz/1.0")

    @rules.actor("/users/{identifier}")
    def actor(ctx, identifier):
        return Person(preferred_username="alice") if identifier == "alice" else None

    @rules.on(Activity)
    def arrived(ctx, activity):
        raise AssertionError("no worker runs here")

    return rules


class Keys:
    """The server's own keys, for effects that do not fail."""

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        return BOB_KEY.sign(data, "rsa-v1_5-sha256")

    def make_key(self, kind: str, /) -> MadeKey:
        key = BOB_KEY if kind == "rsa-2048" else BOB_PROOFS
        return MadeKey(f"{kind} 1", kind, key.public.spki)  # type: ignore[arg-type]

    def drop_key(self, key_name: str, /) -> bool:
        return False


class World:
    """One history: a server, its store, and the answers to its effects."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.clock = Clock()
        self.store = MemoryStore(clock=self.clock.seconds)
        keys: Any = Keys()
        self.ports = Ports(runtime=self.clock, store=self.store, queue=self.store, signer=keys)
        # Some kinds of effect never fail in a history, so that it makes progress; others fail often.
        odds = (0.0, 0.0, 0.0, 0.05, 0.3, 1.0)
        self.fails = {kind: rng.choice(odds) for kind in (Get, Commit, Sign, Fetch, Enqueue)}
        self.all_lie = rng.random() < 0.1
        self.effects = 0
        self.fetches = 0

    def deliver(self, request: Request) -> Response:
        self.effects = self.fetches = 0
        answer = self.drive(serve(site_of(), request))
        assert isinstance(answer, Response), answer
        return answer

    def drive(self, op: Op[Any]) -> Any:
        step = Stepper(op)
        try:
            while (effect := step.wants) is not None:
                self.effects += 1
                assert self.effects <= EFFECTS_MAX, "unbounded work"
                try:
                    answer = self.answer(effect)
                except ApcoreError as error:
                    step.fail(error)
                else:
                    step.resume(answer)
        finally:
            step.close()
        return step.result

    def answer(self, effect: Effect[Any]) -> Any:
        rng = self.rng
        failing = rng.random() < self.fails.get(type(effect), 0.0)
        match effect:
            case All():
                return tuple(self._member(member) for member in effect.members)
            case Fetch():
                return self._answer_fetch(effect.request, failing=failing)
            case RandomBytes():
                return rng.randbytes(effect.count)
            case Get() | Scan() if failing:
                raise rng.choice((StoreUnavailable("read"), StoreBusy("busy", retry_after_s=3.0)))
            case Commit() if failing:
                return self._fail_commit(effect)
            case Sign() | MakeKey() if failing:
                raise SignerUnavailable("asleep")
            case Enqueue() if failing:
                raise QueueUnavailable("away")
            case Get() | Scan() | Commit() | Sign() | MakeKey() | Enqueue() | Now() | Call():
                return run(_yield_effect(effect), self.ports)
            case _:
                raise AssertionError(f"asked for {effect}")

    def _member(self, op: Op[Any]) -> Any:
        try:
            return Returned(self.drive(op))
        except ApcoreError as error:
            return Raised(error)

    def _fail_commit(self, effect: Commit) -> Any:
        choice = self.rng.randint(0, 3)
        if choice == 0:
            # Another process commits the same just before.
            _ = run(_yield_effect(evolve(effect, token=self.rng.randbytes(16))), self.ports)
            return False
        if choice == 1:
            _ = run(_yield_effect(effect), self.ports)
            raise StoreUnavailable("the answer was lost", outcome="unknown")
        if choice == 2:
            raise StoreUnavailable("the question was lost", outcome="unknown")
        raise StoreBusy("busy")

    def _answer_fetch(self, request: Request, *, failing: bool) -> Response:
        rng = self.rng
        self.fetches += 1
        assert self.fetches <= FETCHES_MAX, "unbounded fetching"
        url = parse_url(request.url)
        if failing:
            if rng.random() < 0.5:
                errors = (ConnectFailed, FetchTimedOut, TlsFailed, AddressBlocked, ResponseTooBig)
                raise rng.choice(errors)("x")
            # To call an existing page gone would be a lie.
            gone = () if request.url in PAGES and not self.all_lie else (404, 410)
            status = rng.choice((400, 401, 403, 429, 500, 503, *gone))
            return Response(status, rng.choice(({}, {"Retry-After": "7"}, {"Retry-After": "x"})), b"{")
        if str(url.origin) in HONEST and not self.all_lie:
            if request.url in REDIRECTS:
                return Response(302, {"Location": REDIRECTS[request.url]})
            page = PAGES.get(request.url)
            return Response(404) if page is None else _page(page)
        return self._lie(request.url)

    def _lie(self, url: str) -> Response:
        rng = self.rng
        choice = rng.random()
        if choice < 0.1:
            where = rng.choice(
                (*PAGES, *REDIRECTS, f"{EVIL}/x", f"{EVIL}/y", url, "//", "http://10.0.0.1/", "x" * 3000)
            )
            location = garble(rng, where.encode()) if rng.random() < 0.3 else where.encode()
            clean = bytes(octet for octet in location if 32 < octet < 127) or b"x"
            return Response(rng.choice((301, 302, 303, 307, 308, 304)), {"Location": clean.decode()})
        if choice < 0.4:
            document = person(MALLORY, publicKey=pem_key(MALLORY_KEY), assertionMethod=[multikey(MALLORY_KEY)])
        elif choice < 0.6:
            # Mallory's key as one of Bob or Carol: at Mallory's address, or with one of their ids.
            owner = rng.choice((BOB, CAROL, MALLORY))
            names = {"id": rng.choice((url, f"{owner}#main-key", f"{BOB}#main-key", CAROL_KEY.key_id))}
            key = pem_key(MALLORY_KEY) | names | {"owner": owner}
            persons = (person(owner, publicKey=key), person(url, publicKey=[key, pem_key(BOB_KEY)]))
            document = rng.choice(({"@context": CONTEXT, **key}, *persons))
        else:
            document = rng.choice([*PAGES.values(), *ACTIVITIES])
        if rng.random() < 0.2:
            document = {**document, "id": rng.choice((url, BOB, CAROL, NOTE["id"], f"{BOB}/2"))}
        body = json.dumps(document).encode()
        if rng.random() < 0.4:
            body = garble_json(rng, body, [json.dumps(page).encode() for page in PAGES.values()])
        if rng.random() < 0.002:
            body = b"[" * 500_000
        return Response(200, self._headers(), body)

    def _headers(self) -> dict[str, str]:
        rng = self.rng
        headers = {"Content-Type": ACTIVITY_JSON}
        if rng.random() < 0.15:
            profile = 'application/ld+json; profile="https://www.w3.org/ns/activitystreams"'
            media_types = ("text/html", "application/json", "", "application/ld+json", profile)
            headers["Content-Type"] = rng.choice(media_types)
        if rng.random() < 0.2:
            name = rng.choice(("Cache-Control", "ETag", "Expires", "Age", "Vary", "Link", "Accept-Signature"))
            value = rng.choice(("max-age=999999999", "no-store", "*", '"1"', "", 'sig1=("@status")', "x"))
            pieces = [rng.choice(PIECES).decode("latin-1") for _ in range(rng.randint(0, 1)) if rng.random() < 0.3]
            headers[name] = value + "".join(pieces)
            headers[name] = "".join(character for character in headers[name] if 32 <= ord(character) < 127)
        return headers

    # --- the check of the store -----------------------------------------------------------------------------------

    def check_store(self) -> None:
        """Check that every record about the honest servers is true."""
        entries = self.store.scan((), limit=1000)
        assert len(entries) < 1000
        for entry in entries:
            record = None
            match entry.key[0]:
                case "key":
                    record = decode_record(entry.value)
                    if "owner" in record.members:
                        self._check_key(record.members["key_id"], record.members["owner"], record.body)
                case "document":
                    record = decode_record(entry.value)
                    self._check_document(record.members["uri"], record.body)
                case "in-todo":
                    record = decode_record(entry.value)
                    self._check_activity(record.members["actor"], record.body)
                case _:
                    continue

    def _check_key(self, key_id: str, owner: str, spki: bytes) -> None:
        if _is_honest(owner) or _is_honest(key_id):
            assert TRUE_KEYS.get((key_id, owner)) == spki, f"a lie is kept: {key_id} of {owner}"

    def _check_document(self, uri: str, body: bytes) -> None:
        if not body or not _is_honest(uri):
            return
        ident = parse_document(body).get("id")
        if isinstance(ident, str) and ident in PAGES:
            assert parse_document(body) == PAGES[ident], f"a lie is kept: {uri}"

    def _check_activity(self, actor: str, body: bytes) -> None:
        document = parse_document(body)
        if document.get("type") == "Delete" and document.get("object") not in PAGES:
            return  # Its own server confirms that the object is gone, so any actor may deliver the Delete.
        if _is_honest(actor):
            statement = (actor, meaning(document))
            assert statement in true_meanings(), f"{actor} never did that: {body!r}"


def _page(page: dict[str, Any]) -> Response:
    return Response(200, {"Content-Type": ACTIVITY_JSON}, json.dumps(page).encode())


def _is_honest(uri: str) -> bool:
    try:
        return str(parse_url(uri).origin) in HONEST
    except ApcoreError:
        return False


def _yield_effect(effect: Effect[Any]) -> Op[Any]:
    return (yield from effect)


@cache
def site_of() -> Any:
    return Node(federation(), HERE, MemoryStore(), signer=Keys(), transport=None).site()  # type: ignore[arg-type]


# --- a history ------------------------------------------------------------------------------------------------------


def check_answer(response: Response) -> None:
    assert response.status in {202, 503} or 400 <= response.status < 500, response
    if response.status >= 400:
        members = json.loads(response.body)
        assert response.headers.get("content-type") == "application/problem+json"
        assert members["reason"]
        assert (response.status != 503) or response.headers.get("retry-after")


def history(data: bytes) -> str:
    """Play the history with the seed ``data``, and return the statuses of its answers, each once."""
    rng = Random(data)
    world = World(rng)
    statuses: set[int] = set()
    for _ in range(rng.choice((1, 1, 2, 3))):
        try:
            request = read_wire(delivery(rng))
        except ApcoreError:
            continue  # A web server would refuse the request.
        is_at_inbox = request.url.startswith(f"{HERE}/") and request.url.partition("?")[0] in INBOXES
        if not is_at_inbox or request.method != "POST":
            request = Request("POST", INBOXES[0], request.headers, request.body)
        response = world.deliver(request)
        check_answer(response)
        statuses.add(response.status)
        world.clock.at += timedelta(seconds=rng.choice((0, 0, 1, 301, 601, 4000, 90_000)))
    if not world.all_lie:
        world.check_store()
    return " ".join(map(str, sorted(statuses)))


CASES = [Case("authenticate", history, (b"history",), kind="numbered")]


if __name__ == "__main__":
    raise SystemExit(main(CASES, "Fuzz authentication with lies, failures and races.", default=20_000))
