"""Check `Site`, the view of one origin that operations have."""

from __future__ import annotations

from typing import Any

import attrs

from apcore.federation.site import Site
from apcore.federation.snapshot import Snapshot
from apcore.remote import UnauthenticatedClient

SET_FOR_A_REQUEST = {"unauthenticated_client", "snapshot", "cleared_hosts"}


def test_site_for_a_request_keeps_every_other_field() -> None:
    values: dict[str, Any] = {field.name: object() for field in attrs.fields(Site)}
    site = Site(**values)
    client, snapshot = UnauthenticatedClient("192.0.2.1"), Snapshot()
    requested = site.for_request(client, snapshot, cleared_hosts=["a.example"])
    carried = {name: getattr(requested, name) for name in values.keys() - SET_FOR_A_REQUEST}
    assert carried == {name: values[name] for name in values.keys() - SET_FOR_A_REQUEST}
    assert requested.unauthenticated_client is client
    assert requested.snapshot is snapshot
    assert requested.cleared_hosts == {"a.example"}
