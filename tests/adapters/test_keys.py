"""Check the signers with keys in a store and in files: they keep the contract and explain faults."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from apcore.adapters import key_files
from apcore.adapters._loaded_keys import LoadedKeys
from apcore.adapters.key_files import FileSigner, open_url
from apcore.adapters.keys import StoreSigner
from apcore.adapters.memory import MemoryStore
from apcore.errors import ConfigurationError, SignerUnavailable, StoreUnavailable
from apcore.federation import Federation
from apcore.http import Headers, Request
from apcore.node import AsyncNode, Node
from apcore.ports import MadeKey, Put
from apcore.signatures import read_private_pem, read_spki
from apcore.testing.keys import reuse_key
from apcore.testing.signer import check_signer, signer_checks
from apcore.vocab import Person

P256 = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode("ascii")
)
SECRETS = {"2026": b"s" * 32}


def store_signers(secrets=None):
    """Return a factory of signers with stores, and a function that opens a signer of the same store."""
    stores = {}

    def make(clock):
        signer = StoreSigner(store := MemoryStore(clock=clock), secrets=secrets)
        stores[id(signer)] = store
        return signer

    return make, lambda signer: StoreSigner(stores[id(signer)], secrets=secrets)


@pytest.mark.parametrize("secrets", [None, SECRETS], ids=["open", "sealed"])
@pytest.mark.parametrize("number", range(len(signer_checks(reopen=lambda signer: signer))))
def test_store_signer_keeps_the_contract(secrets, number):
    make, reopen = store_signers(secrets)
    signer_checks(reopen=reopen)[number](make)


def test_file_signer_keeps_the_contract(tmp_path):
    numbers, places = count(), {}

    def make(clock):
        signer = FileSigner(directory := tmp_path / str(next(numbers)))
        places[id(signer)] = directory
        return signer

    check_signer(make, reopen=lambda signer: FileSigner(places[id(signer)]))


# --- broken signers -----------------------------------------------------------------------------------------------


class WrongKind(FileSigner):
    def make_key(self, kind, /):
        return super().make_key("ed25519")


class OneKey(FileSigner):
    def sign(self, key_name, data, /):
        return reuse_key("one", "ed25519").sign(data)


class NeverDrops(FileSigner):
    def drop_key(self, key_name, /):
        return True


class DropsInSecret(FileSigner):
    def drop_key(self, key_name, /):
        super().drop_key(key_name)
        return False


@pytest.mark.parametrize("kind", [WrongKind, OneKey, NeverDrops, DropsInSecret])
def test_suite_rejects_a_broken_signer(tmp_path, kind):
    numbers = count()
    with pytest.raises(AssertionError):
        check_signer(lambda clock: kind(tmp_path / str(next(numbers))))


# --- in a store -----------------------------------------------------------------------------------------------------


class FailingStore(MemoryStore):
    def get(self, keys, /):
        raise StoreUnavailable("no", outcome="nothing")

    def commit(self, checks, writes, /, *, token, messages=(), settles=()):
        raise StoreUnavailable("no", outcome="nothing")


@pytest.mark.parametrize(
    "call",
    [lambda s: s.sign("name", b""), lambda s: s.make_key("ed25519"), lambda s: s.drop_key("name")],
    ids=["sign", "make", "drop"],
)
def test_failing_store_makes_the_signer_unavailable(call):
    with pytest.raises(SignerUnavailable, match="no"):
        call(StoreSigner(FailingStore()))


@pytest.mark.parametrize(
    "value", [b"", b'{"v":1}\nnonsense', b'{"v":99}\nnewer', b'{"v":1,"secret":"2026"}\nsealed'], ids=repr
)
def test_malformed_key_record_is_reported(value):
    store = MemoryStore()
    assert store.commit((), (Put(("private", "1", "name"), value),), token=b"t" * 16)
    for secrets in (None, SECRETS):
        with pytest.raises(SignerUnavailable, match="name"):
            StoreSigner(store, secrets=secrets).sign("name", b"")


def test_missing_or_wrong_secret_is_named():
    store = MemoryStore()
    name = StoreSigner(store, secrets=SECRETS).make_key("ed25519").name
    with pytest.raises(SignerUnavailable, match="'2026'"):
        StoreSigner(store).sign(name, b"")
    with pytest.raises(SignerUnavailable, match="'2026'"):
        StoreSigner(store, secrets={"2027": b"t" * 32}).sign(name, b"")
    assert StoreSigner(store, secrets={"2027": b"t" * 32} | SECRETS).sign(name, b"")


class CountingStore(MemoryStore):
    reads = 0

    def get(self, keys, /):
        self.reads += 1
        return super().get(keys)


def test_key_is_loaded_once():
    store = CountingStore()
    name = StoreSigner(store).make_key("ed25519").name
    signer = StoreSigner(store)
    for _ in range(5):
        assert signer.sign(name, b"data")
    assert store.reads == 1


def test_loaded_keys_are_bounded_and_the_least_recently_used_is_dropped():
    loaded, key = LoadedKeys(limit=2), reuse_key("one", "ed25519")
    loaded.put("a", key)
    loaded.put("b", key)
    assert loaded.get("a") is key
    loaded.put("c", key)
    assert [loaded.get(name) for name in "abc"] == [key, None, key]
    loaded.drop("a")
    loaded.drop("a")
    assert loaded.get("a") is None


# --- in files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path) -> Path:
    return tmp_path / "keys"


def test_key_files_are_private_to_their_owner(directory):
    key = FileSigner(directory).make_key("ed25519")
    [path] = directory.iterdir()
    assert path.name == f"{key.name}.pem"
    assert (directory.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_key_file_of_another_program_is_used(directory):
    signer = FileSigner(directory)
    key = reuse_key("own")
    path = directory / "alice-rsa.pem"
    path.write_text(key.pem())
    path.chmod(0o600)
    public = read_spki(key.public.spki, key_id="k", owner="o")
    public.verify(signer.sign("alice-rsa", b"data"), b"data", "rsa-v1_5-sha256")


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o700 | 0o001])
def test_key_file_readable_by_others_is_refused(directory, mode):
    signer = FileSigner(directory)
    path = directory / "alice.pem"
    path.write_text(reuse_key("own", "ed25519").pem())
    path.chmod(mode)
    words = f"other users can read .mode {mode:04o}.: chmod 600 {path}"
    with pytest.raises(SignerUnavailable, match=words):
        signer.sign("alice", b"")
    with pytest.raises(ConfigurationError, match=words):
        FileSigner(directory)


@pytest.mark.parametrize(
    ("mode", "owner", "is_allowed"),
    [
        (0o600, 1000, True),
        (0o400, 1000, True),
        (0o640, 1000, False),
        (0o640, 0, True),
        (0o440, 0, True),
        (0o660, 0, False),
        (0o644, 0, False),
    ],
)
def test_key_file_of_root_may_be_readable_by_its_group(mode, owner, is_allowed):
    stat = os.stat_result((0o100000 | mode, 1, 1, 1, owner, 0, 0, 0, 0, 0))
    assert (key_files._mode_fault(Path("k.pem"), stat) is None) is is_allowed


def test_held_key_gives_its_kind_and_public_key(directory):
    signer = FileSigner(directory)
    for name, pem in (
        ("rsa", reuse_key("own").pem()),
        ("ed", reuse_key("own", "ed25519").pem()),
        ("p256", P256),
    ):
        (directory / f"{name}.pem").write_text(pem)
        (directory / f"{name}.pem").chmod(0o600)
    assert signer.held("rsa") == MadeKey("rsa", "rsa-2048", reuse_key("own").public.spki)
    assert signer.held("ed") == MadeKey("ed", "ed25519", reuse_key("own", "ed25519").public.spki)
    for name in ("p256", "nothing", "../rsa"):
        with pytest.raises(SignerUnavailable):
            signer.held(name)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_key_directory_writable_by_others_is_refused(directory, mode):
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        FileSigner(directory)


def test_file_in_place_of_the_key_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="directory of keys"):
        FileSigner(tmp_path / "file")


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", reuse_key("own", "ed25519").public.pem, "é"],
    ids=["empty", "no PEM", "public", "not ASCII"],
)
def test_file_without_a_private_key_is_named(directory, text):
    signer = FileSigner(directory)
    path = directory / "alice.pem"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(SignerUnavailable, match=r"alice.pem contains no private key"):
        signer.sign("alice", b"")


def test_removed_key_directory_makes_the_signer_unavailable(directory):
    signer = FileSigner(directory)
    directory.rmdir()
    for call in (lambda: signer.make_key("ed25519"), lambda: signer.drop_key("a"), lambda: signer.sign("a", b"")):
        with pytest.raises(SignerUnavailable):
            call()


def test_symbolic_link_is_not_followed_on_write(directory, monkeypatch):
    signer = FileSigner(directory)
    monkeypatch.setattr(os, "urandom", bytes)
    (directory / f"{'00' * 16}.pem").symlink_to(directory / "elsewhere")
    with pytest.raises(SignerUnavailable):
        signer.make_key("ed25519")
    assert not (directory / "elsewhere").exists()


def test_file_signer_opens_by_url(directory, monkeypatch):
    key = open_url(f"file://{directory}").make_key("ed25519")
    monkeypatch.chdir(directory.parent)
    assert open_url("file:keys").sign(key.name, b"")
    assert read_private_pem((directory / f"{key.name}.pem").read_text(), key_id="", owner="")
    for malformed_url in ("file:", "file://host/path", "file:///p?q", "file:///p#f", "store:", str(directory)):
        with pytest.raises(ConfigurationError, match="file:///path/of/keys"):
            open_url(malformed_url)


def test_node_opens_its_signer_by_url(directory):
    if "file" not in {entry.name for entry in entry_points(group="apcore.signers")}:
        pytest.skip("this environment was installed before there were signers by URL; install it again")
    federation = Federation()
    federation.actor("/users/{identifier}")(lambda ctx, identifier: Person())
    request = Request("GET", "https://here.example/actor", Headers({"Accept": "application/activity+json"}))
    with Node(federation, "https://here.example", signer=f"file://{directory}") as node:
        assert node.handle(request).status == 200
    assert len(list(directory.glob("*.pem"))) == 2


@pytest.mark.parametrize("kind", [Node, AsyncNode])
@pytest.mark.parametrize(("url", "words"), [("mongo:", "file, store"), ("keys", "file:///path")])
def test_unknown_signer_url_is_refused(kind, url, words):
    if "file" not in {entry.name for entry in entry_points(group="apcore.signers")}:
        pytest.skip("this environment was installed before there were signers by URL; install it again")
    with pytest.raises(ConfigurationError, match=words):
        kind(Federation(), None, signer=url)
