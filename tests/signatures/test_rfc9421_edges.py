"""Check each rule of RFC 9421 and Accept-Signature on both sides of its edge, as mutation testing demands."""

from __future__ import annotations

import pytest
from attrs import evolve

from apcore.http.fields import FIELD_LENGTH_MAX, parse_item
from apcore.http.messages import Request
from apcore.signatures import rfc9421
from apcore.signatures._components import Message, counted_names
from apcore.signatures.accept_signature import Challenge, answer, challenge, read_challenges
from apcore.signatures.errors import (
    AlgorithmRefused,
    ComponentMissing,
    CoverageTooSmall,
    ExplainedError,
    SchemeRefused,
    SignatureMalformed,
)
from apcore.signatures.policy import DEFAULT, LENIENT

BARE = LENIENT.with_(rfc9421_read=(), rfc9421_write=())
CREATED = 1795334400
K = "https://remote.example/users/alice#main-key"


def request_of(given_input, signature="sig1=:aGk=:", **other_headers):
    headers = {"signature-input": given_input, "signature": signature, "host": "local.example"}
    return Request("GET", other_headers.pop("url", "https://local.example/x?q=1"), {**headers, **other_headers})


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["n", "\\\\"], ids=["plain", "escaped"])
def test_field_length_is_bounded(now, letter):
    head = f'sig1=("@method");created={CREATED};keyid="{K}";nonce="'
    for length, refused in ((FIELD_LENGTH_MAX, False), (FIELD_LENGTH_MAX + len(letter), True)):
        count = (length - len(head) - 1) // len(letter)
        text = f'{head}{letter * count}"'
        if refused:
            with pytest.raises(SignatureMalformed):
                rfc9421.parse(request_of(text), BARE, now)
        else:
            assert rfc9421.parse(request_of(text), BARE, now)


@pytest.mark.parametrize("signature", ["sig1=:aGk=x:", "sig1=:=aGk:", "sig1=:a Gk=:", "sig1=aGk=", "sig1=::"])
def test_signature_outside_base64_is_refused(now, signature):
    with pytest.raises(SignatureMalformed):
        rfc9421.parse(request_of(f'sig1=("@method");created={CREATED};keyid="{K}"', signature), BARE, now)


@pytest.mark.parametrize("number", [0, 1, 10**14 - 1, 10**14, 10**15 - 1])
def test_number_parameter_is_signed_as_received(now, number):
    for parameters in (f"a={number}", f"a=?1;b={number}"):
        line = f'("@method");created={CREATED};keyid="{K}";{parameters.replace("=?1", "")}'
        [presented] = rfc9421.parse(request_of(f"sig1={line}"), BARE, now)
        assert presented.bases[0].data.endswith(f'"@signature-params": {line}'.encode())


@pytest.mark.parametrize("next_parameter", ["", ";x"])
@pytest.mark.parametrize("text", ["a", "", "[]^ !", 'with \\" and \\\\', '\\"', "\\\\"])
def test_string_parameter_is_signed_as_received(now, text, next_parameter):
    line = f'("@method");created={CREATED}{next_parameter};keyid="{K}";nonce="{text}"'
    [presented] = rfc9421.parse(request_of(f"sig1={line}"), BARE, now)
    assert presented.bases[0].data.endswith(f'"@signature-params": {line}'.encode())


@pytest.mark.parametrize(
    ("names", "covered"),
    [
        ('"@target-uri"', True),
        ('"@request-target" "@authority"', True),
        ('"@path" "@query" "@authority"', True),
        ('"@path" "@authority"', False),
        ('"@query-param";name="q"', False),
    ],
)
def test_components_that_cover_the_query(now, names, covered):
    given_input = f'sig1=({names});created={CREATED};keyid="{K}"'
    assert rfc9421.parse(request_of(given_input), BARE, now)[0].bases[0].query_covered == covered
    path_only = given_input.replace(' "@query"', "").replace('"@query-param";name="q"', '"@path"')
    plain = request_of(path_only, url="https://local.example/x")
    assert rfc9421.parse(plain, BARE, now)[0].bases[0].query_covered


@pytest.mark.parametrize(
    "names",
    [
        '"@method" "@target-uri"',
        '"@method" "@request-target" "@authority"',
        '"@method" "@path" "@query" "@authority"',
    ],
)
@pytest.mark.parametrize("omitted_index", [0, 1, 2, 3])
def test_incomplete_target_coverage_is_refused(now, names, omitted_index):
    all_names = names.split(" ")
    covered_names = [name for number, name in enumerate(all_names) if number != omitted_index]
    request = request_of(f'sig1=({" ".join(covered_names)});created={CREATED};keyid="{K}"')
    if covered_names == all_names:
        assert rfc9421.parse(request, DEFAULT, now)
    else:
        with pytest.raises(CoverageTooSmall):
            rfc9421.parse(request, DEFAULT, now)


@pytest.mark.parametrize("algorithm", ["hmac-sha256", "rsa-v1_5-sha512", "RSA-PSS-SHA512", ""])
def test_unknown_algorithm_is_refused(now, algorithm):
    with pytest.raises(AlgorithmRefused):
        rfc9421.parse(request_of(f'sig1=("@method");created={CREATED};keyid="{K}";alg="{algorithm}"'), BARE, now)


# --- the explanation of a refusal -----------------------------------------------------------------------------------


def refusal(request, policy, now):
    with pytest.raises(ExplainedError) as exc_info:
        rfc9421.parse(request, policy, now)
    return exc_info.value.explanation


def test_refusal_of_malformed_fields_names_the_scheme(now):
    for request in (request_of("x("), request_of("sig1=()", "x(")):
        explanation = refusal(request, DEFAULT, now)
        assert explanation.scheme == "rfc9421"
        assert explanation.rule == "RFC 9421 §4"


def test_refusal_explains_the_signature(ed_key, post, now):
    signed = rfc9421.sign(post, ed_key, now=now, label="a")
    explanation = refusal(signed, DEFAULT.with_(schemes=frozenset({"cavage"})), now)
    assert (explanation.scheme, explanation.label, explanation.key_id, explanation.algorithm) == (
        "rfc9421",
        "a",
        ed_key.key_id,
        "ed25519",
    )
    assert explanation.covered == ("@method", "@target-uri", "@authority", "content-digest")
    assert explanation.clock_offset_s == 0
    assert explanation.signing_string.startswith('"@method": POST\n"@target-uri": https://local.example/')
    with pytest.raises(SchemeRefused):
        rfc9421.parse(signed, DEFAULT.with_(schemes=frozenset({"cavage"})), now)


def test_refusal_names_the_general_rule_if_it_has_none(now):
    explanation = refusal(request_of(f'sig1=("x-missing");created={CREATED};keyid="{K}"'), BARE, now)
    assert explanation.rule == "RFC 9421 §2"
    assert (explanation.scheme, explanation.label) == ("rfc9421", "sig1")


def test_explanation_omits_parameters_of_a_wrong_type(now):
    explanation = refusal(request_of('sig1=("@method" "date";bs);created;keyid=5;alg=?0'), BARE, now)
    assert (explanation.key_id, explanation.algorithm, explanation.clock_offset_s) == (None, None, None)
    assert explanation.covered == ("@method", '"date";bs')
    late = refusal(
        request_of(f'sig1=("@method");created={CREATED + 7200};keyid="{K}"'), BARE.with_(clock_skew_s=5), now
    )
    assert late.clock_offset_s == 7200


def test_explanations_can_skip_comparing_values(ed_key, post, now):
    changed = evolve(rfc9421.sign(post, ed_key, now=now), body=b"another")
    [presented] = rfc9421.examine(changed, DEFAULT, now, compare=False)
    assert not isinstance(presented, ExplainedError)
    [error] = rfc9421.examine(changed, DEFAULT, now)
    assert isinstance(error, ExplainedError)


# --- signing --------------------------------------------------------------------------------------------------------


def test_new_signature_replaces_and_never_covers_old_ones(ed_key, post, now):
    signed = rfc9421.sign(post, ed_key, now=now, label="old")
    unsigned = rfc9421.prepare(signed, key_id=K, now=now)
    assert "signature" not in unsigned.request.headers or "old" not in unsigned.request.headers.get("signature")
    assert b"old" not in unsigned.data
    signed_again = unsigned.attach(b"x")
    assert len(signed_again.headers.get_all("signature")) == len(signed_again.headers.get_all("signature-input")) == 1
    with pytest.raises(ValueError, match="signature"):
        rfc9421.prepare(signed, key_id=K, now=now, covered=("@method", "signature"))


@pytest.mark.parametrize("label", ["sig1 ", "sig1=", "Sig", "1", "", "a;b"])
def test_invalid_label_is_refused(post, now, label):
    with pytest.raises(ValueError, match="label"):
        rfc9421.prepare(post, key_id=K, now=now, label=label)


@pytest.mark.parametrize("label", ["s", "*", "a-b_c.d*1"])
def test_valid_label_is_written_and_read(ed_key, post, now, label):
    assert rfc9421.parse(rfc9421.sign(post, ed_key, now=now, label=label), DEFAULT, now)[0].label == label


# --- components -----------------------------------------------------------------------------------------------------

STRUCTURED = {
    "accept-signature": ("a=1,  b", "a=1, b"),
    "cache-status": ("a=1,  b", "a=1, b"),
    "content-digest": ("sha-256=:AAAA:,  x=:AA==:", "sha-256=:AAAA:, x=:AA==:"),
    "priority": ("u=1,   i", "u=1, i"),
    "repr-digest": ("a=:AAAA:,  b", "a=:AAAA:, b"),
    "want-content-digest": ("a=1,  b=2", "a=1, b=2"),
    "want-repr-digest": ("a=1,  b=2", "a=1, b=2"),
    "signature": ("a=:AAAA:,  b=:AAAA:", "a=:AAAA:, b=:AAAA:"),
    "signature-input": ("a=(),  b=()", "a=(), b=()"),
    "accept-ch": ("a ,  b", "a, b"),
    "proxy-status": ("a ,  b;x", "a, b;x"),
    "client-cert": (":AAAA:;  x", ":AAAA:;x"),
    "signature-key": (":AAAA:;  x", ":AAAA:;x"),
}


@pytest.mark.parametrize(
    ("name", "sent", "canonical"), [(name, *pair) for name, pair in STRUCTURED.items()], ids=STRUCTURED
)
def test_structured_field_has_its_canonical_form(name, sent, canonical):
    message = Message(Request("GET", "https://a.example/", {name: sent}))
    assert message.line(parse_item(f'"{name}";sf')) == f'"{name}";sf: {canonical}'


@pytest.mark.parametrize("name", ["date", "x-own", "host"])
def test_field_of_an_unknown_type_has_no_structured_form(name):
    message = Message(Request("GET", "https://a.example/", {name: "a"}))
    with pytest.raises(ComponentMissing):
        message.line(parse_item(f'"{name}";sf'))


@pytest.mark.parametrize(
    "component",
    [
        *('"date";sf=?0', '"date";bs=1', '"priority";sf;bs', '"priority";sf="x"', '"priority";x', '"@method";sf'),
        *('"@path";x', '"@query-param"', '"@query-param";name=1', '"@query-param";name="a";x'),
    ],
)
def test_unsupported_component_parameter_is_refused(component):
    message = Message(Request("GET", "https://a.example/?a=1", {"date": "x", "priority": "u=1"}))
    with pytest.raises(SignatureMalformed):
        message.line(parse_item(component))


@pytest.mark.parametrize(
    "component",
    [
        '"priority";tr',
        '"priority";req',
        '"priority";sf;tr',
        '"priority";key="x"',
        '"priority";key=1',
        '"@query-param";name="b"',
    ],
)
def test_component_of_another_message_is_missing(component):
    message = Message(Request("GET", "https://a.example/?a=1", {"priority": "u=1"}))
    with pytest.raises(ComponentMissing):
        message.line(parse_item(component))


@pytest.mark.parametrize(("count", "is_read"), [(1000, True), (1001, False)])
def test_at_most_1000_query_parameters_are_read(count, is_read):
    query = "&".join(f"a{number}=" for number in range(count))
    message = Message(Request("GET", f"https://a.example/?{query}"))
    component = parse_item('"@query-param";name="a1"')
    if is_read:
        assert message.line(component).endswith(": ")
    else:
        with pytest.raises(ComponentMissing):
            message.line(component)


@pytest.mark.parametrize(
    ("digest", "counts"),
    [
        ('"content-digest"', True),
        ('"content-digest";sf', True),
        ('"content-digest";bs', True),
        ('"content-digest";key="sha-256"', True),
        ('"content-digest";key="sha-512"', True),
        ('"content-digest";key="md5"', False),
    ],
)
def test_digest_component_that_covers_the_body(post, now, digest, counts):
    body_digest = rfc9421.prepare(post, key_id=K, now=now).request.headers.get("content-digest")
    # All three names have the same value here. This test does not ask which one a verifier compares.
    value = body_digest if counts and "512" not in digest else f"{body_digest}, md5=:AAAA:, sha-512=:AAAA:"
    message = Message(evolve(post, headers=post.headers.with_set("content-digest", value)))
    assert message.line(parse_item(digest)).startswith(digest)
    assert ("content-digest" in counted_names((parse_item(digest),))) == counts


# --- Accept-Signature -----------------------------------------------------------------------------------------------


def answer_to(get, text, now, **options):
    return answer(get, read_challenges(text), **{"key_id": K, "algorithm": "ed25519", "now": now, **options})


def test_requested_expiry_is_five_minutes_after_signing(get, now):
    given_input = answer_to(get, "a=();expires", now).request.headers.get("signature-input")
    assert f";created={CREATED}" in given_input
    assert f";expires={CREATED + 300}" in given_input
    for text in ("a=()", "a=();expires=?0", "a=();expires=5", "a=();created"):
        assert ";expires" not in answer_to(get, text, now).request.headers.get("signature-input")


def test_challenge_requests_no_expiry_by_default():
    assert Challenge(label="a", components=[]).expires is False
    assert Challenge(label="a", components=[parse_item('"date"')]).components == (parse_item('"date"'),)


@pytest.mark.parametrize(("length", "challenge_count"), [(255, True), (256, True), (257, False)])
@pytest.mark.parametrize("name", ["nonce", "tag"])
def test_challenge_text_has_at_most_256_characters(length, challenge_count, name):
    assert len(read_challenges(f'a=();{name}="{"x" * length}"')) == challenge_count


def test_component_with_parameters_does_not_replace_the_component(get, now):
    """A challenge for a part of a field does not cover the whole field, which we always cover."""
    post = evolve(get, method="POST")
    given_input = answer_to(post, 'a=("content-digest";key="sha-256")', now).request.headers.get("signature-input")
    assert given_input.startswith(
        'a=("content-digest";key="sha-256" "@method" "@target-uri" "@authority" "content-digest")'
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answer_to_a_get_needs_no_digest(get, now, method):
    given_input = answer_to(evolve(get, method=method), "a=()", now).request.headers.get("signature-input")
    assert given_input.startswith('a=("@method" "@target-uri" "@authority")')


def test_challenge_for_a_response_component_is_ignored():
    assert read_challenges('a=("@status")') == ()
    assert read_challenges('a=("date" "date")') == ()
    assert read_challenges('a=("date" "date";bs)') != ()


def test_default_algorithm_is_announced(get, now):
    unsigned = answer(get, read_challenges("a=()"), key_id=K, now=now)
    assert ';alg="rsa-v1_5-sha256"' in unsigned.request.headers.get("signature-input")
    assert ';alg="rsa-v1_5-sha256"' in rfc9421.prepare(get, key_id=K, now=now).request.headers.get("signature-input")


def test_challenge_has_the_coverage_of_the_policy():
    assert challenge("GET") == 'sig1=("@method" "@target-uri");created'
    assert challenge("GET", has_body=True) == 'sig1=("@method" "@target-uri" "content-digest");created'
