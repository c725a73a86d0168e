"""Check routes: each matches exactly the paths that it builds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.errors import ConfigurationError
from apcore.federation.path_templates import PathMatcher, parse_route

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(TEXT)
def test_simple_variable_round_trips_any_text(value: str) -> None:
    route = parse_route("/users/{identifier}/inbox")
    path = route.build({"identifier": value})
    assert path.isascii()
    assert path.count("/") == 3
    assert route.match(path) == {"identifier": value}


@given(TEXT)
def test_reserved_variable_round_trips_with_its_slashes(value: str) -> None:
    route = parse_route("/notes/{+path}")
    path = route.build({"path": value})
    assert not set(path) & set("?# ")
    assert route.match(path) == {"path": value}


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        pytest.param("/users/{id}", "/users/alice", {"id": "alice"}, id="plain"),
        pytest.param("/users/{id}", "/users/al%69ce", {"id": "alice"}, id="decoded-once"),
        pytest.param("/users/{id}", "/users/a%252Fb", {"id": "a%2Fb"}, id="not-decoded-twice"),
        pytest.param("/users/{id}", "/users/a%2Fb", {"id": "a/b"}, id="encoded-slash-stays-in-its-segment"),
        pytest.param("/users/{id}", "/users/a/b", None, id="slash-ends-the-segment"),
        pytest.param("/users/{id}", "/users/", None, id="empty-value"),
        pytest.param("/users/{id}", "/users/%zz", None, id="bad-escape"),
        pytest.param("/users/{id}", "/users/%", None, id="cut-escape"),
        pytest.param("/users/{id}", "/users/%ff", None, id="not-utf-8"),
        pytest.param("/users/{id}", "/USERS/alice", None, id="case-counts"),
        pytest.param("/users/{id}", "/users/alice/", None, id="trailing-slash"),
        pytest.param("/a.b", "/axb", None, id="dots-are-literal"),
        pytest.param("/n/{+rest}", "/n/a/b/c", {"rest": "a/b/c"}, id="reserved"),
        pytest.param("/users/{id}", "/users/alice\n", {"id": "alice\n"}, id="newline-is-a-character"),
    ],
)
def test_route_matches_paths(template: str, path: str, values: dict[str, str] | None) -> None:
    assert parse_route(template).match(path) == values


@pytest.mark.parametrize(
    ("template", "words"),
    [
        pytest.param("users/{id}", "starts with a slash", id="relative"),
        pytest.param("/users/{id}{x}", "two variables in one segment", id="adjacent"),
        pytest.param("/users/{id}-{x}", "two variables in one segment", id="one-segment"),
        pytest.param("/users/{id}/{id}", "twice", id="twice"),
        pytest.param("/users/{+id}/inbox", "takes slashes too", id="reserved-in-the-middle"),
        pytest.param("/users{?q}", "path characters", id="query-operator"),
        pytest.param("/users/{/id}", "path characters", id="path-operator"),
        pytest.param("/users?x={id}", "path characters", id="query"),
        pytest.param("/users/{name}", "needs the variables", id="other-variable"),
        pytest.param("/users/é/{id}", "path characters", id="not-ascii"),
    ],
)
def test_malformed_route_is_refused(template: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse_route(template, variables=["id"])


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="missing"),
        pytest.param({"id": ""}, id="empty"),
        pytest.param({"id": "a", "x": "b"}, id="unknown"),
        pytest.param({"id": "\ud800"}, id="surrogate"),
    ],
)
def test_values_without_a_path_are_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        parse_route("/users/{id}").build(values)


def test_most_literal_route_wins_in_any_order() -> None:
    templates = ["/{+all}", "/users/{id}", "/users/me", "/users/{id}/inbox", "/{a}/{b}"]
    for order in (templates, templates[::-1]):
        router: PathMatcher[str] = PathMatcher()
        for template in order:
            router.add(parse_route(template), template)
        matches = {
            path: router.match(path) for path in ["/users/me", "/users/x", "/users/x/inbox", "/x/y", "/x/y/z", "/"]
        }
        assert {path: match and match[0] for path, match in matches.items()} == {
            "/users/me": "/users/me",
            "/users/x": "/users/{id}",
            "/users/x/inbox": "/users/{id}/inbox",
            "/x/y": "/{a}/{b}",
            "/x/y/z": "/{+all}",
            "/": None,
        }


@pytest.mark.parametrize("template", ["/@blog", "/@blog/~x", "/@{name}", "/a:b/{name}", "/!$&'()*,;=:@-._~"])
def test_literal_matches_with_needless_escapes(template: str) -> None:
    router: PathMatcher[str] = PathMatcher()
    router.add(parse_route(template), template)
    path = template.replace("{name}", "x")
    escaped = "".join(char if char.isalnum() or char == "/" else f"%{ord(char):02x}" for char in path)
    for spelling in (path, escaped):
        match = router.match(spelling)
        assert match is not None
        assert match[0] == template
    assert router.match(escaped.replace("%", "%25")) is None


def test_two_routes_with_the_same_paths_are_refused() -> None:
    router: PathMatcher[int] = PathMatcher()
    router.add(parse_route("/users/{id}"), 1)
    with pytest.raises(ConfigurationError, match="match the same paths"):
        router.add(parse_route("/users/{name}"), 2)
