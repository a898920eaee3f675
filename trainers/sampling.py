"""How mixed training samples its languages, where it does not take every example once an epoch: not in the paper."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Targets up-sampled in mixed training, in one of two ways.

    Attributes:
        temperature: the windows of an epoch, as many as there are, are of languages drawn with probability n^(1/T), for
            the n windows of a language, the source's included (Devlin 2018, "Multilingual BERT"; Arivazhagan et al.
            2019, section 4.2). None for the other way.
        repeat_shots: how often an epoch has each shot. None for the other way.
    """

    temperature: float | None = None
    repeat_shots: int | None = None


def shares(windows: Sequence[int], temperature: float) -> list[float]:
    """The probability of each language, given how many windows it has."""
    weights = [number ** (1 / temperature) for number in windows]
    total = sum(weights)
    return [weight / total for weight in weights]
