"""Deliver the inputs of `fediverse-pasture-inputs`, and check that the view shows the purpose of each.

The package needs another version of PyLD than apcore, so it is installed in its own environment. ``nox -s suites``
writes its inputs to a JSON file and names that file in ``APCORE_PASTURE_INPUTS``. Without it, the tests are skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from apcore import Federation, Node
from apcore.signatures import SignatureScheme
from apcore.testing.keys import ReusedKeys
from apcore.testing.peer import Peer, PeerNetwork
from apcore.vocab import (
    PUBLIC,
    Article,
    Audio,
    Create,
    Document,
    Event,
    Hashtag,
    Image,
    Link,
    MediaDocument,
    Mention,
    Note,
    Object,
    Page,
    Person,
    Place,
    Profile,
    Relationship,
    Thing,
    Tombstone,
    Video,
    View,
    quoted,
)

ORIGIN = "https://local.example"
INPUTS = os.environ.get("APCORE_PASTURE_INPUTS")
PASTURE_ACTOR = "http://pasture-one-actor/actor"
ASSETS = "http://pasture-one-actor/assets"
CONTEXT = ["https://www.w3.org/ns/activitystreams", {"Hashtag": "as:Hashtag", "sensitive": "as:sensitive"}]
NUMBERS = count(1)
# The counts of version 0.3.0: an input that comes or goes is noticed.
COUNTS = {
    "html_tags": 31,
    "html_tags_article": 31,
    "html_tags_summary": 31,
    "html_bad": 13,
    "html_anchor": 18,
    "hashtag_jsonld": 5,
    "hashtags": 13,
    "image_description": 4,
    "quotes": 5,
    "public_addressing": 3,
    "content_warnings": 7,
    "necessary_properties": 5,
    "mentions": 10,
    "image_attachments": 17,
    "object_types": 14,
    "attachments": 11,
    "language": 9,
    "in_reply_to": 7,
    "url": 13,
    "attributed_to": 5,
    "context": 6,
    "recommended_attachments": 4,
}


def load_inputs() -> dict[str, list[dict[str, Any]]]:
    if INPUTS is None:
        return {}
    topics = json.loads(Path(INPUTS).read_text(encoding="utf-8"))
    return {name: topic["examples"] for name, topic in topics.items()}


TOPICS = load_inputs()
CASES = [(name, position) for name, examples in TOPICS.items() for position in range(len(examples))]
needs_inputs = pytest.mark.skipif(INPUTS is None, reason="APCORE_PASTURE_INPUTS names no file: run nox -s suites")


class ReceivingServer:
    """A server with a listener that stores the object of each received Create."""

    def __init__(self) -> None:
        self.network = PeerNetwork()
        self.received_objects: list[Document] = []
        self.peers: dict[SignatureScheme, Peer] = {
            "cavage": self.network.peer("https://cavage.example/actor"),
            "rfc9421": self.network.peer("https://rfc9421.example/actor", scheme="rfc9421"),
        }
        federation: Federation[None] = Federation(software="test/1.0")
        federation.actor("/users/{identifier}")(lambda ctx, identifier: Person(preferred_username=identifier))
        federation.on(Create)(self._listen)
        self.node = Node(federation, ORIGIN, "memory:", transport=self.network, signer=ReusedKeys())

    def _listen(self, ctx: Any, activity: Create) -> None:
        assert activity.object is not None
        assert activity.object.embedded is not None
        self.received_objects.append(activity.object.embedded)

    def receive(self, peer: Peer, example: dict[str, Any]) -> Document:
        """Deliver a Create of the example's object, and return the object that the listener was given."""
        number = next(NUMBERS)
        members = json.loads(json.dumps(example).replace(json.dumps(PASTURE_ACTOR), json.dumps(peer.actor)))
        context = members.pop("@context", CONTEXT)
        members = {
            "type": "Note",
            "attributedTo": peer.actor,
            "to": [PUBLIC],
            "cc": [f"{ORIGIN}/users/alice"],
            "id": f"{peer.actor}/notes/{number}",
            "published": "2026-01-01T00:00:00Z",
            **members,
        }
        activity = {
            "@context": context,
            "type": "Create",
            "actor": peer.actor,
            "id": f"{peer.actor}/creates/{number}",
            "to": members["to"],
            "object": members,
        }
        self.received_objects.clear()
        response = peer.deliver(self.node, json.dumps(activity).encode(), to="alice")
        assert response.status == 202, response.body
        _ = self.node.work(until_idle=True)
        (document,) = self.received_objects
        return document


# --- the expected reading of each topic -----------------------------------------------------------------------------


def uri_of(reference: Any) -> str | None:
    return None if reference is None else reference.uri


def check_texts(post: Object, example: dict[str, Any], peer: Peer) -> None:
    assert (post.content, post.summary) == (example.get("content"), example.get("summary"))


def check_hashtags(post: Object, example: dict[str, Any], peer: Peer) -> None:
    (tag,) = post.tag
    assert tag.name == example["tag"]["name"]
    assert isinstance(tag, Hashtag) == ("type" in example["tag"])


def check_image_description(post: Object, example: dict[str, Any], peer: Peer) -> None:
    attachment = example["attachment"]
    (image,) = post.attachment
    assert image.name == (attachment[0] if isinstance(attachment, list) else attachment).get("name")


def check_quotes(post: Object, example: dict[str, Any], peer: Peer) -> None:
    target = quoted(post.document)
    assert uri_of(target) == f"{ASSETS}/note1.jsonap"


def check_public(post: Object, example: dict[str, Any], peer: Peer) -> None:
    assert [recipient.uri for recipient in post.to] == [PUBLIC]


def check_warnings(post: Object, example: dict[str, Any], peer: Peer) -> None:
    assert (post.sensitive, post.summary) == (example.get("sensitive"), example.get("summary"))
    for attachment in post.attachment:
        assert attachment.view(Object).sensitive is True


def check_necessary(post: Object, example: dict[str, Any], peer: Peer) -> None:
    absent = {name for name, value in example.items() if value is None}
    assert (post.id is None, post.published is None, post.attributed_to is None, not post.types) == (
        "id" in absent,
        "published" in absent,
        "attributedTo" in absent,
        "type" in absent,
    )


def check_mentions(post: Object, example: dict[str, Any], peer: Peer) -> None:
    tags = example["tag"] if isinstance(example["tag"], list) else [example["tag"]]
    assert len(post.tag) == len(tags)
    for tag, members in zip(post.tag, tags, strict=True):
        address = members["href"].replace(PASTURE_ACTOR, peer.actor)
        assert isinstance(tag, Mention) == ("type" in members)
        assert (tag.name, Link.over(tag.document).href) == (members.get("name"), address)


IMAGE_FILES = [
    *("001.png", "001b.png", "002.jpg", "002b.jpg", "", "003.eps", "003b.gif", "003c.tiff", "003d.webp", "", "004.png"),
    *("005.png", "006.png", "006b.png", "006c.png", "007.png"),
]


def check_image(post: Object, example: dict[str, Any], peer: Peer) -> None:
    position = TOPICS["image_attachments"].index(example)
    (attachment,) = post.attachment
    image = attachment.view(Object)
    if position == len(IMAGE_FILES):  # the last one is inline, and its address is not one to follow
        assert image.url is None
        assert image.urls[0].href is not None
        assert image.urls[0].href.startswith("data:image/jpeg;base64,")
        return
    files = {4: "/assets/FediverseLogo.svg", 9: "/assets/does_not_exist.png"}
    assert image.url is not None
    assert image.url.endswith(files.get(position, f"/images/{IMAGE_FILES[position]}"))
    if position == 10:
        assert (MediaDocument.over(image.document).width, MediaDocument.over(image.document).height) == (13, 17)


TYPES: list[type[View]] = [
    *(Article, Audio, MediaDocument, Event, Image, Note, Page, Place, Profile, Relationship, Tombstone, Video),
]


def check_type(post: Object, example: dict[str, Any], peer: Peer) -> None:
    position = TOPICS["object_types"].index(example)
    assert (post.name, post.summary, post.content) == ("name", "summary", "content")
    if position < len(TYPES):
        assert type(post.document.as_declared(Thing)) is TYPES[position]
    elif position == len(TYPES):
        assert (post.document.is_a(Note), post.document.is_a(Article)) == (True, True)
    else:
        assert post.types == ()


ATTACHMENT_TYPES: list[type[View]] = [
    *(Image, Video, Audio, MediaDocument, Link, Link, MediaDocument, MediaDocument, Note, Thing, MediaDocument),
]


def check_attachments(post: Object, example: dict[str, Any], peer: Peer) -> None:
    position = TOPICS["attachments"].index(example)
    members = example["attachment"] if isinstance(example["attachment"], list) else [example["attachment"]]
    assert len(post.attachment) == len(members)
    for attachment, attachment_members in zip(post.attachment, members, strict=True):
        assert type(attachment) is ATTACHMENT_TYPES[position]
        assert attachment.name == attachment_members.get("name")
        address = attachment_members.get("url", attachment_members.get("href"))
        if isinstance(attachment, Link):
            assert attachment.href == address
        elif isinstance(attachment, MediaDocument):
            assert attachment.url == address


def check_language(post: Object, example: dict[str, Any], peer: Peer) -> None:
    texts = example.get("contentMap", {})
    assert dict(post.content_map) == texts
    assert post.content == example.get("content", next(iter(texts.values()), None))


def check_in_reply_to(post: Object, example: dict[str, Any], peer: Peer) -> None:
    expected = {1: "http://invalid.example/", 5: None}
    position = TOPICS["in_reply_to"].index(example)
    assert uri_of(post.in_reply_to) == expected.get(position, f"{ASSETS}/note1.jsonap")


# With several addresses, the page is preferred to the media file.
URLS = [
    *("http://remote.example/objects/123",) * 3,
    *("http://other.example/objects/123", "http://html.example/objects/123", "http://video.example/objects/123"),
    *("http://remote.example/objects/123", *("http://html.example/objects/123",) * 4),
    *("https://notype.example/", "http://pasture-one-actor/objects/123"),
]


def check_url(post: Object, example: dict[str, Any], peer: Peer) -> None:
    assert post.url == URLS[TOPICS["url"].index(example)]


def check_attributed_to(post: Object, example: dict[str, Any], peer: Peer) -> None:
    assert uri_of(post.attributed_to) == peer.actor
    is_shared = example["content"] == "two elements as list"
    assert len(post.attributions) == 1 + is_shared


def check_recommended(post: Object, example: dict[str, Any], peer: Peer) -> None:
    (members,) = example["attachment"]
    (attachment,) = post.attachment
    assert (attachment.size, attachment.digest_multibase) == (members.get("size"), members.get("digestMultibase"))
    file = attachment.view(MediaDocument)
    assert (file.width, file.height, file.media_type) == tuple(map(members.get, ("width", "height", "mediaType")))
    assert (file.duration is not None) == ("duration" in members)
    if isinstance(members["url"], list):
        assert [link.size for link in file.urls] == [link["size"] for link in members["url"]]
    else:
        assert file.url == members["url"]


CHECKS: dict[str, Callable[[Object, dict[str, Any], Peer], None]] = {
    **dict.fromkeys(("html_tags", "html_tags_article", "html_tags_summary", "html_bad", "html_anchor"), check_texts),
    **dict.fromkeys(("hashtag_jsonld", "hashtags"), check_hashtags),
    "image_description": check_image_description,
    "quotes": check_quotes,
    "public_addressing": check_public,
    "content_warnings": check_warnings,
    "necessary_properties": check_necessary,
    "mentions": check_mentions,
    "image_attachments": check_image,
    "object_types": check_type,
    "attachments": check_attachments,
    "language": check_language,
    "in_reply_to": check_in_reply_to,
    "url": check_url,
    "attributed_to": check_attributed_to,
    "context": check_texts,
    "recommended_attachments": check_recommended,
}


@pytest.fixture(scope="module")
def server() -> ReceivingServer:
    return ReceivingServer()


@needs_inputs
def test_every_topic_and_input_is_known() -> None:
    assert {name: len(examples) for name, examples in TOPICS.items()} == COUNTS
    assert CHECKS.keys() == COUNTS.keys()


@needs_inputs
@pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
@pytest.mark.parametrize(("topic", "position"), CASES)
def test_input_is_accepted_and_read(
    server: ReceivingServer, topic: str, position: int, scheme: SignatureScheme
) -> None:
    peer = server.peers[scheme]
    example = TOPICS[topic][position]
    document = server.receive(peer, example)
    CHECKS[topic](Object.over(document), example, peer)
