"""Check the policy as a value: its presets, signatures that current servers send, coverage, and bad arguments.

``python tests/signatures/test_policy.py --write`` writes the documentation page about the signatures of servers.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from attrs.exceptions import FrozenInstanceError

from apcore.errors import ApcoreError, SignatureError
from apcore.http import Request, format_http_date
from apcore.signatures import check, generate_key, parse
from apcore.signatures.errors import AlgorithmRefused, CoverageTooSmall, KeyExpired, KeyWeak
from apcore.signatures.policy import DEFAULT, LENIENT, PRESETS, STRICT, SignaturePolicy


@dataclass(frozen=True)
class SignatureForm:
    """One form of signed request, as some servers send it."""

    servers: str
    method: str
    covered: str
    """In signing order."""
    algorithm: str | None = "rsa-sha256"
    """The algorithm that the signature names; the key is always RSA-2048."""
    scheme: str = "cavage"
    path_only: bool = False
    """The query is not signed."""
    lifetime_s: int | None = None
    """Seconds from signing to expiry, if the signature has one."""
    names_actor: bool = False
    """The key id is the id of the actor."""


FEDIFY = "Ghost, Hollo, Hackers' Pub and others on Fedify"
OTHERS = "NodeBB, Discourse, Mbin, PieFed, BookWyrm, Mobilizon, Smithereen, Funkwhale"
MISSKEY = "Misskey, Sharkey, Firefish, Iceshrimp-JS"
ZOT = "Hubzilla, (streams), Forte"
# Their exact coverage is unknown. The coverage of most other servers is assumed, and the docs say so.
ASSUMED = {"Threads", ZOT, "Akkoma", "WordPress plugin, where chosen"}
PLAIN = "(request-target) host date digest"
READ = "(request-target) host date"

CAVAGE_FORMS = (
    SignatureForm("Mastodon", "POST", "host date content-type digest (request-target)"),
    SignatureForm(
        "Mastodon, with follower synchronisation",
        "POST",
        "host date content-type collection-synchronization digest (request-target)",
    ),
    SignatureForm("Mastodon, older", "POST", "(request-target) host date digest content-type"),
    SignatureForm("Mastodon", "GET", "host date (request-target)"),
    SignatureForm("Mastodon, older", "GET", "host date (request-target)", path_only=True),
    SignatureForm("GoToSocial", "POST", PLAIN, "hs2019"),
    SignatureForm("GoToSocial", "GET", READ, "hs2019"),
    SignatureForm("GoToSocial, again after a 401", "GET", READ, "hs2019", path_only=True),
    SignatureForm("Pleroma", "POST", "(request-target) content-length date digest host"),
    SignatureForm("Pleroma", "GET", READ, path_only=True),
    SignatureForm("Akkoma", "POST", "(request-target) content-length date digest host"),
    SignatureForm("Akkoma", "GET", READ, path_only=True),
    SignatureForm(MISSKEY, "POST", "(request-target) date host digest", path_only=True),
    SignatureForm(MISSKEY, "GET", "(request-target) date host accept", path_only=True),
    SignatureForm(
        "Lemmy", "POST", "(request-target) (created) (expires) content-type date digest host", "hs2019", lifetime_s=3600
    ),
    SignatureForm(
        "Lemmy, compatible mode",
        "POST",
        "(request-target) (created) (expires) content-type date digest host",
        lifetime_s=3600,
    ),
    SignatureForm("Pixelfed", "POST", PLAIN, path_only=True),
    SignatureForm("Pixelfed", "GET", READ, path_only=True),
    SignatureForm("PeerTube", "POST", PLAIN),
    SignatureForm("PeerTube", "GET", READ),
    SignatureForm("PeerTube, by the actor's id", "POST", PLAIN, names_actor=True),
    SignatureForm("WordPress plugin", "POST", PLAIN),
    SignatureForm("WordPress plugin", "GET", READ),
    SignatureForm(FEDIFY, "POST", "(request-target) accept content-type date digest host"),
    SignatureForm(FEDIFY, "GET", "(request-target) accept date host"),
    SignatureForm("Threads", "POST", PLAIN),
    SignatureForm("Threads", "GET", READ),
    SignatureForm("Bridgy Fed", "POST", "date host digest (request-target)"),
    SignatureForm("Bridgy Fed", "GET", "date host digest (request-target)"),
    SignatureForm("Takahe", "POST", "(request-target) host date digest content-type", path_only=True),
    SignatureForm("Takahe", "GET", "(request-target) host date accept", path_only=True),
    SignatureForm("Friendica", "POST", "(request-target) date content-length digest host", path_only=True),
    SignatureForm("Friendica", "GET", "(request-target) date host", path_only=True),
    SignatureForm(ZOT, "POST", PLAIN),
    SignatureForm(ZOT, "GET", READ),
    SignatureForm(f"{ZOT}, by the channel's URL", "POST", PLAIN, names_actor=True),
    SignatureForm(OTHERS, "POST", PLAIN),
    SignatureForm(f"{OTHERS}, some of them", "POST", f"{PLAIN} content-type"),
    SignatureForm(OTHERS, "GET", READ),
    SignatureForm("tootik", "GET", READ, path_only=True),
)
RFC9421_FORMS = (
    SignatureForm("Mastodon, second knock", "POST", "@method @target-uri content-digest", None, "rfc9421"),
    SignatureForm("Mastodon, second knock", "GET", "@method @target-uri", None, "rfc9421"),
    SignatureForm("WordPress plugin, where chosen", "POST", "@method @target-uri content-digest", None, "rfc9421"),
    SignatureForm(
        FEDIFY, "POST", "@method @target-uri @authority host date content-digest", "rsa-v1_5-sha256", "rfc9421"
    ),
    SignatureForm(FEDIFY, "GET", "@method @target-uri @authority host date", "rsa-v1_5-sha256", "rfc9421"),
    SignatureForm(ZOT, "POST", "@method @target-uri content-digest", None, "rfc9421"),
)

NOW = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
OWNER = "https://remote.example/users/alice"


@cache
def sender_key():
    return generate_key("rsa-2048", key_id=f"{OWNER}#main-key", owner=OWNER)


def make_request(form: SignatureForm) -> Request:
    """Return the request as it arrives 20 seconds after signing; this builds the signing string without apcore."""
    body = b'{"type": "Follow"}' if form.method == "POST" else b""
    target = "/users/bob/outbox?page=2" if form.method == "GET" else "/users/bob/inbox"
    signed = NOW - timedelta(seconds=20)
    created, expires = int(signed.timestamp()), int(signed.timestamp()) + (form.lifetime_s or 0)
    digest = b64encode(sha256(body).digest()).decode()
    fields = {
        "host": "local.example",
        "date": format_http_date(signed),
        "accept": "application/activity+json, application/ld+json",
        **({"content-type": "application/activity+json", "content-length": str(len(body))} if body else {}),
        "collection-synchronization": 'collectionId="https://remote.example/followers", digest="00"',
        "digest": f"SHA-256={digest}",
        "content-digest": f"sha-256=:{digest}:",
    }
    signed_target = target.partition("?")[0] if form.path_only else target
    derived = {
        "(request-target)": f"{form.method.lower()} {signed_target}",
        "(created)": str(created),
        "(expires)": str(expires),
        "@method": form.method,
        "@target-uri": f"https://local.example{target}",
        "@authority": "local.example",
    }
    names, key = form.covered.split(), sender_key()
    key_id = OWNER if form.names_actor else key.key_id
    if form.scheme == "cavage":
        string = "\n".join(f"{name}: {({**fields, **derived})[name]}" for name in names)
        times = f",created={created},expires={expires}" if "(created)" in names else ""
        signature_headers = {
            "signature": f'keyId="{key_id}",algorithm="{form.algorithm}"{times},headers="{form.covered}",'
            f'signature="{b64encode(key.sign(string.encode())).decode()}"'
        }
    else:
        algorithm_parameter = f';alg="{form.algorithm}"' if form.algorithm else ""
        components = " ".join(f'"{name}"' for name in names)
        signature_input = f'({components});created={created};keyid="{key_id}"{algorithm_parameter}'
        lines = [f'"{name}": {({**fields, **derived})[name]}' for name in names]
        string = "\n".join([*lines, f'"@signature-params": {signature_input}'])
        signature_headers = {
            "signature-input": f"sig1={signature_input}",
            "signature": f"sig1=:{b64encode(key.sign(string.encode())).decode()}:",
        }
    sent_names = {"host", "accept", "content-type", "content-length", *names}
    headers = {name: value for name, value in fields.items() if name in sent_names}
    return Request(form.method, f"https://local.example{target}", {**headers, **signature_headers}, body)


def verdict(form: SignatureForm, policy: SignaturePolicy) -> str:
    """Return "yes", or the reason of the refusal."""
    try:
        check(parse(make_request(form), policy, now=NOW), sender_key().public)
    except ApcoreError as error:
        return error.reason
    return "yes"


@pytest.mark.parametrize(
    "form", [*CAVAGE_FORMS, *RFC9421_FORMS], ids=lambda form: f"{form.scheme} {form.method} {form.servers}"
)
def test_signature_form_of_a_current_server_is_accepted(form):
    assert verdict(form, DEFAULT) == "yes"
    assert verdict(form, LENIENT) == "yes"


def test_strict_policy_refuses_unsigned_queries_and_forms_that_the_drafts_forbid():
    verdicts = {(form.servers, form.method): verdict(form, STRICT) for form in (*CAVAGE_FORMS, *RFC9421_FORMS)}
    expected = {
        (form.servers, form.method): "bad-signature" for form in CAVAGE_FORMS if form.path_only and form.method == "GET"
    }
    assert {request_kind: reason for request_kind, reason in verdicts.items() if reason != "yes"} == {
        **expected,
        ("Lemmy, compatible mode", "POST"): "algorithm-refused",
    }


# --- the documentation page that shows these results ----------------------------------------------------------------

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "senders.md"
INTRODUCTION = """\
# Signatures that servers send, and policies that accept them

Here you can look up the signatures that current servers send, as far as they are known, and whether the three preset
policies accept them: `yes`, or the [reason](rooms/apcore.signatures.rst) of the refusal. Each row is a test: a signer
that is not part of apcore signs such a request, and apcore verifies it.

- A target marked *path only* is signed without its query. A POST to an inbox has no query. On a GET, `strict` refuses
  it.
- The algorithm is the one that the signature names, or *none* if it is left to the key. Keys are RSA with 2,048 bits.
- `strict` also has narrower times: 60 seconds of clock skew and 5 minutes of age.
- If a server's name has an asterisk, its covered components are not known in detail; those of most other servers are
  assumed.

This page is generated by `python tests/signatures/test_policy.py --write`.
"""


def page() -> str:
    rows = [
        "| server | request | algorithm | covers, in order | default | strict | lenient |",
        "|---|---|---|---|---|---|---|",
    ]
    parts = [INTRODUCTION]
    for title, table in (("draft-cavage", CAVAGE_FORMS), ("RFC 9421", RFC9421_FORMS)):
        lines = list(rows)
        for form in table:
            star = " \\*" if form.servers.partition(", by ")[0] in ASSUMED else ""
            request = f"{form.method}, path only" if form.path_only else form.method
            verdicts = [verdict(form, policy) for policy in (DEFAULT, STRICT, LENIENT)]
            cells = [f"{form.servers}{star}", request, form.algorithm or "none", f"`{form.covered}`", *verdicts]
            lines.append(f"| {' | '.join(cells)} |")
        parts.append(f"## {title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def test_page_of_senders_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "python tests/signatures/test_policy.py --write"


# --- the policies themselves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [DEFAULT, STRICT], ids=lambda p: p.name)
@pytest.mark.parametrize("missing", ["(request-target)", "host", "date", "digest"])
def test_each_of_the_four_components_is_required(policy, missing):
    covered = {"(request-target)", "host", "date", "digest"} - {missing}
    with pytest.raises(CoverageTooSmall, match=missing.strip("()")) as exc_info:
        policy.check_coverage(policy.coverage("cavage", "POST", has_body=True), covered)
    assert exc_info.value.explanation.rule == f"policy {policy.name}: minimum coverage"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "get", "QUERY"])
def test_methods_other_than_get_and_head_need_write_coverage(method):
    assert DEFAULT.coverage("cavage", method, has_body=False) == DEFAULT.cavage_write
    assert DEFAULT.coverage("rfc9421", "GET", has_body=True) == DEFAULT.rfc9421_write


def test_expired_key_is_refused(ed_key, now):
    from attrs import evolve

    key = evolve(ed_key.public, expires=now)
    with pytest.raises(KeyExpired):
        DEFAULT.check_key(key, "ed25519", now)
    DEFAULT.check_key(key, "ed25519", now - timedelta(seconds=1))


def test_algorithm_outside_the_policy_is_refused(rsa_key, now):
    with pytest.raises(AlgorithmRefused):
        STRICT.check_key(rsa_key.public, "rsa-v1_5-sha512", now)
    DEFAULT.check_key(rsa_key.public, "rsa-v1_5-sha512", now)


def test_too_long_key_is_refused(rsa_key, now):
    with pytest.raises(KeyWeak, match="1024 to 1024"):
        LENIENT.with_(rsa_bits_max=1024).check_key(rsa_key.public, "rsa-v1_5-sha256", now)


@pytest.mark.parametrize("bits", [{"rsa_bits_min": 2048}, {"rsa_bits_max": 2048}])
def test_key_at_the_bound_is_accepted(rsa_key, now, bits):
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
def test_impossible_policy_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        DEFAULT.with_(**changes)


def test_windows_of_the_presets():
    windows = {name: (p.clock_skew_s, p.age_s_max, p.lifetime_s_max, p.rsa_bits_min) for name, p in PRESETS.items()}
    assert windows == {
        "default": (3600, 3600, 43200, 2048),
        "strict": (60, 300, 3600, 2048),
        "lenient": (3600, 43200, 43200, 1024),
    }


def test_policy_is_a_value():
    assert SignaturePolicy() == DEFAULT
    with pytest.raises(FrozenInstanceError):
        DEFAULT.age_s_max = 1
    assert DEFAULT.replay_window_s == 12 * 3600 + 3600 + 1


@pytest.mark.parametrize("policy", [DEFAULT, STRICT, LENIENT], ids=lambda policy: policy.name)
@pytest.mark.parametrize("has_expiry", [True, False])
def test_replay_window_is_as_long_as_a_signature_may_be_accepted(policy, has_expiry):
    signed = 1_000_000
    expires = signed + 10 * policy.lifetime_s_max if has_expiry else None

    def is_accepted(now_s):
        try:
            policy.check_times(signed=signed, expires=expires, now_s=now_s)
        except SignatureError:
            return False
        return True

    first = signed - policy.clock_skew_s
    assert is_accepted(first)
    assert not is_accepted(first - 1)
    assert not is_accepted(first + policy.replay_window_s)
    longest = max(policy.lifetime_s_max, policy.age_s_max)
    assert is_accepted(first + policy.replay_window_s - 1) == (
        (policy.lifetime_s_max if has_expiry else policy.age_s_max) == longest
    )


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("to write the page: python tests/signatures/test_policy.py --write")
    PAGE.write_text(page(), encoding="utf-8")
