"""ActivityStreams objects and links: what activities are about.

The properties are those of the AS2 vocabulary under their own names (in snake_case), and the ones that nearly every server adds to them. A
property that may have several values, and mostly has one, comes twice: `url` is the first, `urls` are all. `url` is for people to follow, so it is http
or https or not there; `urls` and `Link.href` are as they came.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from apcore.vocab.documents import Document
from apcore.vocab.namespaces import AS, FEP_044F, OSTATUS, SCHEMA, SMITHEREEN, TOOT
from apcore.vocab.relations import Many, One, Ref, Refs, Uri, Uris, WebUri
from apcore.vocab.scalars import Boolean, Duration, Integer, LanguageMap, Moment, Number, Text, Texts
from apcore.vocab.times import parse_moment
from apcore.vocab.views import View

__all__ = [
    "Article",
    "Audio",
    "Event",
    "Hashtag",
    "Image",
    "Link",
    "MediaDocument",
    "Mention",
    "Note",
    "Object",
    "Page",
    "Place",
    "Profile",
    "Question",
    "Relationship",
    "Source",
    "Thing",
    "Tombstone",
    "Video",
]


class Thing(View, ns=AS):
    """A facet of everything in ActivityStreams: what objects and links have in common."""

    name: Text = Text(languages="nameMap")
    name_map: LanguageMap = LanguageMap(iri=f"{AS.iri}name")
    media_type: Text = Text(also=("mimeType",))  # PeerTube's word, before version 1.3
    attributed_to: Ref = Ref()
    """The first of them; who decides by it looks at all (`attributions`)."""
    attributions: Refs = Refs("attributedTo")
    preview: Ref = Ref()


class Link(Thing, ns=AS, type="Link"):
    """A qualified reference to something else."""

    href: Uri = Uri()
    hreflang: Text = Text()
    rel: Texts = Texts()
    height: Integer = Integer()
    width: Integer = Integer()

    @classmethod
    @override
    def from_string(cls, text: str) -> dict[str, Any]:
        return {"type": "Link", "href": text}


class Mention(Link, ns=AS, type="Mention"):
    """A link to an actor that a text names."""


class Hashtag(Link, ns=AS, type="Hashtag"):
    """A link to the posts under a tag; `name` has the number sign, mostly."""


class Source(View, ns=AS):
    """The text from which `Object.content` was made."""

    content: Text = Text()
    media_type: Text = Text()

    @classmethod
    @override
    def from_string(cls, text: str) -> dict[str, Any]:
        return {"content": text}


class Object(Thing, ns=AS, type="Object"):
    """The root of all types but links: it covers every document that does not declare itself a link."""

    content: Text = Text(languages="contentMap")
    """HTML by default, and never sanitised here."""
    content_map: LanguageMap = LanguageMap(iri=f"{AS.iri}content")
    summary: Text = Text(languages="summaryMap")
    """In posts of microblogs: the content warning."""
    summary_map: LanguageMap = LanguageMap(iri=f"{AS.iri}summary")
    source: One[Source] = One(Source)
    sensitive: Boolean = Boolean()
    url: WebUri = WebUri()
    urls: Many[Link] = Many(Link, "url", array=False)
    published: Moment = Moment()
    updated: Moment = Moment()
    start_time: Moment = Moment()
    end_time: Moment = Moment()
    duration: Duration = Duration()

    to: Refs = Refs(array=True)
    cc: Refs = Refs(array=True)
    bto: Refs = Refs(array=True)
    bcc: Refs = Refs(array=True)
    audience: Refs = Refs()

    in_reply_to: Ref = Ref()
    replies: Ref = Ref()
    likes: Ref = Ref()
    shares: Ref = Ref()
    context: Uri = Uri()
    conversation: Uri = Uri(ns=OSTATUS)
    atom_uri: Text = Text(ns=OSTATUS)
    in_reply_to_atom_uri: Text = Text(ns=OSTATUS)
    quote: Ref = Ref(ns=FEP_044F)
    quote_url: Uri = Uri()

    generator: Ref = Ref()
    location: Ref = Ref(also=SCHEMA.iris("location"))  # Mobilizon takes schema.org's

    icon: One[Image] = One("Image")
    icons: Many[Image] = Many("Image", "icon", array=False)
    image: One[Image] = One("Image")
    images: Many[Image] = Many("Image", "image", array=False)
    attachment: Many[Thing] = Many(Thing, array=True)
    tag: Many[Thing] = Many(Thing, array=True)

    @classmethod
    @override
    def covers(cls, document: Document) -> bool:
        if cls.type_owner is not Object:
            return super().covers(document)
        known = document.classes()
        return not any(issubclass(found, Link) for found in known) or any(issubclass(found, Object) for found in known)


class Article(Object, ns=AS, type="Article"):
    """A text of several paragraphs."""


class Event(Object, ns=AS, type="Event"):
    """Something that takes place."""


class Note(Object, ns=AS, type="Note"):
    """A short text."""


class Profile(Object, ns=AS, type="Profile"):
    """A page about something, mostly about an actor."""

    describes: Ref = Ref()


class Relationship(Object, ns=AS, type="Relationship"):
    """How two individuals stand to each other."""

    subject: Ref = Ref()
    object: Ref = Ref()
    relationship: Uri = Uri()


class Place(Object, ns=AS, type="Place", also=SCHEMA.iris("Place")):
    """A place, real or logical."""

    accuracy: Number = Number()
    altitude: Number = Number()
    latitude: Number = Number()
    longitude: Number = Number()
    radius: Number = Number()
    units: Text = Text()


class Tombstone(Object, ns=AS, type="Tombstone"):
    """What stands where something was deleted."""

    former_type: Uris = Uris()
    """The type's name or IRI, as written."""
    deleted: Moment = Moment()


class MediaDocument(Object, ns=AS, type="Document"):
    """A file of any kind; in ActivityStreams it is called Document, which here is the name of what a view looks at."""

    width: Integer = Integer()
    height: Integer = Integer()


class Audio(MediaDocument, ns=AS, type="Audio"):
    """A sound."""


class Image(MediaDocument, ns=AS, type="Image"):
    """A picture."""

    url: WebUri = WebUri(also=("href",))  # some send a link in its place

    @classmethod
    @override
    def from_string(cls, text: str) -> dict[str, Any]:
        return {"type": "Image", "url": text}


class Video(MediaDocument, ns=AS, type="Video"):
    """A film."""


class Page(MediaDocument, ns=AS, type="Page"):
    """A web page; in forums, a thread's first post."""


class Question(Object, ns=AS, type="Question"):
    """A poll. AS2 calls it an activity; nobody treats it as one, and neither do we."""

    one_of: Many[Object] = Many(Object)
    any_of: Many[Object] = Many(Object)
    closed: Moment = Moment()
    voters_count: Integer = Integer(ns=TOOT)
    non_anonymous: Boolean = Boolean(ns=SMITHEREEN)

    @property
    def is_closed(self) -> bool:
        """Whether it says that it is closed, with or without saying since when; `end_time` is another matter."""
        closed = self.document.words.get("closed")
        return closed is True or parse_moment(closed) is not None
