"""List the signatures that do not pass between apcore and another library: (signer, verifier, case) -> result, reason.

`interop.crosscheck` finds them and fails if any other result occurs. Remove an entry that is no longer true.
"""

from __future__ import annotations

from typing import Final

__all__ = ["EXCEPTIONS"]

_PATH_ONLY: Final = (
    "Their `(request-target)` is the path without the query; draft-cavage §2.3 demands the target of the request line."
    " apcore signs the query, as Mastodon does. Inboxes in use have no query, and for a GET there is RFC 9421."
)
_UNBOUND_QUERY: Final = (
    "apcore is stricter: it accepts a signature over the path without its query on GET and HEAD alone, because a proxy"
    " could change the query."
)
_ONE_LABEL: Final = "They know only the algorithm label `rsa-sha256`."
_COMPONENTS: Final = (
    "Of the derived components they know only `@method`, `@path` and `@authority`. apcore covers `@target-uri`, which"
    " Mastodon demands."
)
_NO_DIGEST: Final = (
    "They do not cover `content-digest`, and the field that they send is not a digest (`sha-256=:SHA-256=...:`). apcore"
    " refuses a POST whose body is not bound."
)
_NO_QUERY: Final = "apcore is stricter: their signature covers `@path` and not `@query`, so the target is not bound."
_BODY_UNREAD: Final = "They do not compare the digest with the body, so a changed body passes."
_DER: Final = "They take ECDSA signatures as DER; RFC 9421 §3.3.4 and §3.3.5 demand the two numbers side by side."
_PSS: Final = "They read every RSA key as one for PKCS #1 v1.5, which cannot check RSA-PSS."
_CURVES: Final = (
    "They read only RSA and Ed25519 keys. If an actor lists a key on another curve, they find no keys at all."
)
_QUESTION_MARK: Final = (
    "Their `@query` lacks the question mark (RFC 9421 §2.2.7). No known server signs that component by default."
)
_CAVAGE_TARGET: Final = (
    "Their `@request-target` begins with the method, as in draft-cavage; RFC 9421 §2.2.5 has the target alone. No known"
    " server signs that component by default."
)

_US: Final = "apcore"

EXCEPTIONS: Final[dict[tuple[str, str, str], tuple[str, str]]] = {
    (_US, "apsig", "cavage POST with query"): ("refused", _PATH_ONLY),
    (_US, "apsig", "cavage GET with query"): ("refused", _PATH_ONLY),
    ("apsig", _US, "cavage POST with query"): ("refused", _UNBOUND_QUERY),
    (_US, "apsig", "cavage POST, hs2019 and (created)"): ("refused", _ONE_LABEL),
    **{
        (_US, "apsig", f"RFC 9421 {what}"): ("refused", _COMPONENTS)
        for what in (
            "POST",
            "POST, empty body",
            "POST, other port",
            "GET",
            "GET with query",
            "GET, @path and @query",
            "GET, @request-target",
        )
    },
    **{
        ("apsig", _US, f"RFC 9421 {what}"): ("refused", _NO_DIGEST)
        for what in ("POST", "POST, empty body", "POST, other port")
    },
    ("apsig", _US, "RFC 9421 GET with query"): ("refused", _NO_QUERY),
    **{
        (_US, "apsig", f"RFC 9421 POST{what}"): ("accepts altered", _BODY_UNREAD)
        for what in (" by parts", ", Ed25519", ", RSA-PSS")
    },
    (_US, "apsig", "RFC 9421 POST, P-256"): ("refused", _DER),
    (_US, "apsig", "RFC 9421 POST, P-384"): ("refused", _DER),
    (_US, "Fedify", "cavage POST with query"): ("refused", _PATH_ONLY),
    (_US, "Fedify", "cavage GET with query"): ("refused", _PATH_ONLY),
    ("Fedify", _US, "cavage POST with query"): ("refused", _UNBOUND_QUERY),
    (_US, "Fedify", "RFC 9421 POST, RSA-PSS"): ("refused", _PSS),
    (_US, "Fedify", "RFC 9421 POST, P-256"): ("refused", _CURVES),
    (_US, "Fedify", "RFC 9421 POST, P-384"): ("refused", _CURVES),
    (_US, "Fedify", "RFC 9421 GET, @path and @query"): ("refused", _QUESTION_MARK),
    (_US, "Fedify", "RFC 9421 GET, @request-target"): ("refused", _CAVAGE_TARGET),
}
