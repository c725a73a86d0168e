"""Parts of a commit add up, and a merged part is one that a store takes."""

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
def test_addition_is_associative_with_nothing_as_zero(one, two, three):
    assert (one + two) + three == one + (two + three)
    assert one + NO_CHANGE == NO_CHANGE + one == one
    assert sum([one, two], NO_CHANGE) == one + two


@given(BATCHES)
def test_a_merged_batch_is_one_that_a_store_takes(batch):
    merged = batch.merged
    _ = check_commit(merged.checks, merged.writes, token=bytes(16))
    assert merged.merged == merged


@given(st.lists(WRITES, max_size=8))
def test_the_last_write_of_a_key_counts_and_increments_add_up(writes):
    merged = {write.key: write for write in merge_writes(writes)}
    for key, write in merged.items():
        of_key = [one for one in writes if one.key == key]
        if isinstance(write, Increment) and all(isinstance(one, Increment) for one in of_key):
            assert write.delta == sum(one.delta for one in of_key)
        elif not isinstance(write, Increment):
            assert write == of_key[-1]


def test_only_an_empty_batch_is_false():
    assert not NO_CHANGE
    assert Batch(writes=[DeleteEntry(("a",))])
