"""Check every real document of the vectors: it is viewed, written back unchanged, and agrees with a naive reader."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from apcore.errors import DocumentError
from apcore.jsonld import BUNDLED, normalize
from apcore.vocab import (
    FEDIVERSE,
    PUBLIC,
    PUBLIC_FORMS,
    Activity,
    Actor,
    CryptographicKey,
    Document,
    View,
    audience_of,
    read_document,
    to_wire,
)
from vector_files import VECTORS, load_json, needs_vectors

CONTEXT = FEDIVERSE.words.context
NOT_DOCUMENTS = {"MANIFEST.json"}


def collect(*roots: str) -> list[tuple[str, Any]]:
    documents = []
    for root in roots:
        for path in sorted((VECTORS / root).rglob("*.json")):
            if path.name in NOT_DOCUMENTS:
                continue
            try:
                tree = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                continue  # Deliberately broken files are for the tests of the parser.
            if isinstance(tree, dict):
                documents.append((str(path.relative_to(VECTORS)), tree))
    return documents


PAYLOADS = collect("payloads")
LINKED = [(name, tree) for name, tree in PAYLOADS if "@context" in tree]
EXAMPLES = collect("as2")
each_payload = pytest.mark.parametrize("tree", [tree for _, tree in PAYLOADS], ids=[name for name, _ in PAYLOADS])


@needs_vectors
def test_numbers_of_documents_are_pinned():
    assert (len(PAYLOADS), len(EXAMPLES)) == (304, 227)


def test_nearly_all_payloads_are_read_without_translation():
    translated = [name for name, tree in PAYLOADS if read_document(tree).reading.translated]
    # PeerTube of 2018 gives the IRIs of datatypes to four of its terms.
    assert translated == ["payloads/peertube/pleroma-repo__tesla_mock_peertube.moe-vid.json"] * bool(PAYLOADS)


@each_payload
def test_payload_is_written_back_unchanged(tree):
    document = read_document(tree)
    assert json.dumps(document.to_json()) == json.dumps(tree)
    secret = '"bto"' in json.dumps(tree) or '"bcc"' in json.dumps(tree)
    assert (json.dumps(to_wire(document)) == json.dumps(tree)) == (not secret)


@each_payload
def test_every_property_of_every_view_reads_the_payload(tree):
    document = read_document(tree)
    for embedded in [document, *embedded_documents(document)]:
        for view in FEDIVERSE.views:
            view_of_document = view.over(embedded)
            for name in view.__dict__:
                if not name.startswith("_"):
                    getattr(view_of_document, name)


@each_payload
def test_payload_agrees_with_a_naive_reader(tree):
    document = read_document(tree)
    assert document.id == tree.get("id")
    assert list(document.types) == [name for name in naive_list(tree.get("type")) if isinstance(name, str)]
    activity = Activity.over(document)
    assert activity.id == tree.get("id")
    assert [reference.uri for reference in activity.actors] == naive_ids(tree.get("actor"))
    assert [reference.uri for reference in activity.attributions] == naive_ids(tree.get("attributedTo"))
    audience = audience_of(document)
    for name in ("to", "cc", "bto", "bcc", "audience"):
        expected = [PUBLIC if address in PUBLIC_FORMS else address for address in naive_ids(tree.get(name))]
        assert list(getattr(audience, name)) == list(dict.fromkeys(expected))
    for name, moment in (("published", activity.published), ("updated", activity.updated)):
        assert moment == naive_moment(tree.get(name))
    actor = Actor.over(document)
    assert (actor.inbox, actor.outbox) == (naive_id(tree.get("inbox")), naive_id(tree.get("outbox")))
    keys = [reference.claimed(CryptographicKey) for reference in actor.public_keys]
    pems = [key.public_key_pem for key in keys if key is not None]
    assert pems == [key["publicKeyPem"] for key in naive_list(tree.get("publicKey")) if isinstance(key, dict)]


@pytest.mark.parametrize(("name", "tree"), LINKED[::4], ids=[name for name, _ in LINKED[::4]])
def test_direct_reading_agrees_with_normalization(name, tree):
    """Every fourth document, to keep the suite quick: direct reading and JSON-LD must give the same values."""
    document = read_document(tree)
    if document.reading.translated or document.reading.ignored_contexts:
        pytest.skip("cannot be read in both ways")
    words = normalize(tree, CONTEXT, contexts=FEDIVERSE.table(BUNDLED), expand_context=CONTEXT)
    normalized_document = Document(words, words)
    assert (document.id, set(document.classes())) == (normalized_document.id, set(normalized_document.classes()))
    direct, normalized = Activity.over(document), Activity.over(normalized_document)
    for attribute in [
        "actors",
        "objects",
        "targets",
        "attributions",
        "to",
        "cc",
        "published",
        "updated",
        "name",
        "summary",
        "content",
        "sensitive",
        "url",
    ]:
        if attribute == "url" and '"mimeType"' in json.dumps(tree):
            continue  # no context defines the old name of mediaType, so JSON-LD drops it, and the media type decides
        assert getattr(direct, attribute) == getattr(normalized, attribute), (name, attribute)
    for attribute in [
        "inbox",
        "outbox",
        "followers",
        "preferred_username",
        "shared_inbox",
        "also_known_as",
        "moved_to",
        "public_keys",
    ]:
        assert getattr(Actor.over(document), attribute) == getattr(Actor.over(normalized_document), attribute), (
            name,
            attribute,
        )


@pytest.mark.parametrize(("name", "tree"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_example_of_the_specification_is_read(name, tree):
    if name == "as2/fail/number-as-context.json":
        with pytest.raises(DocumentError):
            read_document(tree)
        return
    document = read_document(tree)
    assert json.dumps(document.to_json()) == json.dumps(tree)
    assert document.as_declared(View).document is document


@needs_vectors
def test_examples_of_enhancement_proposals_are_read():
    """No example is refused. Examples with their own contexts are translated."""
    trees = [item["document"] for item in load_json("fep-examples/examples.json")["examples"]]
    documents = [read_document(tree) for tree in trees]
    assert (len(documents), sum(document.reading.translated for document in documents)) == (279, 17)
    for document, tree in zip(documents, trees, strict=True):
        assert document.to_json() == tree


# --- a naive reader ---------------------------------------------------------------------------------------------------


def embedded_documents(document: Document) -> list[Document]:
    return [document.embedded(value) for value in document.words.values() if isinstance(value, dict)]


def naive_list(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def naive_id(value):
    return value.get("id", value.get("href")) if isinstance(value, dict) else value


def naive_ids(value):
    return [naive_id(item) for item in naive_list(value) if isinstance(item, dict) or (isinstance(item, str) and item)]


def naive_moment(text):
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
