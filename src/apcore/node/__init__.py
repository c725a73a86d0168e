"""Bind a federation to its origin and its ports: `Node` for blocking programs, `AsyncNode` for event loops.

A federation defines the behaviour. A node adds the place and the means: an origin (or several, or none for a node that
only fetches), a store, a queue, a transport, and the application's data. Both nodes run the same operations.

A store is named by a URL (``sqlite:///social.db``, ``memory:``) and found by its entry point. The runtime and the
transport are found by entry point too, unless you pass others. A node closes the ports that it has opened, and leaves
open the ports that you passed.
"""

from apcore.federation.serving.incoming_request import Elsewhere, IncomingRequest
from apcore.federation.serving.request_head import RequestHead
from apcore.node.asynchronous import AsyncNode
from apcore.node.binding import AsyncNodeOptions, NodeOptions
from apcore.node.blocking import Node
from apcore.node.port_urls import open_signer, open_store

__all__ = [
    "AsyncNode",
    "AsyncNodeOptions",
    "Elsewhere",
    "IncomingRequest",
    "Node",
    "NodeOptions",
    "RequestHead",
    "open_signer",
    "open_store",
]
