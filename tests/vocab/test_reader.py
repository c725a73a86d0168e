"""Check the reader: documents read as is, translated or refused, and that no context changes a meaning unnoticed."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.errors import ApcoreError, DocumentError, LimitExceeded
from apcore.jsonld import BUNDLED, DEFAULT_LIMITS, ProcessingLimits, WorkBudget, normalize
from apcore.jsonld.compiler import compiler_of
from apcore.jsonld.contexts import BUNDLED_CONTEXTS
from apcore.jsonld.expansion import Expander
from apcore.jsonld.terms import NotCovered
from apcore.signatures.graphs import signed_graph
from apcore.vocab import (
    AS,
    FEDIVERSE,
    Activity,
    Actor,
    Create,
    Image,
    Like,
    Note,
    Object,
    Person,
    PropertyValue,
    read_document,
)

AS2 = "https://www.w3.org/ns/activitystreams"
ALICE = "https://a.example/alice"
MALLORY = "https://mallory.example/m"


def activity(context, **members):
    return {"@context": context, "id": "https://a.example/1", "type": "Create", "actor": ALICE, **members}


PLAIN = [
    ("the address alone", AS2),
    ("in an array", [AS2]),
    ("with http", "http://www.w3.org/ns/activitystreams"),
    ("with a number sign", AS2 + "#"),
    ("security", [AS2, "https://w3id.org/security/v1"]),
    (
        "Mastodon's terms",
        [AS2, {"toot": "http://joinmastodon.org/ns#", "Emoji": "toot:Emoji", "sensitive": "as:sensitive"}],
    ),
    (
        "unused terms",
        [AS2, {"x": "https://x.example/#", "frob": {"@id": "x:frob", "@container": "@index"}}],
    ),
    ("a language", [AS2, {"@language": "de"}]),
    ("an unknown address", [AS2, "https://nowhere.example/context"]),
    ("the same with https", [AS2, {"toot": "https://joinmastodon.org/ns#", "discoverable": "toot:discoverable"}]),
    ("a reference without its type", [AS2, {"movedTo": "as:movedTo"}]),
    ("a bad definition of an unused term", [AS2, {"object": "https://evil.example/object"}]),
]


@pytest.mark.parametrize("context", [row[1] for row in PLAIN], ids=[row[0] for row in PLAIN])
def test_usual_context_is_read_without_translation(context):
    tree = activity(context)
    document = read_document(tree)
    assert not document.reading.translated
    assert document.words is tree
    assert document.view(Create).actor.uri == ALICE


def test_document_without_context_is_read_as_activitystreams():
    document = read_document({"type": "Create", "actor": ALICE})
    assert document.view(Create).actor.uri == ALICE


# Each context changes the meaning of something. The result must be what JSON-LD says, not what plain JSON suggests.
HIJACKS = [
    ("actor means something else", [AS2, {"actor": "https://evil.example/actor"}], {}, None),
    (
        "another term means actor",
        [AS2, {"actor": "https://evil.example/a", "boss": {"@id": "as:actor", "@type": "@id"}}],
        {"boss": MALLORY},
        MALLORY,
    ),
    (
        "another term means actor, too",
        [AS2, {"boss": {"@id": "as:actor", "@type": "@id"}}],
        {"boss": MALLORY},
        "several",
    ),
    ("actor without meaning", [AS2, {"actor": None}], {}, None),
    ("actor reversed", [AS2, {"actor": {"@reverse": "as:actor"}}], {}, None),
    ("actor as JSON", [AS2, {"actor": {"@id": "as:actor", "@type": "@json"}}], {}, ALICE),
    (
        "actor as a language map",
        [AS2, {"actor": {"@id": "as:actor", "@container": "@language"}}],
        {"actor": {"en": ALICE}},
        ALICE,
    ),
    ("the prefix redefined", [AS2, {"as": "https://evil.example/#", "actor": "as:actor"}], {}, None),
    (
        "an object as a prefix",
        [AS2, {"a2": {"@id": AS2 + "#"}, "actor": {"@id": "a2:actor", "@type": "@id"}}],
        {},
        None,
    ),
    ("a prefix without a separator", [AS2, {"a2": AS2, "actor": {"@id": "a2:#actor", "@type": "@id"}}], {}, None),
    (
        "a prefix through another",
        [AS2, {"a2": "a3:", "a3": "https://evil.example/", "actor": {"@id": "a2:actor"}}],
        {},
        None,
    ),
    ("a term as another term", [AS2, {"name": "https://x.example/n", "actor": "name"}], {}, None),
    ("prefixes in a circle", [AS2, {"p": "q:x", "q": "p:y", "actor": "p:actor"}], {}, "refused"),
    ("actor by vocabulary", [AS2, {"actor": {"@id": "as:actor", "@type": "@vocab"}}], {"actor": "name"}, AS2 + "#name"),
    ("a prefixed actor", AS2, {"actor": None, "as:actor": {"id": MALLORY}}, MALLORY),
    ("a full IRI", AS2, {"actor": None, "https://www.w3.org/ns/activitystreams#actor": {"id": MALLORY}}, MALLORY),
    ("everything is AS2", {"@vocab": AS2 + "#", "id": "@id", "type": "@type"}, {"actor": {"id": ALICE}}, ALICE),
    ("a vocabulary for the undefined", [AS2, {"@vocab": "https://evil.example/"}], {}, ALICE),
    (
        "a context inside",
        AS2,
        {"object": {"@context": {"actor": "https://evil.example/a"}, "type": "Note", "actor": 1}},
        ALICE,
    ),
    (
        "null resets the context",
        [AS2, None, {"actor": {"@id": AS2 + "#actor", "@type": "@id"}, "id": "@id", "type": "@type"}],
        {},
        ALICE,
    ),
    ("keywords in place of terms", AS2, {"@id": MALLORY, "id": None}, ALICE),
]


@pytest.mark.parametrize(
    ("context", "members", "expected"), [row[1:] for row in HIJACKS], ids=[row[0] for row in HIJACKS]
)
def test_context_that_changes_a_meaning_forces_translation(context, members, expected):
    tree = {name: value for name, value in activity(context, **members).items() if value is not None}
    if expected == "refused":
        assert Activity.over(read_document(tree)).actor is None
        return
    document = read_document(tree)
    assert document.reading.translated
    assert document.tree is tree
    activity_view = Activity.over(document)
    if expected == "several":
        assert activity_view.actor is None
        assert {reference.uri for reference in activity_view.actors} == {ALICE, MALLORY}
    else:
        assert (activity_view.actor.uri if activity_view.actor else None) == expected


def test_redefined_type_is_not_ours():
    document = read_document({"@context": [AS2, {"Create": "https://evil.example/Create"}], "type": "Create"})
    assert not document.is_a(Create)
    assert document.types == ("https://evil.example/Create",)


@pytest.mark.parametrize(
    "spelling", ["PropertyValue", "schema:PropertyValue", "sc:PropertyValue", "http://schema.org#PropertyValue"]
)
def test_type_is_read_in_every_spelling(spelling):
    context = [
        AS2,
        {"schema": "http://schema.org#", "sc": "http://schema.org#", "PropertyValue": "schema:PropertyValue"},
    ]
    assert read_document({"@context": context, "type": spelling}).is_a(PropertyValue)


def test_type_under_a_redefined_prefix_is_not_ours():
    context = [AS2, {"schema": "https://evil.example/#"}]
    assert not read_document({"@context": context, "type": "schema:PropertyValue"}).is_a(PropertyValue)


def test_unknown_contexts_are_reported_with_and_without_translation():
    unknown = "https://nowhere.example/context"
    assert read_document(activity([AS2, unknown])).reading.ignored_contexts == (unknown,)
    translated = read_document(activity([AS2, unknown, {"@vocab": "https://x.example/"}]))
    assert translated.reading.translated
    assert translated.reading.ignored_contexts == (unknown,)


def test_undefined_terms_have_our_meaning_with_and_without_translation():
    tree = {"@context": AS2, "type": "Note", "sensitive": True, "content": "x"}
    tree_to_translate = {**tree, "@context": [AS2, {"content": None, "content2": "as:content"}], "content2": "x"}
    assert read_document(tree).view(Note).sensitive is True
    document = read_document(tree_to_translate)
    assert document.reading.translated
    assert document.view(Note).sensitive is True
    assert document.view(Note).content == "x"


def test_terms_with_invalid_definitions_are_left_out():
    tree = activity(
        [AS2, {"broken": {"announce": 3}, "summary": {"@id": 3}}], summary="a", object="https://a.example/2"
    )
    create = read_document(tree).view(Create)
    assert create.summary is None
    assert create.object.uri == "https://a.example/2"
    assert create.to_json() == tree


@pytest.mark.parametrize(
    "context", [[AS2, {"id": {"@id": 3}}], [AS2, {"type": 3}], [AS2, {"@vocab": 3}], 3, [AS2, {"Create": 3}]], ids=str
)
def test_invalid_definition_of_an_essential_term_is_refused(context):
    with pytest.raises(DocumentError):
        read_document(activity(context))


def test_bytes_are_parsed_as_strict_json():
    assert read_document(b'{"type": "Note", "content": "hi"}').view(Note).content == "hi"
    with pytest.raises(DocumentError):
        read_document(b'{"type": "Note", "type": "Person"}')
    with pytest.raises(DocumentError):
        read_document(b"[]")
    with pytest.raises(LimitExceeded):
        read_document(b'{"a":' * 200 + b"1" + b"}" * 200)


def test_nested_array_of_contexts_is_refused():
    with pytest.raises(DocumentError):
        read_document(activity([[AS2]]))


def test_memory_of_judged_contexts_is_bounded():
    for number in range(600):
        read_document(activity([AS2, {f"word{number}": f"https://x.example/{number}"}]))
    assert len(FEDIVERSE.seen) <= 256
    # A peer's contexts do not change the judgement of the next document.
    assert read_document(activity(AS2)).view(Create).actor.uri == ALICE


def test_large_contexts_are_not_remembered_and_larger_ones_are_refused():
    FEDIVERSE.seen.clear()
    read_document(activity([AS2, {f"word{number}": f"https://x.example/{number}" for number in range(500)}]))
    read_document(activity([AS2, {f"word{number}": "https://x.example/" + "y" * 400 for number in range(25)}]))
    assert not FEDIVERSE.seen
    for definition in ({"word": "https://x.example/" + "y" * 500}, {"@vocab": "https://x.example/" + "y" * 500}):
        with pytest.raises(LimitExceeded, match="at most 512"):
            read_document(activity([AS2, definition]))
    with pytest.raises(LimitExceeded, match="terms_max"):
        read_document(activity([AS2, {f"word{number}": f"https://x.example/{number}" for number in range(2001)}]))
    with pytest.raises(LimitExceeded, match="contexts_max"):
        read_document(activity(AS2, tag=[{"@context": {f"word{number}": None}} for number in range(260)]))


def test_page_of_items_with_equal_contexts_is_read_without_translation():
    item = {"@context": [AS2, {"x": "https://x.example/"}], "type": "Note"}
    page = read_document(activity(AS2, items=[copy.deepcopy(item) for _ in range(500)]))
    assert not page.reading.translated


def test_equal_contexts_in_different_tables_are_judged_separately():
    context = [AS2, "https://app.example/context"]
    table = BUNDLED.with_context("https://app.example/context", {"actor": "https://evil.example/a"})
    assert read_document(activity(context)).view(Create).actor is not None
    assert read_document(activity(context), contexts=table).view(Create).actor is None
    assert read_document(activity(context)).view(Create).actor is not None


words = st.sampled_from(
    ["actor", "object", "type", "id", "name", "content", "Note", "boss", "as", "@vocab", "@base", "@id", "toot", "a2"]
)
definitions = st.one_of(
    st.sampled_from(
        [
            "as:actor",
            "as:name",
            "@id",
            "@type",
            "https://x.example/",
            AS2,
            AS.iri + "actor",
            "toot:x",
            "",
            "a2:actor",
            "name",
            AS2,
            AS.iri,
        ]
    ),
    st.none(),
    st.integers(),
    st.fixed_dictionaries(
        {"@id": st.sampled_from(["as:actor", "as:object", "as:name", "x:y", "@id", "a2:actor", AS.iri])},
        optional={
            "@type": st.sampled_from(["@id", "@json", "@vocab"]),
            "@container": st.sampled_from(["@list", "@language"]),
        },
    ),
)
contexts = st.lists(st.one_of(st.just(AS2), st.dictionaries(words, definitions, max_size=4), st.none()), max_size=3)
trees = st.fixed_dictionaries(
    {"@context": contexts, "published": st.just("2024-01-01T00:00:00Z")},  # Expansion drops a node with only an id.
    optional={
        "id": st.just("https://a.example/1"),
        "type": st.sampled_from(["Create", ["Like", "x:y"], "as:Note", "Note"]),
        "actor": st.sampled_from([ALICE, {"id": ALICE, "name": "x"}, [ALICE]]),
        "boss": st.just(MALLORY),
        "as:actor": st.just(MALLORY),
        "name": st.sampled_from(["x", ["x"], {"en": "x"}]),
        "object": st.sampled_from(["https://a.example/2", {"type": "Note", "content": "x"}]),
    },
)


@settings(max_examples=80, deadline=None)
@given(trees)
def test_direct_reading_agrees_with_translation(tree):
    before = copy.deepcopy(tree)
    try:
        document = read_document(tree)
    except ApcoreError:
        return
    assert tree == before
    if document.reading.translated:
        return
    context = FEDIVERSE.words.context
    try:
        words = normalize(tree, context, expand_context=context)
    except ApcoreError:
        return  # Only a strict reader refuses it: none of the terms that we read is in doubt.
    translated = type(document)(words, words)
    direct, normalized = Activity.over(document), Activity.over(translated)
    assert {reference.uri for reference in direct.actors} == {reference.uri for reference in normalized.actors}
    assert [reference.uri for reference in direct.objects] == [reference.uri for reference in normalized.objects]
    assert document.id == translated.id
    assert {view_class.__name__ for view_class in document.classes()} == {
        view_class.__name__ for view_class in translated.classes()
    }


def test_document_with_a_known_and_an_unknown_type_has_the_known_view():
    document = read_document(
        {"@context": [AS2, {"z": "https://z.example/#"}], "type": ["z:Zap", "Like"], "actor": ALICE}
    )
    assert document.is_a(Like)
    assert document.is_a(Activity)
    assert isinstance(document.as_declared(Object), Like)


def test_document_with_inbox_and_outbox_is_an_actor():
    assert read_document({"type": "Robot", "inbox": "https://a.example/i", "outbox": "https://a.example/o"}).is_a(Actor)
    assert not read_document({"type": "Robot", "inbox": "https://a.example/i"}).is_a(Actor)
    assert not read_document({"type": "Note", "inbox": "https://a.example/i", "outbox": "https://a.example/o"}).is_a(
        Actor
    )
    assert read_document({"type": "Person"}).is_a(Actor)


def test_document_is_serialised_as_received():
    raw = (
        '{"@context":"https://www.w3.org/ns/activitystreams","z":1,"type":"Person","a":null,'
        '"id":"https://a.example/alice","frob":[[],{}]}'
    )
    person = read_document(raw.encode()).view(Person)
    assert json.dumps(person.to_json(), separators=(",", ":")) == raw


# --- contexts by address after ActivityStreams ----------------------------------------------------------------------

SCHEMA_ORG, IDENTITY = "https://schema.org", "https://w3id.org/identity/v1"
ALIAS = {"alias": "https://www.w3.org/ns/activitystreams#summary"}
UNCOVERED = {"@version": 1.1, "reversed": {"@reverse": "https://x.example/ns#reversed"}}
INLINE_CONTEXTS = {
    "direct": [],
    "translated": [ALIAS],
    "translated by the fallback": [ALIAS, UNCOVERED],
}
BY_ADDRESS = {
    "schema.org": [SCHEMA_ORG],
    "schema.org in another spelling": ["http://schema.org/"],
    "identity/v1": [IDENTITY],
    "between others": ["https://w3id.org/security/v1", SCHEMA_ORG, "https://w3id.org/security/data-integrity/v2"],
    "with protected terms": ["https://www.w3.org/ns/cid/v1", SCHEMA_ORG, IDENTITY],
}


@pytest.mark.parametrize("inline", INLINE_CONTEXTS.values(), ids=INLINE_CONTEXTS)
@pytest.mark.parametrize("addresses", BY_ADDRESS.values(), ids=BY_ADDRESS)
@pytest.mark.parametrize(
    "as2_address", [AS2, "http://www.w3.org/ns/activitystreams#"], ids=["usual", "another spelling"]
)
def test_named_context_cannot_redefine_activitystreams_terms(as2_address, addresses, inline):
    tree = {
        "@context": [as2_address, *addresses, *inline],
        "id": ALICE,
        "type": "Person",
        "name": "Alice",
        "url": "https://remote.example/@alice",
        "image": {"type": "Image", "url": "https://remote.example/a.png"},
        "preferredUsername": "alice",
        "inbox": f"{ALICE}/inbox",
    }
    if inline:
        tree["alias"] = "a summary"
    document = read_document(tree, limits=ProcessingLimits(work_base=10**6, work_max=10**6))
    person = document.view(Person)
    assert (document.id, document.types, document.tree is tree) == (ALICE, ("Person",), True)
    assert (person.name, person.url, person.preferred_username) == ("Alice", "https://remote.example/@alice", "alice")
    assert isinstance(person.image, Image)
    assert person.summary == ("a summary" if inline else None)
    assert document.reading.translated is bool(inline)
    if UNCOVERED in inline:
        with pytest.raises(NotCovered):
            Expander(compiler_of(BUNDLED), DEFAULT_LIMITS, None, WorkBudget(DEFAULT_LIMITS, 0)).expand(tree, None)


@pytest.mark.parametrize("url", sorted(BUNDLED_CONTEXTS))
def test_no_bundled_context_changes_the_meaning_of_an_activity(url):
    """Holds for any context after ActivityStreams, both as is and in a translated document."""
    members = {"id": f"{ALICE}/1", "type": "Create", "actor": ALICE, "to": [ALICE], "published": "2026-01-01T00:00:00Z"}
    note = {"type": "Note", "name": "n", "content": "c", "url": "https://remote.example/1", "attributedTo": ALICE}
    for inline in INLINE_CONTEXTS.values():
        tree = {"@context": [AS2, url, *inline], **members, "object": {**note, **({"alias": "s"} if inline else {})}}
        create = read_document(tree, limits=ProcessingLimits(work_base=10**6, work_max=10**6)).view(Create)
        embedded = create.object.claimed(Note)
        assert (create.actor.uri, [reference.uri for reference in create.to]) == (ALICE, [ALICE])
        assert (embedded.name, embedded.content, embedded.url) == ("n", "c", "https://remote.example/1")
        assert (create.published is not None, embedded.attributed_to.uri) == (True, ALICE)


def test_schema_org_on_the_slow_path_exceeds_the_work_limit():
    tree = {"@context": [AS2, SCHEMA_ORG, ALIAS, UNCOVERED], "id": ALICE, "type": "Person", "alias": "a summary"}
    with pytest.raises(LimitExceeded, match="work_base"):
        read_document(tree)


def test_named_context_still_defines_its_other_terms():
    tree = {"@context": [AS2, SCHEMA_ORG, ALIAS], "type": "Person", "value": "v", "gender": "g", "alias": "s"}
    document = read_document(tree)
    assert document.words["http://schema.org/value"] == "v"
    assert document.words["http://schema.org/gender"] == "g"


@pytest.mark.parametrize(
    "context",
    [
        SCHEMA_ORG,
        [SCHEMA_ORG],
        [{"name": "http://schema.org/name", "Person": "http://schema.org/Person", "id": "@id", "type": "@type"}],
        [AS2, SCHEMA_ORG, {"name": "http://schema.org/name", "Person": "http://schema.org/Person"}],
        [AS2, {"name": "http://schema.org/name", "Person": "http://schema.org/Person"}],
    ],
    ids=["alone", "alone in an array", "inline", "inline after both", "inline after ActivityStreams"],
)
def test_explicit_redefinition_by_the_author_counts(context):
    document = read_document({"@context": context, "id": ALICE, "type": "Person", "name": "Alice"})
    assert document.types == ("http://schema.org/Person",)
    assert document.words.get("name") is None


def test_activitystreams_named_last_wins():
    document = read_document({"@context": [SCHEMA_ORG, AS2], "id": ALICE, "type": "Person", "name": "Alice"})
    assert document.view(Person).name == "Alice"


def test_fetched_or_registered_context_may_redefine_terms():
    url = "https://app.example/context"
    definitions = {"actor": "https://evil.example/ns#actor", "thief": "https://www.w3.org/ns/activitystreams#actor"}
    for contexts in (BUNDLED.with_context(url, definitions), BUNDLED.with_context(SCHEMA_ORG, definitions)):
        address = url if url in contexts else SCHEMA_ORG
        tree = {"@context": [AS2, address], "id": f"{ALICE}/1", "type": "Create", "actor": ALICE, "thief": MALLORY}
        assert read_document(tree, contexts=contexts).view(Create).actor.uri == MALLORY


@given(st.permutations([AS2, SCHEMA_ORG, IDENTITY, "https://w3id.org/security/v1"]))
@settings(deadline=None)
def test_direct_reading_agrees_with_translation_in_every_order_of_contexts(addresses):
    members = {"id": ALICE, "type": "Person", "name": "Alice", "url": "https://remote.example/@alice"}
    plain = read_document({"@context": addresses, **members})
    translated = read_document({"@context": [*addresses, ALIAS], **members, "alias": "s"})
    assert translated.reading.translated
    assert plain.types == translated.types == ("Person",)
    for document in (plain, translated):
        assert (document.view(Person).name, document.view(Person).url) == ("Alice", members["url"])


def test_document_signed_as_a_graph_has_the_meaning_of_the_graph():
    """The hashed statements are of schema.org, so no term of ActivityStreams may stand for them."""
    tree = activity([AS2, SCHEMA_ORG], object={"type": "Note", "name": "Not signed as a name"})
    assert read_document(tree).view(Create).actor.uri == ALICE
    signed_document = read_document(signed_graph(tree).document)
    assert signed_document.view(Create).actor is None
    assert "Not signed as a name" not in str([signed_document.words.get(word) for word in ("actor", "object", "name")])
