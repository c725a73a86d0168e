"""Where a signature does not pass between apcore and another, and why: (who signs, who verifies, what) -> what comes of it, and whose doing that is.

Found by `interop.crosscheck`, which fails if anything else comes out: an entry that is not true any more has to go.
"""

from __future__ import annotations

from typing import Final

__all__ = ["EXCEPTIONS"]

_PATH_ONLY: Final = (
    "Theirs: its `(request-target)` is the path without the query, where draft-cavage §2.3 has what stands in the request line. apcore signs"
    " the query, as Mastodon does. The inboxes in use have none, and for a GET there is RFC 9421."
)
_UNBOUND_QUERY: Final = (
    "Ours is stricter: a signature over the path without its query is accepted on GET and HEAD alone, since anybody in between could change"
    " the query."
)
_ONE_LABEL: Final = "Theirs: it knows no algorithm but the label `rsa-sha256`."
_COMPONENTS: Final = "Theirs: of the derived components it knows `@method`, `@path` and `@authority`; apcore covers `@target-uri`, which Mastodon asks for."
_NO_DIGEST: Final = (
    "Theirs: it covers no `content-digest`, and the field that it sends is no digest (`sha-256=:SHA-256=...:`). apcore takes no POST of which"
    " the body is not bound."
)
_NO_QUERY: Final = "Ours is stricter: its signature covers `@path` and not `@query`, so the target is not bound."
_BODY_UNREAD: Final = "Theirs: it compares no digest with the body, so a body that was changed passes."
_DER: Final = (
    "Theirs: it takes ECDSA signatures as DER, where RFC 9421 §3.3.4 and §3.3.5 have the two numbers side by side."
)
_PSS: Final = "Theirs: it reads every RSA key as one for PKCS #1 v1.5, which cannot check RSA-PSS."
_CURVES: Final = "Theirs: it reads keys of RSA and Ed25519 alone; with one on another curve in its list, an actor has no keys for it."
_QUESTION_MARK: Final = (
    "Theirs: its `@query` lacks the question mark (RFC 9421 §2.2.7). Nobody signs that component by default."
)
_CAVAGE_TARGET: Final = (
    "Theirs: its `@request-target` begins with the method, as in draft-cavage, where RFC 9421 §2.2.5 has the target alone. Nobody signs that"
    " component by default."
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
