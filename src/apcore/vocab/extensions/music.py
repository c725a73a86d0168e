"""Define Funkwhale's music: tracks, albums, artists and libraries."""

from __future__ import annotations

from apcore.vocab.collections import Collection
from apcore.vocab.namespaces import FUNKWHALE, PEERTUBE
from apcore.vocab.objects import Object
from apcore.vocab.relations import Many, One, Uri
from apcore.vocab.scalars import Integer, Moment, Text
from apcore.vocab.views import View

__all__ = ["Album", "Artist", "AudioDetails", "Library", "Track"]


class Artist(Object, ns=FUNKWHALE, type="Artist"):
    """The artist of a piece of music."""

    musicbrainz_id: Text = Text()


class Album(Object, ns=FUNKWHALE, type="Album"):
    """Tracks that were published together."""

    musicbrainz_id: Text = Text()
    released: Moment = Moment()
    artists: Many[Artist] = Many(Artist, array=True)


class Track(Object, ns=FUNKWHALE, type="Track"):
    """A piece of music."""

    musicbrainz_id: Text = Text()
    position: Integer = Integer(ns=PEERTUBE, also=(f"{FUNKWHALE.iri}position",))
    disc: Integer = Integer()
    copyright: Text = Text()
    license: Uri = Uri()
    album: One[Album] = One(Album)
    artists: Many[Artist] = Many(Artist, array=True)


class Library(Collection, ns=FUNKWHALE, type="Library"):
    """A collection of uploads that can be followed like an actor."""


class AudioDetails(View, ns=FUNKWHALE):
    """A facet of audio."""

    track: One[Track] = One(Track)
    library: Uri = Uri()
    bitrate: Integer = Integer()
