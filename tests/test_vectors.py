"""Check the shared vectors: every suite has a test and its number of cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from vector_counts import SUITES, UNUSED
from vector_files import VECTORS, needs_vectors

ROOT = Path(__file__).resolve().parents[1]


@needs_vectors
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.path)
def test_suite_is_complete_and_has_its_test(suite):
    assert suite.count_cases() == suite.cases
    text = (ROOT / suite.test).read_text(encoding="utf-8")
    assert "vector_files" in text or "jsonld_api_suite" in text
    directory, name = suite.path.split("/", 1)
    # The test names the suite by its path, or by the parts from which it builds a path.
    assert directory in text
    assert "*" in name or name in text or name.partition(".")[0] in text or name.rpartition("/")[2] in text


@needs_vectors
def test_every_directory_has_a_suite_or_a_reason():
    directories = {path.name for path in VECTORS.iterdir() if path.is_dir()}
    used = {suite.path.partition("/")[0] for suite in SUITES}
    assert used & UNUSED.keys() == set()
    assert directories == used | UNUSED.keys()
