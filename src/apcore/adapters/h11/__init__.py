"""`Transport` over h11, blocking and on asyncio: two loops over one conversation.

Without a proxy option: a proxy would have to be given checked addresses and hold the policy, which a `CONNECT` by address does; until that is
written, an operator with a proxy brings their own `Transport` and says `checks_addresses = "delegated"`.
"""

from apcore.adapters.h11.asynchronous import AsyncH11Transport
from apcore.adapters.h11.blocking import H11Transport
from apcore.adapters.h11.party import PoolBounds
from apcore.adapters.h11.resolving import Resolver, system_resolver

__all__ = ["AsyncH11Transport", "H11Transport", "PoolBounds", "Resolver", "system_resolver"]
