"""Log requests for our paths at an address that is none of our origins: mostly, a proxy is configured wrongly.

The log tells the operator both addresses and the remedy.
"""

from __future__ import annotations

import logging
import re
from typing import Final

from apcore.federation.origins import Origins
from apcore.federation.refusals import one_line
from apcore.federation.serving.request_head import TrustProxy
from apcore.http import Request

__all__ = ["ADDRESSES_MAX", "REPEAT_S", "MisdirectedLog"]

REPEAT_S: Final = 60.0
"""How long an address is not logged again."""
ADDRESSES_MAX: Final = 20
"""The number of addresses logged in that time. It is bounded, since clients can invent any number of them."""
_CHARS_MAX: Final = 200
_ORIGINS_SHOWN: Final = 3
_LOOPBACK: Final = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?")
_LOG: Final = logging.getLogger("apcore.web")


class MisdirectedLog:
    """Log requests to an address that is none of a node's origins."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins
        self._logged: dict[str, tuple[float]] = {}

    def log(self, request: Request, *, trust_proxy: TrustProxy, now_s: float) -> None:
        """Log both addresses and the remedy, at most once a minute for each address.

        ``now_s`` is the time of a monotonic clock. ``trust_proxy`` is the setting by which the request was read.
        """
        address = _address(request.url)
        if self._is_due(address, now_s):
            _LOG.warning(
                "%s %s was requested at %s, but this application serves %s. %s",
                request.method,
                one_line(_path(request.url), chars_max=_CHARS_MAX),
                address,
                self._expected(),
                _hint(request, address, trust_proxy=trust_proxy),
            )

    def _is_due(self, address: str, now_s: float) -> bool:
        # Several threads may be here at once. Only `setdefault` decides which of them logs an address.
        for name, (logged_s,) in list(self._logged.items()):
            if now_s - logged_s >= REPEAT_S:
                _ = self._logged.pop(name, None)
        if len(self._logged) >= ADDRESSES_MAX:
            return False
        entry = (now_s,)
        return self._logged.setdefault(address, entry) is entry

    def _expected(self) -> str:
        if self._origins.allows is not None:
            return "the origins that your function allows"
        names = ", ".join(map(str, self._origins.listed[:_ORIGINS_SHOWN]))
        further = len(self._origins.listed) - _ORIGINS_SHOWN
        return f"{names} and {further} more" if further > 0 else names


def _hint(request: Request, address: str, *, trust_proxy: TrustProxy) -> str:
    if trust_proxy:
        fields = "Forwarded" if trust_proxy == "forwarded" else "X-Forwarded-Host and X-Forwarded-Proto"
        return f"trust_proxy is set: let your proxy send {fields} as the client asked."
    forwarded = [
        f"{name} {one_line(value, chars_max=_CHARS_MAX)!r}"
        for name in ("X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded")
        if (value := request.headers.get(name.lower())) is not None
    ]
    if forwarded:
        value = "True" if any(name.startswith("X-") for name in forwarded) else '"forwarded"'
        return f"It came with {' and '.join(forwarded)}: if a proxy of yours sets them, pass trust_proxy={value}."
    hint = "Behind a proxy, let it send X-Forwarded-Host and X-Forwarded-Proto, and pass trust_proxy=True."
    if _LOOPBACK.fullmatch(address):
        # Only for loopback: a client must not be able to place its own host in this advice.
        return f'{hint} To try it on this machine, give the origin "{address}" and addresses=LOOPBACK_OPEN.'
    return hint


def _address(url: str) -> str:
    """Return the scheme, host and port of a URL as one bounded line."""
    return one_line("/".join(url.split("/", 3)[:3]), chars_max=_CHARS_MAX)


def _path(url: str) -> str:
    """Return the path of a URL that has an authority."""
    return "/" + url.split("/", 3)[3].partition("?")[0]
