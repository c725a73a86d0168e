"""Check a flood of new contexts: memory stays bounded, and the next ordinary document costs no more than before."""

import gc
import subprocess
import sys

from apcore.jsonld import expand

AS = "https://www.w3.org/ns/activitystreams"
CONTEXTS = 100_000
# A few thousand compiled contexts hold fewer blocks. A leak of one object per context would exceed the limit.
BLOCKS_MAX = 200_000


def document_with_new_context(number: int) -> dict[str, object]:
    context = [AS, {f"t{number}": f"https://x.example/{number}#t"}]
    return {"@context": context, "id": "https://a.example/1", "type": "Create", f"t{number}": "x"}


USUAL = {
    "@context": [AS, {"sensitive": "as:sensitive"}],
    "id": "https://a.example/1",
    "type": "Create",
    "sensitive": True,
    "content": "text",
}


def count_calls(document: dict[str, object]) -> int:
    """Return the number of calls that expansion makes: a measure of its cost that a busy machine does not disturb."""
    call_count = 0

    def count(_frame, event, _argument) -> None:
        nonlocal call_count
        call_count += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        expand(document)
    finally:
        sys.setprofile(None)
    return call_count


def flood() -> None:
    for _ in range(3):
        expand(USUAL)
    calls_before, answer = count_calls(USUAL), expand(USUAL)
    gc.collect()
    blocks = sys.getallocatedblocks()
    for number in range(CONTEXTS):
        expand(document_with_new_context(number))
    gc.collect()
    blocks_grown = sys.getallocatedblocks() - blocks
    assert blocks_grown < BLOCKS_MAX, blocks_grown
    # The first ordinary document may be compiled once more. The next one costs as much as before.
    assert expand(USUAL) == answer
    assert count_calls(USUAL) == calls_before, (calls_before, count_calls(USUAL))
    assert "pyld" not in sys.modules
    print(f"{CONTEXTS} contexts, {blocks_grown} blocks more, {calls_before} calls before and after")


def test_flood_of_100000_contexts_leaves_no_trace() -> None:
    # Run in a process of its own, where nothing else allocates.
    process = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    assert f"{CONTEXTS} contexts" in process.stdout


if __name__ == "__main__":
    flood()
