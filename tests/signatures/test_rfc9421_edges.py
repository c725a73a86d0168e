"""RFC 9421 and Accept-Signature at the edges: each rule on both of its sides, which mutation testing found to be tried on one alone."""

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


def request_of(given_input, signature="sig1=:aGk=:", **more):
    headers = {"signature-input": given_input, "signature": signature, "host": "local.example"}
    return Request("GET", more.pop("url", "https://local.example/x?q=1"), {**headers, **more})


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["n", "\\\\"], ids=["plain", "escaped"])
def test_a_field_of_more_than_the_most_characters_is_refused(now, letter):
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
def test_a_signature_that_is_no_base64(now, signature):
    with pytest.raises(SignatureMalformed):
        rfc9421.parse(request_of(f'sig1=("@method");created={CREATED};keyid="{K}"', signature), BARE, now)


@pytest.mark.parametrize("number", [0, 1, 10**14 - 1, 10**14, 10**15 - 1])
def test_a_number_in_the_parameters_stands_as_it_came(now, number):
    for parameters in (f"a={number}", f"a=?1;b={number}"):
        line = f'("@method");created={CREATED};keyid="{K}";{parameters.replace("=?1", "")}'
        [presented] = rfc9421.parse(request_of(f"sig1={line}"), BARE, now)
        assert presented.bases[0].data.endswith(f'"@signature-params": {line}'.encode())


@pytest.mark.parametrize("more", ["", ";x"])
@pytest.mark.parametrize("text", ["a", "", "[]^ !", 'with \\" and \\\\', '\\"', "\\\\"])
def test_a_string_in_the_parameters_stands_as_it_came(now, text, more):
    line = f'("@method");created={CREATED}{more};keyid="{K}";nonce="{text}"'
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
def test_what_binds_the_query(now, names, covered):
    given_input = f'sig1=({names});created={CREATED};keyid="{K}"'
    assert rfc9421.parse(request_of(given_input), BARE, now)[0].bases[0].query_covered == covered
    plain = request_of(given_input.replace(' "@query"', "").replace('"@query-param";name="q"', '"@path"'), url="https://local.example/x")  # fmt: skip
    assert rfc9421.parse(plain, BARE, now)[0].bases[0].query_covered


@pytest.mark.parametrize("names", ['"@method" "@target-uri"', '"@method" "@request-target" "@authority"', '"@method" "@path" "@query" "@authority"'])  # fmt: skip
@pytest.mark.parametrize("left_out", [0, 1, 2, 3])
def test_each_way_to_name_the_target_needs_all_of_its_parts(now, names, left_out):
    all_names = names.split(" ")
    kept = [name for number, name in enumerate(all_names) if number != left_out]
    request = request_of(f'sig1=({" ".join(kept)});created={CREATED};keyid="{K}"')
    if kept == all_names:
        assert rfc9421.parse(request, DEFAULT, now)
    else:
        with pytest.raises(CoverageTooSmall):
            rfc9421.parse(request, DEFAULT, now)


@pytest.mark.parametrize("named", ["hmac-sha256", "rsa-v1_5-sha512", "RSA-PSS-SHA512", ""])
def test_an_algorithm_that_means_nothing_here(now, named):
    with pytest.raises(AlgorithmRefused):
        rfc9421.parse(request_of(f'sig1=("@method");created={CREATED};keyid="{K}";alg="{named}"'), BARE, now)


# --- what a refusal tells -------------------------------------------------------------------------------------------


def refusal(request, policy, now):
    with pytest.raises(ExplainedError) as caught:
        rfc9421.parse(request, policy, now)
    return caught.value.explanation


def test_fields_that_cannot_be_read_are_called_by_their_scheme(now):
    for request in (request_of("x("), request_of("sig1=()", "x(")):
        told = refusal(request, DEFAULT, now)
        assert told.scheme == "rfc9421"
        assert told.rule == "RFC 9421 §4"


def test_a_refusal_tells_what_was_known(ed_key, post, now):
    signed = rfc9421.sign(post, ed_key, now=now, label="a")
    told = refusal(signed, DEFAULT.with_(schemes=frozenset({"cavage"})), now)
    assert (told.scheme, told.label, told.key_id, told.algorithm) == ("rfc9421", "a", ed_key.key_id, "ed25519")
    assert told.covered == ("@method", "@target-uri", "@authority", "content-digest")
    assert told.clock_offset_s == 0
    assert told.signing_string.startswith('"@method": POST\n"@target-uri": https://local.example/')
    with pytest.raises(SchemeRefused):
        rfc9421.parse(signed, DEFAULT.with_(schemes=frozenset({"cavage"})), now)


def test_a_refusal_without_a_rule_of_its_own_names_the_scheme(now):
    told = refusal(request_of(f'sig1=("x-missing");created={CREATED};keyid="{K}"'), BARE, now)
    assert told.rule == "RFC 9421 §2"
    assert (told.scheme, told.label) == ("rfc9421", "sig1")


def test_a_refusal_tells_nothing_that_is_of_another_kind(now):
    told = refusal(request_of('sig1=("@method" "date";bs);created;keyid=5;alg=?0'), BARE, now)
    assert (told.key_id, told.algorithm, told.clock_offset_s) == (None, None, None)
    assert told.covered == ("@method", '"date";bs')
    late = refusal(
        request_of(f'sig1=("@method");created={CREATED + 7200};keyid="{K}"'), BARE.with_(clock_skew_s=5), now
    )
    assert late.clock_offset_s == 7200


def test_for_explanations_values_are_not_compared(ed_key, post, now):
    changed = evolve(rfc9421.sign(post, ed_key, now=now), body=b"another")
    [held] = rfc9421.examine(changed, DEFAULT, now, compare=False)
    assert not isinstance(held, ExplainedError)
    [refused] = rfc9421.examine(changed, DEFAULT, now)
    assert isinstance(refused, ExplainedError)


# --- signing --------------------------------------------------------------------------------------------------------


def test_earlier_signatures_are_dropped_before_the_new_one_is_made(ed_key, post, now):
    signed = rfc9421.sign(post, ed_key, now=now, label="old")
    unsigned = rfc9421.prepare(signed, key_id=K, now=now)
    assert "signature" not in unsigned.request.headers or "old" not in unsigned.request.headers.get("signature")
    assert b"old" not in unsigned.data
    again = unsigned.attach(b"x")
    assert len(again.headers.get_all("signature")) == len(again.headers.get_all("signature-input")) == 1
    with pytest.raises(ValueError, match="signature"):
        rfc9421.prepare(signed, key_id=K, now=now, covered=("@method", "signature"))


@pytest.mark.parametrize("label", ["sig1 ", "sig1=", "Sig", "1", "", "a;b"])
def test_a_label_that_cannot_be_written(post, now, label):
    with pytest.raises(ValueError, match="label"):
        rfc9421.prepare(post, key_id=K, now=now, label=label)


@pytest.mark.parametrize("label", ["s", "*", "a-b_c.d*1"])
def test_labels_that_can(ed_key, post, now, label):
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


@pytest.mark.parametrize(("name", "written", "canonical"), [(name, *pair) for name, pair in STRUCTURED.items()], ids=STRUCTURED)  # fmt: skip
def test_fields_that_are_known_to_be_structured(name, written, canonical):
    message = Message(Request("GET", "https://a.example/", {name: written}))
    assert message.line(parse_item(f'"{name}";sf')) == f'"{name}";sf: {canonical}'


@pytest.mark.parametrize("name", ["date", "x-own", "host"])
def test_a_field_of_a_type_that_is_not_known_is_not_guessed(name):
    message = Message(Request("GET", "https://a.example/", {name: "a"}))
    with pytest.raises(ComponentMissing):
        message.line(parse_item(f'"{name}";sf'))


@pytest.mark.parametrize(
    "component",
    ['"date";sf=?0', '"date";bs=1', '"priority";sf;bs', '"priority";sf="x"', '"priority";x', '"@method";sf', '"@path";x', '"@query-param"', '"@query-param";name=1', '"@query-param";name="a";x'],
)  # fmt: skip
def test_parameters_that_a_component_does_not_have(component):
    message = Message(Request("GET", "https://a.example/?a=1", {"date": "x", "priority": "u=1"}))
    with pytest.raises(SignatureMalformed):
        message.line(parse_item(component))


@pytest.mark.parametrize("component", ['"priority";tr', '"priority";req', '"priority";sf;tr', '"priority";key="x"', '"priority";key=1', '"@query-param";name="b"'])  # fmt: skip
def test_components_that_are_elsewhere(component):
    message = Message(Request("GET", "https://a.example/?a=1", {"priority": "u=1"}))
    with pytest.raises(ComponentMissing):
        message.line(parse_item(component))


@pytest.mark.parametrize(("count", "found"), [(1000, True), (1001, False)])
def test_as_many_parameters_of_a_query_as_are_read(count, found):
    query = "&".join(f"a{number}=" for number in range(count))
    message = Message(Request("GET", f"https://a.example/?{query}"))
    component = parse_item('"@query-param";name="a1"')
    if found:
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
def test_which_of_a_digest_binds_the_body(post, now, digest, counts):
    body_digest = rfc9421.prepare(post, key_id=K, now=now).request.headers.get("content-digest")
    # By the three names it is the same value; which of them a verifier would compare is not what is tried here.
    value = body_digest if counts and "512" not in digest else f"{body_digest}, md5=:AAAA:, sha-512=:AAAA:"
    message = Message(evolve(post, headers=post.headers.with_set("content-digest", value)))
    assert message.line(parse_item(digest)).startswith(digest)
    assert ("content-digest" in counted_names((parse_item(digest),))) == counts


# --- Accept-Signature -----------------------------------------------------------------------------------------------


def asked(get, text, now, **more):
    return answer(get, read_challenges(text), **{"key_id": K, "algorithm": "ed25519", "now": now, **more})


def test_a_signature_that_is_to_expire_does_so_after_five_minutes(get, now):
    given_input = asked(get, "a=();expires", now).request.headers.get("signature-input")
    assert f";created={CREATED}" in given_input
    assert f";expires={CREATED + 300}" in given_input
    for text in ("a=()", "a=();expires=?0", "a=();expires=5", "a=();created"):
        assert ";expires" not in asked(get, text, now).request.headers.get("signature-input")


def test_a_challenge_asks_for_nothing_by_itself():
    assert Challenge(label="a", components=[]).expires is False
    assert Challenge(label="a", components=[parse_item('"date"')]).components == (parse_item('"date"'),)


@pytest.mark.parametrize(("length", "taken"), [(255, True), (256, True), (257, False)])
@pytest.mark.parametrize("name", ["nonce", "tag"])
def test_the_longest_text_of_a_challenge(length, taken, name):
    assert len(read_challenges(f'a=();{name}="{"x" * length}"')) == taken


def test_a_component_with_parameters_is_not_the_component(get, now):
    """Whoever asks for part of a field has not asked for what we always cover."""
    post = evolve(get, method="POST")
    given_input = asked(post, 'a=("content-digest";key="sha-256")', now).request.headers.get("signature-input")
    assert given_input.startswith(
        'a=("content-digest";key="sha-256" "@method" "@target-uri" "@authority" "content-digest")'
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_needs_no_digest(get, now, method):
    given_input = asked(evolve(get, method=method), "a=()", now).request.headers.get("signature-input")
    assert given_input.startswith('a=("@method" "@target-uri" "@authority")')


def test_what_is_for_answers_is_not_for_requests():
    assert read_challenges('a=("@status")') == ()
    assert read_challenges('a=("date" "date")') == ()
    assert read_challenges('a=("date" "date";bs)') != ()


def test_the_algorithm_that_is_announced_unless_another_is_named(get, now):
    unsigned = answer(get, read_challenges("a=()"), key_id=K, now=now)
    assert ';alg="rsa-v1_5-sha256"' in unsigned.request.headers.get("signature-input")
    assert ';alg="rsa-v1_5-sha256"' in rfc9421.prepare(get, key_id=K, now=now).request.headers.get("signature-input")


def test_a_challenge_is_written_from_the_policy_of_its_scheme():
    assert challenge("GET") == 'sig1=("@method" "@target-uri");created'
    assert challenge("GET", has_body=True) == 'sig1=("@method" "@target-uri" "content-digest");created'
