"""Whether a task can train an encoder, judged by its files without loading its weights.

What only transformers can tell is asked of a process that has imported it (`trainers.encoders.examiner`).
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.encoders.encoder import EncoderError, Need
from trainers.encoders.examiner import ask
from trainers.encoders.files import CONFIG, TOKENIZER_FILES, Folder, is_any
from trainers.encoders.tokens import count_tokens
from trainers.encoders.weights import Shapes, local_shapes, weights

# The largest sizes in a config.json, by the ends of their names: larger ones take all memory before anything is told.
MOST = {r"layers?$": 1000, r"labels$": 10_000, r"(size|dim|heads?|positions|embeddings|embd|_ff|model|kv)$": 10**8}

# Those with which every loss is NaN, or no head is initialized, if they are negative.
LEAST_0 = r"(eps|epsilon|initializer_range|init_std)$"

# How deeply a config.json is nested at most.
DEEPEST = 50


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files of an encoder.

    Attributes:
        small: a folder with all that are not weights.
        weights: names of those that are.
        shapes: the tensors in one of these.
    """

    small: Folder
    weights: Sequence[str]
    shapes: Callable[[str], Shapes]


def local_files(folder: Folder) -> Files:
    """The files of a folder. EncoderError if it has no weights that are read."""
    return Files(small=folder, weights=weights(folder.sizes, folder), shapes=lambda name: local_shapes(folder, name))


def examine(files: Files, need: Need) -> None:
    """Judge whether a task can train an encoder.

    Args:
        files: its files.
        need: what the task asks.

    Raises:
        EncoderError: it cannot: what was found, and what would be right.
    """
    tokenizer = sorted(name for name in files.small.sizes if is_any(name, TOKENIZER_FILES))
    for name in tokenizer:
        files.small.check(name)
    question = {
        "config": read_config(files.small),
        "shapes": {tensor: shape for name in files.weights for tensor, shape in files.shapes(name).items()},
        "folder": str(files.small.path),
        "files": files.small.states(tokenizer),
        "tokens": count_tokens(files.small, tokenizer),
        **vars(need),
    }
    if complaint := ask(json.dumps(question)):
        raise EncoderError(complaint)


# The configuration


def read_config(folder: Folder) -> dict[str, Any]:
    """The configuration. EncoderError if it is missing, is no JSON object, or has sizes that no encoder has."""
    if CONFIG not in folder.sizes:
        raise EncoderError("it is not a Hugging Face folder: it has no config.json")
    config = folder.read_json(CONFIG)
    if config.get("quantization_config") is not None:
        raise EncoderError("config.json has a quantization_config; allowed: weights that are not quantized")
    if config.get("transformers_weights"):
        raise EncoderError("config.json has transformers_weights; allowed: weights in model.safetensors")
    for name, number in _numbers(config):
        most = next((most for end, most in MOST.items() if re.search(end, name)), None)
        if most is not None and number > most:
            raise EncoderError(f"config.json has {name} {number}; allowed: up to {most}")
        if number < 0 and re.search(LEAST_0, name):
            raise EncoderError(f"config.json has {name} {number}; allowed: from 0")
        if number in (math.inf, -math.inf):
            raise EncoderError(f"config.json has a {name} that is infinite; allowed: up to 1e308")
    return config


def config_warnings(config: Mapping[str, Any]) -> list[str]:
    """In words, what is odd about a configuration, but taken as it is."""
    if not config.get("auto_map"):
        return []
    return [
        "the encoder's config.json names code of its own (auto_map), which is not run: what is trained is the"
        f" {config.get('model_type')} of transformers, into which its weights fit"
    ]


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers in a configuration and its parts, by name. EncoderError if it is nested too deeply."""
    level = list(config.items())
    for _ in range(DEEPEST):
        yield from ((name, value) for name, value in level if type(value) in (int, float))
        level = [inner for name, value in level for inner in _inside(name, value)]
    if level:
        raise EncoderError("config.json is nested too deeply")


def _inside(name: str, value: object) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return value.items()
    return [(name, one) for one in value] if isinstance(value, list) else []
