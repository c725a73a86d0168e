"""Check batches: parts of a commit add up, and a merged batch is valid for a store."""

from hypothesis import given
from hypothesis import strategies as st

from apcore.ports import NO_CHANGE, Batch, Check, DeleteEntry, Increment, Message, Put, check_commit, merge_writes

KEYS = st.sampled_from([("a",), ("b",), ("c", "d")])
WRITES = st.one_of(
    st.builds(Put, KEYS, st.binary(max_size=3)),
    st.builds(DeleteEntry, KEYS),
    st.builds(Increment, KEYS, st.integers(-5, 5)),
)
BATCHES = st.builds(
    Batch,
    st.lists(st.builds(Check, KEYS, st.none()), max_size=3),
    st.lists(WRITES, max_size=5),
    st.lists(st.builds(Message, st.binary(min_size=16, max_size=16), st.just("lane"), st.just(b"")), max_size=2),
)


@given(BATCHES, BATCHES, BATCHES)
def test_addition_is_associative_with_no_change_as_zero(first, second, third):
    assert (first + second) + third == first + (second + third)
    assert first + NO_CHANGE == NO_CHANGE + first == first
    assert sum([first, second], NO_CHANGE) == first + second


@given(BATCHES)
def test_merged_batch_is_valid_for_a_store(batch):
    merged = batch.merged
    _ = check_commit(merged.checks, merged.writes, token=bytes(16))
    assert merged.merged == merged


@given(st.lists(WRITES, max_size=8))
def test_last_write_of_a_key_wins_and_increments_add_up(writes):
    merged = {write.key: write for write in merge_writes(writes)}
    for key, write in merged.items():
        key_writes = [candidate for candidate in writes if candidate.key == key]
        if isinstance(write, Increment) and all(isinstance(candidate, Increment) for candidate in key_writes):
            assert write.delta == sum(candidate.delta for candidate in key_writes)
        elif not isinstance(write, Increment):
            assert write == key_writes[-1]


def test_only_an_empty_batch_is_falsy():
    assert not NO_CHANGE
    assert Batch(writes=[DeleteEntry(("a",))])
