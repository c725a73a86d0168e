"""Check the documentation: every Python block runs in its page, links lead to files, and the reference is complete."""

from __future__ import annotations

import gc
import importlib
import logging
import re
import sqlite3
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

from database_servers import PostgresServer
from markdown_blocks import blocks, links
from public_names import PACKAGES

HERE = Path(__file__).resolve().parents[1]
PAGES = sorted(path for path in (HERE / "docs").rglob("*.md") if "_build" not in path.parts)
NAMES = [str(path.relative_to(HERE)) for path in PAGES]

_NEEDS = {"docs/howto/drive-operations.md": "trio"}
_NEEDS_SERVER = "docs/howto/postgresql.md"


def test_all_four_kinds_of_pages_exist():
    kinds = {path.relative_to(HERE / "docs").parts[0] for path in PAGES}
    assert {"tutorial", "howto", "explanation", "reference"} <= kinds


@pytest.fixture
def same_logging():
    """Undo a page's configuration of logging, so that other tests do not see it."""
    yield
    logging.getLogger("apcore").setLevel(logging.NOTSET)


@pytest.fixture
def database(monkeypatch):
    """Return a function that starts a PostgreSQL server with an empty database, and makes it the default of libpq."""
    servers = []

    def start(name):
        server = PostgresServer(fsync=True)
        servers.append(server)
        with server.connect(user="admin", dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER site")
        monkeypatch.setenv("PGHOST", str(server.folder))
        monkeypatch.setenv("PGUSER", "site")

    yield start
    for server in servers:
        server.close()


@pytest.mark.usefixtures("same_logging")
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_python_block_of_a_page_runs(page, tmp_path, monkeypatch, database):
    needed = _NEEDS.get(str(page.relative_to(HERE)))
    if needed and find_spec(needed) is None:
        pytest.skip(f"the page shows {needed}, which is not installed")
    if str(page.relative_to(HERE)) == _NEEDS_SERVER:
        database("social")
    monkeypatch.chdir(tmp_path)
    # The block needs a module of its own: decorators like dataclass look up their module by name.
    name = f"page_{page.stem.replace('-', '_')}"
    module = type(sys)(name)
    monkeypatch.setitem(sys.modules, name, module)
    try:
        for block in blocks(page, "python"):
            exec(compile(block.padded, str(page), "exec"), module.__dict__)
    finally:
        # A page may end with its database open, as a program may.
        for value in vars(module).values():
            if isinstance(value, sqlite3.Connection):
                value.close()
        # So may an application: `wsgi_app` opens the store when it is made.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            vars(module).clear()
            gc.collect()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_of_a_page_lead_to_files(page):
    generated = HERE / "docs" / "reference" / "rooms"
    for target in links(page):
        path = (page.parent / target.partition("#")[0]).resolve()
        if path.is_relative_to(generated):
            room = path.name.removesuffix(".rst").replace("apcore.", "", 1).replace(".", "/")
            path = HERE / "src" / "apcore" / room
            assert path.is_dir() or path.with_suffix(".py").is_file(), f"{page.name} links to no room: {target}"
            continue
        assert path.exists(), f"{page.name} links to {target}"


def test_the_reference_has_a_page_for_each_public_package_and_inherited_members(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(HERE / "docs" / "_ext")
    reference = importlib.import_module("reference")
    assert reference.rooms() == [package for package in PACKAGES if package != "apcore"]
    page = reference._room_page("apcore.federation").split(".. autoclass:: apcore.federation.")
    options = {entry.partition("\n")[0]: entry for entry in page}
    for name in ("Context", "AsyncContext", "OpContext"):
        assert ":inherited-members:" in options[name], f"{name} shows no publish, send or append"
    assert ":inherited-members:" not in options["DomainRules"]


def test_command_line_page_names_every_command_exit_code_and_option():
    click = pytest.importorskip("click")
    from apcore.cli import command_group, exit_codes

    text = (HERE / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    for line in exit_codes.in_words().splitlines():
        assert re.search(rf"^\| {line.split()[0]} \|", text, re.MULTILINE), f"exit code not documented: {line}"
    group = command_group._apcore
    context = click.Context(group)
    for name in group.list_commands(context):
        assert f"## `apcore {name}`" in text
        options = [
            parameter for parameter in group.get_command(context, name).params if isinstance(parameter, click.Option)
        ]
        for option in options:
            assert f"`{option.opts[0]}" in text, f"{name} {option.opts[0]} is not documented"


def test_every_changelog_heading_is_a_known_kind():
    text = (HERE / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## Unreleased$", text, re.MULTILINE)
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_logging_page_names_every_logger_without_a_module():
    text = (HERE / "docs" / "reference" / "logging.md").read_text(encoding="utf-8")
    source = "".join(
        path.read_text(encoding="utf-8") for path in (HERE / "src").rglob("*.py") if "cli" not in path.parts
    )
    logger_names = set(re.findall(r'getLogger\("(apcore[.\w]*)"\)', source))
    assert {"apcore.inbox", "apcore.delivery", "apcore.web", "apcore.node"} <= logger_names
    assert {name for name in logger_names if f"`{name}`" not in text} == set()
