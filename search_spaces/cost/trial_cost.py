"""The cost of one trial: what it computes, how long that takes, and the disk and memory that it needs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from search_spaces.cost.timing import Clock
from search_spaces.cost.workload import Sizes
from search_spaces.plan import PlannedTrial
from trainers.data.token_counts import Size
from trainers.encoders.encoder import EncoderSize
from trainers.methods import METHODS, SOURCE_TRAINING
from trainers.protocols import PROTOCOLS
from trainers.sampling import Sampling, shares
from trainers.selections import averaged_epochs, dev_languages, scored_by
from trainers.tasks import TASKS
from trainers.trial import TrialConfig, at_epoch

# Distinct among n tokens (Heaps' law): 0.9 to 1.9 times the real number in XTREME-R's English training samples.
HEAPS_FACTOR, HEAPS_EXPONENT = 12, 0.6

FLOAT = 4  # bytes: weights, gradients and moments are float32 at every precision
PROCESS_BYTES = 600_000_000  # Python with torch and transformers

NOTHING = Size(0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one trial has to compute; nothing if it is reused.

    Attributes:
        epoch: the training data of one epoch.
        steps: optimizer steps.
        training: tokens of all epochs.
        oracle: expected tokens of surgery's passes over oracle sets, given alpha.
        evaluation: tokens of all evaluations on dev and test sets.
    """

    epoch: Size = NOTHING
    steps: int = 0
    training: int = 0
    oracle: float = 0.0
    evaluation: int = 0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one trial; nothing if it is reused. None is unknown, where the encoder's size is.

    Attributes:
        load: what it computes.
        seconds: from its start to its end.
        models: the number of models that it leaves on disk.
        model_bytes: an upper bound of their size together.
        memory_bytes: approximate memory while it trains.
    """

    load: Load = Load()
    seconds: float | None = 0.0
    models: int = 0
    model_bytes: int | None = 0
    memory_bytes: int | None = 0


def trial_cost(
    trial: PlannedTrial,
    missing: Sequence[str] | None,
    is_trained: bool,
    sizes: Sizes,
    encoder: EncoderSize | None,
    clock: Clock | None,
) -> Cost:
    """The cost of a planned trial.

    Args:
        trial: the trial.
        missing: the languages that it has no test scores on yet; None where it is reused.
        is_trained: its training has finished.
        sizes: the sizes of its data.
        encoder: the size of its encoder; None if unknown.
        clock: predicts its duration; None if the size of the encoder is unknown.
    """
    if missing is None:
        return Cost()
    lacking = {language: trial.wanted.evaluate[language] for language in missing}
    scored = [language for selection in trial.wanted.selections for language in scored_by(selection, lacking)]
    tests = sum(sizes.test(language).sub_words for language in scored)
    is_there = is_trained and trial.config.method == SOURCE_TRAINING
    load = Load(evaluation=tests) if is_there else _load(trial, sizes, tests)
    keeps = sizes.spec.keeps(trial.config.method) and not is_there
    models = _most_chosen(trial) if keeps else 0
    if encoder is None or clock is None:
        return Cost(load=load, seconds=None, models=models, model_bytes=None, memory_bytes=None)
    return _cost(trial, load, models, sizes, encoder, clock)


def _load(trial: PlannedTrial, sizes: Sizes, tests: int) -> Load:
    """What a trial computes to train, to select, and to evaluate `tests` tokens of test sets."""
    config, training = trial.config, trial.config.training
    adapts = METHODS[config.method].adapts
    shots = [sizes.shots(language, config.trained_shots) for language in config.target_languages]
    epoch = _epoch(config.sampling or Sampling(), [] if adapts else [sizes.source], shots)
    steps = -(-epoch.windows // (config.trained_shots if adapts else training.batch_size)) * training.epochs
    evaluations = -(-steps // training.evaluate_every) if training.evaluate_every else training.epochs
    scored = {*dev_languages(trial.wanted.selections, config.source_language, config.target_languages)}
    scored |= set(trial.wanted.judge)
    dev = sum(sizes.dev(language, config).sub_words for language in scored)
    if config.held_out:
        dev += sum(sizes.shots(language, config.held_out).sub_words for language in config.target_languages)
    if trial.wanted.test_every_report:
        dev += sum(sizes.test(language).sub_words for language in trial.wanted.evaluate)
    oracle = _oracle(config, sizes, shots, epoch.windows, steps) if config.alpha else 0.0
    return Load(
        epoch=epoch,
        steps=steps,
        training=epoch.sub_words * training.epochs,
        oracle=oracle,
        evaluation=evaluations * dev + tests,
    )


def _most_chosen(trial: PlannedTrial) -> int:
    """The most different weights that selections choose: targets that have one each share those of an epoch."""
    averages = sum(averaged_epochs(selection) > 0 for selection in trial.wanted.selections)
    return averages + min(len(trial.wanted.selections) - averages, trial.config.training.epochs)


def _epoch(sampling: Sampling, source: Sequence[Size], shots: Sequence[Size]) -> Size:
    """The training data of an epoch, on average where they are drawn."""
    parts = [*source, *(list(shots) * (sampling.repeat_shots or 1))]
    whole = Size(*(sum(column) for column in zip(*(vars(part).values() for part in parts), strict=True)))
    if sampling.temperature is None:
        return whole
    of_languages = shares([part.windows for part in parts], sampling.temperature)
    tokens = sum(share * part.sub_words / part.windows for share, part in zip(of_languages, parts, strict=True))
    return replace(whole, sub_words=round(whole.windows * tokens))


def _cost(trial: PlannedTrial, load: Load, models: int, sizes: Sizes, encoder: EncoderSize, clock: Clock) -> Cost:
    config, training = trial.config, trial.config.training
    adapts = METHODS[config.method].adapts
    body = encoder.body + encoder.head
    rows = encoder.vocabulary if training.weight_decay else min(encoder.vocabulary, load.epoch.sub_words)
    occurring = min(rows, round(HEAPS_FACTOR * load.epoch.sub_words**HEAPS_EXPONENT))
    parameters = body + (rows if training.weight_decay else occurring) * encoder.hidden
    changed = min(encoder.vocabulary, rows + sizes.source.sub_words) if adapts else rows
    batch_size = min(load.epoch.windows, config.trained_shots if adapts else training.batch_size)
    return Cost(
        load=load,
        seconds=clock.seconds(config, load.training + load.oracle, load.steps, load.evaluation, parameters),
        models=models,
        model_bytes=models * FLOAT * (body + changed * encoder.hidden),
        memory_bytes=_memory(trial, encoder, body + rows * encoder.hidden, -(-batch_size // training.accumulation)),
    )


def _oracle(config: TrialConfig, sizes: Sizes, shots: Sequence[Size], windows: int, steps: int) -> float:
    """Expected tokens of surgery's passes: at each step, with probability alpha, the shots of one language."""
    passes = steps
    if PROTOCOLS[config.protocol].released_surgery:
        shots = [*shots, sizes.shots(config.source_language, config.trained_shots)]
        part = -(-config.training.batch_size // config.training.accumulation)
        passes = -(-windows // part) * config.training.epochs
    settings = TASKS[config.task].under(config.protocol)
    limits = [limit for limit in (settings.oracle_limit, settings.oracle_sample) if limit is not None]
    of_pass = [size.sub_words * min([1.0, *(limit / size.windows for limit in limits)]) for size in shots]
    alpha = config.alpha or 0.0
    if not isinstance(alpha, int | float):
        alpha = fmean(at_epoch(alpha, epoch) for epoch in range(config.training.epochs))
    return alpha * passes * sum(of_pass) / len(of_pass)


def _memory(trial: PlannedTrial, encoder: EncoderSize, parameters: int, windows: int) -> int:
    """Bytes while a trial trains: all embeddings, the trained parameters, and activations of `windows` windows.

    Args:
        trial: the trial.
        encoder: the size of its encoder.
        parameters: parameters that the optimizer changes.
        windows: windows of one pass, each as long as the longest.
    """
    training = trial.config.training
    # weights, gradient, moments, the oracle's gradient, the selected weights
    copies = 1 + 1 + 2 + bool(trial.config.alpha) + _most_chosen(trial)
    # Korthikanti et al. (2022), "Reducing Activation Recomputation", Eq. 1: bytes of a layer at half precision
    of_token = 34 * encoder.hidden + 5 * encoder.heads * training.max_length
    activations = windows * training.max_length * encoder.layers * of_token
    if training.precision == "fp32":
        activations *= 2
    return PROCESS_BYTES + FLOAT * (encoder.vocabulary * encoder.hidden + copies * parameters) + activations
