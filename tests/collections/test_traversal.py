"""Collections in every shape are read to their end, and hostile ones to their bound."""

import json

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.collections import TraversalBounds, traverse
from apcore.drive import Ports, run
from apcore.errors import ApcoreError, ConnectFailed
from apcore.graph import FetchPolicy, NotFound
from apcore.http import Response
from apcore.vocab import WrongType

HERE = "https://remote.example"
ROOT = f"{HERE}/outbox"


class Pages:
    """A network of documents; answers 404 for the rest, and counts."""

    checks_addresses = "enforced"

    def __init__(self, documents) -> None:
        self.documents = documents
        self.asked: list[str] = []

    def send(self, request):
        self.asked.append(request.url)
        document = self.documents.get(request.url)
        if isinstance(document, Exception):
            raise document
        if document is None:
            return Response(404)
        return Response(200, {"content-type": "application/activity+json"}, json.dumps(document).encode())

    def close(self) -> None:
        """Nothing is open."""


def root(**members):
    return {"@context": "https://www.w3.org/ns/activitystreams", "id": ROOT, "type": "OrderedCollection"} | members


def page(items=(), **members):
    return {"type": "OrderedCollectionPage", "orderedItems": list(items)} | members


def read(documents, **bounds):
    network = Pages(documents)
    ports = Ports(runtime=BlockingRuntime(), store=MemoryStore(), transport=network)
    found = run(traverse(ROOT, policy=FetchPolicy(), bounds=TraversalBounds(**bounds)), ports)
    return [item.uri for item in found.items], found, network


@pytest.mark.parametrize(
    "documents",
    [
        pytest.param({ROOT: root(orderedItems=["a:1", "a:2", "a:3"])}, id="all-inline"),
        pytest.param({ROOT: root(items=["a:1", "a:2", "a:3"])}, id="items-in-an-ordered-one"),
        pytest.param(
            {
                ROOT: root(first=f"{ROOT}?1"),
                f"{ROOT}?1": page(["a:1"], next=f"{ROOT}?2"),
                f"{ROOT}?2": page(["a:2", "a:3"]),
            },
            id="pages",
        ),
        pytest.param(
            {ROOT: root(first=page(["a:1", "a:2"], id=f"{ROOT}?1", next=f"{ROOT}?2")), f"{ROOT}?2": page(["a:3"])},
            id="first-embedded",
        ),
        pytest.param({ROOT: root(first=page(["a:1"], next=page(["a:2", "a:3"])))}, id="all-embedded-without-ids"),
        pytest.param(
            {ROOT: root(orderedItems=["a:1"], first=f"{ROOT}?1"), f"{ROOT}?1": page(["a:2", "a:3"])}, id="both"
        ),
        pytest.param(
            {
                ROOT: root(first=f"{ROOT}?1", totalItems=-5),
                f"{ROOT}?1": page([], next=f"{ROOT}?2"),
                f"{ROOT}?2": page(["a:1", "a:2", "a:3"]),
            },
            id="an-empty-page-in-between",
        ),
        pytest.param({ROOT: root(first={"id": f"{ROOT}?1"}), f"{ROOT}?1": page(["a:1", "a:2", "a:3"])}, id="stub"),
        pytest.param({ROOT: root(orderedItems=["a:1", None, {"id": "a:2"}, "a:3"])}, id="odd-items"),
    ],
)
def test_every_shape_is_read_to_its_end(documents) -> None:
    items, found, _ = read(documents)
    assert items == ["a:1", "a:2", "a:3"]
    assert found.ended is None


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        pytest.param(
            {ROOT: root(first=f"{ROOT}?1"), f"{ROOT}?1": page(["a:1"], next=f"{ROOT}?1")}, "leads back", id="itself"
        ),
        pytest.param(
            {ROOT: root(first=f"{ROOT}?1"), f"{ROOT}?1": page(["a:1"], next=ROOT)}, "leads back", id="the-collection"
        ),
        pytest.param(
            {ROOT: root(first=f"{ROOT}?1"), f"{ROOT}?1": page(["a:1"], next="https://evil.example/2")},
            "another origin",
            id="another-origin",
        ),
        pytest.param(
            {ROOT: root(first=f"{ROOT}?1"), f"{ROOT}?1": page(["a:1"], next="file:///etc/passwd")},
            "scheme",
            id="another-scheme",
        ),
        pytest.param({ROOT: root(first=f"{ROOT}?1"), f"{ROOT}?1": page(["a:1"], next={})}, None, id="nothing"),
        pytest.param(
            {ROOT: root(first=f"{ROOT}?1"), f"{ROOT}?1": page(["a:1"], next=f"{ROOT}?2")}, "could not be had", id="gone"
        ),
        pytest.param(
            {
                ROOT: root(first=f"{ROOT}?1"),
                f"{ROOT}?1": page(["a:1"], next=f"{ROOT}?2"),
                f"{ROOT}?2": ConnectFailed("cut"),
            },
            "could not be had",
            id="cut",
        ),
    ],
)
def test_what_was_read_before_it_ended_counts(documents, words) -> None:
    items, found, network = read(documents)
    assert items == ["a:1"]
    assert found.ended is None if words is None else words in found.ended
    assert not [url for url in network.asked if "evil" in url]


def endless(documents=None):
    class Endless(dict):
        def get(self, url, default=None):
            if url == ROOT:
                return root(first=f"{ROOT}?0", totalItems=10**18)
            number = int(url.rpartition("?")[2])
            return page([f"a:{number}"] * 10, next=f"{ROOT}?{number + 1}")

    return Endless()


def test_an_endless_collection_costs_its_bound() -> None:
    items, found, network = read(endless(), pages_max=5)
    assert len(network.asked) == found.pages == 5
    assert len(items) == 40
    assert "more than 5 pages" in found.ended


def test_items_are_bounded_too() -> None:
    items, found, _ = read(endless(), items_max=25)
    assert len(items) == 25
    assert "more than 25 items" in found.ended


def test_a_collection_that_cannot_be_had_is_an_error() -> None:
    with pytest.raises(NotFound):
        read({})
    with pytest.raises(WrongType):
        read({ROOT: root(type="Note")})
    with pytest.raises(ApcoreError):
        read({ROOT: root(id="https://evil.example/outbox")})
