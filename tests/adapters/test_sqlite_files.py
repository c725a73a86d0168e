"""Check the file of an SQLite store: its URL, creation, opening, refusals and closing."""

from __future__ import annotations

import gc
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
from contextlib import closing
from pathlib import Path

import pytest

from apcore.adapters.sqlite import SqliteStore, open_url
from apcore.adapters.sqlite.schema import FORMAT, format_of, migrate
from apcore.errors import ConfigurationError, QueueUnavailable, StoreUnavailable
from apcore.ports import Increment, Message, Put

TOKEN = bytes(16)
KEY = ("a",)


def connect(path, **options):
    return closing(sqlite3.connect(path, isolation_level=None, **options))


def put(store, value=b"1", token=TOKEN):
    assert store.commit([], [Put(KEY, value)], token=token)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [("sqlite:///a.db", "a.db"), ("sqlite:///a/b.db", "a/b.db"), ("sqlite:///a%3Fb%20%23.db", "a?b #.db")],
    ids=["plain", "folder", "encoded"],
)
def test_relative_url_is_resolved_when_the_store_is_made(url, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_url(url)
    monkeypatch.chdir("/")
    assert store.path == tmp_path / name


def test_absolute_url_has_four_slashes(tmp_path):
    store = open_url(f"sqlite:///{tmp_path}/a.db")
    put(store)
    store.close()
    assert (tmp_path / "a.db").exists()


def test_store_by_url_creates_no_file_before_its_first_use(tmp_path):
    open_url(f"sqlite:///{tmp_path}/a.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("query", "durability", "pragma"),
    [("", "power", 2), ("?synchronous=full", "power", 2), ("?synchronous=normal&busy_timeout_s=1.5", "process", 1)],
    ids=["default", "full", "normal"],
)
def test_durability_follows_the_options(query, durability, pragma, tmp_path):
    store = open_url(f"sqlite:///{tmp_path}/a.db{query}")
    assert store.durability == durability
    with closing(store):
        in_effect = store._write(lambda cursor, _: cursor.execute("PRAGMA synchronous").fetchall())
        assert in_effect == [(pragma,)]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:", "sqlite:///relative.db"),
        ("sqlite:///", "sqlite:///relative.db"),
        ("sqlite://relative.db", "sqlite:///relative.db"),
        ("postgres:///a.db", "sqlite:///relative.db"),
        ("sqlite:///a.db#b", "%23"),
        ("sqlite:///:memory:", "memory:"),
        ("sqlite:///a%00b", "names no file"),
        ("sqlite:///a.db?sync=full", "unknown option 'sync'"),
        ("sqlite:///a.db?synchronous=off", "'full' or 'normal', not 'off'"),
        ("sqlite:///a.db?busy_timeout_s=soon", "soon"),
        ("sqlite:///a.db?busy_timeout_s=-1", "0 to 3600, not -1"),
        ("sqlite:///a.db?busy_timeout_s=nan", "0 to 3600, not nan"),
        ("sqlite:///a.db?synchronous", "synchronous"),
    ],
)
def test_malformed_url_is_refused(url, words):
    with pytest.raises(ConfigurationError) as caught:
        open_url(url)
    assert words in str(caught.value)
    assert url in str(caught.value)


# --- creation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777], ids=oct)
def test_new_files_are_private_with_any_umask(umask, tmp_path):
    old_umask = os.umask(umask)
    try:
        store = SqliteStore(tmp_path / "a.db")
        put(store)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(old_umask)
    assert modes == {"a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}


def test_existing_file_keeps_its_mode_and_its_tables(tmp_path):
    path = tmp_path / "site.db"
    with connect(path) as site:
        site.execute("CREATE TABLE article (title)")
        path.chmod(0o640)
    with closing(SqliteStore(path)) as store:
        put(store)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with connect(path) as site:
        assert site.execute("SELECT count(*) FROM article").fetchall() == [(0,)]


def test_many_stores_may_open_a_new_file_at_once(tmp_path):
    stores = [SqliteStore(tmp_path / "a.db") for _ in range(8)]
    ready = threading.Barrier(len(stores))

    def count(store):
        ready.wait()
        store.commit([], [Increment(KEY, 1)], token=os.urandom(16))

    threads = [threading.Thread(target=count, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {store.get([KEY])[0].value for store in stores} == {b"8"}
    for store in stores:
        store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


# --- formats --------------------------------------------------------------------------------------------------------


def test_newer_format_is_refused(tmp_path):
    with closing(SqliteStore(tmp_path / "a.db")) as store:
        put(store)
    with connect(tmp_path / "a.db") as other:
        other.execute("UPDATE apcore_format SET format = 99")
    with closing(SqliteStore(tmp_path / "a.db")) as store:
        for call in (lambda: store.get([KEY]), lambda: put(store, b"2")):
            with pytest.raises(StoreUnavailable, match=r"format 99.*newer apcore.*up to") as caught:
                call()
            assert str(tmp_path) in str(caught.value)
            assert caught.value.outcome == "nothing"
    with connect(tmp_path / "a.db") as other:
        other.execute("UPDATE apcore_format SET format = ?", (FORMAT,))
    with closing(SqliteStore(tmp_path / "a.db")) as store:
        assert store.get([KEY])[0].value == b"1"


def test_older_format_is_migrated_by_the_missing_steps():
    first = ["CREATE TABLE apcore_format (format)", "INSERT INTO apcore_format VALUES (0)", "CREATE TABLE a (x)"]
    second = ["INSERT INTO a VALUES ('second')"]
    with connect(":memory:") as connection:
        migrate(connection, [first])
        assert format_of(connection) == 1
        for _ in range(2):  # the second time there is nothing to do
            migrate(connection, [first, second])
            assert connection.execute("SELECT * FROM a").fetchall() == [("second",)]
            assert format_of(connection, newest=2) == 2


# --- unusable files ------------------------------------------------------------------------------------------------


def folder(path):
    path.mkdir()


def text(path):
    path.write_bytes(b"This is a letter, and no database at all. " * 100)


def damaged(path):
    with closing(SqliteStore(path)) as store:
        put(store, bytes(3000))
        store.enqueue([Message(TOKEN, "lane", b"")])
    content = bytearray(path.read_bytes())
    content[100:] = b"\xa5" * (len(content) - 100)
    path.write_bytes(content)


def stripped(path):
    with closing(SqliteStore(path)) as store:
        put(store)
    with connect(path) as other:
        other.execute("DROP TABLE apcore_entry")
        other.execute("DROP TABLE apcore_message")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (folder, "cannot be opened"),
        (text, "not an SQLite database"),
        (damaged, "damaged"),
        (stripped, "tables of apcore are missing"),
    ],
)
def test_unusable_file_is_store_unavailable(spoil, words, tmp_path):
    path = tmp_path / "a.db"
    spoil(path)
    with closing(SqliteStore(path)) as store:
        for call in (lambda: store.get([KEY]), lambda: put(store)):
            with pytest.raises(StoreUnavailable, match=words) as caught:
                call()
            assert str(path) in str(caught.value)
            assert caught.value.outcome == "nothing"
        for call in (lambda: store.enqueue([Message(TOKEN, "lane", b"")]), lambda: store.depth(["lane"])):
            with pytest.raises(QueueUnavailable, match=words):
                call()


def test_missing_directory_is_unavailable_until_it_exists(tmp_path):
    with closing(SqliteStore(tmp_path / "later" / "a.db")) as store:
        with pytest.raises(StoreUnavailable, match="cannot be created: No such file or directory"):
            put(store)
        (tmp_path / "later").mkdir()
        put(store)


_AS_NOBODY = """
import os, sys
from apcore.adapters.sqlite import SqliteStore
from apcore.errors import StoreUnavailable
from apcore.ports import Put
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
store = SqliteStore(sys.argv[1])
for call in (lambda: store.get([("a",)]), lambda: store.commit([], [Put(("a",), b"2")], token=bytes(16))):
    try:
        print("read", call()[0].value)
    except StoreUnavailable as error:
        print(error.outcome, error)
store.close()
"""


def test_read_only_file_can_be_read_but_refuses_commits():
    # Root may write every file, so this runs as another user, in a directory that others may enter.
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o777)
        path = Path(directory, "a.db")
        with closing(SqliteStore(path)) as store:
            put(store)
            path.chmod(0o444)
            for name in ("a.db-wal", "a.db-shm"):
                Path(directory, name).chmod(0o666)
            program = [sys.executable, "-c", _AS_NOBODY, str(path)]
            answer = subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()
    assert answer[0] == "read b'1'"
    assert answer[1].startswith("nothing sqlite file")
    assert "read-only" in answer[1]


# --- closing --------------------------------------------------------------------------------------------------------


def test_close_closes_all_connections_and_a_later_call_reopens(tmp_path):
    store = SqliteStore(tmp_path / "a.db")
    put(store)
    threads = [threading.Thread(target=store.get, args=([KEY],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]  # the last to close takes the log away
    assert store.get([KEY])[0].value == b"1"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.close()
        del store, threads
        gc.collect()


def test_no_open_statement_prevents_a_reset_of_the_log(tmp_path):
    with closing(SqliteStore(tmp_path / "a.db")) as store:
        for number in range(30):
            assert store.commit([], [Put(("a", str(number)), bytes(900))], token=TOKEN)
        assert len(store.scan(("a",), limit=10)) == 10
        assert store.get([("a", "1"), ("a", "2")])[0]
        with connect(tmp_path / "a.db") as other:
            busy, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert busy == 0


def test_close_during_use_loses_no_commit(tmp_path):
    store = SqliteStore(tmp_path / "a.db", synchronous="normal")
    is_finished = threading.Event()

    def count():
        for _ in range(200):
            assert store.commit([], [Increment(KEY, 1)], token=os.urandom(16))
            assert store.get([KEY])[0]

    def close():
        while not is_finished.is_set():
            store.close()

    closer = threading.Thread(target=close)
    counters = [threading.Thread(target=count) for _ in range(3)]
    for thread in (closer, *counters):
        thread.start()
    for thread in counters:
        thread.join()
    is_finished.set()
    closer.join()
    assert store.get([KEY])[0].value == b"600"
    store.close()


# --- expiry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 10_000], ids=["beside its key", "apart"])
def test_commit_removes_a_bounded_number_of_expired_entries(size, tmp_path):
    now = 1000.0
    with closing(SqliteStore(tmp_path / "a.db", clock=lambda: now)) as store:
        for number in range(50):
            assert store.commit([], [Put(("old", str(number)), bytes(size), ttl_s=1)], token=TOKEN)

        def count_rows():
            with connect(tmp_path / "a.db") as other:
                entries = other.execute("SELECT count(*) FROM apcore_entry").fetchone()[0]
                values = other.execute("SELECT count(*) FROM apcore_value").fetchone()[0]
            return entries, values

        now = 1002.0
        counts = [count_rows()]
        for number in range(3):
            assert store.commit([], [Put(("new", str(number)), b"")], token=TOKEN)
            counts.append(count_rows())
        separate_values = 50 if size > 512 else 0
        assert counts[0] == (50, separate_values)
        assert counts[1] == (50 - 32 + 1, max(0, separate_values - 32))
        assert counts[2:] == [(2, 0), (3, 0)]


@pytest.mark.parametrize("sizes", [(10, 600), (600, 10), (600, 700, 9000), (0, 512), (513, 0), (600, 1, 700)], ids=str)
def test_replaced_value_is_removed(sizes, tmp_path):
    with closing(SqliteStore(tmp_path / "a.db")) as store:
        for size in sizes:
            put(store, bytes(size))
            assert store.get([KEY])[0].value == bytes(size)
        with connect(tmp_path / "a.db") as other:
            [(values,)] = other.execute("SELECT count(*) FROM apcore_value").fetchall()
        assert values == (sizes[-1] > 512)
