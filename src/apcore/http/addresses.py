"""Where a request may go: the address policy, and what it says of names, ports and addresses."""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["PUBLIC_ONLY", "AddressPolicy"]


@frozen(kw_only=True)
class AddressPolicy:
    """Where requests may go. The default is the public Internet over HTTPS."""

    plain_http: bool = False
    """Whether `http` URLs may be fetched at all."""
    loopback: bool = False
    """Whether 127.0.0.0/8, ::1 and the name `localhost` are open, for development and tests."""
    networks: tuple[str, ...] = ()
    """Networks in CIDR notation that are open although they are not public."""
    hosts: frozenset[str] = frozenset()
    """Names (lower-case A-labels) that the operator vouches for: neither their form nor their addresses are judged."""
    high_ports: bool = True
    """Whether ports from 1024 up are open, save those of well-known services that speak no HTTP."""
    ports: frozenset[int] = frozenset()
    """Further ports that are open, below 1024 or not."""


PUBLIC_ONLY: Final = AddressPolicy()
"""The public Internet over HTTPS: the policy of every request that names no other."""
