"""Check the search for alternate links.

It reads pages as browsers do, only their head, and in linear time for any page.
"""

from __future__ import annotations

import re
import re._constants as ops
import re._parser as sre

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apcore.http import ALTERNATES_MAX, HTML_BYTES_MAX, Headers, Response, alternates, find_alternates, parse_url

URL = parse_url("https://a.example/@alice/1?page=2")
HTML = "text/html; charset=utf-8"
AP = "application/activity+json"
LD = 'application/ld+json; profile="https://www.w3.org/ns/activitystreams"'
NOTE = "https://a.example/notes/1"


def find(page: str | bytes, *, content_type: str = HTML, link: str | None = None) -> list[str]:
    body = page if isinstance(page, bytes) else page.encode()
    headers = Headers({"Content-Type": content_type} | ({} if link is None else {"Link": link}))
    return list(find_alternates(Response(200, headers, body), URL))


def link(href: str = "/notes/1", *, type: str = AP, rel: str = "alternate") -> str:  # noqa: A002 - the attribute's word
    return f'<link rel="{rel}" type=\'{type}\' href="{href}">'


GOOD = link()

PAGES_WITH_ALTERNATE = {
    "alone": GOOD,
    "a whole page": f"<!DOCTYPE html><html><head><meta charset=utf-8><title>1 < 2</title>{GOOD}</head><body>",
    "upper case": '<LINK REL="Alternate" TYPE="Application/Activity+JSON" HREF="/notes/1">',
    "XHTML": f'<link rel="alternate" type="{AP}" href="/notes/1" />',
    "without quotation marks": f"<link rel=alternate type={AP} href=/notes/1>",
    "blanks and lines": f'<link\n\trel = "alternate"\n type\t=\t"{AP}" href= "/notes/1"\n>',
    "another order": f'<link href="/notes/1" type="{AP}" rel="alternate">',
    "several relations": link(rel="nofollow  alternate\tme"),
    "as ld+json": link(type=LD),
    "references": f'<link rel="&#97;lternate" type="{AP}" href="https&colon;//a.example/notes/1">',
    "blanks around the address": link(href=" /notes/1\n"),
    "the whole address": link(href=NOTE),
    "the address without scheme": link(href="//a.example/notes/1"),
    "an address with dots": link(href="../notes/1"),
    "a base before it": f'<base href="/notes/"><base href="/elsewhere/">{link(href="1")}',
    "a base that is none": f'<base href="http://[">{GOOD}',
    "a stray sign": f"a < b <3 <> <= {GOOD}",
    "a comment before it": f'<!-- a "quotation -->{GOOD}',
    "an empty comment before it": f"<!-->{GOOD}",
    "a comment that ends oddly": f"<!-- a --!>{GOOD}",
    "a script before it": f'<script>if (a < b) x = "</scr"</script >{GOOD}',
    "text that looks like a tag": f"<meta content='<link rel=x'>{GOOD}",
    "an apostrophe in a value": f"<meta content=it's>{GOOD}",
    "a name twice": f'<link rel="alternate" rel="x" type="{AP}" href="/notes/1" href="/notes/2">',
    "another alternate before it": link(href="/feed", type="application/rss+xml") + GOOD,
    "an address that is none before it": link(href="http://[") + link(href="data:x") + GOOD,
    "not UTF-8": b"<title>\xff\xfe</title>" + GOOD.encode(),
}

PAGES_WITHOUT_ALTERNATE = {
    "nothing": "",
    "text": "a page",
    "in the body": f"<html><head></head><body>{GOOD}",
    "in the body without a head": f"<body class=x>{GOOD}",
    "in a comment": f"<!-- {GOOD} -->",
    "in a comment that is open": f"<!-- {GOOD}",
    "in a script": f"<script>{GOOD}</script>",
    "in a script that is open": f"<script>{GOOD}",
    "in a script that seems closed": f"<script></scripted>{GOOD}",
    "in a textarea": f"<textarea>{GOOD}</textarea>",
    "in a template": f"<template>{GOOD}</template>",
    "in an attribute": f"<meta content='{GOOD.replace(chr(39), '')}'>",
    "in an attribute that is open": f'<meta content="x>{GOOD.replace(chr(34), "")}',
    "behind a tag that is open": '<link rel="alternate" ' + GOOD.replace('"', "")[:-1],
    "an open link": GOOD[:-1],
    "plain JSON": link(type="application/json"),
    "ld+json without profile": link(type="application/ld+json"),
    "no type": '<link rel="alternate" href="/notes/1">',
    "no relation": f'<link type="{AP}" href="/notes/1">',
    "another relation": link(rel="canonical"),
    "another element": GOOD.replace("<link", "<a"),
    "another name": GOOD.replace("<link", "<links"),
    "an address too long": link(href="/" + "x" * 5000),
    "an address much too long": link(href="/" + "x" * 50_000),
    "more attributes than are read": GOOD.replace("<link", "<link" + " x" * 60),
    "no address": f'<link rel="alternate" type="{AP}">',
    "an empty address": link(href=" "),
    "javascript": link(href="javascript:alert(1)"),
    "data": link(href="data:application/activity+json,{}"),
    "a file": link(href="file:///etc/passwd"),
    "userinfo": link(href="https://a.example@10.0.0.1/"),
    "a line break in the host": link(href="https://a.exa&#10;mple/"),
    "behind what is read": b" " * HTML_BYTES_MAX + GOOD.encode(),
}


@pytest.mark.parametrize("page", PAGES_WITH_ALTERNATE.values(), ids=PAGES_WITH_ALTERNATE)
def test_an_alternate_is_found(page):
    assert find(page) == [NOTE]


@pytest.mark.parametrize("page", PAGES_WITHOUT_ALTERNATE.values(), ids=PAGES_WITHOUT_ALTERNATE)
def test_other_links_are_not_alternates(page):
    assert find(page) == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", AP, "image/svg+xml", "", "text/html2"])
def test_other_media_types_are_not_searched(content_type):
    assert find(GOOD, content_type=content_type) == []


@pytest.mark.parametrize("content_type", ["TEXT/HTML", "application/xhtml+xml", "text/html ; charset=x"])
def test_html_media_types_are_searched(content_type):
    assert find(GOOD, content_type=content_type) == [NOTE]


FIELDS = {
    f'<{NOTE}>; rel="alternate"; type="{AP}"': [NOTE],
    f"</notes/1>;rel=alternate;type={AP}": [NOTE],
    f'<{NOTE}>; REL="me ALTERNATE" ; Type = "{AP}"': [NOTE],
    f'<https://b.example/>; rel=me, <{NOTE}>; title="a, <b>; c"; rel=alternate; type="{AP}"': [NOTE],
    f'<{NOTE}>; rel=me; rel=alternate; type="{AP}"': [],
    f'<{NOTE}>; rel=alternate; type="{AP}"; anchor="https://b.example/"': [],
    f'<{NOTE}>; rel=alternate; type="text/html"': [],
    f'<http://[>; rel=alternate; type="{AP}"': [],
    f'<{NOTE}; rel=alternate; type="{AP}"': [],
    f'{NOTE}; rel=alternate; type="{AP}"': [],
    f'<{NOTE}>; rel=alternate; type="{AP}': [],
    f'<{NOTE}>; rel=alternate; type="{AP}"; x="' + "x" * 9000 + '"': [],
}


@pytest.mark.parametrize(("value", "addresses"), FIELDS.items())
def test_alternates_in_the_link_field_are_found(value, addresses):
    assert find("", content_type="image/png", link=value) == addresses


def test_link_field_comes_first_and_each_address_once():
    other = "https://b.example/2"
    assert find(GOOD + link(href=other) + GOOD, link=f'<{other}>; rel=alternate; type="{AP}"') == [other, NOTE]


def test_number_of_alternates_and_links_is_bounded():
    assert len(find("".join(link(href=f"/{n}") for n in range(50)))) == ALTERNATES_MAX
    # Links of other kinds count as well.
    assert find(link(rel="icon") * 999 + GOOD) == [NOTE]
    assert find(link(rel="icon") * 1000 + GOOD) == []


# --- bounded work ----------------------------------------------------------------------------------------------------

PIECES = [
    *(
        "<",
        "<a>",
        "<link>",
        " a",
        '<link a="',
        "<!--",
        "<!-- -",
        "<!--->",
        "<a b='",
        "<a = ",
        "=",
        " ",
        "\n",
        "<link ",
        "&amp",
        "&",
    ),
    *(
        "<script>",
        "<script></script",
        "<title></titl",
        "</",
        "<?",
        "<!x",
        "<aaaa",
        "<link href=a ",
        "<a/",
        "a=      ",
        "<template>",
    ),
    *(
        "<base>",
        "<head>",
        "'",
        '"',
        GOOD,
        "\x00",
        "<link rel=alternate type=application/activity+json href=",
        "-->",
        "--!>",
        "é",
    ),
]


@pytest.mark.hole(27, 48)
@pytest.mark.parametrize("start", ["", "<link ", "<p a=b'"])
def test_one_mebibyte_of_any_piece_is_read_to_its_end(start):
    """Repeat each piece to 10^6 bytes: with work that grows faster than the page, this test would not end."""
    for piece in PIECES:
        page = (start + piece * (HTML_BYTES_MAX // len(piece)))[:HTML_BYTES_MAX]
        assert len(find(page)) <= ALTERNATES_MAX, piece


def test_one_mebibyte_in_the_link_field_is_ignored():
    for piece in ("<", "<a>", "<a>;", ";a=", "<a>;a", ",", " ", '<a>;a="'):
        assert find("", link=piece * (HTML_BYTES_MAX // len(piece))) == []


def backtracking_repeats(tree, *, atomic: bool = False) -> list[str]:
    """List the repetitions of a regular expression that may backtrack."""
    repeats: list[str] = []
    for opcode, argument in tree:
        if opcode in {ops.MAX_REPEAT, ops.MIN_REPEAT}:
            repeats_min, repeats_max, inner = argument
            # An optional part can give nothing back; inside an atomic group, backtracking ends with the group.
            if not atomic and (repeats_min, repeats_max) != (0, 1):
                repeats.append(f"{opcode} {repeats_min} {repeats_max}")
            repeats += backtracking_repeats(inner, atomic=atomic)
        elif opcode is ops.POSSESSIVE_REPEAT:
            repeats += backtracking_repeats(argument[2])
        elif opcode is ops.ATOMIC_GROUP:
            repeats += backtracking_repeats(argument, atomic=True)
        elif opcode is ops.SUBPATTERN:
            repeats += backtracking_repeats(argument[3], atomic=atomic)
        elif opcode is ops.BRANCH:
            repeats += [repeat for branch in argument[1] for repeat in backtracking_repeats(branch, atomic=atomic)]
        elif opcode in {ops.ASSERT, ops.ASSERT_NOT}:
            repeats += backtracking_repeats(argument[1])
    return repeats


@pytest.mark.hole(27, 48)
def test_no_regular_expression_backtracks():
    """Inspect every expression of the module: each consumes a byte once and never gives it back."""
    patterns = {value for value in vars(alternates).values() if isinstance(value, re.Pattern)} | {
        alternates._passed_over()
    }
    assert len(patterns) == 5
    for pattern in patterns:
        assert backtracking_repeats(sre.parse(pattern.pattern, pattern.flags & ~re.UNICODE)) == []
    # The expression of the published hole is recognised.
    assert backtracking_repeats(sre.parse(r"<(a|link)((?:\s+[a-z]+=(?:\"[^\"]*\"|[^\s>]+))+)\s*/?>"))


@given(
    st.lists(
        st.sampled_from([*PIECES, "href=/x ", "rel=alternate ", f"type={AP} ", ">", "<body>"]) | st.text(max_size=5)
    )
)
def test_any_pieces_give_only_canonical_addresses(pieces):
    for address in find("".join(pieces)):
        assert str(parse_url(address)) == address


@given(st.binary(max_size=200), st.text(st.characters(max_codepoint=255, exclude_categories=("Cc",)), max_size=100))
def test_any_bytes_give_only_canonical_addresses(body, field):
    for address in find(body, link=field):
        assert str(parse_url(address)) == address
