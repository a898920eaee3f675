"""Digests: content hashes that name plain values."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

# Hexadecimal digits: 80 bits are enough to name all trials that will ever be trained, and short enough to read.
DIGEST_LENGTH = 20


# Made once: `json.dumps` makes one for each value, a quarter of a plan's time.
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical(value: Any) -> bytes:
    """The canonical JSON text of a plain value, which is hashed: equal values have equal texts."""
    return _ENCODER.encode(value).encode()


def digest(value: Any) -> str:
    """The digest of a plain (JSON) value: equal values have equal digests."""
    return hashlib.sha256(canonical(value)).hexdigest()[:DIGEST_LENGTH]


def digest_of_all(values: Iterable[Any]) -> str:
    """The digest of a list of plain values, which are written one by one: other threads run in between."""
    hashed = hashlib.sha256(b"[")
    for place, value in enumerate(values):
        hashed.update((b"," if place else b"") + canonical(value))
    hashed.update(b"]")
    return hashed.hexdigest()[:DIGEST_LENGTH]
