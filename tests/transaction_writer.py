"""Write rows and posts in transactions of an application, until `tests/adapters/test_postgres_crash.py` kills it.

Usage: ``python transaction_writer.py LIBRARY KIND STORE HOST TABLE NAME``. Every transaction inserts a row with a title
and publishes a post with the same text. One in four is rolled back. The titles of the committed ones go to standard
output.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from types import SimpleNamespace

import psycopg
import sqlalchemy.exc
from django.db import Error as DjangoError

from apcore import AsyncNode, Federation, Node
from apcore.errors import Unavailable
from apcore.testing.keys import ReusedKeys
from apcore.vocab import Note, Person
from host_transactions import ASYNC_TRANSACTIONS, TRANSACTIONS

ORIGIN = "https://local.example"
PUBLIC = "https://www.w3.org/ns/activitystreams#Public"
REFUSED = (psycopg.Error, sqlalchemy.exc.SQLAlchemyError, DjangoError, Unavailable)
"""A server that is killed ends transactions with these errors."""

federation: Federation[None] = Federation(software="site/1.0")


@federation.actor("/users/{identifier}")
def actor(ctx, identifier):
    return Person(preferred_username=identifier) if identifier == "alice" else None


class RolledBackError(Exception):
    """Ends a transaction."""


def end_transaction(number: int) -> None:
    if number % 4 == 3:
        raise RolledBackError


def write(begin, url: str, site: SimpleNamespace, table: str, name: str) -> None:
    with Node(federation, ORIGIN, url, signer=ReusedKeys()) as node:
        for number in count():
            title = f"{name}-{number}"
            try:
                with begin(site) as (connection, execute):
                    execute(f"INSERT INTO {table} VALUES ('{title}')")
                    with node.enlist(connection) as tx:
                        tx.publish(Note(content=title), by="alice", to=PUBLIC)
                    end_transaction(number)
            except RolledBackError:
                continue
            except REFUSED:
                continue
            os.write(1, f"{title}\n".encode())


async def write_async(begin, url: str, site: SimpleNamespace, table: str, name: str) -> None:
    async with AsyncNode(federation, ORIGIN, url, signer=ReusedKeys()) as node:
        for number in count():
            title = f"{name}-{number}"
            try:
                async with begin(site) as (connection, execute):
                    await execute(f"INSERT INTO {table} VALUES ('{title}')")
                    async with node.enlist(connection) as tx:
                        await tx.publish(Note(content=title), by="alice", to=PUBLIC)
                    end_transaction(number)
            except RolledBackError:
                continue
            except REFUSED:
                continue
            os.write(1, f"{title}\n".encode())


def main(library: str, kind: str, url: str, host: str, table: str, name: str) -> None:
    site = SimpleNamespace(
        dsn={"host": host, "user": "site", "dbname": "site"},
        sqlalchemy_url=f"postgresql+psycopg://site@/site?host={host}",
        alias="site",
    )
    if kind == "async":
        asyncio.run(write_async(ASYNC_TRANSACTIONS[library], url, site, table, name))
    else:
        write(TRANSACTIONS[library], url, site, table, name)


if __name__ == "__main__":
    main(*sys.argv[1:])
