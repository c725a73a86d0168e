"""One GET, wherever it leads."""

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


def fetched(web: ScriptedWeb, url: str = f"{A}/1", **more) -> FetchedResponse:
    return web.run(fetch(url, **({"policy": POLICY} | more)))


# --- redirects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(status):
    web = ScriptedWeb({f"{A}/1": redirect("/end?x=1", status), f"{A}/end?x=1": PAGE})
    assert fetched(web) == FetchedResponse(PAGE, parse_url(f"{A}/end?x=1"))
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
def test_what_is_no_redirect_is_the_answer(answer):
    web = ScriptedWeb({f"{A}/1": answer})
    assert fetched(web).response == answer


def test_it_leads_to_another_origin():
    web = ScriptedWeb({f"{A}/1": redirect(f"{B}/end"), f"{B}/end": PAGE})
    assert str(fetched(web).url) == f"{B}/end"


def chain(length: int) -> ScriptedWeb:
    """A web of that many redirects before the page."""
    pages = {f"{A}/{n}": redirect(f"/{n + 1}") for n in range(1, length + 1)}
    return ScriptedWeb({**pages, f"{A}/{length + 1}": PAGE})


def test_as_many_redirects_as_allowed():
    web = chain(POLICY.redirects_max)
    assert fetched(web).response is PAGE
    assert len(web.requests) == POLICY.redirects_max + 1


@pytest.mark.parametrize("redirects_max", [0, 1, 5])
def test_one_redirect_more_is_refused_before_it_is_followed(redirects_max):
    web = chain(redirects_max + 1)
    with pytest.raises(LimitExceeded, match=f"more than {redirects_max} times"):
        _ = fetched(web, policy=evolve(POLICY, redirects_max=redirects_max))
    assert len(web.requests) == redirects_max + 1


@pytest.mark.parametrize(
    "back",
    ["", f"{A}/1", "/1", "/1#elsewhere", "HTTPS://A.example:443/1"],
    ids=["empty", "whole", "path", "fragment", "spelling"],
)
def test_a_circle_ends_at_once(back):
    web = ScriptedWeb({f"{A}/1": redirect(back)})
    with pytest.raises(LimitExceeded, match="in a circle"):
        _ = fetched(web)
    assert len(web.requests) == 1


def test_a_longer_circle_ends():
    web = ScriptedWeb({f"{A}/1": redirect("/2"), f"{A}/2": redirect("/1")})
    with pytest.raises(LimitExceeded):
        _ = fetched(web)
    assert web.asked() == [f"{A}/1", f"{A}/2"]


def test_nothing_leads_from_https_to_http():
    web = ScriptedWeb({f"{A}/1": redirect("http://a.example/1")})
    with pytest.raises(Refused, match="from https to http"):
        _ = fetched(web, policy=evolve(POLICY, addresses=LOOPBACK_OPEN))
    assert web.asked() == [f"{A}/1"]


def test_http_may_lead_to_https():
    web = ScriptedWeb({"http://a.example/1": redirect(f"{A}/1"), f"{A}/1": PAGE})
    assert fetched(web, "http://a.example/1", policy=evolve(POLICY, addresses=LOOPBACK_OPEN)).response is PAGE


@pytest.mark.parametrize("hops", [0, 1, 3])
@pytest.mark.parametrize("identity", [None, ME], ids=["unsigned", "signed"])
@pytest.mark.parametrize("where", ["http://b.example/1", "https://10.0.0.1/1", "https://b.example:22/1", "https://b/1"])
def test_what_a_url_shows_is_refused_on_every_hop_before_anything_is_done_for_it(where, identity, hops):
    urls = [*(f"{A}/{n}" for n in range(hops)), where]
    web = ScriptedWeb({where: PAGE} | {url: redirect(urls[n + 1]) for n, url in enumerate(urls[:-1])})
    # From https to http is refused as such.
    with pytest.raises(Refused if hops and where.startswith("http:") else AddressBlocked):
        _ = fetched(web, urls[0], identity=identity)
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
def test_a_location_that_is_no_url_is_refused(location):
    web = ScriptedWeb({f"{A}/1": redirect(location)})
    with pytest.raises(RequestError):
        _ = fetched(web)
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    "url", ["", "a.example/1", "ftp://a.example/", "https://a@b.example/", "https://a.example/" + "x" * 5000]
)
def test_what_is_no_url_is_refused_before_anything_is_asked(url):
    web = ScriptedWeb()
    with pytest.raises(RequestError):
        _ = fetched(web, url)
    assert web.requests == []


# --- every hop alike ------------------------------------------------------------------------------------------------


def test_each_hop_carries_policy_limits_and_who_we_are():
    limits = TransportLimits(body_bytes_max=7)
    web = ScriptedWeb({f"{A}/1": redirect(f"{B}/2"), f"{B}/2": PAGE})
    _ = fetched(web, policy=evolve(POLICY, limits=limits, addresses=LOOPBACK_OPEN), headers=Headers({"X-Own": "1"}))
    for request in web.requests:
        assert request.method == "GET"
        assert (request.limits, request.addresses) == (limits, LOOPBACK_OPEN)
        assert request.headers.get("accept") == ACCEPT_ACTIVITYPUB
        assert request.headers.get("user-agent") == POLICY.user_agent
        assert request.headers.get("x-own") == "1"
        assert "signature" not in request.headers


def test_the_fragment_is_never_sent():
    web = ScriptedWeb({f"{A}/1": PAGE})
    assert str(fetched(web, f"{A}/1#key").url) == f"{A}/1"


def test_each_hop_is_signed_for_itself():
    web = ScriptedWeb({f"{A}/1": redirect(f"{B}/2"), f"{B}/2": PAGE})
    _ = fetched(web, identity=ME)
    signed = []
    for request in web.requests:
        signature = request.headers.get("signature")
        assert signature is not None
        assert f'keyId="{ME.key_id}"' in signature
        signed.append(b64decode(signature.rpartition('signature="')[2].rstrip('"')).decode())
    assert ["host: a.example" in signed[0], "host: b.example" in signed[1]] == [True, True]
    assert ["get /1" in signed[0], "get /2" in signed[1]] == [True, True]


def test_what_was_meant_for_one_server_is_not_given_to_the_next():
    web = ScriptedWeb({f"{A}/1": redirect(f"{A}/2"), f"{A}/2": redirect(f"{B}/3"), f"{B}/3": PAGE})
    _ = fetched(web, headers=Headers({"Authorization": "Bearer x", "Cookie": "a=b", "X-Own": "1"}))
    sent = [(request.headers.get("authorization"), request.headers.get("cookie")) for request in web.requests]
    assert sent == [("Bearer x", "a=b"), ("Bearer x", "a=b"), (None, None)]
    assert web.requests[2].headers.get("x-own") == "1"


def test_what_two_callers_may_not_share_differs():
    """The driver joins equal fetches in flight: what the answer depends on is in what makes them equal."""
    shares = []
    for more in (
        {},
        {"identity": ME},
        {"headers": Headers({"If-None-Match": '"1"'})},
        {"accept": "application/json"},
        {"policy": evolve(POLICY, addresses=LOOPBACK_OPEN)},
        {"policy": evolve(POLICY, limits=TransportLimits(body_bytes_max=7))},
    ):
        op = fetch(f"{A}/1", **({"policy": POLICY} | more))
        effect = next(op)
        while type(effect).__name__ != "Fetch":
            effect = op.send({"Now": NOON, "Get": [None]}.get(type(effect).__name__, b"signature"))
        shares.append(effect.share)
        op.close()
    assert len(set(shares)) == len(shares)


def test_an_exchange_that_breaks_off_is_told_as_it_is():
    web = ScriptedWeb({f"{A}/1": redirect(f"{B}/2"), f"{B}/2": AddressBlocked("address 10.0.0.1 is closed (private)")})
    with pytest.raises(AddressBlocked):
        _ = fetched(web)


# --- what an answer means -------------------------------------------------------------------------------------------


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
def test_a_status_is_an_error_of_its_own(status, error):
    with pytest.raises(error, match=str(status)):
        check_status(FetchedResponse(Response(status), parse_url(f"{A}/1")), f"{A}/1", now=NOON)


def test_200_is_none():
    check_status(FetchedResponse(Response(200), parse_url(f"{A}/1")), f"{A}/1", now=NOON)


def test_gone_is_for_the_origin_that_was_asked_to_say():
    with pytest.raises(NotFound, match="410"):
        check_status(FetchedResponse(Response(410), parse_url(f"{B}/1")), f"{A}/1", now=NOON)


def test_half_an_answer_is_none():
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
def test_when_to_ask_again(value, retry_after_s):
    answer = Response(503, {} if value is None else {"Retry-After": value})
    with pytest.raises(PeerFailing) as caught:
        check_status(FetchedResponse(answer, parse_url(f"{A}/1")), f"{A}/1", now=NOON)
    assert caught.value.retry_after_s == retry_after_s


def test_each_is_blamed_on_whose_doing_it_is():
    assert all(issubclass(error, RemoteError) for error in (NotFound, Gone, Forbidden, Rejected))
    assert issubclass(PeerFailing, Unavailable)
