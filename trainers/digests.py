"""Digests: names of plain values by their content."""

import hashlib
import json
from typing import Any

# Digests are cut to 80 bits: enough for as many trials as anyone will ever train, and short enough to read.
DIGEST_LENGTH = 20


def canonical(value: Any) -> bytes:
    """A plain (JSON) value as the text that is hashed: equal values have equal texts."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def digest(value: Any) -> str:
    """Name of a plain (JSON) value by its content: equal values have equal digests."""
    return hashlib.sha256(canonical(value)).hexdigest()[:DIGEST_LENGTH]
