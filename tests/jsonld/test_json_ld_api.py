"""Run the JSON-LD 1.1 test suite of the W3C for expansion, compaction and RDF."""

import pytest

from apcore.errors import ApcoreError
from jsonld_api_suite import expected, load_tests, run
from vector_files import needs_vectors

TESTS = [test for kind in ("expand", "compact", "toRdf") for test in load_tests(kind)]


@needs_vectors
@pytest.mark.parametrize(("kind", "count"), [("expand", 367), ("compact", 233), ("toRdf", 448)])
def test_suite_has_all_tests(kind, count):
    assert len(load_tests(kind)) == count


@pytest.mark.parametrize("test", TESTS, ids=lambda test: f"{test.kind}-{test.id}")
def test_suite_test_passes(test):
    if test.error:
        with pytest.raises(ApcoreError):
            run(test)
    elif test.expect:
        assert run(test) == expected(test)
    else:
        run(test)
