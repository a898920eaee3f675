"""Which examples train, select and give shots, also where a language has no third split (appendix A).

There the shots come from the training examples, the remaining ones are the dev set, and the dev set is the test set.
Of the source, which trains on all its examples otherwise, a tenth drawn by a hash is the dev set, if one selects.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainers.data.samples import sample
from trainers.data.shots import Shots, hashed_order
from trainers.digests import digest
from trainers.examples import Data, Facts, sample_digest
from trainers.selections import dev_languages
from trainers.trial import Selection, Split

# The part of the source's training examples that selects when the data have no third split: the paper is silent.
HELD_OUT = 10


@dataclass(frozen=True)
class Part:
    """Some examples of a split in the data.

    Attributes:
        split: the split.
        places: their places in it, in ascending order but for shots.
        digest: of the examples.
        sample_of: the number of examples that they are a sample of (`cut`); None if they are no sample.
    """

    split: Split
    places: Sequence[int]
    digest: str
    sample_of: int | None = None


def training_data(
    data: Data, source: str, targets: Sequence[str], shots_split: Split, selections: Sequence[Selection]
) -> str:
    """Digest of all that a training reads: the source's examples, and the splits of shots and of target dev sets."""
    splits: list[tuple[str, Split]] = [(source, "train"), (source, "dev")]
    splits += [(target, shots_split) for target in targets]
    splits += [(target, "dev") for target in dev_languages(selections, source, targets) if target != source]
    return digest([[language, split, data.facts(language, split).digest] for language, split in splits])


def source_training(data: Data, language: str, selection: Selection) -> Part:
    """The source's examples that are trained on. None is held out where the source's dev set does not select."""
    facts = data.facts(language, "train")
    if selection != "source-dev" or not data.facts(language, "dev").within_train:
        return Part("train", range(facts.examples), facts.digest)
    return _without(facts, _held_out(facts, language))


def source_dev(data: Data, language: str) -> Part:
    """The source's examples that select."""
    facts = data.facts(language, "dev")
    if not facts.within_train:
        return Part("dev", range(facts.examples), facts.digest)
    return _without(facts, set(range(facts.examples)) - _held_out(facts, language))


def shots_could_select(facts: Facts, drawn_from: Split) -> bool:
    """Whether a dev set of these facts is the split that shots are drawn from, so that they have to be left out."""
    return facts.within_train or drawn_from == "dev"


def target_dev(data: Data, language: str, shots: Shots | None, drawn_from: Split = "train") -> Part:
    """A target's examples that select where the method may see them (`ord-FS+dev`), or judge: never its shots.

    `shots` is None for a trial that trains on none of this language's.
    """
    facts = data.facts(language, "dev")
    if shots_could_select(facts, drawn_from):
        return _without(facts, set(shots.indices) if shots is not None else set(), drawn_from)
    return Part("dev", range(facts.examples), facts.digest)


def cut(part: Part, most: int | None, stratum: Callable[[int], str]) -> Part:
    """A part of at most `most` examples: itself, or a sample of it (`trainers.data.samples`).

    Args:
        part: the part.
        most: its examples at most; None for all.
        stratum: of the example at a place of the split; asked only where there are more examples.
    """
    if most is None or most >= len(part.places):
        return part
    chosen = sample(part.digest, [stratum(place) for place in part.places], most)
    places = [part.places[number] for number in chosen]
    return Part(part.split, places, sample_digest(part.digest, most), sample_of=len(part.places))


def held_out_shots(drawn: Shots, trained: Shots, split: Split) -> Part:
    """The shots that select: those of a draw that are not among the fewer that are trained on."""
    rest = [place for place in drawn.indices if place not in trained.indices]
    return Part(split, rest, digest([drawn.digest, "held out", rest]))


def _held_out(facts: Facts, language: str) -> set[int]:
    count = max(1, facts.examples // HELD_OUT)
    return set(hashed_order((facts.digest, language, 0), facts.examples)[:count])


def _without(facts: Facts, taken: set[int], split: Split = "train") -> Part:
    places = [place for place in range(facts.examples) if place not in taken]
    return Part(split, places, digest([facts.digest, "but for", sorted(taken)]))
