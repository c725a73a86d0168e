"""Check the parts that both schemes take from a request, and the policy, at the edges found by mutation testing."""

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
def test_target_is_split_into_its_parts(url, scheme, authority, bare):
    target = Target(url)
    assert (target.scheme, target.authority, target.bare_host) == (scheme, authority, bare)
    assert Message(Request("GET", url)).line(parse_item('"@scheme"')) == f'"@scheme": {scheme}'


def test_received_content_length_wins_over_the_computed_one():
    assert field_values(Request("POST", "https://a.example/", {"Content-Length": "5"}, b"abc"))["content-length"] == "5"
    assert field_values(Request("POST", "https://a.example/", {}, b"abc"))["content-length"] == "3"


@pytest.mark.parametrize(
    ("key_id", "is_valid"),
    [
        ("", False),
        ("a", True),
        ("a" * KEY_ID_CHARS_MAX, True),
        ("a" * (KEY_ID_CHARS_MAX + 1), False),
        ("é", False),
        ("\x7f", False),
    ],
    ids=["empty", "one", "longest", "too long", "not ASCII", "control"],
)
def test_key_id_is_a_bounded_ascii_string(key_id, is_valid):
    if is_valid:
        assert check_key_id(key_id) == key_id
        check_own_key_id(key_id)
    else:
        with pytest.raises(SignatureMalformed):
            check_key_id(key_id)
        with pytest.raises(ValueError, match="key id"):
            check_own_key_id(key_id)


@pytest.mark.parametrize("key_id", ['a"', "a\\", '"', "\\"])
def test_own_key_id_has_no_quotes_or_backslashes(key_id):
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
def test_component_counts_only_if_bound_as_a_whole(component, counts):
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
def test_component_line_has_the_value(component, line):
    message = Message(Request("POST", "https://a.example/?a=%ff", {"x-dict": "a=1, b=2"}, b"abc"))
    assert message.line(parse_item(component)) == f"{component}: {line}"


def test_repeated_dictionary_member_is_refused():
    message = Message(Request("GET", "https://a.example/", {"x-dict": "a=1, a=2"}))
    with pytest.raises(SignatureMalformed):
        message.line(parse_item('"x-dict";key="a"'))


# --- the policy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["age_s_max", "lifetime_s_max", "labels_max", "covered_max"])
def test_positive_policy_numbers_are_at_least_1(name):
    assert getattr(SignaturePolicy(**{name: 1}), name) == 1
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        SignaturePolicy(**{name: 0})


def test_clock_skew_may_be_zero_but_not_negative():
    assert DEFAULT.with_(clock_skew_s=0).clock_skew_s == 0
    with pytest.raises(ValueError, match="clock_skew_s must not be negative: -1"):
        DEFAULT.with_(clock_skew_s=-1)


def test_coverage_is_met_by_any_complete_alternative():
    groups = ((frozenset({"a", "b"}), frozenset({"c"})),)
    for covered in (["a", "b"], ["c"], ["a", "b", "c"], ["d", "c"]):
        DEFAULT.check_coverage(groups, covered)
    for covered in (["a"], ["b"], ["d"], []):
        with pytest.raises(CoverageTooSmall, match="a with b or c"):
            DEFAULT.check_coverage(groups, covered)


# --- the explanation of a failed check ------------------------------------------------------------------------------


def test_failed_check_explains_the_label_and_the_first_signing_string(ed_key, rsa_key, get, now):
    signed = evolve(rfc9421.sign(get, ed_key, now=now, label="a"), method="HEAD")
    [presented] = rfc9421.parse(signed, DEFAULT, now)
    with pytest.raises(BadSignature) as exc_info:
        check(presented, ed_key.public)
    assert exc_info.value.explanation.label == "a"
    with pytest.raises(KeyMismatch) as exc_info:
        check(presented, rsa_key.public.renamed(key_id=ed_key.key_id))
    assert exc_info.value.explanation.label == "a"
    of_cavage = evolve(cavage.sign(get, rsa_key, now=now), method="HEAD")
    with pytest.raises(BadSignature) as exc_info:
        check(cavage.parse(of_cavage, DEFAULT, now), rsa_key.public)
    assert exc_info.value.explanation.signing_string.startswith("(request-target): head /users/bob/outbox?page=2\n")


# --- the presets ----------------------------------------------------------------------------------------------------


def required(*names):
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
    "cavage_read": (required("(request-target)"), required("host"), required("date", "(created)")),
    "cavage_write": (
        required("(request-target)"),
        required("host"),
        required("date", "(created)"),
        required("digest", "content-digest"),
    ),
    "rfc9421_read": (required("@method"), TARGET),
    "rfc9421_write": (required("@method"), TARGET, required("content-digest")),
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
    "rfc9421_read": (required("@method"), required("@target-uri")),
    "rfc9421_write": (required("@method"), required("@target-uri"), required("content-digest")),
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
    "cavage_read": (required("date", "(created)"),),
    "cavage_write": (required("date", "(created)"), required("digest", "content-digest")),
    "rfc9421_read": (required("@method"), (*TARGET, frozenset({"@path"}))),
    "rfc9421_write": (required("content-digest"),),
    "age_s_max": 12 * 3600,
    "authorization": True,
}


@pytest.mark.parametrize(
    ("policy", "differences"),
    [(DEFAULT, {}), (STRICT, STRICTER), (LENIENT, MORE_LENIENT)],
    ids=["default", "strict", "lenient"],
)
def test_preset_has_its_pinned_values(policy, differences):
    """A change of these values changes which requests are believed everywhere, and belongs in the changelog."""
    assert asdict(policy, recurse=False) == DEFAULTS | differences
    assert PRESETS[policy.name] is policy


def test_expiry_counts_as_signed_by_default():
    """RFC 9421 always signs the expiry, draft-cavage only if it is covered. An unsigned expiry prolongs nothing."""
    times = {"signed": 0, "expires": 10_000, "now_s": 9_000.0}
    DEFAULT.check_times(**times)
    with pytest.raises(SignatureTooOld):
        DEFAULT.check_times(**times, expires_signed=False)
