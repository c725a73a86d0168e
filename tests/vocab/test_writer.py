"""What leaves the machine: the table of quirks, line by line, and that every word we write means what we mean."""

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
)

ALICE = "https://a.example/alice"
SECURITY = "https://w3id.org/security/v1"
CID = "https://www.w3.org/ns/cid/v1"


def context_of(view):
    return to_wire(view)["@context"]


def person(**members):
    return Person(id=ALICE, inbox=f"{ALICE}/inbox", outbox=f"{ALICE}/outbox", **members)


# --- the quirks, one test each ------------------------------------------------------------------------------------------


def test_the_context_is_one_address_where_that_is_enough():
    assert context_of(Create(actor=ALICE, object=Note(content="hi", tag=[Mention(href=ALICE)]))) == AS.context


def test_the_context_says_what_is_used_and_no_more():
    assert context_of(Note(sensitive=True, tag=[Hashtag(name="#a")])) == [
        AS.context,
        {"sensitive": "as:sensitive", "Hashtag": "as:Hashtag"},
    ]
    assert context_of(Note(tag=[Emoji(name=":a:")])) == [
        AS.context,
        {"toot": "http://joinmastodon.org/ns#", "Emoji": "toot:Emoji"},
    ]
    assert context_of(person(public_key=CryptographicKey(owner=ALICE, public_key_pem="PEM"))) == [AS.context, SECURITY]


def test_actors_look_like_mastodons():
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
def test_public_is_written_in_full(form, name):
    written = to_wire(Note(**{name: [form, ALICE]}))
    assert written[name] == [PUBLIC, ALICE]


def test_public_is_written_in_full_in_what_was_received_and_changed():
    note = read_document({"@context": AS.context, "type": "Note", "to": "as:Public", "cc": ["Public"]}).view(Note)
    written = to_wire(note.evolve(content="x"))
    assert (written["to"], written["cc"]) == (PUBLIC, [PUBLIC])


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
def test_arrays_where_peers_iterate(view, name):
    written = to_wire(view)[name]
    assert isinstance(written, list)
    assert len(written) == 1


def test_one_of_other_things_stands_alone():
    written = to_wire(Video(urls=[Link(href="https://v.example/1")], audience=ALICE))
    assert written["url"] == {"type": "Link", "href": "https://v.example/1"}
    assert written["audience"] == ALICE


def test_names_are_short():
    written = json.dumps(
        to_wire(Create(id="https://a.example/1", object=Note(attachment=[MediaDocument(url="https://a/")])))
    )
    assert '"@id"' not in written
    assert '"@type"' not in written
    assert '"as:' not in written
    assert '"type": "Document"' in written


def test_nothing_is_null():
    tree = {"@context": AS.context, "type": "Note", "summary": None, "content": "x", "inReplyTo": None}
    changed = read_document(tree).view(Note).evolve(content="y")
    assert to_wire(changed) == {"@context": AS.context, "type": "Note", "content": "y"}
    assert "summary" not in to_wire(Note(summary=None))


def test_moments_are_in_utc_with_z():
    moment = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert to_wire(Note(published=moment))["published"] == "2026-01-01T10:00:00Z"


def test_secrets_are_never_written_at_any_depth():
    note = Note(content="hi", bto="https://b.example/bob", bcc=["https://c.example/carol"])
    create = Create(actor=ALICE, object=note, bto="https://b.example/bob", bcc="https://c.example/carol")
    for source in (create, create.document, Announce(object=create), read_document(create.to_json()), [create]):
        written = json.dumps(to_wire(source[0] if isinstance(source, list) else source))
        assert "bob" not in written
        assert "carol" not in written
    assert create.bto[0].uri == "https://b.example/bob"  # for whoever delivers


def test_what_was_received_is_written_as_it_came_but_for_secrets():
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


def test_places_that_need_no_type_have_none():
    written = to_wire(person(endpoints=Endpoints(shared_inbox="https://a.example/in"), source=Source(content="x")))
    assert "type" not in written["endpoints"]
    assert "type" not in written["source"]


def test_embedded_actors_become_ids_on_request():
    actor = person(name="Alice")
    note = Note(attributed_to=actor, to=[actor, PUBLIC])
    create = Create(actor=actor, object=note, cc=[actor])
    whole, short = to_wire(create), to_wire(create, embed_actors=False)
    assert whole["actor"]["name"] == "Alice"
    assert (short["actor"], short["cc"]) == (ALICE, [ALICE])
    assert (short["object"]["attributedTo"], short["object"]["to"]) == (ALICE, [ALICE, PUBLIC])
    update = to_wire(Update(actor=actor, object=actor), embed_actors=False)
    assert (update["actor"], update["object"]["name"]) == (ALICE, "Alice")


def test_what_has_no_id_is_not_reduced():
    assert to_wire(Create(actor=Person(name="x")), embed_actors=False)["actor"] == {"type": "Person", "name": "x"}


def test_the_context_follows_what_is_left():
    create = Create(actor=person(discoverable=True), object="https://a.example/1")
    assert context_of(create) != AS.context
    assert to_wire(create, embed_actors=False)["@context"] == AS.context


def test_empty_arrays_are_written_only_where_one_is_expected():
    assert to_wire(Note(to=[], tag=[], urls=[])) == {"@context": AS.context, "type": "Note", "to": [], "tag": []}


# --- every word --------------------------------------------------------------------------------------------------------

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
        made = member.view(id="https://x.example/1")
        return made if isinstance(member, One) else [made]
    return next(value for kind, value in SAMPLES.items() if isinstance(member, kind))


WORDS = [
    (view, attribute, member)
    for view in FEDIVERSE.views
    for attribute, member in view.properties()
    if attribute in vars(view) and ":" not in member.term and attribute != "id"
]


@pytest.mark.parametrize("view", dict.fromkeys(view for view, _, _ in WORDS), ids=lambda view: view.__name__)
def test_every_word_is_written_so_that_it_means_what_we_mean(view):
    for owner, attribute, member in WORDS:
        if owner is not view:
            continue
        made = view(**{attribute: sample(member)})
        written = to_wire(made) if member.term not in {"bto", "bcc"} else made.to_json()
        (node,) = expand(written)
        assert set(node) - {"@type", "@id"} == {member.iri}, attribute
        if view.type_iri is not None:
            assert node["@type"] == [view.type_iri]
        again = view.over(read_document(written))
        assert getattr(again, attribute) == getattr(made, attribute), attribute


def test_a_document_of_no_class_has_the_common_context():
    assert minimal_context(read_document({"content": "hi"})) == AS.context
    assert to_wire(Object(content="hi")) == {"@context": AS.context, "type": "Object", "content": "hi"}
