"""Check RDFC-1.0: the published vectors, and graphs that are built to be expensive."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import DocumentError, LimitExceeded
from apcore.jsonld import ProcessingLimits, Quad, canonicalize, canonicalize_quads, parse_nquads, to_nquads
from vector_files import VECTORS, needs_vectors

SUITE = VECTORS / "rdf-canon"
MANIFEST = SUITE / "manifest.jsonld"
ENTRIES = json.loads(MANIFEST.read_text(encoding="utf-8"))["entries"] if MANIFEST.is_file() else []
NEGATIVE = [entry for entry in ENTRIES if entry["type"] == "rdfc:RDFC10NegativeEvalTest"]
EVALUATED = [entry for entry in ENTRIES if entry not in NEGATIVE]
AS = "https://www.w3.org/ns/activitystreams"


def canonical(entry):
    algorithm = {"SHA384": "sha384"}.get(entry.get("hashAlgorithm"), "sha256")
    return canonicalize_quads(parse_nquads((SUITE / entry["action"]).read_text(encoding="utf-8")), algorithm=algorithm)


@needs_vectors
def test_suite_has_all_entries():
    assert (len(EVALUATED), len(NEGATIVE)) == (85, 1)


@pytest.mark.parametrize("entry", EVALUATED, ids=lambda entry: entry["id"])
def test_published_vectors_are_reproduced(entry):
    result = canonical(entry)
    expected = (SUITE / entry["result"]).read_text(encoding="utf-8")
    if entry["type"] == "rdfc:RDFC10MapTest":
        assert {old[2:]: new[2:] for old, new in result.names.items()} == json.loads(expected)
    else:
        assert result.nquads == expected


@pytest.mark.parametrize("entry", NEGATIVE, ids=lambda entry: entry["id"])
def test_published_poison_graph_is_refused(entry):
    with pytest.raises(LimitExceeded, match="canonical_work_max"):
        canonical(entry)


def clique(size):
    return [Quad(f"_:n{a}", "<https://p.example>", f"_:n{b}", "") for a in range(size) for b in range(size) if a != b]


def cycle(size):
    return [Quad(f"_:n{a}", "<https://p.example>", f"_:n{(a + 1) % size}", "") for a in range(size)]


@pytest.mark.parametrize(
    "quads",
    [clique(6), clique(8), clique(30), cycle(60), cycle(900), clique(5) + cycle(40)],
    ids=["clique 6", "clique 8", "clique 30", "cycle 60", "cycle 900", "both"],
)
def test_poison_graph_is_refused_within_its_budget(quads):
    with pytest.raises(LimitExceeded):
        canonicalize_quads(quads)


def test_work_budget_counts_steps():
    canonicalize_quads(cycle(9), limits=ProcessingLimits(canonical_work_max=500))
    with pytest.raises(LimitExceeded, match="more than 50 steps"):
        canonicalize_quads(cycle(9), limits=ProcessingLimits(canonical_work_max=50))


def test_number_of_blank_nodes_is_bounded():
    quads = [Quad(f"_:n{number}", "<https://p.example>", f'"{number}"', "") for number in range(11)]
    canonicalize_quads(quads, limits=ProcessingLimits(blank_nodes_max=11))
    with pytest.raises(LimitExceeded, match="blank_nodes_max"):
        canonicalize_quads(quads, limits=ProcessingLimits(blank_nodes_max=10))


def test_many_identical_unlinked_nodes_are_cheap():
    # Servers send identical attachments without ids.
    quads = [Quad("<https://a.example>", "<https://p.example>", f"_:n{number}", "") for number in range(500)]
    quads += [Quad(f"_:n{number}", "<https://q.example>", '"same"', "") for number in range(500)]
    assert len(canonicalize_quads(quads).names) == 500


def test_document_has_its_canonical_form():
    document = {
        "@context": AS,
        "id": "https://a.example/1",
        "type": "Note",
        "published": "2024-01-01T00:00:00Z",
        "tag": [{"type": "Mention", "href": "https://b.example/"}],
        "unknown": "left out",
    }
    xsd = "http://www.w3.org/2001/XMLSchema#"
    rdf_type = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
    assert canonicalize(document) == (
        f"<https://a.example/1> {rdf_type} <{AS}#Note> .\n"
        f'<https://a.example/1> <{AS}#published> "2024-01-01T00:00:00Z"^^<{xsd}dateTime> .\n'
        f"<https://a.example/1> <{AS}#tag> _:c14n0 .\n"
        f"_:c14n0 {rdf_type} <{AS}#Mention> .\n"
        f"_:c14n0 <{AS}#href> <https://b.example/> .\n"
    )


def test_unknown_hash_is_a_value_error():
    with pytest.raises(ValueError, match="md5"):
        canonicalize_quads([], algorithm="md5")


NODES = st.sampled_from(["_:a", "_:b", "_:c", "_:d", "<https://x.example>"])
QUADS = st.lists(
    st.builds(
        Quad,
        NODES,
        st.sampled_from(["<https://p.example>", "<https://q.example>"]),
        NODES,
        st.sampled_from(["", "_:a"]),
    ),
    max_size=7,
)


@given(QUADS, st.randoms(use_true_random=False))
def test_blank_node_names_and_order_do_not_matter(quads, rng: random.Random):
    renamed = dict(zip(["_:a", "_:b", "_:c", "_:d"], rng.sample(["_:w", "_:x", "_:y", "_:z"], 4), strict=True))
    other = [Quad(*(renamed.get(term, term) for term in quad)) for quad in quads]
    rng.shuffle(other)
    canonical_form = canonicalize_quads(quads).nquads
    assert canonicalize_quads(other).nquads == canonical_form
    assert canonicalize_quads(parse_nquads(canonical_form)).nquads == canonical_form
    assert to_nquads(parse_nquads(canonical_form)) == canonical_form


@pytest.mark.parametrize(
    "document",
    [
        {"@id": "https://a.example/1", "https://v.example/p": "\ud800"},
        {"@id": "https://a.example/1", "https://v.example/p": ["ok", {"https://v.example/q": "\udfff x"}]},
        {"@id": "https://a.example/\udc00", "https://v.example/p": "x"},
        {"https://v.example/p": {"@value": "x", "@type": "https://v.example/\ud800"}},
        {"https://v.example/p": "\U0001f600"[:1] + "\ud83d"},
    ],
    ids=["text", "inside", "id", "type", "half-of-a-pair"],
)
def test_lone_surrogate_has_no_canonical_form(document):
    with pytest.raises(DocumentError, match="surrogate"):
        canonicalize(document)
    assert canonicalize({"@id": "https://a.example/1", "https://v.example/p": "\U0001f600"}).endswith(
        ' "\U0001f600" .\n'
    )
