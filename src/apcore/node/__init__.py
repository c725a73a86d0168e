"""`Node` and `AsyncNode`: a federation bound to an origin and to ports.

A federation says how; a node says where, and with what: an origin (or several, or none for a node that only pulls), a store, a queue, a way to
the network, the application's data. The two nodes are thin twins over the same operations.

Stores are named by URL (``sqlite:///social.db``, ``memory:``) and found by entry point, as are the runtime and the transport that a node uses
unless it is given others. Ports that the node opened are closed with it; ports that were handed to it are not.
"""

from apcore.node.asynchronous import AsyncNode
from apcore.node.binding import AsyncNodeOptions, NodeOptions
from apcore.node.blocking import Node
from apcore.node.port_urls import open_signer, open_store

__all__ = ["AsyncNode", "AsyncNodeOptions", "Node", "NodeOptions", "open_signer", "open_store"]
