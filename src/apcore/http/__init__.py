"""What HTTP says, without sending it."""

from apcore.http.addresses import PUBLIC_ONLY, AddressPolicy
from apcore.http.messages import (
    DELIVERY_LIMITS,
    BodyExcess,
    Headers,
    HeadersLike,
    Limits,
    Request,
    Response,
    redacted_url,
)

__all__ = [
    "DELIVERY_LIMITS",
    "PUBLIC_ONLY",
    "AddressPolicy",
    "BodyExcess",
    "Headers",
    "HeadersLike",
    "Limits",
    "Request",
    "Response",
    "redacted_url",
]
