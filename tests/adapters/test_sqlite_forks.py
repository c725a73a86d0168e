"""Check an SQLite store across ``fork``: parent and child open their own connections, and no reported commit is lost.

Each program runs in a process of its own, because a fork copies everything that a test run has open.
"""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

_START = """
import ctypes, os, sqlite3, sys, threading
from apcore.adapters.sqlite import SqliteStore
from apcore.errors import StoreUnavailable
from apcore.ports import Increment, Message, Put

path = sys.argv[1]
store = SqliteStore(path)

def add(times=1):
    for _ in range(times):
        assert store.commit([], [Increment(("n",), 1)], token=os.urandom(16))

def n():
    [entry] = store.get([("n",)])
    return entry.value.decode()

def child(job, *, fork=os.fork):
    pid = fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status)
    try:
        job()
        sys.stdout.flush()
    except BaseException as error:
        print("child failed:", repr(error), flush=True)
        os._exit(1)
    os._exit(0)

def locks():
    with open("/proc/locks") as lines:
        return sum(f" {os.getpid()} " in line for line in lines)

"""


def run(program, path):
    command = [sys.executable, "-W", "error", "-c", _START + dedent(program), str(path)]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert completed.stderr == ""
    return completed.stdout.splitlines()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.db"


def test_parent_and_child_use_the_store_in_any_order(path):
    program = """
    add()
    assert child(lambda: (add(), print(n()))) == 0
    add()
    assert child(lambda: (print(n()), add(), store.close(), add())) == 0
    print(n())
    store.close()
    """
    assert run(program, path) == ["2", "3", "5"]


def test_parent_that_closes_does_not_delete_the_log_of_its_child(path):
    """Close in the parent while the child writes. The child's connection and its locks are its own."""
    program = """
    add()
    to_child, from_parent = os.pipe()[::-1]
    to_parent, from_child = os.pipe()[::-1]
    if os.fork() == 0:
        add()
        if sys.platform == "linux":
            assert locks() > 0
        os.write(to_parent, b"x")
        assert os.read(from_parent, 1) == b"x"
        add()
        os._exit(0)
    assert os.read(from_child, 1) == b"x"
    print(n())
    store.close()
    os.write(to_child, b"x")
    _, status = os.wait()
    assert status == 0
    print(n())
    store.close()
    with sqlite3.connect(path) as other:
        print(other.execute("PRAGMA integrity_check").fetchone()[0])
    other.close()
    """
    assert run(program, path) == ["2", "3", "ok"]


def test_bare_connections_lose_commits_after_a_fork(path):
    """Show why connections are closed before a fork. If SQLite ever changes this, `forks.py` may become simpler."""
    program = """
    first = sqlite3.connect(path, isolation_level=None)
    first.execute("PRAGMA journal_mode = WAL")
    first.execute("CREATE TABLE a (x)")
    to_child, from_parent = os.pipe()[::-1]
    to_parent, from_child = os.pipe()[::-1]
    if os.fork() == 0:
        second = sqlite3.connect(path, isolation_level=None)
        second.execute("INSERT INTO a VALUES (1)")
        os.write(to_parent, b"x")
        os.read(from_parent, 1)
        second.execute("INSERT INTO a VALUES (2)")
        os._exit(0)
    os.read(from_child, 1)
    first.close()
    os.write(to_child, b"x")
    os.wait()
    first = sqlite3.connect(path)
    print(first.execute("SELECT x FROM a").fetchall())
    first.close()
    """
    assert run(program, path) == ["[(1,)]"]


def test_threads_may_write_while_another_forks(path):
    program = """
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of forks beside threads
    threads = [threading.Thread(target=add, args=(100,)) for _ in range(3)]
    readers = [threading.Thread(target=lambda: [n() for _ in range(300)]) for _ in range(2)]
    add()
    for thread in threads + readers:
        thread.start()
    for _ in range(5):
        assert child(lambda: add(10)) == 0
    for thread in threads + readers:
        thread.join()
    print(n())
    store.close()
    """
    assert run(program, path) == ["351"]


def test_grandchildren_and_pool_workers_use_the_store(path):
    program = """
    import multiprocessing
    add()
    assert child(lambda: (add(), child(add), add())) == 0
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(add, [5, 5, 5, 5])
        pool.close()
        pool.join()
    print(n())
    store.close()
    """
    assert run(program, path) == ["24"]


def test_store_in_a_child_of_a_foreign_fork_is_refused(path):
    program = """
    libc = ctypes.CDLL(None)
    add()
    def use():
        for call in (n, add):
            try:
                call()
            except StoreUnavailable as error:
                print(error)
        store.close()
    assert child(use, fork=libc.fork) == 0
    add()
    print(n())
    store.close()
    print(child(lambda: print(n()), fork=libc.fork))
    """
    refusal_prefix = f"sqlite file {path} was open when this process was forked"
    *refusals, parent_value, in_child, exit_code = run(program, path)
    assert [line.startswith(refusal_prefix) for line in refusals] == [True, True]
    assert (parent_value, in_child, exit_code) == ("2", "2", "0")


def test_fork_during_a_long_call_leaves_the_child_without_the_store(path):
    program = """
    import warnings
    import apcore.adapters.sqlite.store as module
    warnings.simplefilter("ignore", DeprecationWarning)
    module._FORK_S_MAX = 0.02
    add()
    started, may_end = threading.Event(), threading.Event()
    def slow(cursor, now):
        started.set()
        may_end.wait(60)
        cursor.execute("DELETE FROM apcore_entry")
    writer = threading.Thread(target=store._write, args=(slow,))
    writer.start()
    started.wait()
    def use():
        try:
            add()
        except StoreUnavailable as error:
            print(error)
        store.close()
    assert child(use) == 0
    may_end.set()
    writer.join()
    print(store.get([("n",)]))
    add()
    print(n())
    store.close()
    print(os.listdir(os.path.dirname(path)))
    """
    refusal, *parent_lines = run(program, path)
    assert refusal.startswith(f"sqlite file {path} was open when this process was forked")
    assert parent_lines == ["[None]", "1", "['a.db']"]


def test_fork_waits_for_a_commit_under_way(path):
    program = """
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    add()
    started, may_end = threading.Event(), threading.Event()
    def slow(cursor, now):
        started.set()
        may_end.wait(60)
        cursor.execute("DELETE FROM apcore_entry")
    writer = threading.Thread(target=store._write, args=(slow,))
    writer.start()
    started.wait()
    timer = threading.Timer(0.05, may_end.set)
    timer.start()
    assert child(lambda: print(store.get([("n",)]))) == 0
    writer.join()
    timer.join()
    store.close()
    """
    assert run(program, path) == ["[None]"]
