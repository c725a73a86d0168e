"""Open transactions of an application on PostgreSQL, by each library: psycopg, SQLAlchemy and Django.

Each function takes a site: ``dsn`` (the parameters of psycopg), ``sqlalchemy_url``, and ``alias``, a name for Django.
It yields the object that the application would pass to `Node.enlist`, and a function that runs a statement.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager

import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

__all__ = ["ASYNC_TRANSACTIONS", "TRANSACTIONS", "django_transaction"]


@contextmanager
def psycopg_transaction(site):
    with psycopg.connect(**site.dsn) as connection, connection.transaction():
        yield connection, connection.execute


@contextmanager
def autocommit_transaction(site):
    with psycopg.connect(**site.dsn, autocommit=True) as connection, connection.transaction():
        yield connection, connection.execute


@contextmanager
def session_transaction(site):
    engine = sa.create_engine(site.sqlalchemy_url)
    try:
        with Session(engine) as session, session.begin():
            yield session, lambda statement: session.execute(sa.text(statement))
    finally:
        engine.dispose()


@contextmanager
def core_transaction(site):
    engine = sa.create_engine(site.sqlalchemy_url)
    try:
        with engine.begin() as connection:
            yield connection, connection.exec_driver_sql
    finally:
        engine.dispose()


@contextmanager
def django_transaction(site):
    import django
    from django.apps import apps
    from django.conf import settings
    from django.db import connections, transaction

    if not settings.configured:
        settings.configure()
    if not apps.ready:
        django.setup()
    connections.databases[site.alias] = {
        **connections.databases.get("default", {}),
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "site",
        "USER": "site",
        "PASSWORD": "",
        "HOST": site.dsn["host"],
        "PORT": "",
        "OPTIONS": {},
        "AUTOCOMMIT": True,
        "ATOMIC_REQUESTS": False,
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": False,
        "TIME_ZONE": None,
        "TEST": {},
    }
    connection = connections[site.alias]
    try:
        with transaction.atomic(using=connection.alias):
            yield connection, lambda statement: connection.cursor().execute(statement)
    finally:
        connection.close()


@asynccontextmanager
async def async_psycopg_transaction(site):
    async with await psycopg.AsyncConnection.connect(**site.dsn) as connection, connection.transaction():
        yield connection, connection.execute


@asynccontextmanager
async def async_session_transaction(site):
    engine = create_async_engine(site.sqlalchemy_url)
    try:
        async with AsyncSession(engine) as session, session.begin():
            yield session, lambda statement: session.execute(sa.text(statement))
    finally:
        await engine.dispose()


@asynccontextmanager
async def async_core_transaction(site):
    engine = create_async_engine(site.sqlalchemy_url)
    try:
        async with engine.begin() as connection:
            yield connection, connection.exec_driver_sql
    finally:
        await engine.dispose()


TRANSACTIONS = {
    "psycopg": psycopg_transaction,
    "psycopg-autocommit": autocommit_transaction,
    "sqlalchemy-session": session_transaction,
    "sqlalchemy-core": core_transaction,
    "django": django_transaction,
}
ASYNC_TRANSACTIONS = {
    "psycopg": async_psycopg_transaction,
    "sqlalchemy-session": async_session_transaction,
    "sqlalchemy-core": async_core_transaction,
}
