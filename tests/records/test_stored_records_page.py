"""The reference page of stored records lists the kinds that the code declares."""

from __future__ import annotations

import pytest

from stored_records_page import PAGE, with_list


def test_the_page_lists_the_declared_kinds():
    text = PAGE.read_text(encoding="utf-8")
    assert text == with_list(text), "write it anew: python tests/stored_records_page.py"


def test_a_page_without_a_place_for_the_list_is_refused():
    with pytest.raises(ValueError, match="0 places"):
        with_list("# Stored records\n")
