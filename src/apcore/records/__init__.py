"""Everything that apcore stores, declared: one class per kind of record, with its key, fields and lifetime."""

from apcore.records.declaration import (
    RECORD_KINDS,
    RecordFormat,
    RecordKey,
    RecordKind,
    Stored,
    StoredRecord,
    describe_kinds,
    member,
)
from apcore.records.deferral import DeferredRecord, defer

__all__ = [
    "RECORD_KINDS",
    "DeferredRecord",
    "RecordFormat",
    "RecordKey",
    "RecordKind",
    "Stored",
    "StoredRecord",
    "defer",
    "describe_kinds",
    "member",
]
