"""Check ``apcore keygen``: the keys of a pair match, and only the owner can read the private key file."""

from __future__ import annotations

import json

import pytest

from apcore.cli import exit_codes, main
from apcore.signatures import read_pem, read_private_pem


@pytest.mark.parametrize("kind", ["ed25519", "rsa-2048"])
def test_private_and_public_key_match(kind, capsys):
    assert main(["keygen", "--kind", kind, "--json"]) == exit_codes.DONE
    output = json.loads(capsys.readouterr().out)
    private = read_private_pem(output["privateKeyPem"], key_id="k", owner="o")
    public = read_pem(output["publicKeyPem"], key_id="k", owner="o")
    assert private.public == public
    assert public.multibase == output["publicKeyMultibase"]


def test_key_file_is_private_and_never_overwritten(tmp_path, capsys):
    path = tmp_path / "key.pem"
    assert main(["keygen", "--out", str(path)]) == exit_codes.DONE
    out = capsys.readouterr().out
    assert "PRIVATE" not in out
    assert path.stat().st_mode & 0o777 == 0o600
    pem = path.read_text(encoding="ascii")
    assert read_private_pem(pem, key_id="k", owner="o").public.pem in out
    assert main(["keygen", "--out", str(path)]) == exit_codes.FAILED
    assert "File exists" in capsys.readouterr().err
    assert path.read_text(encoding="ascii") == pem
