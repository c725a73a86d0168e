"""Explanations: every step is told, the usual mistakes are named, and nothing secret is shown."""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from apcore.http.messages import Request
from apcore.signatures import cavage, rfc9421
from apcore.signatures.explain import explain
from apcore.signatures.policy import LENIENT, STRICT


def told(report):
    return {step.name: (step.ok, step.detail) for step in report.steps}


@pytest.mark.parametrize("module", [cavage, rfc9421], ids=["cavage", "rfc9421"])
def test_a_good_request(rsa_key, post, now, module):
    report = explain(module.sign(post, rsa_key, now=now - timedelta(seconds=30)), now=now, key=rsa_key.public)
    assert (report.verified.owner, report.error) == (rsa_key.public.owner, None)
    assert all(step.ok is not False for step in report.steps)
    text = "\n".join(report.lines())
    assert "our clock +30 s" in text
    assert "+ policy strict" in text
    assert "holds by rsa-v1_5-sha256" in text
    assert "body of 18 bytes with SHA-256=" in text


def test_without_a_key_nothing_is_proved(rsa_key, post, now):
    report = explain(cavage.sign(post, rsa_key, now=now), now=now)
    assert (report.verified, report.error) == (None, None)


def test_every_preset_is_asked(ed_key, post, now):
    signed = cavage.sign(post, ed_key, now=now - timedelta(minutes=10), covered=("(request-target)", "date", "digest"))
    report = explain(signed, now=now, key=ed_key.public)
    steps = told(report)
    assert (steps["policy default"][0], steps["policy strict"][0], steps["policy lenient"][0]) == (False, False, True)
    assert (
        "coverage-too-small: the signature does not cover host (policy default: minimum coverage)"
        in steps["policy default"][1]
    )
    assert steps["check cavage"][0]
    assert (report.verified, report.error.reason) == (None, "coverage-too-small")
    assert explain(signed, now=now, key=ed_key.public, policy=LENIENT).verified


def test_an_old_signature_that_holds(ed_key, post, now):
    report = explain(
        rfc9421.sign(post, ed_key, now=now - timedelta(days=400)), now=now, key=ed_key.public, policy=STRICT
    )
    assert report.error.reason == "signature-too-old"
    assert told(report)["check rfc9421 sig1"][0]


@pytest.mark.parametrize(
    ("field", "reason"), [(None, "signature-missing"), ("nonsense", "signature-malformed")], ids=["none", "nonsense"]
)
def test_what_cannot_be_read(post, now, field, reason):
    request = post if field is None else evolve(post, headers=post.headers.with_set("signature", field))
    report = explain(request, now=now)
    assert report.error.reason == reason
    assert report.steps[-1].name == "read"
    assert report.lines()[-1].startswith(f"- read: {reason}")


def test_another_body_is_told_with_its_digest(ed_key, post, now):
    report = explain(evolve(cavage.sign(post, ed_key, now=now), body=b""), now=now)
    assert report.error.reason == "digest-mismatch"
    assert "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" in report.steps[0].detail


MISTAKES = {
    "line feed": (cavage, lambda base: base + b"\n", "ends with a line feed"),
    "CR LF": (cavage, lambda base: base.replace(b"\n", b"\r\n"), "CR LF"),
    "no blank": (cavage, lambda base: base.replace(b": ", b":"), "without a blank"),
    "capitals": (
        cavage,
        lambda base: (
            base.replace(b"host", b"Host")
            .replace(b"date", b"Date")
            .replace(b"digest", b"Digest")
            .replace(b"content-type", b"Content-Type")
        ),
        "capitals",
    ),
    "method": (cavage, lambda base: base.replace(b"post", b"POST"), "method keeps its capitals"),
    "query": (cavage, lambda base: base.replace(b"?a=1", b""), "no query"),
    "method in lower case": (rfc9421, lambda base: base.replace(b"POST", b"post"), "method is in lower case"),
    "scheme": (rfc9421, lambda base: base.replace(b"https://local", b"http://local"), "scheme of the target is http"),
    "target without query": (rfc9421, lambda base: base.replace(b"?a=1", b""), "no query"),
    "nothing that is known": (rfc9421, lambda base: base + b"x", "none of the strings"),
}


@pytest.mark.parametrize(("module", "change", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named(ed_key, post, now, module, change, words):
    asking = evolve(post, url=post.url + "?a=1")
    unsigned = module.prepare(asking, key_id=ed_key.key_id, algorithm="ed25519", now=now)
    report = explain(unsigned.attach(ed_key.sign(change(unsigned.data))), now=now, key=ed_key.public)
    assert (report.verified, report.error.reason) == (None, "bad-signature")
    assert words in report.steps[-1].detail


def test_another_algorithm_is_named(rsa_key, post, now):
    unsigned = cavage.prepare(post, key_id=rsa_key.key_id, now=now)
    signed = unsigned.attach(rsa_key.sign(unsigned.data, "rsa-v1_5-sha512"))
    assert "it holds by rsa-v1_5-sha512" in explain(signed, now=now, key=rsa_key.public).steps[-1].detail


def test_another_type_of_key_is_told(rsa_key, ed_key, post, now):
    report = explain(cavage.sign(post, rsa_key, now=now), now=now, key=ed_key.public)
    assert report.error.reason == "key-mismatch"


def test_several_signatures(rsa_key, ed_key, post, now):
    one, two = rfc9421.sign(post, rsa_key, now=now, label="a"), rfc9421.sign(post, ed_key, now=now, label="b")
    headers = one.headers
    for name in ("signature-input", "signature"):
        headers = headers.with_added(name, two.headers.get(name))
    report = explain(evolve(one, headers=headers), now=now, key=ed_key.public)
    assert report.verified.label == "b"
    assert (told(report)["check rfc9421 a"][0], told(report)["check rfc9421 b"][0]) == (False, True)


def test_secrets_are_not_shown(ed_key, now):
    request = Request(
        "GET",
        "https://local.example/",
        {"Host": "local.example", "Cookie": "hunter2", "Authorization": "hunter2", "X-Other": "hunter2"},
    )
    for module, covered in (
        (cavage, ("(request-target)", "host", "date", "cookie", "authorization")),
        (rfc9421, ("@method", "@target-uri", "cookie", "authorization")),
    ):
        report = explain(module.sign(request, ed_key, now=now, covered=covered), now=now, key=ed_key.public)
        assert report.verified
        assert "hunter2" not in "\n".join(report.lines())


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["signature", "signature-input", "digest", "date", "content-digest"]),
            st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
            | st.sampled_from(
                [
                    'keyId="k",headers="(created)",created=999999999999999,signature="AAAA"',
                    'keyId="k",headers="(created)",created=0,signature="AAAA"',
                    's=();created=999999999999999;keyid="k"',
                    's=("@method");created=0;keyid="k"',
                    "s=:AAAA:",
                ]
            ),
        ),
        max_size=4,
    )
)
def test_garbage_is_explained(ed_key, now, fields):
    report = explain(Request("POST", "https://local.example/", fields), now=now, key=ed_key.public)
    assert report.verified is None
    assert report.error is not None
    assert report.lines()


def test_base64_of_nothing_is_not_a_mistake(ed_key, post, now):
    unsigned = cavage.prepare(post, key_id=ed_key.key_id, algorithm="ed25519", now=now)
    report = explain(unsigned.attach(b64encode(b"x" * 48)), now=now, key=ed_key.public)
    assert "none of the strings" in report.steps[-1].detail
