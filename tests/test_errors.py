"""Check the tree of errors: blame, retry, status and slug, and that branches are abstract."""

import ast
import pickle
from collections import Counter
from importlib import import_module
from pathlib import Path

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
from source_tree import MODULES

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


def all_errors(root=ApcoreError):
    """Return every error class of the package, also those that no room exports."""
    for module in MODULES.values():
        if module.room not in {"cli", "testing"}:
            import_module(module.name)
    return {kind for child in root.__subclasses__() for kind in (child, *all_errors(child))}


def page_reasons():
    """Return the reasons of the responses that are made without an error."""
    return {
        value.value
        for module in MODULES.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.keyword) and node.arg == "extensions" and isinstance(node.value, ast.Dict)
        for value in node.value.values
        if isinstance(value, ast.Constant)
    }


def test_every_reason_belongs_to_one_error_or_page():
    reasons = [kind.reason for kind in all_errors() if kind.reason and "reason" in vars(kind)]
    assert len(reasons) > len(KINDS)
    assert {"not-found", "misdirected"} <= page_reasons()
    counts = Counter([*reasons, *page_reasons()])
    assert {reason: count for reason, count in counts.items() if count > 1} == {}


INHERITED_REASONS = {"DomainSuspended": "a peer is told that it is refused, and not that a rule names its domain"}


def test_error_inherits_a_reason_only_where_it_must_not_be_told_apart():
    inherited = {kind.__name__ for kind in all_errors() if kind.reason and "reason" not in vars(kind)}
    assert inherited == set(INHERITED_REASONS)


def test_every_reason_is_documented():
    """The page lists the reasons without an error. Its table of errors is made from all the classes."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    assert "rooms/errors-table.inc" in page
    assert {reason for reason in page_reasons() if f"| `{reason}` |" not in page} == set()


@pytest.mark.parametrize("error", KINDS)
def test_error_survives_pickling(error):
    unpickled = pickle.loads(pickle.dumps(error("message")))
    assert (type(unpickled), str(unpickled)) == (error, "message")


def test_attributes_of_an_error_survive_pickling():
    unpickled = pickle.loads(pickle.dumps(StoreUnavailable("lost", outcome="unknown", retry_after_s=3.0)))
    assert (unpickled.outcome, unpickled.retry_after_s) == ("unknown", 3.0)


def test_busy_store_error_says_that_nothing_was_written():
    assert StoreBusy("contention").outcome == "nothing"
