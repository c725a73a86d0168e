"""Keys and members of stored records are written as strings in record modules only."""

from __future__ import annotations

import ast

import pytest

from apcore.records import RECORD_KINDS
from declared_kinds import declared_kinds, is_record_module
from source_tree import MODULES, Module

# The members of a record can be read by name only through these.
MEMBER_READERS = {"apcore.records.format." + name for name in ("Record", "decode_record", "encode_record")}


def first_parts() -> set[str]:
    """Return the strings with which store keys begin."""
    return {kind.prefix[0] for kind in declared_kinds()}


def key_literals(tree: ast.AST) -> list[str]:
    """Return the tuples that are store keys: the name of a kind, then the format of the key or the rest of another."""
    literals: list[str] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Tuple) or len(node.elts) < 2 or not isinstance(node.elts[0], ast.Constant):
            continue
        first, second = node.elts[0].value, node.elts[1]
        is_format = isinstance(second, ast.Constant) and second.value == "1"
        if first in first_parts() and (is_format or isinstance(second, ast.Starred) or first == "c"):
            literals.append(f"{node.lineno}: {ast.unparse(node)}")
    return literals


def member_readers(module: Module) -> list[str]:
    return [f"{imported.line}: {imported.name}" for imported in module.imports() if imported.name in MEMBER_READERS]


def test_no_stored_key_or_member_is_a_string_outside_record_modules():
    findings = {
        name: key_literals(module.tree) + member_readers(module)
        for name, module in MODULES.items()
        if not is_record_module(name)
    }
    assert {name: lines for name, lines in findings.items() if lines} == {}


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('key = ("keys", "1", digest)', 1),
        ('Get((("document", "1", uri, viewer),))', 1),
        ('("in", *todo[1:])', 1),
        ('("c", ident, "m", name)', 1),
        ('("keys", actor)', 0),
        ('("unknown", "1")', 0),
        ('["keys", "1"]', 0),
    ],
)
def test_the_test_of_keys_sees_them(source, count):
    assert len(key_literals(ast.parse(source))) == count


def test_the_test_of_members_sees_them():
    tree = ast.parse("from apcore.records.format import decode_record, to_epoch_ms")
    module = Module("apcore.federation.example", MODULES["apcore"].path, tree)
    assert member_readers(module) == ["1: apcore.records.format.decode_record"]


def test_every_kind_is_declared_in_a_record_module():
    assert declared_kinds()
    assert {kind.name for kind in declared_kinds() if not is_record_module(kind.record.__module__)} == set()
    assert {kind.name for kind in declared_kinds()} <= set(RECORD_KINDS)
