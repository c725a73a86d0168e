"""Check the ``fetching`` option of nodes: its limits hold for every fetch, and a policy that cannot work is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apcore.adapters.memory import MemoryStore
from apcore.errors import ConfigurationError, LimitExceeded
from apcore.federation import Federation
from apcore.http import LOOPBACK_OPEN, TransportLimits
from apcore.node import AsyncNode, Node
from apcore.remote import Budgets, FetchPolicy, UnauthenticatedClient
from apcore.vocab import Vocabulary
from scripted_web import NOON, ScriptedWeb, document, redirect

NOTE = "https://a.example/notes/1"


@pytest.fixture
def web() -> ScriptedWeb:
    return ScriptedWeb(
        {NOTE: redirect("/notes/2"), "https://a.example/notes/2": document({"id": NOTE, "type": "Note", "name": "hi"})}
    )


def options(web: ScriptedWeb, **fetching: Any) -> dict[str, Any]:
    return {"transport": web, "fetching": FetchPolicy(**fetching)}


def test_limits_and_user_agent_of_the_policy_hold_for_every_fetch(web: ScriptedWeb) -> None:
    limits = TransportLimits(body_bytes_max=1000)
    with Node(Federation(), None, MemoryStore(), **options(web, user_agent="reader/2", limits=limits)) as node:
        assert node.reference(NOTE).resolve().words["name"] == "hi"
    assert [request.headers.get("user-agent") for request in web.requests] == ["reader/2"] * 2
    assert [request.limits.body_bytes_max for request in web.requests] == [1000] * 2


@pytest.mark.parametrize("redirects_max", [0, 1])
def test_number_of_redirects_is_that_of_the_policy(web: ScriptedWeb, redirects_max: int) -> None:
    async def resolve() -> Any:
        async with AsyncNode(Federation(), None, MemoryStore(), **options(web, redirects_max=redirects_max)) as node:
            return (await node.reference(NOTE).resolve()).words["name"]

    if redirects_max:
        assert asyncio.run(resolve()) == "hi"
    else:
        with pytest.raises(LimitExceeded):
            asyncio.run(resolve())


def test_default_user_agent_names_the_software(web: ScriptedWeb) -> None:
    with Node(Federation(software="reader/2"), None, MemoryStore(), **options(web, redirects_max=1)) as node:
        node.reference(NOTE).resolve()
    assert {request.headers.get("user-agent") for request in web.requests} == {"reader/2"}


@pytest.mark.parametrize(
    ("fetching", "name"),
    [
        ({"addresses": LOOPBACK_OPEN}, "addresses"),
        ({"vocabulary": Vocabulary([])}, "vocabulary"),
        ({"unknown_contexts": "fetch"}, "unknown_contexts"),
        ({"budgets": Budgets(kept_s=1.0)}, "budgets"),
        ({"unauthenticated_client": UnauthenticatedClient("203.0.113.9")}, "unauthenticated_client"),
        ({"until": NOON}, "until"),
        ({"refresh": print}, "refresh"),
        ({"freshness": 3600.0}, "freshness"),
        ({"redirects_max": -1}, "redirects_max"),
        ({"keys_max": -1}, "keys_max"),
        ({"key_ttl_s": -0.1}, "key_ttl_s"),
        ({"document_kept_s": float("inf")}, "document_kept_s"),
        ({"document_ttl_s": float("nan")}, "document_ttl_s"),
        ({"document_ttl_s_min": 10.0, "document_ttl_s_max": 9.0}, "document_ttl_s_min"),
    ],
)
@pytest.mark.parametrize("node", [Node, AsyncNode])
def test_policy_that_cannot_work_is_refused_by_name(web: ScriptedWeb, node: Any, fetching: Any, name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"FetchPolicy\.{name}"):
        node(Federation(), None, MemoryStore(), **options(web, **fetching))
