"""Define the choices of an application in the table of side effects: rows that are replaced or switched off."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from apcore.errors import ConfigurationError
from apcore.federation.routes import Registered
from apcore.federation.side_effect_rules import RECEIVED_RULES, SENT_RULES, SideEffectRule
from apcore.vocab import Document

__all__ = ["ChosenSideEffect", "SideEffectChoices"]


@frozen
class ChosenSideEffect:
    """A row of the table, with the application's handler if that replaces the row."""

    rule: SideEffectRule
    replacement: Registered | None = None


@frozen
class SideEffectChoices:
    """The rows that an application has replaced or switched off. It changes while handlers are registered."""

    _rows: dict[str, Registered | None] = field(factory=dict[str, Registered | None])
    """The replacement of each row, None for a row that is switched off."""

    def choose(self, name: str, replacement: Registered | None) -> None:
        """Replace a row, or switch it off.

        Raises:
            ConfigurationError: There is no row of this name, or it is replaced or switched off already.
        """
        names = [rule.name for rule in (*RECEIVED_RULES, *SENT_RULES)]
        if name not in names:
            raise ConfigurationError(f"there is no side effect {name!r:.60}; the names are {', '.join(names)}")
        if name in self._rows:
            raise ConfigurationError(f"the side effect {name!r} is replaced or switched off already")
        self._rows[name] = replacement

    @property
    def handlers(self) -> list[Registered]:
        """Return the handlers that replace rows."""
        return [replacement for replacement in self._rows.values() if replacement is not None]

    def is_default(self, name: str) -> bool:
        """Return whether a row is neither replaced nor switched off."""
        return name not in self._rows

    def find(self, document: Document) -> ChosenSideEffect | None:
        """Return the side effect of a received activity. None if it has none, or if that is switched off."""
        return self._find(document, RECEIVED_RULES)

    def find_sent(self, document: Document) -> ChosenSideEffect | None:
        """Return the side effect of an activity that is sent. None if it has none, or if that is switched off."""
        return self._find(document, SENT_RULES)

    def _find(self, document: Document, rules: Sequence[SideEffectRule]) -> ChosenSideEffect | None:
        ancestors, types = document.ancestors, document.types
        for rule in rules:
            # `matches` tests this first too. Here it costs no call for each of the twenty rows.
            is_of_type = rule.activity in ancestors or not rule.activity.type_names.isdisjoint(types)
            if is_of_type and rule.matches(document):
                break
        else:
            return None
        if rule.name in self._rows:
            replacement = self._rows[rule.name]
            return None if replacement is None else ChosenSideEffect(rule, replacement)
        return None if rule.change is None else ChosenSideEffect(rule)
