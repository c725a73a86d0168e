"""Parse and compare account names: handles (``@alice@example.com``) and WebFinger resources, in one canonical form.

The host is parsed like the host of a URL: lower case, A-labels, no default port. So the compared host is the host that
would be connected to. The user keeps its spelling, since its server decides about that. Users are compared without
case, as on nearly every server.

A text that two parsers could read as different accounts is refused: a second ``@``, written plainly or percent-encoded,
and any character that would end the host early. Percent signs are decoded once, never twice.

`parse_pasted` reads the text that a person pastes into a search field. It only removes blanks, brackets and punctuation
around a name, and adds the scheme that people leave out.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from attrs import field, frozen
from typing_extensions import override

from apcore.errors import RequestError
from apcore.http import Origin, parse_url

__all__ = ["Acct", "PastedName", "parse_acct", "parse_pasted", "parse_resource"]

_LENGTH_MAX: Final = 2048
# Controls, white space, and characters that end a user, a host or a path for some reader.
_NEVER: Final = re.compile(r"[\x00-\x20\x7f-\xa0\"#/:<>?@\[\\\]^`{|}\u2028\u2029\ud800-\udfff\ufeff]")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")  # RFC 3986 §3.1
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
# White space, and characters without a width that web pages and keyboards add.
_BLANK: Final = r"\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_BLANKS: Final = re.compile(rf"[{_BLANK}]*(.*?)[{_BLANK}]*", re.DOTALL)
_BRACKETS: Final = dict(zip("<([\"'\u00ab\u201c\u201e\u2018", ">)]\"'\u00bb\u201d\u201c\u2019", strict=True))
_PUNCTUATION: Final = ",;:!?."
_HOST_AND_PATH: Final = re.compile(r"[^\s@/?#]+\.[^\s@/?#.]+(?:[/?#]\S*)?")
_HANDLE_PAGE: Final = re.compile(r"/(@[^/@]+@[^/@]+)/?")
# RFC 7565 §7: unreserved and sub-delims stand for themselves.
_SAFE: Final = "!$&'()*+,;=-._~"


@frozen(order=False)
class Acct:
    """An account at a host. Accounts are equal if they only differ in the case of the user."""

    user: str = field(eq=str.casefold)
    """The spelling of the account's server, with percent signs decoded."""
    host: str
    """The canonical host, and the port unless it is 443: the authority of an https URL."""

    @property
    def handle(self) -> str:
        """The form that people write: ``@alice@example.com``."""
        return f"@{self.user}@{self.host}"

    @override
    def __str__(self) -> str:
        """Return the account as a URI (RFC 7565): ``acct:alice@example.com``."""
        return f"acct:{quote(self.user, safe=_SAFE)}@{self.host}"

    @classmethod
    def at(cls, user: str, origin: Origin) -> Acct:
        """Return the account of ``user`` at an origin, whatever the origin's scheme.

        Raises:
            RequestError: ``user`` cannot be the name of an account.
        """
        return cls(_checked_user(user, user), origin.authority)


def parse_acct(text: str) -> Acct:
    """Parse an account: ``acct:alice@example.com``, ``alice@example.com`` or ``@alice@example.com``.

    Raises:
        RequestError: ``text`` is no account; the message says why.
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


@frozen
class PastedName:
    """A name that a person pasted."""

    name: Acct | str
    """The account, or a URL in canonical form."""
    is_group: bool = False
    """Whether it was written as that of a group (``!books@example.com``)."""


def parse_pasted(text: str) -> PastedName:
    """Parse the text in a search field: a handle, an account, a URL, or a host with a path and without ``https://``.

    White space, characters without a width, quotation marks and brackets around the name are removed, and so is the
    punctuation after an account. The page of a remote account (``https://a.example/@bob@b.example``) names that
    account.

    Raises:
        RequestError: The text is none of these; the message says why.
    """
    if len(text) > _LENGTH_MAX:
        raise RequestError(f"a name of {len(text)} characters; the limit is {_LENGTH_MAX}")
    bare = _without_surroundings(text).replace("\uff20", "@")
    if bare.lower().startswith("web+ap://"):
        bare = f"https{bare[6:]}"
    if not bare.lower().startswith(("https://", "http://")):
        if _HOST_AND_PATH.fullmatch(bare) is None:
            return PastedName(parse_acct(bare.removeprefix("!")), bare.startswith("!"))
        bare = f"https://{bare}"
    url = parse_url(bare)
    page = _HANDLE_PAGE.fullmatch(url.path)
    return PastedName(str(url) if page is None else parse_acct(page[1]))


def _without_surroundings(text: str) -> str:
    blank_match = _BLANKS.fullmatch(text)
    bare = text if blank_match is None else blank_match[1]
    if bare[:1] in _BRACKETS and _BRACKETS[bare[0]] in bare[1:]:
        bare = bare[1 : bare.rindex(_BRACKETS[bare[0]])]
    # A URL may end in punctuation, an account never does.
    return bare if "/" in bare else bare.rstrip(_PUNCTUATION)


def parse_resource(text: str) -> Acct | str:
    """Parse the resource of a WebFinger request: an account, or a URI, returned in canonical form if it is a URL.

    Raises:
        RequestError: ``text`` is neither (RFC 7033 §4.2: answer 400).
    """
    start = text[:8].lower()
    if start.startswith(("http://", "https://")):
        return str(parse_url(text))
    if (prefix := _SCHEME.match(text)) is not None and prefix.group().lower() != "acct:":
        return text  # a URI that may name something; a server that does not know it answers 404
    return parse_acct(text)


def _decoded(text: str, user: str) -> str:
    if _BAD_PERCENT.search(user) is not None:
        raise _refused(text, "has a percent sign without two hexadecimal digits")
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
    # A final dot is the absolute spelling of the same host. Certificates never have it.
    name = url.origin.host.removesuffix(".")
    if url.path != "/" or not name:
        raise _refused(text, "has no host that can be read")
    return Origin("https", name, url.origin.port).authority


def _refused(text: str, reason: str) -> RequestError:
    return RequestError(f"account {text[:200]!r} {reason}")
