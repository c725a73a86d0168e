"""From the text of contexts to tables of terms, each only once.

`Compiler.local` answers what holds after a ``@context``. It first asks by content: the serialised context is the key, so that two documents that
say the same share one table, and a sender who says something else cannot touch it. If that is new, the context is taken apart into its
definitions (addresses looked up in the `ContextTable`), and each is laid over what held before, again by way of a `Memory`. So an inline
context never seen before costs its own terms and not those of the contexts that it stands upon.
"""

from __future__ import annotations

import marshal
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast, final

from apcore.jsonld.definitions import Definer
from apcore.jsonld.memory import Memory
from apcore.jsonld.parsing import JsonObject
from apcore.jsonld.tables import Context, ContextTable, count_terms
from apcore.jsonld.terms import INITIAL, ActiveContext, NotCovered

__all__ = ["Applied", "Compiler", "compiler_of", "content_key"]

_KEY_MAX: Final = 16_384
"""Bytes of a context that is worth remembering; they are the key."""
_TERMS_MAX: Final = 300
"""Terms of an inline context that is worth remembering."""
_COPIES_OF_A_TERM: Final = 16
"""Copying a term costs about a sixteenth of defining it."""
_ADDRESSES_MAX: Final = 10
"""Addresses that one context may lead to on the fast path; the slow path refuses a few more than that."""
_FLAT_MAX: Final = 256
"""Addresses whose parts are kept; there are hardly as many."""
_ADDRESS: Final = re.compile(r"https?://\S+")


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
        pinned = active.pinned and part.registered
        check = self._check_scoped
        return Definer(active, part.definitions, override=override, pinned=pinned, check=check).define()

    def _check_scoped(self, active: ActiveContext, context: Context) -> None:
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


def content_key(context: Context) -> bytes:
    """Serialise ``context``: equal keys mean equal contexts, and 1, 1.0 and true are not equal.

    `marshal` is the fastest writer there is; in version 2 its output depends on the value alone. It is never read back.
    """
    try:
        return marshal.dumps(context, 2)
    except ValueError:  # nested too deeply for it, or not JSON
        raise NotCovered from None


# --- leaves ---------------------------------------------------------------------------------------------------------


@final
class _Part:
    """Definitions, or None for the null that takes all definitions back."""

    __slots__ = ("definitions", "registered")

    def __init__(self, definitions: JsonObject | None, *, registered: bool) -> None:
        self.definitions: Final = definitions
        self.registered: Final = registered


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
