"""The policy as a value: presets, coverage, and arguments that could never be right."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs.exceptions import FrozenInstanceError

from apcore.signatures.errors import AlgorithmRefused, CoverageTooSmall, KeyExpired, KeyWeak
from apcore.signatures.policy import DEFAULT, LENIENT, PRESETS, STRICT, SignaturePolicy

# What current servers cover, by draft-cavage, as they send it.
SENT = {
    "Mastodon": ("POST", "host date content-type digest (request-target)"),
    "Mastodon, with follower synchronisation": (
        "POST",
        "host date content-type collection-synchronization digest (request-target)",
    ),
    "Mastodon, older": ("POST", "(request-target) host date digest content-type"),
    "GoToSocial, PeerTube, Pixelfed, WordPress": ("POST", "(request-target) host date digest"),
    "Pleroma and Akkoma": ("POST", "(request-target) content-length date digest host"),
    "Misskey and its family": ("POST", "(request-target) date host digest"),
    "Lemmy": ("POST", "(request-target) (created) (expires) content-type date digest host"),
    "Ghost, Hollo, Hackers' Pub": ("POST", "(request-target) accept content-type date digest host"),
    "Bridgy Fed": ("POST", "date host digest (request-target)"),
    "Takahe": ("POST", "(request-target) host date digest content-type"),
    "Friendica": ("POST", "(request-target) date content-length digest host"),
    "Mastodon and most, reading": ("GET", "host date (request-target)"),
    "Misskey, reading": ("GET", "(request-target) date host accept"),
    "Bridgy Fed, reading": ("GET", "date host digest (request-target)"),
}
SENT_9421 = {
    "Mastodon": ("POST", "@method @target-uri content-digest"),
    "Mastodon, reading": ("GET", "@method @target-uri"),
    "Ghost, Hollo, Hackers' Pub": ("POST", "@method @target-uri @authority host date content-digest"),
    "Ghost, Hollo, Hackers' Pub, reading": ("GET", "@method @target-uri @authority host date"),
}


@pytest.mark.parametrize("policy", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize(("method", "covered"), SENT.values(), ids=SENT)
def test_every_preset_takes_what_current_servers_cover(policy, method, covered):
    policy.check_coverage(policy.coverage("cavage", method, has_body=False), covered.split())


@pytest.mark.parametrize("policy", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize(("method", "covered"), SENT_9421.values(), ids=SENT_9421)
def test_every_preset_takes_what_current_servers_cover_by_rfc_9421(policy, method, covered):
    policy.check_coverage(policy.coverage("rfc9421", method, has_body=False), covered.split())


@pytest.mark.parametrize("policy", [DEFAULT, STRICT], ids=lambda p: p.name)
@pytest.mark.parametrize("missing", ["(request-target)", "host", "date", "digest"])
def test_each_of_the_four_is_needed(policy, missing):
    covered = {"(request-target)", "host", "date", "digest"} - {missing}
    with pytest.raises(CoverageTooSmall, match=missing.strip("()")) as caught:
        policy.check_coverage(policy.coverage("cavage", "POST", has_body=True), covered)
    assert caught.value.explanation.rule == f"policy {policy.name}: minimum coverage"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "get", "QUERY"])
def test_every_method_but_two_writes(method):
    assert DEFAULT.coverage("cavage", method, has_body=False) == DEFAULT.cavage_write
    assert DEFAULT.coverage("rfc9421", "GET", has_body=True) == DEFAULT.rfc9421_write


def test_a_key_that_has_ended(ed_key, now):
    from attrs import evolve

    key = evolve(ed_key.public, expires=now)
    with pytest.raises(KeyExpired):
        DEFAULT.check_key(key, "ed25519", now)
    DEFAULT.check_key(key, "ed25519", now - timedelta(seconds=1))


def test_an_algorithm_that_is_not_accepted(rsa_key, now):
    with pytest.raises(AlgorithmRefused):
        STRICT.check_key(rsa_key.public, "rsa-v1_5-sha512", now)
    DEFAULT.check_key(rsa_key.public, "rsa-v1_5-sha512", now)


def test_a_key_that_is_too_long(rsa_key, now):
    with pytest.raises(KeyWeak, match="1024 to 1024"):
        LENIENT.with_(rsa_bits_max=1024).check_key(rsa_key.public, "rsa-v1_5-sha256", now)


@pytest.mark.parametrize("bits", [{"rsa_bits_min": 2048}, {"rsa_bits_max": 2048}])
def test_a_key_at_the_bound_is_accepted(rsa_key, now, bits):
    DEFAULT.with_(**bits).check_key(rsa_key.public, "rsa-v1_5-sha256", now)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schemes": frozenset()}, "refuses everything"),
        ({"algorithms": frozenset()}, "refuses everything"),
        ({"rsa_bits_min": 512}, "512"),
        ({"rsa_bits_max": 16384}, "16384"),
        ({"rsa_bits_min": 4096, "rsa_bits_max": 2048}, "4096"),
        ({"clock_skew_s": -1}, "clock_skew_s"),
        ({"age_s_max": 0}, "age_s_max"),
        ({"lifetime_s_max": 0}, "lifetime_s_max"),
        ({"labels_max": 0}, "labels_max"),
        ({"covered_max": 0}, "covered_max"),
    ],
)
def test_a_policy_that_could_never_be_right(changes, words):
    with pytest.raises(ValueError, match=words):
        DEFAULT.with_(**changes)


def test_the_windows_of_the_presets():
    windows = {name: (p.clock_skew_s, p.age_s_max, p.lifetime_s_max, p.rsa_bits_min) for name, p in PRESETS.items()}
    assert windows == {
        "default": (3600, 3600, 43200, 2048),
        "strict": (60, 300, 3600, 2048),
        "lenient": (3600, 43200, 43200, 1024),
    }


def test_a_policy_is_a_value():
    assert SignaturePolicy() == DEFAULT
    with pytest.raises(FrozenInstanceError):
        DEFAULT.age_s_max = 1
    assert DEFAULT.replay_window_s == 12 * 3600 + 2 * 3600
