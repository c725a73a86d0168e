"""Check objects and collections: any routes, forms, filters for the viewer, and predicates that ask for the viewer."""

import json

import pytest

from apcore import Federation, Node
from apcore.adapters.memory import MemoryStore
from apcore.collections import PageItems
from apcore.errors import ConfigurationError, ContractError
from apcore.http import Request
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Note, Person, Tombstone

HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
BOB = "https://remote.example/users/bob"
TAG = f"{HERE}/tags/cats"


class Site:
    """A federation with one actor, and a peer."""

    def __init__(self):
        self.network = PeerNetwork()
        self.bob = self.network.peer(BOB)
        self.federation = Federation()
        self.federation.actor("/users/{identifier}")(
            lambda ctx, identifier: Person() if identifier == "alice" else None
        )

    def start(self):
        self.node = Node(self.federation, HERE, MemoryStore(), transport=self.network, signer=ReusedKeys())
        return self

    def get(self, url, *, signed=False):
        request = Request("GET", url, {"Accept": "application/activity+json"})
        return self.node.handle(self.bob.sign(request) if signed else request)

    def json(self, url, **options):
        response = self.get(url, **options)
        assert response.status == 200, response.body
        return json.loads(response.body)


def numbered(ctx, tag, cursor):
    """Return a page of two of the numbers up to 4, by a cursor that is a number."""
    start = int(cursor or 0)
    following = str(start + 2) if start + 2 < 5 else None
    before = None if start == 0 else str(start - 2) if start > 2 else ""
    return PageItems([f"{HERE}/{tag}/{number}" for number in range(start, min(start + 2, 5))], following, prev=before)


# --- objects --------------------------------------------------------------------------------------------------------


def test_object_has_a_route_with_any_variables():
    site = Site()
    site.federation.object(Note, "/blogs/{blog}/{year}/posts/{number}")(
        lambda ctx, blog, year, number: Note(content=f"{blog} {year} {number}")
    )
    site.start()
    uri = site.node.object_uri(Note, blog="cats", year="2026", number="7")
    assert uri == f"{HERE}/blogs/cats/2026/posts/7"
    assert site.json(uri)["content"] == "cats 2026 7"
    assert site.node.parse_uri(uri).values == {"blog": "cats", "year": "2026", "number": "7"}


def test_type_of_object_has_several_routes():
    site = Site()
    site.federation.object(Note, "/notes/{number}")(lambda ctx, number: Note(content=f"note {number}"))
    site.federation.object(Note, "/users/{identifier}/replies/{number}")(
        lambda ctx, identifier, number: Note(content=f"reply {number} of {identifier}")
    )
    site.start()
    note, reply = site.node.object_uri(Note, number="1"), site.node.object_uri(Note, identifier="alice", number="1")
    assert (note, reply) == (f"{HERE}/notes/1", f"{ALICE}/replies/1")
    assert [site.json(uri)["id"] for uri in (note, reply)] == [note, reply]
    assert site.json(reply)["content"] == "reply 1 of alice"


def test_second_route_of_a_type_with_the_same_variables_is_refused():
    site = Site()
    site.federation.object(Note, "/notes/{number}")(lambda ctx, number: None)
    with pytest.raises(ConfigurationError, match=r"object Note is registered already, at '/notes/\{number\}'"):
        site.federation.object(Note, "/posts/{number}")(lambda ctx, number: None)


def test_deleted_object_is_a_tombstone():
    site = Site()
    site.federation.object(Note, "/notes/{number}")(lambda ctx, number: Tombstone(former_type="Note"))
    response = site.start().get(f"{HERE}/notes/1")
    assert response.status == 410
    assert json.loads(response.body)["type"] == "Tombstone"


# --- collections at any route ---------------------------------------------------------------------------------------


def test_custom_collection_has_a_route_with_any_variables():
    site = Site()
    site.federation.collection("tagged", "/tags/{tag}")(numbered)
    site.start()
    assert site.node.collection_uri("tagged", tag="cats") == TAG
    root = site.json(TAG)
    assert (root["type"], root["first"]) == ("OrderedCollection", f"{TAG}/page/first")
    page = site.json(root["first"])
    assert page["orderedItems"] == [f"{HERE}/cats/0", f"{HERE}/cats/1"]
    assert (page["type"], page["partOf"], page["next"]) == ("OrderedCollectionPage", TAG, f"{TAG}/page/2")


def test_collection_of_an_object_has_its_variables():
    site = Site()
    site.federation.object(Note, "/notes/{number}")(lambda ctx, number: Note(replies=f"{HERE}/notes/{number}/replies"))

    @site.federation.collection("replies", "/notes/{number}/replies", paged=False)
    def replies(ctx, number, cursor):
        return PageItems([f"{BOB}/notes/{number}"]) if number == "1" else None

    site.start()
    assert site.json(f"{HERE}/notes/1/replies")["orderedItems"] == [f"{BOB}/notes/1"]
    assert site.get(f"{HERE}/notes/2/replies").status == 404


def test_pages_link_to_the_page_before():
    site = Site()
    site.federation.collection("tagged", "/tags/{tag}")(numbered)
    site.start()
    assert "prev" not in site.json(f"{TAG}/page/first")
    assert site.json(f"{TAG}/page/2")["prev"] == f"{TAG}/page/first"
    assert site.json(f"{TAG}/page/4")["prev"] == f"{TAG}/page/2"
    assert "next" not in site.json(f"{TAG}/page/4")


def test_counter_and_first_and_last_cursor_are_in_the_collection():
    site = Site()
    site.federation.collection(
        "tagged", "/tags/{tag}", counter=lambda ctx, tag: 5, first=lambda ctx, tag: "2", last=lambda ctx, tag: "4"
    )(numbered)
    root = site.start().json(TAG)
    assert root["totalItems"] == 5
    assert (root["first"], root["last"]) == (f"{TAG}/page/2", f"{TAG}/page/4")


@pytest.mark.parametrize("option", ["counter", "first", "last"])
def test_wrong_answer_of_a_form_handler_is_the_fault_of_the_application(option):
    site = Site()
    site.federation.collection("tagged", "/tags/{tag}", **{option: lambda ctx, tag: object()})(numbered)
    with pytest.raises(ContractError, match="returns a"):
        site.start().get(TAG)


def test_small_collection_is_served_without_pages():
    site = Site()
    site.federation.collection("gems", "/users/{identifier}/gems", paged=False, ordered=False)(
        lambda ctx, identifier, cursor: PageItems([f"{ALICE}/1"])
    )
    root = site.start().json(f"{ALICE}/gems")
    assert (root["type"], root["items"], root["totalItems"]) == ("Collection", [f"{ALICE}/1"], 1)
    assert "first" not in root


def test_collection_without_pages_must_fit_into_one():
    site = Site()
    site.federation.collection("tagged", "/tags/{tag}", paged=False)(numbered)
    with pytest.raises(ContractError, match="is not paged, but its handler returned a next cursor"):
        site.start().get(TAG)


def test_small_managed_collection_is_served_without_pages():
    site = Site()
    site.federation.managed_collection("featured", "/users/{identifier}/featured", paged=False)
    site.start()
    featured = f"{ALICE}/featured"
    for number in range(100):
        assert site.json(featured)["totalItems"] == number
        site.node.append(featured, f"{ALICE}/notes/{number}", order=f"{number:03}")
    site.node.append(featured, f"{ALICE}/notes/last")
    root = site.json(featured)
    assert root["totalItems"] == 101
    assert "orderedItems" not in root
    assert root["first"] == f"{featured}/page/first"


def test_items_are_embedded_or_linked_by_policy():
    site = Site()
    site.federation.managed_collection("pins", "/users/{identifier}/pins", items="embedded", paged=False)
    site.federation.managed_collection("ids", "/users/{identifier}/ids", paged=False)

    @site.federation.collection("views", "/users/{identifier}/views", items="linked", paged=False)
    def views(ctx, identifier, cursor):
        return PageItems([Note(id=f"{ALICE}/1", content="x"), f"{ALICE}/2"])

    site.start()
    public, private = (
        site.node.publish(Note(content=word), by="alice", visibility=word) for word in ("public", "followers")
    )
    for name in ("pins", "ids"):
        for uri in (public, private, f"{BOB}/notes/1"):
            site.node.append(f"{ALICE}/{name}", uri)
    assert set(site.json(f"{ALICE}/ids")["orderedItems"]) == {public, private, f"{BOB}/notes/1"}
    embedded, *linked = sorted(site.json(f"{ALICE}/pins")["orderedItems"], key=lambda item: isinstance(item, str))
    assert (embedded["id"], embedded["content"]) == (public, "public")
    assert set(linked) == {private, f"{BOB}/notes/1"}  # only public objects are embedded
    assert site.json(f"{ALICE}/views")["orderedItems"] == [f"{ALICE}/1", f"{ALICE}/2"]


def test_managed_collection_has_a_route_with_any_variables():
    site = Site()
    site.federation.managed_collection("members", "/groups/{group}/members", paged=False)
    site.start()
    members = site.node.collection_uri("members", group="cats")
    site.node.append(members, BOB)
    assert site.json(members)["orderedItems"] == [BOB]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"items": "both"}, "items is returned, linked, embedded"),
        ({"counter": lambda: 1}, "is called with the context and tag by name"),
        ({"authorize": lambda ctx: True}, "is called with the context and tag, viewer by name"),
    ],
)
def test_wrong_form_of_a_collection_is_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Site().federation.collection("tagged", "/tags/{tag}", **options)(numbered)


@pytest.mark.parametrize("variable", ["page", "cursor", "viewer"])
def test_reserved_variable_of_a_collection_is_refused(variable):
    with pytest.raises(ConfigurationError, match=f"has the variable {variable}, which has a meaning of its own"):
        Site().federation.managed_collection("tagged", f"/tags/{{{variable}}}")


def test_handler_that_does_not_take_the_variables_is_refused():
    with pytest.raises(ConfigurationError, match="tag, cursor by name"):
        Site().federation.collection("tagged", "/tags/{tag}")(lambda ctx, identifier, cursor: None)


# --- the viewer -----------------------------------------------------------------------------------------------------


def gems_for_bob(ctx, identifier, cursor):
    return PageItems([f"{ALICE}/secret"] if ctx.signed_key_owner() == BOB else [])


def test_collection_is_filtered_for_the_viewer_and_caches_tell_viewers_apart():
    site = Site()
    site.federation.collection("gems", "/users/{identifier}/gems", paged=False)(gems_for_bob)
    site.start()
    assert site.json(f"{ALICE}/gems")["orderedItems"] == []
    response = site.get(f"{ALICE}/gems", signed=True)
    assert json.loads(response.body)["orderedItems"] == [f"{ALICE}/secret"]
    for answer in (response, site.get(f"{ALICE}/gems")):
        assert "Signature" in answer.headers.get("vary")
        assert answer.headers.get("cache-control").startswith("private")
    actor = site.get(ALICE)
    assert actor.headers.get("cache-control").startswith("public")


def test_predicate_that_takes_no_viewer_checks_no_signature_until_it_asks():
    site, calls = Site(), []

    def authorize(ctx, identifier):
        calls.append(identifier)
        return len(calls) > 2 or ctx.signed_key_owner() == BOB

    site.federation.collection("gems", "/users/{identifier}/gems", paged=False, authorize=authorize)(
        lambda ctx, identifier, cursor: PageItems([])
    )
    site.start()
    assert site.get(f"{ALICE}/gems").status == 401
    assert site.get(f"{ALICE}/gems", signed=True).status == 200
    fetches = len(site.network.exchanges)
    assert fetches > 0
    site.network.down.add("https://remote.example")
    other = site.network.peer("https://other.example/users/eve")
    site.network.down.add("https://other.example")
    request = other.sign(Request("GET", f"{ALICE}/gems", {"Accept": "application/activity+json"}))
    assert site.node.handle(request).status == 200
    assert len(site.network.exchanges) == fetches  # the key of the third request was not fetched


@pytest.mark.parametrize("takes_viewer", [True, False])
def test_predicate_guards_a_collection_with_any_variables(takes_viewer):
    site = Site()

    def with_viewer(ctx, tag, viewer):
        return viewer == BOB and tag == "cats"

    def without_viewer(ctx, tag):
        return ctx.signed_key_owner() == BOB and tag == "cats"

    authorize = with_viewer if takes_viewer else without_viewer
    site.federation.collection("tagged", "/tags/{tag}", authorize=authorize)(numbered)
    site.start()
    assert site.get(TAG).status == 401
    assert site.get(TAG, signed=True).status == 200
    assert site.get(f"{TAG}/page/2", signed=True).status == 200
    assert site.get(f"{HERE}/tags/dogs", signed=True).status == 404


def test_predicate_of_an_object_may_take_no_viewer():
    site = Site()
    site.federation.object(Note, "/notes/{number}", authorize=lambda ctx, number: ctx.signed_key_owner() == BOB)(
        lambda ctx, number: Note(content="x")
    )
    site.start()
    assert site.get(f"{HERE}/notes/1").status == 401
    assert site.get(f"{HERE}/notes/1", signed=True).status == 200


def test_predicate_of_an_actor_may_take_no_viewer():
    federation = Federation()
    federation.actor("/users/{identifier}", authorize=lambda ctx, identifier: ctx.signed_key_owner() == BOB)(
        lambda ctx, identifier: Person()
    )
    site = Site()
    site.federation = federation
    site.start()
    assert site.get(ALICE).status == 401
    assert site.get(ALICE, signed=True).status == 200
    assert site.get(f"{ALICE}/outbox").status == 401
