"""Make small changes to a module, one at a time, that a thorough test suite must notice.

Each change is made in the syntax tree, so every result compiles. These parts never change: docstrings, annotations,
`__all__`, names of types, `assert`, and sentences for people, which are the contents of a `raise`, the `rule` of an
`Explanation`, and text of several words anywhere (`_SENTENCE`). A test that pins each of those would be a burden and
prove nothing. Explanations consist of sentences, so none of their text changes (`ALL_WORDS`).
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType

from attrs import field, frozen

__all__ = ["Mutant", "Place", "code_of", "compile_mutant", "mutants_of"]

ALL_WORDS = ("signatures/explain.py", "signatures/explain_documents.py", "signatures/_mistakes.py")
"""Files in which no text changes, because their results are sentences."""

_SENTENCE = re.compile(r"[A-Za-z]+,? [a-z]+")
SENTENCE_NAMES = {"shown"}
"""Names that hold parts of sentences."""

REPLACED_OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.FloorDiv,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitAnd,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.Pow: (ast.Mult,),
}
_OTHER_NAMES = {
    "any": "all",
    "all": "any",
    "min": "max",
    "max": "min",
    "startswith": "endswith",
    "endswith": "startswith",
    "removeprefix": "removesuffix",
    "removesuffix": "removeprefix",
    "partition": "rpartition",
    "rpartition": "partition",
    "fullmatch": "match",
    "isdisjoint": "issubset",
    "issubset": "isdisjoint",
    "lstrip": "rstrip",
    "rstrip": "lstrip",
}
_DROPPED_CALLS = {"lower", "upper", "strip", "casefold", "astimezone"}
_NO_KEYWORDS = {"explanation", "source", "repr"}
_NO_CALLS = {"TypeVar", "cast", "ParamSpec", "NewType"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@frozen
class Place:
    """The outermost function around a change."""

    qualname: str
    line: int
    """The first line of the function, decorators included, as in its code object."""


@frozen
class Mutant:
    """One change of a module."""

    name: str
    """The changed line and the change itself, in words that survive moving the line."""
    lines: tuple[int, int]
    """First and last line of the statement, or of the head of a compound statement."""
    function: Place | None
    """None if the change takes effect when the module is imported; the import then has to be repeated."""
    constant: str | None
    """The constant of the module whose value changes, if the change is in one."""
    way: tuple[tuple[str, int | None], ...] = field(repr=False)
    """The path from the module down to the changed node: the field of each node, and the index in it."""
    source: str = field(repr=False)
    """The source of the function, or of the whole module, that contains the change."""
    _tree: Callable[[], ast.Module] = field(eq=False, repr=False)

    def tree(self) -> ast.Module:
        """Return the whole module with the change in it."""
        return self._tree()


def compile_mutant(tree: ast.Module, path: Path) -> CodeType:
    """Compile a changed module as if it stood in the place of the real one."""
    return compile(ast.fix_missing_locations(tree), str(path), "exec", dont_inherit=True)


def code_of(module: CodeType, place: Place) -> CodeType | None:
    """Find the code of a function inside that of its module."""
    stack = [module]
    while stack:
        code = stack.pop()
        if code.co_qualname == place.qualname and code.co_firstlineno == place.line:
            return code
        stack += [part for part in code.co_consts if isinstance(part, CodeType)]
    return None


def mutants_of(text: str, name: str) -> list[Mutant]:
    """Return every change of a module in the order of its lines; ``name`` is the path inside the package."""
    tree = ast.parse(text)
    walk = _Walk(tree, text.splitlines(), words=name not in ALL_WORDS)
    walk.walk()
    # Two ways to make the same change count once.
    mutants_by_change: dict[tuple[object, ...], Mutant] = {}
    for mutant in walk.mutants:
        _ = mutants_by_change.setdefault((mutant.name, mutant.way), mutant)
    return sorted(mutants_by_change.values(), key=lambda mutant: mutant.lines)


class _Walk:
    """A walk over the tree that keeps the path to the current node."""

    def __init__(self, tree: ast.Module, lines: list[str], *, words: bool) -> None:
        self.mutants: list[Mutant] = []
        self._tree = tree
        self._text = lines
        self._words = words
        self._way: list[tuple[ast.AST, str, int | None]] = []

    def walk(self) -> None:
        self._visit(self._tree)

    def _visit(self, node: ast.AST) -> None:
        if self._never_changes(node):
            return
        for change in self._changes(node):
            self._add(node, change)
        for name, value in ast.iter_fields(node):
            if name in {"annotation", "returns", "decorator_list", "type_comment", "ctx"}:
                continue
            for number, part in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(part, ast.AST):
                    self._way.append((node, name, number if isinstance(value, list) else None))
                    self._visit(part)
                    self._way.pop()

    # --- parts that never change ------------------------------------------------------------------------------------

    def _never_changes(self, node: ast.AST) -> bool:
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert, ast.Global, ast.Nonlocal)):
            return True
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return True  # A docstring.
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _name_of(node.exc) == "AssertionError":
            return True
        if _is_sentence(node):
            return True
        if isinstance(node, ast.Assign):
            targets = {target.id for target in node.targets if isinstance(target, ast.Name)}
            if isinstance(node.value, ast.Call) and _name_of(node.value) in _NO_CALLS:
                return True
            if "__all__" in targets or targets & SENTENCE_NAMES or _names_types(node.value):
                return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NO_CALLS:
            return True
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.annotation, ast.Name)
            and node.annotation.id == "TypeAlias"
        ):
            return True
        parent, name, _ = self._way[-1] if self._way else (None, "", None)
        if isinstance(parent, ast.Raise):
            return True
        if isinstance(parent, ast.If) and name == "test" and _is_type_checking(parent):
            return True
        return isinstance(node, ast.keyword) and (
            node.arg in {"explanation", "repr"} or (node.arg == "rule" and isinstance(parent, ast.Call))
        )

    # --- the changes ----------------------------------------------------------------------------------------------

    def _changes(self, node: ast.AST) -> Iterator[ast.AST | None]:
        """Yield possible replacements of a node; None removes it."""
        match node:
            case ast.Compare():
                for number, operator in enumerate(node.ops):
                    for other in REPLACED_OPERATORS.get(type(operator), ()):
                        changed = copy.deepcopy(node)
                        changed.ops[number] = other()  # type: ignore[call-overload]
                        yield changed
            case ast.BoolOp():
                other_way = ast.Or() if isinstance(node.op, ast.And) else ast.And()
                yield ast.BoolOp(other_way, node.values)
                for number in range(len(node.values)):
                    remaining = node.values[:number] + node.values[number + 1 :]
                    yield remaining[0] if len(remaining) == 1 else ast.BoolOp(node.op, remaining)
            case ast.UnaryOp(op=ast.Not()):
                yield node.operand
            case ast.BinOp():
                for other in REPLACED_OPERATORS.get(type(node.op), ()):
                    yield ast.BinOp(node.left, other(), node.right)  # type: ignore[arg-type]
            case ast.Constant():
                yield from self._other_constants(node)
            case ast.If() | ast.IfExp() | ast.While():
                for truth in (False, True):
                    if not (isinstance(node, ast.While) and truth):
                        changed_test = copy.copy(node)
                        changed_test.test = ast.Constant(truth)
                        yield changed_test
            case ast.comprehension() if node.ifs:
                for number in range(len(node.ifs)):
                    changed_for = copy.copy(node)
                    changed_for.ifs = node.ifs[:number] + node.ifs[number + 1 :]
                    yield changed_for
            case ast.Return(value=ast.expr()) if not _is_none(node.value):
                yield ast.Return(ast.Constant(None))
            case ast.Assign() | ast.AnnAssign() if node.value is not None and not _means_none(node):
                changed_value = copy.copy(node)
                changed_value.value = ast.Constant(None)
                yield changed_value
            case ast.Expr() | ast.AugAssign():
                yield ast.Pass()
            case ast.Raise():
                if not self._stands_alone_in_if():
                    yield ast.Pass()
            case ast.Continue():
                yield ast.Break()
            case ast.Break():
                yield ast.Continue()
            case ast.Call():
                yield from _other_calls(node)
            case ast.ExceptHandler():
                changed_handler = copy.copy(node)
                changed_handler.type = ast.Tuple([], ast.Load())
                yield changed_handler
                if isinstance(node.type, ast.Tuple):
                    for number in range(len(node.type.elts)):
                        narrower = copy.copy(node)
                        narrower.type = ast.Tuple(node.type.elts[:number] + node.type.elts[number + 1 :], ast.Load())
                        yield narrower
            case ast.match_case() if not (isinstance(node.pattern, ast.MatchAs) and node.pattern.pattern is None):
                yield ast.match_case(node.pattern, ast.Constant(False), node.body)
            case ast.Slice():
                for end in ("lower", "upper"):
                    if getattr(node, end) is not None:
                        open_ended = copy.copy(node)
                        setattr(open_ended, end, None)
                        yield open_ended
            case _:
                return

    def _other_constants(self, node: ast.Constant) -> Iterator[ast.AST]:
        value = node.value
        if isinstance(value, bool):
            yield ast.Constant(not value)
        elif isinstance(value, (int, float)):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        elif isinstance(value, bytes):
            yield ast.Constant(b"XX" + value + b"XX")
        elif isinstance(value, str) and self._words:
            if self._is_pattern():
                yield from (ast.Constant(other) for other in _other_patterns(value))
            else:
                yield ast.Constant(f"XX{value}XX")
        elif isinstance(value, str) and self._is_pattern():
            yield from (ast.Constant(other) for other in _other_patterns(value))

    def _is_pattern(self) -> bool:
        parent, name, number = self._way[-1]
        return (
            isinstance(parent, ast.Call)
            and name == "args"
            and number == 0
            and isinstance(parent.func, ast.Attribute)
            and isinstance(parent.func.value, ast.Name)
            and parent.func.value.id == "re"
        )

    def _stands_alone_in_if(self) -> bool:
        parent, name, _ = self._way[-1]
        return isinstance(parent, ast.If) and name == "body" and len(parent.body) == 1

    # --- recording the changes --------------------------------------------------------------------------------------

    def _add(self, node: ast.AST, change: ast.AST | None) -> None:
        way = [(name, number) for _, name, number in self._way]
        ancestors = [place for place, _, _ in self._way]
        at = next((place for place in (node, *reversed(ancestors)) if hasattr(place, "lineno")), None)
        line = getattr(at, "lineno", 1)
        before, after = node_text(node), node_text(change)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and isinstance(change, ast.Constant):
            before, after = _difference(node.value, str(change.value))
        name = f"`{self._text[line - 1].strip()}`: `{before}` -> `{after}`"
        self.mutants.append(
            Mutant(
                name,
                _statement_lines(node, ancestors),
                self._function(ancestors, node),
                _constant(ancestors, node),
                tuple(way),
                self._source(ancestors),
                lambda: replace_node(self._tree, way, change, node),
            )
        )

    def _source(self, ancestors: list[ast.AST]) -> str:
        function = next((place for place in ancestors if isinstance(place, _FUNCTIONS)), None)
        lines = self._text if function is None else self._text[function.lineno - 1 : function.end_lineno]
        return "\n".join(lines)

    def _function(self, ancestors: list[ast.AST], node: ast.AST) -> Place | None:
        qualname: list[str] = []
        for number, place in enumerate(ancestors):
            if isinstance(place, ast.ClassDef):
                qualname.append(place.name)
            elif isinstance(place, _FUNCTIONS):
                if self._way[number][1] != "body":
                    return None  # The change is in a default value.
                first = place.decorator_list[0].lineno if place.decorator_list else place.lineno
                return Place(".".join((*qualname, place.name)), first)
        return None


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    for number, keyword in enumerate(node.keywords):
        if keyword.arg not in _NO_KEYWORDS and keyword.arg is not None:
            yield ast.Call(node.func, node.args, node.keywords[:number] + node.keywords[number + 1 :])
    if isinstance(node.func, ast.Name) and node.func.id in _OTHER_NAMES:
        yield ast.Call(ast.Name(_OTHER_NAMES[node.func.id], ast.Load()), node.args, node.keywords)
    if isinstance(node.func, ast.Attribute):
        if node.func.attr in _OTHER_NAMES:
            other = ast.Attribute(node.func.value, _OTHER_NAMES[node.func.attr], ast.Load())
            yield ast.Call(other, node.args, node.keywords)
        if node.func.attr in _DROPPED_CALLS and not isinstance(node.func.value, ast.Constant):
            yield node.func.value


def _other_patterns(pattern: str) -> Iterator[str]:
    """Change a regular expression: each repetition, and each bound of one."""
    for match in re.finditer(r"\\.|\[(?:\\.|[^\]\\])+\]|\(\?.|\{(\d+),(\d+)\}|[*+?]|\^|\$", pattern):
        start, end = match.span()
        piece = match[0]
        other: list[str] = []
        if piece in {"*", "+"}:
            other = ["+" if piece == "*" else "*"]
        elif piece == "?" or (piece in "^$" and len(piece) == 1):
            other = [""]
        elif match[2] is not None:
            other = [f"{{{match[1]},{int(match[2]) + 1}}}", f"{{{match[1]},{int(match[2]) - 1}}}"]
        elif piece.startswith("["):
            other = [f"[^{piece[1:]}" if piece[1] != "^" else f"[{piece[2:]}"]
        for replacement in other:
            yield pattern[:start] + replacement + pattern[end:]


def replace_node(
    tree: ast.Module, way: list[tuple[str, int | None]], change: ast.AST | None, old: ast.AST
) -> ast.Module:
    """Copy the path down to a node, and put another node in its place."""
    top = copy.copy(tree)
    place: ast.AST = top
    for depth, (name, number) in enumerate(way):
        is_last = depth == len(way) - 1
        value = getattr(place, name)
        child = value if number is None else value[number]
        new = change if is_last else copy.copy(child)
        if is_last and isinstance(new, ast.AST) and hasattr(old, "lineno"):
            new = ast.copy_location(copy.copy(new), old)
        if number is None:
            setattr(place, name, new)
        else:
            setattr(place, name, [*value[:number], *([] if new is None else [new]), *value[number + 1 :]])
        if not is_last:
            assert isinstance(new, ast.AST)
            place = new
    return top


def _statement_lines(node: ast.AST, ancestors: list[ast.AST]) -> tuple[int, int]:
    """Return the first and last line of a change: of its statement, or of the part of a compound statement."""
    within: ast.AST = node
    for place in (node, *reversed(ancestors)):
        if isinstance(place, ast.stmt):
            compound = hasattr(place, "body") and not isinstance(place, ast.Lambda)
            if not compound:
                return place.lineno, place.end_lineno or place.lineno
            if place is node:
                test = getattr(place, "test", None)
                return place.lineno, (test.end_lineno if test is not None else place.lineno)
            return getattr(within, "lineno", place.lineno), getattr(within, "end_lineno", place.lineno)
        if isinstance(place, (ast.ExceptHandler, ast.match_case)):
            first = place.body[0]
            if isinstance(place, ast.ExceptHandler):
                return place.lineno, place.lineno
            return place.pattern.lineno, first.end_lineno or first.lineno
        if hasattr(place, "lineno"):
            within = place
    return 1, 1


def _constant(ancestors: list[ast.AST], node: ast.AST) -> str | None:
    """Return the name of the module's constant that contains a change."""
    way = [*ancestors, node]
    if len(way) < 2:
        return None
    statement = way[1]
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id
    return None


def node_text(node: ast.AST | None) -> str:
    if node is None:
        return ""
    if isinstance(node, (ast.If, ast.While)):
        word = "if" if isinstance(node, ast.If) else "while"
        return _short(f"{word} {ast.unparse(node.test)}")
    if isinstance(node, ast.ExceptHandler):
        return _short(f"except {'' if node.type is None else ast.unparse(node.type)}")
    if isinstance(node, ast.match_case):
        return _short(f"case {ast.unparse(node.pattern)}" + (" if False" if node.guard is not None else ""))
    if isinstance(node, ast.comprehension):
        return _short(ast.unparse(node).strip())
    return _short(ast.unparse(ast.fix_missing_locations(node)))


def _difference(before: str, after: str) -> tuple[str, str]:
    """Return the parts in which two texts differ, with a little of their surroundings."""
    if after == f"XX{before}XX":
        return _short(repr(before)), _short(repr(after))
    prefix, suffix = _common_length(before, after), _common_length(before[::-1], after[::-1])
    start, end = max(0, prefix - 12), max(0, suffix - 8)
    cut_before, cut_after = (f"...{text[start : len(text) - end]}...".replace("`", "'") for text in (before, after))
    return cut_before, cut_after


def _common_length(first: str, second: str) -> int:
    """Return the length of the common start of two texts; 0 if one starts with the other."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (left_char, right_char) in pairs if left_char != right_char), 0)


def _short(text: str) -> str:
    text = " ".join(text.split()).replace("`", "'")
    return text if len(text) <= 120 else f"{text[:80]} ... {text[-35:]}"


def _is_none(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_sentence(node: ast.AST) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(map(_is_sentence, node.values))
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and _SENTENCE.search(node.value) is not None


def _means_none(node: ast.Assign | ast.AnnAssign) -> bool:
    """Return whether None in place of the value is no real change: a falsy default, or the description of a field."""
    if isinstance(node.value, ast.Constant) and not node.value.value:
        return isinstance(node, ast.AnnAssign) or node.value.value is None
    return isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Call) and _name_of(node.value) == "field"


def _name_of(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _names_types(node: ast.AST) -> bool:
    """Return whether a module's assignment only names a type."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        return node.value.id in {"Literal", "Callable", "Mapping", "tuple", "dict", "list", "Op", "Union", "Optional"}
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and isinstance(node.right, ast.Name)


def _is_type_checking(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
