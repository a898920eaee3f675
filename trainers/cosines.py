"""Cosines between the gradients of a trained model on different languages (Figure 1)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainers.artifacts import kept_models
from trainers.artifacts.layout import fate
from trainers.artifacts.places import place_of
from trainers.encoders.by_name import prepare_encoder
from trainers.surgery.products import inner_products
from trainers.training.fresh_model import load_tokenizer
from trainers.training.training_windows import TrainingWindows
from trainers.training.trial_data import TrialData
from trainers.training.trial_model import TrialModel
from trainers.trial import Selection, Trial

# Random batches whose mean gradient is that of the source language (section 5.2).
SOURCE_BATCHES = 100


def cosines(gradient_of: Callable[[str], Sequence[Tensor]], languages: Sequence[str], at_once: int = 8) -> Tensor:
    """The cosine of every two languages' gradients.  # [languages, languages], float64

    At most `at_once` + 1 gradients are held at a time: 49 of XLM-R large would take 110 GB. The price is that some are
    computed again, n²/(2 at_once) of them for n languages.

    Args:
        gradient_of: computes a language's gradient, the same at every call, in tensors that nothing else changes.
        languages: in the order of the rows.
        at_once: gradients that are held to be compared with others.
    """
    products = torch.zeros(len(languages), len(languages), dtype=torch.float64)
    for first in range(0, len(languages), at_once):
        held: list[Sequence[Tensor]] = []
        for column in range(first, len(languages)):
            gradient = gradient_of(languages[column])
            if len(held) < at_once:
                held.append(gradient)
            found = [inner_products(list(zip(gradient, other, strict=True))).dot for other in held]
            rows = slice(first, first + len(held))
            products[rows, column] = products[column, rows] = torch.tensor(found, dtype=torch.float64)
            del gradient  # before the next one is computed
    norms = products.diagonal().sqrt()
    return products / torch.outer(norms, norms)


def gradient_cosines(trial: Trial, selection: Selection, at_once: int = 8) -> tuple[tuple[str, ...], Tensor]:
    """Figure 1 for one kept model: its languages, the source first, and the cosines of their gradients.

    The source's gradient is the mean over 100 random batches, a target's that of its shots; without dropout.

    Args:
        trial: a training on source and targets whose model was kept.
        selection: which of its models.
        at_once: gradients that are held at a time.

    Raises:
        ValueError: the model was not kept, or is of another NUMERICS.
        DataError, EncoderError: as `trainers.run`.
    """
    config = trial.config
    config.require_current()
    kept = kept_models.load(place_of(trial), config, selection)
    if kept is None:
        became = fate(trial.home, "models", config.digest)
        raise ValueError(f"the model of trial {config.digest} was {became}: {selection} of {config.method}")
    encoder = prepare_encoder(config.encoder, trial.home, config.encoder_revision)
    tokenizer = load_tokenizer(encoder)
    data = TrialData(trial, tokenizer)
    windows = TrainingWindows(data)
    languages = (config.source_language, *config.target_languages)
    batches: dict[str, list[Sequence[int]]] = {language: [windows.shots_of(language)] for language in languages[1:]}
    batches[languages[0]] = _random_batches(windows.source, config.training.batch_size, config.seed)
    model = TrialModel(data.task, encoder, tokenizer, data.labels, trial.device)
    model.load(kept)
    model.model.eval()
    trained_on = [index for of_language in batches.values() for indices in of_language for index in indices]
    rows = model.trainable_rows(list(windows.at(trained_on)), config.training.weight_decay)

    def gradient_of(language: str) -> list[Tensor]:
        """The mean of the gradients of a language's batches."""
        model.model.zero_grad()
        for indices in batches[language]:
            batch = model.batch(rows, windows.all, indices, with_targets=True)
            loss = data.task.loss(model.model(**batch), batch)
            (loss / len(batches[language])).backward()
        parameters = [parameter for parameter in model.model.parameters() if parameter.requires_grad]
        gradients = [parameter.grad for parameter in parameters]
        model.model.zero_grad()  # the gradients' tensors are the caller's from now on
        return [gradient for gradient in gradients if gradient is not None]

    return languages, cosines(gradient_of, languages, at_once)


def _random_batches(windows: Sequence[int], size: int, seed: int) -> list[Sequence[int]]:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(windows), generator=generator)[: size * SOURCE_BATCHES].tolist()
    return [[windows[index] for index in order[first : first + size]] for first in range(0, len(order), size)]
