"""Check that source and documentation are written plainly: names, words and line lengths.

The figures are a smoke alarm. They find rooms that need a rewrite; they do not prove that a room reads well. The rules
themselves are in CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from attrs import evolve, frozen

from source_tree import SOURCE

PACKAGE = SOURCE / "apcore"
PROJECT = SOURCE.parent

# A participle or a pronoun says nothing about the value that it names.
VAGUE_NAMES = {
    *("kept", "found", "known", "said", "made", "asked", "held", "given", "left", "wanted", "written", "told", "seen"),
    *("chosen", "shown", "taken", "done", "lost", "wake", "means", "asks", "fitting", "following", "looking"),
    *("each", "several", "ours", "theirs", "whose", "there", "again", "chance"),
}  # fmt: skip
QUESTION_WORDS = {"what", "whatever"}
VAGUE_PERSONS = {"who", "whoever", "whom", "whose", "somebody", "nobody", "anybody"}
# A docstring that starts with one of these describes a value in place of naming it, or uses a weak verb.
FILLERS = {"Give", "Gives", "What", "Who", "Whose", "As", "Whatever", "Whoever", "Take", "Tell", "Say", "Where"}
LINE_LENGTH = 120


@frozen
class Figures:
    """How plainly some files are written; smaller is better."""

    vague_percent: float = 0.0
    """Names from `VAGUE_NAMES`, in percent of all names that the code uses."""
    what_per_1000: float = 0.0
    """Words from `QUESTION_WORDS`, per 1,000 words of docstrings."""
    who_per_1000: float = 0.0
    """Words from `VAGUE_PERSONS`, per 1,000 words of docstrings."""
    fillers: int = 0
    """Docstrings that start with a word from `FILLERS`."""
    long_lines: int = 0
    """Lines of more than `LINE_LENGTH` columns."""

    def above(self, ceiling: Figures) -> list[str]:
        """Return one line for each figure that is higher than in ``ceiling``."""
        return [
            f"{name}: {getattr(self, name):g}, at most {getattr(ceiling, name):g}"
            for name in ("vague_percent", "what_per_1000", "who_per_1000", "fillers", "long_lines")
            if getattr(self, name) > getattr(ceiling, name)
        ]


# Fillers are counted over all finished rooms together; see the test below.
LIMITS = Figures(vague_percent=0.3, what_per_1000=2.0, who_per_1000=1.0, fillers=5, long_lines=0)
FILLERS_MAX = 5

# Rooms that are not rewritten yet, with the reason and the figures that they must not exceed. All rooms that are not in
# this table are held to the limits.
UNFINISHED: dict[str, tuple[str, Figures]] = {}


@frozen
class Counts:
    """The counts from which `Figures` are made; they can be added."""

    names: int = 0
    vague: int = 0
    words: int = 0
    what: int = 0
    who: int = 0
    fillers: int = 0
    long_lines: int = 0

    def __add__(self, other: Counts) -> Counts:
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__slots__ if name != "__weakref__")
        return Counts(*(first + second for first, second in pairs))

    @property
    def figures(self) -> Figures:
        return Figures(
            vague_percent=round(100 * self.vague / max(1, self.names), 2),
            what_per_1000=round(1000 * self.what / max(1, self.words), 1),
            who_per_1000=round(1000 * self.who / max(1, self.words), 1),
            fillers=self.fillers,
            long_lines=self.long_lines,
        )


def count(source: str) -> Counts:
    """Count vague names, vague words and long lines in a Python source text."""
    tree = ast.parse(source)
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)]
    words_by_docstring = [re.findall(r"[A-Za-z']+", text) for text in docstrings]
    words = [word.lower() for words in words_by_docstring for word in words]
    return Counts(
        names=len(names),
        vague=sum(name in VAGUE_NAMES for name in names),
        words=len(words),
        what=sum(word in QUESTION_WORDS for word in words),
        who=sum(word in VAGUE_PERSONS for word in words),
        fillers=sum(bool(words) and words[0] in FILLERS for words in words_by_docstring),
        long_lines=sum(len(line) > LINE_LENGTH for line in source.splitlines()),
    )


def measure(paths: Iterable[Path]) -> Figures:
    """Return the figures of some files together."""
    return sum((count(path.read_text(encoding="utf-8")) for path in paths), Counts()).figures


def room_of(path: Path) -> str:
    """Return the name under which a file is measured: its entry in `UNFINISHED`, or else its room."""
    name = path.relative_to(PACKAGE).as_posix()
    entries = [entry for entry in UNFINISHED if name == entry or name.startswith(f"{entry}/")]
    return max(entries, key=len) if entries else name.partition("/")[0]


ROOMS: dict[str, list[Path]] = {}
for _path in sorted(PACKAGE.rglob("*.py")):
    ROOMS.setdefault(room_of(_path), []).append(_path)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_room_is_written_plainly(room):
    ceiling = UNFINISHED[room][1] if room in UNFINISHED else LIMITS
    assert measure(ROOMS[room]).above(ceiling) == [], f"{room}: see the language rules in CONTRIBUTING.md"


def test_finished_rooms_have_few_filler_words_in_all():
    finished = [path for room, paths in ROOMS.items() if room not in UNFINISHED for path in paths]
    assert measure(finished).fillers <= FILLERS_MAX


DOCUMENTATION = {
    "docs": sorted((PROJECT / "docs").rglob("*.md")),
    "README": [PROJECT / "README.md"],
    "front pages": [PROJECT / "FEDERATION.md", PROJECT / "SECURITY.md"],
}


def count_markdown(text: str) -> Counts:
    """Count vague words in the prose of a page, and the long lines that Markdown allows to wrap.

    Code is not prose. Table rows, headings and definitions of links cannot wrap.
    """
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    words = [word.lower() for word in re.findall(r"[A-Za-z']+", re.sub(r"`[^`\n]*`", "", prose))]
    can_wrap = [line for line in prose.splitlines() if not re.match(r" *(?:[|#]|\[[^]]+\]:)", line)]
    return Counts(
        words=len(words),
        what=sum(word in QUESTION_WORDS for word in words),
        who=sum(word in VAGUE_PERSONS for word in words),
        long_lines=sum(len(line) > LINE_LENGTH for line in can_wrap),
    )


@pytest.mark.parametrize("part", sorted(DOCUMENTATION))
def test_documentation_is_written_plainly(part):
    pages = (count_markdown(path.read_text(encoding="utf-8")) for path in DOCUMENTATION[part])
    assert sum(pages, Counts()).figures.above(LIMITS) == [], f"{part}: see the language rules in CONTRIBUTING.md"


def test_code_and_tables_of_a_page_are_not_counted():
    page = "# What\n\nA `who` here.\n\n```python\nwhat = who\n```\n\n| " + "x " * 70 + "|\n\n" + "y " * 70 + "\n"
    counts = count_markdown(page)
    assert (counts.what, counts.who, counts.long_lines) == (1, 0, 1)


def test_every_unfinished_room_has_a_reason():
    assert all(reason.strip() for reason, _ in UNFINISHED.values())


# A parameter or a field is a noun, or an adjective that the type of the value completes.
VAGUE_PARAMETERS = {"anew", "asked", "chance", "found", "given", "kept", "known", "left", "made", "said", "told"}


def parameters(tree: ast.AST) -> list[str]:
    """Return the names of the parameters of functions, and of the annotated fields of classes."""
    names = [node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)]
    fields = [node for parent in ast.walk(tree) if isinstance(parent, ast.ClassDef) for node in parent.body]
    targets = [node.target for node in fields if isinstance(node, ast.AnnAssign)]
    return names + [target.id for target in targets if isinstance(target, ast.Name)]


def test_no_parameter_and_no_field_has_a_vague_name():
    vague = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in PACKAGE.rglob("*.py")
        for name in parameters(ast.parse(path.read_text(encoding="utf-8")))
        if name in VAGUE_PARAMETERS
    }
    assert vague == set()


def test_parameters_and_fields_are_found():
    source = "def f(one, /, two, *three, four, **five): ...\nclass C:\n    six: int\nlambda seven: 0\n"
    assert set(parameters(ast.parse(source))) == {"one", "two", "three", "four", "five", "six", "seven"}


def test_vague_names_and_words_are_counted():
    source = '"""Give what nobody knows."""\nfound = [each for each in kept]\nentry = found\n' + "#" * 121 + "\n"
    counts = count(source)
    assert (counts.names, counts.vague) == (6, 5)
    assert (counts.words, counts.what, counts.who, counts.fillers, counts.long_lines) == (4, 1, 1, 1, 1)


def test_plain_source_has_no_findings():
    source = '"""Return the keys of an actor."""\nentries = [entry for entry in records]\n'
    assert count(source).figures.above(Figures()) == []


def test_figures_above_a_ceiling_are_named():
    assert Figures(fillers=2, long_lines=1).above(Figures(long_lines=1)) == ["fillers: 2, at most 0"]


# --- tests ----------------------------------------------------------------------------------------------------------

TESTS = Path(__file__).parent
TEST_DIRECTORIES: dict[str, list[Path]] = {}
for _path in sorted(TESTS.rglob("*.py")):
    TEST_DIRECTORIES.setdefault(_path.parent.relative_to(TESTS).as_posix(), []).append(_path)


def count_test(source: str) -> Counts:
    """Count a module of tests, except for the vague name of the decorator `hypothesis.given`."""
    return count(re.sub(r"^( *)@given\(", r"\1@Given(", source, flags=re.MULTILINE))


@pytest.mark.parametrize("directory", sorted(TEST_DIRECTORIES))
def test_tests_are_written_plainly(directory):
    sources = (path.read_text(encoding="utf-8") for path in TEST_DIRECTORIES[directory])
    figures = sum(map(count_test, sources), Counts()).figures
    assert figures.above(evolve(LIMITS, fillers=0)) == [], f"{directory}: see the language rules in CONTRIBUTING.md"
