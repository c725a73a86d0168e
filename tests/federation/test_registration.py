"""Check registration: accepted handlers, refused mistakes, and the findings of binding."""

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

ORIGIN = parse_origin("https://ours.example")


def with_actor() -> Federation[None]:
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(ctx, identifier):
        return Person(preferred_username=identifier)

    return federation


def test_actor_has_its_inbox_and_collections() -> None:
    federation = with_actor()

    def uri(kind, name=""):
        return federation.places.uri(ORIGIN, kind, name, identifier="alice")

    assert uri("actor") == "https://ours.example/users/alice"
    assert uri("inbox") == "https://ours.example/users/alice/inbox"
    assert uri("collection", "outbox") == "https://ours.example/users/alice/outbox"
    assert uri("collection", "followers") == "https://ours.example/users/alice/followers"
    assert uri("collection", "following") == "https://ours.example/users/alice/following"
    assert federation.places.uri(ORIGIN, "shared-inbox") == "https://ours.example/inbox"


def test_uris_are_parsed_to_their_places() -> None:
    federation = with_actor()
    place = federation.places.read(ORIGIN, "https://ours.example/users/al%C3%AFce/followers")
    assert place is not None
    assert (place.target.kind, place.target.name, place.identifier) == ("collection", "followers", "alïce")
    for foreign_url in (
        "https://other.example/users/alice",
        "https://ours.example/users/alice#key",
        "not a url",
        "https://ours.example/nothing",
    ):
        assert federation.places.read(ORIGIN, foreign_url) is None


@pytest.mark.parametrize("first", ["collection", "actor"])
def test_handler_replaces_a_managed_collection_in_any_order(first: str) -> None:
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


def test_most_specific_listener_is_selected() -> None:
    federation = with_actor()
    listeners = {view: federation.on(view)(lambda ctx, activity: None) for view in (Activity, Create)}

    def listener(document_type):
        selected = federation.listener_for(Document({"type": document_type}, {"type": document_type}))
        return None if selected is None else selected[0]

    assert len(listeners) == 2
    assert listener("Create") is Create
    assert listener("Like") is Activity
    assert listener(["Create", "https://other.example/Special"]) is Create
    assert listener("Note") is None


def mistake(register, words, name):
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
        mistake(_two_listeners, "Follow has a listener already", "two-listeners"),
        mistake(lambda f: f.on(Note)(lambda ctx, a: None), "for a type of activity", "listener-for-an-object"),
        mistake(lambda f: f.on("Create")(lambda ctx, a: None), "for a type of activity", "listener-for-a-string"),
        mistake(lambda f: f.on(Create)(_generator), "mark it @operation", "unmarked-generator"),
        mistake(lambda f: f.on(Create)(_NotAFunction), "a handler is a function", "class"),
        mistake(lambda f: f.on(Create)(lambda ctx: None), "called with 2 arguments", "too-few-arguments"),
        mistake(lambda f: f.actor("/u/{name}")(lambda ctx, name: None), "identifier", "actor-variable"),
        mistake(
            lambda f: f.actor("/v/{identifier}")(lambda ctx, name: None), "actor is registered already", "two-actors"
        ),
        mistake(lambda f: f.collection("featured")(lambda ctx, i, c: None), "needs a path", "collection-without-path"),
        mistake(
            lambda f: f.collection("outbox", "/o/{identifier}"), "belongs to the actor", "managed-collection-with-path"
        ),
        mistake(
            lambda f: f.collection("x", "/inbox")(lambda ctx, i, c: None),
            "context and cursor by name",
            "collection-variables",
        ),
        mistake(
            lambda f: f.object(Note, "/notes/{id}")(lambda ctx, key: None), "context and id by name", "object-arguments"
        ),
        mistake(lambda f: f.object(View, "/notes/{id}"), "facet without a type", "object-facet"),
        mistake(lambda f: f.follows("yes"), "a handler is a function", "follows"),
        mistake(
            lambda f: (f.follows(FollowVerdict.PENDING), f.follows(FollowVerdict.PENDING)),
            "policy already",
            "two-policies",
        ),
        mistake(lambda f: f.blocks({"a.example": 1}), "DomainRules", "blocks"),
    ],
)
def test_mistaken_registration_is_refused_at_once(register, words: str) -> None:
    federation = with_actor()
    with pytest.raises(ConfigurationError, match=words):
        register(federation)


@pytest.mark.parametrize("software", ["apcore", "Apcore/1", "a b/1", "a/", "/1", "a/1 2"])
def test_malformed_software_is_refused(software: str) -> None:
    with pytest.raises(ConfigurationError, match="name/version"):
        Federation(software=software)


def test_blocking_bind_refuses_coroutines_by_name() -> None:
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


def test_check_finds_unusable_registrations() -> None:
    federation: Federation[None] = Federation()
    federation.on(Announce)(lambda ctx, activity: None)
    federation.collection("followers")(lambda ctx, identifier, cursor: None)
    texts = [finding.text for finding in federation.check()]
    assert len(texts) == 2
    assert "Announce" in texts[0]
    assert "followers" in texts[1]
    assert [finding.text for finding in federation.check(serves=False)] == texts[1:]


def test_check_warns_of_a_store_without_durability() -> None:
    [finding] = with_actor().check(durability="none")
    assert finding.level == "warning"
    assert "keys, followers" in finding.text
    assert with_actor().check(durability="process") == ()


def test_registration_after_bind_is_refused() -> None:
    federation = with_actor()
    federation.bind(blocking=True, serves=True)
    with pytest.raises(ConfigurationError, match="too late"):
        federation.on(Create)(lambda ctx, activity: None)
    with pytest.raises(ConfigurationError, match="too late"):
        federation.blocks(DomainRules())


def test_place_of_an_object_describes_its_endpoint() -> None:
    federation = with_actor()
    federation.object(Note, "/notes/{id}")(lambda ctx, id: None)  # noqa: A006
    place = federation.places.at("/notes/7")
    assert place is not None
    assert place.target == Endpoint("object", "Note", place.target.handler)
    assert place.values == {"id": "7"}
    assert place.identifier is None


# --- data that handlers need ----------------------------------------------------------------------------------------


class Session:
    """Data that an application may pass to its handlers."""


def read_data(ctx, activity):
    return ctx.data


def read_data_in_a_comprehension(ctx, activity):
    return [ctx.data for _ in range(2)]


def read_data_in_a_closure(ctx, activity):
    return lambda: ctx.data


async def read_data_async(ctx, activity):
    return ctx.data


def handler_with_annotation(ctx: Context[Session], activity: Create) -> None:
    pass


async def async_handler_with_annotation(ctx: AsyncContext[Session], activity: Create) -> None:
    pass


class Listener:
    def listen(self, ctx, activity):
        return ctx.data

    def __call__(self, ctx, activity):
        return ctx.data


@wraps(read_data)
def wrapped_handler(*args):
    return read_data(*args)


def read_data_of_the_activity(ctx, activity):
    return activity.data


def handler_for_no_data(ctx: Context[None], activity: Create) -> None:
    pass


def handler_for_optional_data(ctx: Context[Session | None], activity: Create) -> None:
    pass


def handler_for_any_data(ctx: Context[Any], activity: Create) -> None:
    pass


def handler_with_unresolvable_annotation(ctx: "Context[Unimported]", activity: Create) -> None:  # noqa: F821
    pass


@pytest.mark.parametrize(
    "listener",
    [
        *(
            read_data,
            read_data_in_a_comprehension,
            read_data_in_a_closure,
            read_data_async,
            handler_with_annotation,
            async_handler_with_annotation,
        ),
        *(Listener().listen, Listener(), wrapped_handler, partial(read_data)),
    ],
)
def test_handler_that_needs_data_is_reported_without_data(listener: Any) -> None:
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
    [
        read_data_of_the_activity,
        handler_for_no_data,
        handler_for_optional_data,
        handler_for_any_data,
        handler_with_unresolvable_annotation,
    ],
)
def test_handler_that_needs_no_data_is_not_reported(listener: Any) -> None:
    federation = with_actor()
    federation.on(Create)(listener)
    assert federation.check(has_data=False) == ()


def test_data_declared_by_a_federation_is_reported_without_data() -> None:
    federation: Any = Federation[Session]()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: None)
    [finding] = federation.check(has_data=False)
    assert "the federation declares data (Session), and no data is given" in finding.text
    assert federation.check(has_data=True) == ()


def test_node_logs_missing_data(caplog: pytest.LogCaptureFixture) -> None:
    federation: Any = with_actor()
    federation.on(Create)(read_data)
    with Node(federation, "https://local.example", data={}) as node:
        assert not any("ctx.data" in finding.text for finding in node.findings)
    with Node(federation, "https://local.example") as node:
        assert any("ctx.data" in finding.text for finding in node.findings)
    assert sum("ctx.data is used" in record.getMessage() for record in caplog.records) == 1
