"""Who may quote whom: a stamp counts fetched anew, from the author's origin, for this author and this pair of posts."""

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
POST, ORIGINAL, STAMP = f"{A}/posts/1", f"{B}/posts/1", f"{B}/stamps/1"
QUOTER, AUTHOR = f"{A}/users/x", f"{B}/users/y"
POLICY = FetchPolicy()


def made(ident: str, kind: str = "Note", **members: Any) -> dict[str, Any]:
    return {"@context": CONTEXT, "id": ident, "type": kind} | members


def stamp(**members: Any) -> dict[str, Any]:
    base = {"attributedTo": AUTHOR, "interactingObject": POST, "interactionTarget": ORIGINAL}
    return made(STAMP, "QuoteAuthorization", **(base | members))


def checked(web: ScriptedWeb, **members: Any) -> str | None:
    post = made(POST, **({"attributedTo": QUOTER, "quote": ORIGINAL, "quoteAuthorization": STAMP} | members))
    web.pages[POST] = document(post)
    loaded = web.run(load(POST, policy=POLICY))
    return web.run(check_quote(loaded.document, policy=POLICY)).id


def web(**pages: Any) -> ScriptedWeb:
    base = {ORIGINAL: document(made(ORIGINAL, attributedTo=AUTHOR)), STAMP: document(stamp())}
    return ScriptedWeb(base | pages)


@pytest.mark.hole(15)
def test_a_quote_with_the_authors_leave():
    assert checked(web()) == ORIGINAL


@pytest.mark.hole(15)
def test_leave_that_was_taken_back_is_no_leave_any_more():
    there = web()
    assert checked(there) == ORIGINAL
    there.pages[STAMP] = Response(404)
    there.asked()
    with pytest.raises(ApcoreError):
        _ = checked(there)
    assert STAMP in there.asked()


def test_everyone_may_quote_themselves():
    there = web()
    own = f"{A}/posts/0"
    there.pages[own] = document(made(own, attributedTo=QUOTER))
    assert checked(there, quote=own, quoteAuthorization=None) == own


@pytest.mark.hole(15)
@pytest.mark.parametrize(
    "served",
    [
        stamp(attributedTo=QUOTER),
        stamp(attributedTo=f"{B}/users/z"),
        stamp(attributedTo=None),
        stamp(attributedTo=[AUTHOR, f"{B}/users/z"]),
        stamp(interactingObject=f"{A}/posts/2"),
        stamp(interactingObject=None),
        stamp(interactionTarget=f"{B}/posts/2"),
        stamp(interactionTarget=None),
        stamp(type="Note"),
        stamp(type="LikeAuthorization"),
        stamp(id=f"{B}/stamps/2"),
        stamp(id=f"{C}/stamps/1"),
    ],
    ids=["of-the-quoter", "of-a-neighbour", "nobodys", "of-two", "another-post", "no-post", "another-quoted", "none-quoted", "a-note", "for-a-like", "another-id", "another-origin"],
)  # fmt: skip
def test_a_stamp_that_is_for_something_else(served):
    there = web()
    there.pages[STAMP] = document(served)
    with pytest.raises(ApcoreError):
        _ = checked(there)


@pytest.mark.hole(15)
@pytest.mark.parametrize(
    "members",
    [
        {"quoteAuthorization": None},
        {"quoteAuthorization": f"{A}/stamps/1"},
        {"quoteAuthorization": f"{C}/stamps/1"},
        {"quoteAuthorization": stamp() | {"id": f"{A}/stamps/1"}},
        {"quote": None},
        {"attributedTo": AUTHOR},
    ],
    ids=["none", "of-the-quoter", "of-a-third", "embedded", "no-quote", "posing"],
)
def test_a_post_without_leave(members):
    forged = {f"{origin}/stamps/1": document(stamp() | {"id": f"{origin}/stamps/1"}) for origin in (A, C)}
    there = web(**forged)
    with pytest.raises(ApcoreError):
        _ = checked(there, **members)
    assert not {f"{A}/stamps/1", f"{C}/stamps/1"} & set(there.asked())


@pytest.mark.hole(15)
def test_a_stamp_that_came_along_is_not_taken_for_the_one_that_is_there():
    there = web()
    there.pages[STAMP] = Response(404)
    with pytest.raises(ApcoreError):
        _ = checked(there, quoteAuthorization=stamp())
    assert STAMP in there.asked()
    there.pages[STAMP] = redirect(f"{A}/stamps/1")
    there.pages[f"{A}/stamps/1"] = document(stamp())
    with pytest.raises(ApcoreError):
        _ = checked(there)


def test_what_has_no_id_quotes_nothing():
    post = read_document(made("x") | {"id": None, "quote": ORIGINAL})
    with pytest.raises(QuoteNotAllowed):
        _ = web().run(check_quote(post, policy=POLICY))
