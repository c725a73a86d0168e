"""Everything that apcore stores, declared: one class per kind of record, with its key, fields and lifetime."""

from apcore.records.declaration import (
    RECORD_KINDS,
    RecordFormat,
    RecordKey,
    RecordKind,
    Stored,
    StoredRecord,
    describe_kinds,
)
from apcore.records.deferral import DeferredRecord, defer
from apcore.records.fields import StoredPart, member

__all__ = [
    "RECORD_KINDS",
    "DeferredRecord",
    "RecordFormat",
    "RecordKey",
    "RecordKind",
    "Stored",
    "StoredPart",
    "StoredRecord",
    "defer",
    "describe_kinds",
    "member",
]
