"""Check ``apcore migrate`` on real servers: new, current and newer formats, and interrupted migrations."""

from __future__ import annotations

import json
from contextlib import closing
from types import SimpleNamespace

import psycopg
import pytest

from apcore.adapters.postgres import migration
from apcore.cli import main
from apcore.node import open_store


@pytest.fixture
def run(capsys):
    """Return a function that runs a command, and returns its exit code and output."""

    def run_command(*arguments):
        code = main(list(arguments))
        output = capsys.readouterr()
        return SimpleNamespace(code=code, out=output.out, err=output.err)

    return run_command


@pytest.fixture(params=["postgres", "redis"])
def url(request):
    return request.getfixturevalue(f"{request.param}_server").new_url()


def test_new_store_is_created_once(run, url):
    assert run("migrate", "--store", url, "--check").code == 1
    first, second = run("migrate", "--store", url, "--json"), run("migrate", "--store", url, "--json")
    assert json.loads(first.out) == {"before": 0, "newest": 1, "migrated": True}
    assert json.loads(second.out) == {"before": 1, "newest": 1, "migrated": False}
    assert run("migrate", "--store", url, "--check").code == 0


def test_check_creates_nothing(run, url):
    for _ in range(2):
        answer = run("migrate", "--store", url, "--check")
        assert (answer.code, answer.out) == (1, "the store is in format 0; this release uses 1\n")


def test_newer_format_is_refused(run, postgres_server):
    url = postgres_server.new_url()
    with closing(postgres_server.open(url)) as store:
        store.prepare()
        with postgres_server.connect(autocommit=True) as connection:
            connection.execute(f"UPDATE {store.settings.schema}.format SET format = 99")
    answer = run("migrate", "--store", url)
    assert answer.code == 2
    assert "format 99, written by a newer apcore" in answer.err


def test_store_without_formats_is_refused(run):
    answer = run("migrate", "--store", "memory:")
    assert answer.code == 2
    assert "brought up to date whenever it is opened" in answer.err


def test_interrupted_migration_goes_on_where_it_stopped(monkeypatch, postgres_server, tmp_path):
    """A step that fails leaves the steps before it; the next start repeats only the failed one."""
    url = postgres_server.new_url()
    second, third = tmp_path / "2.sql", tmp_path / "3.sql"
    second.write_text("CREATE TABLE {schema}.extra (a int); INSERT INTO {schema}.extra VALUES (1)")
    third.write_text("UPDATE {schema}.extra SET a = a + 1; SELECT 1/0")
    monkeypatch.setattr(migration, "STEPS", (*migration.STEPS, (str(second),), (str(third),)))
    monkeypatch.setattr(migration, "FORMAT", 3)
    with closing(postgres_server.open(url)) as store:
        with pytest.raises(psycopg.errors.DivisionByZero):
            store.prepare()
        assert store.stored_format() == 2
        third.write_text("UPDATE {schema}.extra SET a = a + 1")
        store.prepare()
        assert store.stored_format() == 3
        with postgres_server.connect(autocommit=True) as connection:
            rows = connection.execute(f"SELECT a FROM {store.settings.schema}.extra").fetchall()
        assert rows == [(2,)]


def test_processes_that_start_together_migrate_once(postgres_server):
    from concurrent.futures import ThreadPoolExecutor

    url = postgres_server.new_url()
    stores = [open_store(url) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda store: store.get([("a",)]), stores)) == [[None]] * 6
    for store in stores:
        store.close()
