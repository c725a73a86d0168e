"""Every real document in the vectors: viewed, written back whole, and read as a naive reader reads it."""

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
    found = []
    for root in roots:
        for path in sorted((VECTORS / root).rglob("*.json")):
            if path.name in NOT_DOCUMENTS:
                continue
            try:
                tree = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                continue  # broken on purpose: the parser's tests have them
            if isinstance(tree, dict):
                found.append((str(path.relative_to(VECTORS)), tree))
    return found


PAYLOADS = collect("payloads")
LINKED = [(name, tree) for name, tree in PAYLOADS if "@context" in tree]
EXAMPLES = collect("as2")
each_payload = pytest.mark.parametrize("tree", [tree for _, tree in PAYLOADS], ids=[name for name, _ in PAYLOADS])


@needs_vectors
def test_the_numbers_of_documents_are_pinned():
    assert (len(PAYLOADS), len(EXAMPLES)) == (304, 227)


def test_nearly_all_are_read_as_they_stand():
    translated = [name for name, tree in PAYLOADS if read_document(tree).reading.translated]
    # PeerTube of 2018 gives four of its words the IRIs of datatypes.
    assert translated == ["payloads/peertube/pleroma-repo__tesla_mock_peertube.moe-vid.json"] * bool(PAYLOADS)


@each_payload
def test_a_payload_loses_nothing(tree):
    document = read_document(tree)
    assert json.dumps(document.to_json()) == json.dumps(tree)
    secret = '"bto"' in json.dumps(tree) or '"bcc"' in json.dumps(tree)
    assert (json.dumps(to_wire(document)) == json.dumps(tree)) == (not secret)


@each_payload
def test_every_property_of_every_view_reads_every_payload(tree):
    document = read_document(tree)
    for embedded in [document, *inner(document)]:
        for view in FEDIVERSE.views:
            looked = view.over(embedded)
            for name in view.__dict__:
                if not name.startswith("_"):
                    getattr(looked, name)


@each_payload
def test_a_payload_reads_like_a_naive_reading(tree):
    document = read_document(tree)
    assert document.id == tree.get("id")
    assert list(document.types) == [name for name in naive_list(tree.get("type")) if isinstance(name, str)]
    read = Activity.over(document)
    assert read.id == tree.get("id")
    assert [reference.uri for reference in read.actors] == naive_ids(tree.get("actor"))
    assert [reference.uri for reference in read.attributions] == naive_ids(tree.get("attributedTo"))
    audience = audience_of(document)
    for name in ("to", "cc", "bto", "bcc", "audience"):
        expected = [PUBLIC if address in PUBLIC_FORMS else address for address in naive_ids(tree.get(name))]
        assert list(getattr(audience, name)) == list(dict.fromkeys(expected))
    for name, moment in (("published", read.published), ("updated", read.updated)):
        assert moment == naive_moment(tree.get(name))
    actor = Actor.over(document)
    assert (actor.inbox, actor.outbox) == (naive_id(tree.get("inbox")), naive_id(tree.get("outbox")))
    keys = [reference.claimed(CryptographicKey) for reference in actor.public_keys]
    pems = [key.public_key_pem for key in keys if key is not None]
    assert pems == [key["publicKeyPem"] for key in naive_list(tree.get("publicKey")) if isinstance(key, dict)]


@pytest.mark.parametrize(("name", "tree"), LINKED[::4], ids=[name for name, _ in LINKED[::4]])
def test_both_ways_of_reading_give_one_result(name, tree):
    """Every fourth of them, to keep the suite quick: what is read as it stands, is what JSON-LD says."""
    document = read_document(tree)
    if document.reading.translated or document.reading.ignored_contexts:
        pytest.skip("cannot be read in both ways")
    words = normalize(tree, CONTEXT, contexts=FEDIVERSE.table(BUNDLED), expand_context=CONTEXT)
    other = Document(words, words)
    assert (document.id, set(document.classes())) == (other.id, set(other.classes()))
    one, two = Activity.over(document), Activity.over(other)
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
        assert getattr(one, attribute) == getattr(two, attribute), (name, attribute)
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
        assert getattr(Actor.over(document), attribute) == getattr(Actor.over(other), attribute), (name, attribute)


@pytest.mark.parametrize(("name", "tree"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_the_examples_of_the_specification(name, tree):
    if name == "as2/fail/number-as-context.json":
        with pytest.raises(DocumentError):
            read_document(tree)
        return
    document = read_document(tree)
    assert json.dumps(document.to_json()) == json.dumps(tree)
    assert document.as_declared(View).document is document


@needs_vectors
def test_the_examples_of_enhancement_proposals():
    """None is refused; those with contexts of their own are translated."""
    trees = [item["document"] for item in load_json("fep-examples/examples.json")["examples"]]
    documents = [read_document(tree) for tree in trees]
    assert (len(documents), sum(document.reading.translated for document in documents)) == (279, 17)
    for document, tree in zip(documents, trees, strict=True):
        assert document.to_json() == tree


# --- a naive reader ---------------------------------------------------------------------------------------------------


def inner(document: Document) -> list[Document]:
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
