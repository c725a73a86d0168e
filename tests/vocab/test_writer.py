"""Check the writer: each interoperability rule, and that every written term has the intended meaning."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from apcore.jsonld import expand
from apcore.vocab import (
    AS,
    FEDIVERSE,
    PUBLIC,
    Announce,
    Boolean,
    Collection,
    Create,
    CryptographicKey,
    Duration,
    Emoji,
    Endpoints,
    Hashtag,
    Image,
    Integer,
    LanguageMap,
    Link,
    Many,
    MediaDocument,
    Mention,
    Moment,
    Multikey,
    Note,
    Number,
    Numbers,
    Object,
    One,
    OrderedCollectionPage,
    Person,
    PropertyValue,
    Raw,
    Ref,
    Refs,
    Source,
    Text,
    Texts,
    Update,
    Uri,
    Uris,
    Video,
    minimal_context,
    read_document,
    to_wire,
    without_nulls,
)

ALICE = "https://a.example/alice"
SECURITY = "https://w3id.org/security/v1"
CID = "https://www.w3.org/ns/cid/v1"


def context_of(view):
    return to_wire(view)["@context"]


def person(**members):
    return Person(id=ALICE, inbox=f"{ALICE}/inbox", outbox=f"{ALICE}/outbox", **members)


# --- interoperability rules, one test each ----------------------------------------------------------------------------


def test_context_is_one_address_if_that_is_enough():
    assert context_of(Create(actor=ALICE, object=Note(content="hi", tag=[Mention(href=ALICE)]))) == AS.context


def test_context_defines_only_the_terms_in_use():
    assert context_of(Note(sensitive=True, tag=[Hashtag(name="#a")])) == [
        AS.context,
        {"sensitive": "as:sensitive", "Hashtag": "as:Hashtag"},
    ]
    assert context_of(Note(tag=[Emoji(name=":a:")])) == [
        AS.context,
        {"toot": "http://joinmastodon.org/ns#", "Emoji": "toot:Emoji"},
    ]
    assert context_of(person(public_key=CryptographicKey(owner=ALICE, public_key_pem="PEM"))) == [AS.context, SECURITY]


def test_actor_is_written_like_mastodon_does():
    actor = person(
        public_key=CryptographicKey(id=f"{ALICE}#main-key", owner=ALICE, public_key_pem="PEM"),
        assertion_method=[Multikey(id=f"{ALICE}#ed", controller=ALICE, public_key_multibase="z6Mk")],
        endpoints=Endpoints(shared_inbox="https://a.example/inbox"),
        attachment=[PropertyValue(name="Site", value="<a>")],
        manually_approves_followers=False,
        featured=f"{ALICE}/featured",
        moved_to="https://b.example/alice",
    )
    assert to_wire(actor) == {
        "@context": [
            AS.context,
            SECURITY,
            CID,
            {
                "schema": "http://schema.org#",
                "value": "schema:value",
                "manuallyApprovesFollowers": "as:manuallyApprovesFollowers",
                "toot": "http://joinmastodon.org/ns#",
                "featured": {"@id": "toot:featured", "@type": "@id"},
                "movedTo": {"@id": "as:movedTo", "@type": "@id"},
                "PropertyValue": "schema:PropertyValue",
            },
        ],
        "id": ALICE,
        "type": "Person",
        "inbox": f"{ALICE}/inbox",
        "outbox": f"{ALICE}/outbox",
        "publicKey": {"id": f"{ALICE}#main-key", "owner": ALICE, "publicKeyPem": "PEM"},
        "assertionMethod": [
            {"id": f"{ALICE}#ed", "type": "Multikey", "controller": ALICE, "publicKeyMultibase": "z6Mk"}
        ],
        "endpoints": {"sharedInbox": "https://a.example/inbox"},
        "attachment": [{"type": "PropertyValue", "name": "Site", "value": "<a>"}],
        "manuallyApprovesFollowers": False,
        "featured": f"{ALICE}/featured",
        "movedTo": "https://b.example/alice",
    }


@pytest.mark.parametrize("form", ["as:Public", "Public", PUBLIC])
@pytest.mark.parametrize("name", ["to", "cc", "audience"])
def test_public_is_written_as_the_full_iri(form, name):
    tree = to_wire(Note(**{name: [form, ALICE]}))
    assert tree[name] == [PUBLIC, ALICE]


def test_public_is_written_as_the_full_iri_in_an_evolved_document():
    note = read_document({"@context": AS.context, "type": "Note", "to": "as:Public", "cc": ["Public"]}).view(Note)
    tree = to_wire(note.evolve(content="x"))
    assert (tree["to"], tree["cc"]) == (PUBLIC, [PUBLIC])


ARRAYS = [
    (Note(to=ALICE), "to"),
    (Note(cc=ALICE), "cc"),
    (Note(tag=Mention(href=ALICE)), "tag"),
    (Note(attachment=Image(url="https://a.example/i.png")), "attachment"),
    (Collection(items=ALICE), "items"),
    (OrderedCollectionPage(items=[ALICE]), "orderedItems"),
    (Person(also_known_as=["https://b.example/alice"]), "alsoKnownAs"),
    (Person(assertion_method=Multikey(public_key_multibase="z6")), "assertionMethod"),
    (Person(attribution_domains=["a.example"]), "attributionDomains"),
]


@pytest.mark.parametrize(("view", "name"), ARRAYS, ids=[row[1] for row in ARRAYS])
def test_properties_that_peers_iterate_are_written_as_arrays(view, name):
    value = to_wire(view)[name]
    assert isinstance(value, list)
    assert len(value) == 1


def test_single_value_of_other_properties_is_written_without_array():
    tree = to_wire(Video(urls=[Link(href="https://v.example/1")], audience=ALICE))
    assert tree["url"] == {"type": "Link", "href": "https://v.example/1"}
    assert tree["audience"] == ALICE


def test_written_names_are_short():
    text = json.dumps(
        to_wire(Create(id="https://a.example/1", object=Note(attachment=[MediaDocument(url="https://a/")])))
    )
    assert '"@id"' not in text
    assert '"@type"' not in text
    assert '"as:' not in text
    assert '"type": "Document"' in text


def test_null_members_are_never_written():
    tree = {"@context": AS.context, "type": "Note", "summary": None, "content": "x", "inReplyTo": None}
    changed = read_document(tree).view(Note).evolve(content="y")
    assert to_wire(changed) == {"@context": AS.context, "type": "Note", "content": "y"}
    assert "summary" not in to_wire(Note(summary=None))


def test_moments_are_written_in_utc_with_z():
    moment = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert to_wire(Note(published=moment))["published"] == "2026-01-01T10:00:00Z"


def test_bto_and_bcc_are_never_written_at_any_depth():
    note = Note(content="hi", bto="https://b.example/bob", bcc=["https://c.example/carol"])
    create = Create(actor=ALICE, object=note, bto="https://b.example/bob", bcc="https://c.example/carol")
    for source in (create, create.document, Announce(object=create), read_document(create.to_json()), [create]):
        text = json.dumps(to_wire(source[0] if isinstance(source, list) else source))
        assert "bob" not in text
        assert "carol" not in text
    assert create.bto[0].uri == "https://b.example/bob"  # The deliverer still needs it.


def test_received_document_is_written_unchanged_except_for_bto_and_bcc():
    tree = {
        "type": "Note",
        "to": "as:Public",
        "x": None,
        "bto": "b",
        "tag": {"bcc": "c", "type": "Mention"},
        "@context": AS.context,
    }
    assert json.dumps(to_wire(read_document(tree))) == json.dumps(
        {"type": "Note", "to": "as:Public", "x": None, "tag": {"type": "Mention"}, "@context": AS.context}
    )


def test_endpoints_and_source_are_written_without_type():
    tree = to_wire(person(endpoints=Endpoints(shared_inbox="https://a.example/in"), source=Source(content="x")))
    assert "type" not in tree["endpoints"]
    assert "type" not in tree["source"]


def test_embedded_actors_become_ids_when_requested():
    actor = person(name="Alice")
    note = Note(attributed_to=actor, to=[actor, PUBLIC])
    create = Create(actor=actor, object=note, cc=[actor])
    with_actors, with_ids = to_wire(create), to_wire(create, embed_actors=False)
    assert with_actors["actor"]["name"] == "Alice"
    assert (with_ids["actor"], with_ids["cc"]) == (ALICE, [ALICE])
    assert (with_ids["object"]["attributedTo"], with_ids["object"]["to"]) == (ALICE, [ALICE, PUBLIC])
    update = to_wire(Update(actor=actor, object=actor), embed_actors=False)
    assert (update["actor"], update["object"]["name"]) == (ALICE, "Alice")


def test_embedded_actor_without_id_stays_embedded():
    assert to_wire(Create(actor=Person(name="x")), embed_actors=False)["actor"] == {"type": "Person", "name": "x"}


def test_context_omits_terms_of_reduced_actors():
    create = Create(actor=person(discoverable=True), object="https://a.example/1")
    assert context_of(create) != AS.context
    assert to_wire(create, embed_actors=False)["@context"] == AS.context


def test_nulls_are_removed_except_from_contexts_and_signed_objects():
    context = [AS.context, {"@vocab": None}]
    signed = {"type": "Note", "summary": None, "proof": {"type": "DataIntegrityProof", "created": None}}
    tree = {"@context": context, "to": [None, ALICE], "tag": [{"name": None, "x": [[None]]}], "y": None, "of": signed}
    expected = {"@context": context, "to": [ALICE], "tag": [{"x": [[]]}], "of": signed}
    assert without_nulls(tree) == expected
    assert without_nulls(expected) == expected
    assert without_nulls(signed) == signed


def test_empty_arrays_are_written_only_for_array_properties():
    assert to_wire(Note(to=[], tag=[], urls=[])) == {"@context": AS.context, "type": "Note", "to": [], "tag": []}


# --- every term -----------------------------------------------------------------------------------------------------

SAMPLES = {
    Text: "text",
    Texts: ["text"],
    LanguageMap: {"en": "text"},
    Boolean: True,
    Integer: 7,
    Number: 7.5,
    Numbers: [0.5, 0.5],
    Moment: datetime(2026, 1, 1, tzinfo=UTC),
    Duration: timedelta(hours=1),
    Uri: "https://x.example/1",
    Uris: ["https://x.example/1"],
    Ref: "https://x.example/1",
    Refs: ["https://x.example/1"],
    Raw: "raw",
}


def sample(member):
    if isinstance(member, One | Many):
        view = member.view(id="https://x.example/1")
        return view if isinstance(member, One) else [view]
    return next(value for kind, value in SAMPLES.items() if isinstance(member, kind))


PROPERTIES = [
    (view, attribute, member)
    for view in FEDIVERSE.views
    for attribute, member in view.properties()
    if attribute in vars(view) and ":" not in member.term and attribute != "id"
]


@pytest.mark.parametrize("view", dict.fromkeys(view for view, _, _ in PROPERTIES), ids=lambda view: view.__name__)
def test_every_property_is_written_with_its_iri_and_reads_back(view):
    for owner, attribute, member in PROPERTIES:
        if owner is not view:
            continue
        written_view = view(**{attribute: sample(member)})
        tree = to_wire(written_view) if member.term not in {"bto", "bcc"} else written_view.to_json()
        (node,) = expand(tree)
        assert set(node) - {"@type", "@id"} == {member.iri}, attribute
        if view.type_iri is not None:
            assert node["@type"] == [view.type_iri]
        read_view = view.over(read_document(tree))
        assert getattr(read_view, attribute) == getattr(written_view, attribute), attribute


def test_document_of_no_class_has_the_common_context():
    assert minimal_context(read_document({"content": "hi"})) == AS.context
    assert to_wire(Object(content="hi")) == {"@context": AS.context, "type": "Object", "content": "hi"}


@pytest.mark.parametrize("value", [True, float("inf"), float("nan"), "7", None])
@pytest.mark.parametrize(
    "member",
    [member for _, _, member in PROPERTIES if isinstance(member, Number | Numbers | Integer)],
    ids=lambda member: f"{member.owner_name if hasattr(member, 'owner_name') else ''}{member.term}",
)
def test_value_that_is_no_finite_number_is_refused_by_every_property_of_numbers(member, value):
    with pytest.raises((TypeError, ValueError)):
        member.encode([1.0, value] if isinstance(member, Numbers) else value, ())
