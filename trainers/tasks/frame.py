"""What a tokenizer puts around a sequence or a pair: special tokens, and segment ids where it has them."""

from itertools import groupby
from typing import Any


class Frame:
    """The special tokens around, and the segment ids of, as many sequences as a tokenizer joins.

    Attributes:
        before: how many special tokens stand before each sequence's first token.
        special: how many there are in all.
    """

    def __init__(self, tokenizer: Any, sequences: int) -> None:
        probe = tokenizer(*["a"] * sequences)
        ids, owners = probe["input_ids"], probe.sequence_ids(0)
        self.typed = "token_type_ids" in tokenizer.model_input_names
        types = probe["token_type_ids"] if self.typed else [0] * len(ids)
        self.parts: list[tuple[int | None, list[int], list[int]]] = []
        for owner, positions in groupby(range(len(ids)), owners.__getitem__):
            part = list(positions)
            self.parts.append((owner, [ids[one] for one in part], [types[one] for one in part]))
        self.before = [owners[: owners.index(sequence)].count(None) for sequence in range(sequences)]
        self.special = owners.count(None)

    def around(self, *sequences: list[int]) -> tuple[list[int], list[int]]:
        """Tokens with their special tokens, and the segments of all of them (empty where the tokenizer has none)."""
        ids: list[int] = []
        types: list[int] = []
        for owner, part, part_types in self.parts:
            inner = part if owner is None else sequences[owner]
            ids += inner
            types += part_types if owner is None else part_types[:1] * len(inner)
        return ids, types if self.typed else []
