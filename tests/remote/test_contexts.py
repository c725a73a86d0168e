"""Check that unknown contexts are ignored and reported, or fetched within bounds, and never make reading fail."""

import json

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.drivers import Ports, run
from apcore.errors import ConnectFailed, DocumentError
from apcore.http import Response
from apcore.remote import FetchPolicy, read_with_contexts

UNKNOWN = "https://terms.example/context"
AS2 = "https://www.w3.org/ns/activitystreams"
ACTIVITY = "Like"


class ContextServer:
    """Serve contexts from a table and record the requested URLs."""

    checks_addresses = "enforced"

    def __init__(self, answers) -> None:
        self.answers = answers
        self.requested_urls: list[str] = []

    def send(self, request):
        self.requested_urls.append(request.url)
        answer = self.answers.get(request.url, Response(404))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Do nothing: no connection is open."""


def context_response(context, content_type="application/json") -> Response:
    return Response(200, {"content-type": content_type}, json.dumps({"@context": context}).encode())


def note(*contexts, **members) -> bytes:
    return json.dumps({"@context": [AS2, *contexts], "id": "https://a.example/1", "type": "Note", **members}).encode()


def read(source, answers=None, *, store=None, **changes):
    web = ContextServer(answers or {})
    policy = FetchPolicy(**({"unknown_contexts": "fetch"} | changes))
    ports = Ports(runtime=BlockingRuntime(), store=store or MemoryStore(), transport=web)
    return run(read_with_contexts(source, origin=None, policy=policy), ports), web


DEFINITIONS = {"text": "as:content"}


def test_unknown_context_is_ignored_and_reported_without_a_fetch_by_default() -> None:
    document, web = read(note(UNKNOWN, text="hi"), {UNKNOWN: context_response(DEFINITIONS)}, unknown_contexts="ignore")
    assert document.reading.ignored_contexts == (UNKNOWN,)
    assert "content" not in document.words
    assert web.requested_urls == []


@pytest.mark.parametrize("kind", ["application/json", "application/ld+json", "application/x+json; charset=utf-8"])
def test_fetched_context_defines_its_terms(kind) -> None:
    document, web = read(note(UNKNOWN, text="hi"), {UNKNOWN: context_response([AS2, DEFINITIONS], kind)})
    assert document.words["content"] == "hi"
    assert document.tree["text"] == "hi"
    assert document.reading.ignored_contexts == ()
    assert web.requested_urls == [UNKNOWN]


def test_fetched_context_and_failed_fetch_are_both_cached() -> None:
    store = MemoryStore()
    _, first_web = read(note(UNKNOWN, text="hi"), {UNKNOWN: context_response([AS2, DEFINITIONS])}, store=store)
    document, second_web = read(note(UNKNOWN, text="hi"), {}, store=store)
    assert (len(first_web.requested_urls), len(second_web.requested_urls)) == (1, 0)
    assert document.words["content"] == "hi"
    unreachable = "https://down.example/context"
    _, first_web = read(note(unreachable), {}, store=store)
    _, second_web = read(note(unreachable), {unreachable: context_response(DEFINITIONS)}, store=store)
    assert (len(first_web.requested_urls), len(second_web.requested_urls)) == (1, 0)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Response(404), id="404"),
        pytest.param(Response(500), id="500"),
        pytest.param(ConnectFailed("down"), id="down"),
        pytest.param(Response(200, {"content-type": "text/html"}, b"<p>"), id="html"),
        pytest.param(Response(200, {"content-type": "application/json"}, b"{"), id="not-json"),
        pytest.param(Response(200, {"content-type": "application/json"}, b"[]"), id="no-object"),
        pytest.param(context_response({f"t{n}": f"https://x.example/{n}" for n in range(20_000)}), id="huge"),
        pytest.param(Response(302, {"location": "http://10.0.0.1/"}), id="redirect-down"),
        pytest.param(context_response({"@vocab": 5}), id="no-vocabulary"),
        pytest.param(context_response(5), id="no-definitions"),
        pytest.param(context_response([[1]]), id="no-list-of-definitions"),
        pytest.param(context_response([UNKNOWN]), id="itself"),
        pytest.param(
            context_response(
                {f"c{n}": f"c{n - 1}:{'z' * 400}/" if n else "https://x.example/" for n in range(9)}
                | {"content": "c8:x"}
            ),
            id="too-long-in-the-end",
        ),
    ],
)
def test_unusable_context_is_ignored_and_the_document_is_read(answer) -> None:
    document, _ = read(note(UNKNOWN, content="hi", text="x"), {UNKNOWN: answer})
    assert document.words["content"] == "hi"
    assert document.reading.ignored_contexts == (UNKNOWN,)


def test_number_of_fetched_contexts_is_bounded() -> None:
    contexts = [f"https://terms{number}.example/" for number in range(30)]
    document, web = read(note(*contexts, content="hi"), contexts_max=4)
    assert len(web.requested_urls) == 4
    assert document.words["content"] == "hi"
    chain = {f"https://c.example/{n}": context_response([f"https://c.example/{n + 1}"]) for n in range(30)}
    document, web = read(note("https://c.example/0", content="hi"), chain, contexts_max=4)
    assert len(web.requested_urls) <= 4


def test_malformed_document_raises_document_error() -> None:
    with pytest.raises(DocumentError):
        read(b"[]")
