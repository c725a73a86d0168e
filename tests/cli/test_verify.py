"""``apcore verify``: exit codes, every step told, mistakes named, keys fetched as an inbox fetches them, and no secret shown."""

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


def raw(request: Request) -> bytes:
    captured = read_capture(f"{request.method} {request.url} HTTP/1.1\r\n\r\n".encode())
    target = request.url.partition("://")[2]
    return write_request(evolve(captured, target=target[target.index("/") :]), request)


@pytest.fixture
def verify(monkeypatch, capsys):
    def run(data, *options):
        data = raw(data) if isinstance(data, Request) else data
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
def test_a_good_request_is_told_step_by_step(module, verify, post, signers, key_files, now):
    code, told = verify(
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
        assert words in told
    assert told.splitlines()[-1].startswith("verified by policy default: ")


def test_the_private_half_and_a_multikey_do_as_well(verify, post, signers, key_files, now, tmp_path):
    signed = cavage.sign(post, signers["ed25519"], now=now)
    (tmp_path / "multikey").write_text(signers["ed25519"].public.multibase + "\n", encoding="ascii")
    assert verify(signed, "--key", key_files["ed25519"])[0] == exit_codes.DONE
    assert verify(signed, "--key", str(tmp_path / "multikey"))[0] == exit_codes.DONE


def test_without_a_key_it_is_told_up_to_the_need_for_it(verify, post, signers, now):
    code, told = verify(cavage.sign(post, signers["rsa"], now=now))
    assert code == exit_codes.FAILED
    assert "+ policy strict" in told
    assert told.splitlines()[-1] == (
        "a key is needed, by --key or --fetch: https://remote.example/users/alice#main-key"
    )
    code, told = verify(cavage.sign(post, signers["rsa"], now=now), "--json")
    assert (code, json.loads(told)["reason"], json.loads(told)["ok"]) == (exit_codes.FAILED, "key-needed", False)


def test_the_policy_decides(verify, post, signers, key_files, now):
    old = cavage.sign(post, signers["rsa"], now=now - timedelta(minutes=10))
    assert verify(old, "--key", key_files["rsa.pub"])[0] == exit_codes.DONE
    code, told = verify(old, "--key", key_files["rsa.pub"], "--policy", "strict")
    assert code == exit_codes.FAILED
    assert told.splitlines()[-1] == (
        "refused by policy strict: signature-too-old: signed 600 s ago, at most 300 s are accepted (policy strict: age_s_max)"
    )
    assert verify(old, "--key", key_files["rsa.pub"], "--now", "1795344400")[0] == exit_codes.FAILED
    assert verify(old, "--key", key_files["rsa.pub"], "--now", "Sun, 22 Nov 2026 08:00:00 GMT")[0] == exit_codes.DONE


def test_a_clock_that_was_given_is_meant(verify, post, signers, now):
    code, told = verify(cavage.sign(post, signers["rsa"], now=now - timedelta(days=2)))
    assert (code, "--now" in told) == (exit_codes.FAILED, False)


def test_todays_clock_is_told_how_to_turn(post, signers, key_files, monkeypatch, capsys, now):
    then = now - timedelta(days=9000)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw(cavage.sign(post, signers["rsa"], now=then)))))
    assert main(["verify", "-", "--key", key_files["rsa.pub"]]) == exit_codes.FAILED
    assert f"--now '{format_http_date(then)}'" in capsys.readouterr().out


REFUSED = {
    "unsigned": (lambda post, _: post, "signature-missing", 'Accept-Signature: sig1=("@method" "@target-uri" "content-digest");created'),
    "garbage": (lambda post, _: evolve(post, headers=post.headers.with_set("signature", "?")), "signature-malformed", "character 0"),
    "digest": (lambda _, signed: evolve(signed, body=signed.body + b"\n"), "digest-mismatch", "without its final line feed"),
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
        lambda _, signed: evolve(signed, headers=signed.headers.with_set("date", "Sun, 22 Nov 2026 08:00:01 GMT").with_added("x-date", signed.headers.get("date"))),
        "bad-signature",
        "Date had the value of x-date",
    ),
    "method": (lambda _, signed: evolve(signed, method="PUT"), "bad-signature", "(request-target) is for POST"),
    "two at once": (
        lambda _, signed: evolve(signed, method="PUT", url=signed.url + "?a"),
        "bad-signature",
        "it would hold if the target has no query, and (request-target) is for POST",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_its_reason_and_its_likely_cause(name, verify, post, signers, key_files, now):
    change, reason, words = REFUSED[name]
    if name == "time zone":
        request = cavage.sign(post, signers["rsa"], now=now + timedelta(hours=9))
    else:
        request = change(post, cavage.sign(post, signers["rsa"], now=now))
    code, told = verify(request, "--key", key_files["rsa.pub"])
    assert code == exit_codes.FAILED
    assert told.splitlines()[-1].startswith(f"refused by policy default: {reason}: ")
    assert words in told
    code, told = verify(request, "--key", key_files["rsa.pub"], "--json")
    members = json.loads(told)
    assert (code, members["verdict"], members["reason"]) == (exit_codes.FAILED, "refused", reason)
    assert members["explanation"]["rule"]


def test_the_host_that_it_came_to_can_be_another(verify, post, signers, key_files, now):
    signed = cavage.sign(post, signers["rsa"], now=now)
    code, told = verify(signed, "--key", key_files["rsa.pub"], "--origin", "https://inside.example:8443")
    assert code == exit_codes.FAILED
    assert "wrong-host: signed for host 'local.example', but sent to 'inside.example:8443'" in told


def test_an_answer_as_json(verify, post, signers, key_files, now):
    signed = rfc9421.sign(post, signers["rsa"], now=now)
    code, told = verify(evolve(signed, headers=signed.headers.with_added("accept-signature", 'x=("@status");created, y=("date")')), "--key", key_files["rsa.pub"], "--json")  # fmt: skip
    members = json.loads(told)
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
    assert {"name": "accept-signature", "ok": None, "detail": "it asks for a signed response\ny: date"} in members["steps"]  # fmt: skip


SECRETS = ("authorization", "cookie", "proxy-authorization", "x-hub-signature")


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("module", [cavage, rfc9421], ids=["cavage", "rfc9421"])
def test_secrets_are_never_shown(module, holds, options, verify, signers, key_files, now):
    secrets = {name: f"hunter2 {name}" for name in (*SECRETS, "x-token")}
    request = Request("GET", "https://local.example/", {"Host": "local.example", **secrets})
    first = ("(request-target)", "host", "date") if module is cavage else ("@method", "@target-uri")
    signed = module.sign(request, signers["rsa"], now=now, covered=(*first, *SECRETS))
    if not holds:
        signed = evolve(signed, headers=signed.headers.with_set("cookie", "hunter2"))
    code, told = verify(signed, "--key", key_files["rsa.pub"], *options)
    assert code == (exit_codes.DONE if holds else exit_codes.FAILED)
    assert "hunter2" not in told


def test_what_would_move_a_cursor_is_escaped(verify, signers, key_files, now):
    request = Request("GET", "https://local.example/", {"Host": "local.example", "X-A": "a\t\x9b2J\\"})
    signed = cavage.sign(request, signers["rsa"], now=now, covered=("(request-target)", "host", "date", "x-a"))
    code, told = verify(signed, "--key", key_files["rsa.pub"])
    assert code == exit_codes.DONE
    assert "x-a: a\\t\\x9b2J\\\\\n" in told


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
def test_wrong_arguments_are_answered_in_words(data, options, words, verify):
    code, told = verify(data, *options)
    assert code == exit_codes.USAGE
    assert words in told.replace("\n", " ")
    assert "\x1b" not in told


def test_a_file_that_holds_no_key(verify, post, tmp_path, capsys):
    (tmp_path / "key").write_text("hunter2", encoding="ascii")
    code, told = verify(post, "--key", str(tmp_path / "key"))
    assert (code, "neither a PEM nor a Multikey" in told, "hunter2" in told) == (exit_codes.USAGE, True, False)
    assert main(["verify", str(tmp_path / "missing")]) == exit_codes.USAGE
    assert "No such file" in capsys.readouterr().err


def test_a_weak_key_is_a_refusal(verify, post, signers, now, tmp_path):
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    numbers = rsa.RSAPublicNumbers(65537, (2**255 + 95) * (2**255 + 1083))
    (tmp_path / "weak").write_bytes(numbers.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    code, told = verify(cavage.sign(post, signers["rsa"], now=now), "--key", str(tmp_path / "weak"))
    assert code == exit_codes.FAILED
    assert "refused by policy default: key-weak" in told


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
def test_garbage_is_answered_in_words(verify, key_files, data):
    code, told = verify(data, "--key", key_files["rsa.pub"])
    assert code in {exit_codes.FAILED, exit_codes.USAGE}
    assert told


# --- documents inside, and keys from where they say -----------------------------------------------------------------


@contextmanager
def serving(documents):
    """A server of actors on the loopback interface: `documents` by path."""

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
    """An actor who is served, with an RSA key and, for proofs, an Ed25519 one; mallory's key is hers only by his own word."""
    documents = {}
    with serving(documents) as origin:
        actor = f"{origin}/users/alice"
        keys = {
            "rsa": signers["rsa"].renamed(key_id=f"{actor}#main-key", owner=actor),
            "ed25519": signers["ed25519"].renamed(key_id=f"{actor}#ed25519-key", owner=actor),
            "listed": generate_key("ed25519", key_id=f"{actor}#listed-key", owner=actor),
            "mallory": generate_key("ed25519", key_id=f"{origin}/users/mallory#main-key", owner=f"{origin}/users/mallory"),
        }  # fmt: skip
        documents["/users/alice"] = {
            "@context": ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/v1", "https://w3id.org/security/multikey/v1"],
            "id": actor,
            "type": "Person",
            "inbox": f"{actor}/inbox",
            "publicKey": [
                {"id": keys[name].key_id, "owner": actor, "publicKeyPem": keys[name].public.pem} for name in ("rsa", "listed")
            ],
            "assertionMethod": [
                {"id": keys["ed25519"].key_id, "type": "Multikey", "controller": actor, "publicKeyMultibase": keys["ed25519"].public.multibase}
            ],
        }  # fmt: skip
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


def posted(document):
    return Request("POST", INBOX, FIELDS, json.dumps(document).encode())


def test_a_key_is_fetched_and_its_owner_is_the_actor(verify, alice, now):
    actor, keys = alice
    code, told = verify(cavage.sign(posted(activity(actor)), keys["rsa"], now=now), "--fetch", "--allow-loopback")
    assert code == exit_codes.DONE, told
    assert f"GET {actor} -> 200, application/activity+json" in told
    assert f"{keys['rsa'].key_id} is owned by {actor}, and both say so" in told
    assert f"{actor} is the activity's actor, and owns the key" in told


def test_somebody_elses_activity_is_refused(verify, alice, now):
    _, keys = alice
    other = "https://other.example/users/carol"
    code, told = verify(cavage.sign(posted(activity(other)), keys["rsa"], now=now), "--fetch", "--allow-loopback")
    assert code == exit_codes.FAILED
    assert told.splitlines()[-1].startswith("refused by policy default: not-the-actor")


def test_a_key_that_its_owner_does_not_list_is_refused(verify, alice, now):
    actor, keys = alice
    code, told = verify(cavage.sign(posted(activity(actor)), keys["mallory"], now=now), "--fetch", "--allow-loopback")
    assert code == exit_codes.FAILED
    assert told.splitlines()[-1].startswith("refused by policy default: key-not-owned")


def test_addresses_of_this_machine_are_not_asked_unless_allowed(verify, alice, now):
    actor, keys = alice
    code, told = verify(cavage.sign(posted(activity(actor)), keys["rsa"], now=now), "--fetch")
    assert code == exit_codes.FAILED
    assert "refused by policy default: " in told.splitlines()[-1]
    assert "-> 200" not in told


def test_a_key_that_is_not_there_is_told(verify, alice, now):
    actor, keys = alice
    key = keys["rsa"].renamed(key_id=f"{actor}/gone#main-key", owner=actor)
    code, told = verify(cavage.sign(posted(activity(actor)), key, now=now), "--fetch", "--allow-loopback", "--json")
    assert (code, json.loads(told)["reason"]) == (exit_codes.FAILED, "not-found")
    assert "/gone -> 404" in told


def test_a_proof_inside_is_verified_without_any_http_signature(verify, alice, now, key_files):
    actor, keys = alice
    request = posted(proofs.create(activity(actor), keys["ed25519"], now=now))
    code, told = verify(request, "--fetch", "--allow-loopback", "--json")
    members = json.loads(told)
    assert (code, members["document"]) == (
        exit_codes.DONE,
        {"scheme": "eddsa-jcs-2022", "key": keys["ed25519"].key_id, "owner": actor},
    ), told
    assert verify(request, "--key", key_files["ed25519.pub"])[0] == exit_codes.DONE
    changed = evolve(request, body=request.body.replace(b"bob", b"eve"))
    code, told = verify(changed, "--key", key_files["ed25519.pub"], "--json")
    assert (code, json.loads(told)["reason"]) == (exit_codes.FAILED, "bad-signature")
    assert verify(request)[1].splitlines()[-1].startswith("a key is needed")


def told_as_json(verify, request, *options):
    code, told = verify(request, "--json", *(options or ("--fetch", "--allow-loopback")))
    members = json.loads(told)
    assert code == (exit_codes.DONE if members["ok"] else exit_codes.FAILED)
    return members


def names(members):
    return [step["name"] for step in members["steps"]]


def test_a_proof_by_a_key_that_is_not_for_proofs(verify, alice, now):
    actor, keys = alice
    members = told_as_json(verify, posted(proofs.create(activity(actor), keys["listed"], now=now)))
    assert (members["reason"], "assertionMethod" in members["sentence"]) == ("proof-refused", True)
    assert "aside" not in names(members)


def test_a_proof_that_fails_refuses_what_the_request_proves(verify, alice, now):
    actor, keys = alice
    document = {**proofs.create(activity(actor), keys["ed25519"], now=now), "summary": "added"}
    members = told_as_json(verify, cavage.sign(posted(document), keys["rsa"], now=now))
    assert (members["reason"], members["explanation"]["scheme"]) == ("bad-signature", "eddsa-jcs-2022")
    assert {"name": "check cavage", "ok": True, "detail": "holds by rsa-v1_5-sha256"} in members["steps"]


def test_a_request_that_is_signed_badly_is_refused_though_an_inbox_may_believe_what_is_in_it(verify, alice, now):
    actor, keys = alice
    document = proofs.create(activity(actor), keys["ed25519"], now=now)
    members = told_as_json(verify, evolve(cavage.sign(posted(document), keys["rsa"], now=now), method="PUT"))
    assert (members["reason"], members["explanation"]["scheme"]) == ("bad-signature", "cavage")
    assert "aside" in names(members)


def test_one_key_is_for_one_signer(verify, alice, now, key_files):
    actor, keys = alice
    document = proofs.create(activity(actor), keys["ed25519"], now=now)
    members = told_as_json(verify, cavage.sign(posted(document), keys["rsa"], now=now), "--key", key_files["rsa.pub"])
    assert (members["ok"], members["verified"]["scheme"], members["document"]) == (True, "cavage", None)
    assert "check eddsa-jcs-2022" not in names(members)


def test_what_a_relay_hands_on_is_proved_by_its_linked_data_signature(verify, alice, now):
    actor, keys = alice
    document = ld_signature.create(
        {**activity(actor), "@context": "https://www.w3.org/ns/activitystreams"}, keys["rsa"], now=now
    )
    members = told_as_json(verify, posted(document))
    assert (members["ok"], members["document"]["scheme"], members["verified"]) == (True, "RsaSignature2017", None)
    assert "-> 404" not in str(members)
    strict = told_as_json(verify, posted(document), "--policy", "strict")
    assert strict["reason"] == "scheme-refused"
    changed = told_as_json(verify, posted({**document, "object": "https://local.example/users/eve"}))
    assert changed["reason"] == "bad-signature"


def test_an_ld_signature_that_fails_is_no_reason_to_refuse_a_request_that_holds(verify, alice, now):
    actor, keys = alice
    document = ld_signature.create(
        {**activity(actor), "@context": "https://www.w3.org/ns/activitystreams"}, keys["rsa"], now=now
    )
    document["summary"] = "added"
    members = told_as_json(verify, cavage.sign(posted(document), keys["rsa"], now=now))
    assert (members["ok"], members["document"]) == (True, None)
    assert "check RsaSignature2017" in names(members)


def test_a_proof_whose_key_cannot_be_had(verify, alice, now):
    actor, keys = alice
    gone = keys["ed25519"].renamed(key_id=f"{actor}/gone#key", owner=actor)
    document = proofs.create(activity(actor), gone, now=now)
    assert told_as_json(verify, cavage.sign(posted(document), keys["rsa"], now=now))["reason"] == "not-found"
    did = keys["ed25519"].public.multibase
    by_did = keys["ed25519"].renamed(key_id=f"did:key:{did}#{did}", owner=f"did:key:{did}")
    members = told_as_json(verify, posted(proofs.create(activity(actor), by_did, now=now)))
    assert members["reason"] == "not-the-actor"


def test_an_actor_may_be_embedded_or_missing(verify, alice, now):
    actor, keys = alice
    embedded = {**activity(actor), "actor": {"id": actor, "type": "Person"}}
    assert "actor" in names(told_as_json(verify, cavage.sign(posted(embedded), keys["rsa"], now=now)))
    nobody = {"type": "Note"}
    members = told_as_json(verify, cavage.sign(posted(nobody), keys["rsa"], now=now))
    assert (members["ok"], "actor" in names(members)) == (True, False)


def test_a_server_that_cannot_be_reached_is_told(verify, post, signers, now):
    with serving({}) as origin:
        pass
    key = signers["rsa"].renamed(key_id=f"{origin}/users/alice#main-key", owner="")
    code, told = verify(cavage.sign(post, key, now=now), "--fetch", "--allow-loopback")
    assert code == exit_codes.FAILED
    assert told.splitlines()[-1].startswith("refused by policy default: key-unavailable")
    assert f"GET {origin}/users/alice -> " in told


def test_one_of_two_signatures_is_enough(verify, alice, now):
    actor, keys = alice
    request = posted(activity(actor))
    gone = keys["rsa"].renamed(key_id=f"{actor}/gone#main-key", owner=actor)
    one, two = rfc9421.sign(request, gone, now=now, label="a"), rfc9421.sign(request, keys["rsa"], now=now, label="b")
    headers = one.headers
    for name in ("signature-input", "signature"):
        headers = headers.with_set(name, f"{one.headers.get(name)}, {two.headers.get(name)}")
    members = told_as_json(verify, evolve(one, headers=headers))
    assert (members["ok"], members["verified"]["key"]) == (True, keys["rsa"].key_id)
