"""The examples that one trial may see, tokenized: training data, shots, dev sets and test sets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trainers import memory
from trainers.data import splits
from trainers.data.shots import Shots, draw_from
from trainers.data.sources import open_data
from trainers.data.splits import Part
from trainers.data.token_counts import Size
from trainers.digests import digest
from trainers.examples import DataError, Example
from trainers.protocols import PROTOCOLS
from trainers.selections import HELD_OUT, dev_languages
from trainers.tasks import TASKS
from trainers.tasks.task import ExampleError, Window
from trainers.training.tokenized_parts import Kept, TokenizedParts
from trainers.trial import Selection, Split, Trial

# A larger sample is recorded without its indices, which would fill the database: it can be drawn again.
MOST_RECORDED = 10_000


@dataclass(frozen=True, kw_only=True)
class Tokenized:
    """A part of one language's data with its windows.

    Attributes:
        language: code of the language.
        name: the split as which the trial uses the part, and under which its scores are reported.
        part: where the examples lie in the data.
        examples: the examples.
        windows: their windows, in order.
    """

    language: str
    name: Split
    part: Part
    examples: list[Example]
    windows: list[Window]


class TrialData:
    """One trial's examples, read and tokenized when they are first asked for.

    Args:
        trial: the trial.
        tokenizer: its encoder's.
        tokenizer_digest: of the tokenizer's files, under which others find what is tokenized; None to keep nothing.

    Attributes:
        labels: the labels that the head tells apart.
        sizes: by the digest of a split the size of the largest part of it that was tokenized.
    """

    def __init__(self, trial: Trial, tokenizer: Any, tokenizer_digest: str | None = None) -> None:
        self.trial, self.config, self.tokenizer = trial, trial.config, tokenizer
        self.task = TASKS[self.config.task]
        self.settings = self.task.under(self.config.protocol)
        self.data = open_data(trial.data, self.config.task, trial.home)
        self.labels = self.task.label_set(self.data.facts(self.config.source_language, "train").labels)
        self.max_length = self.config.training.max_length
        self._kept: TokenizedParts | None = None
        if tokenizer_digest is not None:
            self._kept = TokenizedParts(trial.home, self.task.name, self.labels, tokenizer_digest, self.max_length)
        self._devs: dict[str, Tokenized] = {}
        self._tests: dict[str, Tokenized] = {}
        self.sizes: dict[str, Size] = {}

    def read_all(self) -> None:
        """Read and tokenize everything that the trial needs, so that it fails before anything is trained.

        Raises:
            DataError: a split is missing or malformed, or an example is longer than any window.
        """
        needed: list[object] = [self.shots, self.selecting, self.judge]
        if self.trial.source is None:
            needed.append(self.source)
        needed += [self.test(language) for language in self.trial.wanted.evaluate]

    @cached_property
    def source(self) -> Tokenized:
        """The training examples of the source language."""
        part = splits.source_training(self.data, self.config.source_language, self.settings.selection)
        return self._tokenize(self.config.source_language, "train", part, self.config.training.max_source_examples)

    @cached_property
    def draws(self) -> dict[str, Shots]:
        """The shots drawn of each target; also of the source under a protocol whose oracle set has it."""
        languages = self.config.target_languages
        if PROTOCOLS[self.config.protocol].released_surgery and self.config.alpha is not None:
            languages = (self.config.source_language, *languages)
        return {language: self._draw(language, self.config.k) for language in languages}

    @cached_property
    def trained(self) -> dict[str, Shots]:
        """The shots of each language that are trained on: of a target without those that are held out."""
        few = self.config.trained_shots
        holding = self.config.target_languages if self.config.held_out else ()
        return {**self.draws, **{target: self._draw(target, few) for target in holding}}

    @cached_property
    def shots(self) -> dict[str, Tokenized]:
        """The shots that are trained on, of each language that they are drawn of."""
        split = self.settings.shots_split
        return {
            language: self._tokenize(language, split, Part(split, drawn.indices, drawn.digest))
            for language, drawn in self.trained.items()
        }

    @cached_property
    def selecting(self) -> dict[Selection, list[Tokenized]]:
        """The examples of each selection that reads any. Nothing else that trains or selects reads a dev set."""
        source, targets = self.config.source_language, self.config.target_languages
        found: dict[Selection, list[Tokenized]] = {}
        for selection in self.trial.wanted.selections:
            if devs := dev_languages([selection], source, targets):
                found[selection] = [self._dev_of(language) for language in devs]
            if selection == HELD_OUT:
                found[selection] = [self._held_out_of(target) for target in targets]
        return found

    @cached_property
    def judge(self) -> list[Tokenized]:
        """The dev sets on which trials are compared. They select nothing within this trial."""
        return [self._dev_of(language) for language in self.trial.wanted.judge]

    def test(self, language: str) -> Tokenized:
        """The test examples that are scored."""
        if language not in self._tests:
            facts, limit = self.data.facts(language, "test"), self.trial.max_test_examples
            part = Part("test", range(facts.examples), facts.digest)
            self._tests[language] = self._tokenize(language, "test", part, limit)
        return self._tests[language]

    def shots_drawn(self) -> dict[str, dict[str, Any]]:
        """The shots of each language as plain data; where examples have no id, it is their place in the split."""
        drawn: dict[str, dict[str, Any]] = {}
        for language, shots in self.draws.items():
            parts = [self.shots[language], *(part for part in self._held_out if part.language == language)]
            ids = {
                place: example.get("id", place)
                for part in parts
                for place, example in zip(part.part.places, part.examples, strict=True)
            }
            drawn[language] = {
                "split": self.settings.shots_split,
                "indices": list(shots.indices),
                "ids": [ids[place] for place in shots.indices],
                "digest": shots.digest,
            }
        return drawn

    def held_out(self) -> dict[str, list[int]]:
        """The places of the shots that are not trained on but select, by language; empty where all are trained on."""
        return {part.language: list(part.part.places) for part in self._held_out}

    @property
    def _held_out(self) -> list[Tokenized]:
        return self.selecting.get(HELD_OUT, [])

    def samples(self) -> list[dict[str, Any]]:
        """The training and test data that are cut, as plain data: which examples they are, and of how many.

        `indices` are places in the split, None for more than MOST_RECORDED; `digest` is of them and the whole split.
        """
        return [
            {
                "language": cut.language,
                "split": cut.part.split,
                "examples": len(cut.examples),
                "of": cut.part.sample_of,
                "digest": digest([self.data.facts(cut.language, cut.part.split).digest, list(cut.part.places)]),
                "indices": list(cut.part.places) if len(cut.examples) <= MOST_RECORDED else None,
            }
            for cut in self._cut()
        ]

    def _cut(self) -> Iterator[Tokenized]:
        parts = [*([self.source] if self.trial.source is None else []), *self._tests.values()]
        return (part for part in parts if part.part.sample_of is not None)

    def _dev_of(self, language: str) -> Tokenized:
        if language not in self._devs:
            if language == self.config.source_language:
                part = splits.source_dev(self.data, language)
            else:
                shots = self.draws.get(language)
                part = splits.target_dev(self.data, language, shots, self.settings.shots_split)
            self._devs[language] = self._tokenize(language, "dev", part)
        return self._devs[language]

    def _held_out_of(self, target: str) -> Tokenized:
        split = self.settings.shots_split
        part = splits.held_out_shots(self.draws[target], self.trained[target], split)
        return self._tokenize(target, split, part)

    def _draw(self, language: str, k: int) -> Shots:
        return draw_from(self.data, self.task, language, self.settings.shots_split, k, self.config.seed)

    def _tokenize(self, language: str, name: Split, part: Part, limit: int | None = None) -> Tokenized:
        with memory.growing():
            found = self._kept.read(part, limit) if self._kept is not None else None
            if found is None:
                found = self._tokenized(language, part, limit)
                if self._kept is not None:
                    found = self._kept.write(part, limit, found)
        self._remember_size(self.data.facts(language, part.split).digest, len(found.examples), found.windows)
        return Tokenized(language=language, name=name, **vars(found))

    def _tokenized(self, language: str, part: Part, limit: int | None) -> Kept:
        split = self.data.examples(language, part.split)
        part = splits.cut(part, limit, lambda place: self.task.stratum(split[place]))
        examples = [split[place] for place in part.places]
        try:
            windows = self.task.features(examples, self.labels, self.tokenizer, self.max_length)
        except ExampleError as error:
            where = self.data.place(language, part.split, part.places[error.place])
            raise DataError(f"{where}: {error.message}") from error
        return Kept(part, examples, windows)

    def _remember_size(self, data: str, examples: int, windows: Sequence[Window]) -> None:
        if data not in self.sizes or self.sizes[data].examples < examples:
            self.sizes[data] = Size(examples, len(windows), sum(len(window.input_ids) for window in windows))
