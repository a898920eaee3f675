"""What Prometheus scrapes (its text format): the queue, trials, the pool, its speed, how long the store takes."""

from collections.abc import Callable, Iterator

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from search_spaces.environment import Environment
from service.store import Store
from service.store.states import ATTEMPT_STATES, STATES, TRIAL_STATES

STORE_SECONDS = Histogram(
    "allasprak_store_seconds", "How long the database was used for at a time", ["what"], registry=None
)

router = APIRouter(tags=["service"])


@router.get("/metrics", response_class=PlainTextResponse)
def get_metrics(request: Request) -> Response:
    """Metrics of this moment, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Now(request.app.state.store, request.app.state.environment))
    registry.register(STORE_SECONDS)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Now(Collector):
    """What the store and the pool say at the moment of the scrape: nothing is counted twice."""

    def __init__(self, store: Store, environment: Callable[[], Environment]) -> None:
        self.store, self.environment = store, environment

    def collect(self) -> Iterator[Metric]:
        counts, used, pool = self.store.experiments.counts(), self.store.slots.in_use(), self.environment()
        yield _by(
            "allasprak_experiments", "Experiments by state", "state", dict.fromkeys(STATES, 0) | counts.experiments
        )
        yield _by(
            "allasprak_trials",
            "Trials that experiments ask for, by state",
            "state",
            dict.fromkeys(TRIAL_STATES, 0) | counts.trials,
        )
        yield _by(
            "allasprak_attempts",
            "Attempts at trials that are kept, by state",
            "state",
            dict.fromkeys(ATTEMPT_STATES, 0) | counts.attempts,
        )
        yield _by("allasprak_pool_used", "What running trials take", "resource", vars(used))
        there = {"cpus": pool.cpus, "gpus": pool.gpus, "memory": pool.memory}
        known = {name: size for name, size in there.items() if size is not None}
        yield _by("allasprak_pool_size", "What the pool has, where that is known", "resource", known)
        steps = GaugeMetricFamily("allasprak_steps_per_second", "Optimizer steps of all running trials together")
        steps.add_metric([], counts.steps_per_second)
        yield steps


def _by(name: str, words: str, label: str, values: dict[str, float] | dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
