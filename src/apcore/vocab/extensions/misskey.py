"""Define the facets of notes and actors of Misskey and its relatives (Sharkey, Firefish, Iceshrimp)."""

from __future__ import annotations

from apcore.vocab.namespaces import MISSKEY
from apcore.vocab.relations import Uri
from apcore.vocab.scalars import Boolean, Integer, Text
from apcore.vocab.views import View

__all__ = ["MisskeyActor", "MisskeyNote"]


class MisskeyNote(View, ns=MISSKEY):
    """A facet of notes, and of likes, which Misskey uses as reactions."""

    misskey_content: Text = Text("_misskey_content")
    """The text in MFM, the source of `Object.content`. Newer versions put it into `source`."""
    misskey_quote: Uri = Uri("_misskey_quote")
    misskey_reaction: Text = Text("_misskey_reaction")
    misskey_votes: Integer = Integer("_misskey_votes")


class MisskeyActor(View, ns=MISSKEY):
    """A facet of actors."""

    is_cat: Boolean = Boolean()
    misskey_summary: Text = Text("_misskey_summary")
    misskey_followed_message: Text = Text("_misskey_followedMessage")
    misskey_require_signin: Boolean = Boolean("_misskey_requireSigninToViewContents")
