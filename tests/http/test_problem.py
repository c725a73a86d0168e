"""Check problem documents, and that they disclose no internal messages."""

from __future__ import annotations

import json

import pytest

from apcore.errors import AddressBlocked, Refused, StoreBusy
from apcore.http import Problem, problem_for


def test_problem_makes_a_json_response():
    response = Problem(status=413, detail="Gröẞer als 1 MiB.", extensions={"limit": "1048576"}).response()
    assert response.status == 413
    assert response.headers.get("content-type") == "application/problem+json"
    assert response.headers.get("cache-control") == "no-store"
    assert json.loads(response.body) == {
        "type": "about:blank", "title": "Too large", "status": 413, "detail": "Gröẞer als 1 MiB.", "limit": "1048576",
    }  # fmt: skip


def test_problem_has_a_default_title():
    assert json.loads(Problem(status=418).response().body)["title"] == "Error"
    assert json.loads(Problem(status=400, title="No").response().body)["title"] == "No"


@pytest.mark.parametrize(("seconds", "field"), [(None, None), (0.2, "1"), (30, "30"), (-5.0, "0")])
def test_retry_after_is_rounded_up(seconds, field):
    assert Problem(status=503, retry_after_s=seconds).response().headers.get("retry-after") == field


def test_reserved_extension_names_are_refused():
    with pytest.raises(ValueError, match="detail"):
        Problem(status=400, extensions={"detail": "x"})


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Refused("10.0.0.7 said no"), 403, "forbidden"),
        (AddressBlocked("10.0.0.7"), 503, "blocked"),
        (StoreBusy("10.0.0.7", retry_after_s=2.5), 503, "store-busy"),
    ],
)
def test_problem_shows_the_kind_of_an_error_but_not_its_message(error, status, reason):
    response = problem_for(error).response()
    assert (response.status, json.loads(response.body)["reason"]) == (status, reason)
    assert b"10.0.0.7" not in response.body
    assert response.headers.get("retry-after") == ("3" if isinstance(error, StoreBusy) else None)
    assert json.loads(problem_for(error, detail="Ask later.").response().body)["detail"] == "Ask later."
