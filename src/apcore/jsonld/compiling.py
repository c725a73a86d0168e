"""From the text of contexts to tables of terms; and the memory of what was compiled.

`Compiler.local` answers what holds after a ``@context``. It first asks by content: the serialised context is the key, so that two documents that
say the same share one table, and a sender who says something else cannot touch it. If that is new, the context is taken apart into its
definitions (addresses looked up in the `ContextTable`), and each is laid over what held before, again by way of a memory. So an inline
context never seen before costs its own terms and not those of the contexts that it stands upon.

Memories are bounded, in two generations: what was asked for once waits in the first and is pushed out by whatever comes; what was asked for again
moves to the second, which only others that were asked for again can push out. A flood of contexts that are all different washes through
the first.
"""

from __future__ import annotations

import marshal
import re
from collections.abc import Hashable, Iterator
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast, final

from apcore.jsonld.parsing import Json, JsonObject
from apcore.jsonld.tables import Context, ContextTable, count_terms
from apcore.jsonld.terms import INITIAL, KEYWORDS, UNSET, ActiveContext, NotCovered, Term, Unset, is_absolute

__all__ = ["Applied", "Compiler", "Memory", "compiler_of", "content_key"]

_V = TypeVar("_V")

_MEMORY: Final = 256
_KEY_MAX: Final = 16_384
"""Bytes of a context that is worth remembering; they are the key."""
_TERMS_MAX: Final = 300
"""Terms of an inline context that is worth remembering."""
_COPIES_OF_A_TERM: Final = 16
"""Copying a term costs about a sixteenth of defining it."""
_ADDRESSES_MAX: Final = 10
"""Addresses that one context may lead to on the fast path; the slow path refuses a few more than that."""


@final
class Memory(Generic[_V]):
    """A bounded map in two generations. A lost race between threads costs a compilation, nothing else."""

    __slots__ = ("_once", "_proven", "_size")

    def __init__(self, size: int = _MEMORY) -> None:
        self._size = size
        self._once: dict[Hashable, _V] = {}
        self._proven: dict[Hashable, _V] = {}

    def get(self, key: Hashable) -> _V | None:
        """Return what is known for ``key``, and remember that it was asked for."""
        value = self._proven.pop(key, None)
        if value is None:
            value = self._once.pop(key, None)
            if value is None:
                return None
            if len(self._proven) >= self._size:
                _forget_oldest(self._proven)
        self._proven[key] = value
        return value

    def put(self, key: Hashable, value: _V) -> None:
        """Remember ``value``, for now."""
        if len(self._once) >= self._size:
            _forget_oldest(self._once)
        self._once[key] = value

    def __len__(self) -> int:
        return len(self._once) + len(self._proven)


class Applied(NamedTuple):
    """What holds after a context, and what it took to find out (the first time)."""

    active: ActiveContext
    inline: int
    """Terms that stand in the context itself."""
    applied: int
    """Definitions applied, as `Limits.applied_terms_max` counts them."""


@final
class Compiler:
    """Answers what holds after a context, for one `ContextTable`."""

    __slots__ = ("_flat", "_locals", "_registered_steps", "_steps", "_table")

    def __init__(self, table: ContextTable) -> None:
        self._table = table
        self._locals: Memory[Applied] = Memory()
        self._flat: dict[str, tuple[tuple[_Part, ...], int]] = {}
        # These two do not depend on the table, and tables that were made from one another share them. They are apart, so that
        # no inline context, however often it is repeated, pushes out what comes from registered ones.
        self._steps: Memory[tuple[Any, ActiveContext]] = _shared(table, "steps")
        self._registered_steps: Memory[tuple[Any, ActiveContext]] = _shared(table, "registered steps")

    def local(self, active: ActiveContext, context: Context, key: bytes) -> Applied:
        """Lay a document's ``context``, whose `content_key` is ``key``, over ``active``."""
        place = (active.serial, key)
        known = self._locals.get(place)
        if known is None:
            known = self._apply(active, context)
            if len(key) <= _KEY_MAX and known.inline <= _TERMS_MAX:
                self._locals.put(place, known)
        return known

    def scoped(self, active: ActiveContext, context: Context, *, of_type: bool) -> ActiveContext:
        """Lay over ``active`` the context of a term: of a property, or of a type, whose context ends with the node."""
        key = (active.serial, content_key(context), of_type)
        memory = self._registered_steps if active.pinned else self._steps
        known = memory.get(key)
        if known is None:
            start = _copy(active, previous=active) if of_type and active.previous is None else active
            made = self._apply_scoped(start, context, override=not of_type)
            known = (None, active if _equal(made, active) else made)
            memory.put(key, known)
        return known[1]

    def _apply(self, active: ActiveContext, context: Context) -> Applied:
        before, applied = active, 0
        for part in self._parts(context, [], registered=False):
            if part.definitions is None:
                if any(term.protected for term in active.terms.values()):
                    raise NotCovered
                active = INITIAL
                continue
            applied += len(part.definitions) + len(active.terms) // _COPIES_OF_A_TERM
            if part.registered:
                # The definitions themselves are remembered with the result: while it lives, no other object has their id.
                key = (active.serial, id(part.definitions))
                memory = self._registered_steps if active.pinned else self._steps
                step = memory.get(key)
                if step is None:
                    step = (part.definitions, self._lay(active, part, override=False))
                    memory.put(key, step)
                active = step[1]
            else:
                active = self._lay(active, part, override=False)
        return Applied(before if _equal(active, before) else active, count_terms(context), applied)

    def _apply_scoped(self, active: ActiveContext, context: Context, *, override: bool) -> ActiveContext:
        for part in self._parts(context, [], registered=active.pinned):
            if part.definitions is None:
                raise NotCovered
            active = self._lay(active, part, override=override)
        return active

    def _lay(self, active: ActiveContext, part: _Part, *, override: bool) -> ActiveContext:
        assert part.definitions is not None
        return _Definer(
            self, active, part.definitions, override=override, pinned=active.pinned and part.registered
        ).define()

    def check_scoped(self, active: ActiveContext, context: Context) -> None:
        """Compile a scoped context only to see that it can be, as definitions are checked where they stand."""
        if type(context) is not dict and type(context) is not list:
            raise NotCovered
        self._apply_scoped(active, context, override=True)

    # --- taking apart -----------------------------------------------------------------------------------------------

    def _parts(self, context: Context, addresses: list[str], *, registered: bool) -> Iterator[_Part]:
        if type(context) is list:
            if not context:
                raise NotCovered
            for member in context:
                if type(member) is list:
                    raise NotCovered
                yield from self._parts(member, addresses, registered=registered)
        elif type(context) is str:
            yield from self._registered(context, addresses)
        elif context is None:
            yield _Part(None, registered=registered)
        elif type(context) is dict:
            yield _Part(context, registered=registered)
        else:
            raise NotCovered

    def _registered(self, url: str, addresses: list[str]) -> tuple[_Part, ...]:
        known = self._flat.get(url)
        if known is None:
            if url in addresses or len(addresses) > _ADDRESSES_MAX or _ADDRESS.fullmatch(url) is None or "/." in url:
                raise NotCovered
            below = [*addresses, url]
            parts = tuple(self._parts(self._table.get(url), below, registered=True))
            if len(self._flat) >= _MEMORY:
                self._flat.clear()
            known = self._flat[url] = (parts, len(below) - len(addresses))
        addresses += [url] * known[1]
        if len(addresses) > _ADDRESSES_MAX:
            raise NotCovered
        return known[0]


def compiler_of(table: ContextTable) -> Compiler:
    """Return the compiler of ``table``, which lives as long as the table."""
    compiler = table.compiled.get("compiler")
    if compiler is None:
        compiler = table.compiled["compiler"] = Compiler(table)
    assert isinstance(compiler, Compiler)
    return compiler


def _shared(table: ContextTable, name: str) -> Memory[Any]:
    return cast("Memory[Any]", table.shared.setdefault(name, Memory[Any]()))


def content_key(context: Context) -> bytes:
    """Serialise ``context``: equal keys mean equal contexts, and 1, 1.0 and true are not equal.

    `marshal` is the fastest writer there is; in version 2 its output depends on the value alone. It is never read back.
    """
    try:
        return marshal.dumps(context, 2)
    except ValueError:  # nested too deeply for it, or not JSON
        raise NotCovered from None


# --- definitions ----------------------------------------------------------------------------------------------------

_ADDRESS: Final = re.compile(r"https?://\S+")
_LIKE_AN_IRI: Final = re.compile(r".*((:[^:])|/)")
_ENDS_LIKE_A_NAMESPACE: Final = re.compile(r".*[:/\?#\[\]@]$")
_HAS_COLON_OR_SLASH: Final = re.compile(r".*(:|/)")
_TERM_KEYS: Final = frozenset(("@id", "@type", "@container", "@language", "@context", "@prefix", "@protected"))
_CONTEXT_KEYS: Final = frozenset(("@vocab", "@language", "@version", "@protected"))
_CONTAINERS: Final = frozenset(
    (
        ("@list",),
        ("@set",),
        ("@language",),
        ("@graph",),
        ("@language", "@set"),
        ("@set", "@language"),
        ("@graph", "@set"),
        ("@set", "@graph"),
    )
)


@final
class _Part:
    """Definitions, or None for the null that takes all definitions back."""

    __slots__ = ("definitions", "registered")

    def __init__(self, definitions: JsonObject | None, *, registered: bool) -> None:
        self.definitions: Final = definitions
        self.registered: Final = registered


@final
class _Definer:
    """Lays one object of definitions over a context: the algorithm "Create Term Definition", for what the tables cover."""

    def __init__(
        self, compiler: Compiler, active: ActiveContext, definitions: JsonObject, *, override: bool, pinned: bool
    ) -> None:
        self._compiler = compiler
        self._definitions = definitions
        self._override = override
        self._pinned = pinned
        self._previous = active.previous
        self._terms: dict[str, Term] = dict(active.terms)
        self._vocab = active.vocab
        self._language = active.language
        self._protect = False
        self._defined: dict[str, bool] = {}

    def define(self) -> ActiveContext:
        definitions = self._definitions
        self._settings()
        definition: Json
        for term, definition in definitions.items():
            if term in _CONTEXT_KEYS:
                continue
            self._define(term, override=self._override)
            if type(definition) is dict and "@context" in definition:
                self._compiler.check_scoped(self._result(), definition["@context"])
        return self._result()

    def _result(self) -> ActiveContext:
        return ActiveContext(
            self._terms.copy(), vocab=self._vocab, language=self._language, previous=self._previous, pinned=self._pinned
        )

    def _settings(self) -> None:
        definitions = self._definitions
        if definitions.get("@version", 1.1) != 1.1 or definitions.get("@protected", True) is not True:
            raise NotCovered
        self._protect = "@protected" in definitions
        if "@vocab" in definitions:
            vocab = definitions["@vocab"]
            if vocab is None and self._vocab is not None:
                self._vocab = None
            elif type(vocab) is str and vocab:
                self._vocab = self._absolute(_expand_vocab(vocab, self._terms, self._vocab))
            else:
                raise NotCovered
        if "@language" in definitions:
            language = definitions["@language"]
            if language is None and self._language is not None:
                self._language = None
            elif type(language) is str:
                self._language = language.lower()
            else:
                raise NotCovered

    def _define(self, term: str, *, override: bool) -> None:
        if term in self._defined:
            if self._defined[term]:
                return
            raise NotCovered  # a cycle
        self._defined[term] = False
        if term[:1] in ("", "@") or term == "_uuid":
            raise NotCovered
        before = self._terms.pop(term, None)
        definition: Json = self._definitions[term]
        simple = type(definition) is str or definition is None
        if simple:
            definition = {"@id": definition}
        if type(definition) is not dict or not definition.keys() <= _TERM_KEYS:
            raise NotCovered
        iri, prefix = self._iri_of(term, definition, simple=simple)
        if "@prefix" in definition:
            prefix = _prefix_of(term, iri, definition["@prefix"])
        made = Term(
            iri,
            type_=self._type_of(definition),
            container=_container_of(definition),
            language=_language_of(definition),
            scoped=definition.get("@context", UNSET),
            prefix=prefix,
            protected=_protection_of(definition, self._protect)
            or (before is not None and before.protected and not override),
        )
        if before is not None and before.protected and not override and not before.same(made, protected=True):
            raise NotCovered  # redefines what is protected
        self._terms[term] = made
        self._defined[term] = True

    def _iri_of(self, term: str, definition: JsonObject, *, simple: bool) -> tuple[str | None, bool]:
        """Answer what ``term`` means, and whether it is a prefix."""
        colon = term.find(":")
        if "@id" in definition:
            iri = definition["@id"]
            if iri is None:
                return None, False
            if type(iri) is not str or not iri:
                raise NotCovered
            if iri[0] == "@":
                if iri not in KEYWORDS or iri in ("@context", "@preserve") or _LIKE_AN_IRI.match(term) is not None:
                    raise NotCovered
                return iri, False
            if iri != term:
                expanded = self._absolute(self._expand(iri))
                if _LIKE_AN_IRI.match(term) is not None and self._expand(term, itself=term) != expanded:
                    raise NotCovered
                prefix = (
                    simple
                    and colon <= 0
                    and (expanded.startswith("_:") or _ENDS_LIKE_A_NAMESPACE.match(expanded) is not None)
                )
                return expanded, prefix
        if colon > 0:
            return self._compact_form(term, colon), False
        if self._vocab is None:
            raise NotCovered
        return self._vocab + term, False

    def _compact_form(self, term: str, colon: int) -> str:
        name = term[:colon]
        if name in self._definitions:
            self._define(name, override=False)
        parent = self._terms.get(name)
        if parent is None:
            return term
        if parent.iri is None:
            raise NotCovered
        return parent.iri + term[colon + 1 :]

    def _expand(self, value: str, *, itself: str | None = None) -> str | None:
        """Expand ``value`` inside these definitions; those that it depends on are defined first.

        ``itself`` counts as defined already.
        """
        if value[:1] == "@":
            raise NotCovered
        definitions = self._definitions
        if value != itself and value in definitions and self._defined.get(value) is not True:
            self._define(value, override=False)
        if value not in self._terms:
            name, colon, rest = value.partition(":")
            absolute = not name or not colon or name == "_" or rest.startswith("//")
            if not absolute and name != itself and name in definitions and not self._defined.get(name):
                self._define(name, override=False)
        return _expand_vocab(value, self._terms, self._vocab)

    def _absolute(self, iri: str | None) -> str:
        if iri is None or not is_absolute(iri):
            raise NotCovered
        return iri

    def _type_of(self, definition: JsonObject) -> str | None:
        if "@type" not in definition:
            return None
        type_ = definition["@type"]
        if type(type_) is not str:
            raise NotCovered
        if type_ in ("@id", "@vocab", "@json", "@none"):
            return type_
        expanded = self._absolute(self._expand(type_))
        if expanded.startswith("_:"):
            raise NotCovered
        return expanded


# --- leaves ---------------------------------------------------------------------------------------------------------


def _expand_vocab(value: str, terms: dict[str, Term], vocab: str | None) -> str | None:
    if value[:1] == "@":
        raise NotCovered
    term = terms.get(value)
    if term is not None:
        return term.iri
    colon = value.find(":")
    if colon > 0:
        name = value[:colon]
        if name == "_" or value.startswith("//", colon + 1):
            return value
        term = terms.get(name)
        if term is not None and term.prefix:
            return f"{term.iri}{value[colon + 1 :]}"
        if is_absolute(value):
            return value
    return value if vocab is None else vocab + value


def _prefix_of(term: str, iri: str | None, value: Any) -> bool:
    if type(value) is not bool or _HAS_COLON_OR_SLASH.match(term) is not None or iri in KEYWORDS or iri is None:
        raise NotCovered
    return value


def _container_of(definition: JsonObject) -> tuple[str, ...]:
    if "@container" not in definition:
        return ()
    container: Json = definition["@container"]
    parts: list[Json] = container if type(container) is list else [container]
    names = tuple(part for part in parts if type(part) is str)
    if len(names) != len(parts) or names not in _CONTAINERS:
        raise NotCovered
    return names


def _language_of(definition: JsonObject) -> str | Unset | None:
    if "@language" not in definition or "@type" in definition:
        return UNSET
    language = definition["@language"]
    if language is None:
        return None
    if type(language) is not str:
        raise NotCovered
    return language.lower()


def _protection_of(definition: JsonObject, protect: bool) -> bool:
    own = definition.get("@protected", protect)
    if type(own) is not bool:
        raise NotCovered
    return own


def _copy(active: ActiveContext, *, previous: ActiveContext) -> ActiveContext:
    return ActiveContext(
        active.terms, vocab=active.vocab, language=active.language, previous=previous, pinned=active.pinned
    )


def _equal(one: ActiveContext, other: ActiveContext) -> bool:
    """Say whether applying a context changed nothing: then nothing new is remembered, however deep documents nest it."""
    return (
        one.vocab == other.vocab
        and one.language == other.language
        and one.previous is other.previous
        and one.terms.keys() == other.terms.keys()
        and all(
            term is other.terms[name] or term.same(other.terms[name], protected=other.terms[name].protected)
            for name, term in one.terms.items()
        )
    )


def _forget_oldest(memory: dict[Hashable, Any]) -> None:
    try:
        del memory[next(iter(memory))]
    except (KeyError, RuntimeError, StopIteration):  # another thread was faster
        return
