"""Requests of every kind to the REST interface, which Schemathesis makes from its description."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
from fastapi import FastAPI
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.hooks import unregister

from frozen_home import FROZEN, unpack
from predicted import predicted
from search_spaces.environment import Environment
from service.api import create_app
from service.reports.kinds import KINDS
from service.store import RESULT_COLUMNS, Query, Store
from service.web import add_pages

TOKEN = "s3cret"

# What is in the store, or in other fields, decides whether these accept what their schemas allow: it may be 422.
DEPENDING = (
    "submit_experiment", "resubmit_experiment", "plan_experiment", "list_experiments", "list_trials", "get_sweep",
    "add_dataset", "get_predictions", "get_examples", "get_results", "query_results", "summarize_results",
    "compare_results", "get_report",
)  # fmt: skip

# An export starts a process that loads torch.
LEFT_OUT = ("get_model",)

# So does a check of an experiment's encoder; the others compute for a tenth of a second.
COSTLY = ("resubmit_experiment", "get_report", "compare_results", "get_experiment_page")


@dataclass
class Fuzzed:
    """What has come of many requests.

    Attributes:
        cases: how many there were.
        failures: what a check has found, in words, each once.
        succeeded: how many answers of 2xx each operation has given, by its id.
    """

    cases: int = 0
    failures: list[str] = field(default_factory=list)
    succeeded: Counter[str] = field(default_factory=Counter)


def old_service(home: Path) -> tuple[FastAPI, Store]:
    """An application over a home that an earlier version has left: experiments of every kind, with trials and scores.

    There is also data that can be added, as the description has it for an example, and an experiment of now. Each
    process that an answer starts has the environment of this one: ALLASPRAK_HOME should be that home.
    """
    unpack(FROZEN / "home-0003.tar.xz", home)
    folder = home / "data" / "mine" / "ner" / "de"
    folder.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        (folder / f"{split}.jsonl").write_text('{"tokens": ["Berlin"], "tags": ["B-LOC"]}')
    store = Store(f"sqlite:///{home / 'allasprak.sqlite'}")
    predicted(store, home)  # the sample corpus has other examples than those that the earlier version scored
    app = create_app(store, lambda: Environment(home, home / "data", cpus=2, gpus=0), TOKEN)
    add_pages(app)
    return app, store


def fuzz(
    app: FastAPI, store: Store, examples: int, phases: Sequence[str], left_out: Sequence[str] = LEFT_OUT
) -> Fuzzed:
    """Make requests, and check each answer by all of Schemathesis's checks.

    Args:
        app: that asks for TOKEN. Its description is closed: a field that it does not tell of is a failure.
        store: its store.
        examples: requests of each operation, in each phase.
        phases: of Schemathesis: "examples", "coverage", "fuzzing", "stateful".
        left_out: operations that are not asked.
    """
    close(app.openapi())
    accepted = ["2xx", "401", "403", "404", "409"]
    refused = ["400", "401", "403", "404", "405", "409", "413", "415", "422"]
    config = SchemathesisConfig.from_dict({
        "seed": 1,
        "headers": {"Authorization": f"Bearer {TOKEN}"},
        "continue-on-failure": True,
        "request-timeout": 60,
        "generation": {"max-examples": examples, "database": "none"},
        "phases": {
            name: {"enabled": name in phases} for name in ("examples", "coverage", "fuzzing", "stateful")
        },
        "checks": {
            "positive_data_acceptance": {"expected-statuses": accepted},
            "negative_data_rejection": {"expected-statuses": refused},
        },
        "operations": [
            *({"include-operation-id": one, "enabled": False} for one in left_out),
            {"include-operation-id": "follow_experiment", "request-timeout": 0.5},  # a stream has no end
            *(
                {
                    "include-operation-id": one,
                    "checks": {"positive_data_acceptance": {"expected-statuses": [*accepted, "422"]}},
                }
                for one in DEPENDING
            ),
        ],
    })  # fmt: skip
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)
    knowing = _knowing(known(store))
    schemathesis.hook("before_call")(knowing)
    try:
        return _summed(from_schema(schema).execute())
    finally:
        unregister(knowing)


# Schemathesis holds each event of a stream to the stream's schema, which in OpenAPI 3.1 is that of its text.
EVENT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    "required": ["id", "event", "data"],
}


def close(description: Mapping[str, Any]) -> None:
    """Let objects have no further fields, in place: those whose fields are told of."""
    for one in description["components"]["schemas"].values():
        if "properties" in one:
            one.setdefault("additionalProperties", False)
    events_of = description["paths"]["/v1/experiments/{id}/events"]["get"]["responses"]["200"]["content"]
    events_of["text/event-stream"]["schema"] = EVENT


def known(store: Store) -> dict[str, list[Any]]:
    """Values that are there: of filters, by column, and ids of `experiments` and `trials`, the `newest` one's."""
    shown, _ = store.experiments.page(limit=1000)
    rows = store.results.rows(Query(), 10_000).rows
    trials = [trial for one in shown for trial in store.experiments.plan_of(one.id) or {}]
    found = {name: sorted({row[name] for row in rows if row[name] is not None}) for name in RESULT_COLUMNS}
    newest = list(store.experiments.plan_of(shown[0].id) or ())
    ids = {"experiments": [one.id for one in shown], "trials": trials, "newest": newest}
    return found | ids | {"by": ["method", "k", "language"]}


def _knowing(there: Mapping[str, list[Any]]) -> Any:
    """A hook that puts what there is into most requests that are in order, which would else ask for nothing.

    What there was at first stays: only what requests have made is deleted.
    """
    chance = random.Random(1)

    def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
        named = case.path_parameters or {}
        is_deleted = case.operation.method.upper() == "DELETE"
        if is_deleted and named.get("id") in there["experiments"]:
            named["id"] = "0" * 12
        if is_deleted or case.meta is None or not case.meta.generation.mode.is_positive or chance.random() < 0.2:
            return
        path = case.operation.path
        if "id" in named:
            of_trial = "newest" if path.endswith("/examples") else "trials"
            named["id"] = chance.choice(there["experiments" if "/experiments/" in path else of_trial])
        if "/reports/" in path:
            named["name"] = chance.choice(list(KINDS))
        for given in [name for name, value in (case.query or {}).items() if isinstance(value, list)]:
            values = there.get(given.rpartition(".")[2])
            if chance.random() < 0.7:  # all filters together leave nothing
                del case.query[given]
            elif values:
                case.query[given] = [chance.choice(values)]
        for given in sorted({"language", "k", "seed"} & set(case.query or {})):
            if not isinstance(case.query[given], list):
                case.query[given] = chance.choice(there[given])

    return before_call


def _summed(told: Iterator[Any]) -> Fuzzed:
    found = Fuzzed()
    for event in told:
        if isinstance(event, events.NonFatalError):
            found.failures.append(f"{event.label}: {event.value!r}")
        if isinstance(event, events.FatalError):
            found.failures.append(repr(event.exception))
        if not isinstance(event, events.ScenarioFinished):
            continue
        recorder = event.recorder
        found.cases += len(recorder.cases)
        for id_, interaction in recorder.interactions.items():
            if interaction.response is not None and interaction.response.status_code < 300:
                found.succeeded[recorder.cases[id_].value.operation.definition.raw["operationId"]] += 1
        found.failures += [
            f"{event.label}, {check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
            for checks in recorder.checks.values()
            for check in checks
            if check.failure_info is not None
        ]
    return found
