"""A sender who invents a context for every document: memory stays bounded, and the next ordinary document costs what it did before."""

import gc
import subprocess
import sys

from apcore.jsonld import expand

AS = "https://www.w3.org/ns/activitystreams"
CONTEXTS = 100_000
BLOCKS_MAX = (
    200_000  # what a few thousand compiled contexts may hold; a leak of one object a context would be a multiple
)


def invented(number: int) -> dict[str, object]:
    context = [AS, {f"t{number}": f"https://x.example/{number}#t"}]
    return {"@context": context, "id": "https://a.example/1", "type": "Create", f"t{number}": "x"}


USUAL = {
    "@context": [AS, {"sensitive": "as:sensitive"}],
    "id": "https://a.example/1",
    "type": "Create",
    "sensitive": True,
    "content": "text",
}


def calls(document: dict[str, object]) -> int:
    """Count the calls that expanding takes: a measure of its cost that no busy machine disturbs."""
    counted = 0

    def count(_frame, event, _argument) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        expand(document)
    finally:
        sys.setprofile(None)
    return counted


def flood() -> None:
    for _ in range(3):
        expand(USUAL)
    before, answer = calls(USUAL), expand(USUAL)
    gc.collect()
    blocks = sys.getallocatedblocks()
    for number in range(CONTEXTS):
        expand(invented(number))
    gc.collect()
    grown = sys.getallocatedblocks() - blocks
    assert grown < BLOCKS_MAX, grown
    # The first ordinary document may have to be compiled once more; the next is as it was.
    assert expand(USUAL) == answer
    assert calls(USUAL) == before, (before, calls(USUAL))
    assert "pyld" not in sys.modules
    print(f"{CONTEXTS} contexts, {grown} blocks more, {before} calls before and after")


def test_a_hundred_thousand_contexts_leave_no_trace() -> None:
    # In a process of its own, where nothing else allocates.
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{CONTEXTS} contexts" in done.stdout


if __name__ == "__main__":
    flood()
