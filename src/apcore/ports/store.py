"""Define `KvStore`: an ordered map with conditional batches, which holds all facts.

`apcore.testing.store` tests the contract point by point. In short:

- ``get`` is not a snapshot of several keys; only the checks of a commit tie reads together.
- ``commit`` applies all its writes or none, at one point in one serial order of all commits. False means exactly: a
  check did not hold, and no write was applied. Contention is never False; an adapter retries it, and then raises
  `StoreBusy`.
- Every entry written by a commit has the commit's token as its version. Tokens are unique, so a version never recurs,
  and a commit can be recognised after its answer was lost.
- Expired entries are absent for every operation. Correctness does not depend on expiry: it only frees space.
- ``durability`` says which failures a commit survives after it has returned True. Unless it is ``none``, the commit
  survives the SIGKILL of every process.

Wrong arguments are `ValueError` before any I/O. The ``check_*`` functions here check them for every adapter, and
encode the keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Final, Literal, Protocol, TypeAlias

from attrs import field, frozen

from apcore.ports.keys import StoreKey, encode_key, prefix_bounds

__all__ = [
    "COMMIT_BYTES_MAX",
    "COMMIT_KEYS_MAX",
    "GET_KEYS_MAX",
    "SCAN_LIMIT_MAX",
    "TOKEN_BYTES",
    "VALUE_BYTES_MAX",
    "AsyncKvStore",
    "Check",
    "DeleteEntry",
    "Durability",
    "EncodedCommit",
    "Entry",
    "Increment",
    "KvStore",
    "Put",
    "Write",
    "check_commit",
    "check_get",
    "check_scan",
    "sum_counter",
]

VALUE_BYTES_MAX: Final = 2 * 1024 * 1024
COMMIT_KEYS_MAX: Final = 100
COMMIT_BYTES_MAX: Final = 8 * 1024 * 1024
GET_KEYS_MAX: Final = 100
SCAN_LIMIT_MAX: Final = 1000
TOKEN_BYTES: Final = 16

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1

Durability = Literal["power", "process", "none"]
"""The failures that a commit survives.

``power``: power loss, and the death of every process. ``process``: only the latter. ``none``: neither.
"""


@frozen
class Entry:
    """One entry, as it was at some time during the call that read it."""

    key: StoreKey
    value: bytes = field(repr=False)
    version: bytes
    """The token of the commit that wrote the entry."""


@frozen
class Check:
    """A condition of a commit: the entry at ``key`` has ``version``, or is absent (None)."""

    key: StoreKey
    version: bytes | None


@frozen
class Put:
    """Set the value and the time to live of ``key``. Without ``ttl_s`` the entry stays until it is deleted."""

    key: StoreKey
    value: bytes = field(repr=False)
    ttl_s: float | None = None


@frozen
class DeleteEntry:
    """Remove ``key``. A missing key is not an error."""

    key: StoreKey


@frozen
class Increment:
    """Add ``delta`` to a counter: a signed 64-bit decimal in ASCII.

    An absent counter counts as 0, and counters do not expire.

    Adds never conflict with each other, so a hot counter is cheap. That is why counters are not compare-and-set.
    """

    key: StoreKey
    delta: int


Write: TypeAlias = Put | DeleteEntry | Increment
"""One change of a commit."""


class KvStore(Protocol):
    """An ordered map with conditional batches. Safe to use from several threads; opens lazily; reopens after a fork.

    Every method raises only `StoreUnavailable` or its subclass `StoreBusy`, `ValueError` for wrong arguments, and
    `ContractError` for an `Increment` to a value that is not a counter.
    """

    @property
    def durability(self) -> Durability:
        """Return the failures that a commit which returned True survives."""
        ...

    def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        """Read up to 100 keys, and return one entry or None per key, in the order of ``keys``."""
        ...

    def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        """Read up to ``limit`` (1 to 1,000) strict extensions of ``prefix``, in key order.

        ``after`` is exclusive, in scan direction, and need not exist. Fewer than ``limit`` entries means the end.
        """
        ...

    def commit(self, checks: Sequence[Check], writes: Sequence[Write], /, *, token: bytes) -> bool:
        """Apply all of ``writes`` if all of ``checks`` hold, else none; at most 100 distinct keys and 8 MiB."""
        ...

    def close(self) -> None:
        """Close files and connections. Closing twice is allowed; a later call reopens."""
        ...


class AsyncKvStore(Protocol):
    """`KvStore` for event loops: the same contract, with coroutine methods."""

    @property
    def durability(self) -> Durability:
        """Return the failures that a commit which returned True survives."""
        ...

    async def get(self, keys: Sequence[StoreKey], /) -> Sequence[Entry | None]:
        """See `KvStore.get`."""
        ...

    async def scan(
        self, prefix: StoreKey, /, *, after: StoreKey | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        """See `KvStore.scan`."""
        ...

    async def commit(self, checks: Sequence[Check], writes: Sequence[Write], /, *, token: bytes) -> bool:
        """See `KvStore.commit`."""
        ...

    async def aclose(self) -> None:
        """See `KvStore.close`."""
        ...


@frozen
class EncodedCommit:
    """A commit with checked arguments and encoded keys."""

    checks: Sequence[tuple[bytes, bytes | None]]
    writes: Sequence[tuple[bytes, Write]]
    token: bytes


def check_get(keys: Sequence[StoreKey], /) -> list[bytes]:
    """Encode the keys of a ``get``.

    Raises:
        ValueError: More than 100 keys, or an invalid key.
    """
    if len(keys) > GET_KEYS_MAX:
        raise ValueError(f"get takes at most {GET_KEYS_MAX} keys, not {len(keys)}")
    return [encode_key(key) for key in keys]


def check_scan(prefix: StoreKey, after: StoreKey | None, limit: int, *, reverse: bool) -> tuple[bytes, bytes]:
    """Return the exclusive byte bounds of a ``scan`` that continues after ``after``.

    Raises:
        ValueError: A limit outside 1 to 1,000, or an invalid prefix or ``after``.
    """
    if not 1 <= limit <= SCAN_LIMIT_MAX:
        raise ValueError(f"scan takes a limit of 1 to {SCAN_LIMIT_MAX}, not {limit}")
    low, high = prefix_bounds(prefix)
    if after is not None:
        bound = encode_key(after)
        if reverse:
            high = min(high, bound)
        else:
            low = max(low, bound)
    return low, high


def check_commit(checks: Sequence[Check], writes: Sequence[Write], token: bytes) -> EncodedCommit:
    """Encode the keys of a ``commit`` and check its arguments.

    Raises:
        ValueError: A token that is not 16 bytes, a key given twice, over 100 keys or 8 MiB, a value over 2 MiB, a delta
            outside 64 bits, or a time to live that is not a positive number.
    """
    _check_token(token, "a token")
    seen_checks: dict[bytes, bytes | None] = {}
    for check in checks:
        encoded = encode_key(check.key)
        if encoded in seen_checks:
            raise ValueError(f"key {check.key!r} is given twice in the checks")
        if check.version is not None:
            _check_token(check.version, "a version")
        seen_checks[encoded] = check.version
    seen_writes: dict[bytes, Write] = {}
    size = 0
    for write in writes:
        encoded = encode_key(write.key)
        if encoded in seen_writes:
            raise ValueError(f"key {write.key!r} is given twice in the writes")
        seen_writes[encoded] = write
        size += len(encoded) + _check_write(write)
    if (count := len(seen_checks.keys() | seen_writes.keys())) > COMMIT_KEYS_MAX:
        raise ValueError(f"a commit has at most {COMMIT_KEYS_MAX} distinct keys, not {count}")
    if size > COMMIT_BYTES_MAX:
        raise ValueError(f"a commit has at most {COMMIT_BYTES_MAX} bytes, not {size}")
    return EncodedCommit(list(seen_checks.items()), list(seen_writes.items()), token)


def sum_counter(value: bytes | None, delta: int, /) -> bytes | None:
    """Return the counter ``value`` (None for absent) plus ``delta``.

    Return None if ``value`` is not a signed decimal, or if the sum exceeds 64 bits.
    """
    total = delta
    if value is not None:
        digits = value[1:] if value.startswith(b"-") else value
        if not digits.isdigit() or len(digits) > 19:
            return None
        total += int(value)
    return b"%d" % total if _INT64_MIN <= total <= _INT64_MAX else None


def _check_write(write: Write) -> int:
    """Check one write, and return the number of bytes that it adds to the commit."""
    if isinstance(write, Put):
        if not isinstance(write.value, bytes) or len(write.value) > VALUE_BYTES_MAX:
            size = len(write.value) if isinstance(write.value, bytes) else f"a {type(write.value).__name__}"
            raise ValueError(f"the value of {write.key!r} must have at most {VALUE_BYTES_MAX} bytes, not {size}")
        if write.ttl_s is not None and not (isfinite(write.ttl_s) and write.ttl_s > 0):
            raise ValueError(
                f"the time to live of {write.key!r} must be a positive number of seconds, not {write.ttl_s}"
            )
        return len(write.value)
    if isinstance(write, Increment):
        if not isinstance(write.delta, int) or not _INT64_MIN <= write.delta <= _INT64_MAX:
            raise ValueError(f"the delta of {write.key!r} must be a signed 64-bit number, not {write.delta}")
        return 20
    return 0


def _check_token(token: bytes, name: str) -> None:
    if not isinstance(token, bytes) or len(token) != TOKEN_BYTES:
        raise ValueError(f"{name} is {TOKEN_BYTES} bytes, not {token!r:.60}")
