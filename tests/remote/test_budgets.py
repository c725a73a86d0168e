"""Budgets: what strangers may make us fetch is bounded, told in advance, and costs nothing to those we know."""

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
    # burst, per_s, full at, then: full at, whether it was allowed, wait
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
    (2, 3.0, None, NOW + 334, True, 0),  # rounded to our disadvantage, never to theirs
    (1000, 500.0, NOW + 1998, NOW + 2000, True, 0),
]


@pytest.mark.parametrize(("burst", "per_s", "full", "then", "allowed", "wait_s"), BUCKETS)
def test_drawing_from_a_bucket(burst, per_s, full, then, allowed, wait_s):
    taken = Rate(burst, per_s).take(full, NOW)
    assert (taken.full_ms, taken.allowed, taken.retry_after_s) == (then, allowed, wait_s)


rates = st.builds(Rate, st.integers(1, 50), st.floats(0.001, 500))


@given(rates, st.lists(st.integers(0, 5000), max_size=100))
def test_in_any_time_it_gives_no_more_than_the_burst_and_the_rate(rate, pauses_ms):
    now, full, times = NOW, None, list[int]()
    for pause_ms in pauses_ms:
        now += pause_ms
        taken = rate.take(full, now)
        full = taken.full_ms
        if taken.allowed:
            times.append(now)
    for first, since in enumerate(times):
        for count, until in enumerate(times[first:], start=1):
            assert count <= rate.burst + rate.per_s * (until - since) / 1000 + 1e-6


@given(rates, st.none() | st.integers(0, 3 * NOW))
def test_when_to_come_back_is_the_first_moment_that_helps(rate, full):
    taken = rate.take(full, NOW)
    if taken.allowed:
        return
    wait_ms = round(taken.retry_after_s * 1000)
    assert 0 < wait_ms <= 1000 / rate.per_s + 1
    assert not rate.take(taken.full_ms, NOW + wait_ms - 1).allowed
    assert rate.take(taken.full_ms, NOW + wait_ms).allowed


@pytest.mark.parametrize(
    ("burst", "per_s"),
    [(0, 1.0), (-1, 1.0), (1.5, 1.0), (True, 1.0), (10**7, 1.0), (1, 0), (1, -1.0), (1, float("nan")), (1, float("inf")), (1, 501), (1, "1")],
)  # fmt: skip
def test_nonsense_is_no_rate(burst, per_s):
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
def test_nonsense_is_no_budget(name, value):
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
    ("social.co.example", "co.example"),  # no country: what stands before it is somebody's
    ("localhost", "localhost"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("8.8.8.8", "8.8.8.8"),
    ("[2a00:1:2:3::1]", "2a00:1:2:3::/64"),
    ("[2a00:1:2:3:ffff::9]", "2a00:1:2:3::/64"),
]


@pytest.mark.parametrize(("host", "domain"), DOMAINS)
def test_the_domain_that_somebody_has_registered(host, domain):
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
def test_who_the_client_is(address, network):
    assert UnauthenticatedClient(address).network == network


# --- spending -------------------------------------------------------------------------------------------------------


def spent(web: ScriptedWeb, host: str, client: str | None = "8.8.8.8", *, times: int = 1) -> int:
    """How often it could be paid for, of so many times, each by another request."""
    done = 0
    for _ in range(times):
        with suppress(BudgetSpent):
            web.run(spend(host, budgets=SMALL, unauthenticated_client=UnauthenticatedClient(client)))
            done += 1
    return done


def test_each_budget_is_its_own_and_all_have_to_allow_it():
    web = ScriptedWeb()
    assert spent(web, "a.example", times=9) == 3  # the host
    assert spent(web, "a.example", "9.9.9.9", times=9) == 0
    assert spent(web, "b.example", times=9) == 1  # the client
    assert spent(web, "c.a.example", None, times=9) == 2  # the domain
    assert spent(web, "d.a.example", None, times=9) == 0
    assert spent(web, "e.example", None, times=9) == 1  # everything
    web.pass_s(2)
    assert spent(web, "a.example", times=9) == 1
    web.pass_s(3600)
    assert spent(web, "a.example", times=9) == 3


def test_who_is_told_to_wait_is_told_how_long_by_the_slowest():
    web = ScriptedWeb()
    assert spent(web, "a.example", times=3) == 3
    with pytest.raises(BudgetSpent, match=r"host a\.example") as caught:
        web.run(spend("a.example", budgets=SMALL, unauthenticated_client=UnauthenticatedClient("8.8.8.8")))
    assert (caught.value.status_hint, caught.value.reason, caught.value.retry_after_s) == (503, "budget-spent", 2.0)


def kinds(op: Any, web: ScriptedWeb, *, commits: bool = True) -> list[type[Effect[Any]]]:
    """What an operation asks for, with the store's answers; without ``commits`` somebody else is always faster."""
    step, seen = Stepper(op), list[type[Effect[Any]]]()
    with suppress(ApcoreError):
        while (effect := step.wants) is not None:
            seen.append(type(effect))
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
    return seen


PAID = [Get, Now, RandomBytes, Commit]


def test_paying_is_one_commit_and_being_refused_none():
    web = ScriptedWeb()
    op = lambda: spend("a.example", budgets=SMALL, unauthenticated_client=UnauthenticatedClient("8.8.8.8"))  # noqa: E731
    for _ in range(SMALL.host.burst):
        assert kinds(op(), web) == PAID
    assert kinds(op(), web) == [Get, Now]


def answered(op: Any, failing: type[Effect[Any]] | None = None, *, commits: bool = True) -> None:
    """Drive an operation on an empty store, of which one method fails or every commit loses its race."""
    step = Stepper(op)
    answers = {Get: [None] * 3, Now: NOON, RandomBytes: b"x" * 16, Commit: commits}
    while (effect := step.wants) is not None:
        if type(effect) is failing:
            step.fail(StoreUnavailable("the disk is gone"))
        else:
            step.resume(answers[type(effect)])


def test_a_lost_race_is_run_again_and_not_for_ever():
    op = spend("a.example", budgets=SMALL, unauthenticated_client=UnauthenticatedClient())
    assert kinds(op, ScriptedWeb(), commits=False) == PAID * 100
    with pytest.raises(BudgetSpent) as caught:
        answered(spend("a.example", budgets=SMALL, unauthenticated_client=UnauthenticatedClient()), commits=False)
    assert caught.value.retry_after_s == 1.0


@pytest.mark.parametrize("failing", [Get, RandomBytes, Commit])
def test_without_the_store_nobody_can_tell(failing):
    with pytest.raises(StoreUnavailable):
        answered(spend("a.example", budgets=SMALL, unauthenticated_client=UnauthenticatedClient()), failing)


@pytest.mark.parametrize(("many", "paid"), [(5, SMALL.host.burst), (60, SMALL.host.burst)])
def test_those_who_come_at_once_draw_from_one_bucket_and_none_is_left_out(many, paid):
    """In lockstep: all read, then all commit, and one of them is first. As many pay as could one after the other, no more and no fewer."""
    assert at_once(many, SMALL) == paid
    assert at_once(many, Budgets()) == many


def at_once(many: int, budgets: Budgets) -> int:
    web = ScriptedWeb()
    steps = [
        Stepper(spend("a.example", budgets=budgets, unauthenticated_client=UnauthenticatedClient()))
        for _ in range(many)
    ]
    done = 0
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
                done += step.wants is None
    return done


def test_every_entry_ends_and_a_full_bucket_is_none():
    web = ScriptedWeb()
    assert spent(web, "a.example", times=9) == 3
    assert len(web.store.scan(("budget",), limit=10)) == 4
    web.pass_s(61)
    assert web.store.scan(("budget",), limit=10) == []


# --- fetching -------------------------------------------------------------------------------------------------------


def policy(unauthenticated_client: UnauthenticatedClient | None, **more: Any) -> FetchPolicy:
    return FetchPolicy(budgets=SMALL, unauthenticated_client=unauthenticated_client, **more)


def test_what_we_ask_of_ourselves_nobody_pays_for():
    web = ScriptedWeb({f"{A}/x": Response(404)})
    for _ in range(20):
        assert web.run(fetch(f"{A}/x", policy=policy(None))).response.status == 404
    assert web.store.scan((), limit=10) == []


def test_every_hop_is_paid_for_where_it_leads():
    """Who names an address of their own that leads to somebody else's has aimed at somebody else."""
    web = ScriptedWeb(
        {f"https://h{number}.example/": redirect(f"{B}/{number}") for number in range(9)}
        | {f"{B}/{number}": Response(404) for number in range(9)}
    )
    for number in range(9):
        with suppress(BudgetSpent):
            web.run(fetch(f"https://h{number}.example/", policy=policy(UnauthenticatedClient())))
    asked = web.asked()
    assert len(asked) == SMALL.overall.burst
    assert sum(url.startswith(B) for url in asked) == SMALL.host.burst


def test_who_cannot_pay_costs_neither_a_signature_nor_a_fetch():
    web = ScriptedWeb({f"{A}/x": Response(404)})
    assert spent(web, "a.example", times=3) == 3
    seen = kinds(fetch(f"{A}/x", policy=policy(UnauthenticatedClient()), identity=ME), web)
    assert not {Fetch, Sign, Commit} & set(seen)


def test_one_request_has_an_end():
    """Six fetches, whatever they are for; the seventh is not made."""
    hosts = [f"https://h{number}.example/" for number in range(9)]
    web = ScriptedWeb({here: redirect(there) for here, there in zip(hosts, [*hosts[1:], A], strict=True)})
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


def test_a_context_that_nobody_pays_for_is_not_taken_for_one_that_is_not_there():
    url = f"{B}/context"
    web = ScriptedWeb({A + "/x": document({"@context": [*CONTEXT, url], "id": f"{A}/x", "type": "Note"})})
    web.pages[url] = document({"@context": {"a": "https://b.example/a"}}, content_type="application/ld+json")
    looking = policy(UnauthenticatedClient(), unknown_contexts="fetch")
    assert spent(web, "b.example", None, times=3) == 3
    with pytest.raises(BudgetSpent):
        web.run(load(f"{A}/x", policy=looking))
    assert web.store.scan(("ctx",), limit=10) == []
    web.pass_s(10)
    assert web.run(load(f"{A}/x", policy=looking)).document.reading.ignored_contexts == ()


# --- what is kept of it ---------------------------------------------------------------------------------------------


def note(size: int) -> Response:
    return document({"@context": CONTEXT, "id": f"{A}/x", "type": "Note", "content": "x" * size})


@pytest.mark.parametrize(
    ("size", "kept_s"), [(10, 600), (60_000, 600), (70_000, 0)], ids=["small", "large", "too-large"]
)
def test_what_a_stranger_made_us_load_is_kept_small_and_for_a_short_time(size, kept_s):
    web = ScriptedWeb({f"{A}/x": note(size)})
    assert web.run(load(f"{A}/x", policy=policy(UnauthenticatedClient()))).document.id == f"{A}/x"
    assert bool(web.store.scan(("doc",), limit=10)) == bool(kept_s)
    web.pass_s(max(kept_s - 1, 0))
    assert bool(web.store.scan(("doc",), limit=10)) == bool(kept_s)
    web.pass_s(1)
    assert web.store.scan(("doc",), limit=10) == []


def test_what_we_keep_for_ourselves_no_stranger_shortens():
    web = ScriptedWeb({f"{A}/x": note(10)})
    for unauthenticated_client in (
        UnauthenticatedClient(),
        None,
        UnauthenticatedClient(),
    ):  # short, then long, and long it stays
        web.run(load(f"{A}/x", policy=policy(unauthenticated_client), fresh=True))
    web.pass_s(86400)
    assert len(web.store.scan(("doc",), limit=10)) == 1


def test_asking_again_makes_it_no_longer():
    web = ScriptedWeb({f"{A}/x": note(10)})
    for _round in range(2):
        web.run(load(f"{A}/x", policy=policy(UnauthenticatedClient()), fresh=True))
    web.pass_s(600)
    assert web.store.scan(("doc",), limit=10) == []


def test_a_document_grown_too_large_is_not_kept_as_it_was():
    web = ScriptedWeb({f"{A}/x": note(10)})
    web.run(load(f"{A}/x", policy=policy(UnauthenticatedClient())))
    web.pages[f"{A}/x"] = note(70_000)
    web.run(load(f"{A}/x", policy=policy(UnauthenticatedClient()), fresh=True))
    assert web.store.scan(("doc",), limit=10) == []


@pytest.mark.parametrize(("size", "kept"), [(10, True), (170, False)])
def test_so_are_contexts(size, kept):
    url = f"{B}/context"
    web = ScriptedWeb({A + "/x": document({"@context": [*CONTEXT, url], "id": f"{A}/x", "type": "Note"})})
    web.pages[url] = document(
        {"@context": {f"a{number}": "https://b.example/" + "a" * 400 for number in range(size)}},
        content_type="application/ld+json",
    )
    looking = policy(UnauthenticatedClient(), unknown_contexts="fetch")
    assert web.run(load(f"{A}/x", policy=looking)).document.reading.ignored_contexts == ()
    assert len(web.store.scan(("ctx",), limit=10)) == kept
    web.pass_s(600)
    assert web.store.scan(("ctx",), limit=10) == []


# --- time -----------------------------------------------------------------------------------------------------------


class Slow:
    """Answers each request after so many seconds, or never if its deadline is over before."""

    def __init__(self, web: ScriptedWeb, takes_s: float) -> None:
        self.web, self.takes_s, self.send_it = web, takes_s, web.send

    def __call__(self, request: Request, /) -> Response:
        deadline_s = request.limits.deadline_s
        self.web.pass_s(min(self.takes_s, deadline_s))
        if self.takes_s > deadline_s:
            raise FetchTimedOut(f"{deadline_s} s")
        return self.send_it(request)


@pytest.mark.parametrize(("takes_s", "asked"), [(0.1, 5), (1.0, 5), (1.5, 3), (2.4, 2), (5.0, 1), (60.0, 0)])
def test_a_key_takes_five_seconds_or_is_not_there(takes_s, asked):
    """Whoever keeps us waiting does so for five seconds, in however many hops."""
    uri = f"{A}/users/alice"
    hops = {f"{A}/{number}": redirect(f"{A}/{number + 1}") for number in range(3)} | {f"{A}/3": redirect(uri)}
    web = ScriptedWeb({**hops, uri: actor(uri)})
    served: list[str] = []
    slow = Slow(web, takes_s)

    def send(request: Request, /) -> Response:
        response = slow(request)
        served.append(request.url)
        return response

    web.send = send
    before = web.runtime.now()
    with suppress(KeyUnavailable, RemoteError):
        web.run(remote_key(f"{A}/0#k", policy=FetchPolicy()))
    assert len(served) == asked
    assert web.runtime.now() - before <= timedelta(seconds=5)


@pytest.mark.parametrize(("takes_s", "deadlines"), [(1.0, [5.0, 4.0]), (4.5, [5.0, 0.5]), (5.0, [5.0])])
def test_the_second_knock_has_what_the_first_has_left(takes_s, deadlines):
    web = ScriptedWeb()

    def send(request: Request, /) -> Response:
        web.requests.append(request)
        web.pass_s(takes_s if len(web.requests) == 1 else 0)
        return Response(401)

    web.send = send
    with pytest.raises(RemoteError):
        web.run(remote_key(f"{A}/users/alice#k", policy=FetchPolicy(), identity=ME))
    assert [request.limits.deadline_s for request in web.requests] == deadlines


def test_an_exchange_for_a_stranger_is_short_even_where_nobody_says_until_when():
    web = ScriptedWeb({f"{A}/x": Response(404)})
    web.run(fetch(f"{A}/x", policy=policy(UnauthenticatedClient())))
    web.run(fetch(f"{A}/x", policy=policy(None)))
    assert [request.limits.deadline_s for request in web.requests] == [5.0, 30.0]


def test_those_who_ask_at_about_the_same_time_share_an_answer():
    def question(later_s: float) -> object:
        web = ScriptedWeb()
        step = Stepper(remote_key(f"{A}/users/alice#k", policy=FetchPolicy()))
        while not isinstance(effect := step.wants, Fetch):
            step.resume([None] if isinstance(effect, Get) else web.runtime.now())
            web.pass_s(later_s)
        step.close()
        return effect.share

    assert question(0.01) == question(0.05) != question(0.4)


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


def by_detour(number: int) -> tuple[str, str]:
    """At addresses that lead to the victim's."""
    return f"https://host{number}.example{number}/detour#k", f"9.9.{number >> 8}.{number & 255}"


FLOODS = [
    pytest.param(one_client, BUDGETS.client.burst, id="one-client"),
    pytest.param(one_network, BUDGETS.client.burst, id="one-network"),
    pytest.param(one_target, BUDGETS.host.burst, id="one-target"),
    pytest.param(one_domain, BUDGETS.domain.burst, id="a-thousand-subdomains"),
    pytest.param(all_at_once, BUDGETS.overall.burst, id="everybody-everywhere"),
    pytest.param(by_detour, BUDGETS.overall.burst, id="by-detour"),
]


@pytest.mark.parametrize(("asks", "fetches"), FLOODS)
def test_a_flood(asks, fetches):
    """Ten thousand keys that nobody has, named within ten seconds: some are asked for, the rest is told to come back."""
    web = ScriptedWeb({KNOWN: actor(KNOWN)})
    web.send = answering(web)
    assert not web.run(remote_key(f"{KNOWN}#k", policy=FetchPolicy())).cached
    rate = next(
        each for each in (BUDGETS.client, BUDGETS.host, BUDGETS.domain, BUDGETS.overall) if each.burst == fetches
    )
    waits_s = list[float | None]()
    for number in range(FLOOD):
        if number % 1000 == 0:
            web.pass_s(1)
            # Whom we know is served meanwhile, wherever they come from, and asks nobody anything.
            assert web.run(
                remote_key(
                    f"{KNOWN}#k", policy=FetchPolicy(), unauthenticated_client=UnauthenticatedClient(asks(number)[1])
                )
            ).cached
        key_id, client = asks(number)
        try:
            web.run(remote_key(key_id, policy=FetchPolicy(), unauthenticated_client=UnauthenticatedClient(client)))
        except BudgetSpent as error:
            waits_s.append(error.retry_after_s)
        except (RemoteError, Unavailable):
            pass
    asked = [url for url in web.asked() if url != KNOWN]
    assert fetches <= len(asked) <= fetches + 10 * rate.per_s
    assert sum(url.startswith("https://victim.test") for url in asked) <= BUDGETS.host.burst + 10 * BUDGETS.host.per_s
    assert len(waits_s) >= FLOOD - len(asked)
    assert all(0 < (wait_s or 0) <= 1 / BUDGETS.host.per_s for wait_s in waits_s)
    # What is kept of it is as much as was fetched, and it ends.
    assert len(web.store.scan(("key",), limit=1000)) <= len(asked) + 1
    assert len(web.store.scan(("budget",), limit=1000)) <= min(1000, 4 * len(asked))
    assert {entry.key[0] for entry in web.store.scan((), limit=1000)} <= {"key", "budget"}
    web.pass_s(FetchPolicy().key_retry_s)
    assert web.store.scan(("budget",), limit=10) == []
    assert len(web.store.scan(("key",), limit=10)) == 1


def answering(web: ScriptedWeb) -> Any:
    """Nobody is there, but for detours, and who is in the table."""

    def send(request: Request, /) -> Response:
        web.requests.append(request)
        if request.url.endswith("/detour"):
            return redirect("https://victim.test/users/" + request.url.split("/")[2])
        answer = web.pages.get(request.url, Response(404))
        assert isinstance(answer, Response)
        return answer

    return send


@pytest.mark.parametrize(
    "key_id",
    ["https://10.0.0.1/k", "https://a.example:22/k", "https://localhost/k", "http://a.example/k", "https://0x7f.1/k"],
)
def test_addresses_that_are_none_cost_nothing_and_leave_nothing(key_id):
    web = ScriptedWeb()
    for number in range(20):
        with pytest.raises(RemoteError):
            web.run(
                remote_key(
                    f"{key_id}{number}", policy=policy(None), unauthenticated_client=UnauthenticatedClient("8.8.8.8")
                )
            )
    assert (web.asked(), web.store.scan((), limit=10)) == ([], [])


def test_bad_signatures_by_keys_we_know_cannot_be_aimed_at_their_server():
    """Each key is fetched anew at most every five minutes, and those of one host no faster than its budget."""
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
                        f"{uri}#k", policy=policy(None), unauthenticated_client=UnauthenticatedClient(), anew=True
                    )
                )
    assert len(web.asked()) == SMALL.host.burst
    # And the keys are still what they were.
    assert all(
        web.run(remote_key(f"{uri}#k", policy=policy(None), unauthenticated_client=UnauthenticatedClient())).cached
        for uri in uris
    )


# --- as the page has it ---------------------------------------------------------------------------------------------


def test_the_page_has_the_numbers_of_the_code():
    page = Path(__file__).resolve().parents[2] / "docs" / "howto" / "bound-what-strangers-cost.md"
    text = page.read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]
    names = {budget.name for budget in fields(Budgets)}
    rows = [row for row in rows if row[0].split("`")[1] in names]
    told = {row[0].split("`")[1]: tuple(map(float, row[2 if len(row) == 4 else 1 :])) for row in rows}
    rates = {
        name: (getattr(BUDGETS, name).burst, getattr(BUDGETS, name).per_s)
        for name in ("client", "host", "domain", "overall")
    }
    bounds = {name: (getattr(BUDGETS, name),) for name in ("fetches_max", "kept_s", "kept_bytes_max")}
    assert told == rates | bounds
    assert {field.name for field in fields(Budgets)} == told.keys()
    retry_s = FetchPolicy().key_retry_s
    for rate in (BUDGETS.overall, BUDGETS.host):
        assert f"{rate.burst + rate.per_s * retry_s:,.0f}" in text
