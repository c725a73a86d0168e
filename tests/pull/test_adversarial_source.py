"""Drive resolve against a source that answers anything and fails at any point, through crashes and resumes."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apcore.adapters.memory import MemoryStore
from apcore.errors import (
    ApcoreError,
    ConnectFailed,
    FetchTimedOut,
    NameUnresolved,
    ResponseTooBig,
    StoreUnavailable,
    TlsFailed,
)
from apcore.http import Origin, Request, Response, parse_url
from apcore.remote import FetchPolicy, Gone, Identity, load_unless_failed
from apcore.remote.copies import due_copies, prune_copies
from apcore.remote.failed_loads import FIRST_PAUSE_S
from apcore.remote.records import (
    CACHED_DOCUMENTS,
    DOCUMENT_ALIASES,
    DUE_DOCUMENTS,
    ORIGIN_DOCUMENTS,
    OWNED_DOCUMENTS,
    TOMBSTONES,
)
from scripted_web import ScriptedWeb, document, redirect

HOSTS = ["https://a.example", "https://b.example"]
URIS = [f"{host}/{number}" for host in HOSTS for number in range(2)]
VIEWERS = [None, Identity(key_name="instance", key_id="https://me.example/actor#main-key")]
POLICY = FetchPolicy(redirects_max=3)
REQUESTS_MAX = 2 * (POLICY.redirects_max + 1) * 2
"""Each of up to three fetches follows three redirects, and each hop may be knocked at twice."""
OTHERS = ["https://b.example@a.example/1", "urn:x:1", "", "/1", "https://localhost/1", "https://10.0.0.1/1"]

uris = st.sampled_from(URIS)
moments = st.sampled_from(["9999-12-31T23:59:59Z", "2026-01-01T11:00:00Z", "2025-06-01T00:00:00Z", "never", ""])
documents = st.fixed_dictionaries(
    {
        "id": st.one_of(uris, uris, uris, st.sampled_from([*OTHERS, None])),
        "type": st.sampled_from(["Note", "Person", "Odd"]),
    },
    optional={
        "updated": moments,
        "attributedTo": st.one_of(uris, st.lists(uris, max_size=2)),
        "content": st.text(max_size=9),
    },
)
headers = st.dictionaries(
    st.sampled_from(["cache-control", "etag", "expires", "age", "retry-after", "date"]),
    st.sampled_from(["max-age=0", "max-age=999999999999", "no-store", '"1"', 'W/"2"', "-1", "0", "soon", "99999999"]),
    max_size=3,
)
redirects = st.builds(redirect, st.one_of(uris, uris, st.sampled_from(OTHERS)), st.sampled_from([301, 302, 307, 308]))
answers = st.one_of(
    # Lies need several answers that fit each other, so documents and redirects come more often than failures.
    redirects,
    st.builds(lambda tree, fields: document(tree, **fields), documents, st.just({})),
    st.builds(lambda tree, fields: document(tree, **fields), documents, headers),
    redirects,
    st.builds(Response, st.sampled_from([304, 400, 401, 403, 404, 410, 418, 429, 500, 503]), headers),
    st.sampled_from(
        [
            Response(200, {"content-type": "text/html"}, b"<p>"),
            Response(200, {"content-type": "application/activity+json"}, b"{"),
            Response(200, {"content-type": "application/activity+json"}, b"[" * 3000),
            Response(200, {"content-type": "application/activity+json"}, b"{}", truncated=True),
            ConnectFailed("refused"),
            NameUnresolved("no such name"),
            TlsFailed("expired"),
            FetchTimedOut("10 s"),
            ResponseTooBig("50 MB"),
        ]
    ),
)
steps = st.lists(
    st.tuples(
        uris,
        st.sampled_from(VIEWERS),
        st.booleans(),
        st.sampled_from([0.0, 30.0, 4000.0, 3 * 86400.0, 40 * 86400.0]),
        st.lists(answers, min_size=1, max_size=8),
        st.integers(0, 30),
    ),
    min_size=1,
    max_size=8,
)


class _CrashedError(BaseException):
    """The process ends here."""


class Source(ScriptedWeb):
    """A web that answers from a list, for any address, and remembers the bodies that it has sent."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Response | Exception] = []
        self.sent: dict[str, list[Any]] = {}
        """The bodies that each address has sent."""
        self.gone: set[Origin] = set()
        """The origins that have answered 410."""

    def send(self, request: Request, /) -> Response:
        self.requests.append(request)
        answer = self.answers[(len(self.requests) - 1) % len(self.answers)]
        if isinstance(answer, Exception):
            raise answer
        if answer.status == 410:
            self.gone.add(parse_url(request.url).origin)
        if answer.status == 200:
            self.sent.setdefault(request.url, []).append(answer.body)
        return answer


class Crashes:
    """The commit of a store, which ends the process or fails at one call, before or after it was applied."""

    def __init__(self, store: MemoryStore, at: int) -> None:
        self.commit = store.commit
        self.at = at
        self.calls = 0

    def __call__(self, *arguments: Any, **options: Any) -> bool:
        self.calls += 1
        if self.calls != self.at:
            return self.commit(*arguments, **options)
        if self.at % 3 == 0:
            raise StoreUnavailable("the disk is full")
        if self.at % 2:
            _ = self.commit(*arguments, **options)
        raise _CrashedError

    @property
    def has_struck(self) -> bool:
        return self.calls >= self.at > 0


def check_store(web: Source) -> None:
    """Check that no record is a lie: each copy was sent by its own origin, and each index leads to copies alone."""
    copies = {
        tuple(entry.key[-2:]): CACHED_DOCUMENTS.decode(entry.value)
        for entry in web.store.scan(CACHED_DOCUMENTS.prefix, limit=1000)
    }
    for copy in copies.values():
        assert parse_url(copy.url).origin == parse_url(copy.uri).origin
        assert copy.body in web.sent[copy.url]
        assert str(parse_url(json.loads(copy.body)["id"])) == copy.uri
        assert copy.updated is None or copy.updated.year < 2027
    for kind in (DUE_DOCUMENTS, ORIGIN_DOCUMENTS):
        assert {tuple(entry.key[-2:]) for entry in web.store.scan(kind.prefix, limit=1000)} == copies.keys()
    aliases = [DOCUMENT_ALIASES.decode(entry.value) for entry in web.store.scan(DOCUMENT_ALIASES.prefix, limit=1000)]
    assert all(alias.target in web.sent for alias in aliases)
    tombstones = [TOMBSTONES.decode(entry.value) for entry in web.store.scan(TOMBSTONES.prefix, limit=1000)]
    assert {parse_url(tombstone.uri).origin for tombstone in tombstones} <= web.gone


def alias_uris(web: Source) -> set[str]:
    """Return the addresses that have moved for good."""
    entries = web.store.scan(DOCUMENT_ALIASES.prefix, limit=1000)
    return {DOCUMENT_ALIASES.decode(entry.value).uri for entry in entries}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_resolve_ends_within_its_bound_and_never_caches_a_lie(plan: Any) -> None:
    web = Source()
    for uri, viewer, fresh, pause_s, answers_now, crash_at in plan:
        web.pass_s(pause_s)
        web.answers = answers_now
        _ = web.asked()
        crashes = Crashes(web.store, crash_at)
        web.store.commit = crashes  # type: ignore[method-assign]
        error: ApcoreError | None = None
        try:
            loaded = web.run(load_unless_failed(uri, policy=POLICY, identity=viewer, fresh=fresh))
            assert loaded.document.id is not None
        except ApcoreError as caught:
            error = caught
        except _CrashedError:
            pass
        finally:
            web.store.commit = crashes.commit  # type: ignore[method-assign]
        assert len(web.asked()) <= REQUESTS_MAX
        check_store(web)
        if error is not None and not crashes.has_struck and type(error) in {Gone, *FIRST_PAUSE_S}:
            with suppress(ApcoreError):  # a fresh copy may be left, which a failure does not end
                _ = web.run(load_unless_failed(uri, policy=POLICY, identity=viewer))
            # An alias is not asked itself, but the document that it moved to may redirect back to it.
            assert uri not in web.asked() or uri in alias_uris(web), "the source was asked again before its retry time"
    now = web.runtime.now()
    count = len(web.store.scan(CACHED_DOCUMENTS.prefix, limit=1000))
    assert len(web.run(due_copies(now, limit=100))) <= count
    assert web.run(prune_copies(now, documents_max=0, bytes_max=0, age_s_max=1e9)) == count
    for kind in (CACHED_DOCUMENTS, DUE_DOCUMENTS, ORIGIN_DOCUMENTS, OWNED_DOCUMENTS):
        assert not web.store.scan(kind.prefix, limit=1)
