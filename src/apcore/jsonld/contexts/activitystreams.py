"""The context of Activity Streams 2.0, which nearly every document in the fediverse uses."""

from __future__ import annotations

from typing import Final

from apcore.jsonld.contexts.notation import Definitions, context, keywords, prefixes, terms

__all__ = ["ACTIVITYSTREAMS"]

ACTIVITYSTREAMS: Final[Definitions] = context(
    # An undefined term expands to a blank node property: expansion keeps it, and RDF graphs omit it.
    {"@vocab": "_:"},
    prefixes(
        xsd="http://www.w3.org/2001/XMLSchema#",
        as_="https://www.w3.org/ns/activitystreams#",
        ldp="http://www.w3.org/ns/ldp#",
        vcard="http://www.w3.org/2006/vcard/ns#",
    ),
    keywords("id type"),
    # Activities
    terms(
        "as",
        """Activity IntransitiveActivity Accept Add Announce Arrive Block Create Delete Dislike Flag Follow Ignore
        Invite Join Leave Like Listen Move Offer Question Read Reject Remove TentativeAccept TentativeReject
        Travel Undo Update View""",
    ),
    # Actors, objects, links
    terms("as", "Application Group Organization Person Service"),
    terms(
        "as",
        """Object Article Audio Document Event Image Link Mention Note Page Place Profile Relationship Tombstone
        Video Collection CollectionPage OrderedCollection OrderedCollectionPage IsFollowing IsFollowedBy IsContact
        IsMember""",
    ),
    # Properties with text
    terms("as", "content name hreflang mediaType rel summary units preferredUsername source"),
    terms("as", "contentMap=content nameMap=name summaryMap=summary", container="@language"),
    # Properties with references
    terms(
        "as",
        """actor attachment attributedTo audience bcc bto cc context describes formerType generator icon image
        inReplyTo instrument location object oneOf anyOf origin preview relationship replies result subject tag
        target to href url items current first last next prev partOf likes shares""",
        type_="@id",
    ),
    terms("as", "orderedItems=items", type_="@id", container="@list"),
    # Properties of actors
    terms("ldp", "inbox", type_="@id"),
    terms(
        "as",
        """outbox following followers liked streams alsoKnownAs endpoints uploadMedia proxyUrl sharedInbox
        oauthAuthorizationEndpoint oauthTokenEndpoint provideClientKey signClientKey""",
        type_="@id",
    ),
    # The audience called Public, as a term
    terms("as", "Public", type_="@id"),
    # Properties with a datatype
    terms("as", "closed deleted endTime published startTime updated", type_="xsd:dateTime"),
    terms("as", "accuracy altitude latitude longitude radius", type_="xsd:float"),
    terms("as", "duration", type_="xsd:duration"),
    terms("as", "height startIndex totalItems width", type_="xsd:nonNegativeInteger"),
)
