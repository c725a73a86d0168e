"""Define the actors, with their addresses and keys."""

from __future__ import annotations

from typing_extensions import override

from apcore.vocab.documents import Document
from apcore.vocab.namespaces import AS, CID, FEP_7628, LDP, SEC, TOOT, WEBFINGER
from apcore.vocab.objects import Object
from apcore.vocab.relations import One, Ref, Refs, Uri, Uris
from apcore.vocab.scalars import Boolean, LanguageMap, Text, Texts
from apcore.vocab.views import View

__all__ = ["Actor", "Application", "Endpoints", "Group", "Organization", "Person", "Service"]


class Endpoints(View, ns=AS):
    """Addresses that an actor shares with other actors of its server."""

    shared_inbox: Uri = Uri()
    proxy_url: Uri = Uri()
    oauth_authorization_endpoint: Uri = Uri()
    oauth_token_endpoint: Uri = Uri()
    provide_client_key: Uri = Uri()
    sign_client_key: Uri = Uri()
    upload_media: Uri = Uri()


class Actor(Object, ns=AS):
    """Any actor. This is not a type of its own.

    It covers the five types of actors, and every document with an inbox and an outbox (FEP-2277).
    """

    preferred_username: Text = Text(languages="preferredUsernameMap")
    preferred_username_map: LanguageMap = LanguageMap(iri=f"{AS.iri}preferredUsername")
    inbox: Uri = Uri(ns=LDP, also=("https://www.w3.org/ns/activitystreams#inbox",))
    outbox: Uri = Uri()
    followers: Ref = Ref()
    following: Ref = Ref()
    liked: Ref = Ref()
    streams: Refs = Refs()
    endpoints: One[Endpoints] = One(Endpoints)
    manually_approves_followers: Boolean = Boolean()

    public_key: Ref = Ref(ns=SEC)
    public_keys: Refs = Refs("publicKey", ns=SEC)
    assertion_method: Refs = Refs(ns=CID, array=True)
    """Keys for proofs; `Reference.claimed` returns the `Multikey`."""

    also_known_as: Uris = Uris(array=True)
    moved_to: Uri = Uri(also=(f"{FEP_7628.iri}movedTo",))
    copied_to: Uris = Uris(ns=FEP_7628)
    featured: Ref = Ref(ns=TOOT)
    featured_tags: Ref = Ref(ns=TOOT)
    discoverable: Boolean = Boolean(ns=TOOT)
    indexable: Boolean = Boolean(ns=TOOT)
    suspended: Boolean = Boolean(ns=TOOT)
    memorial: Boolean = Boolean(ns=TOOT)
    attribution_domains: Texts = Texts(ns=TOOT, array=True)
    webfinger: Text = Text(ns=WEBFINGER, also=("https://webfinger.net/#",))

    @classmethod
    @override
    def covers(cls, document: Document) -> bool:
        if cls.type_owner is not Object:
            return super().covers(document)
        classes = document.classes()
        if classes:
            return any(issubclass(view_class, Actor) for view_class in classes)
        return "inbox" in document.words and "outbox" in document.words

    @property
    def shared_inbox(self) -> str | None:
        """Return the server's shared inbox, from `endpoints` or, for some old servers, from the actor itself."""
        endpoints = self.endpoints
        stray = self.document.words.get("sharedInbox")
        shared_inbox = endpoints.shared_inbox if endpoints is not None else None
        return shared_inbox or (stray if type(stray) is str and stray else None)


class Application(Actor, ns=AS, type="Application"):
    """A program."""


class Group(Actor, ns=AS, type="Group"):
    """A group, a community, a channel."""


class Organization(Actor, ns=AS, type="Organization"):
    """An organization."""


class Person(Actor, ns=AS, type="Person"):
    """A person."""


class Service(Actor, ns=AS, type="Service"):
    """A service; in practice, a bot."""
