"""What transformers makes of an encoder's files: `python -m trainers.encoders.architecture` answers questions.

Each line that it reads is a question, a JSON object with the fields of `Question`. Each line that it writes is the
answer, a JSON text: what keeps the encoder from being trained, empty if nothing does. More than 300 lines: each is
about what transformers does.
"""

import json
import os
import re
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any
from unittest import mock

from trainers.encoders.encoder import EncoderError

# Bytes that it may take: a config.json can ask for more than there is.
MOST_MEMORY = 3 * 2**30

# Sizes that every architecture has under these names, as its own `attribute_map` says.
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
         "max_position_embeddings")  # fmt: skip

LIBRARY = f"transformers {version('transformers')}"


@dataclass(frozen=True, kw_only=True)
class Question:
    """An encoder and a task that is to train it.

    Attributes:
        config: its config.json.
        shapes: the shape of each tensor of its weights, by name.
        folder: where its other files lie.
        files: path, size and modification time of those that make its tokenizer.
        tokens: how many ids its tokenizer.json uses; None if it has none.
        task: the task's name.
        heads: for each task the class of `transformers` that has the encoder and a head.
        max_length: tokens of the task's windows.
    """

    config: Mapping[str, Any]
    shapes: Mapping[str, Sequence[int]]
    folder: str
    files: Sequence[Sequence[Any]]
    tokens: int | None
    task: str
    heads: Mapping[str, str]
    max_length: int


def examine(question: Question) -> None:
    """Build the task's model without weights, and compare weights, tokenizer and windows with it.

    Raises:
        EncoderError: what was found, and what would be right.
    """
    config = read_config(question.config)
    model = build(config, question.heads, question.task)
    compare(model, question.shapes)
    check_positions(model, question.task, question.max_length)
    check_tokenizer(question, model)


# The configuration and the model


def read_config(values: Mapping[str, Any]) -> Any:
    """The configuration as transformers reads it. EncoderError if it does not."""
    from transformers import CONFIG_MAPPING

    model_type = values.get("model_type")
    if not isinstance(model_type, str):
        raise EncoderError('config.json has no model_type, such as "xlm-roberta"')
    if model_type not in CONFIG_MAPPING:
        own = "; code of an encoder's own (auto_map) is never run" if values.get("auto_map") else ""
        raise EncoderError(f"config.json has the model_type {model_type!r}, which {LIBRARY} does not know{own}")
    own_code = values.get("auto_map", {})
    is_code = isinstance(own_code, dict) and all(
        isinstance(place, str) for name, place in own_code.items() if name.startswith(("AutoConfig", "AutoModel"))
    )
    if not is_code:  # transformers stumbles over it, though it runs none of it
        raise EncoderError("config.json has an auto_map that names no code; allowed: none")
    try:
        config = CONFIG_MAPPING[model_type].from_dict(dict(values))
    except Exception as error:  # every architecture raises its own
        raise EncoderError(f"config.json is refused by {LIBRARY}: {_reason(error)}") from error
    if config._attn_implementation not in (None, "eager", "sdpa"):
        raise EncoderError(
            f"config.json asks for {config._attn_implementation!r}; allowed: 'sdpa', 'eager', or neither"
        )
    for name in SIZES:
        size = getattr(config.get_text_config(), name, None)
        if size is not None and (type(size) is not int or size < 1):
            raise EncoderError(f"config.json has {config.attribute_map.get(name, name)} {size!r}; allowed: from 1")
    return config


def build(config: Any, heads: Mapping[str, str], task: str) -> Any:
    """The model with a task's head on torch's meta device, which holds shapes alone. EncoderError if there is none."""
    import torch

    class_ = _class(config, heads[task])
    if class_ is None:
        others = [name for name, head in heads.items() if _class(config, head) is not None]
        raise EncoderError(
            f"{LIBRARY} has no {heads[task].removeprefix('Auto')} of the model_type {config.model_type!r}, which {task}"
            f" needs; it can be trained on: {', '.join(others) or 'no task'}"
        )
    try:
        with torch.device("meta"):
            return class_(config)
    except Exception as error:  # every architecture raises its own
        raise EncoderError(f"config.json is refused by {LIBRARY}: {_reason(error)}") from error


def _class(config: Any, head: str) -> Any:
    """The class of a model with a head; None if the architecture has none."""
    import transformers
    from transformers.models.auto.auto_factory import _get_model_class

    named = getattr(transformers, head)
    mapping = getattr(named, "_model_mapping", None)
    if mapping is None:  # not one of the Auto classes, but that of an architecture
        return named if isinstance(config, named.config_class) else None
    return _get_model_class(config, mapping) if type(config) in mapping else None


# The weights


def compare(model: Any, shapes: Mapping[str, Sequence[int]]) -> None:
    """Compare the tensors of weights with those that a model needs, its head and a pooler aside.

    They are loaded as transformers loads them, renamed, converted and tied, but on torch's meta device.

    Args:
        model: on the meta device.
        shapes: the shape of each tensor.

    Raises:
        EncoderError: some are missing or of another shape.
    """
    import torch
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.modeling_utils import LoadStateDictConfig

    needed = _needed(model)
    settings = LoadStateDictConfig(
        device_map={"": "meta"}, dtype=torch.float32, weight_mapping=get_model_conversion_mapping(model)
    )
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    loaded, _ = model._load_pretrained_model(model, tensors, None, settings)
    model.tie_weights(missing_keys=loaded.missing_keys, recompute_mapping=False)
    model._adjust_missing_and_unexpected_keys(loaded)
    if missing := sorted(needed & loaded.missing_keys):
        raise EncoderError(
            f"its weights lack {len(missing)} of the {len(needed)} tensors that {type(model).__name__} needs, such as"
            f" {missing[0]}: it would be trained on random values in their place"
        )
    for tensor, found, expected in sorted(loaded.mismatched_keys):
        if tensor in needed:
            raise EncoderError(f"its weights have {tensor} as {list(found)}; allowed by config.json: {list(expected)}")


def _needed(model: Any) -> set[str]:
    """Names of a model's parameters without those of its head and a pooler."""
    from transformers import AutoModel

    base, prefix = model.base_model, f"{model.base_model_prefix}."
    if base is model:  # the head lies beside the layers
        import torch

        with torch.device("meta"):
            base, prefix = AutoModel.from_config(model.config), ""
    inner = {f"{prefix}{name}" for name, _ in base.named_parameters(remove_duplicate=False)}
    everything = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {name for name in everything & inner if "pooler" not in name.split(".")}


# Positions and tokens


def positions(model: Any) -> int | None:
    """The longest sequence that a model takes; None if nothing limits it."""
    from torch import nn

    rows = [
        # RoBERTa's positions begin behind the padding token's id, BART's behind an offset.
        module.num_embeddings
        - (0 if module.padding_idx is None else module.padding_idx + 1)
        - getattr(module, "offset", 0)
        for name, module in model.base_model.named_modules()
        if isinstance(module, nn.Embedding) and ("position" in name or name.endswith("wpe"))
    ]
    if rows:
        return min(rows)
    is_rotary = any("rotary" in name for name, _ in model.base_model.named_modules())
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) if is_rotary else None


def check_positions(model: Any, task: str, max_length: int) -> None:
    """EncoderError if a model takes no windows of this length."""
    for name, module in model.base_model.named_modules():
        if hasattr(module, "position_embeddings") and getattr(module, "padding_idx", 0) is None:
            raise EncoderError(f"config.json has no pad_token_id, from which {name} counts positions; XLM-R's is 1")
    most = positions(model)
    if most is not None and most < max_length:
        raise EncoderError(f"it takes at most {most} tokens; allowed: from {max_length}, the windows of {task}")


def check_tokenizer(question: Question, model: Any) -> None:
    """EncoderError if there is no fast tokenizer, or it has more tokens than the model has rows of word embeddings."""
    folder = Path(question.folder)
    names = {Path(path).name for path, _, _ in question.files}
    class_ = _tokenizer_class(folder, names)
    tokens = question.tokens if question.tokens is not None else _count_tokens(folder, class_)
    rows = model.get_input_embeddings().weight.shape[0]
    if tokens > rows:
        raise EncoderError(
            f"its tokenizer has {tokens} tokens, and its weights have {rows} rows of word embeddings: the tokenizer"
            " is another encoder's, or the weights were not resized when tokens were added"
        )


def _tokenizer_class(folder: Path, names: set[str]) -> Any:
    """The class that transformers loads a folder's tokenizer with, none of whose files is missing."""
    from transformers import AutoTokenizer, PreTrainedTokenizerBase, TokenizersBackend

    chosen = classmethod(lambda class_, *_, **__: class_)
    try:
        with mock.patch.object(PreTrainedTokenizerBase, "from_pretrained", chosen):
            class_ = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # as for a configuration
        raise EncoderError(f"its tokenizer is refused by {LIBRARY}: {_reason(error)}") from error
    if not issubclass(class_, TokenizersBackend):
        raise EncoderError(
            f"its tokenizer is a slow one ({class_.__name__}), which does not say where a token begins in a text;"
            " allowed: fast ones, with a tokenizer.json"
        )
    wanted = {name for kind, name in class_.vocab_files_names.items() if kind != "tokenizer_file"}
    if "tokenizer.json" not in names and (not wanted or wanted - names):
        lacking = " and ".join(sorted(wanted - names)) or "its files"
        raise EncoderError(f"it has no tokenizer: neither tokenizer.json nor {lacking} ({class_.__name__})")
    return class_


def _count_tokens(folder: Path, class_: Any) -> int:
    """How many ids a tokenizer uses that is converted to a fast one."""
    try:
        tokenizer = class_.from_pretrained(folder)
        return int(max(tokenizer.get_vocab().values())) + 1
    except Exception as error:  # as for a configuration
        raise EncoderError(
            f"its tokenizer is not converted to a fast one by {LIBRARY} ({_reason(error)}); allowed: a tokenizer.json"
        ) from error


# Questions and answers


# The folders of a path in a message: they are of this machine, often temporary, and say nothing to the client.
FOLDERS = re.compile(r"(?<![\w:/.~-])/(?:[^\s/'\"]+/)+")


def _reason(error: Exception) -> str:
    """What an error of a library says, in one line."""
    text = FOLDERS.sub("", " ".join(str(error).split()))
    known = isinstance(error, ValueError | OSError) or "Strict" in type(error).__name__
    return (text if known and text else f"{type(error).__name__}: {text}")[:400]


def answer(line: str) -> str:
    """The answer to a question."""
    try:
        examine(Question(**json.loads(line)))
    except EncoderError as error:
        return str(error)
    except Exception as error:  # whatever else transformers does with files of any kind
        return f"it is refused by {LIBRARY}: {_reason(error)}"
    return ""


def _warm_up() -> None:
    """Import what every question needs, so that the first takes no longer than the others."""
    with suppress(EncoderError):
        compare(build(read_config({"model_type": "xlm-roberta"}), {"": "AutoModelForTokenClassification"}, ""), {})


def main() -> None:
    """Answer questions until the process that asks has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the process that asks
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    # transformers imports scipy, 40 MB and a second, and where it is scikit-learn, which needs scipy
    sys.modules.update(dict.fromkeys(("scipy", "sklearn")))  # type: ignore[arg-type]
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    questions: Queue[str] = Queue()
    Thread(target=_read, args=[questions], daemon=True).start()  # imports take seconds
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    _warm_up()
    while True:
        answers.write(json.dumps(answer(questions.get())) + "\n")
        answers.flush()


def _read(questions: "Queue[str]") -> None:
    """Read questions until there are no more, which ends the process: who asks has ended."""
    for line in sys.stdin:
        questions.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
