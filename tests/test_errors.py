"""The error tree: blame, retry, status and slug, and branches that nobody raises."""

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
def test_branches_are_abstract(error):
    with pytest.raises(TypeError, match=f"{error.__name__} is abstract"):
        error("message")


@pytest.mark.parametrize("error", KINDS)
def test_each_kind_says_whose_doing_it_is_and_what_to_answer(error):
    raised = error("the value, the limit, the source")
    assert str(raised) == "the value, the limit, the source"
    assert (
        raised.blame is {LocalError: Blame.OURS, RemoteError: Blame.THEIRS, Unavailable: Blame.NOT_NOW}[branch(error)]
    )
    assert raised.status_hint == 500 or 400 <= raised.status_hint < 500 or raised.status_hint == 503
    assert raised.retryable is (branch(error) is Unavailable and error not in (AddressBlocked, ResponseTooBig))


def branch(error):
    [found] = [root for root in (LocalError, RemoteError, Unavailable) if issubclass(error, root)]
    return found


def test_slugs_are_unique_and_kebab_case():
    slugs = [error.reason for error in KINDS]
    assert len(set(slugs)) == len(slugs)
    assert all(slug.replace("-", "").isalpha() and slug == slug.lower() for slug in slugs)


@pytest.mark.parametrize("error", KINDS)
def test_errors_survive_pickling(error):
    again = pickle.loads(pickle.dumps(error("message")))
    assert (type(again), str(again)) == (error, "message")


def test_what_an_error_knows_survives_pickling():
    again = pickle.loads(pickle.dumps(StoreUnavailable("lost", outcome="unknown", retry_after_s=3.0)))
    assert (again.outcome, again.retry_after_s) == ("unknown", 3.0)


def test_a_busy_store_wrote_nothing():
    assert StoreBusy("contention").outcome == "nothing"
