"""Sample a job's stack, to see where its processor time goes: ``--profile`` of a benchmark.

A profile hook would slow small functions most, and so name the wrong ones. A timer interrupts the job instead, after each
millisecond of processor time. What Python does in C counts for the function that called it.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from types import FrameType

__all__ = ["print_samples"]

_INTERVAL_S = 0.001
_ROWS = 40


def print_samples(job: Callable[[], object], *, rows: int = _ROWS) -> None:
    """Run ``job``, and print the functions with the most samples: on top of the stack, then anywhere on it."""
    on_top: Counter[str] = Counter()
    anywhere: Counter[str] = Counter()

    def note(_number: int, frame: FrameType | None) -> None:
        on_stack: set[str] = set()
        while frame is not None:
            code = frame.f_code
            on_stack.add(f"{code.co_filename.rpartition('/src/')[2].rpartition('site-packages/')[2]}:{code.co_name}")
            if len(on_stack) == 1:
                on_top.update(on_stack)
            frame = frame.f_back
        anywhere.update(on_stack)

    before = signal.signal(signal.SIGPROF, note)
    _ = signal.setitimer(signal.ITIMER_PROF, _INTERVAL_S, _INTERVAL_S)
    try:
        job()
    finally:
        _ = signal.setitimer(signal.ITIMER_PROF, 0)
        _ = signal.signal(signal.SIGPROF, before)
    total = sum(on_top.values()) or 1
    for title, counts in (("in the function itself", on_top), ("in the function and what it calls", anywhere)):
        print(f"\n{title} ({total} samples)")
        for name, count in counts.most_common(rows):
            print(f"  {count / total:6.1%}  {name}")
