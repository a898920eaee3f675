"""The windows and tokens of each part of a spec's data: as trials counted them, else estimated."""

from collections.abc import Mapping
from functools import cache, cached_property

from search_spaces.method_space import Candidate
from search_spaces.spec import ExperimentSpec
from trainers.data.splits import shots_could_select, source_dev, source_training
from trainers.data.token_counts import SAMPLE, Size
from trainers.examples import Data
from trainers.tasks import TASKS
from trainers.trial import Split, TrialConfig


class Sizes:
    """The sizes of the parts of a spec's data.

    Args:
        spec: the spec.
        data: its data; only facts are read, never examples.
        counted: per digest of a split's examples, the size of those that trials have tokenized for this encoder.
    """

    def __init__(self, spec: ExperimentSpec, data: Data, counted: Mapping[str, Size]) -> None:
        self.spec, self.data, self.counted = spec, data, counted
        self.task = TASKS[spec.task]
        self.settings = self.task.under(spec.protocol)
        self.max_length = Candidate().training(spec).max_length
        self.splits: dict[tuple[str, Split], bool] = {}
        self.size, self.facts = cache(self._size), cache(data.facts)
        self.test, self.shots, self.target_dev = cache(self._test), cache(self._shots), cache(self._target_dev)

    @cached_property
    def source(self) -> Size:
        """The source language's training data."""
        there = len(source_training(self.data, self.spec.source_language, self.settings.selection).places)
        limit = self.spec.training.max_source_examples
        return self.size(self.spec.source_language, "train", there if limit is None else min(there, limit))

    @cached_property
    def source_dev(self) -> Size:
        """The source language's dev set."""
        language = self.spec.source_language
        return self.size(language, "dev", len(source_dev(self.data, language).places))

    def dev(self, language: str, config: TrialConfig) -> Size:
        """The dev set of a language as a trial reads it that selects on it or is judged on it."""
        if language == config.source_language:
            return self.source_dev
        return self.target_dev(language, config.k if language in config.target_languages else 0)

    def _target_dev(self, target: str, k: int) -> Size:
        facts, drawn_from = self.facts(target, "dev"), self.settings.shots_split
        taken = k * len(facts.strata) if shots_could_select(facts, drawn_from) else 0
        return self.size(target, "dev", facts.examples - taken)

    def _shots(self, language: str, k: int) -> Size:
        """K examples, of each stratum where there are several; K windows where the protocol counts windows."""
        split = self.settings.shots_split
        size = self.size(language, split, k * len(self.facts(language, split).strata))
        if not self.settings.k_counts_windows:
            return size
        windows = min(k, size.windows)
        return Size(size.examples, windows, round(size.sub_words * windows / size.windows))

    def _test(self, language: str) -> Size:
        examples, limit = self.facts(language, "test").examples, self.spec.training.max_test_examples
        return self.size(language, "test", examples if limit is None else min(examples, limit))

    def _size(self, language: str, split: Split, examples: int) -> Size:
        """The size of this many examples of a split, from the mean size of the examples that are known."""
        facts = self.facts(language, split)
        known = self.counted.get(facts.digest)
        self.splits[language, split] = known is not None
        if known is None:
            cuts = [self.task.cut(tokens, self.max_length) for tokens in facts.sub_words]
            known = Size(len(cuts), sum(windows for windows, _ in cuts), sum(tokens for _, tokens in cuts))
        share = examples / known.examples
        return Size(examples, max(1, round(known.windows * share)), max(1, round(known.sub_words * share)))

    @property
    def basis(self) -> str:
        """In words, what the sizes that were asked for are based on."""
        counted = sum(self.splits.values())
        return (
            f"counted by trials in {counted} of {len(self.splits)} splits, else guessed from the characters of up to"
            f" {SAMPLE} examples"
        )
