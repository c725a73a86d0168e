"""Check that no request goes to a closed address. Every kind of request of a node meets every kind of closed address.

A channel is one way in which a stranger names an address that a node then requests: an id, a redirect, a link, a page,
an inbox, a key. Each channel is driven with each closed address, and must end in a typed refusal with nothing sent
there; and with an open one, to show that the channel leads there at all.
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
# Unlike any other policy, so that a request with another policy is noticed.
ADDRESSES = AddressPolicy(hosts=["vouched.internal"], networks=["192.0.2.7/32"])
POLICY = FetchPolicy(addresses=ADDRESSES, unknown_contexts="fetch", limits=TransportLimits(body_bytes_max=100_000))
ME = Identity(key_name="instance", key_id="https://me.example/actor#main-key")
AS2 = "https://www.w3.org/ns/activitystreams"

CLOSED = {
    **{
        f"IPv4 {address}": f"https://{address}/x"
        for address in (
            *("0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16"),
            *("169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1",
              "192.31.196.1"),
            *("192.52.193.1", "192.88.99.1", "192.168.1.1", "192.175.48.1", "198.18.0.1", "198.51.100.1",
              "203.0.113.1"),
            *("224.0.0.1", "240.0.0.1", "255.255.255.255"),
        )
    },
    **{
        f"IPv6 {address}": f"https://[{address}]/x"
        for address in (
            *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:0:7f00:1", "64:ff9b::7f00:1",
              "64:ff9b:1::1"),
            *("100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1",
              "2002:7f00:1::"),
            *("2620:4f:8000::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1",
              "ff02::1"),
            *("fe80::1%25eth0", "::1%lo", "::ffff:127.1", "1::2::3", "127.0.0.1"),
        )
    },
    **{
        f"spelling {host}": f"https://{host}/x"
        for host in (
            *("2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1",
              "127.000.000.001"),
            *("0", "0x0", "1.2.3.4.5", "256.256.256.256", "0x7f.0.0.0x1", "127.0.0.1.", "10.0.0.1%2f",
              "%31%32%37.0.0.1"),
            *("127。0。0。1", "\uff11\uff12\uff17.0.0.1", "①②⑦.⓪.⓪.①", "127.0.0.\u00ad1"),
        )
    },
    **{
        f"name {host}": f"https://{host}/x"
        for host in (
            *("localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "printer.local",
              "db.internal"),
            *("x.home.arpa", "router.lan", "wiki.corp", "nas.home", "a.alt", "a.private", "a.intranet"),
            *("intranet", "b", "b.", "a.onion", "a.i2p", "b.example.", "B.EXAMPLE.", "ⓛocalhost", "local\u00adhost",
              "\uff2c\uff2f\uff23\uff21\uff2c\uff28\uff2f\uff33\uff34"),
            *("b..example", ".b.example", "-", "b.example-", "*.b.example", "b_.exam ple", "b\u3002example", "xn--",
              "xn--a.example-"),
            *("b.exam\u200bple\u2028", "b.example%00", "b.example\x00", "b.exam\tple", "b.exam\nple", "b.example%2e",
              "b.example:https"),
        )
    },
    **{
        f"authority {authority}": f"https://{authority}/x"
        for authority in (
            *("b.example@127.0.0.1", "user:password@b.example", "@b.example", "b.example:pw@b.example",
              "b.example%40127.0.0.1"),
            *("b.example\\@127.0.0.1", "127.0.0.1\\.b.example", "127.0.0.1?.b.example", "", ":443", "[::1", "::1"),
        )
    },
    **{
        f"port {port}": f"https://b.example:{port}/x"
        for port in (
            *("0", "1", "7", "19", "22", "23", "25", "53", "80", "110", "143", "389", "445", "465", "587", "636",
              "993", "1023"),
            *("2049", "3306", "5432", "6379", "6667", "11211", "65536", "99999", "-1", "+443", "443x", "0x1bb",
              "\uff14\uff14\uff13"),
        )
    },
    **{
        f"scheme {url}": url
        for url in (
            *("http://b.example/x", "http://b.example:443/x", "http://127.0.0.1/", "ftp://b.example/x",
              "file:///etc/passwd"),
            *("gopher://127.0.0.1:25/x", "data:application/activity+json,{}", "javascript:alert(1)",
              "ws://b.example/x", "wss://b.example/"),
            *("unix:///var/run/docker.sock", "blob:https://b.example/x", "jar:https://b.example!/x",
              "ldap://b.example/", "dict://b.example/"),
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
Channel = Callable[[Web, str], Any]


def run(web: Web, operation: Any) -> Any:
    return web.run(operation)


def on_wire(url: str) -> str | None:
    """Return the URL as a header field holds it: ISO 8859-1, or UTF-8 read as that; None if no field can hold it."""
    try:
        return Headers({"Location": url}).get("location")
    except ValueError:
        with suppress(ValueError):
            return Headers({"Location": url.encode().decode("latin-1")}).get("location")
    return None


def add_redirect(web: Web, url: str, start: str = f"{A}/start") -> str:
    web.pages[start] = redirect(on_wire(url) or "")
    return start


def actor(ident: str, **members: Any) -> Response:
    defaults = {
        "@context": AS2,
        "id": ident,
        "type": "Person",
        "preferredUsername": "x",
        "inbox": f"{ident}/inbox",
        "outbox": f"{ident}/o",
    }
    return document(defaults | members)


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
    """Name the URL's host in the subject of WebFinger: only a host can be named there."""
    rest = url.partition("://")[2].partition("/")[0] if url.startswith("https://") else url
    if url != OPEN_HOST and rest.rstrip(".").lower() == "b.example":
        raise RequestError("the closed part of the URL is not its host")
    web.pages[WEBFINGER] = jrd(subject=f"acct:x@{rest}")
    return run(web, lookup("@x@a.example", policy=POLICY))


def through_host_meta(web: Web, url: str) -> Any:
    web.pages[WEBFINGER] = Response(404)
    web.pages[HOST_META] = jrd(links=[{"rel": "lrdd", "template": url + "?q={uri}"}])
    return run(web, webfinger("acct:x@a.example", policy=POLICY))


def through_host_meta_redirect(web: Web, url: str) -> Any:
    web.pages[WEBFINGER] = Response(404)
    _ = add_redirect(web, url, HOST_META)
    return run(web, webfinger("acct:x@a.example", policy=POLICY))


def through_nodeinfo_link(web: Web, url: str) -> Any:
    href = {"rel": "http://nodeinfo.diaspora.software/ns/schema/2.1", "href": url}
    web.pages[f"{A}/.well-known/nodeinfo"] = document({"links": [href]}, content_type="application/json")
    return run(web, lookup_nodeinfo(A, policy=POLICY))


def through_nodeinfo_second_hop(web: Web, url: str) -> Any:
    start = add_redirect(web, url, f"{A}/nodeinfo/2.1")
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
    """Serve a document with another id: that id is requested only on its own origin."""
    web.pages[f"{A}/start"] = document({"@context": AS2, "id": url, "type": "Note"})
    return run(web, load(f"{A}/start", policy=POLICY, identity=ME))


def through_context(web: Web, url: str) -> Any:
    web.pages[f"{A}/start"] = document({"@context": [AS2, url], "id": f"{A}/start", "type": "Note"})
    return run(web, load(f"{A}/start", policy=POLICY, identity=ME))


def through_context_redirect(web: Web, url: str) -> Any:
    return through_context(web, add_redirect(web, url, f"{A}/context"))


def through_collection(name: str) -> Channel:
    def drive(web: Web, url: str) -> Any:
        first = url if name == "first" else {"type": "OrderedCollectionPage", "next": url}
        web.pages[f"{A}/start"] = document(
            {"@context": AS2, "id": f"{A}/start", "type": "OrderedCollection", "first": first}
        )
        traversal = run(web, traverse(f"{A}/start", policy=POLICY, identity=ME))
        assert traversal.ended or not traversal.items
        return traversal

    return drive


def through_page_redirect(web: Web, url: str) -> Any:
    return through_collection("first")(web, add_redirect(web, url, f"{A}/page1"))


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


def through_inbox(name: str) -> Channel:
    """Send an activity to an actor with this inbox or shared inbox."""

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
    except ValueError as error:  # raised in the application
        raise RequestError(str(error)) from error
    return node.work(until_idle=True, limit_s=60)


def through_key_id(web: Web, url: str) -> Any:
    """Send the node a request that is signed with this key id."""
    body = json.dumps(
        {"@context": AS2, "id": f"{A}/1", "type": "Like", "actor": f"{A}/users/x", "object": url}
    ).encode()
    key_id = (on_wire(url) or "").replace('"', "")
    signature = f'keyId="{key_id}",headers="(request-target) host date digest",signature="AAAA"'
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


CHANNELS: dict[str, Channel] = {
    # --- requested directly, signed and not
    "document": lambda web, url: run(web, load(url, policy=POLICY)),
    "document, signed": lambda web, url: run(web, load(url, policy=POLICY, identity=ME)),
    "document, unverified": lambda web, url: run(web, load_unverified(url, policy=POLICY, identity=ME)),
    "document, RFC 9421": lambda web, url: run(web, load(url, policy=POLICY, identity=evolve(ME, scheme="rfc9421"))),
    "lookup": lambda web, url: run(web, lookup(url, policy=POLICY)),
    "page": lambda web, url: run(web, alternate_of(url, policy=POLICY)),
    "collection": lambda web, url: run(web, traverse(url, policy=POLICY)),
    "key": lambda web, url: run(web, remote_key(url, policy=POLICY, identity=ME)),
    "WebFinger of a URL": lambda web, url: run(web, webfinger(url, policy=POLICY)),
    "reference of a node": through_reference,
    "key id of a delivery to us": through_key_id,
    # --- redirects
    "redirect": lambda web, url: run(web, load(add_redirect(web, url), policy=POLICY)),
    "redirect, signed": lambda web, url: run(web, load(add_redirect(web, url), policy=POLICY, identity=ME)),
    "redirect of a key": lambda web, url: run(web, remote_key(add_redirect(web, url), policy=POLICY, identity=ME)),
    "redirect of a page": lambda web, url: run(web, alternate_of(add_redirect(web, url), policy=POLICY)),
    "redirect of a collection": lambda web, url: run(web, traverse(add_redirect(web, url), policy=POLICY)),
    "redirect of a collection's page": through_page_redirect,
    "redirect of WebFinger": lambda web, url: [
        add_redirect(web, url, WEBFINGER),
        run(web, webfinger("acct:x@a.example", policy=POLICY)),
    ],
    "redirect of host-meta": through_host_meta_redirect,
    "redirect of NodeInfo's links": lambda web, url: [
        add_redirect(web, url, f"{A}/.well-known/nodeinfo"),
        run(web, lookup_nodeinfo(A, policy=POLICY)),
    ],
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
}

# Channels that refuse any address on another origin. The tests of their rooms show that they work.
OWN_ORIGIN_ONLY = {"link of NodeInfo", "id of a document", "first page", "next page", "redirect of an inbox"}
# Channels that name a host, not an address.
BY_HOST = {"WebFinger of a URL", "subject of WebFinger"}
# Channels of optional parts: a refusal there is no error.
ERROR_FREE = {
    *("context", "redirect of a context", "first page", "next page", "redirect of a collection's page", "inbox",
      "shared inbox"),
    *("redirect of an inbox", "recipient", "key id of a delivery to us"),
}  # fmt: skip


def requested_hosts(web: Web) -> set[str]:
    return {parse_url(request.url).origin.host for request in web.requests}


def try_channel(channel: str, url: str) -> tuple[Web, ApcoreError | None]:
    web = ScriptedWeb()
    try:
        _ = CHANNELS[channel](web, url)
    except ApcoreError as error:
        return web, error
    return web, None


@pytest.mark.hole(17, 23, 24, 32, 44, 50, 55, 58)
@pytest.mark.parametrize("channel", CHANNELS)
def test_closed_address_is_never_requested(channel):
    for name, url in CLOSED.items():
        web, error = try_channel(channel, url)
        assert requested_hosts(web) <= {"a.example"}, (name, url)
        if error is None:
            assert channel in ERROR_FREE, (name, url)
        else:
            # Without a request, the error is not a failed connection.
            assert isinstance(error, (RemoteError, FetchFailed)), (name, url, error)
            assert not isinstance(error, ConnectFailed) or web.requests, (name, url, error)


@pytest.mark.parametrize("channel", CHANNELS)
def test_open_address_is_requested(channel):
    if channel in OWN_ORIGIN_ONLY:
        web, error = try_channel(channel, f"{A}/there")
        assert any(request.url == f"{A}/there" for request in web.requests), error
        web, error = try_channel(channel, OPEN)
        assert requested_hosts(web) == {"a.example"}
        return
    url = OPEN_HOST if channel in BY_HOST else OPEN
    web, error = try_channel(channel, url)
    assert "b.example" in requested_hosts(web), error


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_request_carries_the_policy_and_the_limits_of_its_caller(channel):
    for url in (OPEN, f"{A}/there", "https://vouched.internal/x", "https://192.0.2.7/x"):
        web, _ = try_channel(channel, url)
        for request in web.requests:
            assert request.addresses == ADDRESSES
            assert request.limits.deadline_s <= 30
            assert request.limits.body_bytes_max <= 1024 * 1024


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "[::1]",
        "127.1",
        "localhost",
        "intranet",
        "b.example:22",
        "b.example:0",
        "u@b.example",
        "b.onion",
        "b.example/x",
        "b.example\r\nx",
        "b。example:25",
        "",
    ],
)
def test_handle_with_a_forbidden_host_is_refused(host):
    web = ScriptedWeb()
    with pytest.raises((RemoteError, FetchFailed)):
        _ = web.run(lookup(f"@x@{host}", policy=POLICY))
    assert web.requests == []


URL_FORMATS = [
    ("apcore.discovery.accounts", "f'https://{host}/'"),  # parsed by `parse_url` at once, to check the host
    ("apcore.discovery.accounts", "f'https://{bare}'"),  # parsed by `parse_url` at once
    ("apcore.federation.own_lookups", "f'http://{name.host}/'"),  # the host of a parsed account
    ("apcore.federation.own_lookups", "f'https://{name.host}/'"),
    ("apcore.discovery.webfinger", "f'http://{acct.host}'"),  # the host of a parsed account
    ("apcore.discovery.webfinger", "f'https://{acct.host}'"),
    # The address of a received request, which the host and the path were checked for; nothing is fetched from it.
    ("apcore.federation.serving.request_head", "f\"{scheme}://{hosts[0].decode('latin-1')}{head.target}\""),
    ("apcore.federation.moderation", "f\"https://{text.removeprefix('*.').rstrip('.')}\""),  # written by the operator
]

# --- the code -------------------------------------------------------------------------------------------------------


CORE = {"http", "jsonld", "vocab", "signatures", "remote", "collections", "discovery", "federation", "node"}


def find_calls(*names: str) -> list[tuple[str, str, set[str | None]]]:
    """List every call of these names below the adapters: module, name, keywords."""
    return [
        (module.name, node.func.id, {keyword.arg for keyword in node.keywords})
        for module in MODULES.values()
        if module.room in CORE
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    ]


def test_every_built_request_names_its_policy_and_its_limits():
    request_calls = find_calls("Request")
    assert {module for module, _, _ in request_calls} == {"apcore.remote.retrieval", "apcore.federation.outbox.attempt"}
    for _, _, keywords in request_calls:
        assert {"addresses", "limits"} <= keywords


def test_modules_that_fetch_also_check_the_target():
    """Pin the modules that fetch. A new one has to become a channel here."""
    checking_modules = {"apcore.remote.retrieval", "apcore.federation.outbox.attempt"}
    assert checking_modules <= {module for module, _, _ in find_calls("check_target")}
    assert {module for module, _, _ in find_calls("Fetch")} == {"apcore.remote.retrieval", "apcore.remote.dialects"}
    assert {module for module, _, _ in find_calls("knock", "knock_and_remember")} <= checking_modules | {
        "apcore.remote.dialects"
    }


@pytest.mark.hole(35)
def test_urls_are_formatted_only_from_parsed_parts():
    """List each f-string that begins a URL: it may contain only a parsed origin, host or account."""
    url_formats = [
        (module.name, ast.unparse(node))
        for module in MODULES.values()
        if module.room in {"remote", "collections", "discovery", "federation"}
        for node in ast.walk(module.tree)
        if isinstance(node, ast.JoinedStr)
        and "://" in "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    ]
    # Unparsed again, since Python versions choose different quotes.
    assert sorted(url_formats) == sorted(
        (module, ast.unparse(ast.parse(text, mode="eval"))) for module, text in URL_FORMATS
    )
