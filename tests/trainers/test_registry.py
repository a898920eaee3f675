"""Objects by name: built-in ones, and those of installed packages, of which none can stop the service."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainers.registry import Registry

GROUP = "allasprak.things"
MakeDistribution = Callable[..., Path]


def thing(name: str) -> SimpleNamespace:
    return SimpleNamespace(name=name)


@pytest.fixture
def install(make_distribution: MakeDistribution, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def add(*arguments: str, **options: str) -> None:
        monkeypatch.syspath_prepend(make_distribution(GROUP, *arguments, **options))

    return add


CODE = "from types import SimpleNamespace\n"


def registry(kind: type[Any] = object) -> Registry[SimpleNamespace]:
    return Registry(GROUP, (thing("second"), thing("first")), kind)


def test_built_in_objects_come_first_then_those_of_other_packages_by_name(install: Callable[..., None]) -> None:
    install("registry_zebra:Z", CODE + "Z = SimpleNamespace(name='zebra')", version="3.0b1")
    install("registry_ape:A", CODE + "A = SimpleNamespace(name='ape')")
    things = registry()
    assert list(things) == ["second", "first", "ape", "zebra"]
    assert len(things) == 4
    assert things["zebra"].name == "zebra"
    assert things.distribution("zebra") == ("registry_zebra", "3.0b1")
    assert things.distribution("first") is None
    assert "horse" not in things
    for ask in (things.__getitem__, things.distribution):
        with pytest.raises(KeyError):
            ask("horse")


def test_built_in_objects_are_found_without_loading_what_others_bring(install: Callable[..., None]) -> None:
    install("registry_late:L", "raise SystemExit('loaded')")
    assert registry()["first"].name == "first"
    assert registry().distribution("first") is None


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import no_such_package_anywhere", "No module named 'no_such_package_anywhere'"),
        ("X = 1 / 0", "division by zero"),
        ("Y = 1", "has no attribute 'X'"),
        ("X = 1", "no SimpleNamespace with a name"),
        ("X = type('Thing', (), {'name': 'third'})", "no SimpleNamespace with a name"),
        (CODE + "X = SimpleNamespace(name=3)", "no SimpleNamespace with a name"),
        (CODE + "X = SimpleNamespace()", "has no attribute 'name'"),
        (CODE + "X = SimpleNamespace(name='first')", "'first' is taken"),
    ],
)
def test_what_cannot_be_loaded_or_has_a_name_that_is_taken_is_left_out_with_a_warning(
    install: Callable[..., None], caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest, code: str, why: str
) -> None:
    module = f"registry_broken_{request.node.callspec.indices['code']}"  # each once: modules stay imported
    install(f"{module}:X", code)
    with caplog.at_level(logging.WARNING, "trainers.registry"):
        assert list(registry(SimpleNamespace)) == ["second", "first"]
    assert f"{module}:X of {GROUP} is left out" in caplog.text
    assert why in caplog.text


def test_of_two_packages_with_the_same_name_one_counts(
    install: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    for module in ("registry_one", "registry_other"):
        install(f"{module}:X", CODE + f"X = SimpleNamespace(name='same', of='{module}')")
    things = registry()
    assert list(things) == ["second", "first", "same"]
    assert things.distribution("same") == (things["same"].of, "1.2")
    assert "'same' is taken" in caplog.text
