"""Check how a federation is named and bound on the command line: mistakes are reported before anything is opened."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from apcore.cli import exit_codes, main
from apcore.cli.binding import bind_node, node_options

SOURCE = """
from apcore import Federation
from apcore.vocab import Create, Person

federation = Federation(software="shown/1.0")
other = Federation(software="other/1.0")
listens = Federation(software="listens/1.0")


@federation.actor("/users/{identifier}")
def actor(ctx, identifier):
    return Person(preferred_username=identifier) if identifier == "alice" else None


@listens.on(Create)
def created(ctx, activity):
    pass
"""

AT = ["--origin", "https://social.example", "--store", "memory:"]
LOOPBACK = ["--origin", "http://127.0.0.1:1", "--store", "memory:", "--allow-loopback"]


@pytest.fixture
def modules(tmp_path, monkeypatch):
    (tmp_path / "shown_federation.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "needs_more.py").write_text("import not_installed_at_all\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("command", ["serve", "work"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["shown_federation"], "--origin"),
        (["shown_federation", "--origin", "https://social.example"], "--store"),
        (["no_such_module", *AT], "there is no module 'no_such_module'"),
        (["no.such.module:f", *AT], "there is no module 'no.such.module'"),
        (["needs_more", *AT], "needs_more cannot be imported: No module named 'not_installed_at_all'"),
        ([":federation", *AT], "names no module"),
        (["shown_federation:actor", *AT], "is a function that needs arguments, not a Federation, a Node,"),
        (["shown_federation:actor", *AT], "that makes one; there is: shown_federation:federation, shown_federation:"),
        (["shown_federation:nothing", *AT], "is nothing, not a Federation, a Node,"),
        (["shown_federation:listens", *AT], "there are listeners (Create) but no actor"),
        (["shown_federation", "--origin", "social.example", "--store", "memory:"], "origin 'social.example'"),
        (["shown_federation", *AT, "--handle-host", "https://example.com"], "is no host"),
        (["shown_federation", "--origin", "http://127.0.0.1:1", "--store", "memory:"], "use --allow-loopback"),
        (["shown_federation", "--origin", "https://a.example", "--store", "a.db"], "a store is named by a URL"),
        (["shown_federation", "--origin", "https://a.example", "--store", "parchment:x"], "no adapter 'parchment'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_target_or_options_are_refused_in_words(command, arguments, message, capsys):
    assert main([command, *arguments]) == exit_codes.USAGE
    captured = capsys.readouterr()
    assert message in captured.err
    assert not captured.out


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("target", ["shown_federation", "shown_federation:federation", "shown_federation:other"])
def test_work_until_idle_ends_when_nothing_is_due(target, capsys):
    assert main(["work", target, *LOOPBACK, "--until-idle"]) == exit_codes.DONE
    assert capsys.readouterr().out == "0 messages handled\n"


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    ("arguments", "environment", "host"),
    [
        (["--handle-host", "example.com"], {}, "example.com"),
        ([], {"APCORE_HANDLE_HOST": "Example.com"}, "example.com"),
        ([], {}, "social.example"),
    ],
)
def test_handles_get_the_host_of_the_options(arguments, environment, host):
    @click.command()
    @node_options
    def command(**options):
        node = bind_node(**options)
        click.echo(node.origins.handle_host(node.origins.pick(None)))

    result = CliRunner().invoke(command, ["shown_federation", *AT, *arguments], env=environment)
    assert result.output == f"{host}\n"


@pytest.mark.usefixtures("modules")
def test_origin_and_store_are_read_from_the_environment(monkeypatch, capsys):
    monkeypatch.setenv("APCORE_ORIGIN", "https://social.example")
    monkeypatch.setenv("APCORE_STORE", "memory:")
    assert main(["work", "shown_federation", "--limit", "0.01"]) == exit_codes.DONE
    assert capsys.readouterr().out == "0 messages handled\n"


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], exit_codes.DONE, "no mistakes found"),
        (["--store", "memory:"], exit_codes.DONE, "warning: the store keeps nothing"),
        (["--json"], exit_codes.DONE, '"ok": true'),
    ],
    ids=["fine", "risky", "json"],
)
def test_check_prints_its_findings(arguments, code, message, capsys):
    assert main(["check", "shown_federation", *arguments]) == code
    assert message in capsys.readouterr().out


@pytest.mark.usefixtures("modules")
def test_check_fails_for_a_federation_that_cannot_be_served(capsys):
    assert main(["check", "shown_federation:listens"]) == exit_codes.FAILED
    assert capsys.readouterr().out.startswith("error: there are listeners (Create) but no actor")
    assert main(["check", "shown_federation:listens", "--json"]) == exit_codes.FAILED
    assert '"level": "error"' in capsys.readouterr().out
