"""The contexts that are bundled with apcore and never fetched, by address.

They change once in years. Their hosts are slow, or gone, or should not learn which documents a server reads. Each
address has one form here; `apcore.jsonld.tables` recognises its other spellings. Some software serves the same context
from every host; such contexts are recognised by the path of their address.
"""

from __future__ import annotations

import re
from typing import Any, Final

from apcore.jsonld.contexts import fediverse, security
from apcore.jsonld.contexts.activitystreams import ACTIVITYSTREAMS
from apcore.jsonld.contexts.schemaorg import schema_org

__all__ = ["BUNDLED_CONTEXTS", "SERVED_BY_EVERY_HOST"]

_AS: Final = "https://www.w3.org/ns/activitystreams"
_SECURITY: Final = "https://w3id.org/security/v1"
_WEBFINGER: Final = "https://purl.archive.org/socialweb/webfinger"

_LITEPUB: Final = [_AS, _SECURITY, _WEBFINGER, fediverse.LITEPUB]

BUNDLED_CONTEXTS: Final[dict[str, Any]] = {
    _AS: ACTIVITYSTREAMS,
    _SECURITY: security.SECURITY_V1,
    "https://w3id.org/security/v2": [{"@version": 1.1}, _SECURITY, security.SECURITY_V2],
    "https://w3id.org/identity/v1": security.IDENTITY_V1,
    "https://w3id.org/security/data-integrity/v1": security.DATA_INTEGRITY_V1,
    "https://w3id.org/security/data-integrity/v2": security.DATA_INTEGRITY_V2,
    "https://w3id.org/security/multikey/v1": security.MULTIKEY_V1,
    "https://w3id.org/security/jwk/v1": security.JWK_V1,
    "https://w3id.org/security/suites/ed25519-2020/v1": security.ED25519_2020_V1,
    "https://www.w3.org/ns/did/v1": security.DID_V1,
    "https://www.w3.org/ns/cid/v1": security.CONTROLLED_IDENTIFIERS_V1,
    "https://www.w3.org/ns/controller/v1": security.CONTROLLED_IDENTIFIERS_V1,
    "http://joinmastodon.org/ns": fediverse.MASTODON,
    "https://litepub.social/litepub/context.jsonld": _LITEPUB,
    "https://join-lemmy.org/context.json": [_SECURITY, fediverse.LEMMY],
    "https://gotosocial.org/ns": fediverse.GOTOSOCIAL,
    "https://funkwhale.audio/ns": fediverse.FUNKWHALE,
    _WEBFINGER: fediverse.WEBFINGER,
    "https://purl.archive.org/miscellany": fediverse.MISCELLANY,
    "http://schema.org": schema_org,
    "https://w3id.org/fep/5711": fediverse.FEP_5711,
    "https://w3id.org/fep/7628": fediverse.FEP_7628,
    "https://w3id.org/fep/7aa9": fediverse.FEP_7AA9,
    "https://w3id.org/fep/c390": fediverse.FEP_C390,
    "https://w3id.org/fep/ef61": fediverse.FEP_EF61,
}
"""A map from the address to the value of ``@context``, or to a function that returns it."""

SERVED_BY_EVERY_HOST: Final[tuple[tuple[re.Pattern[str], Any], ...]] = (
    (re.compile(r"https?://[^/?#]+/schemas/litepub-0\.1\.jsonld"), _LITEPUB),
    (re.compile(r"https?://[^/?#]+/contexts"), [_AS, _SECURITY, fediverse.MBIN]),
    (re.compile(r"https?://[^/?#]+/apschema/v1\.[0-9]+"), [_AS, fediverse.HUBZILLA]),
)
"""Patterns of addresses on any host, with the value of ``@context`` of each."""
