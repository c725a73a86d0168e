"""Check the origins of a node."""

import pytest

from apcore.errors import ConfigurationError
from apcore.federation.origins import bind_origins
from apcore.http import parse_origin

A, B = parse_origin("https://a.example"), parse_origin("https://b.example:8443")


def test_one_origin_is_the_only_one() -> None:
    origins = bind_origins("https://A.example")
    assert origins.only == A
    assert origins.has(A)
    assert not origins.has(B)
    assert origins.pick(None) == A


def test_one_of_several_origins_must_be_named() -> None:
    origins = bind_origins(("https://a.example", "https://b.example:8443"))
    assert origins.pick("https://b.example:8443") == B
    with pytest.raises(ValueError, match="2 origins"):
        origins.pick(None)
    with pytest.raises(ValueError, match="not an origin of this node"):
        origins.pick("https://c.example")


def test_function_of_origins_gets_canonical_origins() -> None:
    checked_origins: list[str] = []

    def is_tenant(origin: str) -> bool:
        checked_origins.append(origin)
        return origin.endswith(".tenants.example")

    origins = bind_origins(is_tenant)
    assert origins.has(parse_origin("https://ONE.tenants.example:443"))
    assert not origins.has(A)
    assert checked_origins == ["https://one.tenants.example", "https://a.example"]
    with pytest.raises(ValueError, match="a function decides"):
        origins.pick(None)


def test_node_without_an_origin_serves_nothing() -> None:
    origins = bind_origins(None)
    assert not origins.serves
    assert not origins.has(A)


@pytest.mark.parametrize(
    ("origins", "words"),
    [
        pytest.param("a.example", "absolute", id="no-scheme"),
        pytest.param("https://a.example/", "more than scheme", id="path"),
        pytest.param("https://user@a.example", "userinfo", id="userinfo"),
        pytest.param("ftp://a.example", "scheme", id="scheme"),
        pytest.param("http://a.example", "plain http", id="plain-http"),
        pytest.param((), "empty", id="none"),
        pytest.param(("https://a.example", "https://A.example:443"), "twice", id="twice"),
        pytest.param((1,), "origin 1", id="number"),
    ],
)
def test_malformed_origin_is_refused(origins, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        bind_origins(origins)


def test_plain_http_origin_is_accepted_on_request() -> None:
    assert str(bind_origins("http://127.0.0.1:8000", plain_http=True).only) == "http://127.0.0.1:8000"
