"""Define PeerTube's videos and their playlists."""

from __future__ import annotations

from apcore.vocab.collections import OrderedCollection
from apcore.vocab.namespaces import AS, FUNKWHALE, PEERTUBE, SCHEMA
from apcore.vocab.objects import Link, Object
from apcore.vocab.relations import One, Ref
from apcore.vocab.scalars import Boolean, Integer, Moment, Raw, Text
from apcore.vocab.views import View

__all__ = ["Infohash", "MediaLink", "Playlist", "PlaylistElement", "VideoDetails"]


class Infohash(Object, ns=PEERTUBE, type="Infohash"):
    """The source of a stream's parts, in the `tag` of a link."""


class MediaLink(View, ns=PEERTUBE):
    """A facet of the links in `Object.urls`, one per file."""

    size: Integer = Integer(also=(f"{FUNKWHALE.iri}size",))
    """In bytes."""
    fps: Integer = Integer()
    info_hash: Text = Text("infoHash")


class VideoDetails(View, ns=PEERTUBE):
    """A facet of videos. Numbers and names of category, licence and language are those of the sending server."""

    identifier: Text = Text(ns=SCHEMA, also=("uuid",))
    category: Raw = Raw(ns=SCHEMA)
    licence: Raw = Raw(ns=SCHEMA, iri=f"{SCHEMA.iri}license")
    support: Text = Text()
    state: Integer = Integer()
    views: Integer = Integer()
    wait_transcoding: Boolean = Boolean()
    download_enabled: Boolean = Boolean()
    originally_published_at: Moment = Moment(ns=SCHEMA, iri=f"{SCHEMA.iri}datePublished")
    is_live_broadcast: Boolean = Boolean(ns=SCHEMA)
    live_save_replay: Boolean = Boolean()
    permanent_live: Boolean = Boolean()
    subtitle_language: Raw = Raw(ns=SCHEMA)
    dislikes: Ref = Ref(ns=AS)
    comments: Ref = Ref(ns=AS)


class Playlist(OrderedCollection, ns=PEERTUBE, type="Playlist"):
    """An ordered collection of elements."""


class PlaylistElement(Object, ns=PEERTUBE, type="PlaylistElement"):
    """A position in a playlist; its `url` is that of the video."""

    position: Integer = Integer(also=(f"{FUNKWHALE.iri}position",))
    start_timestamp: Integer = Integer()
    stop_timestamp: Integer = Integer()
    video: One[Link] = One(Link)
