"""Check the items of a page and their limits."""

import pytest

from apcore.collections import CURSOR_BYTES_MAX, PAGE_ITEMS_MAX, PageItems


def test_items_become_a_tuple() -> None:
    assert PageItems(["a", "b"], "next", total=2) == PageItems(("a", "b"), "next", total=2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda: PageItems(range(PAGE_ITEMS_MAX + 1)), "at most 1000 items, not 1001", id="items"),
        pytest.param(lambda: PageItems((), "x" * (CURSOR_BYTES_MAX + 1)), "at most 512 bytes, not 513", id="cursor"),
        pytest.param(lambda: PageItems((), total=-1), "0 or more", id="total"),
    ],
)
def test_exceeded_page_limit_is_named(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_single_string_is_refused_as_items() -> None:
    with pytest.raises(TypeError, match="one string"):
        PageItems("https://remote.example/a")
