"""Which scores and models of trials are stored, and which of those that an experiment wants are missing."""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, select

from service.store.schema import scores, selections, trials
from trainers.selections import scored_by
from trainers.trial import Wanted


class Coverage:
    """The selected steps and the scores of some trials.

    Args:
        connection: to the database.
        digests: of the trials.
    """

    def __init__(self, connection: Connection, digests: Collection[str]) -> None:
        self.epochs: dict[str, int] = {}
        self.chosen: dict[str, dict[str, int]] = {}
        self.kept: set[tuple[str, str]] = set()
        self.steps: dict[tuple[str, str, str, str], set[int]] = {}
        choices = (
            select(selections.c.trial, selections.c.selection, selections.c.step, selections.c.kept, trials.c.epochs)
            .join(trials, trials.c.digest == selections.c.trial)
            .where(selections.c.trial.in_(digests))
        )
        for trial, selection, step, kept, epochs in connection.execute(choices):
            self.epochs[trial] = epochs
            self.chosen.setdefault(trial, {})[selection] = step
            self.kept |= {(trial, selection)} if kept else set()
        columns = (scores.c.trial, scores.c.split, scores.c.language, scores.c.data, scores.c.step)
        for *key, step in connection.execute(select(*columns).where(scores.c.trial.in_(self.chosen))):
            self.steps.setdefault((key[0], key[1], key[2], key[3]), set()).add(step)

    def missing(self, trial: str, wanted: Wanted) -> tuple[str, ...] | None:
        """The languages without a test score at the selected steps; None if a trial lacks nothing that is wanted.

        Empty if only models are missing, or scores on the dev sets that the objective is computed from. Where test
        scores of every epoch are wanted, a language needs as many as there are epochs.
        """
        chosen = self.chosen.get(trial, {})
        if not chosen.keys() >= set(wanted.selections):
            return tuple(wanted.evaluate)

        def lacking(split: str, needed: Mapping[str, str], at_least: int) -> tuple[str, ...]:
            found = {name: self.steps.get((trial, split, name, data), set()) for name, data in needed.items()}
            few = {name for name, of in found.items() if sum(step >= 0 for step in of) < at_least}
            for selection in wanted.selections:
                few |= {name for name in scored_by(selection, needed) if chosen[selection] not in found[name]}
            return tuple(name for name in needed if name in few)

        tests = lacking("test", wanted.evaluate, self.epochs[trial] if wanted.test_every_report else 0)
        models = wanted.keep and not self.kept >= {(trial, selection) for selection in wanted.selections}
        return tests if tests or models or lacking("dev", wanted.judge, 0) else None
