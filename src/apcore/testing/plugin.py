"""Provide the pytest fixture ``peer_network``.

pytest loads this plugin wherever apcore is installed, so it imports nothing until the fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from apcore.testing.peer import PeerNetwork

__all__ = ["peer_network"]


@pytest.fixture
def peer_network() -> PeerNetwork:
    """Return an empty network of peers.

    `PeerNetwork.peer` adds one; pass the network to your nodes as their transport.
    """
    from apcore.testing.peer import PeerNetwork

    return PeerNetwork()
