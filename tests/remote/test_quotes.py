"""Check quote authorizations: each is fetched anew, from the quoted author's origin, and names both posts."""

from __future__ import annotations

from typing import Any

import pytest

from apcore.errors import ApcoreError
from apcore.http import Response
from apcore.remote import FetchPolicy, QuoteNotAllowed, check_quote, load
from apcore.vocab import read_document
from scripted_web import ScriptedWeb, document, redirect

A, B, C = "https://a.example", "https://b.example", "https://c.example"
CONTEXT = [
    "https://www.w3.org/ns/activitystreams",
    {
        "QuoteAuthorization": "https://w3id.org/fep/044f#QuoteAuthorization",
        "quote": {"@id": "https://w3id.org/fep/044f#quote", "@type": "@id"},
        "quoteAuthorization": {"@id": "https://w3id.org/fep/044f#quoteAuthorization", "@type": "@id"},
        "gts": "https://gotosocial.org/ns#",
        "interactingObject": {"@id": "gts:interactingObject", "@type": "@id"},
        "interactionTarget": {"@id": "gts:interactionTarget", "@type": "@id"},
    },
]
POST, ORIGINAL, AUTHORIZATION = f"{A}/posts/1", f"{B}/posts/1", f"{B}/stamps/1"
QUOTER, AUTHOR = f"{A}/users/x", f"{B}/users/y"
POLICY = FetchPolicy()


def build_object(ident: str, kind: str = "Note", **members: Any) -> dict[str, Any]:
    return {"@context": CONTEXT, "id": ident, "type": kind} | members


def build_authorization(**members: Any) -> dict[str, Any]:
    base = {"attributedTo": AUTHOR, "interactingObject": POST, "interactionTarget": ORIGINAL}
    return build_object(AUTHORIZATION, "QuoteAuthorization", **(base | members))


def check_post(web: ScriptedWeb, **members: Any) -> str | None:
    post = build_object(
        POST, **({"attributedTo": QUOTER, "quote": ORIGINAL, "quoteAuthorization": AUTHORIZATION} | members)
    )
    web.pages[POST] = document(post)
    loaded_post = web.run(load(POST, policy=POLICY))
    return web.run(check_quote(loaded_post.document, policy=POLICY)).id


def build_web(**pages: Any) -> ScriptedWeb:
    base = {
        ORIGINAL: document(build_object(ORIGINAL, attributedTo=AUTHOR)),
        AUTHORIZATION: document(build_authorization()),
    }
    return ScriptedWeb(base | pages)


@pytest.mark.hole(15)
def test_quote_with_the_authors_authorization_is_allowed():
    assert check_post(build_web()) == ORIGINAL


@pytest.mark.hole(15)
def test_revoked_authorization_no_longer_allows_the_quote():
    web = build_web()
    assert check_post(web) == ORIGINAL
    web.pages[AUTHORIZATION] = Response(404)
    web.asked()
    with pytest.raises(ApcoreError):
        _ = check_post(web)
    assert AUTHORIZATION in web.asked()


def test_author_may_quote_an_own_post_without_authorization():
    web = build_web()
    own_post = f"{A}/posts/0"
    web.pages[own_post] = document(build_object(own_post, attributedTo=QUOTER))
    assert check_post(web, quote=own_post, quoteAuthorization=None) == own_post


@pytest.mark.hole(15)
@pytest.mark.parametrize(
    "authorization",
    [
        build_authorization(attributedTo=QUOTER),
        build_authorization(attributedTo=f"{B}/users/z"),
        build_authorization(attributedTo=None),
        build_authorization(attributedTo=[AUTHOR, f"{B}/users/z"]),
        build_authorization(interactingObject=f"{A}/posts/2"),
        build_authorization(interactingObject=None),
        build_authorization(interactionTarget=f"{B}/posts/2"),
        build_authorization(interactionTarget=None),
        build_authorization(type="Note"),
        build_authorization(type="LikeAuthorization"),
        build_authorization(id=f"{B}/stamps/2"),
        build_authorization(id=f"{C}/stamps/1"),
    ],
    ids=[
        "by-the-quoter",
        "by-a-neighbour",
        "without-author",
        "by-two-authors",
        "another-post",
        "no-post",
        "another-quoted",
        "none-quoted",
        "a-note",
        "for-a-like",
        "another-id",
        "another-origin",
    ],
)
def test_authorization_for_another_author_or_post_is_refused(authorization):
    web = build_web()
    web.pages[AUTHORIZATION] = document(authorization)
    with pytest.raises(ApcoreError):
        _ = check_post(web)


@pytest.mark.hole(15)
@pytest.mark.parametrize(
    "members",
    [
        {"quoteAuthorization": None},
        {"quoteAuthorization": f"{A}/stamps/1"},
        {"quoteAuthorization": f"{C}/stamps/1"},
        {"quoteAuthorization": build_authorization() | {"id": f"{A}/stamps/1"}},
        {"quote": None},
        {"attributedTo": AUTHOR},
    ],
    ids=["none", "of-the-quoter", "of-a-third", "embedded", "no-quote", "posing"],
)
def test_quote_without_a_genuine_authorization_is_refused(members):
    forged = {f"{origin}/stamps/1": document(build_authorization() | {"id": f"{origin}/stamps/1"}) for origin in (A, C)}
    web = build_web(**forged)
    with pytest.raises(ApcoreError):
        _ = check_post(web, **members)
    assert not {f"{A}/stamps/1", f"{C}/stamps/1"} & set(web.asked())


@pytest.mark.hole(15)
def test_embedded_or_redirected_authorization_is_refused():
    web = build_web()
    web.pages[AUTHORIZATION] = Response(404)
    with pytest.raises(ApcoreError):
        _ = check_post(web, quoteAuthorization=build_authorization())
    assert AUTHORIZATION in web.asked()
    web.pages[AUTHORIZATION] = redirect(f"{A}/stamps/1")
    web.pages[f"{A}/stamps/1"] = document(build_authorization())
    with pytest.raises(ApcoreError):
        _ = check_post(web)


def test_post_without_id_may_not_quote():
    post = read_document(build_object("x") | {"id": None, "quote": ORIGINAL})
    with pytest.raises(QuoteNotAllowed):
        _ = build_web().run(check_quote(post, policy=POLICY))
