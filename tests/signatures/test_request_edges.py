"""What both schemes take from a request, and the policy, at the edges that mutation testing found open."""

from __future__ import annotations

import pytest
from attrs import asdict, evolve

from apcore.http.fields import parse_item
from apcore.http.messages import Request
from apcore.signatures import cavage, rfc9421
from apcore.signatures._components import Message, counted_names
from apcore.signatures._parts import KEY_ID_CHARS_MAX, Target, check_key_id, check_own_key_id, field_values
from apcore.signatures.errors import BadSignature, CoverageTooSmall, KeyMismatch, SignatureMalformed, SignatureTooOld
from apcore.signatures.policy import DEFAULT, LENIENT, PRESETS, STRICT, SignaturePolicy
from apcore.signatures.presented import check

# --- targets and fields ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "scheme", "authority", "bare"),
    [
        ("HTTPS://A.example/", "https", "a.example", "a.example"),
        ("HTTPS://a.example:443/", "https", "a.example", "a.example"),
        ("http://a.example:80/", "http", "a.example", "a.example"),
        ("http://a.example:443/", "http", "a.example:443", "a.example"),
        ("https://a.example:80/", "https", "a.example:80", "a.example"),
        ("https://[::1]:8443/", "https", "[::1]:8443", "[::1]"),
        ("https://[2001:db8::1]/", "https", "[2001:db8::1]", "[2001:db8::1]"),
        ("https://12345/", "https", "12345", "12345"),
        ("https://localhost/", "https", "localhost", "localhost"),
    ],
)
def test_the_parts_of_a_target(url, scheme, authority, bare):
    target = Target(url)
    assert (target.scheme, target.authority, target.bare_host) == (scheme, authority, bare)
    assert Message(Request("GET", url)).line(parse_item('"@scheme"')) == f'"@scheme": {scheme}'


def test_a_content_length_that_came_is_what_was_signed():
    assert field_values(Request("POST", "https://a.example/", {"Content-Length": "5"}, b"abc"))["content-length"] == "5"
    assert field_values(Request("POST", "https://a.example/", {}, b"abc"))["content-length"] == "3"


@pytest.mark.parametrize(
    ("key_id", "good"),
    [("", False), ("a", True), ("a" * KEY_ID_CHARS_MAX, True), ("a" * (KEY_ID_CHARS_MAX + 1), False), ("é", False), ("\x7f", False)],
    ids=["empty", "one", "longest", "too long", "not ASCII", "control"],
)  # fmt: skip
def test_key_ids(key_id, good):
    if good:
        assert check_key_id(key_id) == key_id
        check_own_key_id(key_id)
    else:
        with pytest.raises(SignatureMalformed):
            check_key_id(key_id)
        with pytest.raises(ValueError, match="key id"):
            check_own_key_id(key_id)


@pytest.mark.parametrize("key_id", ['a"', "a\\", '"', "\\"])
def test_a_key_id_of_ours_ends_no_quotation(key_id):
    with pytest.raises(ValueError, match="quotation"):
        check_own_key_id(key_id)


# --- components -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("component", "counts"),
    [
        ('"date"', True),
        ('"date";sf', True),
        ('"date";bs', True),
        ('"date";key="sha-256"', False),
        ('"date";tr', False),
        ('"content-digest";req', False),
        ('"content-digest";key="sha-256";req', False),
        ('"content-digest";key="sha-256"', True),
        ('"@query-param";name="a"', False),
    ],
)
def test_what_counts_is_bound_as_a_whole(component, counts):
    item = parse_item(component)
    assert counted_names((item,)) == ([item.value] if counts else [])


@pytest.mark.parametrize(
    ("component", "line"),
    [
        ('"@query-param";name="a"', "%EF%BF%BD"),
        ('"content-length";bs', ":Mw==:"),
        ('"x-dict";sf;key="a"', "1"),
        ('"x-dict";key="a"', "1"),
    ],
)
def test_values_of_components(component, line):
    message = Message(Request("POST", "https://a.example/?a=%ff", {"x-dict": "a=1, b=2"}, b"abc"))
    assert message.line(parse_item(component)) == f"{component}: {line}"


def test_a_member_that_is_there_twice_is_neither():
    message = Message(Request("GET", "https://a.example/", {"x-dict": "a=1, a=2"}))
    with pytest.raises(SignatureMalformed):
        message.line(parse_item('"x-dict";key="a"'))


# --- the policy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["age_s_max", "lifetime_s_max", "labels_max", "covered_max"])
def test_the_least_of_what_has_to_be_something(name):
    assert getattr(SignaturePolicy(**{name: 1}), name) == 1
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        SignaturePolicy(**{name: 0})


def test_the_least_tolerance_is_none():
    assert DEFAULT.with_(clock_skew_s=0).clock_skew_s == 0
    with pytest.raises(ValueError, match="clock_skew_s must not be negative: -1"):
        DEFAULT.with_(clock_skew_s=-1)


def test_a_coverage_is_met_by_exactly_what_it_asks_for():
    groups = ((frozenset({"a", "b"}), frozenset({"c"})),)
    for covered in (["a", "b"], ["c"], ["a", "b", "c"], ["d", "c"]):
        DEFAULT.check_coverage(groups, covered)
    for covered in (["a"], ["b"], ["d"], []):
        with pytest.raises(CoverageTooSmall, match="a with b or c"):
            DEFAULT.check_coverage(groups, covered)


# --- what a refusal of a check tells --------------------------------------------------------------------------------


def test_a_check_that_fails_tells_the_label_and_the_first_string(ed_key, rsa_key, get, now):
    signed = evolve(rfc9421.sign(get, ed_key, now=now, label="a"), method="HEAD")
    [presented] = rfc9421.parse(signed, DEFAULT, now)
    with pytest.raises(BadSignature) as caught:
        check(presented, ed_key.public)
    assert caught.value.explanation.label == "a"
    with pytest.raises(KeyMismatch) as caught:
        check(presented, rsa_key.public.renamed(key_id=ed_key.key_id))
    assert caught.value.explanation.label == "a"
    of_cavage = evolve(cavage.sign(get, rsa_key, now=now), method="HEAD")
    with pytest.raises(BadSignature) as caught:
        check(cavage.parse(of_cavage, DEFAULT, now), rsa_key.public)
    assert caught.value.explanation.signing_string.startswith("(request-target): head /users/bob/outbox?page=2\n")


# --- what the presets are -------------------------------------------------------------------------------------------


def one(*names):
    return tuple(frozenset({name}) for name in names)


TARGET = (
    frozenset({"@target-uri"}),
    frozenset({"@request-target", "@authority"}),
    frozenset({"@path", "@query", "@authority"}),
)
ALL = {"rsa-v1_5-sha256", "rsa-v1_5-sha512", "rsa-pss-sha512", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "ed25519"}
DEFAULTS = {
    "name": "default",
    "schemes": {"cavage", "rfc9421"},
    "algorithms": ALL,
    "rsa_bits_min": 2048,
    "rsa_bits_max": 8192,
    "cavage_read": (one("(request-target)"), one("host"), one("date", "(created)")),
    "cavage_write": (one("(request-target)"), one("host"), one("date", "(created)"), one("digest", "content-digest")),
    "rfc9421_read": (one("@method"), TARGET),
    "rfc9421_write": (one("@method"), TARGET, one("content-digest")),
    "clock_skew_s": 3600,
    "age_s_max": 3600,
    "lifetime_s_max": 12 * 3600,
    "query_optional": True,
    "ld_signatures": True,
    "asks_origin": True,
    "authorization": False,
    "pseudo_headers_any_algorithm": True,
    "labels_max": 8,
    "covered_max": 64,
}
STRICTER = {
    "name": "strict",
    "algorithms": ALL - {"rsa-v1_5-sha512"},
    "rfc9421_read": (one("@method"), one("@target-uri")),
    "rfc9421_write": (one("@method"), one("@target-uri"), one("content-digest")),
    "clock_skew_s": 60,
    "age_s_max": 300,
    "lifetime_s_max": 3600,
    "query_optional": False,
    "ld_signatures": False,
    "pseudo_headers_any_algorithm": False,
}
MORE_LENIENT = {
    "name": "lenient",
    "rsa_bits_min": 1024,
    "cavage_read": (one("date", "(created)"),),
    "cavage_write": (one("date", "(created)"), one("digest", "content-digest")),
    "rfc9421_read": (one("@method"), (*TARGET, frozenset({"@path"}))),
    "rfc9421_write": (one("content-digest"),),
    "age_s_max": 12 * 3600,
    "authorization": True,
}


@pytest.mark.parametrize(("policy", "differs"), [(DEFAULT, {}), (STRICT, STRICTER), (LENIENT, MORE_LENIENT)], ids=["default", "strict", "lenient"])  # fmt: skip
def test_a_preset_is_what_is_written_here(policy, differs):
    """Whoever changes one of these changes what is believed everywhere, and says so in the changelog."""
    assert asdict(policy, recurse=False) == DEFAULTS | differs
    assert PRESETS[policy.name] is policy


def test_an_expiry_counts_as_signed_unless_it_is_said_not_to_be():
    """RFC 9421 always signs it; draft-cavage where it is covered. One that is not signed prolongs nothing."""
    times = {"signed": 0, "expires": 10_000, "now_s": 9_000.0}
    DEFAULT.check_times(**times)
    with pytest.raises(SignatureTooOld):
        DEFAULT.check_times(**times, expires_signed=False)
