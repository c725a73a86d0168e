"""Break valid input in reproducible ways: the shared part of the fuzzers of the rooms, and their command line.

A case is bytes: text in Latin-1, a JSON document, or a request in the form of `wire`. Input n of seed s is the same on
every machine. The check of a case reports a wrong answer by raising. An error of apcore that blames the peer or the
moment is a valid answer, and any other exception is a finding.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from random import Random
from types import FunctionType
from typing import Any

from attrs import field, frozen

from apcore.errors import ApcoreError, LocalError
from apcore.http import Request

__all__ = ["Case", "Finding", "garble", "garble_json", "is_allowed", "main", "read_wire", "run", "wire"]

BYTES_MAX = 200_000
"""The maximum size of an input. Larger ones are refused before they reach the parsers."""

PIECES = [
    b"", b" ", b"\t", b"\n", b"\r\n", b"\x00", b"\x7f", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"\xe2\x80\xae", b'"', b"'", b"\\", b'\\"', b",", b",,", b";", b"=", b"==", b":", b"::", b"?", b"?1", b"#", b"&",
    b"%", b"%00", b"%2e%2e/", b"@", b"*", b"(", b")", b"()", b"[", b"]", b"{", b"}", b"<", b">", b"/", b"//", b"..",
    b".", b"-", b"--", b"+", b"_", b"~", b"$", b"0", b"-0", b"1", b"-1", b"00", b"1e400", b"1.5", b"9" * 15, b"9" * 16,
    b"9" * 400, b"0x10", b"2147483648", b"18446744073709551616", b"NaN", b"null", b"true", b"[]", b"{}", b'""',
    b"\\u0000", b"\\ud800", b"z", b"zz", b"m", b"u", b"A", b"AAAA", b"=?", b"A===", b"://", b"https://",
    b"http://[::1]:1/", b"javascript:", b"did:key:", b"acct:", b"https://a.example", b"https://user:pass@a.example/",
    b"localhost", b"127.0.0.1", b"xn--", b"xn--a", b"-----BEGIN ", b"-----END ", b"PUBLIC KEY-----", b"<!DOCTYPE x>",
    b'<!ENTITY a "b">', b"&a;", b"<![CDATA[", b"]]>", b"<?xml version='1.0' encoding='utf-16'?>", b"\xef\xbb\xbf",
    b"\xff\xfe", b"Mon, 31 Feb 2022 25:61:61 GMT", b"2022-02-30T00:00:00Z", b"9999-12-31T23:59:59.999999999+23:59",
    b"-0001-01-01", b"1; q=0.5", b";q=1.0001", b"(request-target)", b"(created)", b"(expires)", b"@status",
    b"@query-param", b";name=", b";sf", b";bs", b";key=", b";req", b";tr", b"content-digest", b"sha-256=", b"SHA-256=",
    b"sha-512=:", b"keyId=", b"signature=", b"algorithm=", b"hs2019", b'alg="hmac-sha256"', b"created=", b"expires=1",
    b"@context", b"@graph", b"@included", b"@reverse", b"@id", b"@type", b"@list", b"@none", b"_:b0", b"proofValue",
    b"type",
]  # fmt: skip

NAMES = [
    "@context", "@graph", "@included", "@reverse", "@id", "@type", "@value", "@list", "@set", "@nest", "@index", "id",
    "type", "actor", "object", "to", "owner", "controller", "publicKey", "publicKeyPem", "publicKeyMultibase",
    "assertionMethod", "proof", "proofValue", "proofPurpose", "previousProof", "verificationMethod", "cryptosuite",
    "created", "expires", "domain", "challenge", "signature", "signatureValue", "creator", "content", "name", "links",
    "href", "rel", "subject", "template", "usage", "users", "total", "software", "", "\x00", "é", "\ud800",
    "attributedTo",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 1.0, -0.0, 1e308, 2**53, 2**53 + 1, 10**30, "", " ", "x", "é", "\x00", "\ud800",
    "\U0010ffff", "_:b0", "z", "zz", "#x", "@id", "https://a.example/", "https://evil.example/x", "http://x.example/",
    "//x", "javascript:x", "https://a.example/\u202e", "a" * 3000, "https://www.w3.org/ns/activitystreams",
    "https://w3id.org/security/v1", "https://w3id.org/security/data-integrity/v2", "https://unknown.example/ns",
    "2022-02-30T00:00:00Z", "2026-11-22T08:00:00", "0000-01-01T00:00:00Z", "9999-12-31T23:59:60Z", [], {}, [[]], [{}],
    {"@value": "x"}, {"@list": []}, {"@id": "https://evil.example/x"}, {"@graph": []}, {"type": "RsaSignature2017"},
    {"type": "DataIntegrityProof"}, "RsaSignature2017", "DataIntegrityProof", "eddsa-jcs-2022", "eddsa-rdfc-2022",
    "assertionMethod", "authentication", {"@vocab": "https://v.example/"}, {"x": {"@id": "as:to", "@type": "@id"}},
    {"type": None}, {"as": None}, {"content": {"@reverse": "as:to"}}, {"all": "@graph"},
    {"@base": "https://evil.example/"}, {"@version": 1.1},
]  # fmt: skip


@frozen
class Case:
    """A function that checks bytes, and valid bytes from which inputs are made."""

    name: str
    check: Callable[[bytes], object] = field(repr=False)
    """Check an input, and raise if the answer is wrong. `is_allowed` judges each `ApcoreError`."""
    seeds: tuple[bytes, ...] = field(repr=False)
    kind: str = "text"
    """How seeds are garbled: `text`, `json` or `request`. `numbered` cases make their input from a number."""
    weight: float = 1
    """How often the case is chosen, compared with the others."""


@frozen
class Finding:
    """One input with a wrong answer."""

    case: str
    number: int
    data: bytes
    trace: str

    def __str__(self) -> str:
        data_text = repr(self.data) if len(self.data) < 4000 else f"{self.data[:3000]!r}... ({len(self.data)} bytes)"
        return f"input {self.number} of {self.case}: {data_text}\n{self.trace}"


def is_allowed(error: ApcoreError) -> bool:
    """Return whether an error is a valid answer to a peer: 4xx blames the peer, 503 the moment, and none blames us."""
    if isinstance(error, LocalError):
        return False
    return 400 <= error.status_hint < 500 or error.status_hint == 503


# --- garbling -------------------------------------------------------------------------------------------------------


def garble(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change bytes in one to eight places."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 8))):
        at = rng.randint(0, len(data))
        end = min(len(data), at + rng.choice((1, 1, 1, 2, 3, 8, 30, 200)))
        piece = data[at:end]
        match rng.randint(0, 12):
            case 0:
                piece = b""
            case 1:
                piece = rng.choice(PIECES)
            case 2:
                piece = rng.choice(PIECES) + piece
            case 3:
                piece = bytes([rng.randint(0, 255)]) + piece[1:]
            case 4:
                piece = bytes(octet ^ (1 << rng.randint(0, 7)) for octet in piece[:1]) + piece[1:]
            case 5:
                piece = piece * rng.choice((2, 2, 3, 10, 1000))
            case 6:
                piece = piece.swapcase()
            case 7:
                piece = piece[::-1]
            case 8 if others:
                other = rng.choice(others)
                start = rng.randint(0, len(other))
                piece = other[start : start + rng.choice((1, 4, 20, 100, 1000))]
            case 9:
                data, piece = data[:at], b""
            case 10:
                data, piece, at, end = data[at:], b"", 0, 0
            case 11:
                back = rng.randint(0, len(data))
                data = data[:back] + piece + data[back:]
            case _:
                piece = piece + b" " * rng.choice((1, 1, 500))
        data = (data[:at] + piece + data[end:])[:BYTES_MAX]
    return data


def garble_json(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change a document in one to four places, and sometimes its bytes as well."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return garble(rng, data, others)
    for _ in range(rng.choice((1, 1, 2, 3, 4))):
        document = _change_document(rng, document, others)
    changed = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    return garble(rng, changed, others) if rng.random() < 0.15 else changed[:BYTES_MAX]


def _change_document(rng: Random, document: Any, others: Sequence[bytes]) -> Any:
    places = _places(document)
    if not places:
        return _value(rng)
    place = rng.choice(places)
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    key = rng.choice(keys) if keys else None
    choice = rng.randint(0, 11)
    if key is None or choice == 0:
        _put(place, rng.choice(NAMES), _value(rng))
    elif choice == 1:
        del place[key]
    elif choice == 2:
        place[key] = _value(rng)
    elif choice == 3:
        _put(place, rng.choice(NAMES), place[key])
    elif choice == 4:
        place[key] = [place[key]] * rng.choice((1, 2, 2, 9, 40))
    elif choice == 5:
        place[key] = {rng.choice(NAMES): place[key]}
    elif choice == 6:
        place[key] = _copy_part(rng.choice(places))
    elif choice == 7 and isinstance(place[key], str):
        text = garble(rng, place[key].encode("utf-8", "surrogatepass"), others)
        place[key] = text.decode("utf-8", "replace")
    elif choice == 8 and others:
        try:
            other = json.loads(rng.choice(others))
        except ValueError:
            other = None
        parts = _places(other)
        place[key] = rng.choice(parts) if parts else other
    elif choice == 9:
        deep: Any = place[key]
        for _ in range(rng.choice((3, 20, 60, 200))):
            deep = [deep] if rng.random() < 0.5 else {"object": deep}
        place[key] = deep
    elif choice == 10:
        items = list(place.items()) if isinstance(place, dict) else list(place)
        rng.shuffle(items)
        if isinstance(place, dict):
            place.clear()
            place.update(items)
        else:
            place[:] = items
    else:
        return [document] if rng.random() < 0.3 else {rng.choice(NAMES): document, **_members(document)}
    return document


def _value(rng: Random) -> Any:
    return deepcopy(rng.choice(VALUES))  # Callers change the result, but must not change the table.


def _put(place: Any, name: str, value: Any) -> None:
    if isinstance(place, dict):
        place[name] = value
    else:
        place.append(value)


def _members(document: Any) -> dict[str, Any]:
    return document if isinstance(document, dict) else {}


def _copy_part(part: Any) -> Any:
    text = json.dumps(part)
    return json.loads(text) if len(text) < 10_000 else None


def _places(document: Any) -> list[Any]:
    places, stack = [], [document]
    while stack and len(places) < 500:
        part = stack.pop()
        if isinstance(part, dict):
            places.append(part)
            stack += part.values()
        elif isinstance(part, list):
            places.append(part)
            stack += part
    return places


# --- requests as bytes ----------------------------------------------------------------------------------------------


def wire(request: Request) -> bytes:
    """Write a request as bytes: method and URL, fields, an empty line, the body."""
    lines = [f"{request.method} {request.url}".encode("ascii")]
    lines += [name + b": " + value for name, value in request.headers.to_wire()]
    return b"\n".join(lines) + b"\n\n" + request.body


def read_wire(data: bytes) -> Request:
    """Read a request in the form of `wire`; raise like `Request.received` for one that no server would pass on."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, url = first.partition(b" ")
    pairs = [(name, value.strip(b" ")) for name, _, value in (line.partition(b":") for line in lines)]
    return Request.received(method.decode("latin-1"), url.decode("latin-1"), pairs, body)


def garble_request(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change a request: mostly whole fields or their values, sometimes its body or its target."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    other_lines = [line for other in others for line in other.partition(b"\n\n")[0].split(b"\n")[1:]]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randint(0, len(lines) - 1) if lines else 0
        match rng.randint(0, 11):
            case 0 if lines:
                del lines[at]
            case 1 if lines:
                lines.insert(rng.randint(0, len(lines)), lines[at])
            case 2 if other_lines:
                lines.insert(at, rng.choice(other_lines))
            case 3 if other_lines and lines:
                lines[at] = rng.choice(other_lines)
            case 4:
                first = garble(rng, first, others)
            case 5:
                body = garble_json(rng, body)
            case 6:
                rng.shuffle(lines)
            case _ if lines:
                name, colon, value = lines[at].partition(b":")
                lines[at] = name + colon + garble(rng, value, other_lines)
            case _:
                body = garble(rng, body)
    return b"\n".join([first, *lines]) + b"\n\n" + body


GARBLERS: Mapping[str, Callable[[Random, bytes, Sequence[bytes]], bytes]] = {
    "text": garble,
    "json": garble_json,
    "request": garble_request,
    "numbered": lambda rng, _data, _others: rng.randbytes(8).hex().encode(),
}


# --- a run ----------------------------------------------------------------------------------------------------------


def choose_input(cases: Sequence[Case], seed: int, number: int) -> tuple[Case, bytes]:
    """Return the case and the input with index ``number`` in the run ``seed``."""
    rng = Random(f"{seed}:{number}")
    case = rng.choices(cases, [case.weight for case in cases])[0]
    data = rng.choice(case.seeds)
    return case, data if rng.random() < 0.02 else GARBLERS[case.kind](rng, data, case.seeds)


def judge(case: Case, data: bytes) -> tuple[str, str]:
    """Return the answer to an input in a word, and the traceback of a wrong one."""
    try:
        answer = case.check(data)
    except ApcoreError as error:
        return (error.reason, "") if is_allowed(error) else ("FINDING", traceback.format_exc())
    except Exception:
        return "FINDING", traceback.format_exc()
    return answer if isinstance(answer, str) else "accepted", ""


def run(
    cases: Sequence[Case],
    *,
    seed: int,
    inputs: int,
    first: int = 0,
    findings_max: int = 10,
    progress: Callable[[int], object] | None = None,
    slow_s: float | None = None,
) -> tuple[Counter[str], list[Finding]]:
    """Try ``inputs`` inputs; return the number of each answer of each case, and the findings.

    With ``slow_s``, an input that takes more CPU time is a finding too.
    """
    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    for number in range(first, first + inputs):
        case, data = choose_input(cases, seed, number)
        began = time.process_time() if slow_s is not None else 0.0
        answer, trace = judge(case, data)
        if slow_s is not None and (took_s := time.process_time() - began) > slow_s:
            answer, trace = "FINDING", f"took {took_s:.2f} s of CPU\n{trace}"
        counts[f"{case.name}: {answer}"] += 1
        if trace:
            findings.append(Finding(case.name, number, data, trace))
            if len(findings) >= findings_max:
                break
        if progress is not None:
            progress(number - first + 1)
    return counts, findings


def main(cases: Sequence[Case], description: str, *, default: int) -> int:
    """Run the command line of a room's fuzzer."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--inputs", type=int, default=default, help="how many (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the number to begin with")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", action="append", default=[], metavar="CASE", help="try this case alone; may be repeated"
    )
    parser.add_argument(
        "--slow", type=float, default=2.0, metavar="SECONDS", help="CPU time that is a finding (%(default)s)"
    )
    parser.add_argument("--keep-going", action="store_true", help="do not stop after ten findings")
    parser.add_argument("--atheris", action="store_true", help="be led by coverage (needs the package atheris)")
    parser.add_argument("--list", action="store_true", help="list the cases")
    options = parser.parse_args()
    if unknown := set(options.only) - {case.name for case in cases}:
        parser.error(f"no case {', '.join(sorted(unknown))}; there are: {', '.join(case.name for case in cases)}")
    selected_cases = [case for case in cases if not options.only or case.name in options.only]
    if options.list:
        print("\n".join(case.name for case in selected_cases))
        return 0
    if options.atheris:
        return _run_guided_by_coverage(selected_cases, options.inputs, options.seed)
    began = time.monotonic()
    counts, findings = run(
        selected_cases,
        seed=options.seed,
        inputs=options.inputs,
        first=options.first,
        findings_max=10**9 if options.keep_going else 10,
        progress=_bar(options.inputs),
        slow_s=options.slow,
    )
    for name, times in sorted(counts.items()):
        print(f"{times:9} {name}")
    for finding in findings[:50]:
        print(finding)
    print(f"seed {options.seed}: {counts.total()} inputs in {time.monotonic() - began:.0f} s, {len(findings)} findings")
    return 1 if findings else 0


def _bar(total: int) -> Callable[[int], None]:
    """Return a function that shows progress: in place on a terminal, and in ten lines elsewhere."""
    began = time.monotonic()
    on_terminal = sys.stderr.isatty()
    step = max(1, total // (200 if on_terminal else 10))

    def draw(finished: int) -> None:
        if finished % step and finished != total:
            return
        part, took_s = finished / total, time.monotonic() - began
        remaining_s = took_s * (1 - part) / part
        text = f"[{'#' * int(30 * part):30}] {finished:,} of {total:,}, {took_s:.0f} s, {remaining_s:.0f} s left"
        print(
            f"\r{text} " if on_terminal else text,
            end="" if on_terminal and finished != total else "\n",
            file=sys.stderr,
            flush=True,
        )

    return draw


def _run_guided_by_coverage(cases: Sequence[Case], inputs: int, seed: int) -> int:
    """Let libFuzzer choose inputs by the coverage that they reach. The first byte selects the case."""
    try:
        import atheris  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        print("atheris is not installed: pip install atheris (its wheels are for Linux)", file=sys.stderr)
        return 2
    import tempfile
    from pathlib import Path

    def check_input(data: bytes) -> None:
        case = cases[data[0] % len(cases)] if data else cases[0]
        answer, trace = judge(case, data[1:])
        if answer == "FINDING":
            raise AssertionError(f"{case.name}: {data[1:]!r}\n{trace}")

    def mutate(data: bytes, size_max: int, number: int) -> bytes:
        case = cases[data[0] % len(cases)] if data else cases[0]
        rng = Random(number)
        if rng.random() < 0.5:
            return atheris.Mutate(data, size_max)
        return (data[:1] + GARBLERS[case.kind](rng, data[1:], case.seeds))[:size_max]

    with tempfile.TemporaryDirectory() as corpus:
        for number, case in enumerate(cases):
            for at, data in enumerate(case.seeds):
                (Path(corpus) / f"{number}-{at}").write_bytes(bytes([number]) + data)
        # Instrument only apcore: instrumenting its libraries takes minutes.
        for function in [candidate for candidate in gc.get_objects() if isinstance(candidate, FunctionType)]:
            if (function.__module__ or "").startswith("apcore."):
                atheris.instrument_func(function)
        atheris.Setup(
            [sys.argv[0], f"-runs={inputs}", f"-seed={seed}", "-max_len=20000", corpus],
            check_input,
            custom_mutator=mutate,
        )
        atheris.Fuzz()
    return 0
