"""Check recorded, specified and generated signed requests against each preset, with the reason of each refusal."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from itertools import permutations

import pytest
from attrs import evolve
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from apcore.errors import ApcoreError
from apcore.http.messages import Request
from apcore.signatures import cavage, explain, key_formats
from apcore.signatures.policy import DEFAULT, LENIENT, PRESETS, STRICT
from apcore.signatures.presented import check
from apcore.signatures.requests import parse_all
from vector_files import VECTORS, load_json, needs_vectors

SUITE = "http-signatures"
# For vectors of a specification: no coverage is demanded, so that the cryptography decides.
BARE = LENIENT.with_(name="bare", cavage_read=(), cavage_write=(), rfc9421_read=(), rfc9421_write=())

pytestmark = needs_vectors


def make_request(case, origin):
    headers = [(name.encode(), value.encode()) for name, value in case["headers"]]
    return Request.received(case["method"], origin + case["target"], headers, case["body"].encode())


def outcome(request, key, policy, now, *, base=None, label=None):
    """Return "ok", or the reason of the refusal."""
    answer = "ok"
    try:
        [presented, *_] = [p for p in parse_all(request, policy, now=now) if label in {None, p.label}]
        if base is not None:
            assert presented.bases[0].data.decode() == base
        assert check(presented, key).key_id == presented.key_id
    except ApcoreError as exc:
        answer, status = exc.reason, exc.status_hint
    else:
        status = None
    assert status in {None, 400, 401}
    check_explanation(request, key, policy, now, answer)
    return answer


def check_explanation(request, key, policy, now, answer):
    """Check that an explanation reaches the same verdict."""
    report = explain(request, now=now, policy=policy, keys={key.key_id: key, key.owner: key})
    assert (report.verified is not None) == (answer == "ok")
    assert report.error is None if answer in {"ok", "key-mismatch"} else report.error.reason == answer
    assert report.lines()


def load_cases(file):
    loaded = load_json(f"{SUITE}/{file}")
    return [] if loaded is None else loaded["cases"]


def case_id(case):
    return case["name"].rpartition(" > ")[2]


# --- generated ------------------------------------------------------------------------------------------------------

# The reason under the default preset, then the results of the presets that differ.
GENERATED = {
    "expired": ("signature-expired", {}),
    "date one day old": ("signature-too-old", {}),
    "request-target not covered": ("coverage-too-small", {"lenient": "ok"}),
    "digest header two values, second sha-256 wrong": ("digest-mismatch", {}),
    "host of another server": ("wrong-host", {}),
    "path case changed": ("bad-signature", {}),
    "signature parameter duplicated, last one wrong": ("signature-malformed", {}),
    "Signature carried as Authorization: Signature": ("signature-missing", {"lenient": "ok"}),
    "method, path and authority instead of target-uri": ("ok", {"strict": "coverage-too-small"}),
    "no created": ("coverage-too-small", {}),
    "body changed": ("digest-mismatch", {}),
    "covered component repeated": ("signature-malformed", {}),
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("case", load_cases("generated.json"), ids=case_id)
def test_generated_request_has_its_expected_outcome(case, preset):
    file = load_json(f"{SUITE}/generated.json")
    now = datetime.fromtimestamp(file["now"], UTC)
    key = key_formats.read_pem(file["keys"][case["key"]]["publicPem"], key_id=file["keyId"], owner=file["owner"])
    reason, results_by_preset = GENERATED.get(case["name"], ("ok", {}))
    expected = results_by_preset.get(preset, reason)
    base = case["base"] if expected == "ok" else None
    assert outcome(make_request(case, "https://local.example"), key, PRESETS[preset], now, base=base) == expected


def test_generated_file_has_all_cases():
    counts = Counter()
    for case in load_cases("generated.json"):
        reason, results_by_preset = GENERATED.get(case["name"], ("ok", {}))
        # The verdict in the file is that of the default preset, or of the lenient one if the file names a policy.
        assert case["valid"] == (
            "ok" in {reason, results_by_preset.get("lenient") if "optional" in case.get("policy", "") else reason}
        )
        counts["accepted" if reason == "ok" else "refused"] += 1
    assert counts == {"accepted": 13, "refused": 11}


# --- Mastodon's own specification -----------------------------------------------------------------------------------

MASTODON = {
    "without a Signature header :: does not treat the request as signed": "signature-missing",
    "when a signature is required :: returns http unauthorized with appropriate error": "signature-missing",
    "with mismatching query string :: fails to verify signature": "bad-signature",
    # A POST without a digest: refused before the method could be found wrong.
    "with a mismatching method :: fails to verify signature": "coverage-too-small",
    "with an unparsable date :: fails to verify signature": "signature-malformed",
    "when the Digest of a POST request is not signed :: fails to verify signature": "coverage-too-small",
    "with a tampered path in a POST request :: fails to verify signature": "bad-signature",
    "with an inaccessible key :: fails to verify signature": "key-mismatch",
    "with a request older than a day :: fails to verify signature": "signature-too-old",
    "with a tampered body on a POST request :: fails to verify signature": "digest-mismatch",
    "with a malformed `Content-Digest` header :: returns `400` (Bad Request)": "digest-malformed",
}
QUERY_QUIRK = (
    "when the query string is missing from the signature verification (compatibility quirk) "
    ":: successfuly verifies signature"
)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("case", load_cases("mastodon-spec.json"), ids=case_id)
def test_mastodon_request_has_its_expected_outcome(case, preset):
    file = load_json(f"{SUITE}/mastodon-spec.json")
    now = datetime.fromisoformat(file["now"])
    key = key_formats.read_pem(file["keys"][case["key"]]["publicPem"], key_id=file["keyId"], owner=file["actor"])
    expected = "ok" if case["valid"] else MASTODON[case_id(case)]
    if preset == "strict" and case_id(case) == QUERY_QUIRK:
        expected = "bad-signature"
    assert outcome(make_request(case, "https://www.example.com"), key, PRESETS[preset], now) == expected


def test_mastodon_file_has_all_cases():
    assert Counter(case["valid"] for case in load_cases("mastodon-spec.json")) == {True: 6, False: 14}


# --- recorded -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("number", range(2))
def test_recorded_request_is_accepted(number, preset):
    recorded = load_cases("recorded.json")
    assert len(recorded) == 2
    case = recorded[number]
    key = key_formats.read_pem(case["publicPem"], key_id=case["keyId"], owner="https://example.com/someone")
    request = make_request(case, f"{case['scheme']}://{dict(case['headers'])['Host']}")
    assert outcome(request, key, PRESETS[preset], datetime.fromisoformat(case["now"]), base=case["base"]) == "ok"


# --- draft-cavage-12, appendix C ------------------------------------------------------------------------------------

DATE = datetime(2014, 1, 5, 21, 31, 40, tzinfo=UTC)
CAVAGE = [
    # The default coverage binds no target: only without any demand.
    (BARE, DATE),
    # A POST without digest.
    (BARE, DATE),
    (LENIENT, DATE),
    (LENIENT, datetime.fromtimestamp(1402170697, UTC)),
]


@pytest.mark.parametrize("number", range(4), ids=["C.1", "C.2", "C.3", "C.3 with created"])
def test_cavage_appendix_c_holds_without_our_coverage_rules(number):
    file = load_json(f"{SUITE}/cavage-appendix-c.json")
    assert len(file["cases"]) == 4
    case, (policy, now) = file["cases"][number], CAVAGE[number]
    request = make_request(file["request"], "https://example.com")
    request = evolve(request, headers=request.headers.with_set("signature", case["signature"]))
    key = key_formats.read_pem(file["keys"]["Test"]["publicPem"], key_id="Test", owner="https://example.com/someone")
    assert outcome(request, key, policy, now, base=case["base"]) == "ok"
    # 1,024 bits and a date years ago: no other policy accepts it.
    assert outcome(request, key, DEFAULT, now) in {"key-weak", "coverage-too-small"}
    assert outcome(request, key, policy, DATE.replace(year=2026)) in {"signature-too-old", "signature-expired"}


# --- the suite of the credentials community group -------------------------------------------------------------------

HELLO = b'{"hello": "world"}'
CCG = {
    "basic-request": "signature-missing",
    "created": "signature-too-old",
    "created-ecdsa": "algorithm-refused",
    "created-hmac": "algorithm-refused",
    "created-rsa": "algorithm-refused",
    "default-test": "signature-missing",
    "duplicate-headers-request": "signature-malformed",
    "duplicate-parameters": "signature-malformed",
    "ecdsa-signed": "key-malformed",  # on secp256k1, which nothing here verifies with
    # The next three signatures are over other messages: see `test_signatures_of_the_ccg_suite_are_over_other_messages`.
    "ed25519-signed": "bad-signature",
    "expires": "component-missing",
    "ignore-case": "signature-missing",
    "nokeyid-request": "signature-malformed",
    "nosignature-request": "signature-malformed",
    "p256-signed": "bad-signature",
    "rsa-signed": "bad-signature",
    "zero-length": "signature-missing",
}
CCG_KEYS = {"ecdsa-signed": "koblitzCurve.pub", "ed25519-signed": "ed25519.pub", "p256-signed": "P256.pub"}


def ccg_request(name):
    head, *lines = (VECTORS / SUITE / "ccg-test-suite" / f"{name}.httpMessage").read_bytes().splitlines()
    method, target, _ = head.decode().split(" ")
    pairs = [tuple(line.split(b":", 1)) for line in lines if line]
    body = HELLO if any(name.lower() == b"content-length" for name, _ in pairs) else b""
    return Request.received(method, "https://example.com" + target, pairs, body)


@pytest.mark.parametrize("name", CCG)
def test_ccg_request_is_refused_for_its_reason(name):
    pem = (VECTORS / SUITE / "ccg-test-suite" / CCG_KEYS.get(name, "rsa.pub")).read_text()
    now = datetime(2026, 11, 22, tzinfo=UTC)
    request = ccg_request(name)
    if CCG[name] == "key-malformed":
        with pytest.raises(ApcoreError) as exc_info:
            key_formats.read_pem(pem, key_id="test-key", owner="x")
        assert exc_info.value.reason == CCG[name]
        assert parse_all(request, BARE, now=now)
        return
    key_id = "test" if name == "rsa-signed" else "test-key"
    key = key_formats.read_pem(pem, key_id=key_id, owner="x")
    assert outcome(request, key, BARE, now) == CCG[name]
    assert outcome(request, key, DEFAULT, now) != "ok"


def test_ccg_suite_has_all_messages():
    names = {path.stem for path in (VECTORS / SUITE / "ccg-test-suite").glob("*.httpMessage")}
    assert names == set(CCG)
    assert len(names) == 17


@pytest.mark.parametrize("name", ["rsa-signed", "ed25519-signed", "p256-signed"])
def test_signatures_of_the_ccg_suite_are_over_other_messages(name):
    """Show with plain cryptography why the signed messages of the suite are refused.

    The suite only asks its drivers for an answer to them, whether good or bad. The RSA signature yields the digest that
    was signed: it is the SHA-256 of no combination of lines in the file. The other two hold over no combination either.
    """
    suite = VECTORS / SUITE / "ccg-test-suite"
    text = (suite / f"{name}.httpMessage").read_text()
    target, *lines = [line for line in text.splitlines() if line and not line.startswith("Authorization")]
    method, path, _ = target.split(" ")
    fields = [name.lower() + ":" + value for name, value in (line.split(":", 1) for line in lines)]
    signed = re.search(r'headers="host digest",signature="([^"]+)"', text)
    assert signed is not None
    assert fields[0] == "host: example.com"
    signature = b64decode(signed[1])
    key = serialization.load_pem_public_key((suite / CCG_KEYS.get(name, "rsa.pub")).read_bytes())
    strings = [
        "\n".join(ordered_lines).encode()
        for length in range(1, 6)
        for ordered_lines in permutations([f"(request-target): {method.lower()} {path}", *fields], length)
    ]
    assert len(strings) == 325
    if isinstance(key, RSAPublicKey):
        signed_digest = key.recover_data_from_signature(signature, PKCS1v15(), SHA256())
        assert len(signed_digest) == 32
        assert signed_digest not in {sha256(string).digest() for string in strings}
        return
    arguments = (ECDSA(SHA256()),) if isinstance(key, EllipticCurvePublicKey) else ()
    for string in strings:
        with pytest.raises(InvalidSignature):
            key.verify(signature, string, *arguments)


@pytest.mark.parametrize("name", ["ed25519", "P256", "rsa"])
def test_ccg_keys_sign_the_messages_of_the_suite(name):
    suite = VECTORS / SUITE / "ccg-test-suite"
    key = key_formats.read_private_pem((suite / f"{name}.private").read_text(), key_id="test-key", owner="x")
    assert key.public == key_formats.read_pem((suite / f"{name}.pub").read_text(), key_id="test-key", owner="x")
    now = datetime(2026, 11, 22, tzinfo=UTC)
    message = ccg_request("default-test")
    signed = cavage.sign(evolve(message, body=HELLO), key, now=now)
    assert outcome(signed, key.public, DEFAULT if name != "rsa" else LENIENT, now) == "ok"


@pytest.mark.parametrize(
    ("name", "covered", "base"),
    [
        ("default-test", ("digest",), b"digest: SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="),
        ("ignore-case", ("content-length", "host"), b"content-length: 18\nhost: example.com"),
        ("zero-length", ("zero",), b"zero: "),
        ("duplicate-headers-request", ("duplicate",), b"duplicate: one, two"),
        ("default-test", ("(request-target)",), b"(request-target): post /foo?param=value&pet=dog"),
    ],
)
def test_ccg_signing_strings_are_reproduced(name, covered, base):
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert cavage.prepare(ccg_request(name), key_id="foo", now=now, covered=covered).data == base


# --- RFC 9421, appendix B -------------------------------------------------------------------------------------------

APPENDIX_B_TIME = datetime.fromtimestamp(1618884473, UTC)


def appendix_b():
    return load_json(f"{SUITE}/rfc9421-appendix-b.json")


def appendix_b_key(file, name, algorithm=None):
    return key_formats.read_pem(file["keys"][name]["publicPem"], key_id=name, owner="x", algorithm=algorithm)


@pytest.mark.parametrize("number", range(6), ids=[f"B.2.{n}" for n in range(1, 7)])
def test_rfc9421_appendix_b_requests_hold(number):
    file = appendix_b()
    assert len(file["cases"]) == 6
    case = file["cases"][number]
    if case["message"] == "response":
        # Federation signs no responses. The key and the form of its signature still follow the RFC.
        key = appendix_b_key(file, case["key"])
        from apcore.http.fields import parse_dictionary

        key.verify(parse_dictionary(case["signature"])[case["label"]].value, case["base"].encode(), case["alg"])
        return
    request = make_request(file["request"], "https://example.com")
    headers = request.headers.with_set("signature-input", case["signatureInput"]).with_set(
        "signature", case["signature"]
    )
    request = evolve(request, headers=headers)
    if case["alg"] == "hmac-sha256":
        # We use no shared secrets: the signature is read, but no key can check it.
        [presented] = parse_all(request, BARE, now=APPENDIX_B_TIME)
        assert presented.bases[0].data.decode() == case["base"]
        return
    key = appendix_b_key(file, case["key"], case["alg"])
    assert outcome(request, key, BARE, APPENDIX_B_TIME, base=case["base"]) == "ok"
    # B.2.3 is the one that covers method, target and body.
    assert outcome(request, key, DEFAULT, APPENDIX_B_TIME) == ("ok" if number == 2 else "coverage-too-small")


@pytest.mark.parametrize("name", ["test-key-rsa", "test-key-rsa-pss", "test-key-ecc-p256", "test-key-ed25519"])
def test_rfc9421_appendix_b_keys_are_read(name):
    file = appendix_b()
    private = key_formats.read_private_pem(file["keys"][name]["privatePem"], key_id=name, owner="x")
    assert private.public == appendix_b_key(file, name)


def test_rfc9421_appendix_b_proxy_signature_holds_for_the_public_origin():
    file = appendix_b()
    case = file["proxyCase"]
    # The proxy signed what the client saw; the application gives the verifier that origin.
    request = make_request(case["message"], "https://service.internal.example")
    assert outcome(request, appendix_b_key(file, case["key"]), BARE, APPENDIX_B_TIME, label="ttrp") == "ok"
    elsewhere = make_request(case["message"], "https://example.com")
    assert outcome(elsewhere, appendix_b_key(file, case["key"]), BARE, APPENDIX_B_TIME, label="ttrp") == "bad-signature"


def test_rfc9421_appendix_b_transformations():
    file = appendix_b()
    transformations = file["transformations"]
    key = appendix_b_key(file, transformations["key"])
    counts = Counter()
    for variant in transformations["variants"]:
        message = variant["message"]
        request = make_request(message, f"https://{dict(message['headers'])['Host']}")
        expected = "ok" if variant["valid"] else "bad-signature"
        assert (
            outcome(request, key, BARE, APPENDIX_B_TIME, base=transformations["base"] if variant["valid"] else None)
            == expected
        )
        counts[expected] += 1
    assert counts == {"ok": 4, "bad-signature": 2}


def test_presets_are_found_by_name():
    assert {"default": DEFAULT, "strict": STRICT, "lenient": LENIENT} == PRESETS
    assert json.dumps(sorted(PRESETS)) == '["default", "lenient", "strict"]'
