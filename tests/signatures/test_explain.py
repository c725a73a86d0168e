"""Check explanations: every step is reported, common mistakes are named, and no secret is shown."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from apcore.http.messages import Request
from apcore.signatures import _mistakes, cavage, parse, rfc9421
from apcore.signatures.explain import explain
from apcore.signatures.policy import LENIENT, STRICT


def step_results(report):
    return {step.name: (step.ok, step.detail) for step in report.steps}


@pytest.mark.parametrize("module", [cavage, rfc9421], ids=["cavage", "rfc9421"])
def test_valid_request_is_explained_step_by_step(rsa_key, post, now, module):
    report = explain(module.sign(post, rsa_key, now=now - timedelta(seconds=30)), now=now, key=rsa_key.public)
    assert (report.verified.owner, report.error) == (rsa_key.public.owner, None)
    assert all(step.ok is not False for step in report.steps)
    text = "\n".join(report.lines())
    assert "our clock +30 s" in text
    assert "+ policy strict" in text
    assert "holds by rsa-v1_5-sha256" in text
    assert "body of 18 bytes with SHA-256=" in text


def test_request_is_not_verified_without_a_key(rsa_key, post, now):
    report = explain(cavage.sign(post, rsa_key, now=now), now=now)
    assert (report.verified, report.error) == (None, None)


def test_every_preset_is_reported(ed_key, post, now):
    signed = cavage.sign(post, ed_key, now=now - timedelta(minutes=10), covered=("(request-target)", "date", "digest"))
    report = explain(signed, now=now, key=ed_key.public)
    steps = step_results(report)
    assert (steps["policy default"][0], steps["policy strict"][0], steps["policy lenient"][0]) == (False, False, True)
    assert (
        "coverage-too-small: the signature does not cover host (policy default: minimum coverage)"
        in steps["policy default"][1]
    )
    assert steps["check cavage"][0]
    assert (report.verified, report.error.reason) == (None, "coverage-too-small")
    assert explain(signed, now=now, key=ed_key.public, policy=LENIENT).verified


def test_old_signature_is_refused_although_it_holds(ed_key, post, now):
    report = explain(
        rfc9421.sign(post, ed_key, now=now - timedelta(days=400)), now=now, key=ed_key.public, policy=STRICT
    )
    assert report.error.reason == "signature-too-old"
    assert step_results(report)["check rfc9421 sig1"][0]


@pytest.mark.parametrize(
    ("field", "reason"), [(None, "signature-missing"), ("nonsense", "signature-malformed")], ids=["none", "nonsense"]
)
def test_unreadable_signature_ends_the_report(post, now, field, reason):
    request = post if field is None else evolve(post, headers=post.headers.with_set("signature", field))
    report = explain(request, now=now)
    assert report.error.reason == reason
    assert report.steps[-1].name == "read"
    assert report.lines()[-1].startswith(f"- read: {reason}")


def test_changed_body_is_reported_with_its_digest(ed_key, post, now):
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
    "unknown mistake": (rfc9421, lambda base: base + b"x", "none of the common mistakes"),
}


@pytest.mark.parametrize(("module", "change", "words"), MISTAKES.values(), ids=MISTAKES)
def test_common_mistake_is_named(ed_key, post, now, module, change, words):
    with_query = evolve(post, url=post.url + "?a=1")
    unsigned = module.prepare(with_query, key_id=ed_key.key_id, algorithm="ed25519", now=now)
    report = explain(unsigned.attach(ed_key.sign(change(unsigned.data))), now=now, key=ed_key.public)
    assert (report.verified, report.error.reason) == (None, "bad-signature")
    assert words in report.steps[-1].detail


def one_by_one(module, key, request, now):
    """Return an unsigned request and every single change of its signing string that the explanation tries."""
    unsigned = module.prepare(request, key_id=key.key_id, algorithm="ed25519", now=now, covered=COVERED[module])
    presented = parse(unsigned.attach(key.sign(unsigned.data)), LENIENT, now=now)
    singles = _mistakes._one_by_one(unsigned.request, presented)
    return unsigned, [(words, change(unsigned.data)) for words, change in singles]


COVERED = {
    cavage: ("(request-target)", "host", "date", "digest", "content-type", "content-length", "accept"),
    rfc9421: ("@method", "@target-uri", "@authority", "@path", "@query", "content-digest", "host", "date"),
}


@pytest.mark.parametrize(("module", "count_min"), [(cavage, 45), (rfc9421, 35)], ids=["cavage", "rfc9421"])
def test_every_single_mistake_is_recognised(ed_key, post, now, module, count_min):
    fields = [
        ("Accept", "text/html"),
        ("X-Forwarded-Host", "seen.example"),
        ("X-Date", "Sun, 22 Nov 2026 07:59:00 GMT"),
    ]
    request = evolve(
        post, url=post.url + "/?a=1", headers=[*post.headers, *fields, ("Date", "Sun, 22 Nov 2026 08:00:00 GMT")]
    )
    unsigned, singles = one_by_one(module, ed_key, request, now)
    assert len(singles) >= count_min
    for words, data in singles:
        report = explain(unsigned.attach(ed_key.sign(data)), now=now, policy=LENIENT, key=ed_key.public)
        matching = [other_words for other_words, other_data in singles if other_data == data]
        assert any(f"it would hold if {mistake}: " in report.steps[-1].detail for mistake in matching), words


def test_another_order_of_lines_is_recognised(ed_key, post, now):
    unsigned = cavage.prepare(post, key_id=ed_key.key_id, algorithm="ed25519", now=now)
    reversed_lines = b"\n".join(reversed(unsigned.data.split(b"\n")))
    report = explain(unsigned.attach(ed_key.sign(reversed_lines)), now=now, key=ed_key.public)
    assert "the lines were in the order content-type digest date host (request-target)" in report.steps[-1].detail


def test_two_mistakes_at_once_are_recognised(ed_key, post, now):
    unsigned = cavage.prepare(post, key_id=ed_key.key_id, algorithm="ed25519", now=now)
    wrong_string = unsigned.data.replace(b"post", b"POST") + b"\n"
    report = explain(unsigned.attach(ed_key.sign(wrong_string)), now=now, key=ed_key.public)
    assert "the method keeps its capitals, and the string ends with a line feed" in report.steps[-1].detail


def test_number_of_tries_is_bounded(ed_key, post, now):
    names = [f"x-{number}" for number in range(50)]
    request = evolve(post, headers=[*post.headers, *((name, "1") for name in names for _ in range(3))][:90])
    covered = (
        "(request-target)",
        "host",
        "date",
        "digest",
        *dict.fromkeys(name for name, _ in request.headers if name[:2] == "x-"),
    )
    unsigned = cavage.prepare(request, key_id=ed_key.key_id, algorithm="ed25519", now=now, covered=covered)
    tried_strings = []
    key = ed_key.public
    presented = parse(unsigned.attach(ed_key.sign(b"")), now=now)
    for _, data in _mistakes._changed(request, presented):
        tried_strings.append(data)
        if len(tried_strings) > 2 * _mistakes.TRIES_MAX:
            break
    assert len(set(tried_strings)) > _mistakes.TRIES_MAX
    assert _mistakes.find_mistake(request, presented, key) is None


BODIES = {
    "its final line feed": (b'{"a": 1}', b'{"a": 1}\n'),
    "its final CR LF": (b'{"a": 1}', b'{"a": 1}\r\n'),
    "no white space around it": (b'{"a": 1}', b' {"a": 1}\n\n'),
    "ended with a line feed": (b'{"a": 1}\n', b'{"a": 1}'),
    "ended with CR LF": (b'{"a": 1}\r\n', b'{"a": 1}'),
    "lines of the body ended with LF": (b'{\n"a": 1\n}', b'{\r\n"a": 1\r\n}'),
    "lines of the body ended with CR LF": (b'{\r\n"a": 1\r\n}', b'{\n"a": 1\n}'),
    "no byte order mark": (b'{"a": 1}', b'\xef\xbb\xbf{"a": 1}'),
    "there were no body": (b"", b'{"a": 1}'),
    "UTF-8 instead of ISO 8859-1": ('{"é": 1}'.encode(), '{"é": 1}'.encode("latin-1")),
    "ISO 8859-1 instead of UTF-8": ('{"é": 1}'.encode("latin-1"), '{"é": 1}'.encode()),
    "encoded as UTF-8 twice": ('{"é": 1}'.encode(), '{"é": 1}'.encode().decode("latin-1").encode()),
    "JSON without white space": (b'{"b":1,"a":2}', b'{"b": 1, "a": 2}'),
    "ASCII only": (b'{"b": "\\u00e9"}', '{"b": "é"}'.encode()),
    "its members sorted": (b'{"a":2,"b":1}', b'{"b": 1, "a": 2}'),
    "slashes escaped": (b'{"a":"b\\/c"}', b'{"a":"b/c"}'),
    "none of the common mistakes": (b"x", b"y"),
}


@pytest.mark.parametrize("module", [cavage, rfc9421], ids=["cavage", "rfc9421"])
@pytest.mark.parametrize("words", BODIES)
def test_change_of_the_body_is_recognised(ed_key, post, now, module, words):
    signed_body, received_body = BODIES[words]
    request = evolve(module.sign(evolve(post, body=signed_body), ed_key, now=now), body=received_body)
    report = explain(request, now=now, key=ed_key.public)
    [step] = [step for step in report.steps if step.name in {"digest", "content-digest"}]
    assert (step.ok, report.error.reason) == (False, "digest-mismatch")
    assert words in step.detail
    assert step_results(report)[f"check {module.__name__.rpartition('.')[2]}" + (" sig1" if module is rfc9421 else "")][
        0
    ]


def test_removed_fields_are_recognised(ed_key, post, now):
    signed = cavage.sign(post, ed_key, now=now)
    for removed_names, words in (
        (("digest",), "digest: SHA-256="),
        (("host", "content-type"), "host: local.example, content-type:"),
    ):
        report = explain(evolve(signed, headers=signed.headers.without(*removed_names)), now=now, key=ed_key.public)
        [step] = [step for step in report.steps if step.name == "signature cavage"]
        assert f"it would hold if the message still had {words}" in step.detail
    report = explain(evolve(signed, headers=signed.headers.without("date")), now=now, key=ed_key.public)
    assert "would hold" not in str(report.steps)
    renamed_date = signed.headers.without("date").with_added("X-Original-Date", signed.headers.get("date"))
    assert "still had date: " in str(explain(evolve(signed, headers=renamed_date), now=now, key=ed_key.public).steps)


def test_second_date_added_by_a_proxy_is_recognised(ed_key, post, now):
    signed = cavage.sign(post, ed_key, now=now)
    doubled = evolve(signed, headers=signed.headers.with_added("date", "Sun, 22 Nov 2026 08:00:07 GMT"))
    report = explain(doubled, now=now, key=ed_key.public)
    assert (report.verified, report.error.reason) == (None, "signature-malformed")
    assert (
        "it would hold if the message had only the Date Sun, 22 Nov 2026 08:00:00 GMT"
        in step_results(report)["signature cavage"][1]
    )


def test_signature_in_authorization_is_recognised(ed_key, post, now):
    signed = cavage.sign(post, ed_key, now=now)
    value = f"Signature {signed.headers.get('signature')}"
    in_authorization = evolve(signed, headers=signed.headers.without("signature").with_added("authorization", value))
    report = explain(in_authorization, now=now, key=ed_key.public)
    assert (report.error.reason, report.error.explanation.rule) == (
        "signature-missing",
        "policy default: authorization",
    )
    assert explain(in_authorization, now=now, key=ed_key.public, policy=LENIENT).verified


def test_other_encoding_of_an_ecdsa_signature_is_recognised(p256_key, post, now):
    unsigned = cavage.prepare(post, key_id=p256_key.key_id, algorithm="ecdsa-p256-sha256", now=now)
    signed = unsigned.attach(p256_key.sign(unsigned.data, dss_der=False))
    assert "the other form of ECDSA" in explain(signed, now=now, key=p256_key.public).steps[-1].detail


def test_bad_label_does_not_spoil_a_good_one(ed_key, post, now):
    signed = rfc9421.sign(post, ed_key, now=now)
    headers = signed.headers.with_added("signature-input", 'other=("x-missing");created=1;keyid="k"').with_added(
        "signature", "other=:AAAA:"
    )
    report = explain(evolve(signed, headers=headers), now=now, keys={ed_key.key_id: ed_key.public})
    assert report.verified.label == "sig1"
    assert step_results(report)["signature rfc9421 other"][0] is False
    assert report.key_ids == (ed_key.key_id, "k")


def test_clock_offset_of_whole_hours_suggests_local_time(ed_key, post, now):
    for hours, words in ((9, "its clock in local time"), (-5, "one clock in local time")):
        report = explain(cavage.sign(post, ed_key, now=now + timedelta(hours=hours)), now=now)
        assert words in step_results(report)["signature cavage"][1]
    assert "local time" not in str(
        explain(cavage.sign(post, ed_key, now=now + timedelta(hours=9, minutes=20)), now=now).steps
    )


def test_signature_by_another_algorithm_is_recognised(rsa_key, post, now):
    unsigned = cavage.prepare(post, key_id=rsa_key.key_id, now=now)
    signed = unsigned.attach(rsa_key.sign(unsigned.data, "rsa-v1_5-sha512"))
    assert "it holds by rsa-v1_5-sha512" in explain(signed, now=now, key=rsa_key.public).steps[-1].detail


def test_key_of_another_type_is_a_mismatch(rsa_key, ed_key, post, now):
    report = explain(cavage.sign(post, rsa_key, now=now), now=now, key=ed_key.public)
    assert report.error.reason == "key-mismatch"


def test_each_of_several_signatures_is_checked(rsa_key, ed_key, post, now):
    by_rsa, by_ed25519 = rfc9421.sign(post, rsa_key, now=now, label="a"), rfc9421.sign(post, ed_key, now=now, label="b")
    headers = by_rsa.headers
    for name in ("signature-input", "signature"):
        headers = headers.with_added(name, by_ed25519.headers.get(name))
    report = explain(evolve(by_rsa, headers=headers), now=now, key=ed_key.public)
    assert report.verified.label == "b"
    assert (step_results(report)["check rfc9421 a"][0], step_results(report)["check rfc9421 b"][0]) == (False, True)


def test_explanation_never_shows_secrets(ed_key, now):
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
def test_garbage_is_explained_and_not_verified(ed_key, now, fields):
    report = explain(Request("POST", "https://local.example/", fields), now=now, key=ed_key.public)
    assert report.verified is None
    assert report.error is not None
    assert report.lines()


def test_random_signature_matches_no_common_mistake(ed_key, post, now):
    unsigned = cavage.prepare(post, key_id=ed_key.key_id, algorithm="ed25519", now=now)
    report = explain(unsigned.attach(b64encode(b"x" * 48)), now=now, key=ed_key.public)
    assert "none of the common mistakes" in report.steps[-1].detail


def test_times_beyond_the_calendar_are_reported_in_seconds(ed_key, post):
    last_month = datetime(9999, 12, 1, tzinfo=UTC)
    signed = rfc9421.sign(post, ed_key, now=last_month, expires_s=10**9)
    field = signed.headers.get("signature-input").replace(
        f"created={int(last_month.timestamp())}", "created=253502300801"
    )
    report = explain(evolve(signed, headers=signed.headers.with_set("signature-input", field)), now=last_month)
    assert "signed at 253502300801 s of the epoch" in step_results(report)["signature rfc9421 sig1"][1]
    assert "expires +1000000000 s from now" in step_results(report)["signature rfc9421 sig1"][1]


def test_relative_url_is_refused(ed_key, post, now):
    signed = cavage.sign(post, ed_key, now=now)
    report = explain(evolve(signed, url="inbox"), now=now, key=ed_key.public)
    assert report.error.reason == "signature-malformed"
    assert report.lines()
