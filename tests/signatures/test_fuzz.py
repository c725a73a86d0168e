"""Try 4,500 garbled inputs on every parser of a peer's bytes, and ten times as many with APCORE_FUZZ=all.

`nox -s fuzz -- signatures --inputs N` tries as many as you like.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from random import Random

import pytest

from apcore.errors import ContractError, RequestError
from fuzzed_bytes import GARBLERS, Case, is_allowed, judge, read_wire, run, wire

SEED = 5
INPUTS = 45_000 if os.environ.get("APCORE_FUZZ") == "all" else 4_500


@pytest.fixture(scope="module")
def fuzz():
    """Import the fuzzer, which is a program and not part of a package."""
    spec = importlib.util.spec_from_file_location("signatures_fuzz", Path(__file__).with_name("fuzz.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.long
def test_every_garbled_input_is_answered_correctly(fuzz):
    counts, findings = run(fuzz.CASES, seed=SEED, inputs=INPUTS)
    assert not findings, "\n".join(map(str, findings))
    assert counts.total() == INPUTS
    for case in fuzz.CASES:
        answers = {name.partition(": ")[2] for name in counts if name.startswith(f"{case.name}: ")}
        # Without both answers, the case would not have been tested.
        assert "accepted" in answers, case.name
        assert case.name in {"caching", "digests", "explained"} or len(answers) > 1, case.name


def test_equal_seeds_give_equal_runs(fuzz):
    first, second = (run(fuzz.CASES, seed=SEED, inputs=500)[0] for _ in range(2))
    assert first == second
    assert run(fuzz.CASES, seed=SEED + 1, inputs=500)[0] != first


def test_every_ungarbled_seed_is_accepted(fuzz):
    for case in fuzz.CASES:
        for data in case.seeds:
            answer, trace = judge(case, data)
            assert not trace, trace
            if case.name in {"requests", "proofs", "ld-signatures", "pem", "der", "multikey"}:
                assert answer == "accepted", (case.name, data)


def test_vectors_are_added_to_the_seeds(fuzz):
    assert all(
        len(case_with_vectors.seeds) >= len(case.seeds)
        for case, case_with_vectors in zip(fuzz.CASES, fuzz.with_vectors(), strict=True)
    )


@pytest.mark.parametrize("kind", sorted(GARBLERS))
def test_garbling_is_reproducible_and_bounded(kind):
    request = b"POST https://a.example/x\nhost: a.example\n\n" + b'{"type":"Note","to":["x"]}'
    data = request if kind == "request" else b'{"type":"Note","to":["x",{"a":1}]}'
    runs = [[GARBLERS[kind](Random(seed), data, [data]) for seed in range(200)] for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(set(runs[0])) > 100
    assert max(map(len, runs[0])) < 1_000_000


def test_unexpected_error_is_a_finding():
    def bug(data: bytes) -> None:
        if data == b"1":
            raise ValueError("a bug")
        if data == b"2":
            raise ContractError("ours")
        if data == b"3":
            raise RequestError("theirs")

    case = Case("bug", bug, (b"1",))
    assert [judge(case, data)[0] for data in (b"0", b"1", b"2", b"3")] == [
        "accepted",
        "FINDING",
        "FINDING",
        "bad-request",
    ]
    assert not is_allowed(ContractError("ours"))
    assert is_allowed(RequestError("theirs"))
    _, findings = run([case], seed=1, inputs=500, findings_max=3)
    assert len(findings) == 3
    assert "a bug" in str(findings[0])


def test_request_reads_back(fuzz):
    for request in fuzz.signed_requests():
        assert read_wire(wire(request)) == request
