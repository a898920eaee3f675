"""A trial's setting: all that its scores depend on besides task, method, K and seed; and what differs between some.

Frames have it as the column `setting`. Trials of one setting share one object, so that frames are grouped by it at the
cost of a pointer a row. What a method does not take is not in its setting: there is α with surgery only, and target
languages where a model serves several.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from search_spaces.columns import COLUMNS
from search_spaces.method_space import searched_names
from search_spaces.sources import DataSpec
from service.store.broken import reading
from trainers.methods import METHODS
from trainers.protocols import PROTOCOLS
from trainers.sampling import Sampling
from trainers.selections import averaged_epochs, dev_languages
from trainers.tasks import TASKS
from trainers.trial import RULE, Selection, Training, TrialConfig

# A name, and what the value is of: a target language, training data, a method, or "" where there is one value.
Part = tuple[str, str]

# Fields of a configuration that are no part of a setting (first line), or are one in another form (second line).
ELSEWHERE = ("task", "method", "k", "seed",
             "training", "target_languages", "alpha", "data_digest", "population", "plugins")  # fmt: skip

# Fields that only methods have which mix source data and shots.
OF_MIXING = ("sampling",)

# What a selection takes that few have: the epochs that are averaged, and the shots that are held out.
OF_SELECTION = ("average", "held_out")

# Names that tell encoders apart for people: what counts is the digest of the weights.
NAMES_OF_ENCODER = ("encoder", "encoder_revision")

# The plain ones, in the order in which they are named.
PLAIN = (
    *(field.name for field in fields(TrialConfig) if field.name not in ELSEWHERE),
    *("plugins", "average", "population", "data", "counts"),
    *(field.name for field in fields(Training)),
    "max_test_examples",
)

# What may be allowed to differ, by name.
NAMES = tuple(
    dict.fromkeys(
        (
            *(column.name for column in COLUMNS if column.setting),
            *PLAIN,
            *("target_languages", "data_digest", "examples", "trial"),
        )
    )
)

# What follows from another difference, and so needs no name of its own.
FOLLOWS = {
    "encoder": ("encoder_digest", "encoder_revision"),
    "data": ("data_digest", "counts"),
    "examples": ("max_test_examples",),
    "max_test_examples": ("examples",),
}

# How None reads.
ABSENT = {"max_source_examples": "all", "max_test_examples": "all", "evaluate_every": "an epoch"}

# Differences from published numbers of examples that are listed, and values of more than FEW.
LISTED, FEW = 3, 8


@dataclass(frozen=True, eq=False)
class Setting:
    """The setting of a trial in an experiment.

    Attributes:
        values: by name, and by what they are of.
        of_protocol: the names whose values are those of the protocol for the task.
    """

    values: Mapping[Part, Any]
    of_protocol: frozenset[str] = frozenset()

    def all(self, name: str) -> list[Any]:
        """The distinct values of a name."""
        return list(dict.fromkeys(value for (found, _), value in self.values.items() if found == name))


def setting_of(
    config: TrialConfig,
    spec: Mapping[str, Any],
    counts: Sequence[str],
    selections: Iterable[Selection] = (),
    selection: Selection = "",
) -> Setting:
    """The setting of a trial.

    Args:
        config: of the trial.
        spec: of the experiment, as stored.
        counts: in what the experiment's data differ from those that were published under their name.
        selections: all that is wanted of the trial: the digest of its training data is that of their dev sets as well.
        selection: that of the result.
    """
    method = METHODS.get(config.method)
    mixes = method is None or method.mixes
    plain = {field.name: getattr(config, field.name) for field in fields(config) if field.name not in ELSEWHERE}
    plain |= {"population": config.population is not None, "data": str(DataSpec.from_json(spec["data"]))}
    plain |= {"counts": tuple(counts), "max_test_examples": (spec.get("training") or {}).get("max_test_examples")}
    plain |= {"average": averaged_epochs(selection)}
    not_taken = {*(() if mixes else OF_MIXING), *(name for name in OF_SELECTION if not plain[name])}
    plain = {name: value for name, value in plain.items() if name not in not_taken}
    training = _that_matter(config.training)
    values: dict[Part, Any] = {(name, ""): value for name, value in (plain | training).items()}
    dev = dev_languages(selections, config.source_language, config.target_languages)
    reads = (config.protocol, config.source_language, *config.target_languages, "dev", *dev)
    values["data_digest", " ".join(reads)] = config.data_digest
    for language in config.target_languages if mixes else ():
        values["target_languages", language] = config.target_languages
        if config.alpha is not None:
            values["alpha", language] = config.alpha
    rule = tuple(one for one in config.plugins if one[0] == RULE)
    others = tuple(one for one in config.plugins if one not in rule)
    if rule:
        values["plugins", config.method] = rule
    if others or not rule:
        values["plugins", ""] = others
    own = of_protocol(config.task, config.protocol)
    return Setting(values, frozenset(name for name, value in training.items() if name in own and own[name] == value))


def with_settings(
    rows: pd.DataFrame,
    configs: Mapping[str, tuple[Mapping[str, Any], Sequence[Selection]]],
    specs: Mapping[str, Mapping[str, Any]],
    counts: Mapping[str, Sequence[str]],
) -> pd.DataFrame:
    """Rows with their `setting`.

    Args:
        rows: with `experiment` and `trial`, and `selection` if they are of selected weights.
        configs: by trial, its configuration as stored, and the selections that are wanted of it.
        specs: by experiment.
        counts: by experiment, in what its data differ from those that were published under their name.
    """
    known: dict[str, Setting] = {}
    of: dict[tuple[str, ...], Setting] = {}
    rows_of = rows if "selection" in rows else rows.assign(selection="")
    each = rows_of[["experiment", "trial", "selection"]]
    for one in each.drop_duplicates().itertuples(index=False, name=None):
        experiment, trial, selection = one
        (config, selections), spec = configs[trial], specs[experiment]
        said = [spec["data"], (spec.get("training") or {}).get("max_test_examples"), counts[experiment]]
        key = json.dumps([{**config, "seed": None}, selections, averaged_epochs(selection), *said])
        if key not in known:
            with reading(f"trial {trial}"):
                read = TrialConfig.from_dict(dict(config))
            known[key] = setting_of(read, spec, counts[experiment], selections, selection)
        of[one] = known[key]
    found = [of[one] for one in each.itertuples(index=False, name=None)]
    return rows.assign(setting=pd.Series(found, index=rows.index, dtype=object))


def in_groups(rows: pd.DataFrame, by: Sequence[str]) -> list[tuple[tuple[Any, ...], frozenset[Setting]]]:
    """The settings in each group of rows, after its values of `by`, in the order in which pandas groups."""
    return [(key, frozenset(found)) for key, found in values_in_groups(rows, by, "setting")]


def values_in_groups(rows: pd.DataFrame, by: Sequence[str], name: str) -> list[tuple[tuple[Any, ...], list[Any]]]:
    """The distinct values of a column in each group of rows, as `in_groups` has settings: without a frame a group."""
    unique = rows[list(dict.fromkeys([*by, name]))].drop_duplicates()
    groups = unique.groupby(list(by), dropna=False, observed=True)
    found: list[list[Any]] = [[] for _ in range(groups.ngroups)]
    for number, value in zip(groups.ngroup(), unique[name], strict=True):
        found[number].append(value)
    keys = (key if isinstance(key, tuple) else (key,) for key in groups.size().index)
    return list(zip(keys, found, strict=True))


def within(settings: Iterable[Setting]) -> dict[str, list[Any]]:
    """What differs among settings, by name, with all values."""
    several = {part: values for part, values in _merged(settings).items() if len(values) > 1}
    found: dict[str, list[Any]] = {}
    for (name, _), values in several.items():
        found[name] = list(dict.fromkeys([*found.get(name, ()), *values]))
    return _of_weights(found)


def between(ours: Iterable[Setting], theirs: Iterable[Setting]) -> dict[str, tuple[list[Any], list[Any]]]:
    """In what two sides differ, by name, with the values of both."""
    one, other = _merged(ours), _merged(theirs)
    found: dict[str, tuple[list[Any], list[Any]]] = {}
    for part in one.keys() & other.keys():
        if set(one[part]) != set(other[part]):
            before = found.get(part[0], ([], []))
            both = (one[part], other[part])
            left, right = (list(dict.fromkeys([*old, *new])) for old, new in zip(before, both, strict=True))
            found[part[0]] = left, right
    return _of_weights({name: found[name] for name in sorted(found, key=NAMES.index)})


def covered(names: Collection[str], settings: Iterable[Setting] = ()) -> frozenset[str]:
    """These names, with what follows from a difference in them.

    Where the protocol may differ, or the task, so may what the protocol sets for the task.
    """
    found = {*names, *(one for name in names for one in FOLLOWS.get(name, ()))}
    if found & {"protocol", "task"}:
        given = [one.of_protocol for one in settings]
        found |= frozenset.intersection(*given) if given else set()
    return frozenset(found)


def searched(candidates: Iterable[str]) -> frozenset[str]:
    """What searches chose over, given the names of their candidates."""
    names = {name for candidate in set(candidates) for name in searched_names(candidate)}
    return frozenset({*names, "population"} if names else ())


def listed(name: str, values: Iterable[Any]) -> str:
    """Values in words, in order; of more than FEW the first ones, and how many more there are."""
    words = sorted({shown(name, value) for value in values}, key=_as_number)
    if len(words) <= FEW:
        return ", ".join(words)
    return f"{', '.join(words[:LISTED])} and {len(words) - LISTED} more"


def shown(name: str, value: Any) -> str:
    """A value in words."""
    match value:
        case None:
            return ABSENT.get(name, "none")
        case Sampling():
            return " ".join(f"{field} {one}" for field, one in vars(value).items() if one is not None)
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case ((int(), _), *_) if name in ("alpha", "learning_rate"):  # a schedule
            return " ".join(f"{epoch}:{later:g}" for epoch, later in value)
        case tuple() if name == "counts":
            more = [f"and {len(value) - LISTED} more"] if len(value) > LISTED else []
            return "; ".join([*value[:LISTED], *more]) or "none"
        case tuple():
            return " ".join(" ".join(one) if isinstance(one, tuple) else str(one) for one in value) or "none"
    return str(value) or "none"


def plain(name: str, value: Any) -> Any:
    """A value for JSON: itself, or in words."""
    return value if value is None or isinstance(value, str | int | float) else shown(name, value)


def _that_matter(training: Training) -> dict[str, Any]:
    """Hyperparameters by name, but for gradient accumulation where it does not change the gradient."""
    values = dict(vars(training))
    if training.batching != "micro-batches":
        del values["accumulation"]
    return values


def of_protocol(task: str, protocol: str) -> dict[str, Any]:
    """The hyperparameters of a protocol for a task; none if a package that brought either is gone."""
    return _that_matter(TASKS[task].under(protocol).training) if task in TASKS and protocol in PROTOCOLS else {}


def _merged(settings: Iterable[Setting]) -> dict[Part, list[Any]]:
    """The distinct values of each part."""
    found: dict[Part, dict[Any, None]] = {}
    for one in settings:
        for part, value in one.values.items():
            found.setdefault(part, {})[value] = None
    return {part: list(values) for part, values in found.items()}


def _of_weights(found: dict[str, Any]) -> dict[str, Any]:
    """Without the encoder where its weights are the same under two names."""
    if "encoder_digest" in found:
        return found
    return {name: one for name, one in found.items() if name not in NAMES_OF_ENCODER}


def _as_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
