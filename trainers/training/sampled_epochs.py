"""The windows of an epoch of mixed training whose languages are sampled by temperature."""

from collections.abc import Sequence

import torch

from trainers.sampling import shares


class SampledEpochs:
    """Draws the windows of an epoch: languages one by one, then of each language shuffled passes over its windows.

    Args:
        languages: the windows of each language, by index.
        temperature: of the languages' probabilities (`trainers.sampling.Sampling`).
    """

    def __init__(self, languages: Sequence[Sequence[int]], temperature: float) -> None:
        self.languages = languages
        self.windows = [len(windows) for windows in languages]
        self.shares = torch.tensor(shares(self.windows, temperature), dtype=torch.float64)

    def __call__(self, generator: torch.Generator) -> list[int]:
        """As many windows as there are, language by language."""
        drawn = torch.multinomial(self.shares, sum(self.windows), replacement=True, generator=generator)
        numbers = torch.bincount(drawn, minlength=len(self.languages)).tolist()
        chosen: list[int] = []
        for windows, number in zip(self.languages, numbers, strict=True):
            orders = [torch.randperm(len(windows), generator=generator) for _ in range(0, number, len(windows))]
            chosen += [windows[place] for order in orders for place in order.tolist()][:number]
        return chosen
