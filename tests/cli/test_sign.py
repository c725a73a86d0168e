"""Check ``apcore sign``: ``apcore verify`` accepts its output, with both schemes and both kinds of key."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apcore.cli import exit_codes, main
from apcore.cli.capture import read_capture
from apcore.signatures import check, parse

KEY_ID = "https://remote.example/users/alice#key"
NOW = "2026-11-22T08:00:00Z"
POST = b"POST /inbox?a=b HTTP/1.1\nHost: local.example\nContent-Type: application/activity+json\n\n{}"


def sign(monkeypatch, capsysbinary, data, *options):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    code = main(["sign", "-", "--key-id", KEY_ID, "--now", NOW, *options])
    out, err = capsysbinary.readouterr()
    return code, out, err.decode()


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
@given(
    body=st.binary(max_size=60),
    path=st.text("abc/.~%20-", max_size=12),
    query=st.none() | st.text("ab=&%", max_size=8),
    method=st.sampled_from(["GET", "POST", "PUT"]),
    fields=st.lists(
        st.tuples(st.sampled_from(["X-A", "Accept", "Content-Type"]), st.text("ab ,;=/", max_size=10)), max_size=3
    ),
)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_signed_request_verifies(
    kind, scheme, body, path, query, method, fields, key_files, signers, now, monkeypatch, capsysbinary
):
    target = f"/{path}" + ("" if query is None else f"?{query}")
    head = [f"{method} {target} HTTP/1.1", "Host: local.example", *(f"{name}: {value}" for name, value in fields)]
    data = "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body
    code, out, _ = sign(monkeypatch, capsysbinary, data, "--key", key_files[kind], "--scheme", scheme)
    assert code == exit_codes.DONE
    signed = read_capture(out)
    assert signed.notes == ()
    presented = parse(signed.request, now=now)
    assert check(presented, signers[kind].public.renamed(key_id=KEY_ID)).query_covered
    assert signed.request.body == body
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(out)))
    assert main(["verify", "-", "--key", key_files[f"{kind}.pub"], "--now", NOW]) == exit_codes.DONE
    capsysbinary.readouterr()


@pytest.mark.parametrize(
    ("options", "covered"),
    [
        ((), ("(request-target)", "host", "date", "digest", "content-type")),
        (("--components", "host, Date (request-target) digest"), ("host", "date", "(request-target)", "digest")),
        (
            ("--components", "(request-target) (created) (expires) host digest", "--expires", "60"),
            ("(request-target)", "(created)", "(expires)", "host", "digest"),
        ),
        (("--scheme", "rfc9421"), ('"@method"', '"@target-uri"', '"@authority"', '"content-digest"')),
        (
            ("--scheme", "rfc9421", "--components", '@method "@target-uri" content-digest'),
            ('"@method"', '"@target-uri"', '"content-digest"'),
        ),
        (
            (
                *("--scheme", "rfc9421", "--expires", "60"),
                *("--components", '("@method" "@target-uri" "content-digest" "@query-param";name="a")'),
            ),
            ('"@method"', '"@target-uri"', '"content-digest"', '"@query-param";name="a"'),
        ),
    ],
)
def test_requested_components_are_covered(options, covered, key_files, now, monkeypatch, capsysbinary):
    code, out, _ = sign(monkeypatch, capsysbinary, POST, "--key", key_files["rsa"], *options)
    assert code == exit_codes.DONE
    presented = parse(read_capture(out).request, now=now)
    assert presented.covered == covered
    assert (presented.expires is not None) == ("--expires" in options)


def test_signing_string_is_shown_without_secrets(key_files, monkeypatch, capsysbinary):
    data = POST.replace(b"\n\n", b"\nCookie: hunter2\nAuthorization: hunter2\n\n")
    covered = "(request-target) host date digest cookie authorization"
    options = ("--key", key_files["rsa"], "--components", covered, "--explain")
    code, out, err = sign(monkeypatch, capsysbinary, data, *options)
    assert code == exit_codes.DONE
    assert err.splitlines() == [
        "(request-target): post /inbox?a=b",
        "host: local.example",
        "date: Sun, 22 Nov 2026 08:00:00 GMT",
        "digest: SHA-256=RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=",
        "cookie: ...",
        "authorization: ...",
    ]
    assert out.count(b"hunter2") == 2  # The output is the request to send.


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (b"nonsense", (), "not a request line"),
        (POST, ("--components", "x-missing"), "x-missing"),
        (POST, ("--components", "(expires)"), "(expires)"),
        (POST, ("--scheme", "rfc9421", "--components", "(nonsense"), "cannot be signed"),
        (POST, ("--scheme", "rfc9421", "--components", '("a"), ("b")'), "one inner list"),
        (POST, ("--scheme", "rfc9421", "--components", "@nothing"), "@nothing"),
        (POST, ("--key-id", 'x"y'), "quotation marks"),
        (POST, ("--now", "yesterday"), "'yesterday' is not a time"),
        (POST, ("--now", "2026-11-22T08:00:00"), "no time zone"),
        (POST, ("--expires", "0"), "--expires"),
        (POST, ("--origin", "local.example"), "--origin"),
    ],
)
def test_wrong_arguments_are_refused_in_words(data, options, words, key_files, monkeypatch, capsysbinary):
    code, out, err = sign(monkeypatch, capsysbinary, data, "--key", key_files["rsa"], *options)
    assert (code, out) == (exit_codes.USAGE, b"")
    assert words in err


@pytest.mark.parametrize("text", ["", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----", "x" * 20_000])
def test_malformed_private_key_is_refused_and_never_shown(text, tmp_path, monkeypatch, capsysbinary):
    path = tmp_path / "key"
    path.write_text(text, encoding="ascii")
    code, _, err = sign(monkeypatch, capsysbinary, POST, "--key", str(path))
    assert code == exit_codes.USAGE
    assert "hunter2" not in err
    code, _, err = sign(monkeypatch, capsysbinary, POST, "--key", str(tmp_path / "missing"))
    assert (code, "No such file" in err) == (exit_codes.USAGE, True)
