"""Check ``apcore verify``: exit codes, reported steps, named mistakes, fetched keys, and no secret in the output."""

from __future__ import annotations

import io
import json
import sys
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apcore.cli import exit_codes, main
from apcore.cli.capture import read_capture, write_request
from apcore.http import Request, format_http_date
from apcore.signatures import cavage, generate_key, ld_signature, proofs, rfc9421

NOW = "2026-11-22T08:00:00Z"
INBOX = "https://local.example/users/bob/inbox"
FIELDS = {"Host": "local.example", "Content-Type": "application/activity+json"}


def request_bytes(request: Request) -> bytes:
    captured = read_capture(f"{request.method} {request.url} HTTP/1.1\r\n\r\n".encode())
    target = request.url.partition("://")[2]
    return write_request(evolve(captured, target=target[target.index("/") :]), request)


@pytest.fixture
def verify(monkeypatch, capsys):
    def run(data, *options):
        data = request_bytes(data) if isinstance(data, Request) else data
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        code = main(["verify", "-", *([] if "--now" in options else ["--now", NOW]), *options])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out if code != exit_codes.USAGE else err

    return run


@pytest.fixture
def post(now):
    return Request("POST", INBOX, FIELDS, b'{"type": "Follow"}')


@pytest.mark.parametrize("module", [cavage, rfc9421], ids=["cavage", "rfc9421"])
def test_valid_request_is_reported_step_by_step(module, verify, post, signers, key_files, now):
    code, output = verify(
        module.sign(post, signers["rsa"], now=now - timedelta(seconds=30)), "--key", key_files["rsa.pub"]
    )
    assert code == exit_codes.DONE
    for words in (
        "key id https://remote.example/users/alice#main-key",
        "our clock +30 s",
        "expected signing string:",
        "is that of the body",
        "+ policy default",
        f"from --key {key_files['rsa.pub']}",
        "holds by rsa-v1_5-sha256",
    ):
        assert words in output
    assert output.splitlines()[-1].startswith("verified by policy default: ")


def test_private_key_and_multikey_files_are_accepted(verify, post, signers, key_files, now, tmp_path):
    signed = cavage.sign(post, signers["ed25519"], now=now)
    (tmp_path / "multikey").write_text(signers["ed25519"].public.multibase + "\n", encoding="ascii")
    assert verify(signed, "--key", key_files["ed25519"])[0] == exit_codes.DONE
    assert verify(signed, "--key", str(tmp_path / "multikey"))[0] == exit_codes.DONE


def test_report_without_a_key_ends_with_the_needed_key(verify, post, signers, now):
    code, output = verify(cavage.sign(post, signers["rsa"], now=now))
    assert code == exit_codes.FAILED
    assert "+ policy strict" in output
    assert output.splitlines()[-1] == (
        "a key is needed, by --key or --fetch: https://remote.example/users/alice#main-key"
    )
    code, output = verify(cavage.sign(post, signers["rsa"], now=now), "--json")
    assert (code, json.loads(output)["reason"], json.loads(output)["ok"]) == (exit_codes.FAILED, "key-needed", False)


def test_policy_and_time_decide_the_verdict(verify, post, signers, key_files, now):
    old = cavage.sign(post, signers["rsa"], now=now - timedelta(minutes=10))
    assert verify(old, "--key", key_files["rsa.pub"])[0] == exit_codes.DONE
    code, output = verify(old, "--key", key_files["rsa.pub"], "--policy", "strict")
    assert code == exit_codes.FAILED
    assert output.splitlines()[-1] == (
        "refused by policy strict: signature-too-old: signed 600 s ago, at most 300 s are accepted "
        "(policy strict: age_s_max)"
    )
    assert verify(old, "--key", key_files["rsa.pub"], "--now", "1795344400")[0] == exit_codes.FAILED
    assert verify(old, "--key", key_files["rsa.pub"], "--now", "Sun, 22 Nov 2026 08:00:00 GMT")[0] == exit_codes.DONE


def test_given_time_is_not_questioned(verify, post, signers, now):
    code, output = verify(cavage.sign(post, signers["rsa"], now=now - timedelta(days=2)))
    assert (code, "--now" in output) == (exit_codes.FAILED, False)


def test_old_request_is_reported_with_the_option_for_its_time(post, signers, key_files, monkeypatch, capsys, now):
    signing_time = now - timedelta(days=9000)
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO(request_bytes(cavage.sign(post, signers["rsa"], now=signing_time))))
    )
    assert main(["verify", "-", "--key", key_files["rsa.pub"]]) == exit_codes.FAILED
    assert f"--now '{format_http_date(signing_time)}'" in capsys.readouterr().out


REFUSALS = {
    "unsigned": (
        lambda post, _: post,
        "signature-missing",
        'Accept-Signature: sig1=("@method" "@target-uri" "content-digest");created',
    ),
    "garbage": (
        lambda post, _: evolve(post, headers=post.headers.with_set("signature", "?")),
        "signature-malformed",
        "character 0",
    ),
    "digest": (
        lambda _, signed: evolve(signed, body=signed.body + b"\n"),
        "digest-mismatch",
        "without its final line feed",
    ),
    "time zone": (lambda post, _: post, "signature-from-future", "local time"),
    "component": (
        lambda _, signed: evolve(signed, headers=signed.headers.without("content-type")),
        "component-missing",
        "it would hold if the message still had content-type: application/activity+json",
    ),
    "path": (
        lambda _, signed: evolve(signed, url=signed.url + "/"),
        "bad-signature",
        "it would hold if the target has no slash at its end",
    ),
    "date": (
        lambda _, signed: evolve(
            signed,
            headers=signed.headers.with_set("date", "Sun, 22 Nov 2026 08:00:01 GMT").with_added(
                "x-date", signed.headers.get("date")
            ),
        ),
        "bad-signature",
        "Date had the value of x-date",
    ),
    "method": (lambda _, signed: evolve(signed, method="PUT"), "bad-signature", "(request-target) is for POST"),
    "two at once": (
        lambda _, signed: evolve(signed, method="PUT", url=signed.url + "?a"),
        "bad-signature",
        "it would hold if the target has no query, and (request-target) is for POST",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_names_its_reason_and_likely_cause(name, verify, post, signers, key_files, now):
    change, reason, words = REFUSALS[name]
    if name == "time zone":
        request = cavage.sign(post, signers["rsa"], now=now + timedelta(hours=9))
    else:
        request = change(post, cavage.sign(post, signers["rsa"], now=now))
    code, output = verify(request, "--key", key_files["rsa.pub"])
    assert code == exit_codes.FAILED
    assert output.splitlines()[-1].startswith(f"refused by policy default: {reason}: ")
    assert words in output
    code, output = verify(request, "--key", key_files["rsa.pub"], "--json")
    members = json.loads(output)
    assert (code, members["verdict"], members["reason"]) == (exit_codes.FAILED, "refused", reason)
    assert members["explanation"]["rule"]


def test_origin_option_overrides_the_host(verify, post, signers, key_files, now):
    signed = cavage.sign(post, signers["rsa"], now=now)
    code, output = verify(signed, "--key", key_files["rsa.pub"], "--origin", "https://inside.example:8443")
    assert code == exit_codes.FAILED
    assert "wrong-host: signed for host 'local.example', but sent to 'inside.example:8443'" in output


def test_json_report_of_a_verified_request(verify, post, signers, key_files, now):
    signed = rfc9421.sign(post, signers["rsa"], now=now)
    headers = signed.headers.with_added("accept-signature", 'x=("@status");created, y=("date")')
    code, output = verify(evolve(signed, headers=headers), "--key", key_files["rsa.pub"], "--json")
    members = json.loads(output)
    assert code == exit_codes.DONE
    assert (members["ok"], members["policy"], members["now"]) == (True, "default", "2026-11-22T08:00:00+00:00")
    assert members["verified"] == {
        "scheme": "rfc9421",
        "key": signers["rsa"].key_id,
        "owner": None,
        "algorithm": "rsa-v1_5-sha256",
        "covered": ['"@method"', '"@target-uri"', '"@authority"', '"content-digest"'],
        "queryCovered": True,
    }
    step = {"name": "accept-signature", "ok": None, "detail": "it asks for a signed response\ny: date"}
    assert step in members["steps"]


SECRETS = ("authorization", "cookie", "proxy-authorization", "x-hub-signature")


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("is_valid", [True, False])
@pytest.mark.parametrize("module", [cavage, rfc9421], ids=["cavage", "rfc9421"])
def test_secrets_are_never_printed(module, is_valid, options, verify, signers, key_files, now):
    secrets = {name: f"hunter2 {name}" for name in (*SECRETS, "x-token")}
    request = Request("GET", "https://local.example/", {"Host": "local.example", **secrets})
    always_covered = ("(request-target)", "host", "date") if module is cavage else ("@method", "@target-uri")
    signed = module.sign(request, signers["rsa"], now=now, covered=(*always_covered, *SECRETS))
    if not is_valid:
        signed = evolve(signed, headers=signed.headers.with_set("cookie", "hunter2"))
    code, output = verify(signed, "--key", key_files["rsa.pub"], *options)
    assert code == (exit_codes.DONE if is_valid else exit_codes.FAILED)
    assert "hunter2" not in output


def test_terminal_controls_are_escaped(verify, signers, key_files, now):
    request = Request("GET", "https://local.example/", {"Host": "local.example", "X-A": "a\t\x9b2J\\"})
    signed = cavage.sign(request, signers["rsa"], now=now, covered=("(request-target)", "host", "date", "x-a"))
    code, output = verify(signed, "--key", key_files["rsa.pub"])
    assert code == exit_codes.DONE
    assert "x-a: a\\t\\x9b2J\\\\\n" in output


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (b"", (), "does not contain a readable request: it contains nothing"),
        (b"\x00\x1b[2J", (), "not a request line"),
        (b"GET / HTTP/1.1\n\n", (), "--origin"),
        (b"GET / HTTP/1.1\nHost: x\n\n", ("--key", "/nowhere"), "No such file"),
        (b"GET / HTTP/1.1\nHost: x\n\n", ("--key", "/nowhere", "--fetch"), "not both"),
        (b"GET / HTTP/1.1\nHost: x\n\n", ("--key", __file__), "has more than"),
        (b"GET / HTTP/1.1\nHost: x\n\n", ("--policy", "none"), "--policy"),
        (b"GET / HTTP/1.1\nHost: x\n\n", ("--now", "99999999999999999999"), "is not a time"),
        (b"GET / HTTP/1.1\nHost: x\n\n", ("--origin", "https://x/y"), "--origin"),
    ],
)
def test_wrong_arguments_are_refused_in_words(data, options, words, verify):
    code, output = verify(data, *options)
    assert code == exit_codes.USAGE
    assert words in output.replace("\n", " ")
    assert "\x1b" not in output


def test_file_without_a_key_is_refused(verify, post, tmp_path, capsys):
    (tmp_path / "key").write_text("hunter2", encoding="ascii")
    code, output = verify(post, "--key", str(tmp_path / "key"))
    assert (code, "neither a PEM nor a Multikey" in output, "hunter2" in output) == (exit_codes.USAGE, True, False)
    assert main(["verify", str(tmp_path / "missing")]) == exit_codes.USAGE
    assert "No such file" in capsys.readouterr().err


def test_weak_key_is_refused(verify, post, signers, now, tmp_path):
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    numbers = rsa.RSAPublicNumbers(65537, (2**255 + 95) * (2**255 + 1083))
    (tmp_path / "weak").write_bytes(numbers.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    code, output = verify(cavage.sign(post, signers["rsa"], now=now), "--key", str(tmp_path / "weak"))
    assert code == exit_codes.FAILED
    assert "refused by policy default: key-weak" in output


@given(
    st.binary(max_size=120)
    | st.tuples(
        st.sampled_from(["signature", "signature-input", "digest", "content-digest", "date", "accept-signature"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
        | st.sampled_from(
            ['keyId="k",headers="(created)",created=0,signature="AAAA"', 's=();created=9;keyid="k"', "s=:AAAA:"]
        ),
    ).map(lambda field: f"POST / HTTP/1.1\nHost: x\n{field[0]}: {field[1]}\nSignature: s=:AAAA:\n\n{{}}".encode())
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_is_refused_in_words(verify, key_files, data):
    code, output = verify(data, "--key", key_files["rsa.pub"])
    assert code in {exit_codes.FAILED, exit_codes.USAGE}
    assert output


# --- signed documents and fetched keys ------------------------------------------------------------------------------


@contextmanager
def serve_documents(documents):
    """Serve ``documents``, by path, on the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            document = documents.get(self.path)
            body = json.dumps(document).encode() if document else b""
            self.send_response(200 if document else 404)
            self.send_header("Content-Type", "application/activity+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def alice(signers):
    """Serve an actor with an RSA key and an Ed25519 key for proofs.

    A key of mallory names alice as its owner, but alice does not list it.
    """
    documents = {}
    with serve_documents(documents) as origin:
        actor = f"{origin}/users/alice"
        keys = {
            "rsa": signers["rsa"].renamed(key_id=f"{actor}#main-key", owner=actor),
            "ed25519": signers["ed25519"].renamed(key_id=f"{actor}#ed25519-key", owner=actor),
            "listed": generate_key("ed25519", key_id=f"{actor}#listed-key", owner=actor),
            "mallory": generate_key(
                "ed25519", key_id=f"{origin}/users/mallory#main-key", owner=f"{origin}/users/mallory"
            ),
        }
        documents["/users/alice"] = {
            "@context": [
                "https://www.w3.org/ns/activitystreams",
                "https://w3id.org/security/v1",
                "https://w3id.org/security/multikey/v1",
            ],
            "id": actor,
            "type": "Person",
            "inbox": f"{actor}/inbox",
            "publicKey": [
                {"id": keys[name].key_id, "owner": actor, "publicKeyPem": keys[name].public.pem}
                for name in ("rsa", "listed")
            ],
            "assertionMethod": [
                {
                    "id": keys["ed25519"].key_id,
                    "type": "Multikey",
                    "controller": actor,
                    "publicKeyMultibase": keys["ed25519"].public.multibase,
                }
            ],
        }
        documents["/users/mallory"] = {
            **documents["/users/alice"],
            "id": f"{origin}/users/mallory",
            "publicKey": {"id": keys["mallory"].key_id, "owner": actor, "publicKeyPem": keys["mallory"].public.pem},
        }
        yield actor, keys


def activity(actor, **members):
    return {
        "@context": ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/data-integrity/v2"],
        "id": f"{actor}/follows/1",
        "type": "Follow",
        "actor": actor,
        "object": "https://local.example/users/bob",
        **members,
    }


def make_post(document):
    return Request("POST", INBOX, FIELDS, json.dumps(document).encode())


def test_fetched_key_of_the_actor_verifies(verify, alice, now):
    actor, keys = alice
    code, output = verify(cavage.sign(make_post(activity(actor)), keys["rsa"], now=now), "--fetch", "--allow-loopback")
    assert code == exit_codes.DONE, output
    assert f"GET {actor} -> 200, application/activity+json" in output
    assert f"{keys['rsa'].key_id} is owned by {actor}, and both say so" in output
    assert f"{actor} is the activity's actor, and owns the key" in output


def test_activity_of_another_actor_is_refused(verify, alice, now):
    _, keys = alice
    other = "https://other.example/users/carol"
    code, output = verify(cavage.sign(make_post(activity(other)), keys["rsa"], now=now), "--fetch", "--allow-loopback")
    assert code == exit_codes.FAILED
    assert output.splitlines()[-1].startswith("refused by policy default: not-the-actor")


def test_key_that_its_owner_does_not_list_is_refused(verify, alice, now):
    actor, keys = alice
    code, output = verify(
        cavage.sign(make_post(activity(actor)), keys["mallory"], now=now), "--fetch", "--allow-loopback"
    )
    assert code == exit_codes.FAILED
    assert output.splitlines()[-1].startswith("refused by policy default: key-not-owned")


def test_key_on_loopback_is_fetched_only_if_allowed(verify, alice, now):
    actor, keys = alice
    code, output = verify(cavage.sign(make_post(activity(actor)), keys["rsa"], now=now), "--fetch")
    assert code == exit_codes.FAILED
    assert "refused by policy default: " in output.splitlines()[-1]
    assert "-> 200" not in output


def test_missing_key_is_reported(verify, alice, now):
    actor, keys = alice
    key = keys["rsa"].renamed(key_id=f"{actor}/gone#main-key", owner=actor)
    code, output = verify(
        cavage.sign(make_post(activity(actor)), key, now=now), "--fetch", "--allow-loopback", "--json"
    )
    assert (code, json.loads(output)["reason"]) == (exit_codes.FAILED, "document-not-found")
    assert "/gone -> 404" in output


def test_proof_verifies_without_an_http_signature(verify, alice, now, key_files):
    actor, keys = alice
    request = make_post(proofs.create(activity(actor), keys["ed25519"], now=now))
    code, output = verify(request, "--fetch", "--allow-loopback", "--json")
    members = json.loads(output)
    assert (code, members["document"]) == (
        exit_codes.DONE,
        {"scheme": "eddsa-jcs-2022", "key": keys["ed25519"].key_id, "owner": actor},
    ), output
    assert verify(request, "--key", key_files["ed25519.pub"])[0] == exit_codes.DONE
    changed = evolve(request, body=request.body.replace(b"bob", b"eve"))
    code, output = verify(changed, "--key", key_files["ed25519.pub"], "--json")
    assert (code, json.loads(output)["reason"]) == (exit_codes.FAILED, "bad-signature")
    assert verify(request)[1].splitlines()[-1].startswith("a key is needed")


def verify_as_json(verify, request, *options):
    code, output = verify(request, "--json", *(options or ("--fetch", "--allow-loopback")))
    members = json.loads(output)
    assert code == (exit_codes.DONE if members["ok"] else exit_codes.FAILED)
    return members


def step_names(members):
    return [step["name"] for step in members["steps"]]


def test_proof_by_a_key_outside_assertion_method_is_refused(verify, alice, now):
    actor, keys = alice
    members = verify_as_json(verify, make_post(proofs.create(activity(actor), keys["listed"], now=now)))
    assert (members["reason"], "assertionMethod" in members["sentence"]) == ("proof-refused", True)
    assert "aside" not in step_names(members)


def test_invalid_proof_is_refused_despite_a_valid_http_signature(verify, alice, now):
    actor, keys = alice
    document = {**proofs.create(activity(actor), keys["ed25519"], now=now), "summary": "added"}
    members = verify_as_json(verify, cavage.sign(make_post(document), keys["rsa"], now=now))
    assert (members["reason"], members["explanation"]["scheme"]) == ("bad-signature", "eddsa-jcs-2022")
    assert {"name": "check cavage", "ok": True, "detail": "holds by rsa-v1_5-sha256"} in members["steps"]


def test_invalid_http_signature_is_refused_despite_a_valid_proof(verify, alice, now):
    actor, keys = alice
    document = proofs.create(activity(actor), keys["ed25519"], now=now)
    members = verify_as_json(verify, evolve(cavage.sign(make_post(document), keys["rsa"], now=now), method="PUT"))
    assert (members["reason"], members["explanation"]["scheme"]) == ("bad-signature", "cavage")
    assert "aside" in step_names(members)


def test_given_key_is_used_for_one_signer_only(verify, alice, now, key_files):
    actor, keys = alice
    document = proofs.create(activity(actor), keys["ed25519"], now=now)
    members = verify_as_json(
        verify, cavage.sign(make_post(document), keys["rsa"], now=now), "--key", key_files["rsa.pub"]
    )
    assert (members["ok"], members["verified"]["scheme"], members["document"]) == (True, "cavage", None)
    assert "check eddsa-jcs-2022" not in step_names(members)


def test_ld_signature_of_a_forwarded_activity_verifies(verify, alice, now):
    actor, keys = alice
    document = ld_signature.create(
        {**activity(actor), "@context": "https://www.w3.org/ns/activitystreams"}, keys["rsa"], now=now
    )
    members = verify_as_json(verify, make_post(document))
    assert (members["ok"], members["document"]["scheme"], members["verified"]) == (True, "RsaSignature2017", None)
    assert "-> 404" not in str(members)
    strict = verify_as_json(verify, make_post(document), "--policy", "strict")
    assert strict["reason"] == "scheme-refused"
    changed = verify_as_json(verify, make_post({**document, "object": "https://local.example/users/eve"}))
    assert changed["reason"] == "bad-signature"


def test_invalid_ld_signature_is_ignored_beside_a_valid_http_signature(verify, alice, now):
    actor, keys = alice
    document = ld_signature.create(
        {**activity(actor), "@context": "https://www.w3.org/ns/activitystreams"}, keys["rsa"], now=now
    )
    document["summary"] = "added"
    members = verify_as_json(verify, cavage.sign(make_post(document), keys["rsa"], now=now))
    assert (members["ok"], members["document"]) == (True, None)
    assert "check RsaSignature2017" in step_names(members)


def test_proof_by_a_missing_key_or_another_owner_is_refused(verify, alice, now):
    actor, keys = alice
    missing_key = keys["ed25519"].renamed(key_id=f"{actor}/gone#key", owner=actor)
    document = proofs.create(activity(actor), missing_key, now=now)
    assert (
        verify_as_json(verify, cavage.sign(make_post(document), keys["rsa"], now=now))["reason"] == "document-not-found"
    )
    did = keys["ed25519"].public.multibase
    by_did = keys["ed25519"].renamed(key_id=f"did:key:{did}#{did}", owner=f"did:key:{did}")
    members = verify_as_json(verify, make_post(proofs.create(activity(actor), by_did, now=now)))
    assert members["reason"] == "not-the-actor"


def test_actor_may_be_embedded_or_missing(verify, alice, now):
    actor, keys = alice
    embedded = {**activity(actor), "actor": {"id": actor, "type": "Person"}}
    assert "actor" in step_names(verify_as_json(verify, cavage.sign(make_post(embedded), keys["rsa"], now=now)))
    without_actor = {"type": "Note"}
    members = verify_as_json(verify, cavage.sign(make_post(without_actor), keys["rsa"], now=now))
    assert (members["ok"], "actor" in step_names(members)) == (True, False)


def test_unreachable_key_server_is_reported(verify, post, signers, now):
    with serve_documents({}) as origin:
        pass
    key = signers["rsa"].renamed(key_id=f"{origin}/users/alice#main-key", owner="")
    code, output = verify(cavage.sign(post, key, now=now), "--fetch", "--allow-loopback")
    assert code == exit_codes.FAILED
    assert output.splitlines()[-1].startswith("refused by policy default: key-unavailable")
    assert f"GET {origin}/users/alice -> " in output


def test_one_of_two_signatures_is_enough_to_verify(verify, alice, now):
    actor, keys = alice
    request = make_post(activity(actor))
    missing_key = keys["rsa"].renamed(key_id=f"{actor}/gone#main-key", owner=actor)
    first, second = (
        rfc9421.sign(request, missing_key, now=now, label="a"),
        rfc9421.sign(request, keys["rsa"], now=now, label="b"),
    )
    headers = first.headers
    for name in ("signature-input", "signature"):
        headers = headers.with_set(name, f"{first.headers.get(name)}, {second.headers.get(name)}")
    members = verify_as_json(verify, evolve(first, headers=headers))
    assert (members["ok"], members["verified"]["key"]) == (True, keys["rsa"].key_id)
