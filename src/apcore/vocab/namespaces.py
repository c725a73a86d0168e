"""Define namespaces: the origin of terms, and their form on the wire.

A term means its IRI, which is a namespace and a local name. A `Namespace` also holds the data for writing: the address
of the context that defines its terms, if peers accept one, or else the prefix under which they are defined inline.

Namespaces drift: the terms of one project occur under ``http`` and ``https``, with a slash or a number sign. `also`
lists the other spellings. Reading accepts all of them; writing uses the first.
"""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

__all__ = [
    "AS",
    "BOOKWYRM",
    "CID",
    "DATA_INTEGRITY",
    "DIASPORA",
    "FEDIBIRD",
    "FEP_044F",
    "FEP_5711",
    "FEP_7628",
    "FUNKWHALE",
    "GOTOSOCIAL",
    "ICAL",
    "LDP",
    "LEMMY",
    "LITEPUB",
    "MISSKEY",
    "MOBILIZON",
    "OSTATUS",
    "PEERTUBE",
    "PIXELFED",
    "PUBLIC",
    "PUBLIC_FORMS",
    "SCHEMA",
    "SEC",
    "SMITHEREEN",
    "TOOT",
    "VCARD",
    "WEBFINGER",
    "Namespace",
]


@frozen(hash=True)
class Namespace:
    """The common beginning of the IRIs of a vocabulary."""

    iri: str
    """Ends in a delimiter, ``#`` or ``/``, so that a name can follow."""
    prefix: str = ""
    """The prefix for inline definitions. If it is empty, each term is defined by its IRI."""
    context: str | None = None
    """The address of the context that defines its terms; None if there is none, or none that peers load."""
    also: tuple[str, ...] = field(default=(), kw_only=True)
    """Other spellings of `iri` in use."""

    def iris(self, name: str) -> tuple[str, ...]:
        """Return every spelling of the IRI of ``name``; the first one is for writing."""
        return (self.iri + name, *(spelling + name for spelling in self.also))


PUBLIC: Final = "https://www.w3.org/ns/activitystreams#Public"
"""Everyone: the value of `to` and `cc` in public or unlisted posts. It is not an address, and nothing is delivered to
it.
"""
PUBLIC_FORMS: Final = frozenset({PUBLIC, "http://www.w3.org/ns/activitystreams#Public", "as:Public", "Public"})
"""The spellings of `PUBLIC`. Compactors produce the short ones; old Mastodon and Pleroma accept only the full one."""

AS: Final = Namespace(
    "https://www.w3.org/ns/activitystreams#",
    "as",
    "https://www.w3.org/ns/activitystreams",
    also=("http://www.w3.org/ns/activitystreams#",),
)
LDP: Final = Namespace("http://www.w3.org/ns/ldp#", "ldp", AS.context)
SEC: Final = Namespace("https://w3id.org/security#", "sec", "https://w3id.org/security/v1")
# The same IRIs; Mastodon expects this context if a Multikey is a document of its own.
CID: Final = Namespace("https://w3id.org/security#", "sec", "https://www.w3.org/ns/cid/v1")
DATA_INTEGRITY: Final = Namespace("https://w3id.org/security#", "sec", "https://w3id.org/security/data-integrity/v1")

TOOT: Final = Namespace("http://joinmastodon.org/ns#", "toot", also=("https://joinmastodon.org/ns#",))
SCHEMA: Final = Namespace(
    "http://schema.org#", "schema", also=("http://schema.org/", "https://schema.org#", "https://schema.org/")
)
OSTATUS: Final = Namespace("http://ostatus.org#", "ostatus", also=("https://ostatus.org#",))
MISSKEY: Final = Namespace(
    "https://misskey-hub.net/ns#", "misskey", also=("https://misskey-hub.net/ns/#", "https://misskey.io/ns#")
)
LITEPUB: Final = Namespace("http://litepub.social/ns#", "litepub", also=("https://litepub.social/ns#",))
FEDIBIRD: Final = Namespace("http://fedibird.com/ns#", "fedibird", also=("https://fedibird.com/ns#",))
LEMMY: Final = Namespace("https://join-lemmy.org/ns#", "lemmy")
PEERTUBE: Final = Namespace("https://joinpeertube.org/ns#", "pt")
PIXELFED: Final = Namespace("http://pixelfed.org/ns#", "pixelfed", also=("https://pixelfed.org/ns#",))
FUNKWHALE: Final = Namespace("https://funkwhale.audio/ns#", "fw", "https://funkwhale.audio/ns")
BOOKWYRM: Final = Namespace("https://bookwyrm.social/ns#", "bw")
MOBILIZON: Final = Namespace("https://joinmobilizon.org/ns#", "mz")
ICAL: Final = Namespace("http://www.w3.org/2002/12/cal/ical#", "ical")
GOTOSOCIAL: Final = Namespace("https://gotosocial.org/ns#", "gts")
SMITHEREEN: Final = Namespace("http://smithereen.software/ns#", "sm")
DIASPORA: Final = Namespace("https://diasporafoundation.org/ns/", "diaspora")
VCARD: Final = Namespace("http://www.w3.org/2006/vcard/ns#", "vcard")
WEBFINGER: Final = Namespace(
    "https://purl.archive.org/socialweb/webfinger#", "wf", "https://purl.archive.org/socialweb/webfinger"
)
FEP_044F: Final = Namespace("https://w3id.org/fep/044f#", "quotes")
FEP_5711: Final = Namespace("https://w3id.org/fep/5711#", "inverse", "https://w3id.org/fep/5711")
FEP_7628: Final = Namespace("https://w3id.org/fep/7628#", "fep7628", "https://w3id.org/fep/7628")
