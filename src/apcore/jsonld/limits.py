"""The bounds on what a document may ask of us, each with a name.

Everything in this room that loops or recurses over what a peer sent does so within one of these. Two kinds of bound:

- *Size*: bytes, depth, nodes, members of one array. What real servers send stays far below; a document that exceeds one is refused whole.
- *Work*: context definitions, the slow path, canonicalisation. These grow faster than the document if a sender wants them to, so that they
  are counted in steps of the algorithm and not in bytes. `apcore.jsonld.work.WorkBudget` counts them, for all passes over one document together.

The defaults are those of a server that federates with the world. A benchmark, an importer of trusted archives or a test makes its own.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import Attribute, field, frozen

__all__ = ["DEFAULT_LIMITS", "IRI_CHARS_MAX", "ProcessingLimits"]

IRI_CHARS_MAX: Final = 512
"""Of what a context makes words into. The longest in use have about a hundred; each stands wherever the word does, so that one of 60,000 makes a hundred
kilobytes into a gigabyte."""

_DEPTH_CEILING: Final = 128
"""Our walks take up to two interpreter frames a level and the slow path about eight; the interpreter allows a thousand."""

_CHAIN_CEILING: Final = 64
"""A definition that waits for another takes four frames on the slow path."""


def _positive(_limits: ProcessingLimits, attribute: Attribute[Any], value: int) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"Limits.{attribute.name} is {value!r}: it has to be a positive integer")


def _depth(limits: ProcessingLimits, attribute: Attribute[Any], value: int) -> None:
    _positive(limits, attribute, value)
    if value > _DEPTH_CEILING:
        raise ValueError(f"Limits.{attribute.name} is {value}: the interpreter's stack allows {_DEPTH_CEILING}")


def _chain(limits: ProcessingLimits, attribute: Attribute[Any], value: int) -> None:
    _positive(limits, attribute, value)
    if value > _CHAIN_CEILING:
        raise ValueError(f"Limits.{attribute.name} is {value}: the interpreter's stack allows {_CHAIN_CEILING}")


@frozen(kw_only=True)
class ProcessingLimits:
    """How much one document may cost."""

    bytes_max: int = field(default=1_048_576, validator=_positive)
    """Length of the serialised document. Mastodon's bound, in both directions."""
    depth_max: int = field(default=64, validator=_depth)
    """Objects and arrays inside one another."""
    nodes_max: int = field(default=20_000, validator=_positive)
    """Objects and arrays together."""
    array_max: int = field(default=10_000, validator=_positive)
    """Members of one array, or of one object."""
    integer_digits_max: int = field(default=300, validator=_positive)
    """Digits of one integer. Up to here integers are exact; a double would end at 308."""
    work_base: int = field(default=18_000, validator=_positive)
    """Steps of work that a document of up to 10 KB may take. A step is about a microsecond; most documents take a few hundred."""
    work_per_kb: int = field(default=1_500, validator=_positive)
    """Steps for each KB beyond the first ten."""
    work_max: int = field(default=360_000, validator=_positive)
    """Steps for a document of any size."""
    contexts_max: int = field(default=256, validator=_positive)
    """Contexts that one document names: addresses, objects and nulls are counted alike, also inside lists and in the contexts of terms.
    Equal values of ``@context`` count once."""
    terms_max: int = field(default=2_000, validator=_positive)
    """Terms that the inline contexts of one document may define, all together."""
    chain_max: int = field(default=32, validator=_chain)
    """Definitions of one context that wait for one another: ``a`` is defined by ``b``, which is defined by ``c``, and so on."""
    fetched_terms_max: int = field(default=5_000, validator=_positive)
    """Terms that a context fetched from somewhere may define. schema.org, the largest that we know, has three thousand."""
    slow_nodes_max: int = field(default=5_000, validator=_positive)
    """Nodes of a document that only the slow path can read."""
    blank_nodes_max: int = field(default=1_000, validator=_positive)
    """Blank nodes of a graph to be canonicalised. A signed activity has fewer than a hundred."""
    slow_chars_max: int = field(default=50_000_000, validator=_positive)
    """Words of a document, times the characters of its inline contexts: what they could become on the slow path."""
    canonical_chars_max: int = field(default=16_777_216, validator=_positive)
    """Length of the statements of a document: its names stand in each of theirs."""
    canonical_work_max: int = field(default=8_000, validator=_positive)
    """Steps of canonicalisation that grow with symmetry: one for each path that is tried through indistinguishable blank nodes."""


DEFAULT_LIMITS: Final = ProcessingLimits()
"""For documents from strangers."""
