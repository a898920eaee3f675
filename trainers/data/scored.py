"""The examples behind a score, read again from the data: those that were scored, or none."""

from collections.abc import Iterator, Sequence

from trainers.data import splits
from trainers.data.shots import draw_from
from trainers.data.splits import Part
from trainers.digests import digest
from trainers.examples import Data, DataError, Example, sample_digest
from trainers.tasks import TASKS
from trainers.trial import Score, TrialConfig


class ChangedDataError(DataError):
    """The data no longer have the examples that were scored."""


def scored_examples(data: Data, config: TrialConfig, score: Score, places: Sequence[int]) -> list[Example]:
    """The examples that a trial was scored on, as the trial read them.

    Args:
        data: those of the trial's task, as they are now.
        config: of the trial.
        score: any that is over these examples.
        places: where predictions say that the examples lie in their split.

    Raises:
        ChangedDataError: the data have other examples by now, or others at these places.
        DataError: a split is missing or malformed.
    """
    changed = f"{config.task}/{score.language}/{score.split} has other examples by now than those that were scored"
    try:
        part = next((part for part in _parts(data, config, score) if _is_of(part, score)), None)
    except DataError:
        raise
    except ValueError as error:  # fewer than there were shots
        raise ChangedDataError(changed) from error
    if part is None:
        raise ChangedDataError(changed)
    examples = data.examples(score.language, part.split)
    # facts of files are remembered by their size and time
    if digest(examples) != data.facts(score.language, part.split).digest:
        raise ChangedDataError(changed)
    task, most = TASKS[config.task], score.examples if score.cut else None
    if list(splits.cut(part, most, lambda place: task.stratum(examples[place])).places) != list(places):
        raise ChangedDataError(changed)
    return [examples[place] for place in places]


def _is_of(part: Part, score: Score) -> bool:
    """Whether a score is over a part, or a sample of it."""
    return score.data == (sample_digest(part.digest, score.examples) if score.cut else part.digest)


def _parts(data: Data, config: TrialConfig, score: Score) -> Iterator[Part]:
    """What a trial calls by the name of the score's split, before it is cut (`trainers.training.trial_data`)."""
    language, task = score.language, TASKS[config.task]
    if score.split == "test":
        facts = data.facts(language, "test")
        yield Part("test", range(facts.examples), facts.digest)
        return
    drawn_from, drawn = task.under(config.protocol).shots_split, None
    if language in config.target_languages:
        drawn = draw_from(data, task, language, drawn_from, config.k, config.seed)
    if drawn is not None and config.held_out and score.split == drawn_from:
        trained = draw_from(data, task, language, drawn_from, config.trained_shots, config.seed)
        yield splits.held_out_shots(drawn, trained, drawn_from)
    if score.split == "dev":
        is_source = language == config.source_language
        yield splits.source_dev(data, language) if is_source else splits.target_dev(data, language, drawn, drawn_from)
