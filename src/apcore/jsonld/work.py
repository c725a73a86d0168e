"""Bound the computing that one document may cause: `WorkBudget`.

A context of one kilobyte can ask for minutes of work: by naming large registered contexts again and again, by scoped contexts that are entered at
every node, by definitions that depend on one another. So work is counted where it is done. Every pass over a document (judging its contexts, expanding,
compacting, the slow path, canonicalising) spends from the same budget, and the first step beyond it raises `LimitExceeded`.

A step is about a microsecond on a machine of 2024. A price does not depend on caches: a document that is refused once is refused always, in every
process.
"""

from __future__ import annotations

import marshal
import sys
from typing import TYPE_CHECKING, Any, Final, final

from apcore.errors import LimitExceeded
from apcore.jsonld.limits import ProcessingLimits

if TYPE_CHECKING:
    from apcore.jsonld.parser import Json

__all__ = ["WorkBudget", "content_key"]

_BASE_BYTES: Final = 10_240
"""Up to this size a document has `ProcessingLimits.work_base`."""


@final
class WorkBudget:
    """The steps of work that one document may take, and those that are left."""

    __slots__ = ("_contexts", "_counted", "_terms", "limits", "size", "steps_left", "steps_max")

    def __init__(self, limits: ProcessingLimits, size: int) -> None:
        """Make the budget of a document of ``size`` bytes."""
        beyond = max(0, size - _BASE_BYTES)
        self.limits: Final = limits
        self.size: Final = size
        self.steps_max: Final = min(limits.work_max, limits.work_base + limits.work_per_kb * beyond // 1024)
        self.steps_left = self.steps_max
        """Steps that are left. Negative: one too many was taken, and `refuse` is due."""
        self._counted: set[bytes] = set()
        self._contexts = 0
        self._terms = 0

    @classmethod
    def for_document(cls, document: Json, limits: ProcessingLimits) -> WorkBudget:
        """Make the budget of ``document``, whose bytes are not at hand: its size is estimated."""
        try:
            return cls(limits, len(marshal.dumps(document, 2)))
        except ValueError:  # not JSON, or nested too deeply: reading it will say so
            return cls(limits, 0)

    @classmethod
    def unbounded(cls) -> WorkBudget:
        """Make a budget without an end, for contexts of our own that are compiled once."""
        return cls(ProcessingLimits(work_base=sys.maxsize, work_max=sys.maxsize), 0)

    def spend(self, steps: int) -> None:
        """Take ``steps`` from the budget, before they are done.

        Raises:
            LimitExceeded: There are not as many left.
        """
        self.steps_left -= steps
        if self.steps_left < 0:
            self.refuse()

    def refuse(self) -> None:
        """Raise `LimitExceeded`: the budget is spent."""
        raise LimitExceeded(
            f"a document of {self.size} bytes whose contexts and values take more than {self.steps_max} steps of work; "
            f"the limits are {self.limits.work_base} steps up to {_BASE_BYTES} bytes (work_base), {self.limits.work_per_kb} "
            f"for each KB beyond (work_per_kb) and {self.limits.work_max} for any (work_max)"
        )

    def count_context(self, context: Any, key: bytes) -> None:
        """Count the contexts and terms in ``context``, whose `content_key` is ``key``, before it is processed. An equal one counts once.

        Raises:
            LimitExceeded: The document has more than ``limits.contexts_max`` contexts, or than ``limits.terms_max`` terms.
        """
        if key in self._counted:
            return
        self._counted.add(key)
        parts: list[Json] = [context]
        for part in parts:  # which grows meanwhile
            if isinstance(part, list):
                parts += part
                continue
            self._contexts += 1
            if isinstance(part, dict):
                self._terms += len(part)
                definitions: list[Json] = list(part.values())
                parts += [term["@context"] for term in definitions if isinstance(term, dict) and "@context" in term]
                self._contexts += "@import" in part
        limits = self.limits
        if self._contexts > limits.contexts_max:
            raise LimitExceeded(
                f"a document that names {self._contexts} contexts; the limit is {limits.contexts_max} (contexts_max)"
            )
        if self._terms > limits.terms_max:
            raise LimitExceeded(
                f"inline contexts define {self._terms} terms; the limit is {limits.terms_max} (terms_max)"
            )


def content_key(value: Any) -> bytes:
    """Serialise ``value``: equal keys mean equal values, and 1, 1.0 and true are not equal.

    `marshal` is the fastest writer there is; in version 2 its output depends on the value alone. It is never read back.

    Raises:
        ValueError: Nested too deeply for it, or not JSON.
    """
    return marshal.dumps(value, 2)
