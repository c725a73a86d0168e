"""Check the page of features: it shows the table, each test of the table exists, and open features only shrink."""

from __future__ import annotations

import pytest

from features_page import LEFT_OUT, NOT_YET, PAGE, features, features_page, is_defined, is_test

NOT_YET_MAX = 4
"""The number of features that are still to be built. It only shrinks."""
PROOFS = [proof for rows in features().values() for proofs in rows.values() for proof in proofs]


def test_the_page_shows_the_table():
    assert PAGE.read_text(encoding="utf-8") == features_page(), "write it anew: python tests/features_page.py"


@pytest.mark.parametrize("section", features())
def test_every_test_of_the_table_exists(section):
    proofs = [proof for row in features()[section].values() for proof in row if is_test(proof)]
    assert [proof for proof in proofs if not is_defined(proof)] == []


def test_test_that_does_not_exist_is_noticed():
    assert is_defined("test_features.py::test_the_page_shows_the_table")
    assert not is_defined("test_features.py::test_of_another_name")
    assert not is_defined("test_of_another_file.py::test_the_page_shows_the_table")


def test_features_that_are_still_to_be_built_only_shrink():
    assert PROOFS.count(NOT_YET) == NOT_YET_MAX, "lower NOT_YET_MAX if a feature was built"


def test_every_feature_that_is_left_out_has_a_reason_in_one_line():
    reasons = [proof.removeprefix(LEFT_OUT) for proof in PROOFS if proof.startswith(LEFT_OUT)]
    assert reasons
    assert [reason for reason in reasons if "\n" in reason or len(reason) < 20] == []
