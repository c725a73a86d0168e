"""``apcore keygen``: pairs that fit, and secrets that only their owner reads."""

from __future__ import annotations

import json

import pytest

from apcore.cli import exit_codes, main
from apcore.signatures import read_pem, read_private_pem


@pytest.mark.parametrize("kind", ["ed25519", "rsa-2048"])
def test_the_halves_fit(kind, capsys):
    assert main(["keygen", "--kind", kind, "--json"]) == exit_codes.DONE
    told = json.loads(capsys.readouterr().out)
    private = read_private_pem(told["privateKeyPem"], key_id="k", owner="o")
    public = read_pem(told["publicKeyPem"], key_id="k", owner="o")
    assert private.public == public
    assert public.multibase == told["publicKeyMultibase"]


def test_a_file_is_its_owners_alone_and_nothing_is_overwritten(tmp_path, capsys):
    path = tmp_path / "key.pem"
    assert main(["keygen", "--out", str(path)]) == exit_codes.DONE
    out = capsys.readouterr().out
    assert "PRIVATE" not in out
    assert path.stat().st_mode & 0o777 == 0o600
    kept = path.read_text(encoding="ascii")
    assert read_private_pem(kept, key_id="k", owner="o").public.pem in out
    assert main(["keygen", "--out", str(path)]) == exit_codes.FAILED
    assert "File exists" in capsys.readouterr().err
    assert path.read_text(encoding="ascii") == kept
