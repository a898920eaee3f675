"""How many tokens a tokenizer.json and the files beside it have, and whether the library tokenizers will read them.

The library itself reads all but the vocabulary, which takes a second and 300 MB if it is XLM-R's.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainers.encoders.encoder import EncoderError
from trainers.encoders.files import ADDED_TOKENS, SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG, Folder

SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
LISTS = ("additional_special_tokens", "extra_special_tokens")


def count_tokens(folder: Folder, names: Sequence[str]) -> int | None:
    """How many token ids a folder's tokenizer.json and the files beside it use; None if it has no tokenizer.json.

    Args:
        folder: the folder.
        names: its files that make the tokenizer.

    Raises:
        EncoderError: one of them is not what it should be.
    """
    if TOKENIZER not in names:
        return None
    state = json.dumps(folder.states(names))
    return _count_tokens(folder.path, state)


@lru_cache(maxsize=64)
def _count_tokens(path: Path, _state: str) -> int:
    folder = Folder(path)
    ids = _tokenizer_ids(folder)
    added = folder.read_json(ADDED_TOKENS) if ADDED_TOKENS in folder.sizes else {}
    if not all(type(id_) is int for id_ in added.values()):
        raise EncoderError(f"{ADDED_TOKENS} has an id that is no number")
    further = set(added)
    for name in (TOKENIZER_CONFIG, SPECIAL_TOKENS):
        if name in folder.sizes:
            further.update(_special_tokens(name, folder.read_json(name)))
    return max(ids.values()) + 1 + len(further.difference(ids))


def _tokenizer_ids(folder: Folder) -> dict[str, int]:
    """The ids of the tokens in tokenizer.json."""
    from tokenizers import Tokenizer

    tokenizer = folder.read_json(TOKENIZER)
    try:
        model = tokenizer["model"]
        vocabulary = model["vocab"]
        if isinstance(vocabulary, list):  # of a unigram model: [token, score]
            if not all(isinstance(score, int | float) for _, score in vocabulary):
                raise ValueError("its vocabulary has a score that is no number")
            vocabulary = {token: place for place, (token, _) in enumerate(vocabulary)}
        ids: dict[str, int] = vocabulary | {one["content"]: one["id"] for one in tokenizer.get("added_tokens") or ()}
        if not vocabulary or not all(type(id_) is int and id_ >= 0 for id_ in ids.values()):
            raise ValueError("its vocabulary is empty, or has ids that are no numbers")
        "".join(ids).encode()  # a half of a character (a lone surrogate) is none
        _check_model(model, vocabulary)
        first = model["vocab"][: (model.get("unk_id") or 0) + 1] if isinstance(model["vocab"], list) else {}
        without = {**tokenizer, "added_tokens": [], "model": {**model, "vocab": first, "merges": []}}
        if model.get("type"):
            Tokenizer.from_str(json.dumps(without))
    except Exception as error:  # the library raises nothing more precise
        raise EncoderError(f"{TOKENIZER} is not a tokenizer: {type(error).__name__}: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what Rust stumbles over is no Exception
            raise
        raise EncoderError(f"{TOKENIZER} is not a tokenizer: {error}") from error
    if max(_ids_of_template(tokenizer.get("post_processor")), default=0) > max(ids.values()):
        raise EncoderError(f"{TOKENIZER} puts a token around texts whose id its vocabulary does not have")
    return ids


def _check_model(model: Mapping[str, Any], vocabulary: Mapping[str, int]) -> None:
    """ValueError if a model's merges or its unknown token are not in its vocabulary."""
    prefix = len(model.get("continuing_subword_prefix") or "")
    for merge in model.get("merges") or ():
        first, second = merge.split(" ") if isinstance(merge, str) else merge
        if first not in vocabulary or second not in vocabulary or first + second[prefix:] not in vocabulary:
            raise ValueError(f"its vocabulary lacks a part of the merge {merge!r}")
    kind = model.get("type")
    if kind == "Unigram" and model.get("unk_id") is None and not model.get("byte_fallback"):
        raise ValueError("it has no unk_id, and stumbles over the first unknown character")
    default = {"WordLevel": "<unk>", "WordPiece": "[UNK]"}.get(str(kind))
    if default is not None and model.get("unk_token", default) not in vocabulary:
        raise ValueError("its vocabulary lacks the unk_token, and it stumbles over the first unknown word")


def _ids_of_template(processor: Any) -> Iterator[int]:
    """The ids that a post-processor, which the library has read, puts around texts."""
    if isinstance(processor, dict):
        for one in processor.get("processors") or ():
            yield from _ids_of_template(one)
        for special in (processor.get("special_tokens") or {}).values():
            yield from special["ids"]
        yield from (processor[name][1] for name in ("sep", "cls") if name in processor)


def _special_tokens(file: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """The tokens that settings of a tokenizer name; those that it lacks are added to it."""
    for name, value in settings.items():
        if value is None:
            continue
        if name == "added_tokens_decoder":
            if not isinstance(value, dict) or not all(id_.isdecimal() for id_ in value):
                raise EncoderError(f"{file} has an {name} that is no map from ids to tokens")
            values = list(value.values())
        elif name in LISTS:
            if not isinstance(value, list | dict):
                raise EncoderError(f"{file} has {name} that are no list")
            values = list(value.values()) if isinstance(value, dict) else value
        elif name == "padding_side" and value not in ("left", "right"):
            raise EncoderError(f"{file} has the padding_side {value!r}; allowed: 'left', 'right'")
        elif name == "model_max_length" and type(value) not in (int, float):
            raise EncoderError(f"{file} has a model_max_length that is no number")
        else:
            is_token = name in SPECIAL or (name.endswith("_token") and isinstance(value, str | dict))
            values = [value] if is_token else []
        for one in values:
            token = one.get("content") if isinstance(one, dict) else one
            if not isinstance(token, str):
                raise EncoderError(f"{file} has a {name} that is no text")
            yield token
