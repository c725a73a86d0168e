"""Define the limits on the size and the cost of a document, each with a name.

Every loop and every recursion over a peer's data in this room is bounded by one of these limits. There are two kinds:

- *Size*: bytes, depth, nodes, members of one array. Documents of real servers are far smaller. A document over a limit
  is refused as a whole.
- *Work*: context definitions, the slow path, canonicalisation. A malicious sender can make these grow faster than the
  document. So they are counted in steps of the algorithm, not in bytes. `apcore.jsonld.work.WorkBudget` counts the
  steps of all passes over one document together.

The defaults suit a server that federates with unknown peers. For benchmarks, imports of trusted archives and tests,
create your own `ProcessingLimits`.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import Attribute, field, frozen

__all__ = ["DEFAULT_LIMITS", "IRI_CHARS_MAX", "ProcessingLimits"]

IRI_CHARS_MAX: Final = 512
"""The most characters of an IRI that a context maps a term to. The longest in use have about 100.

Expansion writes the IRI wherever the term occurs: with an IRI of 60,000 characters, a document of 100 KB would expand
to a gigabyte.
"""

_DEPTH_CEILING: Final = 128
"""The highest depth limit. The fast path takes up to 2 interpreter frames a level, the slow path about 8; the
interpreter allows 1,000."""

_CHAIN_CEILING: Final = 64
"""The highest chain limit. Each definition that depends on another takes 4 interpreter frames on the slow path."""


def _positive(_limits: ProcessingLimits, attribute: Attribute[Any], value: int) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"ProcessingLimits.{attribute.name} is {value!r}: it has to be a positive integer")


def _depth(limits: ProcessingLimits, attribute: Attribute[Any], value: int) -> None:
    _positive(limits, attribute, value)
    if value > _DEPTH_CEILING:
        raise ValueError(
            f"ProcessingLimits.{attribute.name} is {value}: the interpreter's stack allows at most {_DEPTH_CEILING}"
        )


def _chain(limits: ProcessingLimits, attribute: Attribute[Any], value: int) -> None:
    _positive(limits, attribute, value)
    if value > _CHAIN_CEILING:
        raise ValueError(
            f"ProcessingLimits.{attribute.name} is {value}: the interpreter's stack allows at most {_CHAIN_CEILING}"
        )


@frozen(kw_only=True)
class ProcessingLimits:
    """Limits on the size and the processing cost of one document."""

    bytes_max: int = field(default=1_048_576, validator=_positive)
    """Bytes of the serialised document. Mastodon has the same limit, for sending and receiving."""
    depth_max: int = field(default=64, validator=_depth)
    """Levels of nested objects and arrays."""
    nodes_max: int = field(default=20_000, validator=_positive)
    """Objects and arrays of a document, together."""
    array_max: int = field(default=10_000, validator=_positive)
    """Members of one array, or of one object."""
    integer_digits_max: int = field(default=300, validator=_positive)
    """Digits of one integer. Up to this limit integers are exact; the range of a double ends at about 10**308."""
    work_base: int = field(default=18_000, validator=_positive)
    """Steps of work for a document of up to 10 KB. A step is about a microsecond; most documents take a few hundred."""
    work_per_kb: int = field(default=1_500, validator=_positive)
    """Additional steps for each KB beyond the first ten."""
    work_max: int = field(default=360_000, validator=_positive)
    """Steps for a document of any size."""
    contexts_max: int = field(default=256, validator=_positive)
    """Contexts of one document: addresses, objects and nulls, also inside lists and in the contexts of terms.

    Equal values of ``@context`` count once.
    """
    terms_max: int = field(default=2_000, validator=_positive)
    """Terms that all inline contexts of one document define together."""
    chain_max: int = field(default=32, validator=_chain)
    """Length of a chain of definitions in one context: ``a`` is defined by ``b``, ``b`` by ``c``, and so on."""
    fetched_terms_max: int = field(default=5_000, validator=_positive)
    """Terms that a fetched context defines. schema.org, the largest context in use, has about 3,000."""
    slow_nodes_max: int = field(default=5_000, validator=_positive)
    """Nodes of a document that needs the slow path."""
    blank_nodes_max: int = field(default=1_000, validator=_positive)
    """Blank nodes of a graph to be canonicalised. A signed activity has fewer than a hundred."""
    slow_chars_max: int = field(default=50_000_000, validator=_positive)
    """Words of a document times the characters of its inline contexts.

    This is an upper bound for the characters of the expanded document on the slow path.
    """
    canonical_chars_max: int = field(default=16_777_216, validator=_positive)
    """Characters of all RDF statements of a document. Each statement repeats the names of its nodes in full."""
    canonical_work_max: int = field(default=8_000, validator=_positive)
    """Steps of canonicalisation that grow with symmetry: one for each path through indistinguishable blank nodes."""


DEFAULT_LIMITS: Final = ProcessingLimits()
"""The limits for documents of unknown peers."""
