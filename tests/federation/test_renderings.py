"""A document is serialised once for its content, and never answered in place of another one."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apcore.federation import Federation
from apcore.federation.serving.responses import RENDERED_BYTES_MAX, RENDERINGS_MAX, Rendering, Renderings
from apcore.http import Request, Response
from apcore.node import Node
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Person
from inbox_fixture import ALICE, HERE

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.dictionaries(st.sampled_from(["id", "type", "name", "@context"]), JSON, max_size=4)


@given(st.lists(MEMBERS, min_size=2, max_size=6))
def test_rendering_is_that_of_the_content(documents: list[dict[str, Any]]):
    renderings = Renderings()
    for members in [*documents, *documents]:
        assert renderings.render(members) == Rendering.of(members)


def test_members_that_only_compare_equal_are_told_apart():
    renderings = Renderings()
    bodies = [renderings.render({"a": value}).body for value in (1, True, 1.0, 0.0, -0.0, "1")]
    assert bodies == [b'{"a":1}', b'{"a":true}', b'{"a":1.0}', b'{"a":0.0}', b'{"a":-0.0}', b'{"a":"1"}']
    assert renderings.render({"a": 1, "b": 2}).body != renderings.render({"b": 2, "a": 1}).body


def test_same_content_is_rendered_once():
    renderings = Renderings()
    assert renderings.render({"a": [1]}) is renderings.render({"a": [1]})


def test_renderings_are_bounded():
    renderings = Renderings()
    first = renderings.render({"number": 0})
    for number in range(RENDERINGS_MAX):
        renderings.render({"number": number})
    assert renderings.render({"number": 0}) is first
    renderings.render({"number": RENDERINGS_MAX})
    assert renderings.render({"number": 0}) is not first
    long_document = {"name": "x" * RENDERED_BYTES_MAX}
    assert renderings.render(long_document) is not renderings.render(long_document)


def test_actor_that_changes_is_served_as_it_is_now():
    names = ["Alice", "Alice", "Alicia"]
    remaining = iter(names)
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def actor(_ctx: Any, _identifier: str) -> Person:
        return Person(name=next(remaining))

    node = Node(federation, HERE, "memory:", signer=ReusedKeys())
    served: list[str] = []
    for _ in names:
        response = node.handle(Request("GET", ALICE, {"accept": "application/activity+json"}))
        assert isinstance(response, Response)
        served.append(json.loads(response.body)["name"])
    assert served == names
