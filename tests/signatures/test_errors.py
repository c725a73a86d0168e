"""Check explanations: set members stay, missing members are filled in, and secrets are removed."""

from __future__ import annotations

import pytest

from apcore.errors import RequestError, SignatureError
from apcore.signatures import errors
from apcore.signatures.errors import BadSignature, ExplainedError, Explanation, redacted_base, visible

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ExplainedError) and kind is not ExplainedError
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_error_has_its_blame_and_status(kind):
    error = kind("words")
    assert error.status_hint == (
        400 if error.reason.endswith("-malformed") and kind is not errors.KeyMalformed else 401
    )
    assert isinstance(error, RequestError if error.status_hint == 400 else SignatureError)
    assert not error.retryable
    assert error.explanation == Explanation(rule=kind.rule)


def test_reasons_are_unique_and_the_base_error_is_abstract():
    assert len({kind.reason for kind in KINDS}) == len(KINDS) == 20
    with pytest.raises(TypeError, match="abstract"):
        ExplainedError("words")


def test_explained_fills_in_only_missing_members():
    error = BadSignature("words", explanation=Explanation(rule="mine", clock_offset_s=0))
    assert error.explained(rule="theirs", clock_offset_s=5, key_id="k", covered=("date",)) is error
    assert error.explanation == Explanation(rule="mine", clock_offset_s=0, key_id="k", covered=("date",))


def test_explanation_is_written_as_lines():
    assert Explanation().lines() == ()
    explanation = Explanation(
        rule="r", scheme="cavage", key_id="k", covered=("a", "b"), clock_offset_s=-3, signing_string="a: 1\nb: 2"
    )
    assert explanation.lines() == (
        "rule: r",
        "scheme: cavage",
        "key id: k",
        "covered: a b",
        "clock offset: -3 s",
        "expected signing string:",
        "    a: 1",
        "    b: 2",
    )


def test_explanation_lines_are_escaped():
    lines = Explanation(rule="§ 1", algorithm="a\x9b2J", signing_string="a: 1\t\nb:  \u2028").lines()
    assert lines == ("rule: § 1", "algorithm: a\\x9b2J", "expected signing string:", "    a: 1\\t", "    b:  \\u2028")
    assert visible("b:  ") == "b:\\x20\\x20"


@pytest.mark.parametrize(
    "name", ["authorization", "cookie", "proxy-authorization", "set-cookie", "x-hub-signature", "x-hub-signature-256"]
)
@pytest.mark.parametrize("form", ["{}: {}", '"{}": {}', '"{}";bs: {}'])
def test_secret_field_is_redacted(name, form):
    base = "\n".join(["host: h", form.format(name, "hunter2: x"), "date: d"])
    assert redacted_base(base.encode()) == "\n".join(["host: h", form.format(name, "..."), "date: d"])


def test_other_fields_are_not_redacted():
    base = b"host: authorization: x\nx-cookie: y\ncookies: z\n\xff"
    assert redacted_base(base) == "host: authorization: x\nx-cookie: y\ncookies: z\n\ufffd"
