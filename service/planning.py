"""From a spec to its trials: opens an experiment's data, plans and prices it, and builds its trials."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from search_spaces.checks import accepted
from search_spaces.cost.estimate import Estimate, check_budget, estimate
from search_spaces.data_checks import check_data, data_warnings
from search_spaces.environment import Environment
from search_spaces.inputs import Inputs
from search_spaces.plan import Plan, PlannedTrial, plan
from search_spaces.problems import Problem, SpecError
from search_spaces.spec import ExperimentSpec, parse
from service.settings import Settings
from service.store import Store
from trainers.data.download import Tell
from trainers.data.source import RemoteSource
from trainers.examples import DataError
from trainers.trial import NUMERICS, Trial


def accept(body: object, environment: Environment, store: Store) -> tuple[ExperimentSpec, Plan | None]:
    """Validate and plan an experiment that was submitted.

    Args:
        body: the JSON value that was submitted.
        environment: what the spec is validated against.
        store: what has been trained already.

    Returns:
        The spec, and its priced plan; None where its data are fetched first.

    Raises:
        SpecError: the spec is refused.
    """
    inputs = accepted(body, environment)
    spec = inputs.spec.with_population(_new_population()).with_encoder_revision(inputs.encoder.revision)
    is_remote = isinstance(spec.data.source, RemoteSource)
    return spec, None if is_remote else _affordable(spec, inputs, store).plan


def preview(body: object, environment: Environment, store: Store) -> Estimate:
    """What an experiment would cost, of which nothing is stored. Arguments as for `accept`.

    Raises:
        SpecError: the spec is refused, or its data have not been fetched yet.
    """
    inputs = accepted(body, environment)
    data = inputs.spec.data
    if isinstance(data.source, RemoteSource) and (problems := list(check_data(inputs.spec, inputs.data))):
        fetched = f"{data.title()} is fetched when an experiment is submitted, and planned then; what lies here"
        raise SpecError([Problem(problem.field, f"{fetched}: {problem.message}") for problem in problems])
    spec = inputs.spec.with_candidates_drawn().with_population(_new_population())
    return _affordable(spec, inputs, store)


def _new_population() -> str:
    """A name that no other population has: its trials are never reused."""
    return secrets.token_hex(6)


def _affordable(spec: ExperimentSpec, inputs: Inputs, store: Store) -> Estimate:
    found = price(spec, inputs, store)
    if problems := list(check_budget(found)):
        raise SpecError(problems)
    return found


def outdated(numerics: int) -> str:
    """Why an experiment that was planned under another NUMERICS is not continued."""
    return (
        f"it was planned by a version with NUMERICS {numerics}, and this one has {NUMERICS}: its scores would not be"
        " comparable; POST /v1/experiments/{id}/resubmit submits it again"
    )


def accepted_before(stored: Mapping[str, Any]) -> ExperimentSpec:
    """The spec of an experiment that was accepted.

    Raises:
        SpecError: what it names is gone: the package that brought its task, a method or its data.
    """
    spec, problems = parse(dict(stored))
    if problems:
        raise SpecError(problems)
    return spec


def open_experiment(spec: ExperimentSpec, settings: Settings) -> Inputs:
    """The data and the encoder of an experiment that was accepted."""
    return Inputs(spec=spec, home=settings.home, data_root=settings.data_root)


def fetch(inputs: Inputs, tell: Tell) -> list[str]:
    """Fetch the data of a remote source, and check them as local data are checked on submission.

    Args:
        inputs: of an experiment that was accepted.
        tell: is told what is being done.

    Returns:
        In what the data differ from those that were published.

    Raises:
        DataError: they can't be fetched, or lack something that the spec needs.
    """
    spec, source, location = inputs.spec, inputs.spec.data.source, inputs.reference.location
    if not isinstance(source, RemoteSource):
        return []
    targets = source.languages(location, spec.task) if spec.target_languages == "all" else spec.target_languages
    differs = source.fetch(location, spec.task, dict.fromkeys([spec.source_language, *targets]), inputs.home, tell)
    if problems := list(check_data(spec, inputs.data)):
        raise DataError("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
    return differs


def price(spec: ExperimentSpec, inputs: Inputs, store: Store) -> Estimate:
    """The plan of an accepted spec whose data are at hand, with its cost given what has been trained already."""
    warnings = (*inputs.encoder.warnings, *data_warnings(inputs))
    planned = replace(plan(spec, inputs.data, inputs.encoder_digest), warnings=warnings)
    return estimate(spec, planned, inputs.data, inputs.encoder_size, store.experiments.known(spec, planned))


def build_trials(inputs: Inputs, settings: Settings, planned: Mapping[str, PlannedTrial]) -> dict[str, Trial]:
    """Planned trials, by digest, as a worker runs them.

    Args:
        inputs: of the experiment that they belong to.
        settings: where they may write.
        planned: the trials.
    """
    spec = inputs.spec
    return {
        digest: Trial(
            config=trial.config,
            source=trial.source,
            data=inputs.reference,
            wanted=trial.wanted,
            checkpoint_every_report=trial.config.population is not None,
            max_test_examples=spec.training.max_test_examples,
            home=settings.home,
            checkpoint_seconds=settings.checkpoint_seconds,
            threads=spec.resources.cpus_per_trial,
            device="cuda" if spec.resources.gpus_per_trial else "cpu",
            artifacts=settings.artifacts,
        )
        for digest, trial in planned.items()
    }
