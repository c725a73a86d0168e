"""Check the tree of errors: blame, retry, status and slug, and that branches are abstract."""

import pickle

import pytest

from apcore import errors
from apcore.errors import (
    AddressBlocked,
    ApcoreError,
    Blame,
    FetchFailed,
    LocalError,
    RemoteError,
    ResponseTooBig,
    StoreBusy,
    StoreUnavailable,
    Unavailable,
)

TREE = [
    member
    for name in errors.__all__
    if isinstance(member := getattr(errors, name), type) and issubclass(member, ApcoreError)
]
ABSTRACT = [ApcoreError, LocalError, RemoteError, Unavailable, FetchFailed]
KINDS = [error for error in TREE if error not in ABSTRACT]


@pytest.mark.parametrize("error", ABSTRACT)
def test_abstract_branch_cannot_be_raised(error):
    with pytest.raises(TypeError, match=f"{error.__name__} is abstract"):
        error("message")


@pytest.mark.parametrize("error", KINDS)
def test_each_error_has_its_blame_status_and_retryability(error):
    raised = error("the value, the limit, the source")
    assert str(raised) == "the value, the limit, the source"
    assert (
        raised.blame is {LocalError: Blame.OURS, RemoteError: Blame.THEIRS, Unavailable: Blame.NOT_NOW}[branch(error)]
    )
    assert raised.status_hint == 500 or 400 <= raised.status_hint < 500 or raised.status_hint == 503
    assert raised.retryable is (branch(error) is Unavailable and error not in (AddressBlocked, ResponseTooBig))


def branch(error):
    [parent_class] = [root for root in (LocalError, RemoteError, Unavailable) if issubclass(error, root)]
    return parent_class


def test_slugs_are_unique_and_in_kebab_case():
    slugs = [error.reason for error in KINDS]
    assert len(set(slugs)) == len(slugs)
    assert all(slug.replace("-", "").isalpha() and slug == slug.lower() for slug in slugs)


@pytest.mark.parametrize("error", KINDS)
def test_error_survives_pickling(error):
    unpickled = pickle.loads(pickle.dumps(error("message")))
    assert (type(unpickled), str(unpickled)) == (error, "message")


def test_attributes_of_an_error_survive_pickling():
    unpickled = pickle.loads(pickle.dumps(StoreUnavailable("lost", outcome="unknown", retry_after_s=3.0)))
    assert (unpickled.outcome, unpickled.retry_after_s) == ("unknown", 3.0)


def test_busy_store_error_says_that_nothing_was_written():
    assert StoreBusy("contention").outcome == "nothing"
