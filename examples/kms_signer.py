"""Private keys that never enter the process: a signer over a key management service.

    node = Node(federation, "https://hello.example", "sqlite:///hello.db", signer=KmsSigner(service))

``service(operation, **arguments)`` is the one function through which the service is asked, and ``errors`` are what its client raises when it does
not answer or refuses. What is asked for has the names of AWS KMS, so there it is::

    client = boto3.client("kms")
    service = lambda operation, **arguments: getattr(client, operation)(**arguments)
    signer = KmsSigner(service, errors=(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError))

Another service (Vault, a PKCS #11 module) needs other calls and the same five lines around them. `apcore.testing.signer` checks what you have made.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from apcore.errors import SignerUnavailable
from apcore.ports import KeyKind, MadeKey

SPECS: dict[KeyKind, str] = {"rsa-2048": "RSA_2048", "ed25519": "ECC_NIST_EDWARDS25519"}
DELETED_AFTER_DAYS = 7


class KmsSigner:
    """A `Signer` whose keys are made, used and destroyed elsewhere. Names of keys are the service's, after the kind."""

    def __init__(
        self, service: Callable[..., dict[str, Any]], *, errors: tuple[type[Exception], ...] = (OSError,)
    ) -> None:
        self._service = service
        self._errors = errors

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        """Sign: RSA over the digest, since services take no long messages; Ed25519 over the message, which is what it is defined for."""
        kind, _, key_id = key_name.partition(":")
        if kind == "rsa-2048":
            asked = {"Message": sha256(data).digest(), "MessageType": "DIGEST"}
            algorithm = "RSASSA_PKCS1_V1_5_SHA_256"
        elif kind == "ed25519":
            asked = {"Message": data, "MessageType": "RAW"}
            algorithm = "ED25519_SHA_512"
        else:
            raise SignerUnavailable(f"{key_name!r:.60} is no key of the service")
        signature: bytes = self._ask("sign", KeyId=key_id, SigningAlgorithm=algorithm, **asked)["Signature"]
        return signature

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        """Have a pair made, and learn its public half."""
        key_id: str = self._ask("create_key", KeySpec=SPECS[kind], KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        public: bytes = self._ask("get_public_key", KeyId=key_id)["PublicKey"]
        return MadeKey(f"{kind}:{key_id}", kind, public)

    def drop_key(self, key_name: str, /) -> bool:
        """Schedule the destruction of a retired key. Nothing happens if it is scheduled already."""
        key_id = key_name.partition(":")[2]
        if self._ask("describe_key", KeyId=key_id)["KeyMetadata"]["KeyState"] != "PendingDeletion":
            _ = self._ask("schedule_key_deletion", KeyId=key_id, PendingWindowInDays=DELETED_AFTER_DAYS)
        return True

    def _ask(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        try:
            return self._service(operation, **arguments)
        except self._errors as error:
            raise SignerUnavailable(f"the key service does not {operation}: {error}") from error
