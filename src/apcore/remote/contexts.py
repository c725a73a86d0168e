"""Handle JSON-LD contexts that apcore does not know: ignore and report them, or fetch them.

A JSON-LD context is a document that defines the terms of other documents. Its server can go down or change it. It could
even serve one context to the verifier of a signature and another one to the application. So apcore bundles the contexts
that are in use. By default it reads a document with an unknown context as if that context defined nothing. The usual
terms keep their meaning, and `Reading.ignored_contexts` names the ignored contexts. An application that needs another
context registers it (``Vocabulary.with_views(contexts=...)``).

With ``unknown_contexts="fetch"`` an unknown context is fetched once, under the same address policy and limits as any
document. It is cached for a week, and a failure for an hour. A context that cannot be fetched is ignored, as by
default; the document is still read.
"""

from __future__ import annotations

from datetime import timedelta

from apcore.effects import Get, Now, Op, commit
from apcore.errors import ApcoreError, DocumentError, LimitExceeded, Unavailable
from apcore.http import Origin, parse_media_type
from apcore.jsonld import BUNDLED, DEFAULT_LIMITS, ContextTable, WorkBudget, parse_document
from apcore.ports import Check
from apcore.remote.budgets import BudgetSpent
from apcore.remote.records import CACHED_CONTEXTS, CachedContext, ContextKey
from apcore.remote.retrieval import FetchPolicy, fetch
from apcore.vocab import Document, read_document

__all__ = ["read_with_contexts"]

_ACCEPT = "application/ld+json, application/json;q=0.9"


def read_with_contexts(source: bytes, *, origin: Origin | None, policy: FetchPolicy) -> Op[Document]:
    """Read a document as `read_document` does, and fetch its unknown contexts if the policy says so.

    Asks for: nothing by default. With ``unknown_contexts="fetch"``: one `Get` for each of at most
    ``policy.contexts_max`` unknown contexts, and on a miss one fetch and one commit.

    Raises:
        DocumentError, LimitExceeded: As `read_document`; never because of a context.
        BudgetSpent: As `fetch`.
    """
    contexts, attempted_urls = BUNDLED, set[str]()
    # One budget for all readings: the cost of a document does not grow with the contexts that it names.
    work = WorkBudget(DEFAULT_LIMITS, len(source))
    document: Document | None = None
    while True:
        try:
            document = read_document(source, origin=origin, vocabulary=policy.vocabulary, contexts=contexts, work=work)
        except (DocumentError, LimitExceeded):
            if document is None:
                raise
            # The document was readable without the fetched context, so the context is at fault: use the last reading.
            return document
        missing = [url for url in document.reading.ignored_contexts if url not in attempted_urls]
        if policy.unknown_contexts == "ignore" or not missing:
            return document
        for url in missing:
            if len(attempted_urls) >= policy.contexts_max:
                return document
            attempted_urls.add(url)
            body = yield from _context(url, policy)
            contexts = contexts if body is None else _add_context(contexts, url, body)


def _add_context(contexts: ContextTable, url: str, body: bytes) -> ContextTable:
    try:
        return contexts.with_document(url, parse_document(body))
    except ApcoreError:  # not an object, or over a limit
        return contexts


def _context(url: str, policy: FetchPolicy) -> Op[bytes | None]:
    """Return the context at ``url``, cached or fetched, or None if it cannot be had."""
    key = ContextKey.of(url)
    [entry] = yield from Get((CACHED_CONTEXTS.key(key),))
    now = yield from Now()
    if entry is not None:
        cached = CACHED_CONTEXTS.decode(entry.value)
        ttl_s = policy.context_ttl_s if cached.body else policy.context_retry_s
        if cached.url == url and now - cached.fetched < timedelta(seconds=ttl_s):
            return cached.body or None
    body = b""
    try:
        fetched = yield from fetch(url, policy=policy, accept=_ACCEPT)
        if fetched.response.status == 200 and _is_json(fetched.response.headers.get("content-type")):
            body = fetched.response.body
            _ = parse_document(body)
    except BudgetSpent:
        # The budget says nothing about the context, so no failure is cached. Reading on without the context would give
        # the document another meaning.
        raise
    except ApcoreError:
        body = b""
    kept_s = policy.kept_s(policy.context_ttl_s if body else policy.context_retry_s, len(body))
    if kept_s is None:
        return body or None
    write = CACHED_CONTEXTS.put(key, CachedContext(url=url, fetched=now, body=body), ttl_s=kept_s)
    try:
        _ = yield from commit((Check(write.key, None if entry is None else entry.version),), (write,))
    except Unavailable:
        return body or None
    return body or None


def _is_json(content_type: str | None) -> bool:
    """Check for any JSON media type: servers label contexts in many ways."""
    try:
        essence = parse_media_type(content_type or "").essence
    except ApcoreError:
        return False
    return essence in {"application/json", "application/ld+json"} or essence.endswith("+json")
