"""Check the contexts of handlers member by member: one definition for three kinds of handler, and for both nodes."""

import asyncio
import inspect
import json
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property

import attrs
import pytest

from apcore import AsyncContext, AsyncNode, Context, Federation, Node, OpContext, operation
from apcore.adapters.memory import MemoryStore
from apcore.effects import Now
from apcore.errors import ContractError
from apcore.federation import Job
from apcore.federation.waiting_methods import Waiting
from apcore.http import Request
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import PeerNetwork
from apcore.vocab import Create, Note, Person

HERE = "https://local.example"
ALICE = f"{HERE}/users/alice"
BOB = "https://remote.example/users/bob"
OUTBOX = f"{BOB}/outbox"
NODEINFO = "https://remote.example/nodeinfo/2.1"

MEMBERS = {
    # Of every context
    "origin, canonicalOrigin": "origin",
    "host": "host",
    "hostname": "hostname",
    "data": "data",
    "federation": "federation",
    "documentLoader, getDocumentLoader": "resolve",
    "clone": "with_data",
    "getNodeInfoUri": "nodeinfo_uri",
    "getActorUri": "actor_uri",
    "getObjectUri": "object_uri",
    "getInboxUri": "inbox_uri",
    "getOutboxUri": "outbox_uri",
    "getFollowingUri": "following_uri",
    "getFollowersUri": "followers_uri",
    "getLikedUri": "liked_uri",
    "getFeaturedUri": "featured_uri",
    "getFeaturedTagsUri": "featured_tags_uri",
    "getCollectionUri": "collection_uri",
    "parseUri": "parse_uri",
    "getActorKeyPairs": "actor_keys",
    "lookupObject": "lookup",
    "lookupWebFinger": "lookup_webfinger",
    "lookupNodeInfo": "lookup_nodeinfo",
    "traverseCollection": "traverse",
    "sendActivity": "send",
    "getActor": "get_actor",
    "getObject": "get_object",
    # Of a request or a job
    "request": "request",
    "url": "url",
    "getSignedKey": "signed_key",
    "getSignedKeyOwner": "signed_key_owner",
    "recipient": "recipient",
    "routeActivity": "route",
    "forwardActivity": "forward",
}
"""The members of the contexts of the reference framework, and their names here."""
OF_A_JOB = {"data", "with_data", "request", "url", "signed_key", "signed_key_owner", "recipient", "route", "forward"}
"""The members that a node has only through `Node.context`."""


def public_members(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def parameters(kind, name):
    signature = inspect.signature(inspect.getattr_static(kind, name))
    return [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]


@pytest.mark.parametrize("context", [Context, AsyncContext, OpContext])
def test_context_has_every_member_of_the_reference_framework(context):
    assert set(MEMBERS.values()) - public_members(context) == set()


@pytest.mark.parametrize("make_node", [Node, AsyncNode])
def test_node_has_every_member_that_is_not_about_a_request(make_node):
    node = make_node(Federation(), HERE, signer=ReusedKeys())
    assert set(MEMBERS.values()) - OF_A_JOB - public_members(node) == set()


def test_three_contexts_are_equal():
    assert public_members(Context) == public_members(AsyncContext)
    assert public_members(Context) - public_members(OpContext) == {"reference"}  # an operation resolves at once
    assert public_members(OpContext) - public_members(Context) == set()


def test_two_nodes_are_equal():
    closing = {"close", "aclose"}
    blocking_only = {"enlist"}  # an event loop has no transaction of a blocking connection
    late = {"ports"}  # an attribute of a node, and a property of an async one, which makes them on its event loop
    assert public_members(Node) ^ public_members(AsyncNode) <= closing | blocking_only | late


@pytest.mark.parametrize(("blocking", "awaited"), [(Context, AsyncContext), (Node, AsyncNode)])
def test_methods_that_may_wait_have_one_definition(blocking, awaited):
    marked = {name for base in blocking.__mro__ for name, value in vars(base).items() if isinstance(value, Waiting)}
    assert len(marked) >= 20
    for name in marked:
        assert parameters(blocking, name) == parameters(awaited, name)
        assert not inspect.iscoroutinefunction(inspect.getattr_static(blocking, name))
        assert inspect.iscoroutinefunction(inspect.getattr_static(awaited, name))
        assert inspect.getattr_static(blocking, name).__doc__ == inspect.getattr_static(awaited, name).__doc__


def test_signature_of_a_method_names_its_result():
    assert inspect.signature(Context.lookup).return_annotation == "LookupResult"
    assert inspect.signature(AsyncContext.get_actor).return_annotation == "Document | None"
    assert inspect.signature(OpContext.lookup).return_annotation == "Op[LookupResult]"


# --- the effects of the members -------------------------------------------------------------------------------------


class Site:
    """A node with one actor and one object, beside a peer that serves an outbox and its NodeInfo."""

    def __init__(self, make_node=Node, *, data="mine"):
        self.answers = []
        self.network = PeerNetwork()
        self.bob = self.network.peer(BOB)
        page = {"id": f"{OUTBOX}/1", "type": "OrderedCollectionPage", "orderedItems": [f"{BOB}/notes/1"]}
        self.bob.serve(OUTBOX, {"id": OUTBOX, "type": "OrderedCollection", "first": page})
        self.bob.serve(f"{BOB}/notes/1", {"id": f"{BOB}/notes/1", "type": "Note", "attributedTo": BOB, "content": "hi"})
        link = {"rel": "http://nodeinfo.diaspora.software/ns/schema/2.1", "href": NODEINFO}
        self.bob.serve("https://remote.example/.well-known/nodeinfo", {"links": [link]})
        about = {"version": "2.1", "software": {"name": "peer", "version": "1"}, "protocols": ["activitypub"]}
        usage = {"services": {"inbound": [], "outbound": []}, "openRegistrations": False, "usage": {"users": {}}}
        self.bob.serve(NODEINFO, about | usage | {"metadata": {}})
        self.federation = Federation(software="test/1.0")
        self.federation.actor("/users/{identifier}")(self.actor)
        self.federation.object(Note, "/notes/{number}")(self.note)
        self.federation.managed_collection("featured", "/users/{identifier}/featured")
        self.make_node, self.data = make_node, data

    @cached_property
    def node(self):
        """The node, made when it is first used, so that a test can register more before."""
        options = {"transport": self.network, "signer": ReusedKeys(), "data": self.data}
        return self.make_node(self.federation, HERE, MemoryStore(), **options)

    @staticmethod
    def actor(ctx, identifier):
        return Person(preferred_username=identifier) if identifier == "alice" else None

    @staticmethod
    def note(ctx, number):
        return Note(content=f"note {number}") if number == "1" else None

    def run_handler(self, handler):
        """Run a handler of any kind as the listener for a Create of the peer, and return its answer."""
        self.federation.on(Create)(handler)
        create = self.bob.activity("Create", object={"id": f"{BOB}/notes/2", "type": "Note", "attributedTo": BOB})
        if isinstance(self.node, Node):
            assert self.bob.deliver(self.node, create, to="alice").status == 202
            self.node.work(until_idle=True)
        else:
            asyncio.run(self._run_async(create))
        [answer] = self.answers
        return answer

    async def _run_async(self, create):
        answer = await self.node.handle(self.bob.request(create, f"{ALICE}/inbox"))
        assert answer.status == 202
        await self.node.work(until_idle=True)


READS = {
    "resolve": (f"{BOB}/notes/1",),
    "lookup": ("@bob@remote.example",),
    "lookup_webfinger": ("@bob@remote.example",),
    "lookup_nodeinfo": ("https://remote.example",),
    "traverse": (OUTBOX,),
    "get_actor": ("alice",),
    "actor_keys": ("alice",),
    "run": (Now,),
}


def summary(name, result):
    match name:
        case "resolve" | "get_actor":
            return result.id
        case "lookup":
            return result.acct.handle
        case "lookup_webfinger":
            return result.subject
        case "lookup_nodeinfo":
            return result.software_name
        case "traverse":
            return [item.uri for item in result.items]
        case "actor_keys":
            return sorted(result)
        case _:
            return type(result).__name__


EXPECTED = {
    "resolve": f"{BOB}/notes/1",
    "lookup": "@bob@remote.example",
    "lookup_webfinger": "acct:bob@remote.example",
    "lookup_nodeinfo": "peer",
    "traverse": [f"{BOB}/notes/1"],
    "get_actor": ALICE,
    "actor_keys": ["assertionMethod", "publicKey"],
    "run": "datetime",
}


def arguments(name):
    return tuple(argument().__iter__() if name == "run" else argument for argument in READS[name])


def reading_handlers(answers):
    def plain(ctx, create):
        answers.append({name: summary(name, getattr(ctx, name)(*arguments(name))) for name in READS})

    async def coroutine(ctx, create):
        answers.append({name: summary(name, await getattr(ctx, name)(*arguments(name))) for name in READS})

    @operation
    def op(ctx, create):
        results = {}
        for name in READS:
            result = yield from getattr(ctx, name)(*arguments(name))
            results[name] = summary(name, result)
        answers.append(results)

    return {"plain": plain, "coroutine": coroutine, "operation": op}


@pytest.mark.parametrize(
    ("kind", "make_node"),
    [("plain", Node), ("operation", Node), ("plain", AsyncNode), ("coroutine", AsyncNode), ("operation", AsyncNode)],
)
def test_handler_of_any_kind_can_look_up_everything(kind, make_node):
    site = Site(make_node)
    assert site.run_handler(reading_handlers(site.answers)[kind]) == EXPECTED


def test_node_can_look_up_everything_outside_of_handlers():
    with Site().node as node:
        assert {name: summary(name, getattr(node, name)(*arguments(name))) for name in READS} == EXPECTED


def test_async_node_can_look_up_everything_outside_of_handlers():
    async def look_up():
        async with Site(AsyncNode).node as node:
            return {name: summary(name, await getattr(node, name)(*arguments(name))) for name in READS}

    assert asyncio.run(look_up()) == EXPECTED


def test_every_address_has_a_method():
    with Site().node as node:
        names = ("outbox", "followers", "following", "liked", "featured")
        assert [getattr(node, f"{name}_uri")("alice") for name in names] == [f"{ALICE}/{name}" for name in names]
        assert node.actor_uri("alice") == ALICE
        assert (node.inbox_uri("alice"), node.inbox_uri()) == (f"{ALICE}/inbox", f"{HERE}/inbox")
        assert node.object_uri(Note, number="1") == f"{HERE}/notes/1"
        assert node.nodeinfo_uri() == f"{HERE}/nodeinfo/2.1"
        assert node.parse_uri(f"{HERE}/notes/1").values == {"number": "1"}
        assert (node.origin, node.host, node.hostname) == (HERE, "local.example", "local.example")


def test_host_has_the_port_and_hostname_does_not():
    federation = Federation()
    with Node(federation, "https://local.example:8443", signer=ReusedKeys()) as node:
        assert (node.host, node.hostname) == ("local.example:8443", "local.example")


def test_own_documents_are_read_without_a_request():
    site = Site()
    with site.node as node:
        assert node.get_object(Note, number="1").view(Note).content == "note 1"
        assert node.get_object(Note, number="2") is None
        assert node.get_actor("nobody") is None
        assert site.network.exchanges == []


def test_own_collection_is_not_traversed_over_the_network():
    with Site().node as node, pytest.raises(ContractError, match=r"read it with members\(\)"):
        node.traverse(f"{ALICE}/followers")


def test_document_is_loaded_as_the_actor_of_ours_that_is_named():
    site = Site()
    with site.node as node:
        key_ids = []
        site.bob.serve(f"{BOB}/notes/3", {"id": f"{BOB}/notes/3", "type": "Note", "attributedTo": BOB})
        answer = site.bob.answer
        site.bob.answer = lambda request: (key_ids.append(site.network.signer_of(request)), answer(request))[1]
        site.network.join(node)
        node.resolve(f"{BOB}/notes/3", by="alice")
        node.resolve(f"{BOB}/notes/1")
        assert key_ids == [f"{ALICE}#main-key", f"{HERE}/actor#main-key"]


def test_handlers_that_ask_for_each_other_without_end_are_stopped():
    federation = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: ctx.get_actor(identifier) and Person())
    with (
        Node(federation, HERE, signer=ReusedKeys()) as node,
        pytest.raises(ContractError, match="each other's documents without end"),
    ):
        node.get_actor("alice")


def test_request_and_its_signer_are_known_while_it_is_answered():
    site, observed = Site(), []

    @site.federation.collection("gems", "/users/{identifier}/gems")
    def gems(ctx, identifier, cursor):
        observed.append((ctx.url, ctx.request.method, ctx.signed_key_owner(), ctx.signed_key()))

    url = f"{ALICE}/gems"
    with site.node as node:
        node.handle(Request("GET", url))
        node.handle(site.bob.sign(Request("GET", url)))
        node.handle(attrs.evolve(site.bob.sign(Request("GET", url)), url=f"{url}?page=1"))
    assert observed == [
        (url, "GET", None, None),
        (url, "GET", BOB, f"{BOB}#main-key"),
        (f"{url}?page=1", "GET", None, None),
    ]


def test_listener_has_no_request():
    site = Site()

    def listener(ctx, create):
        site.answers.append((ctx.request, ctx.url, ctx.signed_key_owner(), ctx.recipient, ctx.actor))

    assert site.run_handler(listener) == (None, None, None, "alice", BOB)


def test_context_with_other_data_writes_into_the_same_commit():
    site = Site()

    def listener(ctx, create):
        other = ctx.with_data("other")
        other.append(f"{HERE}/gems", BOB)
        site.answers.append((ctx.data, other.data, ctx.contains(f"{HERE}/gems", BOB)))

    assert site.run_handler(listener) == ("mine", "other", True)
    assert site.node.contains(f"{HERE}/gems", BOB)


# --- a context outside of handlers ----------------------------------------------------------------------------------


def test_context_of_a_node_commits_its_writes_together():
    site = Site()
    with site.node as node:
        with node.context() as ctx:
            note_id = ctx.publish(Note(content="hello"), by="alice")
            ctx.append(f"{ALICE}/featured", note_id)
            assert node.count(f"{ALICE}/featured") == 0
            assert ctx.data == "mine"
        assert node.members(f"{ALICE}/featured").items == (note_id,)
        assert node.get_actor("alice") is not None
        assert json.loads(node.handle(Request("GET", note_id)).body)["content"] == "hello"


def test_context_of_a_node_writes_nothing_if_its_block_raises():
    def append_and_fail(ctx):
        ctx.append(f"{ALICE}/featured", f"{HERE}/notes/1")
        raise ZeroDivisionError

    with Site().node as node:
        with pytest.raises(ZeroDivisionError), node.context() as ctx:
            append_and_fail(ctx)
        assert node.count(f"{ALICE}/featured") == 0


def test_context_of_a_node_refuses_an_unknown_sender():
    with Site().node as node, pytest.raises(ValueError, match="no such actor"), node.context() as ctx:
        ctx.publish(Note(content="hello"), by="nobody")


def test_context_of_a_node_identifies_the_signer_of_a_request():
    site = Site()
    with site.node as node:
        request = site.bob.sign(Request("GET", f"{HERE}/page"))
        with node.context(request=request) as ctx:
            assert ctx.signed_key_owner() == BOB
            assert ctx.url == f"{HERE}/page"


def test_context_of_an_async_node_commits_its_writes_together():
    async def write():
        async with Site(AsyncNode).node as node:
            async with node.context(HERE) as ctx:
                note_id = ctx.publish(Note(content="hello"), by="alice")
                ctx.append(f"{ALICE}/featured", note_id)
            return (await node.members(f"{ALICE}/featured")).items == (note_id,)

    assert asyncio.run(write())


# --- data -----------------------------------------------------------------------------------------------------------


def test_data_factory_gets_the_request_and_the_activity():
    jobs: list[Job] = []

    @contextmanager
    def session(job):
        jobs.append(job)
        yield f"session for {job.origin}"

    site = Site(data=session)
    answer = site.run_handler(lambda ctx, create: site.answers.append(ctx.data))
    assert answer == f"session for {HERE}"
    request_job, activity_job = jobs
    assert request_job.request.method == "POST"
    assert request_job.activity is None
    assert activity_job.request is None
    assert activity_job.activity.actor.uri == BOB
    site.node.publish(Note(content="x"), by="alice")
    assert jobs[-1] == Job(HERE)


def test_async_data_factory_gets_the_request_and_the_activity():
    jobs: list[Job] = []

    @asynccontextmanager
    async def session(job):
        jobs.append(job)
        yield "session"

    site = Site(AsyncNode, data=session)
    assert site.run_handler(lambda ctx, create: site.answers.append(ctx.data)) == "session"
    assert [(job.origin, job.request is None, job.activity is None) for job in jobs] == [
        (HERE, False, True),
        (HERE, True, False),
    ]


def test_data_is_not_entered_for_methods_that_run_no_handler():
    @contextmanager
    def session():
        raise AssertionError("entered")
        yield

    with Site(data=session).node as node:
        assert node.count(f"{ALICE}/followers") == 0
        assert not node.contains(f"{ALICE}/followers", BOB)
        node.block_domain("bad.example")
