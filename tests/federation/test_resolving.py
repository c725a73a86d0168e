"""Check resolution in listeners: embedded objects count for their own origin, other objects are fetched."""

import asyncio
import json

import pytest
import trio

from apcore.adapters.asyncio import AsyncioRuntime
from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.adapters.trio import TrioRuntime
from apcore.drivers import Ports, async_ports, run, run_async
from apcore.effects import Call
from apcore.errors import ContractError, DocumentError
from apcore.federation.context import UnitContexts
from apcore.federation.registration import Federation
from apcore.federation.unit_of_work import UnitOfWork
from apcore.handlers import operation
from apcore.http import Response, parse_origin
from apcore.node import AsyncNode, Node
from apcore.remote import NotFound
from apcore.vocab import Activity, Note, Reference, read_document

REMOTE = "https://remote.example"


class Source:
    """A network that serves notes at URLs that end in ``/there``."""

    checks_addresses = "enforced"
    never_waits = True

    def __init__(self) -> None:
        self.requested_urls: list[str] = []

    def send(self, request):
        self.requested_urls.append(request.url)
        if not request.url.endswith("/there"):
            return Response(404)
        note = {
            "@context": "https://www.w3.org/ns/activitystreams",
            "id": request.url,
            "type": "Note",
            "content": "fetched",
        }
        return Response(200, {"content-type": "application/activity+json"}, json.dumps(note).encode())

    def close(self) -> None:
        """Do nothing: no connection is open."""


def activity(object_) -> Activity:
    tree = {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": f"{REMOTE}/1",
        "type": "Create",
        "actor": f"{REMOTE}/bob",
    }
    return read_document(tree | {"object": object_}, origin=parse_origin(REMOTE)).view(Activity)


def plain(ctx, reference):
    return ctx.resolve(reference).view(Note).content


async def coroutine(ctx, reference):
    document = await ctx.resolve(reference)
    return document.view(Note).content


@operation
def op(ctx, reference):
    document = yield from ctx.resolve(reference)
    return document.view(Note).content


def call(handler, reference):
    scope = UnitOfWork(places=Federation().places, origin=None, data=None)
    return (yield from Call(handler, reference, contexts_for=UnitContexts(scope)))


WORLDS = {
    "blocking": lambda op, **ports: run(op, Ports(runtime=BlockingRuntime(), **ports)),
    "asyncio": lambda op, **ports: asyncio.run(run_async(op, async_ports(runtime=AsyncioRuntime(), **ports))),
    "trio": lambda op, **ports: trio.run(run_async, op, async_ports(runtime=TrioRuntime(), **ports)),
}


@pytest.mark.parametrize(
    ("handler", "world"),
    [
        (plain, "blocking"),
        (op, "blocking"),
        (plain, "asyncio"),
        (coroutine, "asyncio"),
        (op, "trio"),
        (coroutine, "trio"),
    ],
)
@pytest.mark.parametrize(
    ("object_", "content", "requested_urls"),
    [
        pytest.param({"id": f"{REMOTE}/n", "type": "Note", "content": "inside"}, "inside", [], id="inside"),
        pytest.param(f"{REMOTE}/there", "fetched", [f"{REMOTE}/there"], id="by-url"),
        pytest.param({"id": f"{REMOTE}/there"}, "fetched", [f"{REMOTE}/there"], id="a-stub"),
        pytest.param(
            {"id": "https://other.example/there", "type": "Note", "content": "forged"},
            "fetched",
            ["https://other.example/there"],
            id="inside-but-of-another-origin",
        ),
    ],
)
def test_embedded_object_is_accepted_only_from_its_own_origin(handler, world, object_, content, requested_urls) -> None:
    source = Source()
    resolved = WORLDS[world](call(handler, activity(object_).object), store=MemoryStore(), transport=source)
    assert resolved == content
    assert source.requested_urls == requested_urls


def test_error_of_the_source_reaches_the_handler() -> None:
    with pytest.raises(NotFound):
        WORLDS["blocking"](call(plain, f"{REMOTE}/gone"), store=MemoryStore(), transport=Source())


def test_reference_without_a_url_is_refused() -> None:
    with pytest.raises(DocumentError, match="no address"):
        WORLDS["blocking"](call(plain, Reference(None)), store=MemoryStore(), transport=Source())


def test_reference_is_resolved_once_and_only_on_request() -> None:
    source = Source()
    with Node(Federation(), None, "memory:", transport=source) as node:
        post = node.reference(f"{REMOTE}/there")
        assert source.requested_urls == []
        with pytest.raises(ContractError, match="resolve"):
            post.view(Note)
        assert post.resolve() == post.resolve()
        assert post.view(Note).content == "fetched"
        assert len(source.requested_urls) == 1
        assert node.reference(f"{REMOTE}/there").resolve().id == post.uri
        assert len(source.requested_urls) == 1  # cached, and fresh
        post.resolve(fresh=True)
        assert len(source.requested_urls) == 2


@pytest.mark.parametrize("start", [asyncio.run, lambda coroutine: trio.run(lambda: coroutine)], ids=["asyncio", "trio"])
def test_async_reference_is_awaited(start) -> None:
    async def main() -> str | None:
        async with AsyncNode(Federation(), None, "memory:", transport=Source()) as node:
            post = node.reference(f"{REMOTE}/there")
            await post.resolve()
            return post.view(Note).content

    assert start(main()) == "fetched"


def test_node_with_an_origin_fetches_as_its_instance_actor() -> None:
    signatures = []

    class RecordingSource(Source):
        def send(self, request):
            signatures.append(request.headers.get("signature"))
            return super().send(request)

    with Node(Federation(), "https://ours.example", "memory:", transport=RecordingSource()) as node:
        node.reference(f"{REMOTE}/there").resolve()
    assert 'keyId="https://ours.example/actor#main-key"' in signatures[0]


def test_reference_bound_by_a_context_is_resolved() -> None:
    def handler(ctx, reference):
        pointer = ctx.reference(reference)
        pointer.resolve()
        return pointer.view(Note).content

    async def async_handler(ctx, reference):
        pointer = ctx.reference(reference)
        await pointer.resolve()
        return pointer.view(Note).content

    for fn, world in ((handler, "blocking"), (handler, "asyncio"), (async_handler, "trio")):
        assert WORLDS[world](call(fn, f"{REMOTE}/there"), store=MemoryStore(), transport=Source()) == "fetched"
