"""Collections in every shape are read to their end, and hostile ones to their bound."""

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
    """A network of documents; answers 404 for the rest, and counts."""

    checks_addresses = "enforced"

    def __init__(self, documents) -> None:
        self.documents = documents
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []

    def send(self, request):
        self.asked.append(request.url)
        if request.url in self.redirects:
            return Response(302, {"location": self.redirects[request.url]})
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


THREE = ["a:1", "a:2", "a:3"]
FIRST, SECOND = f"{ROOT}?1", f"{ROOT}?2"
UNUSUAL_SHAPES = {
    "next on the collection": {ROOT: root(orderedItems=[], next=FIRST, totalItems=3), FIRST: page(THREE)},
    "first and next": {ROOT: root(first=FIRST, next=SECOND), FIRST: page(["a:1"], next=SECOND), SECOND: page(THREE)},
    "only last": {ROOT: root(last=FIRST, totalItems=3), FIRST: page(THREE)},
    "only last, of two": {ROOT: root(last=SECOND), SECOND: page(["a:3"], prev=FIRST), FIRST: page(["a:1", "a:2"])},
    "last, which leads back to the collection": {
        ROOT: root(last=SECOND, orderedItems=["a:1"]),
        SECOND: page(["a:2", "a:3"], prev=ROOT),
    },
    "numbers for names": {ROOT: root(orderedItems={"10": "a:3", "2": "a:2", "0": "a:1"}, totalItems=3)},
    "items that come twice": {ROOT: root(orderedItems=["a:1", "a:2"], first=FIRST), FIRST: page(["a:2", "a:3", "a:1"])},
    "a page in its place": {ROOT: page(["a:1"], id=ROOT, next=SECOND), SECOND: page(["a:2", "a:3"], prev=ROOT)},
    "a page in its place that is its own first": {
        ROOT: page(["a:1"], id=ROOT, first=ROOT, partOf=ROOT, next=SECOND),
        SECOND: page(["a:2", "a:3"]),
    },
    "the only page in its place": {ROOT: page(THREE, id=ROOT, first=ROOT, last=ROOT)},
    "the last page in its place": {
        ROOT: page(["a:3"], id=ROOT, first=FIRST, last=ROOT, prev=SECOND),
        FIRST: page(["a:1"], next=SECOND),
        SECOND: page(["a:2"], next=ROOT),
    },
    "the last page in its place, and no first": {
        ROOT: page(["a:3"], id=ROOT, prev=SECOND),
        SECOND: page(["a:2"], prev=FIRST),
        FIRST: page(["a:1"]),
    },
    "no id": {ROOT: root(id=None, orderedItems=THREE)},
    "no id, and pages": {ROOT: root(id=None, first=FIRST), FIRST: page(["a:1", "a:2"], next=SECOND), SECOND: page(["a:3"])},
    "an embedded page that is an excerpt": {
        ROOT: root(first=page(["a:1"], id=FIRST, totalItems=1), totalItems=3),
        FIRST: page(["a:1", "a:2"], id=FIRST, next=SECOND),
        SECOND: page(["a:3"]),
    },
    "an embedded page that is all, with an address": {
        ROOT: root(first=page(["a:1"], id=FIRST)),
        FIRST: page(THREE, id=FIRST),
    },
    "an embedded page that is all, without one": {ROOT: root(first=page(THREE), totalItems=3)},
    "an embedded page with the id of the collection": {ROOT: root(first=page(THREE, id=ROOT), totalItems=3)},
    "pages that count more than strangers see": {ROOT: root(first=FIRST, totalItems=500), FIRST: page(THREE)},
}  # fmt: skip


@pytest.mark.parametrize("documents", UNUSUAL_SHAPES.values(), ids=UNUSUAL_SHAPES)
def test_every_item_of_an_unusual_shape_is_read_once(documents) -> None:
    items, found, _ = read(documents)
    assert items == THREE
    assert found.ended is None


def test_an_empty_collection_is_read_to_its_end() -> None:
    for empty in (
        root(),
        root(totalItems=0),
        root(orderedItems=[]),
        root(first=page(), totalItems=0),
        root(first={"type": "x"}),
    ):
        items, found, _ = read({ROOT: empty})
        assert (items, found.ended) == ([], None)


PARTLY_SHOWN = {
    "nothing": root(totalItems=3),
    "some": root(orderedItems=["a:1"], totalItems=3),
    "an embedded page": root(first=page(["a:1"]), totalItems=3),
    "an embedded page that counts": root(first=page(["a:1"], totalItems=3)),
    "no id": root(id=None, totalItems=3),
}


@pytest.mark.parametrize("shown", PARTLY_SHOWN.values(), ids=PARTLY_SHOWN)
def test_a_collection_that_shows_less_than_it_counts_is_not_taken_for_the_whole(shown) -> None:
    items, found, _ = read({ROOT: shown})
    assert items == ["a:1"][: len(items)]
    assert found.ended == f"it counts 3 items, and shows {len(items)} of them"


def test_an_excerpt_counts_although_its_page_cannot_be_had() -> None:
    for address, words in ((FIRST, "could not be loaded"), ("https://evil.example/1", "another origin")):
        items, found, _ = read({ROOT: root(first=page(["a:1", "a:2"], id=address))})
        assert items == ["a:1", "a:2"]
        assert words in found.ended


def test_a_collection_without_an_id_is_not_kept_and_never_taken_from_another_origin() -> None:
    network = Pages({ROOT: root(id=None, orderedItems=THREE)})
    ports = Ports(runtime=BlockingRuntime(), store=MemoryStore(), transport=network)
    for _ in range(2):
        assert len(run(traverse(ROOT, policy=FetchPolicy()), ports).items) == 3
    with pytest.raises(WrongId, match="no id"):
        run(load(ROOT, policy=FetchPolicy()), ports)
    assert network.asked == [ROOT] * 3
    away = "https://evil.example/list"
    moved = Pages({away: root(id=None, orderedItems=THREE)})
    moved.redirects = {ROOT: away}
    with pytest.raises(WrongId):
        run(traverse(ROOT, policy=FetchPolicy()), evolve(ports, transport=moved))


def test_a_reference_to_a_collection_is_followed() -> None:
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
        found = run(traverse(document.view(Note).replies, policy=FetchPolicy()), ports)
        assert [item.uri for item in found.items] == THREE, shape
        assert found.ended is None
        assert network.asked == ([ROOT, FIRST] if found.pages == 2 else [FIRST])


def test_an_embedded_collection_of_no_origin_is_refused() -> None:
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
            return page([f"a:{number}.{index}" for index in range(10)], next=f"{ROOT}?{number + 1}")

    return Endless()


def test_an_endless_collection_costs_its_bound() -> None:
    items, found, network = read(endless(), pages_max=5)
    assert len(network.asked) == found.pages == 5
    assert len(items) == 40
    assert "more than 5 pages" in found.ended


def test_a_last_page_with_too_many_items_is_cut_and_says_so() -> None:
    items, found, _ = read({ROOT: root(orderedItems=THREE)}, items_max=2)
    assert items == THREE[:2]
    assert found.ended == "it has more than 2 items"


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
