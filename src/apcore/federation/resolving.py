"""Resolve references as operations: one, several at once, or along a path of properties, within a budget.

A `Resolver` binds the rules: the policy, the identity that signs, and the origins that are ours. A document of our own
comes from the store or its handler. Any other comes from a trusted embedding, from a copy that may be used, or from its
origin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import evolve, field, frozen

from apcore.effects import CallOutcome, Op, Raised, Returned, gather
from apcore.errors import DocumentError, RequestError
from apcore.federation.moderation import without_media
from apcore.http import parse_url, same_origin
from apcore.remote import (
    DocumentState,
    FetchAllowance,
    FetchPolicy,
    Gone,
    Identity,
    NotFound,
    WrongId,
    load_unless_failed,
    read_state,
    trusted_embedding,
)
from apcore.vocab import Document, Reference, View, values
from apcore.vocab.properties import is_property

__all__ = ["PER_HOST", "REFERENCES_MAX", "WALK_REQUESTS_MAX", "Resolver"]

REFERENCES_MAX: Final = 1000
"""The most references that are resolved at once."""
PER_HOST: Final = 2
"""How many references to one host are resolved at the same time, unless a call says otherwise."""
WALK_REQUESTS_MAX: Final = 20
"""The requests that a walk may make, unless a call says otherwise."""
STEPS_MAX: Final = 10
"""The most properties of a path."""
_HOSTS_AT_ONCE: Final = 8


def _no_identity() -> Op[Identity | None]:
    return None
    yield  # makes this function an operation without effects


def _no_document(_uri: str) -> Op[Document | None]:
    return None
    yield  # makes this function an operation without effects


@frozen(kw_only=True)
class Resolver:
    """The rules by which references are resolved, for a node or a handler."""

    policy: FetchPolicy
    load_identity: Callable[[], Op[Identity | None]] = field(default=_no_identity, repr=False)
    """The operation that returns the identity which signs requests. It may have to make keys first, so it runs late."""
    viewer: str | None = None
    """The actor of ours that copies are read for; None for everyone."""
    load_own: Callable[[str], Op[Document | None]] = field(default=_no_document, repr=False)
    """The operation that returns a document of our own origins, and None for any other id."""
    is_own: Callable[[str], bool] = field(default=lambda _uri: False, repr=False)
    """Whether an address is on an origin of ours."""
    owner: str | None = None
    """The actor whose embedded documents are trusted; None for the origin of the outer document."""
    wrapper: str | None = None
    rejects_media: bool = False
    """Whether documents of ``owner``'s origin lose their media."""

    def resolve(self, reference: Reference | str, *, fresh: bool = False) -> Op[Document]:
        """Return the document of a reference; with ``fresh``, as its origin serves it now.

        Raises:
            DocumentError: The reference has no address.
            ApcoreError: As `load_unless_failed`.
        """
        uri = reference.uri if isinstance(reference, Reference) else reference
        own_document = None if uri is None else (yield from self.load_own(uri))
        if own_document is not None:
            return own_document
        if isinstance(reference, Reference) and not fresh:
            embedded_document = trusted_embedding(reference, owner=self.owner, wrapper=self.wrapper)
            if embedded_document is not None:
                return self._without_media(embedded_document)
        if uri is None:
            raise DocumentError("the reference has no address, and its embedded document cannot be trusted without one")
        identity = yield from self.load_identity()
        loaded = yield from load_unless_failed(uri, policy=self.policy, identity=identity, fresh=fresh)
        return self._without_media(loaded.document)

    def _without_media(self, document: Document) -> Document:
        is_of_owner = self.owner is not None and document.id is not None and same_origin(document.id, self.owner)
        return without_media(document) if self.rejects_media and is_of_owner else document

    def read_state(self, reference: Reference | str) -> Op[DocumentState]:
        """Return the state of a reference without a request. A document of our own is ``fresh``, or it is gone.

        Raises:
            RequestError: The address is no http or https URL.
        """
        uri = reference.uri if isinstance(reference, Reference) else reference
        if uri is None:
            return DocumentState(uri="", name="unknown")
        if not self.is_own(uri):
            return (yield from read_state(uri, viewer=self.viewer))
        try:
            own_document = yield from self.load_own(uri)
        except Gone:
            return DocumentState(uri=uri, name="gone", reason="deleted", provenance="own")
        except (NotFound, WrongId) as error:
            return DocumentState(uri=uri, name="failed", reason=error.reason, provenance="own")
        return DocumentState(uri=uri, name="unknown" if own_document is None else "fresh", provenance="own", rule="own")

    def resolve_many(
        self, references: Sequence[Reference | str], *, per_host: int = PER_HOST
    ) -> Op[tuple[CallOutcome[Document], ...]]:
        """Resolve references at once, and return one outcome each, in order: the document or the error.

        Of one host, at most ``per_host`` references are resolved at the same time. Equal references are resolved once.

        Raises:
            ValueError: There are more than a thousand references, or ``per_host`` is less than 1.
        """
        if len(references) > REFERENCES_MAX:
            raise ValueError(f"resolve_many takes at most {REFERENCES_MAX} references, not {len(references)}")
        if per_host < 1:
            raise ValueError(f"per_host is at least 1, not {per_host}")
        bound = [Reference(item) if isinstance(item, str) else item for item in references]
        by_host: dict[str, dict[object, Reference]] = {}
        for position, reference in enumerate(bound):
            _ = by_host.setdefault(_host(reference), {}).setdefault(reference.key or position, reference)
        hosts = list(by_host.values())
        outcomes_by_host = yield from gather(
            *(self._resolve_at_host(list(group.values()), per_host) for group in hosts), limit=_HOSTS_AT_ONCE
        )
        outcomes: dict[object, CallOutcome[Document]] = {}
        for group, host_outcome in zip(hosts, outcomes_by_host, strict=True):
            if isinstance(host_outcome, Raised):
                outcomes |= dict.fromkeys(group, host_outcome)
            else:
                outcomes |= zip(group, host_outcome.value, strict=True)
        return tuple(outcomes[reference.key or position] for position, reference in enumerate(bound))

    def _resolve_at_host(self, references: Sequence[Reference], per_host: int) -> Op[tuple[CallOutcome[Document], ...]]:
        return (yield from gather(*map(self.resolve, references), limit=per_host))

    def walk(
        self, reference: Reference | str, path: str, *, requests_max: int = WALK_REQUESTS_MAX
    ) -> Op[tuple[CallOutcome[Document], ...]]:
        """Follow ``path`` from a reference, and return the outcomes at its end: ``"in_reply_to.attributed_to"``.

        Each name is a property of a view. The documents on the way are cached, so looking at them afterwards costs no
        request. A branch ends where a document lacks the property, or at its error. Documents count once.

        Raises:
            ValueError: The path is empty, has more than ten names, or names no property; or ``requests_max`` is
                negative.
        """
        steps = _steps(path)
        allowance = FetchAllowance(requests_max, outer=self.policy.allowance)
        walker = evolve(self, policy=evolve(self.policy, allowance=allowance))
        outcomes = yield from walker.resolve_many([reference])
        for step in steps:
            errors = [outcome for outcome in outcomes if isinstance(outcome, Raised)]
            documents = [outcome.value for outcome in outcomes if isinstance(outcome, Returned)]
            targets = list(dict.fromkeys(target for document in documents for target in _targets(document, step)))
            reached = yield from walker.resolve_many(targets[:REFERENCES_MAX])
            outcomes = (*errors, *reached)
        return outcomes


def _host(reference: Reference) -> str:
    if reference.uri is None:
        return ""
    try:
        return parse_url(reference.uri).origin.host
    except RequestError:
        return ""


def _steps(path: str) -> list[tuple[str, ...]]:
    """Return the names in documents of each property of a path."""
    names = path.split(".")
    if len(names) > STEPS_MAX:
        raise ValueError(f"a path has at most {STEPS_MAX} names, not {len(names)}")
    steps = [_wire_names(name) for name in names]
    for name, step in zip(names, steps, strict=True):
        if not step:
            raise ValueError(f"{name!r:.60} in the path {path!r:.60} is no property of a view")
    return steps


def _wire_names(name: str) -> tuple[str, ...]:
    """Return the names in documents of the property that any view calls ``name``; none if there is no such property."""
    views: list[type[View]] = [View]
    wire_names: dict[str, None] = {}
    for view in views:
        views += view.__subclasses__()
        attribute = vars(view).get(name)
        if is_property(attribute):
            wire_names |= dict.fromkeys(attribute.names)
    return tuple(wire_names)


def _targets(document: Document, step: tuple[str, ...]) -> list[Reference]:
    """Return all references that a property of a document holds."""
    items = (item for name in step for item in values.many(document.words.get(name)))
    references = (values.reference(item, document) for item in items)
    return [reference for reference in references if reference is not None]
