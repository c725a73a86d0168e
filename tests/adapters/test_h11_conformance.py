"""Check that both h11 transports keep the transport contract."""

from __future__ import annotations

import pytest

from apcore.adapters.h11 import AsyncH11Transport, H11Transport
from apcore.testing.transport import transport_checks


@pytest.mark.hole(3, 24, 59)
@pytest.mark.parametrize("make", [H11Transport, AsyncH11Transport], ids=["blocking", "asyncio"])
@pytest.mark.parametrize("check", transport_checks(), ids=str)
def test_h11_transport_keeps_the_contract(check, make):
    check(lambda resolver: make(resolver=resolver))
