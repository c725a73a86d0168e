"""The policy as a value: presets, what current servers send, coverage, and arguments that could never be right.

``python tests/signatures/test_policy.py --write`` writes the page of the documentation that shows who is accepted.
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

from apcore.errors import ApcoreError
from apcore.http import Request, format_http_date
from apcore.signatures import check, generate_key, parse
from apcore.signatures.errors import AlgorithmRefused, CoverageTooSmall, KeyExpired, KeyWeak
from apcore.signatures.policy import DEFAULT, LENIENT, PRESETS, STRICT, SignaturePolicy


@dataclass(frozen=True)
class Sent:
    """One kind of signed request, as servers make it."""

    servers: str
    method: str
    covered: str
    """In signing order."""
    algorithm: str | None = "rsa-sha256"
    """What it says; the key is always RSA-2048."""
    scheme: str = "cavage"
    path_only: bool = False
    """The query is not signed."""
    lifetime_s: int | None = None
    """How far ahead its expiry lies, where it names one."""
    names_actor: bool = False
    """The key id is the actor's own."""


FEDIFY = "Ghost, Hollo, Hackers' Pub and others on Fedify"
OTHERS = "NodeBB, Discourse, Mbin, PieFed, BookWyrm, Mobilizon, Smithereen, Funkwhale"
MISSKEY = "Misskey, Sharkey, Firefish, Iceshrimp-JS"
ZOT = "Hubzilla, (streams), Forte"
# What they cover is not known in detail: what all others cover is taken for it. The docs say so.
ASSUMED = {"Threads", ZOT, "Akkoma", "WordPress plugin, where chosen"}
PLAIN = "(request-target) host date digest"
READ = "(request-target) host date"

SENT = (
    Sent("Mastodon", "POST", "host date content-type digest (request-target)"),
    Sent(
        "Mastodon, with follower synchronisation",
        "POST",
        "host date content-type collection-synchronization digest (request-target)",
    ),
    Sent("Mastodon, older", "POST", "(request-target) host date digest content-type"),
    Sent("Mastodon", "GET", "host date (request-target)"),
    Sent("Mastodon, older", "GET", "host date (request-target)", path_only=True),
    Sent("GoToSocial", "POST", PLAIN, "hs2019"),
    Sent("GoToSocial", "GET", READ, "hs2019"),
    Sent("GoToSocial, again after a 401", "GET", READ, "hs2019", path_only=True),
    Sent("Pleroma", "POST", "(request-target) content-length date digest host"),
    Sent("Pleroma", "GET", READ, path_only=True),
    Sent("Akkoma", "POST", "(request-target) content-length date digest host"),
    Sent("Akkoma", "GET", READ, path_only=True),
    Sent(MISSKEY, "POST", "(request-target) date host digest", path_only=True),
    Sent(MISSKEY, "GET", "(request-target) date host accept", path_only=True),
    Sent(
        "Lemmy", "POST", "(request-target) (created) (expires) content-type date digest host", "hs2019", lifetime_s=3600
    ),
    Sent(
        "Lemmy, compatible mode",
        "POST",
        "(request-target) (created) (expires) content-type date digest host",
        lifetime_s=3600,
    ),
    Sent("Pixelfed", "POST", PLAIN, path_only=True),
    Sent("Pixelfed", "GET", READ, path_only=True),
    Sent("PeerTube", "POST", PLAIN),
    Sent("PeerTube", "GET", READ),
    Sent("PeerTube, by the actor's id", "POST", PLAIN, names_actor=True),
    Sent("WordPress plugin", "POST", PLAIN),
    Sent("WordPress plugin", "GET", READ),
    Sent(FEDIFY, "POST", "(request-target) accept content-type date digest host"),
    Sent(FEDIFY, "GET", "(request-target) accept date host"),
    Sent("Threads", "POST", PLAIN),
    Sent("Threads", "GET", READ),
    Sent("Bridgy Fed", "POST", "date host digest (request-target)"),
    Sent("Bridgy Fed", "GET", "date host digest (request-target)"),
    Sent("Takahe", "POST", "(request-target) host date digest content-type", path_only=True),
    Sent("Takahe", "GET", "(request-target) host date accept", path_only=True),
    Sent("Friendica", "POST", "(request-target) date content-length digest host", path_only=True),
    Sent("Friendica", "GET", "(request-target) date host", path_only=True),
    Sent(ZOT, "POST", PLAIN),
    Sent(ZOT, "GET", READ),
    Sent(f"{ZOT}, by the channel's URL", "POST", PLAIN, names_actor=True),
    Sent(OTHERS, "POST", PLAIN),
    Sent(f"{OTHERS}, some of them", "POST", f"{PLAIN} content-type"),
    Sent(OTHERS, "GET", READ),
    Sent("tootik", "GET", READ, path_only=True),
)
SENT_9421 = (
    Sent("Mastodon, second knock", "POST", "@method @target-uri content-digest", None, "rfc9421"),
    Sent("Mastodon, second knock", "GET", "@method @target-uri", None, "rfc9421"),
    Sent("WordPress plugin, where chosen", "POST", "@method @target-uri content-digest", None, "rfc9421"),
    Sent(FEDIFY, "POST", "@method @target-uri @authority host date content-digest", "rsa-v1_5-sha256", "rfc9421"),
    Sent(FEDIFY, "GET", "@method @target-uri @authority host date", "rsa-v1_5-sha256", "rfc9421"),
    Sent(ZOT, "POST", "@method @target-uri content-digest", None, "rfc9421"),
)

NOW = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
OWNER = "https://remote.example/users/alice"


@cache
def sender_key():
    return generate_key("rsa-2048", key_id=f"{OWNER}#main-key", owner=OWNER)


def as_sent(sent: Sent) -> Request:
    """The request as it arrives, 20 seconds after it was signed; the signing string is built here, and not by what is tested."""
    body = b'{"type": "Follow"}' if sent.method == "POST" else b""
    target = "/users/bob/outbox?page=2" if sent.method == "GET" else "/users/bob/inbox"
    signed = NOW - timedelta(seconds=20)
    created, expires = int(signed.timestamp()), int(signed.timestamp()) + (sent.lifetime_s or 0)
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
    seen = target.partition("?")[0] if sent.path_only else target
    derived = {
        "(request-target)": f"{sent.method.lower()} {seen}",
        "(created)": str(created),
        "(expires)": str(expires),
        "@method": sent.method,
        "@target-uri": f"https://local.example{target}",
        "@authority": "local.example",
    }
    names, key = sent.covered.split(), sender_key()
    key_id = OWNER if sent.names_actor else key.key_id
    if sent.scheme == "cavage":
        string = "\n".join(f"{name}: {({**fields, **derived})[name]}" for name in names)
        times = f",created={created},expires={expires}" if "(created)" in names else ""
        added = {
            "signature": f'keyId="{key_id}",algorithm="{sent.algorithm}"{times},headers="{sent.covered}",'
            f'signature="{b64encode(key.sign(string.encode())).decode()}"'
        }
    else:
        said = f';alg="{sent.algorithm}"' if sent.algorithm else ""
        given = f'({" ".join(f"{chr(34)}{name}{chr(34)}" for name in names)});created={created};keyid="{key_id}"{said}'
        lines = [f'"{name}": {({**fields, **derived})[name]}' for name in names]
        string = "\n".join([*lines, f'"@signature-params": {given}'])
        added = {
            "signature-input": f"sig1={given}",
            "signature": f"sig1=:{b64encode(key.sign(string.encode())).decode()}:",
        }
    kept = {"host", "accept", "content-type", "content-length", *names}
    headers = {name: value for name, value in fields.items() if name in kept}
    return Request(sent.method, f"https://local.example{target}", {**headers, **added}, body)


def verdict(sent: Sent, policy: SignaturePolicy) -> str:
    """ "yes", or the reason why not."""
    try:
        check(parse(as_sent(sent), policy, now=NOW), sender_key().public)
    except ApcoreError as error:
        return error.reason
    return "yes"


@pytest.mark.parametrize("sent", [*SENT, *SENT_9421], ids=lambda sent: f"{sent.scheme} {sent.method} {sent.servers}")
def test_what_current_servers_send_is_accepted(sent):
    assert verdict(sent, DEFAULT) == "yes"
    assert verdict(sent, LENIENT) == "yes"


def test_what_strict_refuses_is_a_query_that_is_not_signed_and_what_the_drafts_forbid():
    refused = {(sent.servers, sent.method): verdict(sent, STRICT) for sent in (*SENT, *SENT_9421)}
    expected = {
        (sent.servers, sent.method): "bad-signature" for sent in SENT if sent.path_only and sent.method == "GET"
    }
    assert {who: why for who, why in refused.items() if why != "yes"} == {
        **expected,
        ("Lemmy, compatible mode", "POST"): "algorithm-refused",
    }


# --- the page of the documentation that is made of this --------------------------------------------------------------

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
    for title, table in (("draft-cavage", SENT), ("RFC 9421", SENT_9421)):
        lines = list(rows)
        for sent in table:
            star = " \\*" if sent.servers.partition(", by ")[0] in ASSUMED else ""
            request = f"{sent.method}, path only" if sent.path_only else sent.method
            told = [verdict(sent, policy) for policy in (DEFAULT, STRICT, LENIENT)]
            cells = [f"{sent.servers}{star}", request, sent.algorithm or "none", f"`{sent.covered}`", *told]
            lines.append(f"| {' | '.join(cells)} |")
        parts.append(f"## {title}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def test_the_page_of_senders_says_what_holds():
    assert PAGE.read_text(encoding="utf-8") == page(), "python tests/signatures/test_policy.py --write"


# --- the policies themselves ----------------------------------------------------------------------------------------


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


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("to write the page: python tests/signatures/test_policy.py --write")
    PAGE.write_text(page(), encoding="utf-8")
