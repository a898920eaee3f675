"""Per-language gradients of a trained model and their cosines (Figure 1)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from trainers.artifacts import kept_models as models
from trainers.surgery.products import inner_products
from trainers.training.bench import TrialBench
from trainers.trial import Selection, Trial, Wanted

# Random batches whose mean is the source language's gradient (section 5.2).
SOURCE_BATCHES = 100


def cosines(gradient_of: Callable[[str], Sequence[Tensor]], languages: Sequence[str], at_once: int = 8) -> Tensor:
    """The cosine of every two languages' gradients.  # [languages, languages], float64

    At most `at_once` + 1 gradients are held at a time: 49 of XLM-R large would be 110 GB. The price is that some are
    computed again, n²/(2 at_once) of them for n languages.

    Args:
        gradient_of: computes a language's gradient, the same at every call, in tensors that nobody else changes.
        languages: in the order of the rows.
        at_once: gradients that are kept to be compared with others.
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
        ValueError: the model was not kept.
        DataError, EncoderError: as `trainers.run`.
    """
    model = models.load(trial.home, trial.config, selection)
    if model is None:
        raise ValueError(f"the model of trial {trial.config.digest} was not kept: {selection} of {trial.config.method}")
    bench = TrialBench(replace(trial, wanted=Wanted(selections=())), lambda _: None, _no_source_model)
    bench.take(model)
    bench.model.eval()
    languages = (trial.config.source_language, *trial.config.target_languages)
    batches: dict[str, list[Sequence[int]]] = {language: [bench.shots_of(language)] for language in languages[1:]}
    batches[languages[0]] = _random_batches(bench.source, bench.batch_size, trial.config.seed)
    rows = bench.rows_of([place for several in batches.values() for places in several for place in places])

    def gradient_of(language: str) -> list[Tensor]:
        bench.model.zero_grad()
        for places in batches[language]:
            batch = bench.batch(rows, bench.windows, places, with_targets=True)
            loss = bench.task.loss(bench.model(**batch), batch)
            (loss / len(batches[language])).backward()
        parameters = [parameter for parameter in bench.model.parameters() if parameter.requires_grad]
        gradients = [parameter.grad for parameter in parameters]
        bench.model.zero_grad()  # the tensors stay with whoever asked for them
        return [gradient for gradient in gradients if gradient is not None]

    return languages, cosines(gradient_of, languages, at_once)


def _random_batches(places: Sequence[int], size: int, seed: int) -> list[Sequence[int]]:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(places), generator=generator)[: size * SOURCE_BATCHES].tolist()
    return [[places[index] for index in order[first : first + size]] for first in range(0, len(order), size)]


def _no_source_model(_: object) -> models.Model:
    raise AssertionError("nothing is trained here")
