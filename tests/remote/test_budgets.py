"""Check the budgets for requests of unauthenticated clients: they bound all fetches, and known clients pay nothing."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from apcore.drivers import Stepper
from apcore.effects import Commit, Effect, Fetch, Get, Now, RandomBytes, Sign
from apcore.errors import ApcoreError, FetchTimedOut, RemoteError, StoreUnavailable, Unavailable
from apcore.http import Request, Response
from apcore.remote import (
    Budgets,
    BudgetSpent,
    FetchPolicy,
    Identity,
    KeyUnavailable,
    Rate,
    UnauthenticatedClient,
    fetch,
    load,
    registrable_domain,
    remote_key,
    spend,
)
from apcore.signatures import generate_key
from scripted_web import NOON, ScriptedWeb, document, redirect

A, B = "https://a.example", "https://b.example"
ME = Identity(key_name="instance", key_id="https://me.example/actor#main-key")
SMALL = Budgets(client=Rate(4, 1.0), host=Rate(3, 0.5), domain=Rate(5, 0.5), overall=Rate(7, 2.0), fetches_max=6)
CONTEXT = ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/v1"]


def actor(uri: str) -> Response:
    key = generate_key("ed25519", key_id=f"{uri}#k", owner=uri).public
    listed = {"id": f"{uri}#k", "owner": uri, "publicKeyPem": key.pem}
    return document({"@context": CONTEXT, "id": uri, "type": "Person", "publicKey": listed})


# --- a bucket -------------------------------------------------------------------------------------------------------

NOW = 1_000_000
BUCKETS = [
    # burst, per_s, time when full, time when full after the draw, whether it was allowed, wait in seconds
    (3, 1.0, None, NOW + 1000, True, 0),
    (3, 1.0, NOW - 5000, NOW + 1000, True, 0),
    (3, 1.0, NOW, NOW + 1000, True, 0),
    (3, 1.0, NOW + 1500, NOW + 2500, True, 0),
    (3, 1.0, NOW + 2000, NOW + 3000, True, 0),
    (3, 1.0, NOW + 2001, NOW + 2001, False, 0.001),
    (3, 1.0, NOW + 3000, NOW + 3000, False, 1.0),
    (3, 1.0, NOW + 10**9, NOW + 3000, False, 1.0),  # the clock was set back: no longer than it takes to fill
    (1, 0.5, None, NOW + 2000, True, 0),
    (1, 0.5, NOW + 1, NOW + 1, False, 0.001),
    (2, 3.0, None, NOW + 334, True, 0),  # rounded to the disadvantage of the client
    (1000, 500.0, NOW + 1998, NOW + 2000, True, 0),
]


@pytest.mark.parametrize(("burst", "per_s", "full_ms", "full_ms_after", "allowed", "wait_s"), BUCKETS)
def test_bucket_allows_or_tells_how_long_to_wait(burst, per_s, full_ms, full_ms_after, allowed, wait_s):
    draw = Rate(burst, per_s).take(full_ms, NOW)
    assert (draw.full_ms, draw.allowed, draw.retry_after_s) == (full_ms_after, allowed, wait_s)


rates = st.builds(Rate, st.integers(1, 50), st.floats(0.001, 500))


@given(rates, st.lists(st.integers(0, 5000), max_size=100))
def test_bucket_never_allows_more_than_burst_and_rate(rate, pauses_ms):
    now_ms, full_ms, allowed_times = NOW, None, list[int]()
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        draw = rate.take(full_ms, now_ms)
        full_ms = draw.full_ms
        if draw.allowed:
            allowed_times.append(now_ms)
    for first_index, since_ms in enumerate(allowed_times):
        for count, until_ms in enumerate(allowed_times[first_index:], start=1):
            assert count <= rate.burst + rate.per_s * (until_ms - since_ms) / 1000 + 1e-6


@given(rates, st.none() | st.integers(0, 3 * NOW))
def test_retry_after_is_the_first_moment_that_is_allowed(rate, full_ms):
    draw = rate.take(full_ms, NOW)
    if draw.allowed:
        return
    wait_ms = round(draw.retry_after_s * 1000)
    assert 0 < wait_ms <= 1000 / rate.per_s + 1
    assert not rate.take(draw.full_ms, NOW + wait_ms - 1).allowed
    assert rate.take(draw.full_ms, NOW + wait_ms).allowed


@pytest.mark.parametrize(
    ("burst", "per_s"),
    [
        (0, 1.0),
        (-1, 1.0),
        (1.5, 1.0),
        (True, 1.0),
        (10**7, 1.0),
        (1, 0),
        (1, -1.0),
        (1, float("nan")),
        (1, float("inf")),
        (1, 501),
        (1, "1"),
    ],
)
def test_invalid_rate_is_refused(burst, per_s):
    with pytest.raises(ValueError, match=r"burst is .*, not|per_s is .*, not"):
        _ = Rate(burst, per_s)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("fetches_max", value) for value in (0, -1, 1001, 2.0, True)),
        *(("kept_s", value) for value in (0, -1, 86401, float("nan"), float("inf"), "1", True)),
        *(("kept_bytes_max", value) for value in (-1, 2 * 1024 * 1024 + 1, 1.0, True)),
        *((name, value) for name in ("client", "host", "domain", "overall") for value in (None, 5, (1, 1.0))),
    ],
)
def test_invalid_budget_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is a"):
        _ = Budgets(**{name: value})


# --- names ----------------------------------------------------------------------------------------------------------

DOMAINS = [
    ("example.com", "example.com"),
    ("social.example.com", "example.com"),
    ("a.b.c.example.com", "example.com"),
    ("example.co.uk", "example.co.uk"),
    ("social.example.co.uk", "example.co.uk"),
    ("co.uk", "co.uk"),
    ("social.example.com.br", "example.com.br"),
    ("social.example.de", "example.de"),
    ("com.de", "com.de"),
    ("social.co.example", "co.example"),  # not a country's suffix
    ("localhost", "localhost"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("8.8.8.8", "8.8.8.8"),
    ("[2a00:1:2:3::1]", "2a00:1:2:3::/64"),
    ("[2a00:1:2:3:ffff::9]", "2a00:1:2:3::/64"),
]


@pytest.mark.parametrize(("host", "domain"), DOMAINS)
def test_registrable_domain_of_a_host(host, domain):
    assert registrable_domain(host) == domain


CLIENTS = [
    ("8.8.8.8", "8.8.8.8"),
    ("2a00:1:2:3::1", "2a00:1:2:3::/64"),
    ("2a00:1:2:3:ffff:ffff::1", "2a00:1:2:3::/64"),
    ("::ffff:8.8.8.8", "8.8.8.8"),
    (None, None),
    ("", None),
    ("testclient", None),
    ("/run/app.sock", None),
    ("fe80::1%eth0", None),
    ("127.0.0.1", None),
    ("10.1.2.3", None),
    ("::1", None),
    ("::ffff:10.0.0.1", None),
    ("fd00::1", None),
    ("x" * 10_000, None),
]


@pytest.mark.parametrize(("address", "network"), CLIENTS)
def test_client_network_is_taken_from_its_address(address, network):
    assert UnauthenticatedClient(address).network == network


# --- spending -------------------------------------------------------------------------------------------------------


def count_payments(web: ScriptedWeb, host: str, client: str | None = "8.8.8.8", *, times: int = 1) -> int:
    """Try to pay ``times`` times, each with a request of its own, and return the number of successes."""
    count = 0
    for _ in range(times):
        with suppress(BudgetSpent):
            web.run(spend(host, budgets=SMALL, unauthenticated_client=UnauthenticatedClient(client)))
            count += 1
    return count


def test_request_needs_room_in_every_budget():
    web = ScriptedWeb()
    assert count_payments(web, "a.example", times=9) == 3  # the host
    assert count_payments(web, "a.example", "9.9.9.9", times=9) == 0
    assert count_payments(web, "b.example", times=9) == 1  # the client
    assert count_payments(web, "c.a.example", None, times=9) == 2  # the domain
    assert count_payments(web, "d.a.example", None, times=9) == 0
    assert count_payments(web, "e.example", None, times=9) == 1  # everything
    web.pass_s(2)
    assert count_payments(web, "a.example", times=9) == 1
    web.pass_s(3600)
    assert count_payments(web, "a.example", times=9) == 3


def test_refusal_names_the_budget_and_its_wait():
    web = ScriptedWeb()
    assert count_payments(web, "a.example", times=3) == 3
    with pytest.raises(BudgetSpent, match=r"host a\.example") as caught:
        web.run(spend("a.example", budgets=SMALL, unauthenticated_client=UnauthenticatedClient("8.8.8.8")))
    assert (caught.value.status_hint, caught.value.reason, caught.value.retry_after_s) == (503, "budget-spent", 2.0)


def list_effects(operation: Any, web: ScriptedWeb, *, commits: bool = True) -> list[type[Effect[Any]]]:
    """Run an operation on the web's store and return the types of its effects.

    Without ``commits``, every commit loses its race.
    """
    step, effect_types = Stepper(operation), list[type[Effect[Any]]]()
    with suppress(ApcoreError):
        while (effect := step.wants) is not None:
            effect_types.append(type(effect))
            match effect:
                case Get():
                    step.resume(web.store.get(effect.keys))
                case Now():
                    step.resume(web.runtime.now())
                case RandomBytes():
                    step.resume(web.runtime.random_bytes(effect.count))
                case Commit():
                    step.resume(commits and web.store.commit(effect.checks, effect.writes, token=effect.token))
                case Sign():
                    step.resume(b"signed")
                case _:
                    step.resume(Response(404))
    return effect_types


PAYMENT_EFFECTS = [Get, Now, RandomBytes, Commit]


def test_payment_is_one_commit_and_a_refusal_none():
    web = ScriptedWeb()

    def pay():
        return spend("a.example", budgets=SMALL, unauthenticated_client=UnauthenticatedClient("8.8.8.8"))

    for _ in range(SMALL.host.burst):
        assert list_effects(pay(), web) == PAYMENT_EFFECTS
    assert list_effects(pay(), web) == [Get, Now]


def run_on_empty_store(
    operation: Any, failing_effect: type[Effect[Any]] | None = None, *, commits: bool = True
) -> None:
    """Run an operation on an empty store. One effect may fail; without ``commits``, every commit loses its race."""
    step = Stepper(operation)
    answers = {Get: [None] * 3, Now: NOON, RandomBytes: b"x" * 16, Commit: commits}
    while (effect := step.wants) is not None:
        if type(effect) is failing_effect:
            step.fail(StoreUnavailable("the disk is gone"))
        else:
            step.resume(answers[type(effect)])


def test_lost_commit_race_is_retried_a_bounded_number_of_times():
    operation = spend("a.example", budgets=SMALL, unauthenticated_client=UnauthenticatedClient())
    assert list_effects(operation, ScriptedWeb(), commits=False) == PAYMENT_EFFECTS * 100
    with pytest.raises(BudgetSpent) as caught:
        run_on_empty_store(
            spend("a.example", budgets=SMALL, unauthenticated_client=UnauthenticatedClient()), commits=False
        )
    assert caught.value.retry_after_s == 1.0


@pytest.mark.parametrize("failing_effect", [Get, RandomBytes, Commit])
def test_failing_store_raises_store_unavailable(failing_effect):
    with pytest.raises(StoreUnavailable):
        run_on_empty_store(
            spend("a.example", budgets=SMALL, unauthenticated_client=UnauthenticatedClient()), failing_effect
        )


@pytest.mark.parametrize(("requests", "payments"), [(5, SMALL.host.burst), (60, SMALL.host.burst)])
def test_concurrent_requests_pay_from_one_bucket_as_if_in_sequence(requests, payments):
    """Run requests in lockstep: all read, then all commit, and one commit wins."""
    assert count_payments_in_lockstep(requests, SMALL) == payments
    assert count_payments_in_lockstep(requests, Budgets()) == requests


def count_payments_in_lockstep(requests: int, budgets: Budgets) -> int:
    web = ScriptedWeb()
    steps = [
        Stepper(spend("a.example", budgets=budgets, unauthenticated_client=UnauthenticatedClient()))
        for _ in range(requests)
    ]
    payments = 0
    while any(step.wants is not None for step in steps):
        for step in steps:
            effect = step.wants
            if effect is None:
                continue
            with suppress(BudgetSpent):
                match effect:
                    case Get():
                        step.resume(web.store.get(effect.keys))
                    case Commit():
                        step.resume(web.store.commit(effect.checks, effect.writes, token=effect.token))
                    case Now():
                        step.resume(web.runtime.now())
                    case _:
                        step.resume(web.runtime.random_bytes(16))
                payments += step.wants is None
    return payments


def test_budget_records_expire_when_the_bucket_is_full():
    web = ScriptedWeb()
    assert count_payments(web, "a.example", times=9) == 3
    assert len(web.store.scan(("budget",), limit=10)) == 4
    web.pass_s(61)
    assert web.store.scan(("budget",), limit=10) == []


# --- fetching -------------------------------------------------------------------------------------------------------


def policy(unauthenticated_client: UnauthenticatedClient | None, **kwargs: Any) -> FetchPolicy:
    return FetchPolicy(budgets=SMALL, unauthenticated_client=unauthenticated_client, **kwargs)


def test_fetch_without_a_client_costs_no_budget():
    web = ScriptedWeb({f"{A}/x": Response(404)})
    for _ in range(20):
        assert web.run(fetch(f"{A}/x", policy=policy(None))).response.status == 404
    assert web.store.scan((), limit=10) == []


def test_each_redirect_is_paid_from_the_budget_of_its_target():
    """Redirect nine hosts of an attacker to one victim: the victim's budget bounds the requests."""
    web = ScriptedWeb(
        {f"https://h{number}.example/": redirect(f"{B}/{number}") for number in range(9)}
        | {f"{B}/{number}": Response(404) for number in range(9)}
    )
    for number in range(9):
        with suppress(BudgetSpent):
            web.run(fetch(f"https://h{number}.example/", policy=policy(UnauthenticatedClient())))
    requested_urls = web.asked()
    assert len(requested_urls) == SMALL.overall.burst
    assert sum(url.startswith(B) for url in requested_urls) == SMALL.host.burst


def test_refused_client_causes_no_signature_and_no_fetch():
    web = ScriptedWeb({f"{A}/x": Response(404)})
    assert count_payments(web, "a.example", times=3) == 3
    effects = list_effects(fetch(f"{A}/x", policy=policy(UnauthenticatedClient()), identity=ME), web)
    assert not {Fetch, Sign, Commit} & set(effects)


def test_fetches_of_one_request_are_bounded():
    """Allow six fetches of any kind; the seventh is not made."""
    hosts = [f"https://h{number}.example/" for number in range(9)]
    web = ScriptedWeb({url: redirect(target) for url, target in zip(hosts, [*hosts[1:], A], strict=True)})
    wide = Budgets(fetches_max=6)
    with pytest.raises(BudgetSpent, match="more than 6 fetches") as caught:
        web.run(
            fetch(
                hosts[0],
                policy=FetchPolicy(budgets=wide, unauthenticated_client=UnauthenticatedClient(), redirects_max=20),
            )
        )
    assert len(web.asked()) == 6
    assert caught.value.retry_after_s == 60.0


def test_context_beyond_the_budget_is_not_cached_as_missing():
    url = f"{B}/context"
    web = ScriptedWeb({A + "/x": document({"@context": [*CONTEXT, url], "id": f"{A}/x", "type": "Note"})})
    web.pages[url] = document({"@context": {"a": "https://b.example/a"}}, content_type="application/ld+json")
    context_policy = policy(UnauthenticatedClient(), unknown_contexts="fetch")
    assert count_payments(web, "b.example", None, times=3) == 3
    with pytest.raises(BudgetSpent):
        web.run(load(f"{A}/x", policy=context_policy))
    assert web.store.scan(("ctx",), limit=10) == []
    web.pass_s(10)
    assert web.run(load(f"{A}/x", policy=context_policy)).document.reading.ignored_contexts == ()


# --- caching --------------------------------------------------------------------------------------------------------


def note(size: int) -> Response:
    return document({"@context": CONTEXT, "id": f"{A}/x", "type": "Note", "content": "x" * size})


@pytest.mark.parametrize(
    ("size", "cached_s"), [(10, 600), (60_000, 600), (70_000, 0)], ids=["small", "large", "too-large"]
)
def test_document_loaded_for_a_stranger_is_cached_only_if_small_and_briefly(size, cached_s):
    web = ScriptedWeb({f"{A}/x": note(size)})
    assert web.run(load(f"{A}/x", policy=policy(UnauthenticatedClient()))).document.id == f"{A}/x"
    assert bool(web.store.scan(("document",), limit=10)) == bool(cached_s)
    web.pass_s(max(cached_s - 1, 0))
    assert bool(web.store.scan(("document",), limit=10)) == bool(cached_s)
    web.pass_s(1)
    assert web.store.scan(("document",), limit=10) == []


def test_load_for_a_stranger_does_not_shorten_the_cache_time():
    web = ScriptedWeb({f"{A}/x": note(10)})
    # A short cache time, then a long one, which the third load leaves alone.
    for unauthenticated_client in (UnauthenticatedClient(), None, UnauthenticatedClient()):
        web.run(load(f"{A}/x", policy=policy(unauthenticated_client), fresh=True))
    web.pass_s(86400)
    assert len(web.store.scan(("document",), limit=10)) == 1


def test_repeated_load_for_a_stranger_does_not_extend_the_cache_time():
    web = ScriptedWeb({f"{A}/x": note(10)})
    for _round in range(2):
        web.run(load(f"{A}/x", policy=policy(UnauthenticatedClient()), fresh=True))
    web.pass_s(600)
    assert web.store.scan(("document",), limit=10) == []


def test_document_that_has_grown_too_large_is_removed_from_the_cache():
    web = ScriptedWeb({f"{A}/x": note(10)})
    web.run(load(f"{A}/x", policy=policy(UnauthenticatedClient())))
    web.pages[f"{A}/x"] = note(70_000)
    web.run(load(f"{A}/x", policy=policy(UnauthenticatedClient()), fresh=True))
    assert web.store.scan(("document",), limit=10) == []


@pytest.mark.parametrize(("size", "is_cached"), [(10, True), (170, False)])
def test_context_loaded_for_a_stranger_is_cached_only_if_small_and_briefly(size, is_cached):
    url = f"{B}/context"
    web = ScriptedWeb({A + "/x": document({"@context": [*CONTEXT, url], "id": f"{A}/x", "type": "Note"})})
    web.pages[url] = document(
        {"@context": {f"a{number}": "https://b.example/" + "a" * 400 for number in range(size)}},
        content_type="application/ld+json",
    )
    context_policy = policy(UnauthenticatedClient(), unknown_contexts="fetch")
    assert web.run(load(f"{A}/x", policy=context_policy)).document.reading.ignored_contexts == ()
    assert len(web.store.scan(("ctx",), limit=10)) == is_cached
    web.pass_s(600)
    assert web.store.scan(("ctx",), limit=10) == []


# --- time -----------------------------------------------------------------------------------------------------------


class SlowServer:
    """Answer each request after ``takes_s`` seconds, or time out at its deadline."""

    def __init__(self, web: ScriptedWeb, takes_s: float) -> None:
        self.web, self.takes_s, self.send_it = web, takes_s, web.send

    def __call__(self, request: Request, /) -> Response:
        deadline_s = request.limits.deadline_s
        self.web.pass_s(min(self.takes_s, deadline_s))
        if self.takes_s > deadline_s:
            raise FetchTimedOut(f"{deadline_s} s")
        return self.send_it(request)


@pytest.mark.parametrize(("takes_s", "requests"), [(0.1, 5), (1.0, 5), (1.5, 3), (2.4, 2), (5.0, 1), (60.0, 0)])
def test_loading_a_key_takes_at_most_five_seconds(takes_s, requests):
    """Delay every hop: all hops together stay within five seconds."""
    uri = f"{A}/users/alice"
    hops = {f"{A}/{number}": redirect(f"{A}/{number + 1}") for number in range(3)} | {f"{A}/3": redirect(uri)}
    web = ScriptedWeb({**hops, uri: actor(uri)})
    served_urls: list[str] = []
    slow = SlowServer(web, takes_s)

    def send(request: Request, /) -> Response:
        response = slow(request)
        served_urls.append(request.url)
        return response

    web.send = send
    start = web.runtime.now()
    with suppress(KeyUnavailable, RemoteError):
        web.run(remote_key(f"{A}/0#k", policy=FetchPolicy()))
    assert len(served_urls) == requests
    assert web.runtime.now() - start <= timedelta(seconds=5)


@pytest.mark.parametrize(("takes_s", "deadlines"), [(1.0, [5.0, 4.0]), (4.5, [5.0, 0.5]), (5.0, [5.0])])
def test_second_attempt_has_the_time_that_the_first_left(takes_s, deadlines):
    web = ScriptedWeb()

    def send(request: Request, /) -> Response:
        web.requests.append(request)
        web.pass_s(takes_s if len(web.requests) == 1 else 0)
        return Response(401)

    web.send = send
    with pytest.raises(RemoteError):
        web.run(remote_key(f"{A}/users/alice#k", policy=FetchPolicy(), identity=ME))
    assert [request.limits.deadline_s for request in web.requests] == deadlines


def test_exchange_for_a_stranger_has_a_short_deadline_by_default():
    web = ScriptedWeb({f"{A}/x": Response(404)})
    web.run(fetch(f"{A}/x", policy=policy(UnauthenticatedClient())))
    web.run(fetch(f"{A}/x", policy=policy(None)))
    assert [request.limits.deadline_s for request in web.requests] == [5.0, 30.0]


def test_requests_for_a_key_at_about_the_same_time_share_a_fetch():
    def share_key(delay_s: float) -> object:
        web = ScriptedWeb()
        step = Stepper(remote_key(f"{A}/users/alice#k", policy=FetchPolicy()))
        while not isinstance(effect := step.wants, Fetch):
            step.resume([None] if isinstance(effect, Get) else web.runtime.now())
            web.pass_s(delay_s)
        step.close()
        return effect.share

    assert share_key(0.01) == share_key(0.05) != share_key(0.4)


# --- floods ---------------------------------------------------------------------------------------------------------

FLOOD = 10_000
BUDGETS = Budgets()
KNOWN = f"{A}/users/alice"


def one_client(number: int) -> tuple[str, str]:
    return f"https://host{number}.example{number}/users/x#k", "8.8.8.8"


def one_network(number: int) -> tuple[str, str]:
    return f"https://host{number}.example{number}/users/x#k", f"2a00:1:2:3::{number:x}"


def one_target(number: int) -> tuple[str, str]:
    return f"https://victim.test/users/{number}#k", f"9.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def one_domain(number: int) -> tuple[str, str]:
    return f"https://s{number % 1000}.victim.test/users/{number}#k", f"9.9.{number >> 8}.{number & 255}"


def all_at_once(number: int) -> tuple[str, str]:
    return f"https://host{number}.example{number}/users/x#k", f"9.9.{number >> 8}.{number & 255}"


def by_redirect(number: int) -> tuple[str, str]:
    """Name URLs that redirect to the victim."""
    return f"https://host{number}.example{number}/redirect#k", f"9.9.{number >> 8}.{number & 255}"


FLOODS = [
    pytest.param(one_client, BUDGETS.client.burst, id="one-client"),
    pytest.param(one_network, BUDGETS.client.burst, id="one-network"),
    pytest.param(one_target, BUDGETS.host.burst, id="one-target"),
    pytest.param(one_domain, BUDGETS.domain.burst, id="a-thousand-subdomains"),
    pytest.param(all_at_once, BUDGETS.overall.burst, id="many-clients-and-hosts"),
    pytest.param(by_redirect, BUDGETS.overall.burst, id="by-redirect"),
]


@pytest.mark.parametrize(("build_request", "fetches"), FLOODS)
def test_flood_of_unknown_keys_is_bounded_by_the_budgets(build_request, fetches):
    """Name ten thousand missing keys within ten seconds: few are fetched, the others are refused with a wait."""
    web = ScriptedWeb({KNOWN: actor(KNOWN)})
    web.send = send_with_redirects(web)
    assert not web.run(remote_key(f"{KNOWN}#k", policy=FetchPolicy())).cached
    budgets = (BUDGETS.client, BUDGETS.host, BUDGETS.domain, BUDGETS.overall)
    budget = next(budget for budget in budgets if budget.burst == fetches)
    waits_s = list[float | None]()
    for number in range(FLOOD):
        if number % 1000 == 0:
            web.pass_s(1)
            # A client with a cached key is served meanwhile, from any address and without a fetch.
            assert web.run(
                remote_key(
                    f"{KNOWN}#k",
                    policy=FetchPolicy(),
                    unauthenticated_client=UnauthenticatedClient(build_request(number)[1]),
                )
            ).cached
        key_id, client = build_request(number)
        try:
            web.run(remote_key(key_id, policy=FetchPolicy(), unauthenticated_client=UnauthenticatedClient(client)))
        except BudgetSpent as error:
            waits_s.append(error.retry_after_s)
        except (RemoteError, Unavailable):
            pass
    requested_urls = [url for url in web.asked() if url != KNOWN]
    assert fetches <= len(requested_urls) <= fetches + 10 * budget.per_s
    assert (
        sum(url.startswith("https://victim.test") for url in requested_urls)
        <= BUDGETS.host.burst + 10 * BUDGETS.host.per_s
    )
    assert len(waits_s) >= FLOOD - len(requested_urls)
    assert all(0 < (wait_s or 0) <= 1 / BUDGETS.host.per_s for wait_s in waits_s)
    # The records are bounded by the number of fetches, and they expire.
    assert len(web.store.scan(("key",), limit=1000)) <= len(requested_urls) + 1
    assert len(web.store.scan(("budget",), limit=1000)) <= min(1000, 4 * len(requested_urls))
    assert {entry.key[0] for entry in web.store.scan((), limit=1000)} <= {"key", "budget"}
    web.pass_s(FetchPolicy().key_retry_s)
    assert web.store.scan(("budget",), limit=10) == []
    assert len(web.store.scan(("key",), limit=10)) == 1


def send_with_redirects(web: ScriptedWeb) -> Any:
    """Build a ``send`` that answers from the table, redirects ``/redirect`` to the victim, and else answers 404."""

    def send(request: Request, /) -> Response:
        web.requests.append(request)
        if request.url.endswith("/redirect"):
            return redirect("https://victim.test/users/" + request.url.split("/")[2])
        answer = web.pages.get(request.url, Response(404))
        assert isinstance(answer, Response)
        return answer

    return send


@pytest.mark.parametrize(
    "key_id",
    ["https://10.0.0.1/k", "https://a.example:22/k", "https://localhost/k", "http://a.example/k", "https://0x7f.1/k"],
)
def test_forbidden_address_costs_no_budget_and_leaves_no_record(key_id):
    web = ScriptedWeb()
    for number in range(20):
        with pytest.raises(RemoteError):
            web.run(
                remote_key(
                    f"{key_id}{number}", policy=policy(None), unauthenticated_client=UnauthenticatedClient("8.8.8.8")
                )
            )
    assert (web.asked(), web.store.scan((), limit=10)) == ([], [])


def test_refreshes_of_cached_keys_are_bounded_by_the_budget_of_their_host():
    """Refresh twenty keys three times: each at most every five minutes, and one host no faster than its budget."""
    uris = [f"{A}/users/{number}" for number in range(20)]
    web = ScriptedWeb({uri: actor(uri) for uri in uris})
    for uri in uris:
        web.run(remote_key(f"{uri}#k", policy=policy(None)))
    web.asked()
    web.pass_s(3600)
    for _round in range(3):
        for uri in uris:
            with suppress(BudgetSpent):
                web.run(
                    remote_key(
                        f"{uri}#k", policy=policy(None), unauthenticated_client=UnauthenticatedClient(), refresh=True
                    )
                )
    assert len(web.asked()) == SMALL.host.burst
    # The cached keys still count.
    assert all(
        web.run(remote_key(f"{uri}#k", policy=policy(None), unauthenticated_client=UnauthenticatedClient())).cached
        for uri in uris
    )


# --- documentation --------------------------------------------------------------------------------------------------


def test_documentation_states_the_default_budgets():
    page = Path(__file__).resolve().parents[2] / "docs" / "howto" / "bound-what-strangers-cost.md"
    text = page.read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]
    names = {budget.name for budget in fields(Budgets)}
    rows = [row for row in rows if row[0].split("`")[1] in names]
    documented_values = {row[0].split("`")[1]: tuple(map(float, row[2 if len(row) == 4 else 1 :])) for row in rows}
    rates = {
        name: (getattr(BUDGETS, name).burst, getattr(BUDGETS, name).per_s)
        for name in ("client", "host", "domain", "overall")
    }
    bounds = {name: (getattr(BUDGETS, name),) for name in ("fetches_max", "kept_s", "kept_bytes_max")}
    assert documented_values == rates | bounds
    assert {field.name for field in fields(Budgets)} == documented_values.keys()
    retry_s = FetchPolicy().key_retry_s
    for rate in (BUDGETS.overall, BUDGETS.host):
        assert f"{rate.burst + rate.per_s * retry_s:,.0f}" in text
