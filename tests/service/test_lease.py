"""One server has a database: the lease, over each database, with owners on several machines."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from service.owner import Owner
from service.store import DatabaseLostError, LeaseHeldError, LeaseLostError, Store, StoreFullError
from service.store.lease import Lease

HERE = Owner(home="/homes/ada", folder="1:2", host="leda", place="boot pid:[1]")
COPY = replace(HERE, home="/homes/copy", folder="1:3")
ELSEWHERE = replace(HERE, host="europa", place="boot pid:[2]")

RUNNING, DEAD = 7, 8

Ask = Callable[..., Lease]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("BEAT", 0.05), ("LEASE", 0.4), ("LOOK", 0.02)):
        monkeypatch.setattr(f"service.store.lease.{name}_SECONDS", seconds)


@pytest.fixture
def ask(store: Store) -> Iterator[Ask]:
    """A lease that a process of an owner asks for."""
    asked: list[Lease] = []

    def make(owner: Owner, pid: int = RUNNING) -> Lease:
        asked.append(store.lease(owner, (pid, 1.5), lambda pid, _: pid == RUNNING))
        return asked[-1]

    yield make
    for one in asked:
        one.release()


def vanish(lease: Lease) -> None:
    """What a machine leaves that has lost its power: no heartbeat and no session, but the row."""
    lease._over.set()
    lease._beating.join()
    if lease._session is not None:
        lease._session.close()


def silent(words: str) -> None:
    raise AssertionError(words)


def test_a_second_server_is_refused_and_told_who_is_the_first(ask: Ask) -> None:
    first = ask(HERE)
    assert first.take(silent)  # there was none before: drivers in the store are of an earlier version
    named = "process 7 on leda with the home /homes/ada"
    for other in (HERE, COPY, ELSEWHERE):
        said: list[str] = []
        begin = time.monotonic()
        with pytest.raises(LeaseHeldError, match=named):
            ask(other).take(said.append)
        assert time.monotonic() - begin < 0.35  # its next heartbeat, not the end of its lease
        assert said == [f"the last server on the database was {named}: waiting up to 0 s for a sign of it"]
    first.check()


@pytest.mark.parametrize("other", [HERE, COPY, ELSEWHERE], ids=["same", "copy", "elsewhere"])
def test_one_that_is_there_without_a_heartbeat_is_followed_once_its_lease_has_expired(ask: Ask, other: Owner) -> None:
    """It is suspended; or it has the original of this database, which was copied with its home."""
    first = ask(HERE, RUNNING)
    first.take(silent)
    vanish(first)
    begin, second = time.monotonic(), ask(other)
    assert second.take(lambda _: None) is (other is HERE)
    assert 0.4 < time.monotonic() - begin < 5
    with pytest.raises(LeaseLostError):
        first.check()


def test_a_long_transaction_that_holder_and_newcomer_wait_for_is_no_silence(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ask(HERE), ask(COPY)
    first.take(silent)
    first._over.set()
    first._beating.join()
    tries = []

    def slow(expired: int | None, look: Callable[..., object] = second._try) -> object:
        tries.append(expired)
        if len(tries) == 2:
            time.sleep(0.6)  # longer than a lease
        elif len(tries) == 4:
            first._count()  # it comes a little later
        return look(expired)

    monkeypatch.setattr(second, "_try", slow)
    with pytest.raises(LeaseHeldError, match="leda"):
        second.take(lambda _: None)
    assert tries == [None] * 4


def test_one_that_goes_on_as_its_lease_expires_keeps_it(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its heartbeat falls between the last look of a newcomer and the moment when that would take the lease."""
    first, second = ask(HERE), ask(COPY)
    first.take(silent)
    first._over.set()
    first._beating.join()
    last_try = second._try

    def after_a_heartbeat(expired: int | None) -> object:
        if expired is not None:
            first._count()
        return last_try(expired)

    monkeypatch.setattr(second, "_try", after_a_heartbeat)
    with pytest.raises(LeaseHeldError, match="leda"):
        second.take(lambda _: None)
    first.check()


def test_one_that_was_stopped_is_followed_at_once(ask: Ask) -> None:
    for owner, is_heir in ((HERE, True), (HERE, True), (COPY, False), (ELSEWHERE, False)):
        lease = ask(owner)
        assert lease.take(silent) is is_heir
        lease.release()


def test_one_that_was_killed_is_followed_at_once_by_its_own_home(ask: Ask) -> None:
    first = ask(HERE, DEAD)
    first.take(silent)
    vanish(first)
    assert ask(replace(HERE, home="/homes/renamed")).take(silent)


@pytest.mark.parametrize("other", [COPY, ELSEWHERE], ids=["copy", "elsewhere"])
def test_one_that_was_killed_is_followed_by_other_homes_once_its_lease_has_expired(ask: Ask, other: Owner) -> None:
    first, said = ask(HERE, DEAD), list[str]()
    first.take(silent)
    vanish(first)
    begin, second = time.monotonic(), ask(other)
    assert not second.take(said.append)
    assert time.monotonic() - begin > 0.4
    assert len(said) == 1


def test_a_restarted_machine_is_another_one(ask: Ask) -> None:
    """Its old pids say nothing: another process may have one of them."""
    first = ask(HERE)
    first.take(silent)
    vanish(first)
    begin = time.monotonic()
    assert not ask(replace(HERE, place="later pid:[1]")).take(lambda _: None)
    assert time.monotonic() - begin > 0.4


def test_a_server_that_was_suspended_sees_that_another_has_taken_over_and_leaves_it_the_lease(ask: Ask) -> None:
    first, second = ask(HERE), ask(ELSEWHERE)
    first.take(silent)
    vanish(first)
    first.check()
    second.take(lambda _: None)
    with pytest.raises(LeaseLostError, match="taken the database over, so this one ends: process 7 on europa"):
        first.check()
    first._count()
    first.release()
    second.check()
    with pytest.raises(LeaseHeldError):
        ask(HERE).take(lambda _: None)


def test_a_lease_whose_row_is_gone_is_written_again(ask: Ask, store: Store) -> None:
    first = ask(HERE)
    first.take(silent)
    with store._database.write() as connection:
        connection.execute(text("DELETE FROM lease"))
    first.check()
    time.sleep(0.2)
    with pytest.raises(LeaseHeldError, match="leda"):
        ask(ELSEWHERE).take(lambda _: None)


def test_a_full_disk_is_one_heartbeat_missed_and_not_the_last(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask(HERE)
    first.take(silent)
    count, left = first._count, [StoreFullError("the disk is full"), DatabaseLostError("it was removed")]

    def once() -> None:
        if left:
            raise left.pop()
        count()

    monkeypatch.setattr(first, "_count", once)
    deadline = time.monotonic() + 5
    while left:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)
    assert first._beating.is_alive()


def locks(engine: Engine) -> list[int]:
    query = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with engine.connect() as connection:
        return list(connection.execute(text(query)).scalars())


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_session_that_the_database_server_ended_is_followed_by_another(ask: Ask, postgres_tables: Engine) -> None:
    first = ask(HERE)
    first.take(silent)
    [session] = locks(postgres_tables)
    with postgres_tables.connect() as connection:
        connection.execute(text(f"SELECT pg_terminate_backend({session})"))
    deadline = time.monotonic() + 5
    while (now := locks(postgres_tables)) in ([], [session]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.check()
    with pytest.raises(LeaseHeldError, match="leda"):
        ask(ELSEWHERE).take(lambda _: None)
    assert locks(postgres_tables) == now


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_one_that_hangs_keeps_its_lock_and_so_the_lease(ask: Ask) -> None:
    first = ask(HERE)
    first.take(silent)
    first._over.set()
    first._beating.join()
    with pytest.raises(LeaseHeldError, match="locks the database, and does not go on: process 7 on leda"):
        ask(ELSEWHERE).take(lambda _: None)


def test_of_many_that_ask_at_once_one_has_it(ask: Ask) -> None:
    def take(number: int) -> bool:
        try:
            ask(replace(HERE, folder=f"1:{number}", place=f"boot pid:[{number}]")).take(lambda _: None)
        except LeaseHeldError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, range(6))) == 1


def test_the_process_that_asks_is_told_from_an_earlier_one_with_its_pid(store: Store) -> None:
    alive = {(os.getpid(), 2.0)}
    first = store.lease(HERE, (os.getpid(), 1.0), lambda *process: process in alive)
    first.take(silent)
    vanish(first)
    second = store.lease(HERE, (os.getpid(), 2.0), lambda *process: process in alive)
    assert second.take(silent)
    second.release()
