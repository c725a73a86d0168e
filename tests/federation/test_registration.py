"""What may be registered, what is refused in words, and what binding finds."""

from functools import partial, wraps
from typing import Any

import pytest

from apcore.collections import PageItems
from apcore.errors import ConfigurationError
from apcore.federation.context import AsyncContext, Context
from apcore.federation.moderation import DomainRules
from apcore.federation.policies import FollowVerdict
from apcore.federation.registration import Federation
from apcore.federation.routes import Endpoint
from apcore.handlers import handler_name
from apcore.http import parse_origin
from apcore.node import Node
from apcore.vocab import Activity, Announce, Create, Document, Follow, Like, Note, Person, View

OURS = parse_origin("https://ours.example")


def with_actor() -> Federation[None]:
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx, identifier):
        return Person(preferred_username=identifier)

    return federation


def test_an_actor_brings_its_inbox_and_collections() -> None:
    federation = with_actor()

    def uri(kind, name=""):
        return federation.places.uri(OURS, kind, name, identifier="alice")

    assert uri("actor") == "https://ours.example/users/alice"
    assert uri("inbox") == "https://ours.example/users/alice/inbox"
    assert uri("collection", "outbox") == "https://ours.example/users/alice/outbox"
    assert uri("collection", "followers") == "https://ours.example/users/alice/followers"
    assert uri("collection", "following") == "https://ours.example/users/alice/following"
    assert federation.places.uri(OURS, "shared-inbox") == "https://ours.example/inbox"


def test_addresses_read_back_to_what_they_name() -> None:
    federation = with_actor()
    place = federation.places.read(OURS, "https://ours.example/users/al%C3%AFce/followers")
    assert place is not None
    assert (place.target.kind, place.target.name, place.identifier) == ("collection", "followers", "alïce")
    for elsewhere in (
        "https://other.example/users/alice",
        "https://ours.example/users/alice#key",
        "not a url",
        "https://ours.example/nothing",
    ):
        assert federation.places.read(OURS, elsewhere) is None


@pytest.mark.parametrize("first", ["collection", "actor"])
def test_a_handler_replaces_a_managed_collection_whatever_is_registered_first(first: str) -> None:
    federation: Federation[None] = Federation()

    def actor(ctx, identifier):
        return None

    def followers(ctx, identifier, cursor):
        return PageItems(())

    steps = {
        "actor": lambda: federation.actor("/u/{identifier}")(actor),
        "collection": lambda: federation.collection("followers")(followers),
    }
    for step in sorted(steps, key=lambda name: name != first):
        steps[step]()
    place = federation.places.at("/u/alice/followers")
    assert place is not None
    assert place.target.handler is not None
    assert place.target.handler.fn is followers


def test_the_most_specific_listener_is_the_one() -> None:
    federation = with_actor()
    heard = {view: federation.on(view)(lambda ctx, activity: None) for view in (Activity, Create)}

    def listener(document_type):
        found = federation.listener_for(Document({"type": document_type}, {"type": document_type}))
        return None if found is None else found[0]

    assert len(heard) == 2
    assert listener("Create") is Create
    assert listener("Like") is Activity
    assert listener(["Create", "https://other.example/Special"]) is Create
    assert listener("Note") is None


def bad(register, words, name):
    return pytest.param(register, words, id=name)


def _two_listeners(federation):
    federation.on(Follow)(lambda ctx, activity: None)
    federation.on(Follow)(lambda ctx, activity: None)


def _generator(ctx, activity):
    yield


class _NotAFunction:
    pass


@pytest.mark.parametrize(
    ("register", "words"),
    [
        bad(_two_listeners, "Follow has a listener already", "two-listeners"),
        bad(lambda f: f.on(Note)(lambda ctx, a: None), "for a type of activity", "listener-for-an-object"),
        bad(lambda f: f.on("Create")(lambda ctx, a: None), "for a type of activity", "listener-for-a-string"),
        bad(lambda f: f.on(Create)(_generator), "mark it @operation", "unmarked-generator"),
        bad(lambda f: f.on(Create)(_NotAFunction), "a handler is a function", "class"),
        bad(lambda f: f.on(Create)(lambda ctx: None), "called with 2 arguments", "too-few-arguments"),
        bad(lambda f: f.actor("/u/{name}")(lambda ctx, name: None), "identifier", "actor-variable"),
        bad(lambda f: f.actor("/v/{identifier}")(lambda ctx, name: None), "actor is registered already", "two-actors"),
        bad(lambda f: f.collection("featured")(lambda ctx, i, c: None), "needs a path", "collection-without-path"),
        bad(
            lambda f: f.collection("outbox", "/o/{identifier}"), "belongs to the actor", "managed-collection-with-path"
        ),
        bad(lambda f: f.collection("x", "/inbox")(lambda ctx, i, c: None), "variables", "collection-variables"),
        bad(
            lambda f: f.object(Note, "/notes/{id}")(lambda ctx, key: None), "context and id by name", "object-arguments"
        ),
        bad(lambda f: f.object(View, "/notes/{id}"), "facet without a type", "object-facet"),
        bad(lambda f: f.follows("yes"), "a handler is a function", "follows"),
        bad(
            lambda f: (f.follows(FollowVerdict.PENDING), f.follows(FollowVerdict.PENDING)),
            "policy already",
            "two-policies",
        ),
        bad(lambda f: f.blocks({"a.example": 1}), "DomainRules", "blocks"),
    ],
)
def test_what_contradicts_itself_is_refused_on_the_spot(register, words: str) -> None:
    federation = with_actor()
    with pytest.raises(ConfigurationError, match=words):
        register(federation)


@pytest.mark.parametrize("software", ["apcore", "Apcore/1", "a b/1", "a/", "/1", "a/1 2"])
def test_software_is_a_name_and_a_version(software: str) -> None:
    with pytest.raises(ConfigurationError, match="name/version"):
        Federation(software=software)


def test_binding_blocking_refuses_coroutines_with_the_list() -> None:
    federation = with_actor()

    @federation.on(Create)
    async def created(ctx, activity):
        return None

    @federation.on(Like)
    async def liked(ctx, activity):
        return None

    with pytest.raises(ConfigurationError, match=r"(?s)created.*liked"):
        federation.bind(blocking=True, serves=True)
    assert federation.bind(blocking=False, serves=True) == ()


def test_binding_finds_what_cannot_work() -> None:
    federation: Federation[None] = Federation()
    federation.on(Announce)(lambda ctx, activity: None)
    federation.collection("followers")(lambda ctx, identifier, cursor: None)
    texts = [finding.text for finding in federation.check()]
    assert len(texts) == 2
    assert "Announce" in texts[0]
    assert "followers" in texts[1]
    assert [finding.text for finding in federation.check(serves=False)] == texts[1:]


def test_binding_warns_of_a_store_that_forgets() -> None:
    [finding] = with_actor().check(durability="none")
    assert finding.level == "warning"
    assert "keys, followers" in finding.text
    assert with_actor().check(durability="process") == ()


def test_nothing_is_registered_after_binding() -> None:
    federation = with_actor()
    federation.bind(blocking=True, serves=True)
    with pytest.raises(ConfigurationError, match="too late"):
        federation.on(Create)(lambda ctx, activity: None)
    with pytest.raises(ConfigurationError, match="too late"):
        federation.blocks(DomainRules())


def test_targets_say_what_they_are() -> None:
    federation = with_actor()
    federation.object(Note, "/notes/{id}")(lambda ctx, id: None)  # noqa: A006
    place = federation.places.at("/notes/7")
    assert place is not None
    assert place.target == Endpoint("object", "Note", place.target.handler)
    assert place.values == {"id": "7"}
    assert place.identifier is None


# --- data that handlers need ----------------------------------------------------------------------------------------


class Session:
    """What an application may want at hand."""


def reads(ctx, activity):
    return ctx.data


def reads_inside(ctx, activity):
    return [ctx.data for _ in range(2)]


def reads_in_a_closure(ctx, activity):
    return lambda: ctx.data


async def reads_later(ctx, activity):
    return ctx.data


def is_annotated(ctx: Context[Session], activity: Create) -> None:
    pass


async def is_annotated_later(ctx: AsyncContext[Session], activity: Create) -> None:
    pass


class Listener:
    def listen(self, ctx, activity):
        return ctx.data

    def __call__(self, ctx, activity):
        return ctx.data


@wraps(reads)
def wrapped(*args):
    return reads(*args)


def reads_of_the_activity(ctx, activity):
    return activity.data


def needs_none(ctx: Context[None], activity: Create) -> None:
    pass


def takes_none(ctx: Context[Session | None], activity: Create) -> None:
    pass


def takes_anything(ctx: Context[Any], activity: Create) -> None:
    pass


def is_annotated_for_the_type_checker_alone(ctx: "Context[Unimported]", activity: Create) -> None:  # noqa: F821
    pass


@pytest.mark.parametrize(
    "listener",
    [
        *(reads, reads_inside, reads_in_a_closure, reads_later, is_annotated, is_annotated_later),
        *(Listener().listen, Listener(), wrapped, partial(reads)),
    ],
)
def test_a_handler_that_needs_data_is_warned_of_where_none_is_given(listener: Any) -> None:
    federation = with_actor()
    federation.on(Create)(listener)
    [finding] = federation.check(has_data=False)
    assert finding.level == "warning"
    assert (
        f"ctx.data is used ({handler_name(listener)}), and no data is given: make the node with data=" in finding.text
    )
    assert federation.check(has_data=True) == federation.check() == ()


@pytest.mark.parametrize(
    "listener",
    [reads_of_the_activity, needs_none, takes_none, takes_anything, is_annotated_for_the_type_checker_alone],
)
def test_a_handler_that_needs_no_data_is_not_warned_of(listener: Any) -> None:
    federation = with_actor()
    federation.on(Create)(listener)
    assert federation.check(has_data=False) == ()


def test_data_that_a_federation_declares_is_missed_too() -> None:
    federation: Any = Federation[Session]()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: None)
    [finding] = federation.check(has_data=False)
    assert "the federation declares data (Session), and no data is given" in finding.text
    assert federation.check(has_data=True) == ()


def test_a_node_logs_that_data_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    federation: Any = with_actor()
    federation.on(Create)(reads)
    with Node(federation, "https://local.example", data={}) as node:
        assert not any("ctx.data" in finding.text for finding in node.findings)
    with Node(federation, "https://local.example") as node:
        assert any("ctx.data" in finding.text for finding in node.findings)
    assert sum("ctx.data is used" in record.getMessage() for record in caplog.records) == 1
