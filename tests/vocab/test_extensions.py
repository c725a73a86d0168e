"""Check extensions in use on the network, in the form in which their software writes them."""

from __future__ import annotations

import pytest

from apcore.vocab import (
    Activity,
    Actor,
    Album,
    Approved,
    Capabilities,
    Edition,
    Emoji,
    EmojiReact,
    EventDetails,
    ForumGroup,
    ForumPost,
    Image,
    LikeAuthorization,
    Link,
    LitepubActor,
    LitepubObject,
    MediaDetails,
    MediaLink,
    MisskeyActor,
    MisskeyNote,
    Note,
    Object,
    PlaceDetails,
    Playlist,
    PropertyValue,
    Question,
    Quotation,
    QuoteRequest,
    Software,
    Track,
    VideoDetails,
    quoted,
    read_document,
)

AS2 = "https://www.w3.org/ns/activitystreams"


def view_of(view, /, **members):
    return view.over(read_document(members))


def test_mastodon_emoji_profile_fields_and_pictures_are_read():
    tag = view_of(Note, tag={"type": "Emoji", "name": ":a:", "icon": {"type": "Image", "url": "https://x/e.png"}}).tag[
        0
    ]
    assert isinstance(tag, Emoji)
    assert tag.icon.url == "https://x/e.png"
    line = view_of(Actor, attachment=[{"type": "schema:PropertyValue", "name": "a", "value": "b"}]).attachment[0]
    assert isinstance(line, PropertyValue)
    assert line.value == "b"
    picture = view_of(Image, blurhash="U", focalPoint=[0, "-0.5", None]).view(MediaDetails)
    assert (picture.blurhash, picture.focal_point) == ("U", (0, -0.5))


def test_poll_is_read():
    poll = view_of(
        Question,
        type="Question",
        oneOf=[{"type": "Note", "name": "yes", "replies": {"type": "Collection", "totalItems": 3}}],
        votersCount="3",
        endTime="2026-01-01T00:00:00Z",
    )
    assert (poll.one_of[0].name, poll.voters_count, poll.is_closed) == ("yes", 3, False)
    assert poll.end_time.year == 2026


def test_actor_move_properties_are_read():
    actor = view_of(
        Actor, movedTo="https://b.example/a", alsoKnownAs="https://b.example/a", copiedTo=["https://c.example/a"]
    )
    assert (actor.moved_to, actor.also_known_as, actor.copied_to) == (
        "https://b.example/a",
        ("https://b.example/a",),
        ("https://c.example/a",),
    )


def test_misskey_properties_are_read():
    assert view_of(MisskeyActor, isCat=True, _misskey_summary="m").is_cat is True
    assert view_of(MisskeyNote, _misskey_reaction=":a:").misskey_reaction == ":a:"


@pytest.mark.parametrize("namespace", ["https://misskey-hub.net/ns#", "https://misskey.io/ns#"])
def test_misskey_property_is_read_under_either_namespace(namespace):
    document = read_document(
        {"@context": [AS2, {"misskey": namespace, "isCat": "misskey:isCat"}], "type": "Person", "isCat": True}
    )
    assert document.view(MisskeyActor).is_cat is True


def test_pleroma_and_pixelfed_capabilities_are_read():
    reaction = read_document({"type": "EmojiReact", "content": "🔥", "actor": "https://a.example/a"})
    assert reaction.view(EmojiReact).content == "🔥"
    assert reaction.is_a(Activity)
    assert view_of(LitepubActor, capabilities={"acceptsChatMessages": True}).capabilities.accepts_chat_messages is True
    post = view_of(LitepubObject, capabilities={"announce": f"{AS2}#Public", "like": None}, directMessage=False)
    assert isinstance(post.capabilities, Capabilities)
    assert post.capabilities.announce == (f"{AS2}#Public",)
    assert post.direct_message is False


def test_lemmy_posts_and_groups_are_read():
    post = view_of(ForumPost, stickied=True, commentsEnabled=False, language={"identifier": "de", "name": "Deutsch"})
    assert (post.stickied, post.comments_enabled, post.language.identifier) == (True, False, "de")
    assert view_of(ForumPost, language="de").language.identifier == "de"
    group = view_of(ForumGroup, postingRestrictedToMods=False, moderators="https://l.example/c/a/moderators")
    assert group.moderators.uri == "https://l.example/c/a/moderators"


def test_lemmy_expires_is_read_as_the_end_time():
    block = {
        "@context": ["https://join-lemmy.org/context.json", AS2],
        "type": "Block",
        "expires": "2026-01-01T00:00:00Z",
    }
    assert read_document(block).view(Activity).end_time.year == 2026


def test_peertube_video_is_read():
    video = view_of(
        Object,
        type="Video",
        uuid="u",
        duration="PT3612S",
        category={"identifier": "1", "name": "Music"},
        url=[{"type": "Link", "mediaType": "video/mp4", "href": "https://v/1.mp4", "size": 7, "fps": 25}],
    )
    details = video.view(VideoDetails)
    assert (details.identifier, details.category["name"], video.duration.total_seconds()) == ("u", "Music", 3612)
    file = video.urls[0].view(MediaLink)
    assert (file.size, file.fps, video.urls[0].media_type) == (7, 25, "video/mp4")
    assert read_document({"type": "Playlist"}).is_a(Playlist)


def test_funkwhale_track_is_read():
    track = view_of(
        Track,
        type="Track",
        musicbrainzId="m",
        position=3,
        album={"type": "Album", "name": "A", "released": "1999-01-01"},
    )
    assert isinstance(track.album, Album)
    assert (track.position, track.album.released.year) == (3, 1999)


def test_bookwyrm_edition_and_quotation_are_read():
    assert view_of(Edition, type="Edition", isbn13="978", authors=["https://b.example/1"]).isbn13 == "978"
    assert view_of(Quotation, type="Quotation", quote="<p>x</p>").passage == "<p>x</p>"


def test_mobilizon_event_is_read():
    context = [
        AS2,
        {
            "sc": "http://schema.org#",
            "ical": "http://www.w3.org/2002/12/cal/ical#",
            "location": {"@id": "sc:location", "@type": "sc:Place"},
        },
    ]
    tree = {
        "@context": context,
        "type": "Event",
        "ical:status": "CONFIRMED",
        "joinMode": "free",
        "location": {"type": "Place", "name": "Nantes", "address": {"addressLocality": "Nantes"}},
    }
    document = read_document(tree)
    assert not document.reading.translated
    assert (document.view(EventDetails).status, document.view(EventDetails).join_mode) == ("CONFIRMED", "free")
    place = document.view(Object).location.embedded.view(PlaceDetails)
    assert place.address.address_locality == "Nantes"


def test_interaction_policy_is_read_in_its_old_and_new_form():
    policy = {
        "canReply": {"always": [f"{AS2}#Public"], "approvalRequired": []},
        "canQuote": {"automaticApproval": f"{AS2}#Public"},
    }
    policy_view = view_of(Approved, interactionPolicy=policy).interaction_policy
    assert policy_view.can_reply.always == (f"{AS2}#Public",)
    assert policy_view.can_quote.automatic_approval == (f"{AS2}#Public",)
    assert policy_view.can_like is None


def test_quote_requests_and_authorizations_are_read():
    request = read_document(
        {"type": "QuoteRequest", "actor": "https://b/b", "object": "https://a/1", "instrument": "https://b/2"}
    )
    assert request.is_a(Activity)
    assert request.view(QuoteRequest).instrument.uri == "https://b/2"
    stamp = read_document(
        {
            "@context": [AS2, "https://gotosocial.org/ns"],
            "type": "LikeAuthorization",
            "interactingObject": "https://b/2",
            "interactionTarget": "https://a/1",
        }
    ).view(LikeAuthorization)
    assert (stamp.interacting_object.uri, stamp.interaction_target.uri) == ("https://b/2", "https://a/1")


QUOTES = [
    ({"quote": "https://a/1", "quoteUrl": "https://a/2"}, "https://a/1"),
    ({"quoteUrl": "https://a/2"}, "https://a/2"),
    ({"quoteUri": "https://a/3"}, "https://a/3"),
    ({"_misskey_quote": "https://a/4", "quoteUrl": None}, "https://a/4"),
    (
        {
            "tag": [
                {"type": "Mention", "href": "https://a/5"},
                {"type": "Link", "href": "https://a/6", "rel": "https://misskey-hub.net/ns#_misskey_quote"},
            ]
        },
        "https://a/6",
    ),
    ({"tag": [{"type": "Link", "href": "https://a/6", "rel": "alternate"}]}, None),
    *(
        ({name: value}, "https://a/7")
        for name in ("quote", "quoteUrl", "quoteUri", "_misskey_quote")
        for value in (
            ["https://a/7"],
            [None, "https://a/7", "https://a/8"],
            {"type": "Link", "href": "https://a/7"},
            [{"type": "Link", "href": "https://a/7"}],
            {"type": "Note", "id": "https://a/7", "content": "quoted"},
            [{"type": "Note", "id": "https://a/7", "content": "quoted"}, "https://a/8"],
        )
    ),
    ({}, None),
]


@pytest.mark.parametrize(("members", "expected"), QUOTES, ids=lambda value: str(value)[:40])
def test_quote_is_found_in_every_form(members, expected):
    quote = quoted(read_document({"type": "Note", **members}))
    assert (quote.uri if quote else None) == expected


def test_implemented_specifications_are_read():
    software = view_of(
        Software, implements=[{"href": "https://datatracker.ietf.org/doc/html/rfc9421", "name": "RFC-9421"}]
    )
    assert software.implements[0].href.endswith("rfc9421")


def test_tags_have_the_view_of_their_type():
    tags = view_of(
        Note, tag=[{"type": "Link", "href": "https://a/"}, {"type": "Infohash", "name": "x"}, "https://b/", None]
    ).tag
    assert [type(tag).__name__ for tag in tags] == ["Link", "Infohash", "Thing"]
    assert isinstance(tags[0], Link)
