"""Check views: creating, reading and evolving them, and the documents that they cover."""

from __future__ import annotations

import copy
import sys
from datetime import UTC, datetime, timedelta

import pytest

from apcore.errors import DocumentError
from apcore.vocab import (
    AS,
    FEDIVERSE,
    PUBLIC,
    Accept,
    Activity,
    Article,
    Collection,
    Create,
    Document,
    Endpoints,
    Follow,
    Image,
    Link,
    Many,
    Mention,
    Note,
    Numbers,
    Object,
    OrderedCollection,
    OrderedCollectionPage,
    Person,
    Question,
    Reference,
    Text,
    Thing,
    Tombstone,
    View,
    WrongType,
    read_document,
)

ALICE = "https://a.example/alice"


class Slotted:
    __slots__ = ("document",)


def test_view_takes_the_memory_of_one_slot():
    note = Note(content="hi")
    assert not hasattr(note, "__dict__")
    assert sys.getsizeof(note) == sys.getsizeof(Slotted())


def test_view_is_written_with_the_given_values():
    note = Note(
        content="hi",
        id="https://a.example/1",
        attributed_to=ALICE,
        in_reply_to=Reference("https://b.example/2"),
        to=PUBLIC,
        published=datetime(2026, 1, 1, tzinfo=UTC),
        duration=timedelta(minutes=1),
        sensitive=False,
        content_map={"en": "hi"},
        summary=None,
        tag=[Mention(href=ALICE, name="@alice")],
    )
    assert note.document.tree == {
        "id": "https://a.example/1",
        "type": "Note",
        "content": "hi",
        "attributedTo": ALICE,
        "inReplyTo": "https://b.example/2",
        "to": [PUBLIC],
        "published": "2026-01-01T00:00:00Z",
        "duration": "PT1M",
        "sensitive": False,
        "contentMap": {"en": "hi"},
        "tag": [{"type": "Mention", "href": ALICE, "name": "@alice"}],
    }
    assert list(note.document.tree)[:2] == ["id", "type"]


def test_view_reads_back():
    note = Note(content="hi", attributed_to=ALICE, tag=[Mention(href=ALICE)], icon=Image(url="https://a.example/i.png"))
    read_note = read_document(note.to_json()).view(Note)
    assert read_note.content == "hi"
    assert read_note.attributed_to == Reference(ALICE)
    assert isinstance(read_note.tag[0], Mention)
    assert read_note.icon.url == "https://a.example/i.png"


MISTAKES = [
    ("no such property", lambda: Note(contents="hi"), TypeError, "no property 'contents'"),
    ("the wire's name", lambda: Note(attributedTo=ALICE), TypeError, "no property"),
    ("a method in place of a property", lambda: Note(evolve=1), TypeError, "no property"),
    ("a number for a text", lambda: Note(content=3), ValueError, "content=3: expected a string"),
    ("a text for a truth value", lambda: Note(sensitive="yes"), ValueError, "sensitive='yes'"),
    ("a truth value for a number", lambda: Image(width=True), ValueError, "width=True"),
    ("a text for a moment", lambda: Note(published="2026-01-01"), ValueError, "a datetime"),
    ("a moment without a zone", lambda: Note(published=datetime(2026, 1, 1)), ValueError, "no zone"),  # noqa: DTZ001
    ("a number for a duration", lambda: Note(duration=3), ValueError, "a timedelta"),
    ("an empty address", lambda: Note(url=""), ValueError, "an address"),
    ("a number for a reference", lambda: Note(attributed_to=3), ValueError, "a Reference"),
    ("a view of another class", lambda: Person(endpoints=Note()).endpoints, None, None),
    ("a note for a link", lambda: Note(urls=[Note()]), ValueError, "a Link"),
    ("a text for a view", lambda: Note(icon="https://a.example/i.png"), ValueError, "a Image"),
    ("one word twice", lambda: Create(object="https://a/", objects=["https://b/"]), ValueError, "give one"),
    ("a map of numbers", lambda: Note(content_map={"en": 3}), ValueError, "language tag"),
    ("numbers that are not finite", lambda: Floor(level=[float("nan")]), ValueError, "finite"),
]


class Floor(View, ns="https://x.example/ns#"):
    level: Numbers = Numbers()
    rooms: Many[Floor] = Many("Floor")


@pytest.mark.parametrize(("make", "error", "message"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_invalid_property_value_is_refused_in_words(make, error, message):
    if error is None:
        make()  # A facet accepts any view, because it has no type to demand.
        return
    with pytest.raises(error, match=message):
        make()


def test_view_is_immutable():
    note = Note(content="hi")
    with pytest.raises(AttributeError, match="evolve"):
        note.content = "ho"
    with pytest.raises(AttributeError, match="evolve"):
        del note.content
    with pytest.raises(AttributeError):
        note.mood = "good"


def test_evolve_keeps_other_members_and_their_order():
    tree = {
        "@context": "https://www.w3.org/ns/activitystreams",
        "z": [1, {"y": None}],
        "type": "Note",
        "content": "hi",
        "summary": "s",
        "a": "b",
    }
    before = copy.deepcopy(tree)
    note = read_document(tree).view(Note)
    changed = note.evolve(content="ho", summary=None, name="n")
    assert list(changed.to_json()) == ["@context", "z", "type", "content", "a", "name"]
    assert changed.to_json()["content"] == "ho"
    assert changed.to_json()["z"] == [1, {"y": None}]
    assert (tree, note.content) == (before, "hi")


def test_evolve_replaces_a_synonym_of_the_property():
    changed = read_document({"type": "Image", "mimeType": "image/png"}).view(Image).evolve(media_type="image/jpeg")
    assert (
        changed.to_json() == {"@context": AS.context, "type": "Image", "mimeType": "image/jpeg"}
        or changed.media_type == "image/jpeg"
    )
    assert changed.media_type == "image/jpeg"
    assert read_document({"type": "Image", "mimeType": "x"}).view(Image).evolve(media_type=None).media_type is None


def test_evolved_translation_uses_our_terms():
    tree = {"@context": ["https://www.w3.org/ns/activitystreams", {"text": "as:content"}], "type": "Note", "text": "hi"}
    note = read_document(tree).view(Note)
    assert note.content == "hi"
    changed = note.evolve(content="ho")
    assert changed.to_json() == {"@context": AS.context, "type": "Note", "content": "ho"}


def test_views_compare_by_value():
    assert Note(content="hi") == Note(content="hi")
    assert hash(Note(content="hi")) == hash(Note(content="hi"))
    assert Note(content="hi") != Note(content="ho")
    assert Note(content="hi").view(Object) != Note(content="hi")
    assert repr(Note(id="https://a.example/1")) == "<Note https://a.example/1>"
    assert repr(read_document({"type": "Zap"}).view(Object)) == "<Object Zap without id>"


COVERS = [
    (["Note"], Note, True),
    (["Note"], Object, True),
    (["Note"], Article, False),
    (["Person"], Note, False),
    (["Mention"], Link, True),
    (["Mention"], Object, False),
    (["Mention", "Note"], Object, True),
    (["Zap"], Object, True),
    (["Zap"], Activity, False),
    (["Zap", "Like"], Activity, True),
    (["as:Note"], Note, True),
    (["https://www.w3.org/ns/activitystreams#Note"], Note, True),
    ([], Object, True),
    ([], Note, False),
    ([], Thing, True),
    (["OrderedCollectionPage"], Collection, True),
    (["OrderedCollectionPage"], OrderedCollection, True),
    (["Question"], Activity, False),
]


@pytest.mark.parametrize(("types", "view", "covered"), COVERS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_view_covers_documents_of_its_types(types, view, covered):
    document = read_document({"type": types})
    assert document.is_a(view) == covered
    if covered:
        assert type(document.view(view)) is view
    else:
        with pytest.raises(WrongType, match=view.__name__):
            document.view(view)


def test_wrong_type_is_a_document_error():
    assert issubclass(WrongType, DocumentError)
    assert (WrongType.reason, WrongType.status_hint) == ("wrong-type", 422)


def test_several_views_share_one_document():
    document = read_document({"type": "Person", "id": ALICE, "_misskey_summary": "x", "isCat": True})
    person = document.view(Person)
    assert person.view(Thing).id == ALICE
    assert person.view(Thing).document is document


def test_class_without_type_has_the_type_of_its_parent():
    class Post(Note, ns="https://x.example/ns#"):
        mood: Text = Text()

    assert Post(mood="good").document.tree == {"type": "Note", "mood": "good"}
    assert read_document({"type": "Note", "mood": "good"}).view(Post).mood == "good"
    with pytest.raises(WrongType):
        read_document({"type": "Article"}).view(Post)


def test_type_needs_a_namespace():
    with pytest.raises(ValueError, match="name the namespace"):

        class Homeless(View, type="Homeless"):
            pass


def test_property_needs_an_iri():
    with pytest.raises(ValueError, match="has no IRI"):

        class Mute(View):
            word: Text = Text()


def test_class_may_embed_itself():
    floor = Floor(rooms=[Floor(level=[1, 2.5])])
    assert floor.rooms[0].level == (1, 2.5)


def test_picture_may_be_a_link_or_a_string():
    for icon in (
        "https://a.example/i.png",
        {"type": "Link", "href": "https://a.example/i.png"},
        [{"type": "Image", "url": "https://a.example/i.png"}],
    ):
        assert read_document({"type": "Person", "icon": icon}).view(Person).icon.url == "https://a.example/i.png"
    assert read_document({"type": "Person", "icon": None}).view(Person).icon is None


def test_url_is_read_in_all_its_shapes():
    tree = {
        "type": "Video",
        "url": [{"type": "Link", "mediaType": "text/html", "href": "https://v.example/1"}, "https://v.example/2"],
    }
    video_view = read_document(tree).view(Object)
    assert video_view.url == "https://v.example/1"
    assert [link.href for link in video_view.urls] == ["https://v.example/1", "https://v.example/2"]


def test_several_different_actors_read_as_none():
    two_actors = {"type": "Like", "actor": [ALICE, "https://b.example/bob"]}
    assert read_document(two_actors).view(Activity).actor is None
    assert len(read_document(two_actors).view(Activity).actors) == 2
    one_actor_twice = {"type": "Like", "actor": [ALICE, {"id": ALICE, "type": "Person"}]}
    assert read_document(one_actor_twice).view(Activity).actor == Reference(ALICE)


def test_shared_inbox_is_read_from_endpoints_or_actor():
    assert Person(endpoints=Endpoints(shared_inbox="https://a.example/in")).shared_inbox == "https://a.example/in"
    assert (
        read_document({"type": "Person", "sharedInbox": "https://a.example/in"}).view(Person).shared_inbox
        == "https://a.example/in"
    )
    assert read_document({"type": "Person", "endpoints": "https://a.example/e"}).view(Person).shared_inbox is None


@pytest.mark.parametrize(
    ("closed", "expected"),
    [(True, True), ("2026-01-01T00:00:00Z", True), (False, False), (None, False), ("soon", False)],
    ids=str,
)
def test_poll_is_closed_by_true_or_a_time(closed, expected):
    assert read_document({"type": "Question", "closed": closed}).view(Question).is_closed is expected


def test_items_are_read_under_either_name():
    for name in ("items", "orderedItems"):
        for kind in (OrderedCollection, Collection):
            page = read_document({"type": kind.__name__, name: "https://a.example/1"}).view(kind)
            assert [item.uri for item in page.items] == ["https://a.example/1"]


def test_items_of_a_page_are_always_written_as_an_array():
    page = OrderedCollectionPage(id="https://a.example/o?1", part_of="https://a.example/o", items=[])
    assert page.to_json()["orderedItems"] == []
    assert OrderedCollectionPage(items="https://a.example/1").to_json()["orderedItems"] == ["https://a.example/1"]


def test_embedded_object_is_only_a_claim():
    follow = {
        "id": "https://b.example/f",
        "type": "Follow",
        "actor": "https://b.example/bob",
        "object": ALICE,
        "x": [1],
    }
    accept = read_document({"type": "Accept", "actor": ALICE, "object": follow}).view(Accept)
    assert accept.object.claimed(Follow).object == Reference(ALICE)
    assert accept.object.claimed(Note) is None
    assert Reference(ALICE).claimed(Note) is None
    assert accept.object.embedded.tree is follow


def test_received_document_is_embedded_whole():
    received = read_document({"@context": AS.context, "id": "https://b.example/f", "type": "Follow", "x": [1, None]})
    accept = Accept(actor=ALICE, object=received)
    assert accept.to_json()["object"] == {"id": "https://b.example/f", "type": "Follow", "x": [1, None]}
    other = read_document({"@context": [AS.context, {"x": "https://x.example/"}], "type": "Follow", "x": 1})
    assert Accept(object=other).to_json()["object"]["@context"] == [AS.context, {"x": "https://x.example/"}]


def test_embedded_document_inherits_the_outer_context():
    context = [AS.context, {"x": "https://x.example/"}]
    create = read_document({"@context": context, "type": "Create", "object": {"type": "Note", "x": 1}}).view(Create)
    assert create.object.embedded.to_json() == {"@context": context, "type": "Note", "x": 1}
    bare = read_document({"type": "Create", "object": {"type": "Note"}}).view(Create)
    assert bare.object.embedded.to_json() == {"type": "Note"}


def test_tombstone_has_its_former_type():
    assert read_document({"type": "Tombstone", "formerType": "Note"}).view(Tombstone).former_type == ("Note",)


def test_every_type_of_activitystreams_has_a_view():
    type_names = {view.type_name for view in FEDIVERSE.views if view.namespace is AS}
    expected = [
        "Object",
        "Link",
        "Activity",
        "IntransitiveActivity",
        "Collection",
        "OrderedCollection",
        "CollectionPage",
        "OrderedCollectionPage",
        "Accept",
        "TentativeAccept",
        "Add",
        "Arrive",
        "Create",
        "Delete",
        "Follow",
        "Ignore",
        "Join",
        "Leave",
        "Like",
        "Offer",
        "Invite",
        "Reject",
        "TentativeReject",
        "Remove",
        "Undo",
        "Update",
        "View",
        "Listen",
        "Read",
        "Move",
        "Travel",
        "Announce",
        "Block",
        "Flag",
        "Dislike",
        "Question",
        "Application",
        "Group",
        "Organization",
        "Person",
        "Service",
        "Relationship",
        "Article",
        "Document",
        "Audio",
        "Image",
        "Video",
        "Note",
        "Page",
        "Event",
        "Place",
        "Mention",
        "Profile",
        "Tombstone",
        "Hashtag",
    ]
    assert set(expected) <= type_names


def test_every_property_of_activitystreams_is_defined():
    terms = {member.term for view in FEDIVERSE.views for _, member in view.properties()}
    expected = [
        "id",
        "actor",
        "attachment",
        "attributedTo",
        "audience",
        "bcc",
        "bto",
        "cc",
        "context",
        "current",
        "first",
        "generator",
        "icon",
        "image",
        "inReplyTo",
        "instrument",
        "last",
        "location",
        "items",
        "oneOf",
        "anyOf",
        "closed",
        "origin",
        "next",
        "object",
        "prev",
        "preview",
        "result",
        "replies",
        "tag",
        "target",
        "to",
        "url",
        "accuracy",
        "altitude",
        "content",
        "contentMap",
        "name",
        "nameMap",
        "duration",
        "endTime",
        "height",
        "href",
        "hreflang",
        "latitude",
        "longitude",
        "mediaType",
        "partOf",
        "published",
        "radius",
        "rel",
        "startIndex",
        "startTime",
        "summary",
        "summaryMap",
        "totalItems",
        "units",
        "updated",
        "width",
        "subject",
        "relationship",
        "describes",
        "formerType",
        "deleted",
        "inbox",
        "outbox",
        "following",
        "followers",
        "liked",
        "streams",
        "preferredUsername",
        "endpoints",
        "proxyUrl",
        "oauthAuthorizationEndpoint",
        "oauthTokenEndpoint",
        "provideClientKey",
        "signClientKey",
        "sharedInbox",
        "likes",
        "shares",
        "source",
        "uploadMedia",
        "orderedItems",
    ]
    assert set(expected) <= terms


def test_documents_compare_by_their_members():
    assert read_document({"type": "Note"}) == read_document({"type": "Note"})
    assert read_document({"type": "Note"}) != Document({"type": "Page"}, {"type": "Page"})
    assert (read_document({"id": ""}).id, read_document({"id": 3}).id, read_document({"id": "x"}).id) == (
        None,
        None,
        "x",
    )
    assert read_document({"type": ["", 3, "Note"]}).types == ("Note",)
    assert read_document({"type": {}}).types == ()


# --- texts and their language maps ----------------------------------------------------------------------------------

MAPPED_TEXTS = {
    "missing": ({}, {"de": "hallo"}, "hallo"),
    "null": ({"TEXT": None}, {"de": "hallo"}, "hallo"),
    "empty": ({"TEXT": ""}, {"de": "hallo"}, "hallo"),
    "blank": ({"TEXT": " \n\t\u00a0"}, {"de": "hallo"}, "hallo"),
    "no text": ({"TEXT": 5}, {"de": "hallo"}, "hallo"),
    "an empty array": ({"TEXT": []}, {"de": "hallo"}, "hallo"),
    "blank, and its map too": ({"TEXT": ""}, {"de": " "}, ""),
    "blank, and its map is empty": ({"TEXT": ""}, {}, ""),
    "blank, and its map is a string": ({"TEXT": ""}, "hallo", "hallo"),
    "blank, and the undetermined text of its map too": ({"TEXT": ""}, {"und": "", "de": "hallo"}, "hallo"),
    "filled": ({"TEXT": "hello"}, {"de": "hallo"}, "hello"),
    "a map under the plain name": ({"TEXT": {"und": "", "de": "hallo"}}, {"fr": "salut"}, "hallo"),
}  # fmt: skip


@pytest.mark.parametrize("term", ["content", "name", "summary"])
@pytest.mark.parametrize(("members", "texts", "expected"), MAPPED_TEXTS.values(), ids=MAPPED_TEXTS)
def test_blank_text_yields_to_its_language_map(members, texts, expected, term):
    plain = {term if name == "TEXT" else name: value for name, value in members.items()}
    note = read_document({"type": "Note", **plain, f"{term}Map": texts}).view(Note)
    assert getattr(note, term) == expected
