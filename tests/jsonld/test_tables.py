"""Check context tables: the addresses under which a context is found."""

import pytest

from apcore.errors import DocumentError, LimitExceeded
from apcore.jsonld import (
    BUNDLED,
    ContextNeeded,
    ContextTable,
    ProcessingLimits,
    compact,
    expand,
    normalize,
    unknown_terms,
)

AS = "https://www.w3.org/ns/activitystreams"
RECIPES = {"Recipe": "https://recipes.example/ns#Recipe", "yield": "https://recipes.example/ns#yield"}


@pytest.mark.parametrize(
    ("spelling", "address"),
    [
        ("http://www.w3.org/ns/activitystreams", AS),
        ("https://www.w3.org/ns/activitystreams#", AS),
        ("https://www.w3.org/ns/activitystreams/", AS),
        ("https://www.w3.org/ns/activitystreams.jsonld", AS),
        ("HTTPS://www.w3.org/ns/activitystreams", AS),
        ("http://w3id.org/security/v1", "https://w3id.org/security/v1"),
        ("http://schema.org/", "https://schema.org"),
        ("https://joinmastodon.org/ns#", "http://joinmastodon.org/ns"),
        ("https://pleroma.example/schemas/litepub-0.1.jsonld", "https://litepub.social/litepub/context.jsonld"),
        ("http://localhost:4001/schemas/litepub-0.1.jsonld", "https://litepub.social/litepub/context.jsonld"),
        ("https://kbin.test/contexts", "https://fedia.io/contexts"),
        ("https://hub.example/apschema/v1.2", "https://other.example/apschema/v1.9"),
    ],
)
def test_spelling_of_an_address_finds_its_context(spelling, address):
    assert BUNDLED.get(spelling) is BUNDLED.get(address)
    assert spelling in BUNDLED


@pytest.mark.parametrize(
    "url",
    [
        "https://www.w3.org/ns/activitystream",
        "https://evil.example/ns/activitystreams",
        "https://evil.example/x/schemas/litepub-0.1.jsonld",
        "https://evil.example/schemas/litepub-0.1.jsonld?x=1",
        "https://evil.example/?/contexts",
        "ftp://www.w3.org/ns/activitystreams",
        "",
    ],
)
def test_similar_address_is_unknown(url):
    assert url not in BUNDLED
    with pytest.raises(ContextNeeded) as exc_info:
        BUNDLED.get(url)
    assert exc_info.value.url == url


def test_expansion_names_the_context_that_it_needs():
    document = {"@context": [AS, "https://recipes.example/ns"], "type": "Recipe", "yield": "4"}
    with pytest.raises(ContextNeeded) as exc_info:
        expand(document)
    assert exc_info.value.url == "https://recipes.example/ns"
    assert isinstance(exc_info.value, DocumentError)


@pytest.mark.parametrize("spelling", ["https://recipes.example/ns", "http://recipes.example/ns#"])
def test_application_registers_its_own_context(spelling):
    table = BUNDLED.with_context(spelling, RECIPES)
    document = {"@context": [AS, "https://recipes.example/ns"], "type": "Recipe", "yield": "4"}
    assert expand(document, contexts=table) == [
        {"@type": ["https://recipes.example/ns#Recipe"], "https://recipes.example/ns#yield": [{"@value": "4"}]}
    ]
    assert "https://recipes.example/ns" not in BUNDLED


def test_registered_context_is_copied():
    context = {"a": "https://a.example/a"}
    table = ContextTable().with_context("https://a.example", context)
    context["a"] = "https://b.example/b"
    assert table.get("https://a.example") == {"a": "https://a.example/a"}


def test_ignored_context_loses_only_its_own_terms():
    document = {"@context": ["https://gone.example/ns", AS], "type": "Note", "name": "x", "gone": 1}
    expanded = expand(document, contexts=BUNDLED.ignoring("https://gone.example/ns"))
    assert expanded == [{"@type": [f"{AS}#Note"], f"{AS}#name": [{"@value": "x"}], "_:gone": [{"@value": 1}]}]


def test_fetched_context_has_a_bounded_number_of_terms():
    document = {"@context": {f"t{n}": f"https://x.example/{n}" for n in range(11)}}
    assert "https://x.example" in BUNDLED.with_document(
        "https://x.example", document, limits=ProcessingLimits(fetched_terms_max=11)
    )
    with pytest.raises(LimitExceeded, match="fetched_terms_max"):
        BUNDLED.with_document("https://x.example", document, limits=ProcessingLimits(fetched_terms_max=10))


def test_fetched_document_without_context_defines_nothing():
    assert BUNDLED.with_document("https://x.example", {"hello": 1}).get("https://x.example") == {}


def test_normalized_document_uses_the_terms_of_the_target_context():
    document = {
        "@context": {"kind": "@type", "who": {"@id": f"{AS}#actor", "@type": "@id"}},
        "kind": f"{AS}#Like",
        "who": "https://a.example/",
    }
    assert normalize(document, AS) == {"@context": AS, "type": "Like", "actor": "https://a.example/"}


def test_expand_context_applies_to_a_document_without_context():
    assert compact(expand({"type": "Note"}, expand_context=AS), AS) == {"@context": AS, "type": "Note"}


def test_relative_references_stay_relative_without_a_base_url():
    assert expand({"@context": AS, "id": "x", "actor": "/y"}) == [{"@id": "x", f"{AS}#actor": [{"@id": "/y"}]}]
    assert (
        expand({"@context": AS, "id": "x", "name": "n"}, base="https://a.example/b/c")[0]["@id"]
        == "https://a.example/b/x"
    )


def test_terms_of_an_ignored_context_are_reported_as_unknown():
    document = {
        "@context": [AS, "https://gone.example/ns"],
        "type": ["Note", "Recipe"],
        "name": "x",
        "yield": {"amount": 4, "unit": {"type": "Cup"}},
        "https://known.example/": 1,
    }
    expanded = expand(document, contexts=BUNDLED.ignoring("https://gone.example/ns"))
    assert unknown_terms(expanded) == {"Recipe", "yield", "amount", "unit", "Cup"}
