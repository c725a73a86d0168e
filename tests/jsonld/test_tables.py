"""Which address finds which context."""

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
def test_spellings_of_one_context(spelling, address):
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
def test_other_addresses_are_not_known(url):
    assert url not in BUNDLED
    with pytest.raises(ContextNeeded) as raised:
        BUNDLED.get(url)
    assert raised.value.url == url


def test_expansion_says_which_context_it_needs():
    document = {"@context": [AS, "https://recipes.example/ns"], "type": "Recipe", "yield": "4"}
    with pytest.raises(ContextNeeded) as raised:
        expand(document)
    assert raised.value.url == "https://recipes.example/ns"
    assert isinstance(raised.value, DocumentError)


@pytest.mark.parametrize("spelling", ["https://recipes.example/ns", "http://recipes.example/ns#"])
def test_an_application_registers_its_own(spelling):
    table = BUNDLED.with_context(spelling, RECIPES)
    document = {"@context": [AS, "https://recipes.example/ns"], "type": "Recipe", "yield": "4"}
    assert expand(document, contexts=table) == [
        {"@type": ["https://recipes.example/ns#Recipe"], "https://recipes.example/ns#yield": [{"@value": "4"}]}
    ]
    assert "https://recipes.example/ns" not in BUNDLED


def test_a_registered_context_is_a_copy():
    mine = {"a": "https://a.example/a"}
    table = ContextTable().with_context("https://a.example", mine)
    mine["a"] = "https://b.example/b"
    assert table.get("https://a.example") == {"a": "https://a.example/a"}


def test_an_ignored_context_takes_only_its_own_terms_along():
    document = {"@context": ["https://gone.example/ns", AS], "type": "Note", "name": "x", "gone": 1}
    expanded = expand(document, contexts=BUNDLED.ignoring("https://gone.example/ns"))
    assert expanded == [{"@type": [f"{AS}#Note"], f"{AS}#name": [{"@value": "x"}], "_:gone": [{"@value": 1}]}]


def test_a_fetched_document_is_bounded():
    document = {"@context": {f"t{n}": f"https://x.example/{n}" for n in range(11)}}
    assert "https://x.example" in BUNDLED.with_document(
        "https://x.example", document, limits=ProcessingLimits(fetched_terms_max=11)
    )
    with pytest.raises(LimitExceeded, match="fetched_terms_max"):
        BUNDLED.with_document("https://x.example", document, limits=ProcessingLimits(fetched_terms_max=10))


def test_a_fetched_document_without_context_defines_nothing():
    assert BUNDLED.with_document("https://x.example", {"hello": 1}).get("https://x.example") == {}


def test_normalizing_says_it_in_our_words():
    theirs = {
        "@context": {"kind": "@type", "who": {"@id": f"{AS}#actor", "@type": "@id"}},
        "kind": f"{AS}#Like",
        "who": "https://a.example/",
    }
    assert normalize(theirs, AS) == {"@context": AS, "type": "Like", "actor": "https://a.example/"}


def test_a_document_without_context_can_be_given_one():
    assert compact(expand({"type": "Note"}, expand_context=AS), AS) == {"@context": AS, "type": "Note"}


def test_relative_references_stay_relative_without_a_base():
    assert expand({"@context": AS, "id": "x", "actor": "/y"}) == [{"@id": "x", f"{AS}#actor": [{"@id": "/y"}]}]
    assert (
        expand({"@context": AS, "id": "x", "name": "n"}, base="https://a.example/b/c")[0]["@id"]
        == "https://a.example/b/x"
    )


def test_the_terms_that_an_ignored_context_leaves_without_meaning_are_reported():
    document = {
        "@context": [AS, "https://gone.example/ns"],
        "type": ["Note", "Recipe"],
        "name": "x",
        "yield": {"amount": 4, "unit": {"type": "Cup"}},
        "https://known.example/": 1,
    }
    expanded = expand(document, contexts=BUNDLED.ignoring("https://gone.example/ns"))
    assert unknown_terms(expanded) == {"Recipe", "yield", "amount", "unit", "Cup"}
