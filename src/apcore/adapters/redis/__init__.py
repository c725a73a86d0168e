"""Keep store and queue in one Redis server, with redis-py: the extra ``redis``.

`open_url` opens ``redis://`` URLs. Importing this package needs no redis-py.
"""

from apcore.adapters.redis.urls import open_url

__all__ = ["open_url"]
