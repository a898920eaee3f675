"""Protocols: what the paper leaves open, as named bundles of values, each with its source."""

from dataclasses import dataclass

from trainers.config import Training


@dataclass(frozen=True)
class Protocol:
    """A named bundle: hyperparameters and surgery's probability, per task."""

    name: str
    training: dict[str, Training]
    alpha: dict[str, float]


PAPER = Protocol(
    name="paper",
    training={
        "ner": Training(
            epochs=10,  # section 4.3
            batch_size=32,  # section 4.3; adapting to a target takes its K shots as one batch
            learning_rate=2e-5,  # section 4.3
            weight_decay=0.0,  # silent; released code
            adam_epsilon=1e-8,  # silent; released code
            clip_norm=1.0,  # silent; released code, after surgery
            warmup_steps=0,  # silent; released code, then linear decay to 0
            max_length=128,  # silent; released code, longer sentences are split
        ),
    },
    alpha={"ner": 1.0},  # section 4.3
)

PROTOCOLS: dict[str, Protocol] = {PAPER.name: PAPER}
