"""Compile contexts into tables of terms, each context once.

`Compiler.local` applies a document's ``@context`` to the context around it. It first looks in a cache, with the
serialised context as the key. So documents with equal contexts share one table, and a sender with another context
cannot change it. A new context is split into its parts (addresses are looked up in the `ContextTable`), and each part
is applied to the context so far. These steps have a cache too (`Memory`). So a new inline context costs the compilation
of its own terms, but not of the contexts that it extends.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import Any, Final, NamedTuple, TypeVar, cast, final

from apcore.jsonld.cache import Memory
from apcore.jsonld.definitions import Definer, Standalone, make_standalone
from apcore.jsonld.parser import JsonObject
from apcore.jsonld.tables import BUNDLED, ContextTable, ContextValue, count_terms
from apcore.jsonld.terms import INITIAL, ActiveContext, NotCovered
from apcore.jsonld.work import WorkBudget
from apcore.jsonld.work import content_key as _content_key

__all__ = ["CompiledContext", "Compiler", "compiler_of", "content_key", "has_no_references"]

_KEY_MAX: Final = 16_384
"""The most bytes of a context that is cached. The bytes are the key of the cache."""
_TERMS_MAX: Final = 300
"""The most terms of an inline context that is cached."""
_CACHED_TERMS_MAX: Final = 1_000
"""The most terms of a compiled context that is cached.

Only schema.org has more, and it is quickly applied to another context.
"""
_TERMS_IN_A_STEP: Final = 20
"""Terms that are compared or searched in one step."""
_ADDRESSES_MAX: Final = 10
"""The most addresses that one context may lead to on the fast path. The limit of the slow path is slightly higher."""
_OWN_MAX: Final = 16
"""The most cached contexts of apcore and the application: one for each vocabulary, and a few for output."""
_PARTS_MAX: Final = 256
"""The most addresses whose parts are cached. Fewer are in use."""
_ADDRESS: Final = re.compile(r"https?://\S+")


class CompiledContext(NamedTuple):
    """The result of applying a whole context to another."""

    active: ActiveContext
    inline: int
    """The number of terms in the context itself."""
    steps: int
    """The steps of the first compilation. Every use of the cached result costs the same."""


class CompiledPart(NamedTuple):
    """The result of applying one object of definitions to a context."""

    definitions: JsonObject | None
    """The definitions. This reference keeps them alive, so that no other object gets their id, which is the key."""
    active: ActiveContext
    steps: int
    """The steps of the first compilation. Every use of the cached result costs the same."""


@final
class Compiler:
    """Compiles and caches contexts, for one `ContextTable`."""

    __slots__ = ("_locals", "_own", "_own_everywhere", "_parts_by_address", "_registered_steps", "_steps", "_table")

    def __init__(self, table: ContextTable) -> None:
        self._table = table
        self._locals: Memory[CompiledContext] = Memory()
        self._parts_by_address: dict[str, tuple[tuple[_Part, ...], int]] = {}
        # Inline and registered steps have separate caches, so that a peer's inline contexts, however often repeated,
        # cannot displace registered ones. Neither depends on the table: tables derived from one another share them.
        self._steps: Memory[CompiledPart] = _shared(table, "steps")
        # Contexts of apcore and the application. Those without addresses have the same result under every table.
        self._own: Memory[CompiledContext] = Memory(_OWN_MAX)
        self._own_everywhere: Memory[CompiledContext] = _shared(table, "own contexts")
        self._registered_steps: Memory[CompiledPart] = _shared(table, "registered steps")

    def compile_own(self, context: ContextValue) -> ActiveContext:
        """Compile a ``context`` of apcore or the application, on the empty context. No document pays for this."""
        key = content_key(context)
        memory = self._own_everywhere if has_no_references(context) else self._own
        compiled = memory.get(key)
        if compiled is None:
            compiled = self._apply(INITIAL, context, WorkBudget.unbounded())
            memory.put(key, compiled)
        return compiled.active

    def local(self, active: ActiveContext, context: ContextValue, key: bytes, work: WorkBudget) -> ActiveContext:
        """Apply a document's ``context``, whose `content_key` is ``key``, to ``active``, and spend from ``work``."""
        cache_key = (active.serial, key)
        compiled = self._locals.get(cache_key)
        if compiled is None:
            compiled = self._apply(active, context, work)
            if len(key) <= _KEY_MAX and compiled.inline <= _TERMS_MAX:
                _remember(self._locals, cache_key, compiled)
        else:
            work.spend(compiled.steps)
        return compiled.active

    def scoped(self, active: ActiveContext, context: ContextValue, work: WorkBudget, *, of_type: bool) -> ActiveContext:
        """Apply the scoped ``context`` of a property or a type to ``active``.

        The context of a type holds in its node only: the result refers to ``active`` as its previous context.
        """
        key = content_key(context)
        work.spend(2 + len(key) // 256)
        memory = self._registered_steps if active.pinned else self._steps
        cache_key = (active.serial, key, of_type)
        compiled = memory.get(cache_key)
        if compiled is None:
            steps_before = work.steps_left
            work.spend(len(active.terms) // _TERMS_IN_A_STEP * 2)
            start = _copy(active, previous=active) if of_type and active.previous is None else active
            result = self._apply_scoped(start, context, work, override=not of_type)
            compiled = CompiledPart(None, active if _equal(result, active) else result, steps_before - work.steps_left)
            _remember(memory, cache_key, compiled)
        else:
            work.spend(compiled.steps)
        return compiled.active

    def _apply(self, active: ActiveContext, context: ContextValue, work: WorkBudget) -> CompiledContext:
        start, steps_before = active, work.steps_left
        for part in self._parts(context, [], registered=False):
            work.spend(1)
            if part.definitions is None:
                work.spend(len(active.terms) // _TERMS_IN_A_STEP)
                if any(term.protected for term in active.terms.values()):
                    raise NotCovered
                active = INITIAL
            elif part.registered:
                key = (active.serial, id(part.definitions))
                memory = self._registered_steps if active.pinned else self._steps
                step = memory.get(key)
                if step is None:
                    part_steps_before = work.steps_left
                    result = self._apply_part(active, part, work, override=False)
                    step = CompiledPart(part.definitions, result, part_steps_before - work.steps_left)
                    _remember(memory, key, step)
                else:
                    work.spend(step.steps)
                active = step.active
            else:
                active = self._apply_part(active, part, work, override=False)
        work.spend(len(active.terms) // _TERMS_IN_A_STEP)
        return CompiledContext(
            start if _equal(active, start) else active, count_terms(context), steps_before - work.steps_left
        )

    def _apply_scoped(
        self, active: ActiveContext, context: ContextValue, work: WorkBudget, *, override: bool
    ) -> ActiveContext:
        for part in self._parts(context, [], registered=active.pinned):
            if part.definitions is None:
                raise NotCovered
            active = self._apply_part(active, part, work, override=override)
        return active

    def _apply_part(self, active: ActiveContext, part: _Part, work: WorkBudget, *, override: bool) -> ActiveContext:
        assert part.definitions is not None
        pinned = active.pinned and part.registered
        if part.bundled:
            standalone = _standalone_of(part.definitions)
            result = None if standalone is None else standalone.apply(active, pinned=pinned, work=work)
            if result is not None:
                return result

        def check(inner: ActiveContext, context: ContextValue) -> None:
            self._check_scoped(inner, context, work)

        return Definer(active, part.definitions, override=override, pinned=pinned, check=check, work=work).define()

    def _check_scoped(self, active: ActiveContext, context: ContextValue, work: WorkBudget) -> None:
        """Compile a scoped context only to check it: JSON-LD checks contexts where they are defined."""
        if type(context) is not dict and type(context) is not list:
            raise NotCovered
        self._apply_scoped(active, context, work, override=True)

    # --- splitting into parts ---------------------------------------------------------------------------------------

    def _parts(
        self, context: ContextValue, addresses: list[str], *, registered: bool, bundled: bool = False
    ) -> Iterator[_Part]:
        if type(context) is list:
            if not context:
                raise NotCovered
            for member in context:
                if type(member) is list:
                    raise NotCovered
                yield from self._parts(member, addresses, registered=registered, bundled=bundled)
        elif type(context) is str:
            yield from self._registered(context, addresses)
        elif context is None:
            yield _Part(None, registered=registered, bundled=False)
        elif type(context) is dict:
            yield _Part(context, registered=registered, bundled=bundled)
        else:
            raise NotCovered

    def _registered(self, url: str, addresses: list[str]) -> tuple[_Part, ...]:
        cached = self._parts_by_address.get(url)
        if cached is None:
            if url in addresses or len(addresses) > _ADDRESSES_MAX or _ADDRESS.fullmatch(url) is None or "/." in url:
                raise NotCovered
            below = [*addresses, url]
            context = self._table.get(url)
            bundled = url in BUNDLED and BUNDLED.get(url) is context
            parts = tuple(self._parts(context, below, registered=True, bundled=bundled))
            if len(self._parts_by_address) >= _PARTS_MAX:
                self._parts_by_address.clear()
            cached = self._parts_by_address[url] = (parts, len(below) - len(addresses))
        parts, address_count = cached
        addresses += [url] * address_count
        if len(addresses) > _ADDRESSES_MAX:
            raise NotCovered
        return parts


def compiler_of(table: ContextTable) -> Compiler:
    """Return the compiler of ``table``. It is created on the first call and stored in the table."""
    compiler = table.compiled.get("compiler")
    if compiler is None:
        compiler = table.compiled["compiler"] = Compiler(table)
    assert isinstance(compiler, Compiler)
    return compiler


def _shared(table: ContextTable, name: str) -> Memory[Any]:
    return cast("Memory[Any]", table.shared.setdefault(name, Memory[Any]()))


def has_no_references(context: ContextValue) -> bool:
    """Return whether ``context`` is an object of definitions that refers to no other context."""
    if not isinstance(context, dict) or "@import" in context:
        return False
    definitions: list[Any] = list(context.values())
    return not any(isinstance(definition, dict) and "@context" in definition for definition in definitions)


def content_key(context: ContextValue) -> bytes:
    """Serialise ``context`` with `apcore.jsonld.work.content_key`. Raise `NotCovered` if that fails."""
    try:
        return _content_key(context)
    except ValueError:
        raise NotCovered from None


# --- leaves ---------------------------------------------------------------------------------------------------------


@final
class _Part:
    """One part of a context: definitions, or None for a null, which removes all definitions."""

    __slots__ = ("bundled", "definitions", "registered")

    def __init__(self, definitions: JsonObject | None, *, registered: bool, bundled: bool) -> None:
        self.definitions: Final = definitions
        self.registered: Final = registered
        self.bundled: Final = bundled
        """Whether it belongs to apcore, and so exists as long as the process."""


_bundled: Final[dict[int, Standalone | None]] = {}
"""The standalone form of the bundled contexts, by the id of their definitions. There are about 40."""


def _standalone_of(definitions: JsonObject) -> Standalone | None:
    """Return the standalone form of bundled ``definitions``, or None if they have none.

    They are compiled once in a process, and no document pays for it.
    """
    if id(definitions) not in _bundled:
        unbounded = WorkBudget.unbounded()
        try:
            own = Definer(
                INITIAL, definitions, override=False, pinned=True, check=_refuse_scoped, work=unbounded
            ).define()
        except NotCovered:
            _bundled[id(definitions)] = None
        else:
            _bundled[id(definitions)] = make_standalone(definitions, own)
    return _bundled[id(definitions)]


def _refuse_scoped(_active: ActiveContext, _context: ContextValue) -> None:
    raise NotCovered


_Result = TypeVar("_Result", CompiledContext, CompiledPart)


def _remember(memory: Memory[_Result], key: Hashable, result: _Result) -> None:
    if len(result.active.terms) <= _CACHED_TERMS_MAX:
        memory.put(key, result)


def _copy(active: ActiveContext, *, previous: ActiveContext) -> ActiveContext:
    return ActiveContext(
        active.terms, vocab=active.vocab, language=active.language, previous=previous, pinned=active.pinned
    )


def _equal(one: ActiveContext, other: ActiveContext) -> bool:
    """Return whether two contexts are equal.

    A result that equals its origin is replaced by the origin. So a context that is repeated in nested nodes does not
    fill the caches.
    """
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
