"""Contexts that nobody here knows: ignored and reported, or fetched, as the policy says.

A JSON-LD context is a document on somebody's server that decides what other documents mean. Servers of contexts go down, change their minds, and could be
made to serve one thing to whoever checks a signature and another to whoever acts. So apcore knows the contexts that are in use, and by default reads a
document with an unknown one as if that defined nothing: the document's usual words keep their meaning, and what was not understood is named in
`Reading.ignored_contexts`. An application that knows a context registers it (`Vocabulary.with_views(contexts=...)`).

With ``unknown_contexts="fetch"`` an unknown context is fetched once, under the same address policy and limits as anything, kept for a week, and a failure for
an hour. A context that cannot be had degrades the document as before; it never fails it.
"""

from __future__ import annotations

from datetime import timedelta

from apcore.effects import Get, Now, Op, commit
from apcore.errors import ApcoreError, DocumentError, LimitExceeded, Unavailable
from apcore.http import Origin, parse_media_type
from apcore.jsonld import BUNDLED, DEFAULT_LIMITS, ContextTable, WorkBudget, parse_document
from apcore.ports import Check, Put, StoreKey, digest_part
from apcore.records.format import decode_record, encode_record, from_epoch_ms, to_epoch_ms
from apcore.remote.budgets import BudgetSpent
from apcore.remote.retrieval import FetchPolicy, fetch
from apcore.vocab import Document, read_document

__all__ = ["read_with_contexts"]

_ACCEPT = "application/ld+json, application/json;q=0.9"


def read_with_contexts(source: bytes, *, origin: Origin | None, policy: FetchPolicy) -> Op[Document]:
    """Read a document as `read_document` does, with its unknown contexts fetched if the policy says so.

    Asks for: nothing by default; else for each unknown context one `Get`, and on a miss one fetch and one commit, at most ``policy.contexts_max``.

    Raises:
        DocumentError, LimitExceeded: As `read_document`; never because of a context.
        BudgetSpent: As `fetch`.
    """
    contexts, tried = BUNDLED, set[str]()
    # One for all readings: what a document costs does not grow with the contexts that it names.
    work = WorkBudget(DEFAULT_LIMITS, len(source))
    document: Document | None = None
    while True:
        try:
            document = read_document(source, origin=origin, vocabulary=policy.vocabulary, contexts=contexts, work=work)
        except (DocumentError, LimitExceeded):
            if document is None:
                raise
            # It could be read before, so it is what was fetched that is wrong: no context, or one that goes too far.
            return document
        missing = [url for url in document.reading.ignored_contexts if url not in tried]
        if policy.unknown_contexts == "ignore" or not missing:
            return document
        for url in missing:
            if len(tried) >= policy.contexts_max:
                return document
            tried.add(url)
            body = yield from _context(url, policy)
            contexts = contexts if body is None else _with(contexts, url, body)


def _with(contexts: ContextTable, url: str, body: bytes) -> ContextTable:
    try:
        return contexts.with_document(url, parse_document(body))
    except ApcoreError:  # no object after all, or over a limit
        return contexts


def _context(url: str, policy: FetchPolicy) -> Op[bytes | None]:
    """Give what is at the address of a context, kept or fetched; None if it cannot be had."""
    key: StoreKey = ("ctx", "1", digest_part(url))
    [kept] = yield from Get((key,))
    now = yield from Now()
    if kept is not None:
        fact = decode_record(kept.value)
        good = bool(fact.body)
        age = now - from_epoch_ms(fact.number("fetched"))
        if fact.text("url") == url and age < timedelta(
            seconds=policy.context_ttl_s if good else policy.context_retry_s
        ):
            return fact.body or None
    body = b""
    try:
        found = yield from fetch(url, policy=policy, accept=_ACCEPT)
        if found.response.status == 200 and _is_json(found.response.headers.get("content-type")):
            body = found.response.body
            _ = parse_document(body)
    except BudgetSpent:
        # Ours to bear: it says nothing about the context, so nothing is kept, and what is read without it is not what it says.
        raise
    except ApcoreError:
        body = b""
    value = encode_record({"url": url, "fetched": to_epoch_ms(now)}, body)
    ttl_s = policy.kept_s(policy.context_ttl_s if body else policy.context_retry_s, len(body))
    if ttl_s is None:
        return body or None
    try:
        _ = yield from commit((Check(key, None if kept is None else kept.version),), (Put(key, value, ttl_s),))
    except Unavailable:
        return body or None
    return body or None


def _is_json(content_type: str | None) -> bool:
    """Any JSON will do: contexts are served as all kinds of it."""
    try:
        essence = parse_media_type(content_type or "").essence
    except ApcoreError:
        return False
    return essence in {"application/json", "application/ld+json"} or essence.endswith("+json")
