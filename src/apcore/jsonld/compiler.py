"""From the text of contexts to tables of terms, each only once.

`Compiler.local` answers what holds after a ``@context``. It first asks by content: the serialised context is the key, so that two documents that
say the same share one table, and a sender who says something else cannot touch it. If that is new, the context is taken apart into its
definitions (addresses looked up in the `ContextTable`), and each is laid over what held before, again by way of a `Memory`. So an inline
context never seen before costs its own terms and not those of the contexts that it stands upon.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import Any, Final, NamedTuple, TypeVar, cast, final

from apcore.jsonld.cache import Memory
from apcore.jsonld.definitions import Definer, Standalone, stand_alone
from apcore.jsonld.parser import JsonObject
from apcore.jsonld.tables import BUNDLED, ContextTable, ContextValue, count_terms
from apcore.jsonld.terms import INITIAL, ActiveContext, NotCovered
from apcore.jsonld.work import WorkBudget
from apcore.jsonld.work import content_key as _content_key

__all__ = ["Applied", "Compiler", "compiler_of", "content_key", "names_nothing"]

_KEY_MAX: Final = 16_384
"""Bytes of a context that is worth remembering; they are the key."""
_TERMS_MAX: Final = 300
"""Terms of an inline context that is worth remembering."""
_REMEMBERED_TERMS_MAX: Final = 1_000
"""Terms of a whole that is worth remembering. Only schema.org has more, and it is laid over another context quickly."""
_TERMS_IN_A_STEP: Final = 20
"""Terms that are compared, or looked through, in a microsecond."""
_ADDRESSES_MAX: Final = 10
"""Addresses that one context may lead to on the fast path; the slow path refuses a few more than that."""
_OWN_MAX: Final = 16
"""Contexts of ours that are kept: one for each vocabulary, and a few to write in."""
_FLAT_MAX: Final = 256
"""Addresses whose parts are kept; there are hardly as many."""
_ADDRESS: Final = re.compile(r"https?://\S+")


class Applied(NamedTuple):
    """The context that holds after another was applied, and the steps that compiling it took (the first time)."""

    active: ActiveContext
    inline: int
    """Terms that stand in the context itself."""
    steps: int


class Laid(NamedTuple):
    """The context that holds after definitions were laid over another, and the steps that it took (the first time)."""

    definitions: JsonObject | None
    """Kept alive: while this lives, no other object has their id."""
    active: ActiveContext
    steps: int


@final
class Compiler:
    """Answers what holds after a context, for one `ContextTable`."""

    __slots__ = ("_flat", "_locals", "_own", "_own_everywhere", "_registered_steps", "_steps", "_table")

    def __init__(self, table: ContextTable) -> None:
        self._table = table
        self._locals: Memory[Applied] = Memory()
        self._flat: dict[str, tuple[tuple[_Part, ...], int]] = {}
        # These two do not depend on the table, and tables that were made from one another share them. They are apart, so that
        # no inline context, however often it is repeated, pushes out what comes from registered ones.
        self._steps: Memory[Laid] = _shared(table, "steps")
        # Contexts that we read and write with ourselves. One without addresses means the same under every table.
        self._own: Memory[Applied] = Memory(_OWN_MAX)
        self._own_everywhere: Memory[Applied] = _shared(table, "own contexts")
        self._registered_steps: Memory[Laid] = _shared(table, "registered steps")

    def own(self, context: ContextValue) -> ActiveContext:
        """Compile a ``context`` of the caller's, over none. That is done once, and at no document's cost."""
        key = content_key(context)
        memory = self._own_everywhere if names_nothing(context) else self._own
        applied = memory.get(key)
        if applied is None:
            applied = self._apply(INITIAL, context, WorkBudget.unbounded())
            memory.put(key, applied)
        return applied.active

    def local(self, active: ActiveContext, context: ContextValue, key: bytes, work: WorkBudget) -> ActiveContext:
        """Lay a document's ``context``, whose `content_key` is ``key``, over ``active``, and spend what that costs from ``work``."""
        place = (active.serial, key)
        known = self._locals.get(place)
        if known is None:
            known = self._apply(active, context, work)
            if len(key) <= _KEY_MAX and known.inline <= _TERMS_MAX:
                _remember(self._locals, place, known)
        else:
            work.spend(known.steps)
        return known.active

    def scoped(self, active: ActiveContext, context: ContextValue, work: WorkBudget, *, of_type: bool) -> ActiveContext:
        """Lay over ``active`` the context of a term: of a property, or of a type, whose context ends with the node."""
        key = content_key(context)
        work.spend(2 + len(key) // 256)
        memory = self._registered_steps if active.pinned else self._steps
        place = (active.serial, key, of_type)
        known = memory.get(place)
        if known is None:
            steps_before = work.steps_left
            work.spend(len(active.terms) // _TERMS_IN_A_STEP * 2)
            start = _copy(active, previous=active) if of_type and active.previous is None else active
            made = self._apply_scoped(start, context, work, override=not of_type)
            known = Laid(None, active if _equal(made, active) else made, steps_before - work.steps_left)
            _remember(memory, place, known)
        else:
            work.spend(known.steps)
        return known.active

    def _apply(self, active: ActiveContext, context: ContextValue, work: WorkBudget) -> Applied:
        before, steps_before = active, work.steps_left
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
                    part_before = work.steps_left
                    laid = self._lay(active, part, work, override=False)
                    step = Laid(part.definitions, laid, part_before - work.steps_left)
                    _remember(memory, key, step)
                else:
                    work.spend(step.steps)
                active = step.active
            else:
                active = self._lay(active, part, work, override=False)
        work.spend(len(active.terms) // _TERMS_IN_A_STEP)
        return Applied(
            before if _equal(active, before) else active, count_terms(context), steps_before - work.steps_left
        )

    def _apply_scoped(
        self, active: ActiveContext, context: ContextValue, work: WorkBudget, *, override: bool
    ) -> ActiveContext:
        for part in self._parts(context, [], registered=active.pinned):
            if part.definitions is None:
                raise NotCovered
            active = self._lay(active, part, work, override=override)
        return active

    def _lay(self, active: ActiveContext, part: _Part, work: WorkBudget, *, override: bool) -> ActiveContext:
        assert part.definitions is not None
        pinned = active.pinned and part.registered
        if part.bundled:
            standalone = _standalone_of(part.definitions)
            laid = None if standalone is None else standalone.lay(active, pinned=pinned, work=work)
            if laid is not None:
                return laid

        def check(inner: ActiveContext, context: ContextValue) -> None:
            self._check_scoped(inner, context, work)

        return Definer(active, part.definitions, override=override, pinned=pinned, check=check, work=work).define()

    def _check_scoped(self, active: ActiveContext, context: ContextValue, work: WorkBudget) -> None:
        """Compile a scoped context only to see that it can be, as definitions are checked where they stand."""
        if type(context) is not dict and type(context) is not list:
            raise NotCovered
        self._apply_scoped(active, context, work, override=True)

    # --- taking apart -----------------------------------------------------------------------------------------------

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
        known = self._flat.get(url)
        if known is None:
            if url in addresses or len(addresses) > _ADDRESSES_MAX or _ADDRESS.fullmatch(url) is None or "/." in url:
                raise NotCovered
            below = [*addresses, url]
            context = self._table.get(url)
            bundled = url in BUNDLED and BUNDLED.get(url) is context
            parts = tuple(self._parts(context, below, registered=True, bundled=bundled))
            if len(self._flat) >= _FLAT_MAX:
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


def names_nothing(context: ContextValue) -> bool:
    """Say whether ``context`` is a plain object of definitions that refers to no other context."""
    if not isinstance(context, dict) or "@import" in context:
        return False
    definitions: list[Any] = list(context.values())
    return not any(isinstance(definition, dict) and "@context" in definition for definition in definitions)


def content_key(context: ContextValue) -> bytes:
    """Serialise ``context``, as `apcore.jsonld.work.content_key` does; what cannot be is not covered."""
    try:
        return _content_key(context)
    except ValueError:
        raise NotCovered from None


# --- leaves ---------------------------------------------------------------------------------------------------------


@final
class _Part:
    """Definitions, or None for the null that takes all definitions back."""

    __slots__ = ("bundled", "definitions", "registered")

    def __init__(self, definitions: JsonObject | None, *, registered: bool, bundled: bool) -> None:
        self.definitions: Final = definitions
        self.registered: Final = registered
        self.bundled: Final = bundled
        """Part of apcore: there as long as the process."""


_bundled: Final[dict[int, Standalone | None]] = {}
"""The bundled contexts by themselves, by the id of their definitions. There are about forty."""


def _standalone_of(definitions: JsonObject) -> Standalone | None:
    """Return bundled ``definitions`` by themselves, None if they do not stand alone. Each is compiled once in a process, at no document's cost."""
    if id(definitions) not in _bundled:
        unbounded = WorkBudget.unbounded()
        try:
            own = Definer(
                INITIAL, definitions, override=False, pinned=True, check=_refuse_scoped, work=unbounded
            ).define()
        except NotCovered:
            _bundled[id(definitions)] = None
        else:
            _bundled[id(definitions)] = stand_alone(definitions, own)
    return _bundled[id(definitions)]


def _refuse_scoped(_active: ActiveContext, _context: ContextValue) -> None:
    raise NotCovered


_Result = TypeVar("_Result", Applied, Laid)


def _remember(memory: Memory[_Result], place: Hashable, result: _Result) -> None:
    if len(result.active.terms) <= _REMEMBERED_TERMS_MAX:
        memory.put(place, result)


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
