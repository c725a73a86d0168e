"""Check RFC 9421 on requests: components, parameters, labels, and that no covered byte can be changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apcore.errors import ApcoreError
from apcore.http.fields import Item
from apcore.http.messages import Request
from apcore.signatures import rfc9421
from apcore.signatures._components import Message
from apcore.signatures.errors import (
    AlgorithmRefused,
    BadSignature,
    ComponentMissing,
    CoverageTooSmall,
    DigestMalformed,
    DigestMismatch,
    SchemeRefused,
    SignatureExpired,
    SignatureFromFuture,
    SignatureMalformed,
    SignatureMissing,
    SignatureTooOld,
    WrongHost,
)
from apcore.signatures.policy import DEFAULT, LENIENT, STRICT
from apcore.signatures.presented import check

BARE = LENIENT.with_(rfc9421_read=(), rfc9421_write=())


def with_field(request, name, value):
    return evolve(request, headers=request.headers.with_set(name, value))


def verify(request, key, now, policy=DEFAULT):
    return check(rfc9421.parse(request, policy, now)[0], key.public)


# --- both sides -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [DEFAULT, STRICT, LENIENT], ids=lambda p: p.name)
@pytest.mark.parametrize("request_name", ["post", "get"])
@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [("rsa", "rsa-v1_5-sha256"), ("rsa", "rsa-pss-sha512"), ("ed25519", None), ("p256", None), ("p384", None)],
)
def test_our_signature_is_accepted(any_key, post, get, now, policy, request_name, kind, algorithm):
    key = any_key[kind]
    signed = rfc9421.sign({"post": post, "get": get}[request_name], key, now=now, algorithm=algorithm)
    verified = verify(signed, key, now, policy)
    assert (verified.owner, verified.scheme, verified.label) == (key.public.owner, "rfc9421", "sig1")
    assert verified.query_covered


def test_signature_input_of_a_delivery(rsa_key, post, now):
    signed = rfc9421.sign(post, rsa_key, now=now, nonce="n", tag="activitypub", expires_s=300, label="a")
    assert signed.headers.get("signature-input") == (
        'a=("@method" "@target-uri" "@authority" "content-digest")'
        ';created=1795334400;alg="rsa-v1_5-sha256";keyid="https://remote.example/users/alice#main-key"'
        ';expires=1795334700;nonce="n";tag="activitypub"'
    )
    verified = verify(signed, rsa_key, now)
    assert (verified.nonce, verified.tag, verified.expires, verified.label) == ("n", "activitypub", 1795334700, "a")


@pytest.mark.parametrize(
    ("method", "body", "digested"),
    [("GET", b"", False), ("HEAD", b"", False), ("GET", b"x", True), ("POST", b"", True), ("DELETE", b"", True)],
)
def test_digest_is_added_if_the_request_may_have_a_body(ed_key, now, method, body, digested):
    request = Request(method, "https://local.example/x", {"Host": "local.example"}, body)
    signed = rfc9421.sign(request, ed_key, now=now)
    assert ("content-digest" in signed.headers) == digested
    assert ("content-digest" in " ".join(verify(signed, ed_key, now).covered)) == digested


def test_prepared_request_takes_a_signature_made_elsewhere(ed_key, post, now):
    unsigned = rfc9421.prepare(post, key_id=ed_key.key_id, algorithm="ed25519", now=now)
    assert "signature" not in unsigned.request.headers
    assert verify(unsigned.attach(ed_key.sign(unsigned.data)), ed_key, now)


def test_signing_again_replaces_the_signature_of_before(ed_key, post, now):
    first = rfc9421.sign(post, ed_key, now=now - timedelta(days=1))
    second = rfc9421.sign(first, ed_key, now=now, label="b")
    assert len(second.headers.get_all("signature")) == 1
    assert verify(second, ed_key, now).label == "b"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"algorithm": "rsa-v1_5-sha512"}, "no name"),
        ({"covered": ("x-missing",)}, "x-missing"),
        ({"covered": ("@nothing",)}, "@nothing"),
        ({"key_id": "é"}, "key id"),
        ({"label": "Capital"}, "label"),
    ],
)
def test_wrong_argument_is_refused_in_words(post, now, arguments, words):
    with pytest.raises(ValueError, match=words):
        rfc9421.prepare(post, **{"key_id": "k", "now": now, **arguments})


CHANGES = {
    "body": (lambda r: evolve(r, body=r.body + b" "), DigestMismatch),
    "body and digest": (
        lambda r: with_field(
            evolve(r, body=b""), "content-digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
        ),
        BadSignature,
    ),
    "method": (lambda r: evolve(r, method="PUT"), BadSignature),
    "method to GET": (lambda r: evolve(r, method="GET"), BadSignature),
    "path": (lambda r: evolve(r, url="https://local.example/users/bob/Inbox"), BadSignature),
    "a query": (lambda r: evolve(r, url=r.url + "?"), BadSignature),
    "host": (lambda r: evolve(r, url="https://other.example/users/bob/inbox"), BadSignature),
    "scheme": (lambda r: evolve(r, url="http://local.example/users/bob/inbox"), BadSignature),
    "no digest": (lambda r: evolve(r, headers=r.headers.without("content-digest")), ComponentMissing),
    "created": (
        lambda r: with_field(
            r, "signature-input", r.headers.get("signature-input").replace("1795334400", "1795334401")
        ),
        BadSignature,
    ),
    "key id": (
        lambda r: with_field(r, "signature-input", r.headers.get("signature-input").replace("#ed25519-key", "")),
        BadSignature,
    ),
    "an added parameter": (
        lambda r: with_field(r, "signature-input", r.headers.get("signature-input") + ";x"),
        BadSignature,
    ),
    "a removed component": (
        lambda r: with_field(r, "signature-input", r.headers.get("signature-input").replace(' "@authority"', "")),
        BadSignature,
    ),
    "an added digest": (
        lambda r: with_field(r, "content-digest", r.headers.get("content-digest") + ", md5=:AAAA:"),
        BadSignature,
    ),
    "an uncovered field": (lambda r: with_field(r, "accept", "text/html"), None),
    "white space in the input": (
        lambda r: with_field(r, "signature-input", r.headers.get("signature-input").replace('" "', '"  "')),
        None,
    ),
}


@pytest.mark.parametrize(("change", "error"), CHANGES.values(), ids=CHANGES)
def test_changed_delivery_is_refused_unless_the_change_is_uncovered(ed_key, post, now, change, error):
    changed_request = change(rfc9421.sign(post, ed_key, now=now))
    if error is None:
        assert verify(changed_request, ed_key, now)
    else:
        with pytest.raises(error):
            verify(changed_request, ed_key, now)


@given(st.data())
def test_changed_byte_of_input_or_digest_is_refused(ed_key, post, now, data):
    signed = rfc9421.sign(post, ed_key, now=now)
    name = data.draw(st.sampled_from(["signature-input", "content-digest"]))
    value = list(signed.headers.get(name))
    position = data.draw(st.integers(0, len(value) - 1))
    value[position] = data.draw(
        st.characters(min_codepoint=32, max_codepoint=126).filter(lambda c: c != value[position])
    )
    with pytest.raises(ApcoreError) as exc_info:
        verify(with_field(signed, name, "".join(value)), ed_key, now)
    assert exc_info.value.status_hint in {400, 401}


# --- components -----------------------------------------------------------------------------------------------------

REQUEST = Request(
    "POST",
    "https://WWW.example.com:443/path?param=value&foo=bar&baz=batman&qux=&two=1&two=2"
    "&var=this%20is%20a+b%0A&fa%C3%A7ade%22%3A%20=x~*",
    [
        ("Host", "www.example.com"),
        ("X-OWS", "  leading and trailing  "),
        ("X-Twice", "one"),
        ("X-Twice", "two, three"),
        ("X-Empty", ""),
        ("Example-Dict", "a=1,    b=2;x=1;y=2,   c=(a   b   c), d"),
        ("Priority", "u=1,   i"),
        ("Accept-CH", "a ,  b"),
        ("Client-Cert", ":AAAA:;  x"),
    ],
    b"",
)

LINES = {
    '"@method"': "POST",
    '"@authority"': "www.example.com",
    '"@scheme"': "https",
    '"@path"': "/path",
    '"x-ows"': "leading and trailing",
    '"x-twice"': "one, two, three",
    '"x-empty"': "",
    '"x-twice";bs': ":b25l:, :dHdvLCB0aHJlZQ==:",
    '"priority"': "u=1,   i",
    '"priority";sf': "u=1, i",
    '"accept-ch";sf': "a, b",
    '"client-cert";sf': ":AAAA:;x",
    '"example-dict";key="a"': "1",
    '"example-dict";key="b"': "2;x=1;y=2",
    '"example-dict";key="c"': "(a b c)",
    '"example-dict";key="d"': "?1",
    '"@query-param";name="param"': "value",
    '"@query-param";name="qux"': "",
    '"@query-param";name="var"': "this%20is%20a%20b%0A",
    '"@query-param";name="fa%C3%A7ade%22%3A%20"': "x%7E*",
    '"content-length"': "0",
}


def item(text):
    from apcore.http.fields import parse_item

    return parse_item(text)


@pytest.mark.parametrize(("component", "value"), LINES.items(), ids=LINES)
def test_component_line_has_the_value(component, value):
    assert Message(REQUEST).line(item(component)) == f"{component}: {value}"


def test_target_components_keep_the_target_as_sent():
    message = Message(REQUEST)
    target = REQUEST.url.partition("443")[2]
    assert message.line(Item("@target-uri")) == f'"@target-uri": {REQUEST.url}'
    assert message.line(Item("@request-target")) == f'"@request-target": {target}'
    assert message.line(Item("@query")) == f'"@query": {target.removeprefix("/path")}'


def test_components_of_an_empty_target():
    message = Message(Request("GET", "http://example.com:8080"))
    lines = [message.line(Item(name)) for name in ("@target-uri", "@request-target", "@path", "@query", "@authority")]
    assert [line.partition(": ")[2] for line in lines] == [
        "http://example.com:8080/",
        "/",
        "/",
        "?",
        "example.com:8080",
    ]


UNAVAILABLE_COMPONENTS = {
    '"@status"': ComponentMissing,
    '"@unknown"': SignatureMalformed,
    '"@"': SignatureMalformed,
    '"@signature-params"': SignatureMalformed,
    '"@method";req': SignatureMalformed,
    '"@method";sf': SignatureMalformed,
    '"@query-param"': SignatureMalformed,
    '"@query-param";name': SignatureMalformed,
    '"@query-param";name="param";x': SignatureMalformed,
    '"@query-param";name="two"': ComponentMissing,
    '"@query-param";name="none"': ComponentMissing,
    '"x-missing"': ComponentMissing,
    '"X-Twice"': SignatureMalformed,
    '"x twice"': SignatureMalformed,
    '""': SignatureMalformed,
    "x-twice": SignatureMalformed,
    "1": SignatureMalformed,
    '"x-twice";req': ComponentMissing,
    '"x-twice";tr': ComponentMissing,
    '"x-twice";unknown': SignatureMalformed,
    '"x-twice";bs;sf': SignatureMalformed,
    '"priority";sf=?0': SignatureMalformed,
    '"x-twice";bs=1': SignatureMalformed,
    '"x-twice";sf': ComponentMissing,
    '"x-ows";key="a"': SignatureMalformed,
    '"example-dict";key="z"': ComponentMissing,
    '"example-dict";key': ComponentMissing,
    '"accept-ch";key="a"': ComponentMissing,
}


@pytest.mark.parametrize(("component", "error"), UNAVAILABLE_COMPONENTS.items(), ids=UNAVAILABLE_COMPONENTS)
def test_unavailable_or_malformed_component_is_refused(component, error):
    if component == '"accept-ch";key="a"':
        # A list of tokens is also a dictionary of flags, so the member exists.
        assert Message(REQUEST).line(item(component)).endswith(": ?1")
        return
    with pytest.raises(error):
        Message(REQUEST).line(item(component))


def test_query_with_over_1000_parameters_is_refused():
    request = Request("GET", "https://example.com/?" + "&".join(f"a{n}" for n in range(1001)))
    with pytest.raises(ComponentMissing, match="more than 1000"):
        Message(request).line(item('"@query-param";name="a"'))


@pytest.mark.parametrize(
    ("digest", "covers"),
    [
        ('"content-digest"', True),
        ('"content-digest";sf', True),
        ('"content-digest";bs', True),
        ('"content-digest";key="sha-256"', True),
        ('"content-digest";key="md5"', False),
    ],
)
def test_body_is_covered_by_a_sha_content_digest(ed_key, post, now, digest, covers):
    from apcore.http.digest import make_content_digest

    post = with_field(post, "content-digest", make_content_digest(post.body) + ", md5=:AAAA:")
    unsigned = rfc9421.prepare(
        post, key_id=ed_key.key_id, algorithm="ed25519", now=now, covered=("@method", "@target-uri")
    )
    request = with_field(unsigned.request, "content-digest", post.headers.get("content-digest"))
    components = (Item("@method"), Item("@target-uri"), item(digest))
    base = rfc9421.signature_base(Message(request), components, {"created": 1795334400, "keyid": ed_key.key_id})
    params = base.decode().rpartition('"@signature-params": ')[2]
    signed = rfc9421.Unsigned(request=request, data=base, prefix="s=:", suffix=":").attach(ed_key.sign(base))
    signed = with_field(signed, "signature-input", f"s={params}")
    if covers:
        assert verify(signed, ed_key, now)
        with pytest.raises(DigestMismatch):
            verify(evolve(signed, body=b"other"), ed_key, now)
    else:
        with pytest.raises(CoverageTooSmall):
            verify(signed, ed_key, now)


# --- refusals -------------------------------------------------------------------------------------------------------

GOOD = '("@method" "@target-uri" "content-digest");created=1795334400;keyid="k"'
SIG = "s=:AAAA:"
FIELDS = {
    "input is no dictionary": ("nonsense(", SIG, SignatureMalformed),
    "input is empty": ("", SIG, SignatureMalformed),
    "signature is no dictionary": (f"s={GOOD}", ":AAAA:", SignatureMalformed),
    "label twice": (f"s={GOOD}, s={GOOD}", SIG, SignatureMalformed),
    "label twice in Signature": (f"s={GOOD}", f"{SIG}, {SIG}", SignatureMalformed),
    "parameter twice": (f's={GOOD};keyid="x"', SIG, SignatureMalformed),
    "no such label": (f"t={GOOD}", SIG, SignatureMalformed),
    "signature is a string": (f"s={GOOD}", 's="AAAA"', SignatureMalformed),
    "signature is a list": (f"s={GOOD}", "s=(:AAAA:)", SignatureMalformed),
    "signature is empty": (f"s={GOOD}", "s=::", SignatureMalformed),
    "input is an item": ('s="@method";created=1795334400;keyid="k"', SIG, SignatureMalformed),
    "no key id": ('s=("@method");created=1795334400', SIG, CoverageTooSmall),
    "no created": ('s=("@method");keyid="k"', SIG, CoverageTooSmall),
    "key id is a token": ("s=();created=1795334400;keyid=k", SIG, SignatureMalformed),
    "key id is empty": ('s=();created=1795334400;keyid=""', SIG, SignatureMalformed),
    "created is a string": ('s=();created="1795334400";keyid="k"', SIG, SignatureMalformed),
    "created is a flag": ('s=();created;keyid="k"', SIG, SignatureMalformed),
    "created is a fraction": ('s=();created=1.5;keyid="k"', SIG, SignatureMalformed),
    "created is a date": ('s=();created=@1795334400;keyid="k"', SIG, SignatureMalformed),
    "expires is a string": (f's={GOOD};expires="1"', SIG, SignatureMalformed),
    "nonce is a number": (f"s={GOOD};nonce=1", SIG, SignatureMalformed),
    "tag is a number": (f"s={GOOD};tag=1", SIG, SignatureMalformed),
    "alg is a token": (f"s={GOOD};alg=ed25519", SIG, SignatureMalformed),
    "shared secret": (f's={GOOD};alg="hmac-sha256"', SIG, AlgorithmRefused),
    "unregistered": (f's={GOOD};alg="rsa-v1_5-sha512"', SIG, AlgorithmRefused),
    "unknown": (f's={GOOD};alg="none"', SIG, AlgorithmRefused),
    "expired": (f"s={GOOD};expires=1", SIG, SignatureExpired),
    "component twice": (
        's=("@method" "@method" "@target-uri" "content-digest");created=1795334400;keyid="k"',
        SIG,
        SignatureMalformed,
    ),
    "component twice, parameters in another order": (
        's=("a";x;y "a";y;x);created=1795334400;keyid="k"',
        SIG,
        SignatureMalformed,
    ),
    "nothing covered": ('s=();created=1795334400;keyid="k"', SIG, CoverageTooSmall),
    "date alone": ('s=("date");created=1795334400;keyid="k"', SIG, CoverageTooSmall),
    "no digest": ('s=("@method" "@target-uri");created=1795334400;keyid="k"', SIG, CoverageTooSmall),
    "no method": ('s=("@target-uri" "content-digest");created=1795334400;keyid="k"', SIG, CoverageTooSmall),
    "no target": ('s=("@method" "@authority" "content-digest");created=1795334400;keyid="k"', SIG, CoverageTooSmall),
    "no authority": ('s=("@method" "@path" "content-digest");created=1795334400;keyid="k"', SIG, CoverageTooSmall),
    "too much": (
        f's=({" ".join(f"{chr(34)}x{n}{chr(34)}" for n in range(65))});created=1795334400;keyid="k"',
        SIG,
        SignatureMalformed,
    ),
    "too many labels": (
        ", ".join(f"s{n}={GOOD}" for n in range(9)),
        ", ".join(f"s{n}=:AAAA:" for n in range(9)),
        SignatureMalformed,
    ),
    "a non-ASCII byte": (f's={GOOD};tag="é"', SIG, SignatureMalformed),
}


@pytest.mark.parametrize(("given_input", "signature", "error"), FIELDS.values(), ids=FIELDS)
def test_unacceptable_signature_is_refused_for_its_reason(post, now, given_input, signature, error):
    request = rfc9421.prepare(post, key_id="k", now=now).request
    request = with_field(with_field(request, "signature-input", given_input), "signature", signature)
    with pytest.raises(error):
        rfc9421.parse(request, DEFAULT, now)


def test_numbers_of_labels_and_components_are_bounded(ed_key, post, now):
    labels = ", ".join(f"s{n}={GOOD}" for n in range(8)), ", ".join(f"s{n}=:AAAA:" for n in range(8))
    request = rfc9421.prepare(post, key_id="k", now=now).request
    request = with_field(with_field(request, "signature-input", labels[0]), "signature", labels[1])
    assert len(rfc9421.parse(request, DEFAULT, now)) == 8
    signed = rfc9421.sign(post, ed_key, now=now)
    assert verify(signed, ed_key, now, DEFAULT.with_(covered_max=4))
    with pytest.raises(SignatureMalformed, match="4 covered components"):
        verify(signed, ed_key, now, DEFAULT.with_(covered_max=3))


def test_both_signature_fields_are_needed(post, now):
    with pytest.raises(SignatureMissing):
        rfc9421.parse(post, DEFAULT, now)
    with pytest.raises(SignatureMalformed, match="no Signature"):
        rfc9421.parse(with_field(post, "signature-input", f"s={GOOD}"), DEFAULT, now)


def test_scheme_outside_the_policy_is_refused(ed_key, post, now):
    with pytest.raises(SchemeRefused):
        verify(rfc9421.sign(post, ed_key, now=now), ed_key, now, DEFAULT.with_(schemes=frozenset({"cavage"})))


@pytest.mark.parametrize(
    ("offset_s", "error"),
    [(3601, SignatureFromFuture), (3600, None), (-3600, None), (-3601, SignatureTooOld)],
)
def test_signature_time_must_lie_within_the_window(ed_key, post, now, offset_s, error):
    signed = rfc9421.sign(post, ed_key, now=now + timedelta(seconds=offset_s))
    if error is None:
        assert verify(signed, ed_key, now)
        return
    with pytest.raises(error) as exc_info:
        verify(signed, ed_key, now)
    assert (exc_info.value.explanation.clock_offset_s, exc_info.value.explanation.label) == (offset_s, "sig1")


@pytest.mark.parametrize("value", ["nonsense(", "SHA-256=:AAAA:", "sha-256=AAAA", "sha-256=(:AAAA:)"])
def test_malformed_content_digest_is_refused(ed_key, post, now, value):
    with pytest.raises((DigestMalformed, BadSignature)) as exc_info:
        verify(with_field(rfc9421.sign(post, ed_key, now=now), "content-digest", value), ed_key, now)
    assert exc_info.value.reason == "digest-malformed"


def test_covered_host_must_be_ours(ed_key, post, now):
    covered = ("@method", "@target-uri", "content-digest", "host")
    signed = rfc9421.sign(with_field(post, "host", "other.example"), ed_key, now=now, covered=covered)
    with pytest.raises(WrongHost):
        verify(signed, ed_key, now)


def test_covered_digest_field_is_compared_too(ed_key, post, now):
    covered = ("@method", "@target-uri", "content-digest", "digest")
    signed = rfc9421.sign(with_field(post, "digest", "SHA-256=AAAA"), ed_key, now=now, covered=covered)
    with pytest.raises(DigestMismatch):
        verify(signed, ed_key, now)


def test_non_ascii_value_is_covered_only_in_base64(ed_key, post, now):
    with_odd_value = with_field(post, "x-odd", "é")
    covered = ("@method", "@target-uri", "content-digest")
    assert verify(rfc9421.sign(with_odd_value, ed_key, now=now, covered=(*covered, item('"x-odd";bs'))), ed_key, now)
    with pytest.raises(ValueError, match="not ASCII"):
        rfc9421.sign(with_odd_value, ed_key, now=now, covered=(*covered, "x-odd"))
    signed = rfc9421.sign(with_field(post, "x-odd", "e"), ed_key, now=now, covered=(*covered, "x-odd"))
    with pytest.raises(SignatureMalformed, match="not ASCII"):
        verify(with_field(signed, "x-odd", "é"), ed_key, now)


def test_path_without_query_does_not_cover_the_query(ed_key, get, now):
    signed = rfc9421.sign(get, ed_key, now=now, covered=("@method", "@path", "@authority"))
    with pytest.raises(CoverageTooSmall):
        verify(signed, ed_key, now)
    assert not verify(signed, ed_key, now, LENIENT).query_covered
    bare = evolve(get, url="https://local.example/x")
    assert verify(
        rfc9421.sign(bare, ed_key, now=now, covered=("@method", "@path", "@authority")), ed_key, now
    ).query_covered


# --- several signatures ---------------------------------------------------------------------------------------------


def join_signatures(first, second):
    headers = first.headers
    for name in ("signature-input", "signature"):
        headers = headers.with_added(name, second.headers.get(name))
    return evolve(first, headers=headers)


def test_each_of_two_signatures_is_checked_with_its_key(rsa_key, ed_key, post, now):
    request = join_signatures(
        rfc9421.sign(post, rsa_key, now=now, label="a"), rfc9421.sign(post, ed_key, now=now, label="b")
    )
    first, second = rfc9421.parse(request, DEFAULT, now)
    assert (first.key_id, second.key_id) == (rsa_key.key_id, ed_key.key_id)
    assert check(first, rsa_key.public).label == "a"
    assert check(second, ed_key.public).label == "b"


def test_refused_signature_does_not_spoil_the_other(rsa_key, ed_key, post, now):
    insufficient = rfc9421.sign(post, rsa_key, now=now, label="a", covered=("@method",))
    request = join_signatures(insufficient, rfc9421.sign(post, ed_key, now=now, label="b"))
    [presented] = rfc9421.parse(request, DEFAULT, now)
    assert presented.label == "b"


def test_first_of_several_refusals_is_raised(rsa_key, ed_key, post, now):
    insufficient = rfc9421.sign(post, rsa_key, now=now, label="a", covered=("@method",))
    old = rfc9421.sign(post, ed_key, now=now - timedelta(days=1), label="b")
    with pytest.raises(CoverageTooSmall) as exc_info:
        rfc9421.parse(join_signatures(insufficient, old), DEFAULT, now)
    assert exc_info.value.explanation.label == "a"
    assert exc_info.value.explanation.key_id == rsa_key.key_id


def test_refusal_shows_the_expected_signing_string(ed_key, post, now):
    signed = evolve(rfc9421.sign(post, ed_key, now=now), method="PUT")
    with pytest.raises(BadSignature) as exc_info:
        verify(signed, ed_key, now)
    explanation = exc_info.value.explanation
    assert explanation.signing_string.startswith('"@method": PUT\n')
    assert explanation.signing_string.splitlines()[-1].startswith('"@signature-params": ("@method"')
    assert "ed25519 256 bits" in explanation.key


# --- the fast path of reading, and the general one ------------------------------------------------------------------


PLAIN = st.builds(
    "{}=({}){}".format,
    st.sampled_from(["s", "*", "sig-b2.1_x"]),
    st.lists(st.sampled_from(['"@method"', '"date"', '"x-a"', '"@"', '""', '"a b"', "date", '"a";sf']), max_size=4).map(
        " ".join
    ),
    st.lists(
        st.sampled_from(
            [
                ";created=1",
                ";a=0",
                ";b=01",
                ";c=-1",
                ';d="x"',
                ';e="[]^ !"',
                ';f="\\\\"',
                ';g="\\""',
                ";h",
                ";a=2",
                ";i=x",
                ";j=:AA==:",
                "; k=1",
            ]
        ),
        max_size=4,
    ).map("".join),
)


@given(PLAIN | st.from_regex(r's=\("[a-z@-]{0,4}"\)(;[a-z]=("[ -~]{0,4}"|[0-9]{1,17})){0,3}', fullmatch=True))
def test_fast_path_reads_the_input_like_the_general_path(text):
    plain = rfc9421._plain_input(text)
    if plain is not None:
        assert plain == rfc9421._read_inputs(text)


@given(st.from_regex(r"[s*]=:[A-Z0-9+/]{0,9}={0,3}:", fullmatch=True))
def test_fast_path_reads_the_signature_like_the_general_path(text):
    plain = rfc9421._plain_signature(text)
    if plain is not None:
        assert plain == rfc9421._read_signatures(text)


def test_our_own_fields_take_the_fast_path(ed_key, post, now):
    signed = rfc9421.sign(post, ed_key, now=now, nonce="n", tag="t", expires_s=1)
    assert rfc9421._plain_input(signed.headers.get("signature-input")) is not None
    assert rfc9421._plain_signature(signed.headers.get("signature")) is not None


@given(
    st.dictionaries(
        st.from_regex(r"[a-z*][a-z0-9_.*-]{0,3}", fullmatch=True),
        st.integers(-(10**15) + 1, 10**15 - 1)
        | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=5)
        | st.booleans()
        | st.binary(max_size=3),
    )
)
def test_fast_path_writes_parameters_like_the_general_path(parameters):
    from apcore.http.fields import serialize_parameters

    assert rfc9421._parameters_text(parameters) == serialize_parameters(parameters)


def test_number_of_16_digits_is_not_written():
    assert rfc9421._parameters_text({"a": 10**15 - 1}) == ";a=999999999999999"
    with pytest.raises(ValueError, match=r"range|15|digits|outside"):
        rfc9421._parameters_text({"a": 10**15})


# --- garbage --------------------------------------------------------------------------------------------------------

VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80)
COMPONENT = st.sampled_from(
    [*LINES, *UNAVAILABLE_COMPONENTS, '"content-digest"', '"@target-uri"', '"signature"', '"signature-input";sf']
)
INPUT = st.builds(
    "{}=({}){}".format,
    st.sampled_from(["s", "t", "sig1"]),
    st.lists(COMPONENT, max_size=5).map(" ".join),
    st.lists(
        st.sampled_from([";created=1795334400", ';keyid="k"', ';alg="ed25519"', ";expires=1795334500", ";x=?0"]),
        max_size=5,
    ).map("".join),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUE | st.lists(INPUT, max_size=3).map(", ".join), VALUE | st.just("s=:AAAA:, t=:AAAA:"), VALUE)
def test_garbage_is_refused_with_400_or_401(now, ed_key, given_input, signature, digest):
    request = REQUEST
    for name, value in (("signature-input", given_input), ("signature", signature), ("content-digest", digest)):
        request = with_field(request, name, value)
    for policy in (DEFAULT, BARE):
        with pytest.raises(ApcoreError) as exc_info:
            verify(request, ed_key, now, policy)
        assert exc_info.value.status_hint in {400, 401}
