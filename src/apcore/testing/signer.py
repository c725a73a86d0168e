"""The conformance suite for `Signer`: what `apcore.ports` says of it, point by point, for a file, a KMS, an HSM.

`signer_checks` gives the suite, `check_signer` runs all of it. How to run it stands in `apcore.testing.conformance`; the clock that the factory is
given means nothing to a signer. A signer for event loops is checked through a blocking face of its own.

A few keys are made on the way, two of them RSA.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeAlias, cast

from apcore.errors import SignatureError, SignerUnavailable
from apcore.ports import DroppingSigner, KeyKind, MadeKey, Signer
from apcore.signatures import PublicKey, read_spki
from apcore.testing.conformance import Conformance, ManualClock, conformance, refusing

__all__ = ["check_signer", "signer_checks"]

MakeSigner: TypeAlias = Callable[[ManualClock], Signer]

_KINDS: Final[tuple[tuple[KeyKind, str, int], ...]] = (("rsa-2048", "rsa", 2048), ("ed25519", "ed25519", 256))
_DATA: Final = (b"", b"data", b"(request-target): get /\n" * 100)


def signer_checks(*, reopen: Callable[[Signer], Signer] | None = None) -> tuple[Conformance[Signer], ...]:
    """Give the suite; ``reopen`` opens what a signer keeps its keys in a second time, as a new process would."""

    def keys_outlive_the_process(make: MakeSigner) -> None:
        """A key that was answered is kept: who opens the signer anew signs with it."""
        assert reopen is not None
        signer = make(ManualClock())
        made = signer.make_key("ed25519")
        _holds(_public(made), reopen(signer).sign(made.name, b"data"), b"data")

    runs = [_keys_are_of_their_kind, _keys_differ, _unknown_keys_are_refused, _threads_may_share_it, _forgets]
    return tuple(conformance(run) for run in [*runs, *([] if reopen is None else [keys_outlive_the_process])])


def check_signer(make: MakeSigner, /, *, reopen: Callable[[Signer], Signer] | None = None) -> None:
    """Run the whole suite; the first check that fails ends it."""
    for check in signer_checks(reopen=reopen):
        check(make)


def _keys_are_of_their_kind(make: MakeSigner) -> None:
    """A new key is of the kind asked for, named, and signs as its kind does; its public half is SubjectPublicKeyInfo."""
    signer = make(ManualClock())
    for kind, key_type, bits in _KINDS:
        made = signer.make_key(kind)
        public = _public(made)
        assert made.kind == kind, f"asked for {kind}, answered {made.kind}"
        assert made.name, "a key needs a name to be asked for by"
        assert (public.type, public.bits) == (key_type, bits), f"{kind}: the public half is {public.described}"
        assert public.spki == made.public, f"{kind}: the public half is not SubjectPublicKeyInfo in DER"
        for data in _DATA:
            _holds(public, signer.sign(made.name, data), data)


def _keys_differ(make: MakeSigner) -> None:
    """No two keys have the same name or are the same key, and each signs for itself."""
    signer = make(ManualClock())
    made = [signer.make_key("ed25519") for _ in range(5)]
    assert len({each.name for each in made}) == len(made), "two keys have one name"
    assert len({each.public for each in made}) == len(made), "two keys are the same"
    for each in made:
        _holds(_public(each), signer.sign(each.name, b"data"), b"data")


def _unknown_keys_are_refused(make: MakeSigner) -> None:
    """Signing with a key that is not there is `SignerUnavailable`, whatever its name looks like."""
    signer = make(ManualClock())
    for name in ("0" * 32, "", "../../etc/passwd", "a/b", ".", "\x00", "é" * 300):
        refusing(SignerUnavailable, f"signing with {name!r:.40}", partial(signer.sign, name, b""))


def _threads_may_share_it(make: MakeSigner) -> None:
    """From several threads at once, keys are made and used, and none gets another's signature."""
    signer = make(ManualClock())

    def work(number: int) -> None:
        made = signer.make_key("ed25519")
        for turn in range(10):
            data = f"{number} {turn}".encode()
            _holds(_public(made), signer.sign(made.name, data), data)

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(work, range(4)):
            pass


def _forgets(make: MakeSigner) -> None:
    """A signer that can forget (`DroppingSigner`) signs no more with what it forgot, forgets twice, and forgets nothing else."""
    signer = make(ManualClock())
    if not hasattr(signer, "drop_key"):
        return
    gone, kept = signer.make_key("ed25519"), signer.make_key("ed25519")
    for _ in range(2):
        cast("DroppingSigner", signer).drop_key(gone.name)
        refusing(SignerUnavailable, "signing with a key that was dropped", partial(signer.sign, gone.name, b""))
    _holds(_public(kept), signer.sign(kept.name, b"data"), b"data")


def _public(made: MadeKey) -> PublicKey:
    return read_spki(made.public, key_id=made.name, owner=made.name)


def _holds(public: PublicKey, signature: bytes, data: bytes) -> None:
    try:
        public.verify(signature, data, public.choose_algorithm())
    except SignatureError as error:
        raise AssertionError(f"a signature over {data[:40]!r} does not hold: {error}") from error
