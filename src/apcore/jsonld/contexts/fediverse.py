"""The contexts of server software and of Fediverse Enhancement Proposals (FEPs), which extend Activity Streams."""

from __future__ import annotations

from typing import Final

from apcore.jsonld.contexts.notation import Definitions, context, keywords, prefixes, terms

__all__ = [
    "FEP_7AA9",
    "FEP_5711",
    "FEP_7628",
    "FEP_C390",
    "FEP_EF61",
    "FUNKWHALE",
    "GOTOSOCIAL",
    "HUBZILLA",
    "LEMMY",
    "LITEPUB",
    "MASTODON",
    "MBIN",
    "MISCELLANY",
    "WEBFINGER",
]

_AS: Final = "https://www.w3.org/ns/activitystreams#"
_XSD: Final = "http://www.w3.org/2001/XMLSchema#"
_TOOT: Final = "http://joinmastodon.org/ns#"
_LEMMY: Final = "https://join-lemmy.org/ns#"
_LITEPUB: Final = "http://litepub.social/ns#"
_PEERTUBE: Final = "https://joinpeertube.org/ns#"
_OSTATUS: Final = "http://ostatus.org#"
_QUOTES: Final = "https://w3id.org/fep/044f#"

# Mastodon does not publish this context (it sends its terms inline), but some servers refer to it by this address.
MASTODON: Final[Definitions] = context(
    prefixes(toot=_TOOT),
    terms("toot", "Emoji blurhash discoverable indexable memorial suspended votersCount"),
    terms("toot", "attributionDomains featured featuredTags", type_="@id"),
    terms("toot", "focalPoint", container="@list"),
)

# For Pleroma, Akkoma and their forks. It extends Activity Streams, security/v1 and the WebFinger context.
LITEPUB: Final[Definitions] = context(
    prefixes(
        fedibird="http://fedibird.com/ns#",
        litepub=_LITEPUB,
        ostatus=_OSTATUS,
        schema="http://schema.org#",
        sm="http://smithereen.software/ns#",
        toot=_TOOT,
        vcard="http://www.w3.org/2006/vcard/ns#",
    ),
    terms("as", "Hashtag manuallyApprovesFollowers quoteUrl sensitive"),
    terms("as", "alsoKnownAs", type_="@id"),
    terms("fedibird", "quoteUri"),
    terms("litepub", "ChatMessage EmojiReact capabilities directMessage formerRepresentations invisible"),
    terms("litepub", "listMessage oauthRegistrationEndpoint", type_="@id"),
    terms("ostatus", "atomUri"),
    terms("ostatus", "conversation", type_="@id"),
    terms("schema", "PropertyValue value"),
    terms("sm", "nonAnonymous"),
    terms("toot", "Emoji discoverable"),
)

# It extends security/v1.
LEMMY: Final[Definitions] = context(
    prefixes(as_=_AS, lemmy=_LEMMY, litepub=_LITEPUB, mastodon=_TOOT, pt=_PEERTUBE, sc="http://schema.org/"),
    terms("as", "Hashtag expires=endTime sensitive"),
    terms("lemmy", "distinguished matrixUserId postingRestrictedToMods removeData stickied"),
    terms("lemmy", "moderators", type_="@id"),
    terms("litepub", "ChatMessage"),
    terms("mastodon", "featured", type_="@id"),
    terms("pt", "commentsEnabled"),
    terms("sc", "identifier language=inLanguage"),
)

# Mbin and kbin serve this context at /contexts of every host. It extends Activity Streams and security/v1.
MBIN: Final[Definitions] = context(
    prefixes(lemmy=_LEMMY, ostatus=_OSTATUS, pt=_PEERTUBE, schema="http://schema.org#", toot=_TOOT),
    terms("as", "Hashtag manuallyApprovesFollowers sensitive"),
    terms("lemmy", "postingRestrictedToMods stickied"),
    terms("pt", "commentsEnabled"),
    terms("schema", "PropertyValue value"),
    terms("toot", "blurhash featured focalPoint votersCount"),
)

GOTOSOCIAL: Final[Definitions] = context(
    prefixes(gts="https://gotosocial.org/ns#", xsd=_XSD),
    terms("gts", "AnnounceAuthorization AnnounceRequest LikeAuthorization=LikeApproval LikeRequest"),
    terms("gts", "ReplyAuthorization ReplyRequest"),
    terms(_QUOTES, "QuoteAuthorization QuoteRequest"),
    terms(
        "gts",
        """announceAuthorization likeAuthorization replyAuthorization interactingObject interactionTarget
        interactionPolicy canAnnounce canLike canQuote canReply automaticApproval manualApproval always approvalRequired
        approvedBy""",
        type_="@id",
    ),
    terms(_QUOTES, "quoteAuthorization", type_="@id"),
    terms("gts", "hidesCcPublicFromUnauthedWeb hidesToPublicFromUnauthedWeb", type_="xsd:boolean"),
)

FUNKWHALE: Final[Definitions] = context(
    keywords("id type"),
    prefixes(as_=_AS, fw="https://funkwhale.audio/ns#", schema="http://schema.org#", sc="http://schema.org#", xsd=_XSD),
    terms("fw", "Album Artist ArtistCredit Library Track copyright musicbrainzId"),
    terms("fw", "bitrate disc position size", type_="xsd:nonNegativeInteger"),
    terms("fw", "album library license track", type_="@id"),
    terms("fw", "artists tracks=album", type_="@id", container="@list"),
    terms("fw", "cover", type_="as:Link"),
    terms("fw", "released", type_="xsd:date"),
    terms("sc", "category language=inLanguage"),
)

HUBZILLA: Final[Definitions] = context(
    keywords("id type"),
    prefixes(
        zot="https://hubzilla.org/apschema#",
        schema="http://schema.org#",
        ostatus=_OSTATUS,
        diaspora="https://diasporafoundation.org/ns/",
    ),
    terms(
        "zot",
        """commentPolicy meData meDataType meEncoding meAlgorithm meCreator meSignatureValue locationAddress
        locationPrimary locationDeleted emojiReaction expires directMessage""",
    ),
    terms("zot", "magicEnv nomadicLocations", type_="@id"),
    terms("as", "Hashtag manuallyApprovesFollowers sensitive"),
    terms("diaspora", "guid"),
    terms("ostatus", "conversation"),
    terms("schema", "PropertyValue value"),
)

MISCELLANY: Final[Definitions] = context(
    prefixes(as_=_AS, xsd=_XSD),
    terms("as", "Hashtag manuallyApprovesFollowers sensitive"),
    terms("as", "movedTo", type_="@id"),
)

WEBFINGER: Final[Definitions] = context(
    prefixes(wf="https://purl.archive.org/socialweb/webfinger#", xsd=_XSD),
    terms("wf", "webfinger", type_="xsd:string"),
)

# --- enhancement proposals, by number -------------------------------------------------------------------------------

FEP_5711: Final[Definitions] = terms(
    "https://w3id.org/fep/5711#",
    "followersOf followingOf inboxOf likedOf likesOf outboxOf repliesOf sharesOf",
    type_="@id",
)

FEP_7628: Final[Definitions] = terms("https://w3id.org/fep/7628#", "copiedTo movedTo", type_="@id")

FEP_7AA9: Final[Definitions] = context(
    terms("https://w3id.org/fep/7aa9#", "FeatureAuthorization FeatureRequest FeaturedCollection FeaturedItem"),
    terms("https://w3id.org/fep/7aa9#", "canFeature featureAuthorization featuredObject topic", type_="@id"),
)

FEP_C390: Final[Definitions] = terms("https://w3id.org/fep/c390/", "VerifiableIdentityStatement")

FEP_EF61: Final[Definitions] = context(
    terms("https://w3id.org/fep/ef61/", "gateways", type_="@id", container="@list"),
    terms("https://www.w3.org/ns/credentials/v2#", "digestMultibase"),
)
