"""Fuzzing who is believed: garbled deliveries, and liars, failures and races in answer to everything that is asked about them.

    python tests/federation/fuzz.py [--inputs 100000] [--seed 1]

One input is a history: a fresh server, one to three deliveries to its inboxes, some time between them. Bob and Carol are honest, and their servers say
the truth or nothing; Mallory's server says whatever it likes, and Mallory may send whatever was ever sent by anybody, garbled or not. Every question
of the operation is answered by the fuzzer, step by step: the store loses answers, refuses commits and is away; the signer is away; what is fetched is a
lie, a redirect, a failure. In some histories the honest servers lie too; there, nothing but the form of the answers is checked.

Each answer has to be 202, or a problem with a reason and a status of 4xx, or 503 with `Retry-After`. The number of questions is bounded. And whatever
is found in the store afterwards has to be true: a key that is kept is of whom it is said to be, a document that is kept is as its server has it, and an
activity that was let in was done by its actor.
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
from fuzzed_bytes import PIECES, Case, garbled, garbled_json, garbled_request, main, read_wire, wire

NOW = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
INBOXES = (f"{ALICE}/inbox", f"{HERE}/inbox")
BOB, CAROL, MALLORY = "https://remote.example/users/bob", "https://third.example/users/carol", "https://evil.example/users/mallory"  # fmt: skip
HONEST = ("https://remote.example", "https://third.example")
EVIL = "https://evil.example"

BOB_KEY = fixed_rsa(f"{BOB}#main-key", BOB)
BOB_PROOFS = fixed_ed25519(f"{BOB}#ed25519-key", BOB)
CAROL_KEY = fixed_ed25519("https://third.example/keys/carol", CAROL)
MALLORY_KEY = fixed_ed25519(f"{MALLORY}#main-key", MALLORY)
TRUE_KEYS = {(key.key_id, key.public.owner): key.public.spki for key in (BOB_KEY, BOB_PROOFS, CAROL_KEY)}
# As PeerTube names it: by its owner, who has one.
TRUE_KEYS[BOB, BOB] = BOB_KEY.public.spki

EFFECTS_MAX = 200
"""Questions for one delivery, three times what was measured: a loop that a peer can lengthen shows as many more."""
FETCHES_MAX = 20

CONTEXT = [
    "https://www.w3.org/ns/activitystreams",
    "https://w3id.org/security/v1",
    "https://w3id.org/security/data-integrity/v2",
]
CONTEXTS = BUNDLED.ignoring("https://unknown.example/ns")


# --- what is true ---------------------------------------------------------------------------------------------------


def pem_key(key: PrivateKey) -> dict[str, Any]:
    return {"id": key.key_id, "owner": key.public.owner, "publicKeyPem": key.public.pem}


def multikey(key: PrivateKey) -> dict[str, Any]:
    return {"id": key.key_id, "type": "Multikey", "controller": key.public.owner, "publicKeyMultibase": key.public.multibase}  # fmt: skip


def person(actor: str, **members: Any) -> dict[str, Any]:
    return {"@context": CONTEXT, "id": actor, "type": "Person", "inbox": f"{actor}/inbox", "preferredUsername": actor.rpartition("/")[2]} | members  # fmt: skip


def done(actor: str, type_: str, name: str, **members: Any) -> dict[str, Any]:
    return {"@context": CONTEXT, "id": f"{actor}/{name}", "type": type_, "actor": actor, "published": "2026-11-22T07:59:00Z"} | members  # fmt: skip


NOTE = {"id": f"{BOB}/notes/1", "type": "Note", "attributedTo": BOB, "content": "true", "to": [ALICE]}
ACTIVITIES = [
    done(BOB, "Create", "1", object=NOTE, to=[ALICE]),
    done(BOB, "Like", "2", object=f"{ALICE}/notes/1"),
    done(BOB, "Follow", "3", object=ALICE),
    done(BOB, "Update", "4", object={**NOTE, "content": "truer"}),
    done(BOB, "Announce", "5", object=f"{CAROL}/notes/1"),
    done(CAROL, "Create", "1", object={"id": f"{CAROL}/notes/1", "type": "Note", "attributedTo": CAROL, "content": "c"}),
    done(CAROL, "Undo", "2", object={"id": f"{CAROL}/3", "type": "Like", "actor": CAROL, "object": ALICE}),
]  # fmt: skip
GONE = [done(BOB, "Delete", "6", object=f"{BOB}/notes/2", to=[ALICE]), done(CAROL, "Delete", "gone", object=CAROL)]
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
    """What a document says, however it is written, without what proves it."""
    bare = {name: value for name, value in document.items() if name not in {"proof", "signature"}}
    return canonicalize({"@context": CONTEXT, **bare}, contexts=CONTEXTS)


@cache
def true_meanings() -> frozenset[tuple[str, str]]:
    return frozenset((activity["actor"], meaning(activity)) for activity in (*ACTIVITIES, *GONE))


# --- what is sent ---------------------------------------------------------------------------------------------------


def post(document: dict[str, Any] | bytes, number: int = 0) -> Request:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Request("POST", INBOXES[number % 2], {"Host": "local.example", "Content-Type": ACTIVITY_JSON}, body)


@cache
def honest_deliveries() -> tuple[bytes, ...]:
    """All that the honest ever signed and that thus everyone may have: delivered, proved, relayed."""
    made: list[Request] = []
    for number, activity in enumerate((*ACTIVITIES, *GONE)):
        actor = activity["actor"]
        proof = proofs.create(activity, PROOF_KEYS[actor], now=NOW)
        made += [
            cavage.sign(post(activity, number), KEYS[actor], now=NOW),
            rfc9421.sign(post(activity, number), KEYS[actor], now=NOW),
            rfc9421.sign(post(proof, number), KEYS[actor], now=NOW),
            rfc9421.sign(post(proof, number), KEYS[CAROL if actor == BOB else BOB], now=NOW),
            post(proof, number),
            # Brought by another, with nothing that proves it: its own server can be asked.
            cavage.sign(post(activity, number), KEYS[CAROL if actor == BOB else BOB], now=NOW),
        ]
        if actor == BOB:
            linked = ld_signature.create(activity, BOB_KEY, now=NOW)
            made += [cavage.sign(post(linked, number), CAROL_KEY, now=NOW), post(linked, number)]
    return tuple(wire(request) for request in made)


def delivery(rng: Random) -> bytes:
    """One request: an honest one, a garbled one, or one that Mallory made up out of anything."""
    honest = honest_deliveries()
    choice = rng.random()
    if choice < 0.3:
        return rng.choice(honest)
    if choice < 0.55:
        return garbled_request(rng, rng.choice(honest), honest)
    head, _, body = rng.choice(honest).partition(b"\n\n")
    if choice < 0.65:
        body = json.dumps(done(MALLORY, "Create", "1", object={**NOTE, "attributedTo": MALLORY})).encode()
    elif choice < 0.9:
        body = garbled_json(rng, body, [other.partition(b"\n\n")[2] for other in honest])
    if rng.random() < 0.3:
        body = body.replace(rng.choice((BOB, CAROL)).encode(), rng.choice((BOB, CAROL, MALLORY)).encode())
    key = MALLORY_KEY
    if rng.random() < 0.5:
        # Signed by Mallory, under a name of another.
        key_id, owner = rng.choice([*TRUE_KEYS, (f"{EVIL}/k", BOB), (f"{BOB}#other", BOB), (BOB, BOB), ("https://remote.example/out#k", BOB)])  # fmt: skip
        key = MALLORY_KEY.renamed(key_id=key_id, owner=owner)
    if rng.random() < 0.2:
        body = json.dumps(_proved_by(key, body)).encode()
    sign = rng.choice((cavage.sign, rfc9421.sign))
    request = sign(post(body, rng.randint(0, 1)), key, now=NOW)
    made = wire(request)
    if rng.random() < 0.2:
        # Beside her own signature, somebody else's.
        made = made.replace(b"\n\n", b"\n" + b"\n".join(_signature_lines(head)) + b"\n\n", 1)
    return garbled_request(rng, made, honest) if rng.random() < 0.3 else made


def _proved_by(key: PrivateKey, body: bytes) -> Any:
    try:
        document = parse_document(body)
        return proofs.create({name: value for name, value in document.items() if name != "signature"}, key, now=NOW)
    except (ApcoreError, ValueError):
        return json.loads(b"{}")


def _signature_lines(head: bytes) -> list[bytes]:
    return [line for line in head.split(b"\n")[1:] if line.partition(b":")[0] in {b"signature", b"signature-input"}]


# --- what is answered -----------------------------------------------------------------------------------------------


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
    made: Federation[None] = Federation(software="fuzz/1.0")

    @made.actor("/users/{identifier}")
    def actor(ctx, identifier):
        return Person(preferred_username="alice") if identifier == "alice" else None

    @made.on(Activity)
    def arrived(ctx, activity):
        raise AssertionError("nobody works here")

    return made


class Keys:
    """The server's own keys, which are never away when nobody plays."""

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        return BOB_KEY.sign(data, "rsa-v1_5-sha256")

    def make_key(self, kind: str, /) -> MadeKey:
        key = BOB_KEY if kind == "rsa-2048" else BOB_PROOFS
        return MadeKey(f"{kind} 1", kind, key.public.spki)  # type: ignore[arg-type]

    def drop_key(self, key_name: str, /) -> bool:
        return False


class World:
    """One history: a server, its store, and whoever answers."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.clock = Clock()
        self.store = MemoryStore(clock=self.clock.seconds)
        self.ports = Ports(runtime=self.clock, store=self.store, queue=self.store, signer=Keys())  # type: ignore[arg-type]
        # Some things never fail in a history, so that it gets somewhere; others often.
        self.fails = {kind: rng.choice((0.0, 0.0, 0.0, 0.05, 0.3, 1.0)) for kind in (Get, Commit, Sign, Fetch, Enqueue)}
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
                return self._fetched(effect.request, failing=failing)
            case RandomBytes():
                return rng.randbytes(effect.count)
            case Get() | Scan() if failing:
                raise rng.choice((StoreUnavailable("read"), StoreBusy("busy", retry_after_s=3.0)))
            case Commit() if failing:
                return self._lost(effect)
            case Sign() | MakeKey() if failing:
                raise SignerUnavailable("asleep")
            case Enqueue() if failing:
                raise QueueUnavailable("away")
            case Get() | Scan() | Commit() | Sign() | MakeKey() | Enqueue() | Now() | Call():
                return run(_asked(effect), self.ports)
            case _:
                raise AssertionError(f"asked for {effect}")

    def _member(self, op: Op[Any]) -> Any:
        try:
            return Returned(self.drive(op))
        except ApcoreError as error:
            return Raised(error)

    def _lost(self, effect: Commit) -> Any:
        choice = self.rng.randint(0, 3)
        if choice == 0:
            # Somebody else was quicker, with the same.
            _ = run(_asked(evolve(effect, token=self.rng.randbytes(16))), self.ports)
            return False
        if choice == 1:
            _ = run(_asked(effect), self.ports)
            raise StoreUnavailable("the answer was lost", outcome="unknown")
        if choice == 2:
            raise StoreUnavailable("the question was lost", outcome="unknown")
        raise StoreBusy("busy")

    def _fetched(self, request: Request, *, failing: bool) -> Response:
        rng = self.rng
        self.fetches += 1
        assert self.fetches <= FETCHES_MAX, "unbounded fetching"
        url = parse_url(request.url)
        if failing:
            if rng.random() < 0.5:
                raise rng.choice((ConnectFailed("x"), FetchTimedOut("x"), TlsFailed("x"), AddressBlocked("x"), ResponseTooBig("x")))  # fmt: skip
            # That something is gone which is there would be a lie.
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
            location = garbled(rng, where.encode()) if rng.random() < 0.3 else where.encode()
            clean = bytes(octet for octet in location if 32 < octet < 127) or b"x"
            return Response(rng.choice((301, 302, 303, 307, 308, 304)), {"Location": clean.decode()})
        if choice < 0.4:
            document = person(MALLORY, publicKey=pem_key(MALLORY_KEY), assertionMethod=[multikey(MALLORY_KEY)])
        elif choice < 0.6:
            # Her key, as Bob's or Carol's; under an address of hers, or with an id of theirs.
            owner = rng.choice((BOB, CAROL, MALLORY))
            names = {"id": rng.choice((url, f"{owner}#main-key", f"{BOB}#main-key", CAROL_KEY.key_id))}
            key = pem_key(MALLORY_KEY) | names | {"owner": owner}
            document = rng.choice(({"@context": CONTEXT, **key}, person(owner, publicKey=key), person(url, publicKey=[key, pem_key(BOB_KEY)])))  # fmt: skip
        else:
            document = rng.choice([*PAGES.values(), *ACTIVITIES])
        if rng.random() < 0.2:
            document = {**document, "id": rng.choice((url, BOB, CAROL, NOTE["id"], f"{BOB}/2"))}
        body = json.dumps(document).encode()
        if rng.random() < 0.4:
            body = garbled_json(rng, body, [json.dumps(page).encode() for page in PAGES.values()])
        if rng.random() < 0.002:
            body = b"[" * 500_000
        return Response(200, self._headers(), body)

    def _headers(self) -> dict[str, str]:
        rng = self.rng
        headers = {"Content-Type": ACTIVITY_JSON}
        if rng.random() < 0.15:
            headers["Content-Type"] = rng.choice(("text/html", "application/json", "", "application/ld+json", 'application/ld+json; profile="https://www.w3.org/ns/activitystreams"'))  # fmt: skip
        if rng.random() < 0.2:
            name = rng.choice(("Cache-Control", "ETag", "Expires", "Age", "Vary", "Link", "Accept-Signature"))
            value = rng.choice(("max-age=999999999", "no-store", "*", '"1"', "", 'sig1=("@status")', "x"))
            headers[name] = value + "".join(rng.choice(PIECES).decode("latin-1") for _ in range(rng.randint(0, 1)) if rng.random() < 0.3)  # fmt: skip
            headers[name] = "".join(character for character in headers[name] if 32 <= ord(character) < 127)
        return headers

    # --- afterwards -----------------------------------------------------------------------------------------------

    def check_store(self) -> None:
        """Whatever is kept about the honest has to be true."""
        entries = self.store.scan((), limit=1000)
        assert len(entries) < 1000
        for entry in entries:
            fact = None
            match entry.key[0]:
                case "key":
                    fact = decode_record(entry.value)
                    if "owner" in fact.members:
                        self._check_key(fact.text("key_id"), fact.text("owner"), fact.body)
                case "doc":
                    fact = decode_record(entry.value)
                    self._check_document(fact.text("uri"), fact.body)
                case "in-todo":
                    fact = decode_record(entry.value)
                    self._check_activity(fact.text("actor"), fact.body)
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
            return  # gone it is, as its own server says, whoever brought the news
        if _is_honest(actor):
            said = (actor, meaning(document))
            assert said in true_meanings(), f"{actor} never did that: {body!r}"


def _page(page: dict[str, Any]) -> Response:
    return Response(200, {"Content-Type": ACTIVITY_JSON}, json.dumps(page).encode())


def _is_honest(uri: str) -> bool:
    try:
        return str(parse_url(uri).origin) in HONEST
    except ApcoreError:
        return False


def _asked(effect: Effect[Any]) -> Op[Any]:
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
    """Play one history; ``data`` is the name of its seed. Gives the statuses of its answers, each once."""
    rng = Random(data)
    world = World(rng)
    statuses: set[int] = set()
    for _ in range(rng.choice((1, 1, 2, 3))):
        try:
            request = read_wire(delivery(rng))
        except ApcoreError:
            continue  # the server in front of us would not have handed it on
        if not request.url.startswith(f"{HERE}/") or request.url.partition("?")[0] not in INBOXES or request.method != "POST":  # fmt: skip
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
    raise SystemExit(main(CASES, "Play liars, failures and races against whoever is believed.", default=20_000))
