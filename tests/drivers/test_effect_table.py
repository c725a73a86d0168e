"""Every kind of effect has one row in one table, and no driver has a list of effects of its own."""

from __future__ import annotations

import ast

import pytest

from apcore import effects, ports
from apcore.drivers.effect_table import EFFECT_TABLE, PORT_OF_METHOD, CallSequence, Composite, PortCall
from apcore.effects import Effect
from source_tree import MODULES

# Not `Effect.__subclasses__`: attrs makes each class twice, and the first one may not be collected yet.
EFFECTS = {
    value
    for value in vars(effects).values()
    if isinstance(value, type) and issubclass(value, Effect) and value is not Effect
}
KINDS = {kind.__name__ for kind in EFFECTS}
PROTOCOLS = {
    "store": ports.KvStore,
    "queue": ports.MessageQueue,
    "transport": ports.Transport,
    "signer": ports.Signer,
    "runtime": ports.Runtime,
}
DRIVERS = [
    name
    for name in MODULES
    if name.startswith(("apcore.drivers", "apcore.testing.simulation."))
    and name not in {"apcore.drivers.effect_table", "apcore.testing.simulation.exchange"}
]


def test_every_effect_has_a_row():
    assert set(EFFECT_TABLE) == EFFECTS


@pytest.mark.parametrize("kind", EFFECT_TABLE, ids=lambda kind: kind.__name__)
def test_row_names_a_method_of_its_port(kind):
    row = EFFECT_TABLE[kind]
    if isinstance(row, Composite):
        assert list(EFFECT_TABLE.values()).count(row) == 1
    else:
        assert isinstance(row, (PortCall, CallSequence))
        assert callable(getattr(PROTOCOLS[row.port], row.method))
        assert PORT_OF_METHOD[row.method] == row.port


def effect_choices(tree: ast.Module) -> list[str]:
    """Return the places where code chooses by the class of an effect: isinstance, ``match``, and keys of a dict."""
    choices: list[tuple[int, ast.expr]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            classes = node.args[1]
            choices += [(node.lineno, name) for name in (classes.elts if isinstance(classes, ast.Tuple) else [classes])]
        elif isinstance(node, ast.MatchClass):
            choices.append((node.cls.lineno, node.cls))
        elif isinstance(node, ast.Dict):
            choices += [(node.lineno, key) for key in node.keys if key is not None]
    return [f"{line}: {ast.unparse(name)}" for line, name in choices if ast.unparse(name) in KINDS]


@pytest.mark.parametrize("name", DRIVERS)
def test_driver_has_no_list_of_effects_of_its_own(name):
    assert effect_choices(MODULES[name].tree) == []


@pytest.mark.parametrize(
    "source",
    ["isinstance(effect, Get)", "isinstance(effect, (int, Now))", "match effect:\n    case Scan(): pass", "{Get: 1}"],
)
def test_lists_of_effects_are_found(source):
    assert len(effect_choices(ast.parse(source))) == 1
