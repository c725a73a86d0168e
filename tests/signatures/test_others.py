"""Check RFC 9421 against another implementation, in both directions; neither accepts an altered request.

The oracle is `http-message-signatures`. `nox -s crosscheck` compares with more software, which is too large to install
for a test run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from apcore.http import Headers, Request
from apcore.http.fields import Item, serialize_item
from apcore.signatures import DEFAULT, BadSignature, check, generate_key, parse, rfc9421

oracle = pytest.importorskip(
    "http_message_signatures", reason="http-message-signatures is not installed: pip install apcore[test]"
)

OWNER = "https://remote.example/users/alice"
KEY = generate_key("ed25519", key_id=f"{OWNER}#key", owner=OWNER)
NOW = datetime(2026, 11, 1, 8, tzinfo=UTC)
ANYTHING = DEFAULT.with_(name="any coverage", rfc9421_read=(), rfc9421_write=())
RESOLVER = oracle.MappingKeyResolver(
    public_keys={KEY.key_id: KEY.public.pem.encode()}, private_keys={KEY.key_id: KEY.pem().encode()}
)


class Message:
    """A request in the oracle's form."""

    def __init__(self, request: Request) -> None:
        self.method, self.url = request.method, request.url
        self.headers = dict(request.headers.pairs)


SEGMENTS = st.text("abcXYZ019-._~!$&'()*+,;=:@", max_size=8) | st.sampled_from(["%20", "%C3%BC", "%2F", ".."])
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
AUTHORITIES = ["local.example", "LOCAL.example", "local.example:443", "local.example:8443", "[2001:db8::1]"]
QUERIES = ["", "?", "?a=b", "?page=2&max=%C3%BC", "?pet=cat+dog&q=a%20b~*&x=", "?a/b?c"]
DERIVED = ["@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query"]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    path = "".join(f"/{segment}" for segment in draw(st.lists(SEGMENTS, max_size=3)))
    headers = {
        "X-Altered": draw(VALUES),
        "X-Spaced": f"{draw(VALUES)}  {draw(VALUES)}",
        "Priority": "u=1,  i",
        "Content-Type": "application/activity+json",
    }
    method = draw(st.sampled_from(["GET", "POST", "DELETE"]))
    url = f"https://{draw(st.sampled_from(AUTHORITIES))}{path}{draw(st.sampled_from(QUERIES))}"
    return Request(method, url, headers, b"body" if method == "POST" else b"")


@st.composite
def components(draw: st.DrawFn, request: Request) -> tuple[Item, ...]:
    """Draw components to cover. The field that the test alters is always among them."""
    possible = [
        *map(Item, DERIVED),
        Item("x-spaced", draw(st.sampled_from([{}, {"bs": True}]))),
        Item("priority", draw(st.sampled_from([{}, {"sf": True}, {"key": "u"}, {"key": "i"}]))),
    ]
    if "pet=" in request.url:
        possible += [Item("@query-param", {"name": name}) for name in ("pet", "q", "x")]
    covered = draw(st.lists(st.sampled_from(possible), unique_by=serialize_item))
    return (*covered, Item("x-altered", draw(st.sampled_from([{}, {"bs": True}]))))


@given(st.data())
def test_oracle_verifies_our_signature(data):
    """Holds for every component and parameter, and fails for an altered field."""
    request = data.draw(requests())
    signed = rfc9421.sign(
        request, KEY, now=NOW, covered=data.draw(components(request)), expires_s=3600, nonce="n", tag="t"
    )
    verifier = oracle.HTTPMessageVerifier(signature_algorithm=oracle.algorithms.ED25519, key_resolver=RESOLVER)
    verifier.max_clock_skew = timedelta(days=36500)
    [verified] = verifier.verify(Message(signed), max_age=None)
    assert verified.parameters["keyid"] == KEY.key_id
    with pytest.raises(oracle.InvalidSignature):
        verifier.verify(Message(alter(signed)), max_age=None)


@given(st.data())
def test_we_verify_the_signature_of_the_oracle(data):
    """Holds for every component and parameter, and fails for an altered field."""
    request = data.draw(requests())
    message = Message(request)
    oracle.HTTPMessageSigner(signature_algorithm=oracle.algorithms.ED25519, key_resolver=RESOLVER).sign(
        message,
        key_id=KEY.key_id,
        created=NOW,
        expires=NOW + timedelta(minutes=5),
        nonce="n",
        tag="t",
        covered_component_ids=[serialize_item(component) for component in data.draw(components(request))],
    )
    signed = evolve(request, headers=Headers(message.headers))
    assert check(parse(signed, ANYTHING, now=NOW), KEY.public).tag == "t"
    with pytest.raises(BadSignature):
        check(parse(alter(signed), ANYTHING, now=NOW), KEY.public)


def alter(signed: Request) -> Request:
    return evolve(signed, headers=signed.headers.with_set("x-altered", f"{signed.headers.get('x-altered')}!"))
