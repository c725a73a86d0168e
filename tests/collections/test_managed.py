"""Check managed collections in memory against a plain list."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apcore.adapters.memory import MemoryStore
from apcore.adapters.threads import BlockingRuntime
from apcore.collections import Member, add_member, contains, count, members_page, put_member, remove_member
from apcore.drivers import Ports, run
from apcore.effects import commit_batch
from apcore.ports import NO_CHANGE

LIKES = "https://ours.example/notes/1/likes"


class ManagedCollection:
    """A managed collection under the blocking driver."""

    def __init__(self) -> None:
        self.ports = Ports(runtime=BlockingRuntime(), store=MemoryStore())
        self.clock = 0

    def add(self, ident: str, item: bytes = b"") -> bool:
        self.clock += 1
        batch = add_member(LIKES, Member(ident, item), order=f"{self.clock:08d}")
        return bool(run(commit_batch(batch), self.ports))

    def remove(self, ident: str) -> bool:
        batch = run(remove_member(LIKES, ident), self.ports)
        return batch != NO_CHANGE and bool(run(commit_batch(batch), self.ports))

    def pages(self, limit: int, *, oldest_first: bool = False) -> list[list[str]]:
        ids_by_page, cursor = [], None
        while True:
            page = run(members_page(LIKES, cursor=cursor, limit=limit, oldest_first=oldest_first), self.ports)
            ids_by_page.append([member.id for member in page.items])
            if (cursor := page.next) is None:
                return ids_by_page


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["add", "add", "remove"]), st.integers(0, 8)), max_size=30), st.integers(1, 5)
)
def test_collection_behaves_like_a_list(steps: list[tuple[str, int]], limit: int) -> None:
    collection, model = ManagedCollection(), []
    for verb, number in steps:
        ident = f"https://remote.example/{number}"
        if verb == "add":
            assert collection.add(ident) is (ident not in model)
            model += [ident] if ident not in model else []
        else:
            assert collection.remove(ident) is (ident in model)
            model = [member for member in model if member != ident]
    assert [ident for page in collection.pages(limit) for ident in page] == model[::-1]
    assert [ident for page in collection.pages(limit, oldest_first=True) for ident in page] == model
    assert all(len(page) == limit for page in collection.pages(limit)[:-1])
    assert run(count(LIKES), collection.ports) == len(model)
    everyone = [f"https://remote.example/{number}" for number in range(9)]
    assert run(contains(LIKES, everyone), collection.ports) == tuple(ident in model for ident in everyone)


def test_item_of_a_member_reads_back() -> None:
    collection = ManagedCollection()
    collection.add("https://remote.example/a", b'{"inbox":"x"}\nmore')
    page = run(members_page(LIKES, limit=1), collection.ports)
    assert page.items == (Member("https://remote.example/a", b'{"inbox":"x"}\nmore'),)


def test_cursor_stays_valid_after_its_member_is_removed() -> None:
    collection = ManagedCollection()
    for number in range(4):
        collection.add(str(number))
    first = run(members_page(LIKES, limit=2), collection.ports)
    collection.remove(first.items[-1].id)
    rest = run(members_page(LIKES, limit=2, cursor=first.next), collection.ports)
    assert [member.id for member in rest.items] == ["1", "0"]


@pytest.mark.parametrize("cursor", ["", "x", "é.x", "x" * 600 + ".y", "\ud800.x", "..", "0.\x00"], ids=ascii)
def test_forged_cursor_gives_an_empty_or_valid_page(cursor: str) -> None:
    collection = ManagedCollection()
    collection.add("a")
    assert len(run(members_page(LIKES, limit=2, cursor=cursor), collection.ports).items) <= 1


@pytest.mark.parametrize("ident", ["a\nb", '"a"', "\n", "", "\ud800", "é\n\ud800"], ids=ascii)
def test_any_member_id_reads_back(ident: str) -> None:
    collection = ManagedCollection()
    collection.add(ident, b"beside\nit")
    [member] = run(members_page(LIKES, limit=2), collection.ports).items
    assert member == Member(ident, b"beside\nit")


def test_cursor_at_the_length_limit_fits_a_key() -> None:
    collection = ManagedCollection()
    for cursor in ("\x00" * 511 + ".", "\x00." + "\x00" * 500, "~" * 510 + ".~"):
        assert run(members_page(LIKES, limit=2, cursor=cursor), collection.ports).items == ()


def test_put_adds_or_updates_and_ignores_an_unchanged_member() -> None:
    collection = ManagedCollection()

    def put(item: bytes) -> bool | None:
        batch = run(put_member(LIKES, Member("a", item), order="2"), collection.ports)
        return None if batch == NO_CHANGE else bool(run(commit_batch(batch), collection.ports))

    assert put(b"old") is True
    assert put(b"old") is None
    assert put(b"new") is True
    assert put(b"") is None
    assert run(members_page(LIKES, limit=2), collection.ports).items == (Member("a", b"new"),)
    assert run(count(LIKES), collection.ports) == 1
    assert collection.remove("a")
    assert run(members_page(LIKES, limit=2), collection.ports).items == ()
