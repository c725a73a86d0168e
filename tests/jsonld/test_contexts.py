"""Check that bundled contexts mean the same as the originals."""

import json
import re

import pytest

from apcore.jsonld import BUNDLED
from apcore.jsonld.contexts.notation import context, keywords, prefixes, terms
from vector_files import load_json, needs_vectors

INDEX = load_json("contexts/INDEX.json")
ENTRIES = [
    (entry["url"].split(" ")[0].replace("<pleroma-host>", "host.example"), entry["file"])
    for entry in (INDEX or {"entries": []})["entries"]
]


def short_definition(definition):
    """Return a definition in its short form: `{"@id": "y"}` equals `"y"`, unless y could be a prefix."""
    if isinstance(definition, dict) and "@context" in definition:
        definition = {**definition, "@context": short_context(definition["@context"])}
    if (
        isinstance(definition, dict)
        and set(definition) == {"@id"}
        and not re.search(r"[:/?#\[\]@]$", definition["@id"])
    ):
        return definition["@id"]
    return definition


def short_context(part):
    if isinstance(part, list):
        return [short_context(member) for member in part]
    return {term: short_definition(definition) for term, definition in part.items()} if isinstance(part, dict) else part


@needs_vectors
def test_every_context_of_the_index_is_bundled_with_us():
    assert len(ENTRIES) >= 26
    assert [url for url, _ in ENTRIES if url not in BUNDLED] == []


@pytest.mark.parametrize(
    ("url", "file"),
    ENTRIES,
    ids=[entry[1] for entry in ENTRIES],
)
def test_bundled_context_equals_the_original(url, file):
    original = load_json(f"contexts/{file}")["@context"]
    assert short_context(BUNDLED.get(url)) == short_context(original)


# ed25519-2020 is left out: that document exists in two editions, and the vectors hold the other one.
@pytest.mark.parametrize("name", ["activitystreams", "security-v1", "security-v2", "did-v1"])
def test_bundled_context_equals_the_copy_in_pyld(name):
    from pyld import BUNDLED_CONTEXTS

    path = next(path for url, path in BUNDLED_CONTEXTS.items() if str(path).endswith(f"{name}.jsonld"))
    url = next(url for url, candidate in BUNDLED_CONTEXTS.items() if candidate == path)
    original = json.loads(path.read_text(encoding="utf-8"))["@context"]
    assert short_context(BUNDLED.get(url)) == short_context(original)


def test_notation_builds_a_context():
    assert context(
        {"@vocab": "_:"},
        keywords("id"),
        prefixes(as_="https://a.example#"),
        terms("as", "Note contentMap=content", container="@language"),
        terms("https://b.example#", "x", type_="@id", scoped={"y": "https://c.example"}),
        terms("as", "z"),
    ) == {
        "@vocab": "_:",
        "id": "@id",
        "as": "https://a.example#",
        "Note": {"@id": "as:Note", "@container": "@language"},
        "contentMap": {"@id": "as:content", "@container": "@language"},
        "x": {"@id": "https://b.example#x", "@type": "@id", "@context": {"y": "https://c.example"}},
        "z": "as:z",
    }


def test_notation_refuses_a_repeated_term():
    with pytest.raises(ValueError, match="twice"):
        context(terms("as", "a"), terms("as", "a b"))
