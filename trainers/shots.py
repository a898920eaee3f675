"""Shots: the K training examples of a target language, the same for every method at a seed (section 4.3)."""

from dataclasses import dataclass

from trainers.config import digest


@dataclass(frozen=True)
class Shots:
    """The draw of K examples: their places in the training split, and a digest of the draw."""

    language: str
    indices: tuple[int, ...]
    digest: str


def draw(data_digest: str, language: str, examples: int, k: int, seed: int) -> Shots:
    """K of a language's training examples, uniformly without replacement.

    The order is that of a hash of (data, language, seed, place): a function of nothing else, and K=1 is a prefix of
    K=5, which is a prefix of K=10.

    Args:
        data_digest: of the language's training split.
        language: its code.
        examples: how many the training split has.
        k: how many to draw.
        seed: other shots at each seed.

    Raises:
        ValueError: fewer than K examples.
    """
    if k > examples:
        raise ValueError(f"{language}: {k} shots asked of a training split of {examples} examples")
    order = sorted(range(examples), key=lambda place: digest([data_digest, language, seed, place]))
    indices = tuple(order[:k])
    return Shots(language, indices, digest([data_digest, language, indices]))
