"""How long a trial takes: the time of an assumed device, corrected by the times of finished trials.

Tokens are sub-word tokens here and everywhere.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from search_spaces.cost.cards import card
from search_spaces.method_space import Candidate
from search_spaces.spec import ExperimentSpec
from trainers.encoders.encoder import EncoderSize
from trainers.methods import METHODS
from trainers.trial import TrialConfig, Work

# Assumed until trials have been measured: the operations and the bytes per second of a CPU thread in a training of this
# kind. Measured on two cores of an AMD EPYC with nothing beside them (docs/benchmarks.md). Those of GPUs:
# search_spaces/cost/cards.py.
CPU_FLOPS, CPU_BYTES = 60e9, 15e9
SECONDS_OF_A_LAYER = 1e-3  # per step, whatever the sizes: Python, launching kernels
SECONDS_OF_A_TRIAL = 2.0  # building the model, tokenizing; the first trial of a worker also loads libraries

BYTES_OF_A_STEP = 40  # per parameter: AdamW reads four values and writes three, clipping reads two and writes one


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A finished trial.

    Attributes:
        adapts: it adapted a source model.
        seconds: from its start to its end.
        training: the work of training.
        evaluation: the work of evaluation.
    """

    adapts: bool
    seconds: float
    training: Work
    evaluation: Work


class Clock:
    """Predicts the seconds that a spec's trials take.

    Args:
        spec: the spec, for its resources and precision.
        encoder: the size of its encoder.
        measured: finished trials of the same encoder, task, precision, threads and kind of device.
        card_name: the GPU, if there is one and its name is known.

    Attributes:
        basis: in words, what the prediction is based on.
    """

    def __init__(
        self, spec: ExperimentSpec, encoder: EncoderSize, measured: Sequence[Measured], card_name: str | None = None
    ) -> None:
        self.encoder, self.seconds_of_a_layer = encoder, SECONDS_OF_A_LAYER
        precision, threads = Candidate().training(spec).precision, spec.resources.cpus_per_trial
        if spec.resources.gpus_per_trial:
            gpu = card(card_name)
            self.flops, self.bytes_per_second = gpu.flops[precision], gpu.bytes_per_second
            self.seconds_of_a_layer = gpu.seconds_of_a_layer
            device, from_where = f"a GPU at {precision}", f" ({gpu.basis})"
        else:
            self.flops, self.bytes_per_second = CPU_FLOPS * threads, CPU_BYTES
            device, from_where = f"{threads} CPU thread{'s' if threads > 1 else ''} at {precision}", ""
        self.basis = (
            f"assumed: {self.flops / 1e9:g} GFLOP/s on {device}{from_where}; no trial of this kind has been measured"
        )
        if measured:
            self.basis = f"measured: {len(measured)} trials of this encoder and task on {device}"
        self.training = {adapts: _factor(
            (one.training.seconds, self._training(one.training.sub_words, one.training.steps, one.training.parameters))
            for one in [one for one in measured if one.adapts == adapts] or measured
        ) for adapts in (False, True)}  # fmt: skip
        self.evaluation = _factor(
            (one.evaluation.seconds, self._evaluation(one.evaluation.sub_words)) for one in measured
        )
        around = [max(0.0, one.seconds - one.training.seconds - one.evaluation.seconds) for one in measured]
        self.around = median(around) if around else SECONDS_OF_A_TRIAL

    def seconds(self, config: TrialConfig, trained: float, steps: int, evaluated: float, parameters: int) -> float:
        """The duration of a trial.

        Args:
            config: the trial.
            trained: tokens that go through training, those of the oracle sets included.
            steps: optimizer steps.
            evaluated: tokens that are evaluated.
            parameters: parameters that the optimizer changes.
        """
        training = self.training[METHODS[config.method].adapts] * self._training(trained, steps, parameters)
        return training + self.evaluation * self._evaluation(evaluated) + self.around

    def _training(self, tokens: float, steps: int, parameters: int) -> float:
        # forward and twice as much backward, two operations per weight and token (Kaplan et al. 2020, section 2.1)
        passes = 6 * self.encoder.layers_parameters * tokens / self.flops
        of_step = BYTES_OF_A_STEP * parameters / self.bytes_per_second + self.encoder.layers * self.seconds_of_a_layer
        return passes + steps * of_step

    def _evaluation(self, tokens: float) -> float:
        return 2 * self.encoder.layers_parameters * tokens / self.flops


def _factor(pairs: Iterable[tuple[float, float]]) -> float:
    """The ratio of measured to calculated seconds over all pairs; 1 if there are none."""
    taken, calculated = (math.fsum(column) for column in zip(*pairs, strict=True)) if (pairs := list(pairs)) else (0, 0)
    return taken / calculated if taken and calculated else 1.0
