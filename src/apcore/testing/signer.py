"""Test a `Signer` against its contract in `apcore.ports`, point by point: for a file, a KMS, an HSM.

`signer_checks` returns the suite, `check_signer` runs all of it. `apcore.testing.conformance` explains how to run it; a
signer does not use the clock of the factory. To test a signer for event loops, wrap it in a blocking one.

The checks make a few keys, two of them RSA.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeAlias

from apcore.errors import SignatureError, SignerUnavailable
from apcore.ports import KeyKind, MadeKey, Signer
from apcore.signatures import PublicKey, read_spki
from apcore.testing.conformance import Conformance, ManualClock, conformance, expect_refusal

__all__ = ["check_signer", "signer_checks"]

MakeSigner: TypeAlias = Callable[[ManualClock], Signer]

_KINDS: Final[tuple[tuple[KeyKind, str, int], ...]] = (("rsa-2048", "rsa", 2048), ("ed25519", "ed25519", 256))
_DATA: Final = (b"", b"data", b"(request-target): get /\n" * 100)


def signer_checks(*, reopen: Callable[[Signer], Signer] | None = None) -> tuple[Conformance[Signer], ...]:
    """Return the suite. ``reopen`` opens the signer's storage a second time, as a new process would."""

    def keys_outlive_the_process(make: MakeSigner) -> None:
        """A key that was returned is durable: the reopened signer signs with it."""
        assert reopen is not None
        signer = make(ManualClock())
        made_key = signer.make_key("ed25519")
        _holds(_public(made_key), reopen(signer).sign(made_key.name, b"data"), b"data")

    runs = [_keys_are_of_their_kind, _keys_differ, _unknown_keys_are_refused, _threads_may_share_it, _forgets]
    return tuple(conformance(run) for run in [*runs, *([] if reopen is None else [keys_outlive_the_process])])


def check_signer(make: MakeSigner, /, *, reopen: Callable[[Signer], Signer] | None = None) -> None:
    """Run the whole suite; the first check that fails ends it."""
    for check in signer_checks(reopen=reopen):
        check(make)


def _keys_are_of_their_kind(make: MakeSigner) -> None:
    """A new key has the requested kind and a name, and signs as its kind does.

    Its public half is SubjectPublicKeyInfo.
    """
    signer = make(ManualClock())
    for kind, key_type, bits in _KINDS:
        made_key = signer.make_key(kind)
        public = _public(made_key)
        assert made_key.kind == kind, f"asked for {kind}, answered {made_key.kind}"
        assert made_key.name, "a key needs a name to be asked for by"
        assert (public.type, public.bits) == (key_type, bits), f"{kind}: the public half is {public.described}"
        assert public.spki == made_key.public, f"{kind}: the public half is not SubjectPublicKeyInfo in DER"
        for data in _DATA:
            _holds(public, signer.sign(made_key.name, data), data)


def _keys_differ(make: MakeSigner) -> None:
    """No two keys have the same name or are the same key, and each makes its own signatures."""
    signer = make(ManualClock())
    made_keys = [signer.make_key("ed25519") for _ in range(5)]
    assert len({made_key.name for made_key in made_keys}) == len(made_keys), "two keys have one name"
    assert len({made_key.public for made_key in made_keys}) == len(made_keys), "two keys are the same"
    for made_key in made_keys:
        _holds(_public(made_key), signer.sign(made_key.name, b"data"), b"data")


def _unknown_keys_are_refused(make: MakeSigner) -> None:
    """Signing with an unknown key name of any form is `SignerUnavailable`."""
    signer = make(ManualClock())
    for name in ("0" * 32, "", "../../etc/passwd", "a/b", ".", "\x00", "é" * 300):
        expect_refusal(SignerUnavailable, f"signing with {name!r:.40}", partial(signer.sign, name, b""))


def _threads_may_share_it(make: MakeSigner) -> None:
    """With several threads at once, keys are made and used, and no thread gets another's signature."""
    signer = make(ManualClock())

    def work(number: int) -> None:
        made_key = signer.make_key("ed25519")
        for turn in range(10):
            data = f"{number} {turn}".encode()
            _holds(_public(made_key), signer.sign(made_key.name, data), data)

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(work, range(4)):
            pass


def _forgets(make: MakeSigner) -> None:
    """A signer no longer signs with a destroyed key, and other keys stay. Destroying it again is allowed.

    A signer that answers False cannot destroy keys. It still signs with all of them.
    """
    signer = make(ManualClock())
    dropped_key, remaining_key = signer.make_key("ed25519"), signer.make_key("ed25519")
    sign = partial(signer.sign, dropped_key.name, b"data")
    for _ in range(2):
        if signer.drop_key(dropped_key.name):
            expect_refusal(SignerUnavailable, "signing with a key that was dropped", sign)
            continue
        try:
            signature = sign()
        except SignerUnavailable as error:
            raise AssertionError("drop_key answered False, and yet the key is gone") from error
        _holds(_public(dropped_key), signature, b"data")
    _holds(_public(remaining_key), signer.sign(remaining_key.name, b"data"), b"data")


def _public(made_key: MadeKey) -> PublicKey:
    return read_spki(made_key.public, key_id=made_key.name, owner=made_key.name)


def _holds(public: PublicKey, signature: bytes, data: bytes) -> None:
    try:
        public.verify(signature, data, public.choose_algorithm())
    except SignatureError as error:
        raise AssertionError(f"a signature over {data[:40]!r} does not hold: {error}") from error
