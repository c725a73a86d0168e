"""Check traversal: collections in every shape are read to their end, and hostile ones up to their limit."""

import json

import pytest
from attrs import evolve

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.collections import TraversalBounds, traverse
from apcore.drivers import Ports, run
from apcore.errors import ApcoreError, ConnectFailed
from apcore.http import Response, parse_origin
from apcore.remote import FetchPolicy, NotFound, WrongId, load
from apcore.vocab import Note, WrongType, read_document

HERE = "https://remote.example"
ROOT = f"{HERE}/outbox"


class Pages:
    """Serve documents by URL, answer 404 for other URLs, and record requests."""

    checks_addresses = "enforced"

    def __init__(self, documents) -> None:
        self.documents = documents
        self.redirects: dict[str, str] = {}
        self.requested_urls: list[str] = []

    def send(self, request):
        self.requested_urls.append(request.url)
        if request.url in self.redirects:
            return Response(302, {"location": self.redirects[request.url]})
        document = self.documents.get(request.url)
        if isinstance(document, Exception):
            raise document
        if document is None:
            return Response(404)
        return Response(200, {"content-type": "application/activity+json"}, json.dumps(document).encode())

    def close(self) -> None:
        """Do nothing: there is no connection."""


def root(**members):
    return {"@context": "https://www.w3.org/ns/activitystreams", "id": ROOT, "type": "OrderedCollection"} | members


def page(items=(), **members):
    return {"type": "OrderedCollectionPage", "orderedItems": list(items)} | members


def run_traversal(documents, **bounds):
    network = Pages(documents)
    ports = Ports(runtime=BlockingRuntime(), store=MemoryStore(), transport=network)
    result = run(traverse(ROOT, policy=FetchPolicy(), bounds=TraversalBounds(**bounds)), ports)
    return [item.uri for item in result.items], result, network


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
def test_common_shape_is_read_to_its_end(documents) -> None:
    items, result, _ = run_traversal(documents)
    assert items == ["a:1", "a:2", "a:3"]
    assert result.ended is None


THREE = ["a:1", "a:2", "a:3"]
FIRST, SECOND = f"{ROOT}?1", f"{ROOT}?2"
UNUSUAL_SHAPES = {
    "next on the collection": {ROOT: root(orderedItems=[], next=FIRST, totalItems=3), FIRST: page(THREE)},
    "first and next": {ROOT: root(first=FIRST, next=SECOND), FIRST: page(["a:1"], next=SECOND), SECOND: page(THREE)},
    "only last": {ROOT: root(last=FIRST, totalItems=3), FIRST: page(THREE)},
    "only last, of two": {ROOT: root(last=SECOND), SECOND: page(["a:3"], prev=FIRST), FIRST: page(["a:1", "a:2"])},
    "last, with prev back to the collection": {
        ROOT: root(last=SECOND, orderedItems=["a:1"]),
        SECOND: page(["a:2", "a:3"], prev=ROOT),
    },
    "numbers for names": {ROOT: root(orderedItems={"10": "a:3", "2": "a:2", "0": "a:1"}, totalItems=3)},
    "repeated items": {ROOT: root(orderedItems=["a:1", "a:2"], first=FIRST), FIRST: page(["a:2", "a:3", "a:1"])},
    "a page in place of the collection": {
        ROOT: page(["a:1"], id=ROOT, next=SECOND),
        SECOND: page(["a:2", "a:3"], prev=ROOT),
    },
    "a page in place of the collection, first itself": {
        ROOT: page(["a:1"], id=ROOT, first=ROOT, partOf=ROOT, next=SECOND),
        SECOND: page(["a:2", "a:3"]),
    },
    "the only page in place of the collection": {ROOT: page(THREE, id=ROOT, first=ROOT, last=ROOT)},
    "the last page in place of the collection": {
        ROOT: page(["a:3"], id=ROOT, first=FIRST, last=ROOT, prev=SECOND),
        FIRST: page(["a:1"], next=SECOND),
        SECOND: page(["a:2"], next=ROOT),
    },
    "the last page in place of the collection, without first": {
        ROOT: page(["a:3"], id=ROOT, prev=SECOND),
        SECOND: page(["a:2"], prev=FIRST),
        FIRST: page(["a:1"]),
    },
    "no id": {ROOT: root(id=None, orderedItems=THREE)},
    "no id, and pages": {
        ROOT: root(id=None, first=FIRST),
        FIRST: page(["a:1", "a:2"], next=SECOND),
        SECOND: page(["a:3"]),
    },
    "an embedded page that is an excerpt": {
        ROOT: root(first=page(["a:1"], id=FIRST, totalItems=1), totalItems=3),
        FIRST: page(["a:1", "a:2"], id=FIRST, next=SECOND),
        SECOND: page(["a:3"]),
    },
    "a complete embedded page with an address": {
        ROOT: root(first=page(["a:1"], id=FIRST)),
        FIRST: page(THREE, id=FIRST),
    },
    "a complete embedded page without an address": {ROOT: root(first=page(THREE), totalItems=3)},
    "an embedded page with the id of the collection": {ROOT: root(first=page(THREE, id=ROOT), totalItems=3)},
    "a count above the public items": {ROOT: root(first=FIRST, totalItems=500), FIRST: page(THREE)},
}


@pytest.mark.parametrize("documents", UNUSUAL_SHAPES.values(), ids=UNUSUAL_SHAPES)
def test_each_item_of_an_unusual_shape_is_read_once(documents) -> None:
    items, result, _ = run_traversal(documents)
    assert items == THREE
    assert result.ended is None


def test_empty_collection_is_read_to_its_end() -> None:
    for empty in (
        root(),
        root(totalItems=0),
        root(orderedItems=[]),
        root(first=page(), totalItems=0),
        root(first={"type": "x"}),
    ):
        items, result, _ = run_traversal({ROOT: empty})
        assert (items, result.ended) == ([], None)


PARTLY_SHOWN = {
    "nothing": root(totalItems=3),
    "some": root(orderedItems=["a:1"], totalItems=3),
    "an embedded page": root(first=page(["a:1"]), totalItems=3),
    "an embedded page that counts": root(first=page(["a:1"], totalItems=3)),
    "no id": root(id=None, totalItems=3),
}


@pytest.mark.parametrize("collection", PARTLY_SHOWN.values(), ids=PARTLY_SHOWN)
def test_partly_shown_collection_is_reported_as_incomplete(collection) -> None:
    items, result, _ = run_traversal({ROOT: collection})
    assert items == ["a:1"][: len(items)]
    assert result.ended == f"it counts 3 items, and shows {len(items)} of them"


def test_embedded_items_count_if_their_page_cannot_be_loaded() -> None:
    for address, message in ((FIRST, "could not be loaded"), ("https://evil.example/1", "another origin")):
        items, result, _ = run_traversal({ROOT: root(first=page(["a:1", "a:2"], id=address))})
        assert items == ["a:1", "a:2"]
        assert message in result.ended


def test_collection_without_id_is_not_cached_nor_accepted_after_a_redirect() -> None:
    network = Pages({ROOT: root(id=None, orderedItems=THREE)})
    ports = Ports(runtime=BlockingRuntime(), store=MemoryStore(), transport=network)
    for _ in range(2):
        assert len(run(traverse(ROOT, policy=FetchPolicy()), ports).items) == 3
    with pytest.raises(WrongId, match="no id"):
        run(load(ROOT, policy=FetchPolicy()), ports)
    assert network.requested_urls == [ROOT] * 3
    target = "https://evil.example/list"
    redirecting_network = Pages({target: root(id=None, orderedItems=THREE)})
    redirecting_network.redirects = {ROOT: target}
    with pytest.raises(WrongId):
        run(traverse(ROOT, policy=FetchPolicy()), evolve(ports, transport=redirecting_network))


def test_reference_to_a_collection_is_followed() -> None:
    note = {"@context": "https://www.w3.org/ns/activitystreams", "type": "Note", "id": f"{HERE}/note"}
    replies = {
        "its address": ROOT,
        "embedded with an id, and believed from its address": root(orderedItems=["a:0"]),
        "embedded without an id": root(id=None, first=FIRST),
    }
    for shape, value in replies.items():
        network = Pages({ROOT: root(first=FIRST), FIRST: page(THREE)})
        ports = Ports(runtime=BlockingRuntime(), store=MemoryStore(), transport=network)
        document = read_document({**note, "replies": value}, origin=parse_origin(HERE))
        result = run(traverse(document.view(Note).replies, policy=FetchPolicy()), ports)
        assert [item.uri for item in result.items] == THREE, shape
        assert result.ended is None
        assert network.requested_urls == ([ROOT, FIRST] if result.pages == 2 else [FIRST])


def test_embedded_collection_without_an_origin_is_refused() -> None:
    document = read_document({"type": "Note", "replies": {"type": "Collection", "first": FIRST}})
    ports = Ports(runtime=BlockingRuntime(), store=MemoryStore(), transport=Pages({}))
    with pytest.raises(WrongId, match="origin of its document is not known"):
        run(traverse(document.view(Note).replies, policy=FetchPolicy()), ports)


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
            {ROOT: root(first=f"{ROOT}?1"), f"{ROOT}?1": page(["a:1"], next=f"{ROOT}?2")},
            "could not be loaded",
            id="gone",
        ),
        pytest.param(
            {
                ROOT: root(first=f"{ROOT}?1"),
                f"{ROOT}?1": page(["a:1"], next=f"{ROOT}?2"),
                f"{ROOT}?2": ConnectFailed("cut"),
            },
            "could not be loaded",
            id="cut",
        ),
    ],
)
def test_items_read_before_a_failure_are_returned(documents, words) -> None:
    items, result, network = run_traversal(documents)
    assert items == ["a:1"]
    assert result.ended is None if words is None else words in result.ended
    assert not [url for url in network.requested_urls if "evil" in url]


def endless_collection(documents=None):
    class Endless(dict):
        def get(self, url, default=None):
            if url == ROOT:
                return root(first=f"{ROOT}?0", totalItems=10**18)
            number = int(url.rpartition("?")[2])
            return page([f"a:{number}.{index}" for index in range(10)], next=f"{ROOT}?{number + 1}")

    return Endless()


def test_endless_collection_is_read_up_to_the_page_limit() -> None:
    items, result, network = run_traversal(endless_collection(), pages_max=5)
    assert len(network.requested_urls) == result.pages == 5
    assert len(items) == 40
    assert "more than 5 pages" in result.ended


def test_items_beyond_the_limit_are_cut_and_reported() -> None:
    items, result, _ = run_traversal({ROOT: root(orderedItems=THREE)}, items_max=2)
    assert items == THREE[:2]
    assert result.ended == "it has more than 2 items"


def test_endless_collection_is_read_up_to_the_item_limit() -> None:
    items, result, _ = run_traversal(endless_collection(), items_max=25)
    assert len(items) == 25
    assert "more than 25 items" in result.ended


def test_unavailable_collection_raises_its_error() -> None:
    with pytest.raises(NotFound):
        run_traversal({})
    with pytest.raises(WrongType):
        run_traversal({ROOT: root(type="Note")})
    with pytest.raises(ApcoreError):
        run_traversal({ROOT: root(id="https://evil.example/outbox")})
