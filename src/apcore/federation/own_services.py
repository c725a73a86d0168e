"""Define the services of a site that a context offers: its keys, its documents, and the signer of the request.

The unit of work is below the site, so it knows these services by their protocol only. `unit_of_work_for` passes those
of the site. A unit of work that was made without a site has `NoServices`.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from attrs import frozen

from apcore.discovery import Descriptor, LookupResult
from apcore.effects import Op
from apcore.errors import ContractError
from apcore.http import Request
from apcore.remote import Identity

__all__ = ["NO_SERVICES", "NoServices", "OwnServices", "RequestSigner"]


@frozen
class RequestSigner:
    """The proved signer of a request."""

    actor: str
    """The actor that owns the key. Key and actor name each other."""
    key_id: str


class OwnServices(Protocol):
    """The services of a site for the contexts of its handlers."""

    @property
    def federation(self) -> Any:
        """The `Federation` of the site."""
        ...

    @property
    def request(self) -> Request | None:
        """The request that is being answered; None in a job."""
        ...

    def identity_of(self, identifier: str) -> Op[Identity]:
        """Return the identity with which a local actor signs requests."""
        ...

    def key_members(self, identifier: str) -> Op[dict[str, Any]]:
        """Return the members of a local actor's document that publish its keys."""
        ...

    def signer(self) -> Op[RequestSigner | None]:
        """Return the proved signer of the request that is being answered."""
        ...

    def find_own(self, text: str, /) -> Op[LookupResult | None]:
        """Find an actor or a document of ours by its name; None for the name of another server."""
        ...

    def describe_own(self, resource: str, /) -> Op[Descriptor | None]:
        """Return our WebFinger answer about a resource; None for the resource of another server."""
        ...


class NoServices:
    """The services of a unit of work that belongs to no site: there are none."""

    @property
    def request(self) -> Request | None:
        """Return None: there is no request."""
        return None

    @property
    def federation(self) -> Any:
        """Raise: there is no federation."""
        raise _no_site()

    def identity_of(self, identifier: str) -> Op[Identity]:
        """Raise: there are no actors."""
        yield from ()  # an operation without effects
        raise _no_site(f", so it has no actor {identifier!r:.60}")

    def key_members(self, identifier: str) -> Op[dict[str, Any]]:
        """Raise: there are no actors."""
        yield from ()  # an operation without effects
        raise _no_site(f", so it has no actor {identifier!r:.60}")

    def signer(self) -> Op[RequestSigner | None]:
        """Return None: there is no request."""
        yield from ()  # an operation without effects
        return None

    def find_own(self, _text: str, /) -> Op[LookupResult | None]:
        """Return None: every name is that of another server."""
        yield from ()  # an operation without effects
        return None

    def describe_own(self, _resource: str, /) -> Op[Descriptor | None]:
        """Return None: every resource is that of another server."""
        yield from ()  # an operation without effects
        return None


NO_SERVICES: Final = NoServices()


def _no_site(consequence: str = "") -> ContractError:
    return ContractError(f"this handler runs for no origin{consequence}")
