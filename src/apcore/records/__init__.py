"""Everything that apcore stores, declared: one class per kind of record, with its key, fields and lifetime."""

from apcore.records.declaration import RECORD_KINDS, RecordKey, RecordKind, Stored, StoredRecord, member

__all__ = ["RECORD_KINDS", "RecordKey", "RecordKind", "Stored", "StoredRecord", "member"]
