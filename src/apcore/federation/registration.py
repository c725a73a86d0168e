"""Define `Federation`: the handlers and rules that an application registers.

A federation holds the routes of actors, objects and collections, the handlers that make them, the listeners for
activities, and the rules for peers. It holds no ports, no origin and no state. So one object can serve a web process, a
worker, a test and a simulation. `Node` binds it to ports and an origin.

Register handlers with decorators, at import. A contradiction is refused at once. `check` reports missing registrations.

``Data`` is the type of `Context.data`, a value of the application for all handlers, such as a session factory, a
repository or settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Literal, get_args

from typing_extensions import TypeVar

from apcore.errors import ConfigurationError
from apcore.federation.findings import CheckFinding, Registrations, find_problems
from apcore.federation.listener_registration import ListenerRegistration
from apcore.federation.outgoing_options import (
    StatusMeaning,
    Transformer,
    check_classifier,
    check_statuses,
    check_transformers,
)
from apcore.federation.parts import Router, repeat_registrations
from apcore.federation.policies import (
    AuthorizedFetch,
    DocumentSignature,
    Forwarding,
    Idempotency,
    InboxPolicy,
    KeyPolicy,
    Pushes,
    SeveralActors,
    check_policies,
)
from apcore.federation.retry import DELIVERY_RETRIES, LISTENER_RETRIES, RetryFunction, RetryRules, as_retry_rules
from apcore.federation.routes import Registered
from apcore.federation.subscriptions.schedule import PollPolicy
from apcore.handlers import call_site
from apcore.ports import Durability
from apcore.remote import DEFAULT_BUDGETS, Budgets
from apcore.signatures import DEFAULT, SignaturePolicy, SignatureScheme
from apcore.vocab import Vocabulary

__all__ = ["Federation"]

Data = TypeVar("Data", default=None)

# A product token (RFC 9110 §10.1.5), with the name restricted to the characters that NodeInfo's schema allows.
_SOFTWARE: Final = re.compile(r"([a-z0-9-]+)/([A-Za-z0-9.+_-]+)")


class Federation(ListenerRegistration[Data]):
    """The handlers and rules of a server. Register everything before you make a `Node` of it; later calls are refused.

    Raises:
        ConfigurationError: ``software`` is not written as ``name/version``, ``signatures`` is not a `SignaturePolicy`,
            ``budgets`` are not `Budgets`, ``polls`` is no `PollPolicy`, ``authorized_fetch``, ``forwarding``,
            ``idempotency``, ``pushes``, ``several_actors`` or a member of ``document_signatures`` is an unknown word,
            ``accept_signature`` needs a policy with RFC 9421, or `check_retries` refuses ``listener_retries`` or
            ``delivery_retries``.
    """

    def __init__(
        self,
        *,
        software: str = "apcore/0.1",
        shared_inbox: str = "/inbox",
        instance_actor: str = "/actor",
        signature_scheme: SignatureScheme = "cavage",
        signatures: SignaturePolicy = DEFAULT,
        vocabulary: Vocabulary | None = None,
        unknown_contexts: Literal["ignore", "fetch"] = "ignore",
        budgets: Budgets = DEFAULT_BUDGETS,
        listener_retries: RetryRules | RetryFunction = LISTENER_RETRIES,
        delivery_retries: RetryRules | RetryFunction = DELIVERY_RETRIES,
        permanent_statuses: Collection[int] = (),
        classify_status: Callable[[int], StatusMeaning | None] | None = None,
        transformers: Sequence[Transformer] = (),
        ignore_trailing_slash: bool = False,
        keys: KeyPolicy = KeyPolicy(),  # noqa: B008 - immutable
        inbox: InboxPolicy = InboxPolicy(),  # noqa: B008 - immutable
        authorized_fetch: AuthorizedFetch = "off",
        accept_signature: bool = False,
        document_signatures: Sequence[DocumentSignature] = ("eddsa-jcs-2022",),
        idempotency: Idempotency = "inbox",
        several_actors: SeveralActors = "refuse",
        forwarding: Forwarding = "signed",
        pushes: Pushes = "all",
        polls: PollPolicy = PollPolicy(),  # noqa: B008 - immutable
    ) -> None:
        super().__init__(shared_inbox=shared_inbox, instance_actor=instance_actor)
        software_match = _SOFTWARE.fullmatch(software)
        if software_match is None:
            raise ConfigurationError(
                f"software is written as name/version, the name in a-z, 0-9 and -: not {software!r}"
            )
        self.software_name: Final = software_match[1]
        self.software_version: Final = software_match[2]
        self.signature_scheme: Final = signature_scheme
        if not isinstance(signatures, SignaturePolicy):
            raise ConfigurationError(f"signatures takes a SignaturePolicy, not {signatures!r:.60}")
        self.signature_policy: Final = signatures
        self.vocabulary: Final = vocabulary
        self.unknown_contexts: Final = unknown_contexts
        if not isinstance(budgets, Budgets):
            raise ConfigurationError(f"budgets takes Budgets, not {budgets!r:.60}")
        self.budgets: Final = budgets
        self.listener_retries: Final = as_retry_rules(listener_retries, name="listener_retries")
        self.delivery_retries: Final = as_retry_rules(delivery_retries, name="delivery_retries")
        self.permanent_statuses: Final = check_statuses(permanent_statuses)
        check_classifier(classify_status)
        self.classify_status: Final = classify_status
        self.transformers: Final = check_transformers(transformers)
        self.places.ignores_trailing_slash = bool(ignore_trailing_slash)
        self.key_policy: Final = keys
        self.inbox_policy: Final = inbox
        check_policies(
            authorized_fetch,
            document_signatures,
            idempotency,
            several_actors=several_actors,
            forwarding=forwarding,
            pushes=pushes,
        )
        self.authorized_fetch: Final = authorized_fetch
        if accept_signature and "rfc9421" not in signatures.schemes:
            raise ConfigurationError(
                f"accept_signature needs RFC 9421, which the signature policy {signatures.name!r} does not accept"
            )
        self.accept_signature: Final = accept_signature
        self.document_signatures: Final = frozenset(document_signatures)
        self.idempotency: Final = idempotency
        self.several_actors: Final = several_actors
        self.forwarding: Final = forwarding
        self.pushes: Final = pushes
        if not isinstance(polls, PollPolicy):
            raise ConfigurationError(f"polls takes a PollPolicy, not {polls!r:.60}")
        self.polls: Final = polls

    # --- parts and binding --------------------------------------------------------------------------------------------

    def include(self, router: Router[Any], /, *, prefix: str = "") -> None:
        """Register everything that a router holds, with its paths under ``prefix``.

        Include a router after everything is registered in it: later registrations in it are refused.

        Raises:
            ConfigurationError: ``prefix`` is not written like ``/blog``, or a registration of the router contradicts
                another one. The message names both places.
        """
        self._check_open("include")
        repeat_registrations(router, self, prefix=prefix, site=call_site())

    def check(
        self,
        *,
        blocking: bool | None = None,
        serves: bool = True,
        durability: Durability | None = None,
        has_data: bool | None = None,
    ) -> tuple[CheckFinding, ...]:
        """Return findings about missing, contradictory or risky registrations.

        Describe the node with the arguments; None means unknown. A ``blocking`` node cannot run coroutine functions. A
        node that ``serves`` has an origin. ``durability`` is that of its store. ``has_data`` says whether it is made
        with ``data=``.
        """
        return find_problems(
            Registrations(
                has_actor=self.places.has("actor"),
                named=self.names.registered(profile=self.places.profiles, actor_path=self.places.actor_paths),
                listened=tuple(self._listeners),
                unrouted_collections=[name for name in self._collections if not self.places.has("collection", name)],
                handlers=self._handlers(),
                declared_data=get_args(getattr(self, "__orig_class__", None)),
            ),
            blocking=blocking,
            serves=serves,
            durability=durability,
            has_data=has_data,
        )

    def bind(
        self, *, blocking: bool, serves: bool, durability: Durability | None = None, has_data: bool | None = None
    ) -> tuple[CheckFinding, ...]:
        """Close the registrations, and return the warnings of `check`. `Node` calls this.

        Raises:
            ConfigurationError: `check` reports errors. The message lists all of them.
        """
        findings = self.check(blocking=blocking, serves=serves, durability=durability, has_data=has_data)
        errors = [finding.text for finding in findings if finding.level == "error"]
        if errors:
            raise ConfigurationError("this federation cannot be bound:\n- " + "\n- ".join(errors))
        self._bound_at = self._bound_at or call_site()
        return findings

    def _handlers(self) -> list[Registered]:
        targets = [*self.places.targets(), *self._collections.values()]
        of_routes = [
            handler
            for target in targets
            for handler in (target.handler, target.authorize, *target.form.handlers)
            if handler
        ]
        listeners = list(self._listeners.values())
        policies = [
            handler
            for handler in (
                self._follows,
                self._error_hook,
                self.change_policy,
                self.client_authenticator,
                self.document_hook,
                *self.names.handlers,
                *self.report_hooks.values(),
                self.nodeinfo_handler,
            )
            if isinstance(handler, Registered)
        ]
        return list(dict.fromkeys(of_routes + listeners + policies + self.side_effects.handlers))
