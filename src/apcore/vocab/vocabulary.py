"""`Vocabulary`: the view classes that a reader knows.

There is no registry: a vocabulary is a value, given to whoever reads. The built-in one is `FEDIVERSE`; an application adds its own classes
and gets another one::

    vocabulary = FEDIVERSE.with_views(Recipe, Step)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from apcore.vocab.views import View

__all__ = ["Vocabulary"]


@frozen(eq=False)
class Vocabulary:
    """View classes, by the types that they declare."""

    views: tuple[type[View], ...]
    _by_type: dict[str, type[View]] = field(factory=dict[str, Any], init=False, repr=False)

    def class_of(self, type_name: str) -> type[View] | None:
        """Give the view class for a declared type in any of its spellings; None if it is not known here."""
        if not self._by_type:
            for view in reversed(self.views):
                if view.type_owner is view:
                    self._by_type.update(dict.fromkeys(view.type_names, view))
        return self._by_type.get(type_name)

    def with_views(self, *views: type[View]) -> Vocabulary:
        """Make a vocabulary that knows ``views``, too."""
        return Vocabulary((*self.views, *views))
