"""Call the hooks of the application for reports. An exception in a hook is logged, and changes nothing."""

from __future__ import annotations

import logging
from typing import Any, Final

from apcore.effects import Call, Op
from apcore.errors import WorkerEnded
from apcore.federation.context import UnitContexts
from apcore.federation.outbox.unit_commit import commit_unit, new_unit
from apcore.federation.reports import ReportName
from apcore.federation.site import Site

__all__ = ["call_hook"]

_WITH_WRITES: Final[frozenset[ReportName]] = frozenset({"on_delivery_dead", "on_dead_letter"})
"""The hooks whose writes through the context are committed."""
_LOG: Final = logging.getLogger(__name__)


def call_hook(site: Site, name: ReportName, report: object) -> Op[Any]:
    """Call the hook of a name with a report, and return its answer; None without a hook, or if it fails.

    Effects: none without a hook; else `RandomBytes`, those of the hook, and those of `commit_unit` for some hooks.
    """
    hook = site.federation.report_hooks.get(name)
    if hook is None:
        return None
    scope = yield from new_unit(site, site.request)
    try:
        answer = yield from Call(hook.fn, report, contexts_for=UnitContexts(scope))
        if name in _WITH_WRITES:
            yield from commit_unit(site, scope)
    except WorkerEnded:
        raise  # the message has been handed back
    except Exception:
        _LOG.exception("the hook %s failed", name)
        return None
    return answer
