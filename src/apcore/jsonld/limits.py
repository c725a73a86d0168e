"""The bounds on what a document may ask of us, each with a name.

Everything in this room that loops or recurses over what a peer sent does so within one of these. Two kinds of bound:

- *Size*: bytes, depth, nodes, members of one array. What real servers send stays far below; a document that exceeds one is refused whole.
- *Work*: context definitions, the slow path, canonicalisation. These grow faster than the document if a sender wants them to, so that they
  are counted in steps of the algorithm and not in bytes.

The defaults are those of a server that federates with the world. A benchmark, an importer of trusted archives or a test makes its own.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import Attribute, field, frozen

__all__ = ["DEFAULT_LIMITS", "IRI_CHARS_MAX", "Limits"]

IRI_CHARS_MAX: Final = 512
"""Of what a context makes words into. The longest in use have about a hundred; each stands wherever the word does, so that one of 60,000 makes a hundred
kilobytes into a gigabyte."""

_DEPTH_CEILING: Final = 128
"""Our walks take up to two interpreter frames a level and the slow path about six; the interpreter allows a thousand."""


def _positive(_limits: Limits, attribute: Attribute[Any], value: int) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"Limits.{attribute.name} is {value!r}: it has to be a positive integer")


def _depth(limits: Limits, attribute: Attribute[Any], value: int) -> None:
    _positive(limits, attribute, value)
    if value > _DEPTH_CEILING:
        raise ValueError(f"Limits.{attribute.name} is {value}: the interpreter's stack allows {_DEPTH_CEILING}")


@frozen(kw_only=True)
class Limits:
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
    contexts_max: int = field(default=64, validator=_positive)
    """Different contexts inside one document, references and inline objects counted alike."""
    terms_max: int = field(default=2_000, validator=_positive)
    """Terms that the inline contexts of one document may define, all together."""
    applied_terms_max: int = field(default=20_000, validator=_positive)
    """Definitions that are applied for one document, those of registered contexts included: each context counts once for each
    context that it is laid over. Copying the terms that stay counts for a sixteenth."""
    fetched_terms_max: int = field(default=5_000, validator=_positive)
    """Terms that a context fetched from somewhere may define. schema.org, the largest that we know, has three thousand."""
    slow_nodes_max: int = field(default=5_000, validator=_positive)
    """Nodes of a document that only the slow path can read."""
    slow_terms_max: int = field(default=50_000, validator=_positive)
    """Definitions that the slow path may have to apply: every context at each place where it stands, and the inline scoped
    contexts for every node."""
    blank_nodes_max: int = field(default=1_000, validator=_positive)
    """Blank nodes of a graph to be canonicalised. A signed activity has fewer than a hundred."""
    slow_chars_max: int = field(default=50_000_000, validator=_positive)
    """Words of a document, times the characters of its inline contexts: what they could become on the slow path."""
    canonical_chars_max: int = field(default=16_777_216, validator=_positive)
    """Length of the statements of a document: its names stand in each of theirs."""
    canonical_work_max: int = field(default=8_000, validator=_positive)
    """Steps of canonicalisation that grow with symmetry: one for each path that is tried through indistinguishable blank nodes."""


DEFAULT_LIMITS: Final = Limits()
"""For documents from strangers."""
