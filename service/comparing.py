"""The command `compare`: what one method gains over another, or one experiment over another, by language."""

import argparse
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from service.arguments import UsageError, add_experiment, add_json, add_service, client_of, experiment_id
from service.client import Client
from service.printing import clean, count, print_json, print_rows
from trainers.marks import MARKS

if TYPE_CHECKING:
    from service.arguments import Commands

# Parameters of GET /v1/results/compare that are options here.
OPTIONS = {
    "method": "of both sides, where two experiments are compared",
    "k": "K of both sides",
    "metric": "the metric, if not the task's main one",
    "split": "test (if not given) or dev",
    "unit": "seeds (if not given), for methods; items, for the models of each seed; seeds-and-items",
    "interval": "over seeds: t (if not given), or bootstrap, which is too narrow",
}

# Below this p the interval excludes zero.
SIGNIFICANT = 0.05


def add_compare(commands: "Commands") -> None:
    """Add this command to a command line."""
    compare = commands.add_parser("compare", help="show what a method or an experiment gains over another, by language")
    add_experiment(compare)
    words = (
        "two methods of the experiment, the better one first, such as gradient-mix-train naive-mix-train; or what tells"
        " two sides apart, such as method=gradient-mix-train,alpha=1; or the id of one other experiment"
    )
    compare.add_argument("sides", metavar="SIDE", nargs="+", help=words)
    for name, words in OPTIONS.items():
        compare.add_argument(f"--{name}", metavar=name.upper(), help=words)
    compare.add_argument("--allow", metavar="NAME", action="append", help="a setting that may differ; may be repeated")
    add_json(compare)
    add_service(compare)
    compare.set_defaults(command=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    client = client_of(arguments)
    asked = {name: one for name in (*OPTIONS, "allow") if (one := getattr(arguments, name)) is not None}
    better, over = _sides(client, arguments)
    for side, filters in (("better", better), ("over", over)):
        asked |= {f"{side}.{name}": values for name, values in filters.items()}
    found = client.get("/v1/results/compare", **asked)
    if arguments.json:
        print_json(found)
        return 0
    print(f"{_named(better)} over {_named(over)}: gain in points, with 95 % intervals\n")
    units = _units(found)
    rows = [_row(one, units) for one in found["languages"]]
    rows += [_row({"language": "all", **one}, units) for one in _listed(found["overall"])]
    print_rows(
        [*units.values(), "which is"], rows, right=[words for name, words in units.items() if name != "language"]
    )
    print()
    for words in _notes(found):
        print(clean(words))
    return 0


def _sides(client: Client, arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """The filters of both sides."""
    first = experiment_id(client, arguments.id)
    match arguments.sides:
        case [other] if "=" not in other:
            return {"experiment": first}, {"experiment": experiment_id(client, other, "SIDE")}
        case [better, over]:
            return {"experiment": first, **_filters(better)}, {"experiment": first, **_filters(over)}
        case sides:
            raise UsageError(f"SIDE: there are {len(sides)}; allowed: two methods of ID, or one other experiment")


def _filters(side: str) -> dict[str, list[str]]:
    """Of a side: a method, or columns with their values."""
    found: dict[str, list[str]] = {}
    for part in side.split(",") if "=" in side else [f"method={side}"]:
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise UsageError(f"SIDE: {side!r}; allowed: a method, or column=value, several with commas between")
        found.setdefault(name, []).append(value)
    return found


def _named(side: Mapping[str, Any]) -> str:
    """A side in words: what tells it apart."""
    words = [", ".join(values) if name == "method" else f"{name} {', '.join(values)}"
             for name, values in side.items() if name != "experiment"]  # fmt: skip
    return " ".join(words) or str(side["experiment"])


def _units(found: Mapping[str, Any]) -> dict[str, str]:
    """The columns of a comparison, by its unit: field and head."""
    gain = {"gain": "gain", "low": "from", "high": "to", "p": "p", "p_holm": "p (Holm)"}
    seed, seeds, examples = {"seed": "seed"}, {"seeds": "seeds"}, {"examples": "examples"}
    by_seed = {"wins": "wins", "ties": "ties", "losses": "losses"}
    of_unit = {"seeds": seeds | by_seed, "items": seed | examples, "seeds-and-items": seeds | examples}
    return {"language": "language", **gain, **of_unit[found["unit"]]}


def _row(one: Mapping[str, Any], units: Iterable[str]) -> list[str]:
    return [*(_cell(name, one.get(name)) for name in units), verdict(one)]


def _cell(name: str, value: Any) -> str:
    """A figure; empty where there is none."""
    if value is None:
        return ""
    if name in ("p", "p_holm"):
        return f"{value:.3f}" if value >= 0.001 else "<0.001"
    if name in ("gain", "low", "high"):
        return f"{value:+.2f}"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def verdict(one: Mapping[str, Any]) -> str:
    """What a gain is, in words: of a language by its p after Holm's correction."""
    p = one.get("p_holm", one["p"])
    if p is None or one["gain"] is None:
        return "unknown: nothing to tell it from noise by"
    if p >= SIGNIFICANT:
        return "within the noise"
    return "a gain" if one["gain"] > 0 else "a loss"


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    """What to know before the gains are used."""
    for one in _listed(found["overall"]):
        seed = f" at seed {one['seed']}" if "seed" in one else ""
        bounds = f"{_cell('low', one['low'])} to {_cell('high', one['high'])}" if one["low"] is not None else ""
        p = f"p = {_cell('p', one['p'])}".replace("= <", "< ") if one["p"] is not None else ""
        known = ", ".join(filter(None, [bounds, p]))
        yield f"Over all languages{seed}: {_cell('gain', one['gain'])}{f' ({known})' if known else ''}, {verdict(one)}."
    for name, sides in found["differs"].items():
        yield f"They differ in {name}: {_listing(sides['better'])} and {_listing(sides['over'])}."
    languages = sorted({one["language"] for one in found["left_out"]})
    if languages:
        yield f"Not compared, since a side leaves them out: {', '.join(languages)}."
    if found["missing"]:
        yield f"{count(found['missing'], 'planned score')} of both sides missing: that may change all of this."
    yield from (f"Scores with the mark {mark.brief!r}: {found[mark.name]}." for mark in MARKS if found[mark.name])


def _listing(values: Iterable[Any]) -> str:
    return ", ".join("none" if value is None else str(value) for value in values)


def _listed(overall: Any) -> list[Mapping[str, Any]]:
    """Of test examples there is a row for each seed."""
    return overall if isinstance(overall, list) else [overall]
