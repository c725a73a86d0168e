"""Send HTTP requests with h11: `Transport`, blocking and on asyncio, as two loops over one conversation.

There is no proxy option: with a proxy, the checked address must be used in the `CONNECT` request, which is not
implemented. If you use a proxy, write your own `Transport` and return "delegated" from `checks_addresses`.
"""

from apcore.adapters.h11.asynchronous import AsyncH11Transport
from apcore.adapters.h11.blocking import H11Transport
from apcore.adapters.h11.connection_parties import PoolBounds
from apcore.adapters.h11.resolver import Resolver, system_resolver

__all__ = ["AsyncH11Transport", "H11Transport", "PoolBounds", "Resolver", "system_resolver"]
