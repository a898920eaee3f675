"""How experiments share the pool, on every database: by a clock of our own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from plans import config_of, result_of, spec_of, trial_of
from search_spaces.plan import Plan
from service.store import Resources, Store, slots

TICK = 0.5
POOL = Resources(2, 0, 0)
ONE = Resources(1, 0, 0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, for slots."""
    now = [1000.0]
    monkeypatch.setattr(slots, "moment", lambda: now[0])
    return now


@dataclass
class Driver:
    """An experiment with endless trials of a length."""

    store: Store
    id: str
    trials: list[str]
    length: float
    running: dict[str, float] = field(default_factory=dict)
    ran: list[tuple[float, float]] = field(default_factory=list)
    asked: float = 0.0

    def look(self, now: float, pool: Resources, is_full: bool = False) -> None:
        """End the trials that are over, and start what may start; ask a full pool now and then, to be known."""
        over = [trial for trial, since in self.running.items() if now - since >= self.length]
        if is_full and not over and now - self.asked < slots.LEASE_SECONDS / 3:
            return
        self.asked = now
        for trial in over:
            self.ran.append((self.running.pop(trial), now))
        while True:
            free = [trial for trial in self.trials if trial not in self.running]
            found = self.store.slots.claim(self.id, free, over, pool)
            over = []
            if found is None:
                return
            self.running[found] = now

    def seconds(self, begin: float, end: float) -> float:
        """Of slots in a span of time."""
        now = [(since, end) for since in self.running.values()]
        return sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in [*self.ran, *now])


def experiment(store: Store, seeds: Sequence[int], priority: int = 0, room: Resources = ONE) -> tuple[str, list[str]]:
    """An experiment that shares the pool, and its trials, one for each seed."""
    plan = Plan()
    for seed in seeds:
        config = config_of(seed=seed)
        plan.add(trial_of(config, evaluate={"en": "test"}))
        plan.results.append(result_of(config, "en"))
    id_ = store.experiments.add(spec_of(seeds=list(seeds), priority=priority), plan)
    store.slots.join(id_, room)
    return id_, list(plan.trials)


def driver(store: Store, number: int, length: float, priority: int = 0) -> Driver:
    return Driver(store, *experiment(store, range(10 * number, 10 * number + 4), priority), length)


def run(drivers: Sequence[Driver], clock: list[float], seconds: float) -> int:
    """Let drivers look once a tick; returns how often a slot was idle."""
    idle = 0
    for _ in range(int(seconds / TICK)):
        for one in [*drivers, *drivers]:  # they ask more often than trials end
            one.look(clock[0], POOL, sum(len(other.running) for other in drivers) == POOL.cpus)
        busy = sum(len(one.running) for one in drivers)
        assert busy <= POOL.cpus
        idle += int(POOL.cpus) - busy
        clock[0] += TICK
    return idle


@pytest.mark.parametrize(
    ("count", "length"),
    [(3, 5.0), (4, 40.0), *(pytest.param(*one, marks=pytest.mark.slow) for one in ((2, 5.0), (4, 2.0), (5, 7.0)))],
)
def test_equals_share_evenly_over_five_minutes_and_no_slot_idles(
    store: Store, clock: list[float], count: int, length: float
) -> None:
    drivers = [driver(store, number, length) for number in range(count)]
    assert run(drivers, clock, 200) == 0
    begin = clock[0]
    assert run(drivers, clock, 300) == 0
    fair = 2 * 300 / count
    for one in drivers:
        assert one.seconds(begin, clock[0]) == pytest.approx(fair, abs=2 * slots.TURN_SECONDS + length)
        ends = {stop for _, stop in one.ran}
        turns = sum(start not in ends for start, _ in one.ran)
        assert turns <= 500 / slots.TURN_SECONDS  # it keeps its slot for a turn rather than a trial


def test_a_new_experiment_has_its_first_slot_after_one_trial_and_owes_nothing(store: Store, clock: list[float]) -> None:
    old = [driver(store, 0, 8.0), driver(store, 1, 8.0)]
    run(old, clock, 500)
    new = driver(store, 2, 8.0)
    begin = clock[0]
    run([*old, new], clock, 8.0 + TICK)
    assert new.running
    run([*old, new], clock, 291.5)
    assert new.seconds(begin, clock[0]) == pytest.approx(200, abs=2 * slots.TURN_SECONDS + 8)


def test_the_higher_priority_goes_first_and_what_it_leaves_is_the_others(store: Store, clock: list[float]) -> None:
    low, high = driver(store, 0, 3.0), driver(store, 1, 3.0, priority=1)
    run([low], clock, 30)
    run([low, high], clock, 3.0 + TICK)
    assert (len(low.running), len(high.running)) == (0, 2)
    high.trials = high.trials[:1]
    run([low, high], clock, 6.0)
    assert (len(low.running), len(high.running)) == (1, 1)
    store.control.set_priority(low.id, 2)
    run([low, high], clock, 3.0 + TICK)
    assert (len(low.running), len(high.running)) == (2, 0)


def test_an_experiment_that_had_nothing_to_run_does_not_catch_up(store: Store, clock: list[float]) -> None:
    busy, away = driver(store, 0, 2.0), driver(store, 1, 2.0)
    trials, away.trials = away.trials, away.trials[:1]
    run([busy, away], clock, 4)
    away.trials = []
    run([busy, away], clock, 400)
    away.trials = trials
    begin = clock[0]
    run([busy, away], clock, 100)
    assert busy.seconds(begin, clock[0]) == pytest.approx(100, abs=slots.TURN_SECONDS + 4)


def test_a_trial_that_two_want_is_run_by_one_and_the_other_runs_something_else(store: Store) -> None:
    first, shared = experiment(store, [1, 2])
    second, _ = experiment(store, [1, 2])
    assert store.slots.claim(first, shared, [], POOL) == shared[0]
    assert store.slots.claim(second, shared[:1], [], POOL) is None
    assert store.slots.claim(second, shared, [], POOL) == shared[1]
    assert store.slots.held() == {first: [shared[0]], second: [shared[1]]}
    assert store.slots.claim(first, [], shared, POOL) is None
    assert store.slots.held() == {second: [shared[1]]}


def test_nobody_waits_for_a_driver_that_is_dead(store: Store, clock: list[float]) -> None:
    dead, trials = experiment(store, [1, 2])
    alive, _ = experiment(store, [1, 2])
    for trial in trials:
        assert store.slots.claim(dead, [trial], [], POOL) == trial
    assert store.slots.claim(alive, trials, [], POOL) is None
    clock[0] += slots.LEASE_SECONDS / 2
    store.slots.heartbeat(dead)
    clock[0] += slots.LEASE_SECONDS * 0.9
    assert store.slots.claim(alive, trials, [], POOL) is None
    clock[0] += slots.LEASE_SECONDS
    assert store.slots.claim(alive, trials, [], POOL) == trials[0]
    assert store.slots.claim(alive, trials[1:], [], POOL) == trials[1]
    assert Counter(store.slots.held()) == Counter({alive: trials})


def test_a_large_trial_lets_small_ones_pass_and_then_has_room_kept(store: Store, clock: list[float]) -> None:
    small = driver(store, 0, 4.0)
    run([small], clock, 2)
    small.running[next(iter(small.running))] -= 2  # the two end at different times from now on
    id_, trials = experiment(store, [90], room=Resources(2, 0, 0))
    large = Driver(store, id_, trials, 4.0)
    began = clock[0]
    while not large.running:
        for one in (small, large):
            one.look(clock[0], POOL)
        clock[0] += TICK
        assert clock[0] - began < slots.PATIENCE_SECONDS + 10
    assert clock[0] - began > slots.PATIENCE_SECONDS
    assert small.seconds(began, began + slots.PATIENCE_SECONDS) == pytest.approx(2 * slots.PATIENCE_SECONDS, abs=2)


def test_what_the_pool_can_never_hold_keeps_no_room(store: Store, clock: list[float]) -> None:
    id_, trials = experiment(store, [90], room=Resources(1, 1, 0))
    small = driver(store, 0, 4.0)
    assert store.slots.claim(id_, trials, [], POOL) is None
    clock[0] += 2 * slots.PATIENCE_SECONDS
    store.slots.heartbeat(id_)
    assert store.slots.claim(id_, trials, [], POOL) is None
    assert run([small], clock, 20) == 0


@pytest.mark.parametrize(
    ("room", "words"),
    [
        (Resources(1, 0, 0), "1 CPU"),
        (Resources(2, 1, 0), "2 CPUs and 1 GPU"),
        (Resources(0.5, 0.5, 2**31), "0.5 CPUs, 0.5 GPUs and 2.0 GiB of memory"),
        (Resources(0, 0, 0), "nothing"),
    ],
)
def test_resources_are_told_without_those_of_which_there_are_none(room: Resources, words: str) -> None:
    assert str(room) == words


def test_the_largest_of_its_shares_counts() -> None:
    pool = Resources(8, 2, 64)
    assert Resources(1, 1, 4).share_of(pool) == 0.5
    assert Resources(1, 0, 32).share_of(pool) == 0.5
    assert Resources(1, 0.5, 4).share_of(Resources(8, 0, 64)) == 0.125
