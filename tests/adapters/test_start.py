"""A program starts without what it does not use."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from apcore.node.port_urls import _OWN_ADAPTERS, entry_point
from source_tree import MODULES

START = (
    "import sys; from apcore import Federation, Node; "
    "Node(Federation(software='a/1'), 'https://a.example', 'sqlite:///{path}'); print(*sys.modules)"
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    path = tmp_path_factory.mktemp("start") / "social.db"
    command = [sys.executable, "-c", START.format(path=path)]
    return set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())


@pytest.mark.parametrize("name", ["asyncio", "trio", "pyld", "lxml", "importlib.metadata", "urllib.request"])
def test_blocking_node_on_sqlite_starts_without(name: str, loaded: set[str]):
    assert name not in loaded


def test_table_of_own_adapters_is_that_of_the_package():
    """Both are needed: other packages are found by their entry points, and tools list ours by them too."""
    root = Path(__file__).parents[2]
    groups = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    declared = {
        (group, name): value
        for group, entries in groups.items()
        if group.startswith("apcore.")
        for name, value in entries.items()
    }
    own_only = {key: value for key, value in declared.items() if value.partition(":")[0] in MODULES}
    assert own_only.items() >= _OWN_ADAPTERS.items()


@pytest.mark.parametrize(("group", "name"), sorted(_OWN_ADAPTERS))
def test_own_adapters_can_be_imported(group: str, name: str):
    assert callable(entry_point(group, name))
