"""Bound the computing time that one document may cause: `WorkBudget`.

A context of one kilobyte can cause minutes of work: it names large registered contexts many times, it has scoped
contexts that are entered at every node, or its definitions depend on one another. So work is counted where it is done.
Every pass over a document (judging its contexts, expansion, compaction, the slow path, canonicalisation) spends from
the same budget. The first step beyond the budget raises `LimitExceeded`.

A step is about a microsecond on a machine of 2024. Prices do not depend on caches: a document that is refused once is
refused every time, in every process.
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
"""The largest document that has only `ProcessingLimits.work_base`."""


@final
class WorkBudget:
    """The steps of work that one document may take, and how many of them remain."""

    __slots__ = ("_contexts", "_counted", "_terms", "limits", "size", "steps_left", "steps_max")

    def __init__(self, limits: ProcessingLimits, size: int) -> None:
        """Create the budget of a document of ``size`` bytes."""
        beyond = max(0, size - _BASE_BYTES)
        self.limits: Final = limits
        self.size: Final = size
        self.steps_max: Final = min(limits.work_max, limits.work_base + limits.work_per_kb * beyond // 1024)
        self.steps_left = self.steps_max
        """The remaining steps. A caller that subtracts from this itself must call `refuse` when it is negative."""
        self._counted: set[bytes] = set()
        self._contexts = 0
        self._terms = 0

    @classmethod
    def for_document(cls, document: Json, limits: ProcessingLimits) -> WorkBudget:
        """Create the budget of ``document``, and estimate its size: the original bytes are not available."""
        try:
            return cls(limits, len(marshal.dumps(document, 2)))
        except ValueError:  # Not JSON, or nested too deeply. Expansion raises the proper error.
            return cls(limits, 0)

    @classmethod
    def unbounded(cls) -> WorkBudget:
        """Create a budget without a limit, for contexts that belong to apcore or the application."""
        return cls(ProcessingLimits(work_base=sys.maxsize, work_max=sys.maxsize), 0)

    def spend(self, steps: int) -> None:
        """Subtract ``steps`` from the budget. Call this before the work is done.

        Raises:
            LimitExceeded: Fewer than ``steps`` remain.
        """
        self.steps_left -= steps
        if self.steps_left < 0:
            self.refuse()

    def refuse(self) -> None:
        """Raise the `LimitExceeded` of an exhausted budget."""
        limits = self.limits
        raise LimitExceeded(
            f"a document of {self.size} bytes whose contexts and values take more than {self.steps_max} steps of work; "
            f"the limits are {limits.work_base} steps up to {_BASE_BYTES} bytes (work_base), "
            f"{limits.work_per_kb} for each KB beyond (work_per_kb) and {limits.work_max} for any (work_max)"
        )

    def count_context(self, context: Any, key: bytes) -> None:
        """Count the contexts and terms in ``context``, whose `content_key` is ``key``. Equal contexts count once.

        Call this before the context is processed.

        Raises:
            LimitExceeded: The document has over ``limits.contexts_max`` contexts, or over ``limits.terms_max`` terms.
        """
        if key in self._counted:
            return
        self._counted.add(key)
        parts: list[Json] = [context]
        for part in parts:  # The loop appends to this list.
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
    """Serialise ``value`` as a cache key: equal keys mean equal values, and 1, 1.0 and true have different keys.

    `marshal` is the fastest serialiser. In its version 2 the output depends on the value alone. It is never read back.

    Raises:
        ValueError: The value is nested too deeply for `marshal`, or is not JSON.
    """
    return marshal.dumps(value, 2)
