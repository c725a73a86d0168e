"""`KvStore`: an ordered map with conditional batches, where facts live.

The contract, point by point, is what `apcore.testing.store` checks. In short:

- ``get`` is not a snapshot of several keys; only the checks of a commit join reads together.
- ``commit`` applies all its writes or none, at one point in one serial order of all commits. False says exactly: a check did not hold and
  nothing was written. Contention is never False; an adapter retries it, and then raises `StoreBusy`.
- Every entry written by a commit has the commit's token as its version. Tokens are unique, so no version ever returns, and a commit whose
  answer was lost can be recognised.
- Expired entries are absent to everything. No correctness rests on that: expiry frees space, it does not decide.
- A commit that answered True survives the SIGKILL of every process; ``durability`` says what else it survives.

Wrong arguments are `ValueError` before any I/O; the ``checked_*`` functions here do that for every adapter, and encode the keys on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Final, Literal, Protocol, TypeAlias

from attrs import field, frozen

from apcore.ports.keys import Key, encode_key, prefix_bounds

__all__ = [
    "COMMIT_BYTES_MAX",
    "COMMIT_KEYS_MAX",
    "GET_KEYS_MAX",
    "SCAN_LIMIT_MAX",
    "TOKEN_BYTES",
    "VALUE_BYTES_MAX",
    "Add",
    "AsyncKvStore",
    "Check",
    "Delete",
    "Durability",
    "EncodedCommit",
    "Entry",
    "KvStore",
    "Put",
    "Write",
    "added",
    "checked_commit",
    "checked_get",
    "checked_scan",
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
"""What a commit that answered True survives: power loss; the death of every process; nothing."""


@frozen
class Entry:
    """One entry, as it was at some moment during the call that read it."""

    key: Key
    value: bytes = field(repr=False)
    version: bytes
    """The token of the commit that wrote it."""


@frozen
class Check:
    """A condition of a commit: the entry at ``key`` has ``version``, or is absent (None)."""

    key: Key
    version: bytes | None


@frozen
class Put:
    """Replace the value and the time to live of ``key``; without ``ttl_s`` the entry stays until it is deleted."""

    key: Key
    value: bytes = field(repr=False)
    ttl_s: float | None = None


@frozen
class Delete:
    """Remove ``key``; absent is fine."""

    key: Key


@frozen
class Add:
    """Add ``delta`` to a counter: a signed 64-bit decimal in ASCII; absent counts as 0, and a counter does not expire.

    Adds never conflict with each other, so a hot counter costs nothing; that is why counters are not compare-and-set.
    """

    key: Key
    delta: int


Write: TypeAlias = Put | Delete | Add
"""One change of a commit."""


class KvStore(Protocol):
    """An ordered map with conditional batches. Safe from several threads; opens lazily; reopens after fork.

    Every method raises `StoreUnavailable` or its kind `StoreBusy`, and nothing else but `ValueError` for wrong arguments and `ContractError` for
    an `Add` to what is no counter.
    """

    @property
    def durability(self) -> Durability:
        """What a True commit survives."""
        ...

    def get(self, keys: Sequence[Key], /) -> Sequence[Entry | None]:
        """Read up to 100 keys; one answer per key, in the order asked."""
        ...

    def scan(self, prefix: Key, /, *, after: Key | None = None, limit: int, reverse: bool = False) -> Sequence[Entry]:
        """Read up to ``limit`` (1 to 1,000) strict extensions of ``prefix``, in key order.

        ``after`` is exclusive, in scan direction, and need not exist. Fewer than ``limit`` entries means the end.
        """
        ...

    def commit(self, checks: Sequence[Check], writes: Sequence[Write], /, *, token: bytes) -> bool:
        """Apply all of ``writes`` if all of ``checks`` hold, else nothing; at most 100 distinct keys and 8 MiB."""
        ...

    def close(self) -> None:
        """Release what is open. Closing twice is fine; a later call opens again."""
        ...


class AsyncKvStore(Protocol):
    """`KvStore` for event loops: the same contract, awaited. Its methods are ``async def``."""

    @property
    def durability(self) -> Durability:
        """What a True commit survives."""
        ...

    async def get(self, keys: Sequence[Key], /) -> Sequence[Entry | None]:
        """As `KvStore.get`."""
        ...

    async def scan(
        self, prefix: Key, /, *, after: Key | None = None, limit: int, reverse: bool = False
    ) -> Sequence[Entry]:
        """As `KvStore.scan`."""
        ...

    async def commit(self, checks: Sequence[Check], writes: Sequence[Write], /, *, token: bytes) -> bool:
        """As `KvStore.commit`."""
        ...

    async def aclose(self) -> None:
        """As `KvStore.close`."""
        ...


@frozen
class EncodedCommit:
    """A commit whose arguments are known to be right, with its keys encoded."""

    checks: Sequence[tuple[bytes, bytes | None]]
    writes: Sequence[tuple[bytes, Write]]
    token: bytes


def checked_get(keys: Sequence[Key], /) -> list[bytes]:
    """Encode the keys of a ``get``.

    Raises:
        ValueError: More than 100 keys, or one that is no key.
    """
    if len(keys) > GET_KEYS_MAX:
        raise ValueError(f"get takes at most {GET_KEYS_MAX} keys, not {len(keys)}")
    return [encode_key(key) for key in keys]


def checked_scan(prefix: Key, after: Key | None, limit: int, *, reverse: bool) -> tuple[bytes, bytes]:
    """Give the exclusive byte bounds of a ``scan``, with ``after`` taken in.

    Raises:
        ValueError: A limit outside 1 to 1,000, or a prefix or ``after`` that is no key.
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


def checked_commit(checks: Sequence[Check], writes: Sequence[Write], token: bytes) -> EncodedCommit:
    """Encode the keys of a ``commit`` and hold its bounds.

    Raises:
        ValueError: A token that is not 16 bytes, a key twice, over 100 keys or 8 MiB, a value over 2 MiB, a delta outside 64 bits, a time to
            live that is not a positive number.
    """
    _check_token(token, "a token")
    seen_checks: dict[bytes, bytes | None] = {}
    for check in checks:
        encoded = encode_key(check.key)
        if encoded in seen_checks:
            raise ValueError(f"key {check.key!r} stands twice among the checks")
        if check.version is not None:
            _check_token(check.version, "a version")
        seen_checks[encoded] = check.version
    seen_writes: dict[bytes, Write] = {}
    size = 0
    for write in writes:
        encoded = encode_key(write.key)
        if encoded in seen_writes:
            raise ValueError(f"key {write.key!r} stands twice among the writes")
        seen_writes[encoded] = write
        size += len(encoded) + _check_write(write)
    if (count := len(seen_checks.keys() | seen_writes.keys())) > COMMIT_KEYS_MAX:
        raise ValueError(f"a commit has at most {COMMIT_KEYS_MAX} distinct keys, not {count}")
    if size > COMMIT_BYTES_MAX:
        raise ValueError(f"a commit has at most {COMMIT_BYTES_MAX} bytes, not {size}")
    return EncodedCommit(list(seen_checks.items()), list(seen_writes.items()), token)


def added(value: bytes | None, delta: int, /) -> bytes | None:
    """Give the counter ``value`` (None for absent) with ``delta`` added, or None if there is no such counter value.

    That is: ``value`` is not a signed decimal, or the sum leaves 64 bits.
    """
    total = delta
    if value is not None:
        digits = value[1:] if value.startswith(b"-") else value
        if not digits.isdigit() or len(digits) > 19:
            return None
        total += int(value)
    return b"%d" % total if _INT64_MIN <= total <= _INT64_MAX else None


def _check_write(write: Write) -> int:
    """Refuse a write out of bounds; give the bytes it counts for."""
    if isinstance(write, Put):
        if not isinstance(write.value, bytes) or len(write.value) > VALUE_BYTES_MAX:
            size = len(write.value) if isinstance(write.value, bytes) else f"a {type(write.value).__name__}"
            raise ValueError(f"a value is at most {VALUE_BYTES_MAX} bytes, not {size} as for {write.key!r}")
        if write.ttl_s is not None and not (isfinite(write.ttl_s) and write.ttl_s > 0):
            raise ValueError(f"a time to live is a positive number of seconds, not {write.ttl_s} as for {write.key!r}")
        return len(write.value)
    if isinstance(write, Add):
        if not isinstance(write.delta, int) or not _INT64_MIN <= write.delta <= _INT64_MAX:
            raise ValueError(f"a delta is a signed 64-bit number, not {write.delta} as for {write.key!r}")
        return 20
    return 0


def _check_token(token: bytes, name: str) -> None:
    if not isinstance(token, bytes) or len(token) != TOKEN_BYTES:
        raise ValueError(f"{name} is {TOKEN_BYTES} bytes, not {token!r:.60}")
