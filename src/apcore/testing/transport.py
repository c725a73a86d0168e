"""Test transports, blocking and on asyncio, against the contract of `apcore.ports.Transport`.

The server does its worst. A check is called with a function that makes a transport around a resolver (from a host name
to its addresses), so that names can lie::

    @pytest.mark.parametrize("check", transport_checks(), ids=str)
    def test_my_transport_keeps_the_contract(check):
        check(lambda resolver: MyTransport(resolver=resolver))

Everything happens on 127.0.0.1. Nothing sleeps: timeouts are tested with deadlines of a fraction of a second. A check
that fails raises `AssertionError` with an explanation, or passes on the transport's own error.
"""

from __future__ import annotations

from apcore.testing._transport_addresses import ADDRESSES
from apcore.testing._transport_bench import TransportCheck, make_check
from apcore.testing._transport_content import CONTENT
from apcore.testing._transport_faults import FAULTS
from apcore.testing._transport_limits import LIMITS

__all__ = ["transport_checks"]


def transport_checks() -> tuple[TransportCheck, ...]:
    """Return the checks, one per rule of the contract."""
    return tuple(make_check(run) for run in (*CONTENT, *ADDRESSES, *LIMITS, *FAULTS))
