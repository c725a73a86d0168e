"""Managed collections against a plain list, in memory."""

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


class Kept:
    """A managed collection, driven blocking."""

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
        found, cursor = [], None
        while True:
            page = run(members_page(LIKES, cursor=cursor, limit=limit, oldest_first=oldest_first), self.ports)
            found.append([member.id for member in page.items])
            if (cursor := page.next) is None:
                return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["add", "add", "remove"]), st.integers(0, 8)), max_size=30), st.integers(1, 5)
)
def test_membership_order_count_and_pages_are_those_of_a_list(steps: list[tuple[str, int]], limit: int) -> None:
    kept, model = Kept(), []
    for verb, number in steps:
        ident = f"https://remote.example/{number}"
        if verb == "add":
            assert kept.add(ident) is (ident not in model)
            model += [ident] if ident not in model else []
        else:
            assert kept.remove(ident) is (ident in model)
            model = [each for each in model if each != ident]
    assert [ident for page in kept.pages(limit) for ident in page] == model[::-1]
    assert [ident for page in kept.pages(limit, oldest_first=True) for ident in page] == model
    assert all(len(page) == limit for page in kept.pages(limit)[:-1])
    assert run(count(LIKES), kept.ports) == len(model)
    everyone = [f"https://remote.example/{number}" for number in range(9)]
    assert run(contains(LIKES, everyone), kept.ports) == tuple(ident in model for ident in everyone)


def test_what_is_kept_with_a_member_comes_back() -> None:
    kept = Kept()
    kept.add("https://remote.example/a", b'{"inbox":"x"}\nmore')
    page = run(members_page(LIKES, limit=1), kept.ports)
    assert page.items == (Member("https://remote.example/a", b'{"inbox":"x"}\nmore'),)


def test_a_cursor_outlives_the_member_it_was_made_at() -> None:
    kept = Kept()
    for number in range(4):
        kept.add(str(number))
    first = run(members_page(LIKES, limit=2), kept.ports)
    kept.remove(first.items[-1].id)
    rest = run(members_page(LIKES, limit=2, cursor=first.next), kept.ports)
    assert [member.id for member in rest.items] == ["1", "0"]


@pytest.mark.parametrize("cursor", ["", "x", "é.x", "x" * 600 + ".y", "\ud800.x", "..", "0.\x00"], ids=ascii)
def test_a_cursor_that_a_peer_made_up_gives_nothing_or_a_page(cursor: str) -> None:
    kept = Kept()
    kept.add("a")
    assert len(run(members_page(LIKES, limit=2, cursor=cursor), kept.ports).items) <= 1


@pytest.mark.parametrize("ident", ["a\nb", '"a"', "\n", "", "\ud800", "é\n\ud800"], ids=ascii)
def test_an_id_of_any_kind_reads_back(ident: str) -> None:
    kept = Kept()
    kept.add(ident, b"beside\nit")
    [member] = run(members_page(LIKES, limit=2), kept.ports).items
    assert member == Member(ident, b"beside\nit")


def test_a_cursor_of_any_length_that_is_taken_fits_a_key() -> None:
    kept = Kept()
    for cursor in ("\x00" * 511 + ".", "\x00." + "\x00" * 500, "~" * 510 + ".~"):
        assert run(members_page(LIKES, limit=2, cursor=cursor), kept.ports).items == ()


def test_putting_adds_keeps_up_to_date_and_is_silent_without_news() -> None:
    kept = Kept()

    def put(item: bytes) -> bool | None:
        batch = run(put_member(LIKES, Member("a", item), order="2"), kept.ports)
        return None if batch == NO_CHANGE else bool(run(commit_batch(batch), kept.ports))

    assert put(b"old") is True
    assert put(b"old") is None
    assert put(b"new") is True
    assert put(b"") is None
    assert run(members_page(LIKES, limit=2), kept.ports).items == (Member("a", b"new"),)
    assert run(count(LIKES), kept.ports) == 1
    assert kept.remove("a")
    assert run(members_page(LIKES, limit=2), kept.ports).items == ()
