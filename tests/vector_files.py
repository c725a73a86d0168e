"""Find the shared test vectors: in `APCORE_VECTORS`, or in ``../shared/vectors`` beside the project."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "vectors"
VECTORS = Path(os.environ.get("APCORE_VECTORS") or _BESIDE)

needs_vectors = pytest.mark.skipif(
    not VECTORS.is_dir(), reason="no test vectors: set APCORE_VECTORS to the directory that holds them"
)


def load_json(relative: str) -> Any:
    """Read one file; return None without vectors, so that parametrising over it collects nothing and skips."""
    path = VECTORS / relative
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
