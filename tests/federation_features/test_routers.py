"""Check routers: parts of a federation that are registered in several files (Fedify: the builder of 1.1)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from apcore import Context, Federation, FollowVerdict, Node, Router
from apcore.collections import PageItems
from apcore.discovery import DescriptorLink
from apcore.errors import ConfigurationError
from apcore.federation.parts import REGISTRATIONS
from apcore.http import Headers, Request, Response
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Activity, Create, Follow, Like, Note, Person

ORIGIN = "https://site.example"
HERE = __file__


def node_of(rules: Federation[Any]) -> Node[Any]:
    return Node(rules, ORIGIN, "memory:", transport=PeerNetwork(), signer=ReusedKeys())


def actor(ctx: Context, identifier: str) -> Person | None:
    return Person(preferred_username="alice") if identifier == "7" else None


def note(ctx: Context, number: str) -> Note | None:
    return Note(content=number)


def starred(ctx: Context, identifier: str, cursor: str | None) -> PageItems | None:
    return PageItems(("https://site.example/1",))


def identifier_of(ctx: Context, username: str) -> str | None:
    return {"alice": "7"}.get(username)


def links(ctx: Context, identifier: str) -> list[DescriptorLink]:
    return [DescriptorLink("feed", href="/feed")]


def listen(ctx: Context, activity: Activity) -> None:
    """Do nothing."""


def report(ctx: Context, failure: Any) -> None:
    """Do nothing."""


def register(rules: Any) -> None:
    """Register one of everything on a federation or a router."""
    rules.actor("/people/{identifier}", inbox="/in/{identifier}")(actor)
    rules.relay("7")
    rules.object(Note, "/notes/{number}")(note)
    rules.collection("starred", "/people/{identifier}/starred")(starred)
    rules.managed_collection("featured", "/people/{identifier}/featured")
    rules.handle(case_sensitive=True)(identifier_of)
    rules.profile("/@{username}")
    rules.actor_path("/about", identifier="8")
    rules.resource(identifier_of)
    rules.link("me", href="/me")
    rules.links(links)
    rules.on(Create)(listen)
    rules.on_error(report)
    rules.side_effect("like")(listen)
    rules.switch_off("undo")
    rules.follows(FollowVerdict.PENDING)
    rules.blocks(lambda host: None)
    rules.may_change(lambda ctx, actor, activity, ident: False)


def registered_names() -> set[str]:
    """Return the public members of `Federation` that are refused once a node was made of it."""
    names: set[str] = set()
    for name in dir(Federation):
        member = inspect.getattr_static(Federation, name)
        function = member.fget if isinstance(member, property) else member
        if not name.startswith("_") and inspect.isfunction(function):
            source = inspect.getsource(function)
            is_registration = "self._check_open(" in source or "self._hook(" in source
            names |= {name} if is_registration else set()
    return names


def test_router_has_every_registration_of_a_federation() -> None:
    assert registered_names() - {"include"} == REGISTRATIONS


def test_everything_that_a_router_holds_is_registered() -> None:
    direct: Federation[None] = Federation()
    register(direct)
    router: Router[None] = Router()
    register(router)
    whole: Federation[None] = Federation()
    whole.include(router)
    assert whole.places.targets() == direct.places.targets()
    assert whole.check(blocking=True) == direct.check(blocking=True)
    for kind, name in (("actor", ""), ("inbox", ""), ("object", "Note"), ("collection", "starred")):
        assert whole.places.template(kind, name) == direct.places.template(kind, name)  # type: ignore[arg-type]
    assert (whole.names.handle, whole.names.case_sensitive) == (direct.names.handle, True)
    assert whole.names.common_links == direct.names.common_links
    assert whole.follow_verdict is FollowVerdict.PENDING
    assert whole.error_hook == direct.error_hook
    assert whole.places.relay_identifier == "7"


def test_paths_of_a_router_get_the_prefix() -> None:
    router: Router[None] = Router()
    register(router)
    rules: Federation[None] = Federation()
    rules.include(router, prefix="/blog")
    node = node_of(rules)

    def document(path: str) -> Any:
        answer = node.handle(Request("GET", ORIGIN + path, Headers({"Accept": "application/activity+json, */*"})))
        assert isinstance(answer, Response), path
        return json.loads(answer.body)

    members = document("/blog/people/7")
    assert members["id"] == f"{ORIGIN}/blog/people/7"
    assert members["inbox"] == f"{ORIGIN}/blog/in/7"
    assert members["outbox"] == f"{ORIGIN}/blog/people/7/outbox"
    assert members["url"] == f"{ORIGIN}/blog/@alice"
    assert document("/blog/notes/3")["id"] == f"{ORIGIN}/blog/notes/3"
    descriptor = document("/.well-known/webfinger?resource=acct:alice@site.example")
    assert [link["href"] for link in descriptor["links"] if link["rel"] == "me"] == [f"{ORIGIN}/blog/me"]


def test_routers_may_be_nested_and_used_as_decorators() -> None:
    inner, outer = Router[None](), Router[None]()

    @inner.object(Note, "/notes/{number}")
    def inner_note(ctx: Context, number: str) -> Note:
        return Note(content=number)

    @outer.on(Like)
    def liked(ctx: Context, like: Like) -> None:
        """Do nothing."""

    @outer.follows
    def decide(ctx: Context, follow: Follow) -> FollowVerdict:
        return FollowVerdict.ACCEPT

    outer.include(inner, prefix="/inner")
    rules: Federation[None] = Federation()
    rules.actor("/people/{identifier}")(actor)
    rules.include(outer, prefix="/outer")
    assert rules.places.template("object", "Note") == "/outer/inner/notes/{number}"
    assert rules.check() == ()
    assert inner_note(None, "1").content == "1"  # type: ignore[arg-type]


def test_routers_of_two_parts_share_one_federation() -> None:
    notes, people = Router[None](), Router[None]()
    notes.object(Note, "/{number}")(note)
    people.actor("/{identifier}")(actor)
    rules: Federation[None] = Federation()
    rules.include(notes, prefix="/notes")
    rules.include(people, prefix="/people")
    assert rules.places.template("actor") == "/people/{identifier}"


# --- refusals ---------------------------------------------------------------------------------------------------------


def line_of(statement: Callable[[], Any]) -> str:
    return f"{HERE}:{statement.__code__.co_firstlineno}"


def test_late_registration_is_refused_with_both_places() -> None:
    rules: Federation[None] = Federation()
    bind = lambda: node_of(rules)  # noqa: E731 - its line is the place of the node
    bind()
    late = lambda: rules.profile("/@{username}")  # noqa: E731
    with pytest.raises(ConfigurationError, match="registered too late") as refused:
        late()
    assert f"at {line_of(late)}" in str(refused.value)
    assert f"{HERE}:{node_of.__code__.co_firstlineno + 1}" in str(refused.value)


def test_late_registration_in_a_router_is_refused_with_both_places() -> None:
    rules: Federation[None] = Federation()
    router: Router[None] = Router()
    early = router.on(Like)
    include = lambda: rules.include(router)  # noqa: E731
    include()
    late = lambda: router.profile("/@{username}")  # noqa: E731
    with pytest.raises(ConfigurationError, match="registered too late") as refused:
        late()
    assert line_of(late) in str(refused.value)
    assert line_of(include) in str(refused.value)
    with pytest.raises(ConfigurationError, match="registered too late"):
        early(listen)


def test_contradiction_between_routers_names_the_registration_and_the_include() -> None:
    rules: Federation[None] = Federation()
    rules.on(Like)(listen)
    router: Router[None] = Router()
    second = lambda: router.on(Like)  # noqa: E731
    second()(report)
    include = lambda: rules.include(router)  # noqa: E731
    with pytest.raises(ConfigurationError, match="Like has a listener already") as refused:
        include()
    assert f"registered at {line_of(second)}" in str(refused.value)
    assert f"included at {line_of(include)}" in str(refused.value)


def test_router_is_refused_once_a_node_was_made() -> None:
    rules: Federation[None] = Federation()
    node_of(rules)
    with pytest.raises(ConfigurationError, match="include is registered too late"):
        rules.include(Router())


@pytest.mark.parametrize("prefix", ["blog", "/blog/", "/", "https://site.example/blog"])
def test_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix starts with a slash"):
        Federation().include(Router(), prefix=prefix)


@pytest.mark.parametrize("value", [None, Federation(), "blog"])
def test_only_routers_are_included(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="include takes a Router"):
        Federation().include(value)


def test_router_cannot_include_itself() -> None:
    router: Router[None] = Router()
    with pytest.raises(ConfigurationError, match="include itself"):
        router.include(router)


def test_router_has_no_other_members() -> None:
    router: Router[None] = Router()
    for name in ("check", "bind", "places", "object_"):
        assert not hasattr(router, name)
