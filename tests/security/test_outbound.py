"""Where no request goes, whatever leads there: every kind of request that a node makes, against every kind of address that is closed.

A channel is one way in which a stranger names an address that we then ask: an id, a redirect, a link, a page, an inbox, a key. Each is driven with each
closed address, and has to end in a typed refusal with nothing sent there; and with an open one, to show that it leads there at all.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from contextlib import suppress
from html import escape
from typing import Any
from urllib.parse import quote

import pytest
from attrs import evolve

from apcore.collections import Member, add_member, traverse
from apcore.discovery import lookup, lookup_nodeinfo, webfinger
from apcore.effects import commit
from apcore.errors import ApcoreError, ConnectFailed, FetchFailed, RemoteError, RequestError
from apcore.federation import Federation
from apcore.http import AddressPolicy, Headers, Request, Response, TransportLimits, make_digest, parse_url
from apcore.node import Node
from apcore.remote import FetchPolicy, Identity, alternate_of, load, load_unverified, remote_key
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Like, Person
from scripted_web import ScriptedWeb, document, redirect
from source_tree import MODULES

A = "https://a.example"
OPEN = "https://b.example:8443/there"
OPEN_HOST = "https://b.example/there"
# Unlike any other policy, so that it is seen to be this one.
ADDRESSES = AddressPolicy(hosts=["vouched.internal"], networks=["192.0.2.7/32"])
POLICY = FetchPolicy(addresses=ADDRESSES, unknown_contexts="fetch", limits=TransportLimits(body_bytes_max=100_000))
ME = Identity(key_name="instance", key_id="https://me.example/actor#main-key")
AS2 = "https://www.w3.org/ns/activitystreams"

CLOSED = {
    **{
        f"IPv4 {address}": f"https://{address}/x"
        for address in (
            *("0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16"),
            *("169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.31.196.1"),
            *("192.52.193.1", "192.88.99.1", "192.168.1.1", "192.175.48.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
            *("224.0.0.1", "240.0.0.1", "255.255.255.255"),
        )
    },
    **{
        f"IPv6 {address}": f"https://[{address}]/x"
        for address in (
            *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:0:7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
            *("100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::"),
            *("2620:4f:8000::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1"),
            *("fe80::1%25eth0", "::1%lo", "::ffff:127.1", "1::2::3", "127.0.0.1"),
        )
    },
    **{
        f"spelling {host}": f"https://{host}/x"
        for host in (
            *("2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "127.000.000.001"),
            *("0", "0x0", "1.2.3.4.5", "256.256.256.256", "0x7f.0.0.0x1", "127.0.0.1.", "10.0.0.1%2f", "%31%32%37.0.0.1"),
            *("127。0。0。1", "\uff11\uff12\uff17.0.0.1", "①②⑦.⓪.⓪.①", "127.0.0.\u00ad1"),
        )
    },
    **{
        f"name {host}": f"https://{host}/x"
        for host in (
            *("localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "printer.local", "db.internal"),
            *("x.home.arpa", "router.lan", "wiki.corp", "nas.home", "a.alt", "a.private", "a.intranet"),
            *("intranet", "b", "b.", "a.onion", "a.i2p", "b.example.", "B.EXAMPLE.", "ⓛocalhost", "local\u00adhost", "\uff2c\uff2f\uff23\uff21\uff2c\uff28\uff2f\uff33\uff34"),
            *("b..example", ".b.example", "-", "b.example-", "*.b.example", "b_.exam ple", "b\u3002example", "xn--", "xn--a.example-"),
            *("b.exam\u200bple\u2028", "b.example%00", "b.example\x00", "b.exam\tple", "b.exam\nple", "b.example%2e", "b.example:https"),
        )
    },
    **{
        f"authority {authority}": f"https://{authority}/x"
        for authority in (
            *("b.example@127.0.0.1", "user:password@b.example", "@b.example", "b.example:pw@b.example", "b.example%40127.0.0.1"),
            *("b.example\\@127.0.0.1", "127.0.0.1\\.b.example", "127.0.0.1?.b.example", "", ":443", "[::1", "::1"),
        )
    },
    **{
        f"port {port}": f"https://b.example:{port}/x"
        for port in (
            *("0", "1", "7", "19", "22", "23", "25", "53", "80", "110", "143", "389", "445", "465", "587", "636", "993", "1023"),
            *("2049", "3306", "5432", "6379", "6667", "11211", "65536", "99999", "-1", "+443", "443x", "0x1bb", "\uff14\uff14\uff13"),
        )
    },
    **{
        f"scheme {url}": url
        for url in (
            *("http://b.example/x", "http://b.example:443/x", "http://127.0.0.1/", "ftp://b.example/x", "file:///etc/passwd"),
            *("gopher://127.0.0.1:25/x", "data:application/activity+json,{}", "javascript:alert(1)", "ws://b.example/x", "wss://b.example/"),
            *("unix:///var/run/docker.sock", "blob:https://b.example/x", "jar:https://b.example!/x", "ldap://b.example/", "dict://b.example/"),
            *("ap://did:key:z6Mk/actor", "https+unix://b.example/x", "view-source:https://b.example/", "about:blank"),
        )
    },
    "line break in the path": "https://b.example/x\r\nHost: c.example",
    "line break in the query": "https://b.example/?x\nX-Evil: 1",
    "carriage return": "https://b.example/\rx",
    "NUL": "https://b.example/\x00",
    "blank": "https://b.example/x HTTP/1.1",
    "backslash": "https://b.example\\x",
    "backslashes for slashes": "https:\\\\b.example\\x",
    "tab before": "\thttps://127.0.0.1/x",
    "too long": "https://b.example/" + "x" * 5000,
}  # fmt: skip


# --- channels -------------------------------------------------------------------------------------------------------

Web = ScriptedWeb
Drive = Callable[[Web, str], Any]


def run(web: Web, op: Any) -> Any:
    return web.run(op)


def on_wire(url: str) -> str | None:
    """As a header field has it: ISO 8859-1, or UTF-8 read as that; None if no field can hold it."""
    try:
        return Headers({"Location": url}).get("location")
    except ValueError:
        with suppress(ValueError):
            return Headers({"Location": url.encode().decode("latin-1")}).get("location")
    return None


def redirected(web: Web, url: str, start: str = f"{A}/start") -> str:
    web.pages[start] = redirect(on_wire(url) or "")
    return start


def actor(ident: str, **members: Any) -> Response:
    base = {"@context": AS2, "id": ident, "type": "Person", "preferredUsername": "x", "inbox": f"{ident}/inbox", "outbox": f"{ident}/o"}  # fmt: skip
    return document(base | members)


def jrd(**members: Any) -> Response:
    return document(members, content_type="application/jrd+json")


WEBFINGER = f"{A}/.well-known/webfinger?resource={quote('acct:x@a.example', safe='')}"
HOST_META = f"{A}/.well-known/host-meta"


def through_webfinger_link(web: Web, url: str) -> Any:
    web.pages[WEBFINGER] = jrd(
        subject="acct:x@a.example", links=[{"rel": "self", "type": "application/activity+json", "href": url}]
    )
    return run(web, lookup("@x@a.example", policy=POLICY, identity=ME))


def through_webfinger_subject(web: Web, url: str) -> Any:
    """A host hands a name on to another; only a host can be said."""
    rest = url.partition("://")[2].partition("/")[0] if url.startswith("https://") else url
    if url != OPEN_HOST and rest.rstrip(".").lower() == "b.example":
        raise RequestError("what is closed about it is not in its host")
    web.pages[WEBFINGER] = jrd(subject=f"acct:x@{rest}")
    return run(web, lookup("@x@a.example", policy=POLICY))


def through_host_meta(web: Web, url: str) -> Any:
    web.pages[WEBFINGER] = Response(404)
    web.pages[HOST_META] = jrd(links=[{"rel": "lrdd", "template": url + "?q={uri}"}])
    return run(web, webfinger("acct:x@a.example", policy=POLICY))


def through_host_meta_redirect(web: Web, url: str) -> Any:
    web.pages[WEBFINGER] = Response(404)
    _ = redirected(web, url, HOST_META)
    return run(web, webfinger("acct:x@a.example", policy=POLICY))


def through_nodeinfo_link(web: Web, url: str) -> Any:
    href = {"rel": "http://nodeinfo.diaspora.software/ns/schema/2.1", "href": url}
    web.pages[f"{A}/.well-known/nodeinfo"] = document({"links": [href]}, content_type="application/json")
    return run(web, lookup_nodeinfo(A, policy=POLICY))


def through_nodeinfo_second_hop(web: Web, url: str) -> Any:
    start = redirected(web, url, f"{A}/nodeinfo/2.1")
    return through_nodeinfo_link(web, start)


def through_page(web: Web, url: str) -> Any:
    page = f'<link rel="alternate" type="application/activity+json" href="{escape(url)}">'
    web.pages[f"{A}/page"] = Response(200, {"Content-Type": "text/html"}, page.encode("utf-8", "replace"))
    return run(web, lookup(f"{A}/page", policy=POLICY, identity=ME))


def through_link_field(web: Web, url: str) -> Any:
    value = f"<{on_wire(url)}>; rel=alternate; type=application/activity+json"
    web.pages[f"{A}/page"] = Response(200, {"Content-Type": "text/html", "Link": value})
    return run(web, lookup(f"{A}/page", policy=POLICY, identity=ME))


def through_alias(web: Web, url: str) -> Any:
    """A document that says it is another: asked there only on its own origin."""
    web.pages[f"{A}/start"] = document({"@context": AS2, "id": url, "type": "Note"})
    return run(web, load(f"{A}/start", policy=POLICY, identity=ME))


def through_context(web: Web, url: str) -> Any:
    web.pages[f"{A}/start"] = document({"@context": [AS2, url], "id": f"{A}/start", "type": "Note"})
    return run(web, load(f"{A}/start", policy=POLICY, identity=ME))


def through_context_redirect(web: Web, url: str) -> Any:
    return through_context(web, redirected(web, url, f"{A}/context"))


def through_collection(name: str) -> Drive:
    def drive(web: Web, url: str) -> Any:
        first = url if name == "first" else {"type": "OrderedCollectionPage", "next": url}
        web.pages[f"{A}/start"] = document(
            {"@context": AS2, "id": f"{A}/start", "type": "OrderedCollection", "first": first}
        )
        read = run(web, traverse(f"{A}/start", policy=POLICY, identity=ME))
        assert read.ended or not read.items
        return read

    return drive


def through_page_redirect(web: Web, url: str) -> Any:
    return through_collection("first")(web, redirected(web, url, f"{A}/page1"))


def through_key_owner(web: Web, url: str) -> Any:
    key = {"@context": ["https://w3id.org/security/v1"], "id": f"{A}/key", "owner": url, "publicKeyPem": "x"}
    web.pages[f"{A}/key"] = document(key)
    return run(web, remote_key(f"{A}/key", policy=POLICY, identity=ME))


# --- channels of a node ---------------------------------------------------------------------------------------------


def node_on(web: Web) -> Node[None]:
    federation: Federation[None] = Federation(software="test/1.0")

    @federation.actor("/users/{identifier}")
    def alice(ctx: Any, identifier: str) -> Person | None:
        return Person(preferred_username="alice") if identifier == "alice" else None

    @federation.on(Like)
    def liked(ctx: Any, activity: Like) -> None:
        _ = ctx.resolve(activity.object)

    return Node(
        federation,
        "https://me.example",
        web.store,
        transport=web,
        runtime=web.runtime,
        signer=ReusedKeys(),
        addresses=ADDRESSES,
    )


def through_inbox(name: str) -> Drive:
    """Deliveries: the inbox of somebody who is sent to."""

    def drive(web: Web, url: str) -> Any:
        members: dict[str, Any] = {"inbox": url} if name == "inbox" else {"endpoints": {"sharedInbox": url}}
        web.pages[f"{A}/users/x"] = actor(f"{A}/users/x", **members)
        node = node_on(web)
        if name == "inbox":
            _ = node.send(Like(object=f"{A}/notes/1"), by="alice", to=f"{A}/users/x")
        else:
            followers = "https://me.example/users/alice/followers"
            change = add_member(followers, Member(f"{A}/users/x", b""), order="1")
            assert node.run(commit(change.checks, change.writes))
            _ = node.send(Like(object=f"{A}/notes/1"), by="alice", to=followers)
        return node.work(until_idle=True, limit_s=60)

    return drive


def through_inbox_redirect(web: Web, url: str) -> Any:
    web.pages[f"{A}/users/x/inbox"] = Response(308, {"Location": on_wire(url) or ""})
    return through_inbox("inbox")(web, f"{A}/users/x/inbox")


def through_recipient(web: Web, url: str) -> Any:
    node = node_on(web)
    try:
        _ = node.send(Like(object=f"{A}/notes/1"), by="alice", to=url)
    except ValueError as error:  # the application is told at once
        raise RequestError(str(error)) from error
    return node.work(until_idle=True, limit_s=60)


def through_key_id(web: Web, url: str) -> Any:
    """Whoever sends us something names a key."""
    body = json.dumps(
        {"@context": AS2, "id": f"{A}/1", "type": "Like", "actor": f"{A}/users/x", "object": url}
    ).encode()
    shown = (on_wire(url) or "").replace('"', "")
    signature = f'keyId="{shown}",headers="(request-target) host date digest",signature="AAAA"'
    headers = {
        "Content-Type": "application/activity+json",
        "Date": "Thu, 01 Jan 2026 12:00:00 GMT",
        "Digest": make_digest(body),
        "Host": "me.example",
    }
    request = Request("POST", "https://me.example/inbox", {**headers, "Signature": signature}, body)
    answer = node_on(web).handle(request)
    assert isinstance(answer, Response)
    assert 400 <= answer.status < 500 or answer.status == 503
    return answer


def through_reference(web: Web, url: str) -> Any:
    node = node_on(web)
    return node.reference(url).resolve()


CHANNELS: dict[str, Drive] = {
    # --- asked for as it is, signed and not
    "document": lambda web, url: run(web, load(url, policy=POLICY)),
    "document, signed": lambda web, url: run(web, load(url, policy=POLICY, identity=ME)),
    "document, unbelieved": lambda web, url: run(web, load_unverified(url, policy=POLICY, identity=ME)),
    "document, RFC 9421": lambda web, url: run(web, load(url, policy=POLICY, identity=evolve(ME, scheme="rfc9421"))),
    "lookup": lambda web, url: run(web, lookup(url, policy=POLICY)),
    "page": lambda web, url: run(web, alternate_of(url, policy=POLICY)),
    "collection": lambda web, url: run(web, traverse(url, policy=POLICY)),
    "key": lambda web, url: run(web, remote_key(url, policy=POLICY, identity=ME)),
    "WebFinger of a URL": lambda web, url: run(web, webfinger(url, policy=POLICY)),
    "reference of a node": through_reference,
    "key id of a delivery to us": through_key_id,
    # --- redirects
    "redirect": lambda web, url: run(web, load(redirected(web, url), policy=POLICY)),
    "redirect, signed": lambda web, url: run(web, load(redirected(web, url), policy=POLICY, identity=ME)),
    "redirect of a key": lambda web, url: run(web, remote_key(redirected(web, url), policy=POLICY, identity=ME)),
    "redirect of a page": lambda web, url: run(web, alternate_of(redirected(web, url), policy=POLICY)),
    "redirect of a collection": lambda web, url: run(web, traverse(redirected(web, url), policy=POLICY)),
    "redirect of a collection's page": through_page_redirect,
    "redirect of WebFinger": lambda web, url: [redirected(web, url, WEBFINGER), run(web, webfinger("acct:x@a.example", policy=POLICY))],
    "redirect of host-meta": through_host_meta_redirect,
    "redirect of NodeInfo's links": lambda web, url: [redirected(web, url, f"{A}/.well-known/nodeinfo"), run(web, lookup_nodeinfo(A, policy=POLICY))],
    "redirect of NodeInfo": through_nodeinfo_second_hop,
    "redirect of a context": through_context_redirect,
    # --- links
    "link of WebFinger": through_webfinger_link,
    "subject of WebFinger": through_webfinger_subject,
    "template of host-meta": through_host_meta,
    "link of NodeInfo": through_nodeinfo_link,
    "alternate in a page": through_page,
    "alternate in a field": through_link_field,
    "id of a document": through_alias,
    "context": through_context,
    "first page": through_collection("first"),
    "next page": through_collection("next"),
    "owner of a key": through_key_owner,
    # --- deliveries
    "inbox": through_inbox("inbox"),
    "shared inbox": through_inbox("sharedInbox"),
    "redirect of an inbox": through_inbox_redirect,
    "recipient": through_recipient,
}  # fmt: skip

# Where an address on another origin is refused whatever it is; that these lead anywhere is for the tests of their rooms to show.
OWN_ORIGIN_ONLY = {"link of NodeInfo", "id of a document", "first page", "next page", "redirect of an inbox"}
# Where a host is asked, not an address.
BY_HOST = {"WebFinger of a URL", "subject of WebFinger"}
# What is no more than a missing part of something that was had: no error.
QUIET = {
    *("context", "redirect of a context", "first page", "next page", "redirect of a collection's page", "inbox", "shared inbox"),
    *("redirect of an inbox", "recipient", "key id of a delivery to us"),
}  # fmt: skip


def hosts_asked(web: Web) -> set[str]:
    return {parse_url(request.url).origin.host for request in web.requests}


def tried(channel: str, url: str) -> tuple[Web, ApcoreError | None]:
    web = ScriptedWeb()
    try:
        _ = CHANNELS[channel](web, url)
    except ApcoreError as error:
        return web, error
    return web, None


@pytest.mark.hole(17, 23, 24, 32, 44, 50, 55, 58)
@pytest.mark.parametrize("channel", CHANNELS)
def test_nothing_is_asked_where_it_is_closed(channel):
    for name, url in CLOSED.items():
        web, error = tried(channel, url)
        assert hosts_asked(web) <= {"a.example"}, (name, url)
        if error is None:
            assert channel in QUIET, (name, url)
        else:
            # Nobody is blamed for a network that was never asked: no `ConnectFailed` of a web that knows no such page but A's own.
            assert isinstance(error, (RemoteError, FetchFailed)), (name, url, error)
            assert not isinstance(error, ConnectFailed) or web.requests, (name, url, error)


@pytest.mark.parametrize("channel", CHANNELS)
def test_what_is_open_is_asked(channel):
    if channel in OWN_ORIGIN_ONLY:
        web, error = tried(channel, f"{A}/there")
        assert any(request.url == f"{A}/there" for request in web.requests), error
        web, error = tried(channel, OPEN)
        assert hosts_asked(web) == {"a.example"}
        return
    url = OPEN_HOST if channel in BY_HOST else OPEN
    web, error = tried(channel, url)
    assert "b.example" in hosts_asked(web), error


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_request_carries_the_policy_and_the_limits(channel):
    for url in (OPEN, f"{A}/there", "https://vouched.internal/x", "https://192.0.2.7/x"):
        web, _ = tried(channel, url)
        for request in web.requests:
            assert request.addresses == ADDRESSES
            assert request.limits.deadline_s <= 30
            assert request.limits.body_bytes_max <= 1024 * 1024


@pytest.mark.parametrize("host", ["10.0.0.1", "[::1]", "127.1", "localhost", "intranet", "b.example:22", "b.example:0", "u@b.example", "b.onion", "b.example/x", "b.example\r\nx", "b。example:25", ""])  # fmt: skip
def test_a_handle_names_a_host_like_any_other(host):
    web = ScriptedWeb()
    with pytest.raises((RemoteError, FetchFailed)):
        _ = web.run(lookup(f"@x@{host}", policy=POLICY))
    assert web.requests == []


PUT_TOGETHER = [
    ("apcore.discovery.accounts", "f'https://{host}/'"),  # read by `parse_url` on the spot, to see whether it is a host
    ("apcore.discovery.webfinger", "f'http://{acct.host}'"),  # an account's host was read so
    ("apcore.discovery.webfinger", "f'https://{acct.host}'"),
    ("apcore.federation.moderation", "f\"https://{text.removeprefix('*.').rstrip('.')}\""),  # the operator's own
]

# --- the code -------------------------------------------------------------------------------------------------------


CORE = {"http", "jsonld", "vocab", "signatures", "remote", "collections", "discovery", "federation", "node"}


def calls_of(*names: str) -> list[tuple[str, str, set[str | None]]]:
    """Every call of these names below the adapters: module, name, keywords."""
    return [
        (module.name, node.func.id, {keyword.arg for keyword in node.keywords})
        for module in MODULES.values()
        if module.room in CORE
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    ]


def test_every_request_that_is_made_names_its_policy_and_its_limits():
    made = calls_of("Request")
    assert {module for module, _, _ in made} == {"apcore.remote.retrieval", "apcore.federation.outbox.attempt"}
    for _, _, keywords in made:
        assert {"addresses", "limits"} <= keywords


def test_requests_leave_from_where_their_target_was_checked():
    """A new place that fetches has to be a channel here."""
    checked = {"apcore.remote.retrieval", "apcore.federation.outbox.attempt"}
    assert checked <= {module for module, _, _ in calls_of("check_target")}
    assert {module for module, _, _ in calls_of("Fetch")} == {"apcore.remote.retrieval", "apcore.remote.dialects"}
    assert {module for module, _, _ in calls_of("knock", "knock_and_remember")} <= checked | {"apcore.remote.dialects"}


@pytest.mark.hole(35)
def test_addresses_are_not_put_together_from_what_others_say():
    """An f-string that begins an address has an origin, a host or an account in it that was read before, and nothing else."""
    found = [
        (module.name, ast.unparse(node))
        for module in MODULES.values()
        if module.room in {"graph", "collections", "discovery", "federation"}
        for node in ast.walk(module.tree)
        if isinstance(node, ast.JoinedStr)
        and "://" in "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    ]
    # Written anew, since Pythons differ in the quotes that they choose.
    assert sorted(found) == sorted((module, ast.unparse(ast.parse(text, mode="eval"))) for module, text in PUT_TOGETHER)
