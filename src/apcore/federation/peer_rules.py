"""Register the rules for peers: the answer to follow requests, and the domains that are suspended or limited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, overload

from typing_extensions import TypeVar

from apcore.effects import Op
from apcore.errors import ConfigurationError, ContractError
from apcore.federation.context import AsyncContext, Context, OpContext
from apcore.federation.moderation import DomainRule, DomainRules, Severity
from apcore.federation.name_registration import NameRegistration
from apcore.federation.policies import FollowVerdict
from apcore.federation.routes import Registered
from apcore.handlers import HandlerKind, handler_name
from apcore.vocab import Follow

__all__ = ["PeerRules"]

Data = TypeVar("Data", default=None)


class PeerRules(NameRegistration[Data]):
    """The part of a `Federation` that registers the rules for peers."""

    def __init__(self, *, shared_inbox: str, instance_actor: str) -> None:
        super().__init__(shared_inbox=shared_inbox, instance_actor=instance_actor)
        self._follows: FollowVerdict | Registered | None = None
        self._domains: DomainRules | Callable[[str], Severity | None] = DomainRules()

    @overload
    def follows(self, policy: FollowVerdict, /) -> FollowVerdict: ...
    @overload
    def follows(
        self, policy: Callable[[AsyncContext[Data], Follow], Coroutine[Any, Any, FollowVerdict]], /
    ) -> Callable[[AsyncContext[Data], Follow], Coroutine[Any, Any, FollowVerdict]]: ...
    @overload
    def follows(
        self, policy: Callable[[OpContext[Data], Follow], Op[FollowVerdict]], /
    ) -> Callable[[OpContext[Data], Follow], Op[FollowVerdict]]: ...
    @overload
    def follows(
        self, policy: Callable[[Context[Data], Follow], FollowVerdict], /
    ) -> Callable[[Context[Data], Follow], FollowVerdict]: ...
    def follows(self, policy: Any, /) -> Any:
        """Set the answer to follow requests: one `FollowVerdict` for all, or a handler ``(ctx, follow)`` that decides.

        By default, all are accepted. You can use this as a decorator.

        Raises:
            ConfigurationError: A policy is already set, or the handler does not have this form.
        """
        self._check_open("follows")
        if self._follows is not None:
            raise ConfigurationError("follows has a policy already")
        self._follows = policy if isinstance(policy, FollowVerdict) else self._registered(policy, takes=2)
        return policy

    def blocks(self, rules: DomainRules | Callable[[str], Severity | None], /) -> None:
        """Set the rules by domain that stand in the code. `Node.block_domain` adds rules while the server runs.

        They apply to every outgoing request, to senders of activities, and to clients that sign a GET.

        A function gets a host (lower case, A-labels), and returns its severity, or None to leave it to the stored
        rules. Its answer counts as a rule for this very host. It is called for each request, so it must not wait: let
        it look into memory, or use stored rules.

        Raises:
            ConfigurationError: ``rules`` are neither `DomainRules` nor a plain function of one argument.
        """
        self._check_open("blocks")
        if not isinstance(rules, DomainRules):
            if not callable(rules):
                raise ConfigurationError(f"blocks takes DomainRules or a function, not {rules!r:.60}")
            if self._registered(rules, takes=1).handler_kind is not HandlerKind.PLAIN:
                raise ConfigurationError(f"{handler_name(rules)} decides about a host at once: write a plain function")
        self._domains = rules

    def domain_rule_for(self, host: str, /) -> DomainRule | None:
        """Return the rule of the code that decides about ``host`` (lower case, A-labels). Stored rules do not count.

        Raises:
            ContractError: The function that decides returned something else than a `Severity` or None.
        """
        if isinstance(self._domains, DomainRules):
            return self._domains.rule_for(host)
        severity: object = self._domains(host)
        if severity is None:
            return None
        if not isinstance(severity, Severity):
            raise ContractError(f"{handler_name(self._domains)} returned {severity!r:.60}, not a Severity or None")
        return DomainRule(host, severity)

    @property
    def follow_verdict(self) -> FollowVerdict | Registered:
        """The verdict for all follow requests, or the handler that decides."""
        return FollowVerdict.ACCEPT if self._follows is None else self._follows
