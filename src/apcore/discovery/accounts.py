"""Accounts: what people write (``@alice@example.com``), what WebFinger asks for, and one canonical form of both.

The host is read by the same reader as that of a URL, so that what is compared is what would be connected to: lower case, A-labels, no default
port. The user is kept as given, since its canonical spelling is its server's to say, and compared without case, as nearly every server does.

What two readers could take for another account is refused: a second ``@``, written plainly or percent-encoded, and whatever would end the host
early. Percent signs are decoded once and never twice.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from attrs import field, frozen
from typing_extensions import override

from apcore.errors import RequestError
from apcore.http import Origin, parse_url

__all__ = ["Acct", "parse_acct", "parse_resource"]

_LENGTH_MAX: Final = 2048
# Controls, white space, and what ends a user, a host or a path for some reader.
_NEVER: Final = re.compile(r"[\x00-\x20\x7f-\xa0\"#/:<>?@\[\\\]^`{|}\u2028\u2029\ud800-\udfff\ufeff]")
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# RFC 7565 §7: unreserved and sub-delims stand for themselves.
_SAFE: Final = "!$&'()*+,;=-._~"


@frozen(order=False)
class Acct:
    """An account at a host. Two are equal if they differ in the case of the user alone."""

    user: str = field(eq=str.casefold)
    """As its server spells it, percent signs decoded."""
    host: str
    """Canonical host, and the port unless it is 443: the authority of an https URL."""

    @property
    def handle(self) -> str:
        """What people write: ``@alice@example.com``."""
        return f"@{self.user}@{self.host}"

    @override
    def __str__(self) -> str:
        """Write it as a URI (RFC 7565): ``acct:alice@example.com``."""
        return f"acct:{quote(self.user, safe=_SAFE)}@{self.host}"

    @classmethod
    def at(cls, user: str, origin: Origin) -> Acct:
        """Give the account of ``user`` at an origin, whatever its scheme.

        Raises:
            RequestError: No account has such a name.
        """
        return cls(_checked_user(user, user), origin.authority)


def parse_acct(text: str) -> Acct:
    """Read an account: ``acct:alice@example.com``, ``alice@example.com`` or ``@alice@example.com``.

    Raises:
        RequestError: It is none; the message says why.
    """
    if len(text) > _LENGTH_MAX:
        raise RequestError(f"an account of {len(text)} characters; the limit is {_LENGTH_MAX}")
    bare = text[5:] if text[:5].lower() == "acct:" else text
    user, at, host = bare.removeprefix("@").partition("@")
    if not at or "@" in host:
        raise _refused(text, "is not of the form user@host")
    if "%" in user:
        user = _decoded(text, user)
    return Acct(_checked_user(user, text), _host(text, host))


def parse_resource(text: str) -> Acct | str:
    """Read what a WebFinger request asks for: an account, or a URL in canonical form.

    Raises:
        RequestError: It is neither (RFC 7033 §4.2: the answer is 400).
    """
    scheme = text[:8].lower()
    if scheme.startswith(("http://", "https://")):
        return str(parse_url(text))
    return parse_acct(text)


def _decoded(text: str, user: str) -> str:
    if _BAD_PERCENT.search(user) is not None:
        raise _refused(text, "has a percent sign that encodes nothing")
    try:
        return unquote_to_bytes(user).decode("utf-8")
    except UnicodeError:
        raise _refused(text, "has a user that is not UTF-8") from None


def _checked_user(user: str, text: str) -> str:
    if not user:
        raise _refused(text, "has no user")
    if len(user) > _LENGTH_MAX:
        raise RequestError(f"a user of {len(user)} characters; the limit is {_LENGTH_MAX}")
    if (bad := _NEVER.search(user)) is not None:
        raise _refused(text, f"has the forbidden character {bad.group()!r} in its user")
    return user


def _host(text: str, host: str) -> str:
    if not host or _NEVER.search(host.replace(":", "")) is not None:
        raise _refused(text, "has no host that can be read")
    try:
        url = parse_url(f"https://{host}/")
    except RequestError as error:
        raise _refused(text, f"has no host that can be read: {error}") from None
    # The absolute spelling of a name; the same host, and none that certificates are made for.
    name = url.origin.host.removesuffix(".")
    if url.path != "/" or not name:
        raise _refused(text, "has no host that can be read")
    return Origin("https", name, url.origin.port).authority


def _refused(text: str, what: str) -> RequestError:
    return RequestError(f"account {text[:200]!r} {what}")
