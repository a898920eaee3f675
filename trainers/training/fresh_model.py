"""A pretrained encoder with a fresh head: the same at a seed, whatever else the encoder's folder holds."""

import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from trainers import memory
from trainers.tasks.task import Task

# What every model needs, loaded before a trial waits for it. scipy, which transformers needs for losses that no task
# has, would take 0.4 s more. Where transformers was loaded before, it has found scipy already.
UNNEEDED = () if "transformers" in sys.modules else ("scipy", "sklearn")
with memory.without(*UNNEEDED):
    import transformers
    import transformers.modeling_utils

# What transformers calls the labels of a head that tells apart none of a task's, as that of question answering.
UNNAMED = ("LABEL_0", "LABEL_1")


def fresh_model(task: Task[Any], encoder: Path, labels: Sequence[str]) -> Any:
    """The pretrained encoder with the task's head, initialized at random.

    A folder that holds a trained model gives its encoder alone: neither its head nor what its config.json says of its
    labels. Everything outside of what `AutoModel` has of the architecture is the head.

    Raises:
        ValueError: a weight of the encoder has another shape than config.json says.
    """
    seed = int(torch.randint(2**62, ()))  # the head's own: loading draws numbers only where weights are missing
    config = transformers.AutoConfig.from_pretrained(encoder, trust_remote_code=False)
    config.id2label = dict(enumerate(labels or UNNAMED))
    config.label2id = {label: place for place, label in config.id2label.items()}
    config.problem_type = None
    config.return_dict = True
    config.chunk_size_feed_forward = 0  # it only saves memory, and refuses windows that are no multiple of it
    vars(config).pop("auto_map", None)  # no code of its own, neither here nor where the model is exported
    model, loaded = getattr(transformers, task.model_class).from_pretrained(
        encoder,
        config=config,
        use_safetensors=True,
        trust_remote_code=False,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,  # of the head
        output_loading_info=True,
    )
    head = _head(model)
    for name, found, needed in sorted(loaded["mismatched_keys"]):
        if name not in head:
            raise ValueError(f"{encoder}: {name} has the shape {tuple(found)}, not {tuple(needed)} as config.json says")
    torch.manual_seed(seed)
    _initialize(model, head)
    return model


def _head(model: Any) -> set[str]:
    """Names of the tensors that a model has beside its encoder."""
    with torch.device("meta"):
        encoder = transformers.AutoModel.from_config(model.config, trust_remote_code=False)
    names, prefix = set(model.state_dict()), f"{model.base_model_prefix}."
    inside = any(name.startswith(prefix) for name in names)  # T5's head for questions has its parts beside it
    return names - {f"{prefix if inside else ''}{name}" for name in encoder.state_dict()}


def _initialize(model: Any, names: set[str]) -> None:
    """Initialize these tensors at random, as their architecture does.

    transformers marks what is initialized, and initializes what is not; some of a module by the modules around it.
    """
    for name in names:
        place, _, tensor = name.rpartition(".")
        getattr(model.get_submodule(place), tensor)._is_hf_initialized = False
        while place:
            model.get_submodule(place)._is_hf_initialized = False
            place = place.rpartition(".")[0]
    model._is_hf_initialized = False
    model.initialize_weights()


def load_tokenizer(encoder: Path) -> Any:
    """The fast tokenizer of an encoder's folder.

    A process keeps the last one for as long as no file of the folder changes: with 250,000 tokens it takes a second and
    a half to build, and a worker's next trial mostly has the same.
    """
    states = ((file.name, file.stat()) for file in sorted(encoder.iterdir()))
    return _tokenizer(encoder, tuple((name, state.st_size, state.st_mtime_ns) for name, state in states))


@lru_cache(maxsize=1)
def _tokenizer(encoder: Path, states: tuple[tuple[str, int, int], ...]) -> Any:
    return transformers.AutoTokenizer.from_pretrained(encoder, use_fast=True, trust_remote_code=False)
