"""Check one GET: its redirects, its headers and signatures at each hop, and the meaning of its final status."""

from __future__ import annotations

from base64 import b64decode

import pytest
from attrs import evolve

from apcore.errors import AddressBlocked, LimitExceeded, Refused, RemoteError, RequestError, Unavailable
from apcore.http import ACCEPT_ACTIVITYPUB, LOOPBACK_OPEN, Headers, Response, TransportLimits, parse_url
from apcore.remote import (
    FetchedResponse,
    FetchPolicy,
    Forbidden,
    Gone,
    Identity,
    NotFound,
    PeerFailing,
    Rejected,
    check_status,
    fetch,
)
from scripted_web import NOON, ScriptedWeb, document, redirect

A, B = "https://a.example", "https://b.example"
POLICY = FetchPolicy(user_agent="test/1.0 (+https://me.example)")
ME = Identity(key_name="instance", key_id="https://me.example/actor#main-key")
PAGE = document({"id": f"{A}/end"})


def run_fetch(web: ScriptedWeb, url: str = f"{A}/1", **kwargs) -> FetchedResponse:
    return web.run(fetch(url, **({"policy": POLICY} | kwargs)))


# --- redirects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(status):
    web = ScriptedWeb({f"{A}/1": redirect("/end?x=1", status), f"{A}/end?x=1": PAGE})
    assert run_fetch(web) == FetchedResponse(PAGE, parse_url(f"{A}/end?x=1"), has_moved=status in {301, 308})
    assert web.asked() == [f"{A}/1", f"{A}/end?x=1"]


@pytest.mark.parametrize(
    "answer",
    [
        Response(302),
        Response(300, {"Location": "/end"}),
        Response(304, {"Location": "/end"}),
        Response(201, {"Location": "/end"}),
    ],
    ids=["no-location", "300", "304", "201"],
)
def test_response_without_a_usable_redirect_is_returned(answer):
    web = ScriptedWeb({f"{A}/1": answer})
    assert run_fetch(web).response == answer


def test_redirect_to_another_origin_is_followed():
    web = ScriptedWeb({f"{A}/1": redirect(f"{B}/end"), f"{B}/end": PAGE})
    assert str(run_fetch(web).url) == f"{B}/end"


def chain(length: int) -> ScriptedWeb:
    """Build a web with ``length`` redirects before the page."""
    pages = {f"{A}/{n}": redirect(f"/{n + 1}") for n in range(1, length + 1)}
    return ScriptedWeb({**pages, f"{A}/{length + 1}": PAGE})


def test_as_many_redirects_as_allowed_are_followed():
    web = chain(POLICY.redirects_max)
    assert run_fetch(web).response is PAGE
    assert len(web.requests) == POLICY.redirects_max + 1


@pytest.mark.parametrize("redirects_max", [0, 1, 5])
def test_redirect_beyond_the_limit_is_refused_before_it_is_followed(redirects_max):
    web = chain(redirects_max + 1)
    with pytest.raises(LimitExceeded, match=f"more than {redirects_max} times"):
        _ = run_fetch(web, policy=evolve(POLICY, redirects_max=redirects_max))
    assert len(web.requests) == redirects_max + 1


@pytest.mark.parametrize(
    "location",
    ["", f"{A}/1", "/1", "/1#elsewhere", "HTTPS://A.example:443/1"],
    ids=["empty", "whole", "path", "fragment", "spelling"],
)
def test_redirect_to_itself_is_refused_at_once(location):
    web = ScriptedWeb({f"{A}/1": redirect(location)})
    with pytest.raises(LimitExceeded, match="in a circle"):
        _ = run_fetch(web)
    assert len(web.requests) == 1


def test_redirect_circle_over_two_pages_is_refused():
    web = ScriptedWeb({f"{A}/1": redirect("/2"), f"{A}/2": redirect("/1")})
    with pytest.raises(LimitExceeded):
        _ = run_fetch(web)
    assert web.asked() == [f"{A}/1", f"{A}/2"]


def test_redirect_from_https_to_http_is_refused():
    web = ScriptedWeb({f"{A}/1": redirect("http://a.example/1")})
    with pytest.raises(Refused, match="from https to http"):
        _ = run_fetch(web, policy=evolve(POLICY, addresses=LOOPBACK_OPEN))
    assert web.asked() == [f"{A}/1"]


def test_redirect_from_http_to_https_is_followed():
    web = ScriptedWeb({"http://a.example/1": redirect(f"{A}/1"), f"{A}/1": PAGE})
    assert run_fetch(web, "http://a.example/1", policy=evolve(POLICY, addresses=LOOPBACK_OPEN)).response is PAGE


@pytest.mark.parametrize("hops", [0, 1, 3])
@pytest.mark.parametrize("identity", [None, ME], ids=["unsigned", "signed"])
@pytest.mark.parametrize(
    "forbidden_url", ["http://b.example/1", "https://10.0.0.1/1", "https://b.example:22/1", "https://b/1"]
)
def test_forbidden_url_is_refused_before_any_request_at_every_hop(forbidden_url, identity, hops):
    urls = [*(f"{A}/{n}" for n in range(hops)), forbidden_url]
    web = ScriptedWeb({forbidden_url: PAGE} | {url: redirect(urls[n + 1]) for n, url in enumerate(urls[:-1])})
    # From https to http is refused as such.
    with pytest.raises(Refused if hops and forbidden_url.startswith("http:") else AddressBlocked):
        _ = run_fetch(web, urls[0], identity=identity)
    assert web.asked() == urls[:-1]


@pytest.mark.parametrize(
    "location",
    [
        "ftp://a.example/",
        "data:text/plain,x",
        "file:///etc/passwd",
        "https://u@b.example/",
        "https://",
        "https://b .example",
        "//",
        "/a b",
        f"/1, {A}/2",
    ],
)
def test_malformed_location_is_refused(location):
    web = ScriptedWeb({f"{A}/1": redirect(location)})
    with pytest.raises(RequestError):
        _ = run_fetch(web)
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    "url", ["", "a.example/1", "ftp://a.example/", "https://a@b.example/", "https://a.example/" + "x" * 5000]
)
def test_malformed_url_is_refused_before_any_request(url):
    web = ScriptedWeb()
    with pytest.raises(RequestError):
        _ = run_fetch(web, url)
    assert web.requests == []


# --- every hop alike ------------------------------------------------------------------------------------------------


def test_each_hop_carries_limits_address_policy_and_user_agent():
    limits = TransportLimits(body_bytes_max=7)
    web = ScriptedWeb({f"{A}/1": redirect(f"{B}/2"), f"{B}/2": PAGE})
    _ = run_fetch(web, policy=evolve(POLICY, limits=limits, addresses=LOOPBACK_OPEN), headers=Headers({"X-Own": "1"}))
    for request in web.requests:
        assert request.method == "GET"
        assert (request.limits, request.addresses) == (limits, LOOPBACK_OPEN)
        assert request.headers.get("accept") == ACCEPT_ACTIVITYPUB
        assert request.headers.get("user-agent") == POLICY.user_agent
        assert request.headers.get("x-own") == "1"
        assert "signature" not in request.headers


def test_fragment_is_never_sent():
    web = ScriptedWeb({f"{A}/1": PAGE})
    assert str(run_fetch(web, f"{A}/1#key").url) == f"{A}/1"


def test_each_hop_is_signed_for_its_own_host_and_path():
    web = ScriptedWeb({f"{A}/1": redirect(f"{B}/2"), f"{B}/2": PAGE})
    _ = run_fetch(web, identity=ME)
    signature_bases = []
    for request in web.requests:
        signature = request.headers.get("signature")
        assert signature is not None
        assert f'keyId="{ME.key_id}"' in signature
        signature_bases.append(b64decode(signature.rpartition('signature="')[2].rstrip('"')).decode())
    assert ["host: a.example" in signature_bases[0], "host: b.example" in signature_bases[1]] == [True, True]
    assert ["get /1" in signature_bases[0], "get /2" in signature_bases[1]] == [True, True]


def test_credentials_are_not_sent_to_another_origin():
    web = ScriptedWeb({f"{A}/1": redirect(f"{A}/2"), f"{A}/2": redirect(f"{B}/3"), f"{B}/3": PAGE})
    _ = run_fetch(web, headers=Headers({"Authorization": "Bearer x", "Cookie": "a=b", "X-Own": "1"}))
    sent = [(request.headers.get("authorization"), request.headers.get("cookie")) for request in web.requests]
    assert sent == [("Bearer x", "a=b"), ("Bearer x", "a=b"), (None, None)]
    assert web.requests[2].headers.get("x-own") == "1"


def test_fetches_with_different_answers_have_different_share_keys():
    """Vary each argument that changes the answer: the driver joins equal fetches in flight."""
    shares = []
    for kwargs in (
        {},
        {"identity": ME},
        {"headers": Headers({"If-None-Match": '"1"'})},
        {"accept": "application/json"},
        {"policy": evolve(POLICY, addresses=LOOPBACK_OPEN)},
        {"policy": evolve(POLICY, limits=TransportLimits(body_bytes_max=7))},
    ):
        operation = fetch(f"{A}/1", **({"policy": POLICY} | kwargs))
        effect = next(operation)
        while type(effect).__name__ != "Fetch":
            effect = operation.send({"Now": NOON, "Get": [None]}.get(type(effect).__name__, b"signature"))
        shares.append(effect.share)
        operation.close()
    assert len(set(shares)) == len(shares)


def test_transport_error_of_a_later_hop_is_raised_unchanged():
    web = ScriptedWeb({f"{A}/1": redirect(f"{B}/2"), f"{B}/2": AddressBlocked("address 10.0.0.1 is closed (private)")})
    with pytest.raises(AddressBlocked):
        _ = run_fetch(web)


# --- meaning of the status ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, NotFound),
        (410, Gone),
        (401, Forbidden),
        (403, Forbidden),
        (451, Forbidden),
        (429, PeerFailing),
        (500, PeerFailing),
        (503, PeerFailing),
        (599, PeerFailing),
        (201, Rejected),
        (204, Rejected),
        (206, Rejected),
        (300, Rejected),
        (304, Rejected),
        (400, Rejected),
        (418, Rejected),
    ],
)
def test_status_raises_its_own_error(status, error):
    with pytest.raises(error, match=str(status)):
        check_status(FetchedResponse(Response(status), parse_url(f"{A}/1")), f"{A}/1", now=NOON)


def test_status_200_raises_nothing():
    check_status(FetchedResponse(Response(200), parse_url(f"{A}/1")), f"{A}/1", now=NOON)


def test_410_from_another_origin_counts_as_not_found():
    with pytest.raises(NotFound, match="410"):
        check_status(FetchedResponse(Response(410), parse_url(f"{B}/1")), f"{A}/1", now=NOON)


def test_truncated_response_is_refused():
    with pytest.raises(LimitExceeded):
        check_status(FetchedResponse(Response(200, truncated=True), parse_url(f"{A}/1")), f"{A}/1", now=NOON)


@pytest.mark.parametrize(
    ("value", "retry_after_s"),
    [
        ("120", 120.0),
        ("Thu, 01 Jan 2026 12:01:00 GMT", 60.0),
        ("999999999", 86400.0),
        ("soon", None),
        ("-5", None),
        (None, None),
    ],
)
def test_retry_after_is_parsed_and_bounded(value, retry_after_s):
    answer = Response(503, {} if value is None else {"Retry-After": value})
    with pytest.raises(PeerFailing) as caught:
        check_status(FetchedResponse(answer, parse_url(f"{A}/1")), f"{A}/1", now=NOON)
    assert caught.value.retry_after_s == retry_after_s


def test_errors_are_classed_by_the_party_at_fault():
    assert all(issubclass(error, RemoteError) for error in (NotFound, Gone, Forbidden, Rejected))
    assert issubclass(PeerFailing, Unavailable)
