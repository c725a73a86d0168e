"""Fuzz everything that reads a peer's bytes: fields, URLs, keys, signatures, proofs and documents.

    python tests/signatures/fuzz.py [--inputs 1000000] [--seed 1] [--only CASE] [--atheris]

Each input starts as a valid one, made here or, with vectors, recorded from servers, and is then garbled. A parser may
answer with a value, or with an error that blames the peer. The value must also be true: a parsed value reads back after
writing, a signature that holds is over something that was signed here, and the verified part of a document has only
signed statements.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from attrs import evolve

from apcore.discovery import (
    actor_links,
    host_meta_json,
    host_meta_xml,
    jrd,
    nodeinfo_links,
    parse_acct,
    parse_resource,
    read_host_meta,
    read_jrd,
    read_nodeinfo,
    read_xrd,
)
from apcore.discovery.descriptors import DescriptorLink
from apcore.discovery.host_meta import lrdd_address
from apcore.errors import ApcoreError, DocumentError, RequestError, SignatureError
from apcore.http import (
    PUBLIC_ONLY,
    Headers,
    Request,
    Response,
    check_content_digest,
    check_digest,
    format_http_date,
    fresh_until,
    is_activitypub,
    is_storable,
    join_url,
    make_content_digest,
    make_digest,
    matches_etag,
    negotiate,
    parse_dictionary,
    parse_http_date,
    parse_item,
    parse_list,
    parse_media_type,
    parse_retry_after,
    parse_url,
    problem_for,
    redact_url,
    same_origin,
    serialize_dictionary,
    serialize_item,
    serialize_list,
    validators_of,
    wants_activitypub,
)
from apcore.jsonld import BUNDLED, canonicalize, jcs, parse_document
from apcore.signatures import (
    DEFAULT,
    LENIENT,
    STRICT,
    PresentedDocument,
    answer,
    cavage,
    challenge,
    check,
    check_document,
    explain,
    ld_signature,
    multibase,
    parse_all,
    proofs,
    read_challenges,
    read_did_key,
    read_multikey,
    read_pem,
    read_spki,
    rfc9421,
)
from apcore.vocab import Activity, Actor, Object, read_document
from fixed_keys import fixed_ed25519, fixed_rsa
from fuzzed_bytes import Case, main, read_wire, wire
from vector_files import VECTORS, load_json

NOW = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
ALICE = "https://remote.example/users/alice"
RSA = fixed_rsa(f"{ALICE}#main-key", ALICE)
ED = fixed_ed25519(f"{ALICE}#ed25519-key", ALICE)
KEYS = {key.key_id: key.public for key in (RSA, ED)}
HERE = "https://local.example"
CONTEXTS = BUNDLED.ignoring("https://unknown.example/ns")


def text_case(name: str, read: Callable[[str], object], seeds: list[str], **options: Any) -> Case:
    return Case(name, lambda data: read(data.decode("latin-1")), tuple(seed.encode() for seed in seeds), **options)


# --- fields ---------------------------------------------------------------------------------------------------------


def field(read: Callable[[str], Any], write: Callable[[Any], str]) -> Callable[[str], None]:
    """Return a check that a parsed value is written in its one canonical form and reads back."""

    def check_field(text: str) -> None:
        value = read(text)
        if value in ({}, ()):
            return  # An empty dictionary or list is not written (RFC 9651 §4.1)
        read_again = read(text_again := write(value))
        assert read_again == value, text_again
        assert write(read_again) == text_again

    return check_field


def media(text: str) -> None:
    wants_activitypub(text)
    negotiate(text, ["application/activity+json", "text/html"])
    is_activitypub(text)
    media_type = parse_media_type(text)
    assert "/" in media_type.essence


def dates(text: str) -> None:
    seconds = parse_retry_after(text, now=NOW, max_s=3600.0)
    assert seconds is None or 0 <= seconds <= 3600
    moment = parse_http_date(text)
    assert parse_http_date(format_http_date(moment)) == moment


def caching(text: str) -> None:
    name, _, value = text.partition(":")
    response = Response(200, Headers.from_wire([(name.encode("latin-1"), value.encode("latin-1"))]), b"")
    _ = is_storable(response)
    until = fresh_until(response.headers, received=NOW, default_s=300, min_s=1, max_s=86400)
    assert NOW + timedelta(seconds=1) <= until <= NOW + timedelta(days=1)
    _ = validators_of(response.headers)
    _ = matches_etag(value, '"1"')


def digests(text: str) -> None:
    body = b"body"
    for read, right in ((check_digest, make_digest(body)), (check_content_digest, make_content_digest(body))):
        try:
            read(text, body)
        except (RequestError, SignatureError):
            continue
        # The field must contain the hash; two bits of its last letter have no meaning.
        assert right.partition("=")[2].strip(":=").rstrip("=")[:-1] in text or "512" in text.lower()


def urls(text: str) -> None:
    _ = redact_url(text)
    assert same_origin(text, "https://a.example/") in {True, False}
    base = parse_url("https://a.example/x/y?z#f")
    try:
        joined = join_url(base, text)
    except RequestError:
        pass
    else:
        assert parse_url(str(joined)) == joined
    url = parse_url(text)
    assert parse_url(str(url)) == url
    assert "@" not in url.origin.authority
    assert str(url).isascii()
    assert str(url).isprintable()
    _ = PUBLIC_ONLY.target_refusal(url.origin.scheme, url.origin.host, url.origin.port)
    assert same_origin(text, str(url))


def accounts(text: str) -> None:
    try:
        account = parse_acct(text)
    except RequestError:
        pass
    else:
        assert parse_acct(str(account)) == account
        assert parse_acct(account.handle) == account or "%" in account.handle
    _ = parse_resource(text)


FIELDS = [
    text_case(
        "sf-item",
        field(parse_item, serialize_item),
        ['"a";q=1', "sugar;a=?0;b", ":aGk=:;x", "1.5", "@1659578233", '%"f%c3%bc"', "-0"],
    ),
    text_case(
        "sf-list", field(parse_list, serialize_list), ['"a", (b "c" 2);x, :aGk=:', "a;b=1, b", "()", "1, 1.0, ?1, @1"]
    ),
    text_case(
        "sf-dictionary",
        field(parse_dictionary, serialize_dictionary),
        [
            'sig1=("@method" "@target-uri");created=1618884473;keyid="x"',
            "a=1, b, c=?0;d",
            "sig1=:aGk=:",
            "a=(1 2);b, *=1",
        ],
    ),
    text_case(
        "media",
        media,
        [
            "application/activity+json",
            'application/ld+json; profile="https://www.w3.org/ns/activitystreams"',
            "text/html;q=0.5, */*;q=0.1",
            'a/b;c="d\\"e"',
        ],
    ),
    text_case("dates", dates, ["Sun, 22 Nov 2026 08:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "120", "0"]),
    text_case(
        "caching",
        caching,
        [
            "cache-control: max-age=60, no-cache",
            'cache-control: private="a, b", max-age="5"',
            "expires: Sun, 22 Nov 2026 08:00:00 GMT",
            'etag: W/"a", "b"',
            "age: 5",
            "etag: *",
        ],
    ),
    text_case(
        "digests",
        digests,
        [
            make_digest(b"body"),
            make_content_digest(b"body"),
            f"{make_digest(b'body')},sha-512=AAAA",
            f"{make_content_digest(b'body')}, md5=:AAAA:",
        ],
    ),
    text_case(
        "urls",
        urls,
        [
            "https://a.example/users/alice#main-key",
            "https://[2001:db8::1]:8443/x?y=z",
            "http://127.0.0.1/",
            "https://xn--nxasmq6b/",
            "../a/./b?c",
            "ap://did:key:z6Mk/x",
            "//b.example",
        ],
        weight=2,
    ),
    text_case("accounts", accounts, ["acct:alice@a.example", "@b%C3%A9@a.example:8443", "https://a.example/alice"]),
]


# --- keys -----------------------------------------------------------------------------------------------------------


def key_text(read: Callable[[str], Any]) -> Callable[[str], None]:
    def check_key(text: str) -> None:
        key = read(text)
        read_again = read_spki(key.spki, key_id="https://a.example/k", owner="https://a.example/a")
        assert read_again.spki == key.spki
        assert read_again.type == key.type
        assert read_pem(key.pem, key_id="https://a.example/k", owner="https://a.example/a").spki == key.spki
        assert read_multikey(key.multibase, key_id="https://a.example/k", owner="https://a.example/a").spki == key.spki

    return check_key


def der(data: bytes) -> None:
    key_text(lambda _: read_spki(data, key_id="k", owner="o"))("")


def bases(text: str) -> None:
    value = multibase.decode(text, bases="zumM")
    if text.startswith("z") and len(value) < 1000:  # Longer values are never written.
        assert multibase.encode(value) == text


PEMS = [RSA.public.pem, ED.public.pem, RSA.public.pem.replace("\n", ""), RSA.public.pem.replace("\n", "\r\n")]
KEY_CASES = [
    text_case("pem", key_text(lambda text: read_pem(text, key_id="k", owner="o")), PEMS),
    Case("der", der, (RSA.public.spki, ED.public.spki)),
    text_case(
        "multikey",
        key_text(lambda text: read_multikey(text, key_id="k", owner="o")),
        [RSA.public.multibase, ED.public.multibase],
    ),
    text_case(
        "did-key",
        key_text(read_did_key),
        [f"did:key:{ED.public.multibase}", f"did:key:{ED.public.multibase}#{ED.public.multibase}"],
    ),
    text_case("multibase", bases, [ED.public.multibase, "u-_8", "zQm", "z1111", "mAAEC"]),
]


# --- signed requests ------------------------------------------------------------------------------------------------

BODIES = [
    json.dumps({"id": f"{ALICE}/1", "type": "Like", "actor": ALICE, "object": HERE}).encode(),
    b'{"type":"Follow"}',
    b"",
]


@cache
def signed_requests() -> tuple[Request, ...]:
    """Return every request that these keys have signed."""
    signed: list[Request] = []
    for body in BODIES:
        for path in ("/users/bob/inbox", "/inbox?x=1"):
            method = "POST" if body else "GET"
            plain = Request(
                method, HERE + path, {"Host": "local.example", "Content-Type": "application/activity+json"}, body
            )
            signed += [
                cavage.sign(plain, RSA, now=NOW),
                cavage.sign(plain, ED, now=NOW),
                rfc9421.sign(plain, RSA, now=NOW),
                rfc9421.sign(plain, ED, now=NOW, expires_s=300, nonce="n", tag="t"),
            ]
            names = ("(request-target)", "(created)", "(expires)", "host", *(("digest",) if body else ()))
            signed.append(cavage.sign(plain, RSA, now=NOW, covered=names, expires_s=300))
    return tuple(signed)


def signed_parts(request: Request) -> tuple[str, str, str, bytes]:
    url = urlsplit(request.url)
    return request.method.upper(), url.hostname or "", url.path or "/", request.body


@cache
def signed_queries() -> dict[tuple[str, str, str, bytes], set[str]]:
    queries: dict[tuple[str, str, str, bytes], set[str]] = {}
    for request in signed_requests():
        queries.setdefault(signed_parts(request), set()).add(urlsplit(request.url).query)
    return queries


def requests(data: bytes) -> None:
    request = read_wire(data)
    refusal: ApcoreError | None = None
    for policy in (DEFAULT, STRICT, LENIENT):
        try:
            presented = parse_all(request, policy, now=NOW)
        except ApcoreError as error:
            _ = problem_for(error).response()
            refusal = error
            continue
        for presented_signature in presented:
            key = KEYS.get(presented_signature.key_id)
            try:
                verified = check(presented_signature, (key or RSA.public).renamed(key_id=presented_signature.key_id))
            except ApcoreError as error:
                refusal = error
                continue
            if policy is not LENIENT:
                queries = signed_queries()[signed_parts(request)]  # A KeyError: these parts were never signed.
                assert not verified.query_covered or urlsplit(request.url).query in queries
    if refusal is not None:
        raise refusal


def explained(data: bytes) -> None:
    request = read_wire(data)
    # The secret is added after garbling, which could otherwise copy it to a field that is no secret.
    for name in ("authorization", "cookie"):
        if name in request.headers:
            request = evolve(request, headers=request.headers.with_set(name, "s3cret"))
    key_id = next(iter(KEYS))
    report = explain(request, now=NOW, key=KEYS[key_id])
    text = "\n".join(report.lines())
    assert "s3cret" not in text


def parameters(text: str) -> None:
    signature_parameters = cavage.read_parameters(text)
    assert signature_parameters.signature


def challenges(text: str) -> None:
    challenge_list = read_challenges(text)
    request = signed_requests()[0]
    unsigned = answer(request, challenge_list, key_id=RSA.key_id, now=NOW)
    if unsigned is not None:
        signed = unsigned.attach(RSA.sign(unsigned.data, "rsa-v1_5-sha256"))
        for presented in parse_all(signed, DEFAULT, now=NOW):
            _ = check(presented, RSA.public)


def _with_secrets(request: Request) -> Request:
    headers = request.headers.with_set("authorization", "Bearer x").with_set("cookie", "a=b")
    return cavage.sign(
        evolve(request, headers=headers.without("signature", "signature-input")),
        RSA,
        now=NOW,
        covered=("(request-target)", "host", "date", "authorization", "cookie"),
    )


WIRES = tuple(wire(request) for request in signed_requests())
WITH_SECRETS = tuple(wire(_with_secrets(request)) for request in signed_requests())
SIGNATURES = [
    Case("requests", requests, WIRES, kind="request", weight=6),
    Case("explained", explained, WITH_SECRETS, kind="request", weight=0.2),
    text_case(
        "cavage-field",
        parameters,
        [
            request.headers.get("signature") or ""
            for request in signed_requests()
            if "signature-input" not in request.headers
        ],
    ),
    text_case(
        "accept-signature",
        challenges,
        [
            challenge("POST", has_body=True, nonce="n"),
            'sig1=("@method" "@path";req "date");created;expires;alg="ed25519";keyid="x", sig2=("@authority")',
        ],
    ),
]


# --- signed documents -----------------------------------------------------------------------------------------------

NOTE: dict[str, Any] = {
    "@context": [
        "https://www.w3.org/ns/activitystreams",
        "https://w3id.org/security/v1",
        "https://w3id.org/security/data-integrity/v2",
    ],
    "id": f"{ALICE}/1#create",
    "type": "Create",
    "actor": ALICE,
    "to": ["https://www.w3.org/ns/activitystreams#Public"],
    "object": {
        "id": f"{ALICE}/1",
        "type": "Note",
        "attributedTo": ALICE,
        "content": "hi",
        "tag": [{"type": "Mention", "href": HERE}],
    },
}
PLAIN = {"id": f"{ALICE}/2", "type": "Like", "actor": ALICE, "object": HERE}


@cache
def proved_documents() -> tuple[dict[str, Any], ...]:
    signed = [proofs.create(document, ED, now=NOW, expires=NOW + timedelta(days=1)) for document in (NOTE, PLAIN)]
    return (*signed, proofs.create(signed[0], fixed_ed25519(f"{ALICE}#second", ALICE), now=NOW))


@cache
def proved_texts() -> set[bytes]:
    return {jcs(document) for document in (NOTE, PLAIN)}


def with_proof(data: bytes) -> None:
    document = parse_document(data)
    before = json.dumps(document)
    presented = proofs.parse(document, now=NOW, contexts=CONTEXTS)
    assert json.dumps(document) == before
    _check_presented(presented, lambda verified: jcs(verified) in proved_texts())


@cache
def ld_signed_documents() -> tuple[dict[str, Any], ...]:
    return tuple(
        ld_signature.create(document, RSA, now=NOW) for document in (NOTE, {**PLAIN, "@context": NOTE["@context"]})
    )


@cache
def linked_statements() -> set[str]:
    return {
        statements(without)
        for document in ld_signed_documents()
        for without in [{name: value for name, value in document.items() if name != "signature"}]
    }


def statements(document: dict[str, Any]) -> str:
    return canonicalize(document, contexts=CONTEXTS)


def with_ld_signature(data: bytes) -> None:
    document = parse_document(data)
    before = json.dumps(document)
    presented = ld_signature.parse(document, now=NOW, contexts=CONTEXTS)
    assert json.dumps(document) == before
    _check_presented((presented,), lambda verified: statements(verified) in linked_statements())


def _check_presented(presented: tuple[PresentedDocument, ...], is_signed: Callable[[Any], bool]) -> None:
    refusal: ApcoreError | None = None
    for presented_document in presented:
        key = KEYS.get(presented_document.key_id, fixed_ed25519(f"{ALICE}#second", ALICE).public)
        try:
            verified = check_document(presented_document, key.renamed(key_id=presented_document.key_id))
        except ApcoreError as error:
            refusal = error
        else:
            assert is_signed(verified.document), "this was never signed"
    if refusal is not None:
        raise refusal


def rdfc(document: dict[str, Any]) -> dict[str, Any]:
    """Sign the statements of a document, which apcore itself never does."""
    options = {
        "type": "DataIntegrityProof",
        "cryptosuite": "eddsa-rdfc-2022",
        "verificationMethod": ED.key_id,
        "proofPurpose": "assertionMethod",
        "created": "2026-11-22T08:00:00Z",
    }
    texts = statements({**options, "@context": document["@context"]}), statements(document)
    data = b"".join(sha256(text.encode()).digest() for text in texts)
    return {**document, "proof": {**options, "proofValue": multibase.encode(ED.sign(data))}}


def with_rdfc_proof(data: bytes) -> None:
    presented = proofs.parse(parse_document(data), now=NOW, contexts=CONTEXTS)
    _check_presented(presented, lambda verified: statements(verified) in linked_statements())


def _dump_all(documents: Any) -> tuple[bytes, ...]:
    return tuple(json.dumps(document).encode() for document in documents)


PROOFS = [
    Case("proofs", with_proof, _dump_all(proved_documents()), kind="json", weight=3),
    Case("rdfc-proofs", with_rdfc_proof, _dump_all([rdfc(NOTE)]), kind="json"),
    Case("ld-signatures", with_ld_signature, _dump_all(ld_signed_documents()), kind="json"),
]


# --- documents ------------------------------------------------------------------------------------------------------

PERSON = {
    "@context": NOTE["@context"],
    "id": ALICE,
    "type": "Person",
    "preferredUsername": "alice",
    "inbox": f"{ALICE}/inbox",
    "publicKey": {"id": RSA.key_id, "owner": ALICE, "publicKeyPem": RSA.public.pem},
    "assertionMethod": [
        {"id": ED.key_id, "type": "Multikey", "controller": ALICE, "publicKeyMultibase": ED.public.multibase}
    ],
    "icon": {"type": "Image", "url": "https://remote.example/i.png", "width": 10},
    "published": "2026-01-01T00:00:00Z",
}
NODEINFO = {
    "version": "2.1",
    "software": {"name": "x", "version": "1", "repository": "https://a.example/"},
    "protocols": ["activitypub"],
    "services": {"inbound": [], "outbound": []},
    "openRegistrations": True,
    "usage": {"users": {"total": 5, "activeMonth": 1}, "localPosts": 3},
    "metadata": {"nodeName": "x"},
}


def documents(data: bytes) -> None:
    document = read_document(data)
    assert json.dumps(document.tree) == json.dumps(parse_document(data))
    for view in (Object, Actor, Activity):
        try:
            view_of_document = document.view(view)
        except DocumentError:
            continue
        for name in dir(type(view_of_document)):
            if not name.startswith("_") and name not in {"over", "covers"}:
                _ = getattr(view_of_document, name)


def json_text(data: bytes) -> None:
    document = parse_document(data)
    parsed_again = parse_document(json.dumps(document).encode())
    assert json.dumps(parsed_again) == json.dumps(document)
    assert json.loads(jcs(document)) == document


def descriptor(read: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    def check_descriptor(data: bytes) -> None:
        parsed = read(data)
        for ident in actor_links(parsed):
            assert str(parse_url(ident)) == ident
        address = lrdd_address(parsed, "acct:a@b.example")
        assert address is None or "{uri}" not in address or address.count("{uri}") >= 1
        _ = parsed.linked("self")

    return check_descriptor


def nodeinfo(data: bytes) -> None:
    info = read_nodeinfo(data)
    assert info.speaks_activitypub in {True, False}


JRD = jrd(
    "acct:alice@remote.example",
    [ALICE],
    [
        DescriptorLink(
            "self",
            type="application/activity+json",
            href=ALICE,
            properties={"https://www.w3.org/ns/activitystreams#type": "Person"},
        )
    ],
)
XRD = host_meta_xml("https://remote.example").replace(
    b"</XRD>", b"<Subject>x</Subject><Alias>y</Alias><Property type='z'>w</Property></XRD>"
)
DOCUMENTS = [
    Case("documents", documents, _dump_all([NOTE, PERSON, PLAIN]), kind="json"),
    Case("json", json_text, (*_dump_all([NOTE, PERSON]), b'{"a":[1,1.5,-0,1e3,"\\u00e9\\ud83d\\ude00"]}')),
    Case("jrd", descriptor(read_jrd), (JRD, host_meta_json("https://remote.example")), kind="json"),
    Case("xrd", descriptor(read_xrd), (XRD,)),
    Case("host-meta", descriptor(read_host_meta), (XRD, host_meta_json("https://remote.example"))),
    Case("nodeinfo", nodeinfo, (*_dump_all([NODEINFO]), nodeinfo_links("https://remote.example")), kind="json"),
]


# --- vectors --------------------------------------------------------------------------------------------------------


def _with_vectors(case: Case) -> Case:
    vector_seeds: list[bytes] = []
    match case.name:
        case "documents" | "json":
            vector_seeds = [path.read_bytes() for path in sorted(VECTORS.glob("payloads/*/*.json"))]
        case "ld-signatures":
            vector_seeds = [path.read_bytes() for path in sorted(VECTORS.glob("ld-signatures/*.json"))]
        case "jrd" | "xrd" | "host-meta":
            vector_seeds = [path.read_bytes() for path in sorted(VECTORS.glob("discovery/*"))]
        case "nodeinfo":
            vector_seeds = [path.read_bytes() for path in sorted(VECTORS.glob("nodeinfo/*_example.json"))]
        case "explained":
            recorded = (load_json("http-signatures/recorded.json") or {"cases": []})["cases"]
            vector_seeds = [_recorded_request(case) for case in recorded if "target" in case]
    return Case(
        case.name,
        case.check,
        (*case.seeds, *(data for data in vector_seeds if len(data) < 20_000)),
        case.kind,
        case.weight,
    )


def _recorded_request(case: dict[str, Any]) -> bytes:
    head = [
        f"{case['method']} {HERE}{case['target']}",
        *(f"{name.lower()}: {value}" for name, value in case["headers"]),
    ]
    return "\n".join(head).encode() + b"\n\n" + (case.get("body") or "").encode()


CASES = [*FIELDS, *KEY_CASES, *SIGNATURES, *PROOFS, *DOCUMENTS]


def with_vectors() -> list[Case]:
    return [_with_vectors(case) for case in CASES]


if __name__ == "__main__":
    raise SystemExit(main(with_vectors(), "Garble what peers send, and look at how it is answered.", default=200_000))
