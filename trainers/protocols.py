"""What the paper leaves open, as named bundles of values, each with its source.

Here stands what holds for every task; what a protocol sets for one task alone stands with the task (`trainers.tasks`).
"""

from dataclasses import dataclass

from trainers.trial import Selection, Split, Training

# Parameters without weight decay, by the end of their names (the scripts of XTREME, which the released code forks).
UNDECAYED = ("bias", "LayerNorm.weight")


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """A protocol's settings for one task: hyperparameters, surgery, and which data select.

    Attributes:
        training: hyperparameters.
        alpha: the probability of surgery.
        alpha_per_target: the same for each target of a model, up to `alpha` in all; None where their number is all one.
        selection: what selects a source or mixed training's weights.
        shots_split: where shots are drawn from.
        oracle_sample: windows drawn at random for one oracle pass; None for all.
        oracle_limit: windows of a language that are its oracle set, the first of its shots; None for all.
        k_counts_windows: K counts windows, not examples.
    """

    training: Training
    alpha: float
    alpha_per_target: float | None = None
    selection: Selection
    shots_split: Split
    oracle_sample: int | None = None
    oracle_limit: int | None = None
    k_counts_windows: bool = False

    def surgery_alpha(self, targets: int) -> float:
        """The probability of surgery for a model with this many target languages."""
        if self.alpha_per_target is None:
            return self.alpha
        return min(self.alpha, round(targets * self.alpha_per_target, 9))  # 3 * 0.1 is not 0.3


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A named bundle.

    Attributes:
        name: as in requests.
        defaults: the settings of a task that has none of its own under this protocol.
        released_surgery: operate per part of an update, with the source among the oracle languages, misaligned.
    """

    name: str
    defaults: TaskSettings
    released_surgery: bool = False


PAPER = Protocol(
    name="paper",
    defaults=TaskSettings(
        training=Training(
            epochs=10,  # section 4.3
            batch_size=32,  # section 4.3; adapting to a target takes batches of K
            learning_rate=2e-5,  # section 4.3
            weight_decay=0.0,  # silent; released code
            adam_epsilon=1e-8,  # silent; released code
            clip_norm=1.0,  # silent; released code, after surgery
            warmup_steps=0,  # silent; released code, then linear decay to 0
            max_length=128,  # silent; released code, longer sentences are split
        ),
        alpha=1.0,  # Algorithm 1 at every step; section 4.3 has a value for each of its tasks
        selection="source-dev",  # section 3
        shots_split="train",  # appendix A
    ),
)

# The authors' released code where it differs from the paper's text. Each value, here and with the tasks, is that of
# their scripts.
RELEASED_CODE = Protocol(name="released-code", defaults=PAPER.defaults, released_surgery=True)

PROTOCOLS: dict[str, Protocol] = {PAPER.name: PAPER, RELEASED_CODE.name: RELEASED_CODE}
