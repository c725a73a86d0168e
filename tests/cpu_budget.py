"""Measure the CPU time that a peer's document takes, in multiples of a fixed computation, and bound it.

Only the time of the current thread counts, so a busy machine disturbs little. Its remaining effects, on caches and
clocks, slow the reference computation down as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from apcore.errors import ApcoreError
from apcore.jsonld import DEFAULT_LIMITS, WorkBudget
from apcore.signatures import ld_signature, proofs
from apcore.vocab import read_document

NOW = datetime(2026, 1, 2, tzinfo=UTC)
REFERENCE_MS = 4.5
"""Milliseconds of the reference computation on the machine for which the bounds were chosen."""
TRIES = 20
"""The most measurements of a body. On a busy machine most are disturbed, and one within the bound is enough."""


def reference() -> dict[str, object]:
    """Compute with strings, tuples and a dictionary, like the reader does."""
    entries: dict[str, object] = {}
    for i in range(20_000):
        entries[f"k{i % 997}"] = (i, str(i))
    return entries


def bound_ms(size: int) -> float:
    """Return the bound for ``size`` bytes: 30 ms up to 10 KB, 3 ms for each further KB, and at most 0.6 s."""
    return min(600.0, 30.0 + 3.0 * max(0, size - 10_240) / 1024)


def cpu_ms(function: Callable[[], object]) -> float:
    """Return the CPU time of one call, in milliseconds."""
    started = time.thread_time()
    function()
    return (time.thread_time() - started) * 1000


def read(body: bytes) -> str:
    """Read a body as an inbox does before anything is authenticated; return the reason of a refusal, or "read".

    Any error without a type of apcore is a bug, and is raised.
    """
    try:
        work = WorkBudget(DEFAULT_LIMITS, len(body))
        document = read_document(body, work=work)
    except ApcoreError as error:
        return error.reason
    outcome = "read"
    for scheme in (proofs, ld_signature):
        try:
            scheme.parse(document.tree, now=NOW, work=work)
        except ApcoreError as error:
            outcome = f"{outcome}, {error.reason}"
    return outcome


def excess(body: bytes, handle: Callable[[bytes], object], spent_ms: float) -> float:
    """Return the factor by which a body exceeds its bound, at most 1 if it does not, from a first measurement.

    A body that seems to exceed its bound is measured again, together with the reference. The minimum of each counts.
    """
    bound = bound_ms(len(body))
    if spent_ms <= bound:
        return spent_ms / bound
    references, times, factor = [], [spent_ms], 0.0
    for _ in range(TRIES):
        references.append(cpu_ms(reference))
        times.append(cpu_ms(lambda: handle(body)))
        factor = min(times) / bound / max(1.0, min(references) / REFERENCE_MS)
        if factor <= 1:
            break
    return factor
