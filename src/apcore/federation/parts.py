"""Define `Router`: register parts of a federation in several files, and include them with a prefix.

A router has every method by which a `Federation` registers something. It records the calls, and `Federation.include`
repeats them on the federation. So a router is checked when it is included, as a part of the whole; the errors name the
place of the registration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic

from attrs import evolve, field, frozen
from typing_extensions import TypeVar

from apcore.errors import ConfigurationError
from apcore.federation.listener_registration import ListenerRegistration
from apcore.handlers import call_site

__all__ = ["REGISTRATIONS", "Router", "repeat_registrations"]

Data = TypeVar("Data", default=None)


REGISTRATIONS: Final = frozenset(
    {
        *("actor", "actor_path", "object", "collection", "managed_collection", "relay"),
        *("handle", "profile", "resource", "link", "links"),
        *("on", "on_error", "side_effect", "switch_off", "subscribe"),
        *("on_delivery_failed", "on_delivery_dead", "on_dead_letter", "on_unverified"),
        *("follows", "blocks", "may_change", "authenticate_client", "on_document", "nodeinfo"),
    }
)
"""The members of a `Federation` that register something."""


@frozen
class _Registration:
    """A recorded call of a registration method, and the functions that its decorator got."""

    name: str
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    site: str
    """The file and the line of the call."""
    functions: list[Callable[..., Any]] = field(factory=list[Callable[..., Any]])

    def under(self, prefix: str) -> _Registration:
        """Return the same call with every path under a prefix."""
        arguments = tuple(_under(prefix, value) for value in self.arguments)
        return evolve(
            self, arguments=arguments, named={key: _under(prefix, value) for key, value in self.named.items()}
        )

    def repeat(self, target: object) -> None:
        """Make the call on a federation."""
        result = getattr(target, self.name)(*self.arguments, **self.named)
        for fn in self.functions:
            result(fn)


if TYPE_CHECKING:
    # Type checkers see the methods of a federation, with their types.
    _Methods = ListenerRegistration
else:

    class _Methods(Generic[Data]):
        def __getattr__(self, name: str) -> Callable[..., Any]:
            if name not in REGISTRATIONS:
                raise AttributeError(f"a Router has no {name!r}: it registers parts of a Federation, and no more")
            return self._recorder(name)


class Router(_Methods[Data]):
    """A part of a federation that is registered in a file of its own.

    It has every method by which a `Federation` registers something, such as `Federation.actor` and `Federation.on`.
    Include it with `Federation.include`, after everything is registered.
    """

    def __init__(self) -> None:
        self._registrations: list[_Registration] = []
        self._included_at: str | None = None

    def include(self, router: Router[Any], /, *, prefix: str = "") -> None:
        """Include another router in this one; see `Federation.include`."""
        site = call_site()
        self._check_open("include", site)
        if router is self:
            raise ConfigurationError("a router cannot include itself")
        self._registrations += take_registrations(router, prefix=prefix, site=site)

    def take(self, site: str) -> list[_Registration]:
        """Return the recorded calls, and refuse later ones. ``site`` is the place where the router is included."""
        self._included_at = self._included_at or site
        return self._registrations

    def _recorder(self, name: str) -> Callable[..., Any]:
        def record(*arguments: Any, **named: Any) -> Any:
            site = call_site()
            self._check_open(name, site)
            registration = _Registration(name, arguments, named, site)
            self._registrations.append(registration)

            def decorate(fn: Callable[..., Any], /) -> Callable[..., Any]:
                self._check_open(name, site)
                registration.functions.append(fn)
                return fn

            # Without a path or a type first, the call itself was the decorator, and got the function.
            is_decorator = not arguments or isinstance(arguments[0], str | type)
            return decorate if is_decorator else arguments[0]

        return record

    def _check_open(self, name: str, site: str = "") -> None:
        if self._included_at is not None:
            raise ConfigurationError(
                f"{name} is registered too late, at {site}: the router was included at {self._included_at}; "
                "include it after everything is registered"
            )


def take_registrations(router: object, *, prefix: str, site: str) -> list[_Registration]:
    """Return the registrations of a router with their paths under ``prefix``, and close the router.

    Raises:
        ConfigurationError: ``router`` is no router, or ``prefix`` is not written like ``/blog``.
    """
    if not isinstance(router, Router):
        raise ConfigurationError(f"include takes a Router, not {router!r:.60}")
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ConfigurationError(
            f"a prefix starts with a slash and does not end with one, such as /blog: not {prefix!r}"
        )
    return [registration.under(prefix) for registration in router.take(site)]


def repeat_registrations(router: object, target: object, *, prefix: str, site: str) -> None:
    """Repeat the registrations of a router on a federation.

    Raises:
        ConfigurationError: As `take_registrations`, or as the registration. The message names both places.
    """
    for registration in take_registrations(router, prefix=prefix, site=site):
        try:
            registration.repeat(target)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} (registered at {registration.site}, included at {site})") from error


def _under(prefix: str, value: Any) -> Any:
    """Return a path under a prefix, and any other value as it is. Only paths begin with a slash."""
    return f"{prefix}{value}" if isinstance(value, str) and value.startswith("/") else value
