"""Write the reference from the code: one page for each package with public names, and the table of errors.

``docs/reference/index.md`` lists the packages; their public names are in ``__all__``. The names of a package are
grouped by the module that defines them, each group under the docstring of that module. A public name without a
docstring is an error, so the reference has no gaps.

Docstrings are in Google's style, except those of fields: there, the text before a colon is not a type. So this file
applies napoleon itself.

The pages go to ``docs/reference/rooms``, which is not under version control.
"""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.ext.napoleon import Config, GoogleDocstring

import apcore
from apcore.errors import ApcoreError

_GOOGLE = Config(napoleon_google_docstring=True, napoleon_numpy_docstring=False)
_INDEX = Path(__file__).resolve().parents[1] / "reference" / "index.md"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", _write)
    app.connect("autodoc-process-docstring", _google)
    app.connect("autodoc-process-signature", _with_defaults)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def rooms() -> list[str]:
    """Return the names of the packages with public names, in the order of the index."""
    return re.findall(r"^rooms/(apcore\.[\w.]+)$", _INDEX.read_text(encoding="utf-8"), re.MULTILINE)


def _names_of(room: str) -> tuple[str, ...]:
    return tuple(getattr(import_module(room), "__all__", ()))


def _write(app: Sphinx) -> None:
    place = Path(app.srcdir) / "reference" / "rooms"
    place.mkdir(exist_ok=True)
    pages = {f"{room}.rst": _room_page(room) for room in rooms()}
    pages["apcore.rst"] = _front_page()
    pages["errors-table.inc"] = _errors_table()
    for old in place.iterdir():
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = place / name
        # An unchanged page keeps its time, so that Sphinx need not read it again.
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


# --- a room ---------------------------------------------------------------------------------------------------------


def _room_page(room: str) -> str:
    module = import_module(room)
    lines = [_heading(room, "=")]
    lines += [f".. automodule:: {room}", "   :no-members:", ""]
    public = getattr(module, "__all__", ())
    for defining, names in _by_module(module, public).items():
        if defining != room:
            lines += [_heading(defining.removeprefix(f"{room}."), "-")]
            # Not indexed: a module may bear the name of the function that it is for.
            lines += [f".. automodule:: {defining}", "   :no-members:", "   :no-index:", ""]
        lines += [f".. py:currentmodule:: {room}", ""]
        lines += [line for name in names for line in _name(module, defining, name)]
    return "\n".join(lines) + "\n"


def _front_page() -> str:
    """The package itself: what it makes importable lives in the rooms, so it is linked there."""
    public = getattr(apcore, "__all__", ())
    home = {name: room for room in rooms() for name in public if _has(import_module(room), name, getattr(apcore, name))}
    lines = [_heading("apcore", "="), ".. automodule:: apcore", "   :no-members:", ""]
    lines += [f"- :py:obj:`{name} <{home.get(name, 'apcore')}.{name}>`" for name in public]
    lines += ["", *(f".. autofunction:: apcore.{name}\n" for name in public if name not in home)]
    return "\n".join(lines) + "\n"


def _has(room: ModuleType, name: str, value: object) -> bool:
    return name in getattr(room, "__all__", ()) and getattr(room, name) is value


def _by_module(module: ModuleType, public: tuple[str, ...]) -> dict[str, list[str]]:
    """Group ``public`` by the module that defines each, as the package's imports say; values keep the order of definition."""
    origin = _origins(module)
    groups: dict[str, list[str]] = {}
    for name in public:
        groups.setdefault(origin.get(name, module.__name__), []).append(name)
    for defining, names in groups.items():
        order = list(_documented(import_module(defining)))
        names.sort(key=lambda name: order.index(name) if name in order else len(order))
    return dict(sorted(groups.items()))


def _origins(module: ModuleType) -> dict[str, str]:
    tree = ast.parse(inspect.getsource(module))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    return {
        alias.asname or alias.name: str(node.module)
        for node in imports
        if str(node.module).startswith(f"{module.__name__}.")
        for alias in node.names
    }


def _name(module: ModuleType, defining: str, name: str) -> list[str]:
    value = getattr(module, name)
    if inspect.ismodule(value):  # public as a whole, and so a room of its own
        return []
    if inspect.isclass(value) and value.__module__.startswith("apcore"):
        _need(value.__doc__, f"{module.__name__}.{name}")
        return [f".. autoclass:: {module.__name__}.{name}", *_without_origin(value), *_with_inherited(value), ""]
    if inspect.isroutine(value):
        _need(value.__doc__, f"{module.__name__}.{name}")
        return [f".. autofunction:: {module.__name__}.{name}", ""]
    kind, source, text = _documented(import_module(defining))[name]
    lines = [f".. py:{kind}:: {name}"]
    lines += [f"   :{'canonical' if kind == 'type' else 'value'}: {source}"] if source and len(source) <= 160 else []
    return [*lines, "", *(f"   {line}" for line in text.splitlines()), ""]


def _without_origin(value: type) -> list[str]:
    """Error classes inherit what `ApcoreError` documents; the table shows their values."""
    return ["   :exclude-members: blame, retryable, status_hint, reason"] if _is_kind_of_error(value) else []


def _with_inherited(value: type) -> list[str]:
    """Show the members that a class has from bases that are not public: those have no entry of their own."""
    public = {id(getattr(import_module(room), name)) for room in rooms() for name in _names_of(room)}
    bases = [base for base in value.__mro__[1:] if base.__module__.startswith("apcore.")]
    if all(id(base) in public for base in bases):
        return []
    # Sphinx stops at the named classes.
    stops = [base.__name__ for base in bases if id(base) in public] or ["object"]
    return [f"   :inherited-members: {', '.join(stops)}"]


def _is_kind_of_error(value: type) -> bool:
    return issubclass(value, ApcoreError) and value is not ApcoreError


def _documented(module: ModuleType) -> dict[str, tuple[str, str, str]]:
    """Every name that ``module`` defines, in order: its kind, its value as written, and the string below it."""
    body = ast.parse(inspect.getsource(module)).body
    found: dict[str, tuple[str, str, str]] = {}
    for node, below in zip(body, [*body[1:], ast.Pass()], strict=True):
        text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
        said = inspect.cleandoc(text) if isinstance(text, str) else ""
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            _ = found.setdefault(node.name, ("object", "", ""))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            alias = "TypeAlias" in ast.unparse(node.annotation)
            value = "" if node.value is None else ast.unparse(node.value)
            found[node.target.id] = ("type" if alias else "data", value, said)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = ast.unparse(node.value)
            alias = value.startswith(("Literal[", "Callable[")) or " | " in value
            found[node.targets[0].id] = ("type" if alias else "data", value, said)
    return found


def _need(text: str | None, name: str) -> None:
    if not text:
        raise ExtensionError(f"{name} is public and has no docstring")


# --- what autodoc cannot know ---------------------------------------------------------------------------------------


def _google(app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:  # noqa: PLR0917 - as Sphinx calls it
    if what not in ("attribute", "data", "property"):
        lines[:] = GoogleDocstring(lines, _GOOGLE, app, what, name, obj, options).lines()


def _with_defaults(
    _app: Sphinx, _what: str, _name: str, obj: object, _options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None] | None:
    """Show the defaults of an attrs class, whose generated signature names them by how they are looked up."""
    if signature is None or not isinstance(obj, type) or not attrs.has(obj):
        return None
    fields = {each.name: each for each in attrs.fields(obj)}

    def shown(match: re.Match[str]) -> str:
        default = fields[match[1]].default
        text = "..." if isinstance(default, attrs.Factory) else repr(default)
        return text if len(text) <= 40 else "..."

    return re.sub(r"attr_dict\['(\w+)'\]\.default", shown, signature.replace("NOTHING", "...")), returns


# --- the errors -----------------------------------------------------------------------------------------------------


def _errors_table() -> str:
    for room in rooms():
        import_module(room)  # Defines the errors of the room.
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "",
        "   * - error",
        "     - blame",
        "     - retry",
        "     - status",
    ]
    lines += ["     - reason", "     - says"]
    for kind in _kinds(ApcoreError):
        first = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        lines += [f"   * - {_link(kind)}"]
        lines += [f"     - {kind.blame.value if hasattr(kind, 'blame') else ''}"]
        lines += [f"     - {'yes' if kind.retryable else 'no'}", f"     - {kind.status_hint}"]
        lines += [f"     - {f'``{kind.reason}``' if kind.reason else '(abstract)'}", f"     - {first}"]
    return "\n".join(lines) + "\n"


def _link(kind: type[ApcoreError]) -> str:
    """Link to a public error. Other errors are told apart by their reason."""
    for room in rooms():
        if _has(import_module(room), kind.__name__, kind):
            return f":py:class:`{kind.__name__} <{room}.{kind.__name__}>`"
    return f"``{kind.__name__}``"


def _kinds(root: type[ApcoreError]) -> list[type[ApcoreError]]:
    """The tree below ``root``, depth first, in order of definition."""
    return [kind for child in root.__subclasses__() for kind in (child, *_kinds(child))]


def _heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"
