"""Define the forums of Lemmy, PieFed and Mbin, as facets of groups, pages and notes."""

from __future__ import annotations

from apcore.vocab.activities import Activity
from apcore.vocab.namespaces import LEMMY, PEERTUBE, SCHEMA
from apcore.vocab.relations import One, Ref
from apcore.vocab.scalars import Boolean, Text
from apcore.vocab.views import View

__all__ = ["ForumActivity", "ForumGroup", "ForumPost", "Lock", "SpokenLanguage"]


class SpokenLanguage(View, ns=SCHEMA):
    """A language, by its tag and its name."""

    identifier: Text = Text(also=("uuid",))  # PeerTube's name for it, in videos

    @classmethod
    def from_string(cls, text: str) -> dict[str, str]:
        """Return the object for a bare tag, which some servers write."""
        return {"identifier": text}


class ForumPost(View, ns=LEMMY):
    """A facet of pages (threads) and notes (comments)."""

    stickied: Boolean = Boolean()
    distinguished: Boolean = Boolean()
    comments_enabled: Boolean = Boolean(
        ns=PEERTUBE, also=("http://pixelfed.org/ns#commentsEnabled", "https://join-lemmy.org/ns#commentsEnabled")
    )
    language: One[SpokenLanguage] = One(SpokenLanguage, ns=SCHEMA, iri=f"{SCHEMA.iri}inLanguage", also=("inLanguage",))


class ForumGroup(View, ns=LEMMY):
    """A facet of groups. The moderators are in `moderators`, or in the collection that `Thing.attributed_to` names."""

    moderators: Ref = Ref()
    posting_restricted_to_mods: Boolean = Boolean()
    matrix_user_id: Text = Text()


class Lock(Activity, ns=LEMMY, type="Lock"):
    """The actor, a moderator, closes the object for comments."""


class ForumActivity(View, ns=LEMMY):
    """A facet of blocks and deletions by moderators."""

    remove_data: Boolean = Boolean()
