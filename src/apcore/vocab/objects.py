"""Define ActivityStreams objects and links, which activities act on.

The properties are those of the AS2 vocabulary under their own names (in snake_case), and those that nearly every server
adds. A property that may have several values, and usually has one, exists twice: `url` is the first value, `urls` are
all of them. `url` is for people to follow: an http or https URL, a page rather than a media file, or None. `urls` and
`Link.href` are unchanged.
"""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from apcore.vocab.documents import Document
from apcore.vocab.namespaces import AS, FEP_044F, FUNKWHALE, OSTATUS, PEERTUBE, SCHEMA, SEC, SMITHEREEN, TOOT
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
    """A facet of everything in ActivityStreams: the common part of objects and links."""

    name: Text = Text(languages="nameMap")
    name_map: LanguageMap = LanguageMap(iri=f"{AS.iri}name")
    media_type: Text = Text(also=("mimeType",))  # PeerTube's name for it before version 1.3
    attributed_to: Ref = Ref()
    """The first of them. Trust decisions use all of them (`attributions`)."""
    attributions: Refs = Refs("attributedTo")
    size: Integer = Integer(ns=PEERTUBE, also=(f"{FUNKWHALE.iri}size",))
    """The size of the file in bytes (FEP-1311)."""
    digest_multibase: Text = Text(ns=SEC)
    """A multibase-encoded hash of the file (FEP-1311). It is not checked here."""
    preview: Ref = Ref()


class Link(Thing, ns=AS, type="Link"):
    """A qualified reference to another document."""

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
    """A link to an actor that is mentioned in a text."""


class Hashtag(Link, ns=AS, type="Hashtag"):
    """A link to the posts with a tag; its `name` usually has the number sign."""


class Source(View, ns=AS):
    """The source text of `Object.content`."""

    content: Text = Text()
    media_type: Text = Text()

    @classmethod
    @override
    def from_string(cls, text: str) -> dict[str, Any]:
        return {"content": text}


class Object(Thing, ns=AS, type="Object"):
    """The base class of all types except links. It covers every document that does not declare itself a link."""

    content: Text = Text(languages="contentMap")
    """HTML by default. It is never sanitised here."""
    content_map: LanguageMap = LanguageMap(iri=f"{AS.iri}content")
    summary: Text = Text(languages="summaryMap")
    """In microblog posts: the content warning."""
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
    location: Ref = Ref(also=SCHEMA.iris("location"))  # Mobilizon uses schema.org's location

    icon: One[Image] = One("Image")
    icons: Many[Image] = Many("Image", "icon", array=False)
    image: One[Image] = One("Image")
    images: Many[Image] = Many("Image", "image", array=False)
    attachment: Many[Thing] = Many(Thing, array=True)
    tag: Many[Thing] = Many(Thing, array=True)

    @classmethod
    @override
    def covers(cls, document: Document) -> bool:
        owner, ancestors = cls.type_owner, document.ancestors
        if owner is Object:
            return Link not in ancestors or Object in ancestors
        # As `View.covers`, which every rule of an inbox would otherwise call once more.
        return owner in ancestors or not cls.type_names.isdisjoint(document.types)


class Article(Object, ns=AS, type="Article"):
    """A text of several paragraphs."""


class Event(Object, ns=AS, type="Event"):
    """An event with a time and usually a place."""


class Note(Object, ns=AS, type="Note"):
    """A short text."""


class Profile(Object, ns=AS, type="Profile"):
    """A page that describes an object, usually an actor."""

    describes: Ref = Ref()


class Relationship(Object, ns=AS, type="Relationship"):
    """A relationship between two individuals."""

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
    """A placeholder for a deleted object."""

    former_type: Uris = Uris()
    """The name or IRI of the type, as written."""
    deleted: Moment = Moment()


class MediaDocument(Object, ns=AS, type="Document"):
    """A file of any kind. ActivityStreams calls it Document, a name that is used for `apcore.vocab.Document` here."""

    url: WebUri = WebUri(also=("href",))  # some servers send a link's word instead
    width: Integer = Integer()
    height: Integer = Integer()


class Audio(MediaDocument, ns=AS, type="Audio"):
    """A sound."""


class Image(MediaDocument, ns=AS, type="Image"):
    """A picture."""

    @classmethod
    @override
    def from_string(cls, text: str) -> dict[str, Any]:
        return {"type": "Image", "url": text}


class Video(MediaDocument, ns=AS, type="Video"):
    """A video."""


class Page(MediaDocument, ns=AS, type="Page"):
    """A web page; in forums, the first post of a thread."""


class Question(Object, ns=AS, type="Question"):
    """A poll. AS2 calls it an activity, but no server treats it as one, and apcore does not either."""

    one_of: Many[Object] = Many(Object)
    any_of: Many[Object] = Many(Object)
    closed: Moment = Moment()
    voters_count: Integer = Integer(ns=TOOT)
    non_anonymous: Boolean = Boolean(ns=SMITHEREEN)

    @property
    def is_closed(self) -> bool:
        """Return whether it claims to be closed, with or without a time. `end_time` is separate."""
        closed = self.document.words.get("closed")
        return closed is True or parse_moment(closed) is not None
