"""The reference pages of state machines and side effects show the tables in the code."""

from __future__ import annotations

import pytest

from state_pages import all_pages, page_path


@pytest.mark.parametrize(("name", "page"), all_pages().items(), ids=list(all_pages()))
def test_the_page_shows_the_table(name, page):
    assert page_path(name).read_text(encoding="utf-8") == page, "write it anew: python tests/state_pages.py"
