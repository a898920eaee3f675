"""The wall's clock is set anew while things happen, or the machine is started anew: durations and due times hold."""

import time

import pytest
from sqlalchemy import create_engine, text

from plans import spec_of
from service.store import Resources, Store, control, slots, trials
from stored import SOURCE, cost_of, finished_in, plan_of, priced, score

HOUR, DAY = 3600.0, 86400.0

ONE, POOL = Resources(1, 0, 0), Resources(2, 0, 0)


class Clocks:
    """The two clocks; a test sets either anew."""

    def __init__(self) -> None:
        self.wall, self.machine = time.time(), 1000.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.machine += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(time, "time", lambda: clocks.wall)
    for module in (control, slots, trials):
        monkeypatch.setattr(module, "moment", lambda: clocks.machine)
    return clocks


@pytest.mark.parametrize("jump", [-HOUR, DAY])
def test_an_attempt_took_what_it_took_whatever_the_wall_s_clock_says(store: Store, clocks: Clocks, jump: float) -> None:
    id_ = store.experiments.add(spec_of(), priced(plan_of(), dict.fromkeys(plan_of().trials, 60.0)))
    store.control.move(id_, "start")
    attempt = store.trials.started(id_, SOURCE.digest)
    clocks.pass_by(10)
    clocks.wall += jump
    if jump < 0:
        assert cost_of(store, id_)["spent"] == 0  # what another process sees of it while it runs
    assert store.experiments.spent(id_) == (1, pytest.approx(10))  # what a budget is compared with
    store.trials.succeeded(SOURCE.digest, attempt, finished_in(2.0, (score("en", 1.0), score("hi", 3.0))))
    assert cost_of(store, id_)["spent"] == pytest.approx(10)
    [shown] = store.trials.one(SOURCE.digest)["attempts"]  # type: ignore[index]
    assert shown["device_seconds"] == pytest.approx(10)
    [measured] = store.experiments.known(spec_of(), plan_of()).measured
    assert measured.seconds == pytest.approx(10)
    store.control.move(id_, "cancel")
    found = store.experiments.one(id_)
    assert found is not None
    assert found.started is not None
    assert found.finished is not None
    assert found.finished >= found.started


def test_an_attempt_that_was_stored_with_its_end_before_its_beginning_costs_nothing(url: str) -> None:
    store = Store(url)
    id_ = store.experiments.add(spec_of(), priced(plan_of(), dict.fromkeys(plan_of().trials, 60.0)))
    attempt = store.trials.started(id_, SOURCE.digest)
    store.trials.succeeded(SOURCE.digest, attempt, finished_in(2.0, (score("en", 1.0), score("hi", 3.0))))
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE attempts SET ended = started - 3600"))
    engine.dispose()
    cost = cost_of(store, id_)
    assert cost["spent"] == 0
    assert cost["left"] >= 0
    assert store.trials.one(SOURCE.digest)["attempts"][0]["device_seconds"] == 0  # type: ignore[index]
    assert store.experiments.known(spec_of(), plan_of()).measured == []
    store.close()


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_a_driver_that_died_has_a_successor_when_its_delay_is_over(store: Store, clocks: Clocks, jump: float) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    store.control.driver_died(id_, "it died", (60.0,))
    clocks.wall += jump
    clocks.pass_by(59)
    assert store.control.runnable(1) == []
    clocks.pass_by(2)
    assert store.control.runnable(1) == [id_]


def test_a_due_time_from_before_the_machine_was_started_anew_is_over(store: Store, clocks: Clocks) -> None:
    id_ = store.experiments.add(spec_of(), plan_of())
    store.control.driver_died(id_, "it died", (60.0,))
    clocks.machine = 5.0
    assert store.control.runnable(1) == [id_]


@pytest.mark.parametrize("jump", [-HOUR, DAY])
def test_a_slot_is_its_holder_s_as_long_as_its_heart_beats(store: Store, clocks: Clocks, jump: float) -> None:
    holder, other = (store.experiments.add(spec_of(), plan_of()) for _ in range(2))
    for id_ in (holder, other):
        store.slots.join(id_, ONE)
    assert store.slots.claim(holder, [SOURCE.digest], [], POOL) == SOURCE.digest
    clocks.wall += jump
    assert store.slots.claim(other, [SOURCE.digest], [], POOL) is None
    clocks.pass_by(slots.LEASE_SECONDS + 1)
    assert store.slots.claim(other, [SOURCE.digest], [], POOL) == SOURCE.digest


def test_a_heartbeat_from_before_the_machine_was_started_anew_is_none(store: Store, clocks: Clocks) -> None:
    holder, other = (store.experiments.add(spec_of(), plan_of()) for _ in range(2))
    store.slots.join(holder, ONE)
    assert store.slots.claim(holder, [SOURCE.digest], [], POOL) == SOURCE.digest
    clocks.machine = 5.0
    store.slots.join(other, ONE)
    assert store.slots.claim(other, [SOURCE.digest], [], POOL) == SOURCE.digest
