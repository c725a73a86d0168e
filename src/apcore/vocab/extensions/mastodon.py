"""Define Mastodon's additions, which most servers use: custom emoji, profile fields, focal points, blurhashes.

Their properties of posts and actors are in `Object` and `Actor`.
"""

from __future__ import annotations

from apcore.vocab.namespaces import SCHEMA, TOOT
from apcore.vocab.objects import Object
from apcore.vocab.scalars import Numbers, Text
from apcore.vocab.views import View

__all__ = ["Emoji", "MediaDetails", "PropertyValue"]


class Emoji(Object, ns=TOOT, type="Emoji"):
    """A picture for a ``:shortcode:``, which is its `name` (FEP-9098). It is in `tag`."""


class PropertyValue(Object, ns=SCHEMA, type="PropertyValue", also=("schema:PropertyValue", "sc:PropertyValue")):
    """A line of a profile: `name` and value. It is in `attachment`."""

    value: Text = Text()
    """HTML, usually a link."""


class MediaDetails(View, ns=TOOT):
    """A facet of attachments and pictures."""

    blurhash: Text = Text()
    focal_point: Numbers = Numbers()
    """The point to keep when cropping: x and y, each from -1 to 1."""
