"""Unknown contexts: ignored and reported, or fetched within bounds; and never a reason to fail."""

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


class Terms:
    """A server of contexts; counts what it is asked."""

    checks_addresses = "enforced"

    def __init__(self, answers) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def send(self, request):
        self.asked.append(request.url)
        answer = self.answers.get(request.url, Response(404))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Nothing is open."""


def served(context, content_type="application/json") -> Response:
    return Response(200, {"content-type": content_type}, json.dumps({"@context": context}).encode())


def note(*contexts, **members) -> bytes:
    return json.dumps({"@context": [AS2, *contexts], "id": "https://a.example/1", "type": "Note", **members}).encode()


def read(source, answers=None, *, store=None, **changes):
    web = Terms(answers or {})
    policy = FetchPolicy(**({"unknown_contexts": "fetch"} | changes))
    ports = Ports(runtime=BlockingRuntime(), store=store or MemoryStore(), transport=web)
    return run(read_with_contexts(source, origin=None, policy=policy), ports), web


SPELLED = {"text": "as:content"}


def test_by_default_it_is_ignored_and_reported_and_nothing_is_asked() -> None:
    document, web = read(note(UNKNOWN, text="hi"), {UNKNOWN: served(SPELLED)}, unknown_contexts="ignore")
    assert document.reading.ignored_contexts == (UNKNOWN,)
    assert "content" not in document.words
    assert web.asked == []


@pytest.mark.parametrize("kind", ["application/json", "application/ld+json", "application/x+json; charset=utf-8"])
def test_a_fetched_context_gives_its_words_their_meaning(kind) -> None:
    document, web = read(note(UNKNOWN, text="hi"), {UNKNOWN: served([AS2, SPELLED], kind)})
    assert document.words["content"] == "hi"
    assert document.tree["text"] == "hi"
    assert document.reading.ignored_contexts == ()
    assert web.asked == [UNKNOWN]


def test_it_is_kept_and_so_is_a_failure() -> None:
    store = MemoryStore()
    _, first = read(note(UNKNOWN, text="hi"), {UNKNOWN: served([AS2, SPELLED])}, store=store)
    document, second = read(note(UNKNOWN, text="hi"), {}, store=store)
    assert (len(first.asked), len(second.asked)) == (1, 0)
    assert document.words["content"] == "hi"
    other = "https://down.example/context"
    _, first = read(note(other), {}, store=store)
    _, second = read(note(other), {other: served(SPELLED)}, store=store)
    assert (len(first.asked), len(second.asked)) == (1, 0)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Response(404), id="404"),
        pytest.param(Response(500), id="500"),
        pytest.param(ConnectFailed("down"), id="down"),
        pytest.param(Response(200, {"content-type": "text/html"}, b"<p>"), id="html"),
        pytest.param(Response(200, {"content-type": "application/json"}, b"{"), id="not-json"),
        pytest.param(Response(200, {"content-type": "application/json"}, b"[]"), id="no-object"),
        pytest.param(served({f"t{n}": f"https://x.example/{n}" for n in range(20_000)}), id="huge"),
        pytest.param(Response(302, {"location": "http://10.0.0.1/"}), id="redirect-down"),
        pytest.param(served({"@vocab": 5}), id="no-vocabulary"),
        pytest.param(served(5), id="no-definitions"),
        pytest.param(served([[1]]), id="no-list-of-definitions"),
        pytest.param(served([UNKNOWN]), id="itself"),
        pytest.param(
            served(
                {f"c{n}": f"c{n - 1}:{'z' * 400}/" if n else "https://x.example/" for n in range(9)}
                | {"content": "c8:x"}
            ),
            id="too-long-in-the-end",
        ),
    ],
)
def test_a_context_that_cannot_be_had_degrades_the_document(answer) -> None:
    document, _ = read(note(UNKNOWN, content="hi", text="x"), {UNKNOWN: answer})
    assert document.words["content"] == "hi"
    assert document.reading.ignored_contexts == (UNKNOWN,)


def test_no_document_makes_us_fetch_without_end() -> None:
    many = [f"https://terms{number}.example/" for number in range(30)]
    document, web = read(note(*many, content="hi"), contexts_max=4)
    assert len(web.asked) == 4
    assert document.words["content"] == "hi"
    chain = {f"https://c.example/{n}": served([f"https://c.example/{n + 1}"]) for n in range(30)}
    document, web = read(note("https://c.example/0", content="hi"), chain, contexts_max=4)
    assert len(web.asked) <= 4


def test_a_document_that_cannot_be_read_is_its_own_fault() -> None:
    with pytest.raises(DocumentError):
        read(b"[]")
