"""Shots: the K training examples of a target language, the same for every method at a seed (section 4.3)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from trainers.digests import DIGEST_LENGTH, canonical, digest
from trainers.examples import Data
from trainers.tasks.task import Task
from trainers.trial import Split


@dataclass(frozen=True)
class Shots:
    """The draw of K examples (of each stratum): their places in the split, and a digest of the draw."""

    language: str
    indices: tuple[int, ...]
    digest: str


@lru_cache(maxsize=16)  # a planner asks for the same few at every K
def hashed_order(of: tuple[str | int, ...], examples: int) -> tuple[int, ...]:
    """The places of a split's examples in the order of `digest([*of, place])`."""
    # whose text begins alike for all places: hashed once, a planner of large splits is seven times faster
    begin = hashlib.sha256(canonical(of)[:-1])

    def hashed(place: int) -> bytes:
        ended = begin.copy()
        ended.update(b",%d]" % place)
        return ended.digest()[: DIGEST_LENGTH // 2]

    return tuple(sorted(range(examples), key=hashed))


def draw(data_digest: str, language: str, strata: Sequence[str], k: int, seed: int) -> Shots:
    """K of a language's examples of each stratum, uniformly without replacement.

    The order is that of a hash: a function of data, language and seed, and K=1 is a prefix of K=5, which is a prefix
    of K=10, stratum by stratum. With labels as strata this is N-way K-shot (Fei-Fei et al. 2006).

    Args:
        data_digest: of the split.
        language: its code.
        strata: of each of the split's examples; all the same for tasks without N-way sampling.
        k: how many to draw of each stratum.
        seed: other shots at each seed.

    Raises:
        ValueError: fewer than K examples of a stratum.
    """
    left = dict.fromkeys(strata, k)
    indices = []
    for place in hashed_order((data_digest, language, seed), len(strata)):
        if left[strata[place]]:
            left[strata[place]] -= 1
            indices.append(place)
    lacking = [(stratum, k - missing) for stratum, missing in left.items() if missing]
    if lacking or not strata:
        stratum, there = lacking[0] if lacking else ("", 0)
        raise ValueError(f"{language}: {k} shots asked of {there} examples" + (f" of {stratum!r}" if stratum else ""))
    return Shots(language, tuple(indices), digest([data_digest, language, indices]))


def draw_from(data: Data, task: Task[Any], language: str, split: Split, k: int, seed: int) -> Shots:
    """`draw` from a split as it lies in the data, which is read only where there are several strata."""
    facts = data.facts(language, split)
    if len(facts.strata) == 1:
        strata = list(facts.strata) * facts.examples
    else:
        strata = [task.stratum(example) for example in data.examples(language, split)]
    return draw(facts.digest, language, strata, k, seed)
