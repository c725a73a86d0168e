"""Check Linked Data Signatures: real ones, our own, and every way to rearrange a signed graph."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.errors import ApcoreError
from apcore.jsonld import BUNDLED, ContextNeeded, canonicalize
from apcore.signatures import key_formats, ld_signature, proofs
from apcore.signatures.documents import check_document
from apcore.signatures.errors import (
    BadSignature,
    GraphRestructured,
    KeyMismatch,
    ProofMalformed,
    ProofRefused,
    SignatureExpired,
    SignatureFromFuture,
    SignatureMissing,
)
from apcore.signatures.graphs import signed_graph
from vector_files import load_json, needs_vectors

AS = "https://www.w3.org/ns/activitystreams"
ALICE = "https://remote.example/users/alice"
CREATE = {
    "@context": [
        AS,
        "https://w3id.org/security/v1",
        {"toot": "http://joinmastodon.org/ns#", "votersCount": "toot:votersCount", "sensitive": "as:sensitive"},
    ],
    "id": "https://remote.example/a/1",
    "type": "Create",
    "actor": ALICE,
    "to": ["as:Public"],
    "cc": [],
    "published": "2026-11-22T08:00:00Z",
    "object": {
        "id": "https://remote.example/n/1",
        "type": "Note",
        "attributedTo": ALICE,
        "content": "hi",
        "contentMap": {"en": "hi"},
        "sensitive": False,
        "votersCount": 3,
        "inReplyTo": None,
        "tag": [{"type": "Mention", "href": "https://local.example/users/bob", "name": "@bob"}],
    },
}


def verify(document, key, now, **options):
    return check_document(ld_signature.parse(document, now=now, **options), key).document


# --- real ones ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mastodon-academy", "mastodon-2.5"])
@needs_vectors
def test_recorded_signature_verifies(name):
    file = load_json(f"ld-signatures/{name}.json")
    pem = file["publicPem"] if "publicPem" in file else file["actor"]["publicKey"]["publicKeyPem"]
    creator = file["document"]["signature"]["creator"]
    key = key_formats.read_pem(pem, key_id=creator, owner=creator.partition("#")[0])
    now = datetime(2026, 11, 22, tzinfo=UTC)
    document = verify(file["document"], key, now)
    assert document["actor"] == key.owner
    assert document["object"]["content"] == file["document"]["object"]["content"]
    assert "signature" not in document
    changed = copy.deepcopy(file["document"])
    changed["object"]["content"] += "!"
    with pytest.raises(BadSignature):
        verify(changed, key, now)


# --- both sides -----------------------------------------------------------------------------------------------------


def test_our_signature_verifies(rsa_key, now):
    signed = ld_signature.create(CREATE, rsa_key, now=now)
    assert signed["signature"]["created"] == "2026-11-22T08:00:00Z"
    document = verify(signed, rsa_key.public, now)
    assert document["object"]["votersCount"] == 3
    assert document["object"]["sensitive"] is False
    assert document["object"]["tag"]["name"] == "@bob"
    assert canonicalize(document) == canonicalize(CREATE)


def test_wrong_arguments_are_refused_in_words(rsa_key, ed_key, now):
    with pytest.raises(ValueError, match="rsa-v1_5-sha256"):
        ld_signature.create(CREATE, ed_key, now=now)
    with pytest.raises(ValueError, match="already"):
        ld_signature.create({**CREATE, "signature": {}}, rsa_key, now=now)
    with pytest.raises(GraphRestructured):
        ld_signature.create({"@context": AS, "@graph": [CREATE]}, rsa_key, now=now)


def value_paths(part, path=()):
    if isinstance(part, dict):
        for name, value in part.items():
            if name != "@context":
                yield from value_paths(value, (*path, name))
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from value_paths(value, (*path, index))
    elif part is not None:
        yield path


@pytest.mark.hole(19)
@pytest.mark.parametrize("path", list(value_paths(CREATE)), ids=lambda path: ".".join(map(str, path)))
def test_every_statement_is_signed_with_the_document(rsa_key, now, path):
    signed = ld_signature.create(CREATE, rsa_key, now=now)
    changed = copy.deepcopy(signed)
    *parents, last = path
    parent = changed
    for step in parents:
        parent = parent[step]
    old_value = parent[last]
    parent[last] = (
        not old_value if isinstance(old_value, bool) else 4 if isinstance(old_value, int) else old_value + "x"
    )
    with pytest.raises((BadSignature, GraphRestructured)):
        verify(changed, rsa_key.public, now)


@pytest.mark.parametrize(
    "change",
    [
        {"to": ["as:Public", "https://evil.example/"]},
        {"cc": ["https://evil.example/"]},
        {"bto": ALICE},
        {"type": ["Create", "Delete"]},
        {"summary": "x"},
        # An unknown term adds no statement. The note inside it does.
        {"unknown": {"type": "Note", "content": "x"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_added_statement_breaks_the_signature(rsa_key, now, change):
    with pytest.raises(BadSignature):
        verify({**ld_signature.create(CREATE, rsa_key, now=now), **change}, rsa_key.public, now)


# --- members that are no statements are dropped ---------------------------------------------------------------------

UNSIGNED = {
    "an unknown term": {"attributionDomains": "evil.example"},
    "a relative reference": {"audience": "relative"},
    "an empty array": {"audience": []},
    "null": {"audience": None},
    "an invalid language": {"summaryMap": {"not a language": "x"}},
}


@pytest.mark.hole(19)
@pytest.mark.parametrize("change", UNSIGNED.values(), ids=UNSIGNED)
def test_members_that_are_no_statements_are_dropped(rsa_key, now, change):
    signed = ld_signature.create(CREATE, rsa_key, now=now)
    assert verify({**signed, **change}, rsa_key.public, now) == verify(signed, rsa_key.public, now)


@pytest.mark.parametrize("types", [["Create", "Evil"], "Evil", ["Create", "_:Evil"]])
def test_undefined_type_is_hashed_but_dropped(rsa_key, now, types):
    """The type is a statement about a blank node. Renaming the blank node does not change the hash."""
    document = {**CREATE, "type": types}
    signed = {**document, "signature": sign_elsewhere(rsa_key, document)}
    renamed = {
        **signed,
        "type": [one.replace("Evil", "Other") for one in types] if isinstance(types, list) else "Other",
    }
    for one in (signed, renamed):
        assert verify(one, rsa_key.public, now).get("type") == ("Create" if isinstance(types, list) else None)
    with pytest.raises(BadSignature):
        verify({**signed, "type": "Create"}, rsa_key.public, now)


def sign_elsewhere(key, document):
    """Sign the document as another implementation would: everything in it is canonicalised."""
    from base64 import b64encode
    from hashlib import sha256

    options = {"creator": key.key_id, "created": "2026-11-22T08:00:00Z"}
    texts = canonicalize({**options, "@context": "https://w3id.org/identity/v1"}), canonicalize(document)
    data = "".join(sha256(text.encode()).hexdigest() for text in texts).encode()
    return {"type": "RsaSignature2017", **options, "signatureValue": b64encode(key.sign(data)).decode()}


def test_redefined_term_is_dropped(rsa_key, now):
    """A term that the context redefines must not appear under its familiar name."""
    document = {**CREATE, "@context": [AS, {"featured": {"@id": "https://evil.example/x"}}], "featured": "y"}
    assert "featured" not in verify(ld_signature.create(document, rsa_key, now=now), rsa_key.public, now)


SECURED = {**CREATE, "@context": [*CREATE["@context"], "https://w3id.org/security/data-integrity/v1"]}


def test_signature_covers_the_proof_of_the_document(rsa_key, ed_key, now):
    """The context of the proof puts it into a graph of its own; this does not restructure the document."""
    with_proof = proofs.create(SECURED, ed_key, now=now)
    signed = ld_signature.create(with_proof, rsa_key, now=now)
    document = verify(signed, rsa_key.public, now)
    assert document == verify(ld_signature.create(SECURED, rsa_key, now=now), rsa_key.public, now)
    assert check_document(proofs.parse(signed, now=now)[0], ed_key.public).document == SECURED
    for changed_proof in (
        {**signed["proof"], "created": "2026-11-22T07:59:59Z"},
        None,
        [signed["proof"], {**signed["proof"], "nonce": "x"}],
    ):
        with pytest.raises(BadSignature):
            verify({**signed, "proof": changed_proof}, rsa_key.public, now)


@pytest.mark.parametrize(
    "proof",
    [
        {"type": "DataIntegrityProof", "@graph": [{"id": "https://remote.example/n/1", "content": "x"}]},
        {"@graph": [{"@graph": [{"id": "https://remote.example/n/1", "content": "x"}]}]},
        {"type": "DataIntegrityProof", "@reverse": {"object": "https://remote.example/a/1"}},
        {"type": "DataIntegrityProof", "proof": {"@included": [{"id": "https://remote.example/n/1"}]}},
    ],
)
def test_restructuring_inside_a_proof_is_refused(proof):
    with pytest.raises(GraphRestructured):
        signed_graph({**SECURED, "proof": proof})


@pytest.mark.hole(18, 51)
def test_restructuring_aliases_of_a_named_context_are_refused():
    """The aliases of a context that is only named cannot be read, but their effect on the document is seen."""
    url = "https://example.com/aliases"
    table = BUNDLED.with_context(
        url,
        {"inside": {"@id": "as:object", "@container": "@graph"}, "all": "@included", "back": {"@reverse": "as:object"}},
    )
    for change in ({"inside": {"content": "x"}}, {"all": [{"content": "x"}]}, {"back": {"content": "x"}}):
        with pytest.raises(GraphRestructured):
            signed_graph({**CREATE, "@context": [*CREATE["@context"], url], **change}, contexts=table)


def test_list_is_kept_whole_or_dropped(rsa_key, now):
    context = [
        *CREATE["@context"],
        {"toot": "http://joinmastodon.org/ns#", "focalPoint": {"@id": "toot:focalPoint", "@container": "@list"}},
    ]
    document = {**CREATE, "@context": context, "focalPoint": [0.5, -1]}
    assert verify(ld_signature.create(document, rsa_key, now=now), rsa_key.public, now)["focalPoint"] == [0.5, -1]
    with_unsigned_element = {**document, "focalPoint": [0.5, {"@id": "relative"}]}
    assert "focalPoint" not in verify(ld_signature.create(with_unsigned_element, rsa_key, now=now), rsa_key.public, now)


# --- re-arranging ---------------------------------------------------------------------------------------------------


def restructured_documents():
    activity = {name: value for name, value in CREATE.items() if name != "@context"}
    note = activity["object"]
    context = CREATE["@context"]
    outer = {**activity, "object": note["id"]}
    yield "@graph", {"@context": context, "@graph": [activity]}
    yield "@graph of two", {"@context": context, "@graph": [outer, note]}
    yield "@graph beside a node", {"@context": context, "id": note["id"], "@graph": [activity]}
    yield "@included", {"@context": context, **note, "@included": [outer]}
    yield "@reverse", {"@context": context, **note, "@reverse": {"object": outer}}
    yield "@nest", {"@context": context, **outer, "@nest": {"object": note}}
    for alias in ("@graph", "@included", "@nest"):
        yield (
            f"an alias of {alias}",
            {
                "@context": [*context, {"alias": alias}],
                **outer,
                "alias": {"object": note} if alias == "@nest" else [note],
            },
        )
        yield (
            f"an alias by id of {alias}",
            {"@context": [*context, {"alias": {"@id": alias}}], **outer, "alias": [note]},
        )
    yield "a reverse term", {"@context": [*context, {"objectOf": {"@reverse": "as:object"}}], **note, "objectOf": outer}
    yield (
        "a graph container",
        {
            "@context": [*context, {"inside": {"@id": "as:object", "@container": "@graph"}}],
            **outer,
            "inside": note,
        },
    )
    yield (
        "a nested term",
        {
            "@context": [*context, {"object": {"@id": "as:object", "@type": "@id", "@nest": "box"}, "box": "@nest"}],
            **outer,
        },
    )
    yield (
        "an alias in an inner context",
        {"@context": context, **activity, "object": {**note, "@context": {"alias": "@reverse"}}},
    )
    yield (
        "an alias in a scoped context",
        {
            "@context": [
                *context,
                {"object": {"@id": "as:object", "@type": "@id", "@context": {"alias": "@included"}}},
            ],
            **activity,
        },
    )
    yield "a node in two places", {"@context": context, **activity, "tag": {"id": note["id"], "content": "x"}}
    yield (
        "the top node in two places",
        {
            "@context": context,
            "id": activity["id"],
            "type": "Create",
            "object": {**note, "context": {name: value for name, value in activity.items() if name != "object"}},
        },
    )
    yield "nothing at the top", {"@context": context}
    yield "two at the top, in an array of values", {"@context": context, "@value": "x"}
    yield "a relative top", {"@context": context, **activity, "id": "relative"}


@pytest.mark.hole(18, 51)
@pytest.mark.parametrize(
    ("document"), [d for _, d in restructured_documents()], ids=[name for name, _ in restructured_documents()]
)
def test_restructured_graph_is_refused(rsa_key, now, document):
    with pytest.raises(GraphRestructured):
        signed_graph(document)
    with pytest.raises(GraphRestructured):
        ld_signature.parse({**document, "signature": sign_elsewhere(rsa_key, CREATE)}, now=now)


@pytest.mark.hole(18, 51)
def test_restructured_document_has_the_hash_of_the_true_one(rsa_key, now):
    """Show why the refusals are needed: the attack has the statements, and so the signature, of the true document."""
    attack = dict(restructured_documents())["@reverse"]
    assert canonicalize(attack) == canonicalize(CREATE)
    assert attack["type"] == "Note"


# --- refusals -------------------------------------------------------------------------------------------------------

REFUSED = {
    "no creator": ({"creator": None}, ProofMalformed),
    "creator is an object": ({"creator": {"id": "x"}}, ProofMalformed),
    "no time": ({"created": None}, ProofMalformed),
    "no zone": ({"created": "2026-11-22T08:00:00"}, ProofMalformed),
    "from the future": ({"created": "2026-11-22T09:00:01Z"}, SignatureFromFuture),
    "expired": ({"expires": "2026-11-22T06:59:59Z"}, SignatureExpired),
    "a domain": ({"domain": "other.example"}, ProofRefused),
    "no value": ({"signatureValue": None}, ProofMalformed),
    "value is a number": ({"signatureValue": 1}, ProofMalformed),
    "value is no base64": ({"signatureValue": "é"}, ProofMalformed),
    "value is not padded": ({"signatureValue": "AAA"}, ProofMalformed),
    "value is another": ({"signatureValue": "AAAA"}, BadSignature),
    "another time": ({"created": "2026-11-22T07:59:59Z"}, BadSignature),
    "an added nonce": ({"nonce": "x"}, BadSignature),
    "another type": ({"type": "Ed25519Signature2018"}, SignatureMissing),
}


@pytest.mark.parametrize(("changes", "error"), REFUSED.values(), ids=REFUSED)
def test_unacceptable_signature_is_refused_for_its_reason(rsa_key, now, changes, error):
    signed = ld_signature.create(CREATE, rsa_key, now=now)
    signature = {**signed["signature"], **changes}
    signed["signature"] = {name: value for name, value in signature.items() if value is not None}
    with pytest.raises(error):
        verify(signed, rsa_key.public, now)


@pytest.mark.parametrize("signature", [None, "x", [], {}, [{"type": "RsaSignature2017"}]])
def test_malformed_signature_member_is_refused(now, signature):
    with pytest.raises(SignatureMissing):
        ld_signature.parse({**CREATE, "signature": signature}, now=now)


def test_folded_signature_value_is_read(rsa_key, now):
    signed = ld_signature.create(CREATE, rsa_key, now=now)
    value = signed["signature"]["signatureValue"]
    signed["signature"]["signatureValue"] = "\n".join(value[n : n + 60] for n in range(0, len(value), 60)) + "\n"
    assert verify(signed, rsa_key.public, now)


def test_old_signature_verifies(rsa_key, now):
    signed = ld_signature.create(CREATE, rsa_key, now=now - timedelta(days=3650))
    assert verify(signed, rsa_key.public, now)


def test_another_key_is_refused(rsa_key, ed_key, now):
    signed = ld_signature.create(CREATE, rsa_key, now=now)
    with pytest.raises(KeyMismatch):
        verify(signed, ed_key.public.renamed(key_id=rsa_key.key_id), now)


@pytest.mark.parametrize(
    "change",
    [{"type": ["nothing", "Create"]}, {"audience": {"id": "@keyword", "content": "x"}}],
    ids=["an undefined type", "an id that looks like a keyword"],
)
def test_names_that_expand_to_nothing_are_dropped(rsa_key, now, change):
    document = {**CREATE, "@context": [*CREATE["@context"], {"nothing": None}], **change}
    verified_document = verify({**document, "signature": sign_elsewhere(rsa_key, document)}, rsa_key.public, now)
    assert (verified_document["type"], "audience" in verified_document) == ("Create", False)


@pytest.mark.parametrize("member", ["summary", "signature"])
def test_lone_surrogate_is_refused(rsa_key, now, member):
    signed = ld_signature.create(CREATE, rsa_key, now=now)
    value = {**signed["signature"], "nonce": "\ud800"} if member == "signature" else "\ud800"
    with pytest.raises(ProofMalformed, match="cannot be written as JSON"):
        ld_signature.parse({**signed, member: value}, now=now)


def test_unknown_context_is_requested(rsa_key, now):
    signed = ld_signature.create(CREATE, rsa_key, now=now)
    other = {**signed, "@context": [*CREATE["@context"], "https://unknown.example/context"]}
    with pytest.raises(ContextNeeded):
        ld_signature.parse(other, now=now)
    assert verify(other, rsa_key.public, now, contexts=BUNDLED.ignoring("https://unknown.example/context"))


# --- garbage --------------------------------------------------------------------------------------------------------

NAMES = [
    "@context",
    "id",
    "type",
    "@id",
    "@type",
    "object",
    "@graph",
    "@list",
    "@set",
    "@value",
    "@language",
    "content",
    "tag",
    "x",
    "_:b",
    "@index",
]
PART = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([AS, "_:b0", "Note", "relative", "@type", "", ALICE, "en"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(NAMES), PART, max_size=5))
def test_garbage_document_is_refused_or_yields_only_hashed_statements(rsa_key, now, document):
    document = {"@context": AS, "id": "https://remote.example/1", **document}
    try:
        graph = signed_graph(document)
    except ApcoreError as exc:
        status = exc.status_hint
        assert status in {400, 401, 413, 422}
        return
    # The returned document has only hashed statements. Blank nodes may have other names.
    statements = {line for line in canonicalize(graph.document).splitlines() if "_:" not in line}
    assert statements <= set(graph.nquads.splitlines())
