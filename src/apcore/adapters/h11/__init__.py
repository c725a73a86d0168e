"""Send HTTP requests with h11: `Transport`, blocking and on asyncio, as two loops over one conversation.

There is no proxy option: with a proxy, the checked address must be used in the `CONNECT` request, which is not
implemented. If you use a proxy, write your own `Transport` and return "delegated" from `checks_addresses`.
"""

from typing import TYPE_CHECKING, Any

from apcore.adapters.h11.blocking import H11Transport
from apcore.adapters.h11.connection_parties import PoolBounds
from apcore.adapters.h11.resolver import Resolver, system_resolver

if TYPE_CHECKING:
    from apcore.adapters.h11.asynchronous import AsyncH11Transport

__all__ = ["AsyncH11Transport", "H11Transport", "PoolBounds", "Resolver", "system_resolver"]


def __getattr__(name: str) -> Any:
    """Import the transport for event loops on use: asyncio takes as long to import as the rest of an adapter."""
    if name != "AsyncH11Transport":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from apcore.adapters.h11.asynchronous import AsyncH11Transport

    return AsyncH11Transport
