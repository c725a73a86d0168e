"""The address for people, sizes and digests of files, and a context that is null."""

from __future__ import annotations

import pytest

from apcore.vocab import AS, Image, MediaDocument, Note, Object, Video, read_document
from apcore.vocab.writer import to_wire

PAGE, FILE, OTHER = "https://a.example/page", "https://a.example/file", "https://a.example/other"


def link(href: str, media_type: str | None = None, **members: str) -> dict[str, str]:
    return {"type": "Link", "href": href, **({} if media_type is None else {"mediaType": media_type}), **members}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (PAGE, PAGE),
        ([PAGE, OTHER], PAGE),
        ([link(FILE, "video/mp4"), PAGE], PAGE),
        ([link(FILE, "video/mp4"), link(PAGE, "text/html")], PAGE),
        ([link(FILE, "video/mp4"), link(PAGE, "Text/HTML; charset=utf-8")], PAGE),
        ([link(FILE, "video/mp4"), link(PAGE, "application/xhtml+xml")], PAGE),
        ([link(FILE, "video/mp4"), link(PAGE)], PAGE),
        ([link(OTHER), link(PAGE, "text/html")], PAGE),
        ([link(PAGE, "text/html"), OTHER], PAGE),
        ([{"type": "Link", "href": FILE, "mimeType": "video/mp4"}, link(PAGE, "text/html", rel="canonical")], PAGE),
        ([link("javascript:alert(1)", "text/html"), link(FILE, "video/mp4")], FILE),
        ([link("data:text/html,x", "text/html")], None),
        ([None, {}, 7], None),
    ],
)
def test_url_is_the_first_page_of_several_addresses(url: object, expected: str | None) -> None:
    assert read_document({"type": "Video", "url": url}).view(Object).url == expected


@pytest.mark.parametrize("name", ["Document", "Image", "Audio", "Video", "Page"])
def test_file_with_a_links_word_for_its_address_has_it(name: str) -> None:
    assert read_document({"type": name, "href": FILE}).view(MediaDocument).url == FILE


def test_size_and_digest_of_a_file_are_written_and_read() -> None:
    image = Image(url=FILE, size=9045, digest_multibase="zQmaeDPz")
    tree = to_wire(Note(id=PAGE, attachment=[image]))
    assert tree["attachment"][0]["size"] == 9045
    (attachment,) = read_document(tree).view(Note).attachment
    assert (attachment.size, attachment.digest_multibase) == (9045, "zQmaeDPz")


@pytest.mark.parametrize(
    "members",
    [
        {"size": 7},
        {"https://joinpeertube.org/ns#size": 7},
        {"@context": [AS.context, {"size": "https://joinpeertube.org/ns#size"}], "size": "7"},
    ],
)
def test_size_is_read_in_every_spelling(members: dict[str, object]) -> None:
    assert read_document({"type": "Video", **members}).view(Video).size == 7


def test_null_context_at_the_top_is_read_like_an_absent_one() -> None:
    tree = {"type": "Note", "content": "x", "attachment": {"type": "Image", "url": FILE}}
    absent, null = read_document(tree), read_document({"@context": None, **tree})
    assert (null.types, null.words["content"], null.reading.ignored_contexts) == (absent.types, "x", ())
    assert null.view(Note).attachment[0].view(Image).url == FILE


def test_null_context_further_inside_takes_the_words_their_meaning() -> None:
    tree = {"@context": AS.context, "type": "Note", "attachment": {"@context": None, "type": "Image", "url": FILE}}
    assert not any(attachment.document.is_a(Image) for attachment in read_document(tree).view(Note).attachment)
