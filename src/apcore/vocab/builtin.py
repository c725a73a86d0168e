"""Build `FEDIVERSE`, the vocabulary that servers use."""

from __future__ import annotations

from typing import Final

from apcore.vocab import activities, actors, collections, objects, security
from apcore.vocab.extensions import (
    approval,
    books,
    events,
    lemmy,
    mastodon,
    misskey,
    music,
    pleroma,
    threads,
    video,
)
from apcore.vocab.views import View
from apcore.vocab.vocabulary import Vocabulary

__all__ = ["FEDIVERSE"]


def _views(*modules: object) -> tuple[type[View], ...]:
    return tuple(
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, View)
    )


FEDIVERSE: Final = Vocabulary(
    _views(
        *(objects, activities, actors, collections, security),
        *(mastodon, approval, pleroma, misskey, lemmy, video, music, books, events, threads),
    )
)
"""ActivityStreams, security, and the extensions that servers really send."""
