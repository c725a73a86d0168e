"""Try texts that public bug reports describe: an empty text beside one in a language map."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apcore.vocab import Note, read_document
from local_server import BOB, REMOTE


# Automattic/wordpress-activitypub#2257, superseriousbusiness/gotosocial#3617
@pytest.mark.parametrize("text", ["", None, "absent"])
def test_blank_content_gives_way_to_the_language_map(text: str | None) -> None:
    note: dict[str, Any] = {
        "@context": "https://www.w3.org/ns/activitystreams",
        "id": f"{REMOTE}/notes/1",
        "type": "Note",
        "attributedTo": BOB,
        "content": text,
        "contentMap": {"de": "hallo"},
    }
    if text == "absent":
        del note["content"]
    assert read_document(json.dumps(note).encode()).view(Note).content == "hallo"
