"""Keep store and queue in one PostgreSQL database, with psycopg 3: the extra ``postgres``.

`open_url` opens ``postgresql://`` URLs. Importing this package needs no psycopg.
"""

from apcore.adapters.postgres.urls import open_url

__all__ = ["open_url"]
