"""The pytest plugin, which comes with apcore: the fixture ``peer_network``.

It is loaded into every run of pytest where apcore is installed, so it imports nothing until the fixture is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from apcore.testing.peer import PeerNetwork

__all__ = ["peer_network"]


@pytest.fixture
def peer_network() -> PeerNetwork:
    """A network of peers, empty at first: `PeerNetwork.peer` makes one, and the network is the transport of the nodes under test."""
    from apcore.testing.peer import PeerNetwork

    return PeerNetwork()
