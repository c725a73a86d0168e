"""Define facets of events and their places, for Mobilizon, Gancio and other calendars."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from apcore.vocab.namespaces import ICAL, MOBILIZON, SCHEMA
from apcore.vocab.relations import One
from apcore.vocab.scalars import Boolean, Integer, Raw, Text
from apcore.vocab.views import View

__all__ = ["EventDetails", "PlaceDetails", "PostalAddress"]


class PostalAddress(View, ns=SCHEMA, type="PostalAddress"):
    """A postal address."""

    address_country: Text = Text()
    address_locality: Text = Text()
    address_region: Text = Text()
    postal_code: Text = Text()
    street_address: Text = Text()

    @classmethod
    @override
    def from_string(cls, text: str) -> dict[str, Any]:
        return {"type": "PostalAddress", "streetAddress": text}


class PlaceDetails(View, ns=SCHEMA):
    """A facet of places."""

    address: One[PostalAddress] = One(PostalAddress)


class EventDetails(View, ns=MOBILIZON):
    """A facet of events."""

    status: Text = Text("ical:status", iri=f"{ICAL.iri}status")
    """``CONFIRMED``, ``TENTATIVE`` or ``CANCELLED``."""
    join_mode: Text = Text()
    category: Raw = Raw(ns=SCHEMA)
    timezone: Text = Text()
    is_online: Boolean = Boolean()
    participant_count: Integer = Integer()
    maximum_attendee_capacity: Integer = Integer(ns=SCHEMA)
    remaining_attendee_capacity: Integer = Integer(ns=SCHEMA)
    replies_moderation_option: Text = Text()
    anonymous_participation_enabled: Boolean = Boolean()
    external_participation_url: Text = Text()
