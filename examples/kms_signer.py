"""Sign with private keys that stay in a key management service.

    node = Node(federation, "https://hello.example", "sqlite:///hello.db", signer=KmsSigner(service))

``service(operation, **arguments)`` sends one request to the service and returns its response. ``errors`` are the
exceptions that it raises when the service refuses or does not answer. Operations and arguments have the names of AWS
KMS, so there you write::

    client = boto3.client("kms")
    service = lambda operation, **arguments: getattr(client, operation)(**arguments)
    signer = KmsSigner(service, errors=(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError))

For another service, such as Vault or a PKCS #11 module, change the requests and keep the rest. Check your signer with
`apcore.testing.signer`.
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
    """A `Signer` that has its keys made, used and destroyed by a service.

    The name of a key is its kind, a colon, and its id in the service.
    """

    def __init__(
        self, service: Callable[..., dict[str, Any]], *, errors: tuple[type[Exception], ...] = (OSError,)
    ) -> None:
        self._service = service
        self._errors = errors

    def sign(self, key_name: str, data: bytes, /) -> bytes:
        """Sign data with a key of the service.

        RSA signs the digest, since the service takes only short messages. Ed25519 is defined over the message itself.
        """
        kind, _, key_id = key_name.partition(":")
        if kind == "rsa-2048":
            message = {"Message": sha256(data).digest(), "MessageType": "DIGEST"}
            algorithm = "RSASSA_PKCS1_V1_5_SHA_256"
        elif kind == "ed25519":
            message = {"Message": data, "MessageType": "RAW"}
            algorithm = "ED25519_SHA_512"
        else:
            raise SignerUnavailable(f"{key_name!r:.60} is not a key of the service")
        signature: bytes = self._ask("sign", KeyId=key_id, SigningAlgorithm=algorithm, **message)["Signature"]
        return signature

    def make_key(self, kind: KeyKind, /) -> MadeKey:
        """Make a key pair in the service, and fetch its public key."""
        key_id: str = self._ask("create_key", KeySpec=SPECS[kind], KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        public: bytes = self._ask("get_public_key", KeyId=key_id)["PublicKey"]
        return MadeKey(f"{kind}:{key_id}", kind, public)

    def drop_key(self, key_name: str, /) -> bool:
        """Schedule the destruction of a retired key, unless it is scheduled already."""
        key_id = key_name.partition(":")[2]
        if self._ask("describe_key", KeyId=key_id)["KeyMetadata"]["KeyState"] != "PendingDeletion":
            _ = self._ask("schedule_key_deletion", KeyId=key_id, PendingWindowInDays=DELETED_AFTER_DAYS)
        return True

    def _ask(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        try:
            return self._service(operation, **arguments)
        except self._errors as error:
            raise SignerUnavailable(f"the key service failed at {operation}: {error}") from error
