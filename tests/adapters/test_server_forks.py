"""Check that stores on servers keep working in a forked child and in its parent, each on connections of its own."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from apcore.node import open_store
from apcore.ports import Increment

N = ("n",)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("engine", ["postgres", "redis"])
def test_parent_and_child_use_connections_of_their_own(engine, request):
    server = request.getfixturevalue(f"{engine}_server")
    with closing(open_store(server.new_url())) as store:
        assert store.commit([], [Increment(N, 1)], token=os.urandom(16))
        store.wait(["lane"], timeout_s=0.01)  # opens a connection that listens
        child = os.fork()
        if child == 0:
            try:
                ends_well = all(store.commit([], [Increment(N, 1)], token=os.urandom(16)) for _ in range(20))
                store.wait(["lane"], timeout_s=0.01)
            except BaseException:
                ends_well = False
            os._exit(0 if ends_well else 1)
        for _ in range(20):
            assert store.commit([], [Increment(N, 1)], token=os.urandom(16))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        store.wait(["lane"], timeout_s=0.01)
        [entry] = store.get([N])
        assert entry.value == b"41"
