"""A trial's setting: all that its scores depend on besides task, method, K and seed; what differs, also from the paper.

Frames have it as the column `setting`. Trials of one setting share one object, so that frames are grouped by it at the
cost of a pointer a row. What a method does not take is not in its setting: there is α with surgery only, and target
languages where a model serves several.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

import pandas as pd

from search_spaces.columns import COLUMNS
from search_spaces.method_space import searched_names
from search_spaces.sources import DataSpec
from service.reports import published
from trainers.methods import METHODS
from trainers.protocols import PAPER, PROTOCOLS
from trainers.tasks import TASKS
from trainers.trial import NUMERICS, Training, TrialConfig

# A name, and what the value is of: a target language, training data, or "" where there is one value.
Part = tuple[str, str]

# Fields of a configuration that are no part of a setting (first line), or are one in another form (second line).
ELSEWHERE = ("task", "method", "k", "seed",
             "training", "target_languages", "alpha", "data_digest", "population")  # fmt: skip

# Fields that only methods have which mix source data and shots.
OF_MIXING = ("sampling",)

# The plain ones, in the order in which they are named.
PLAIN = (
    *(field.name for field in fields(TrialConfig) if field.name not in ELSEWHERE),
    *("population", "data", "counts"),
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
    "encoder": ("encoder_digest",),
    "data": ("data_digest", "counts"),
    "examples": ("max_test_examples",),
    "max_test_examples": ("examples",),
}

# How None reads.
ABSENT = {"max_source_examples": "all", "max_test_examples": "all", "evaluate_every": "an epoch"}

# Differences from published numbers of examples that are listed.
LISTED = 3


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


def setting_of(config: TrialConfig, spec: Mapping[str, Any], counts: Sequence[str], with_target_dev: bool) -> Setting:
    """The setting of a trial.

    Args:
        config: of the trial.
        spec: of the experiment, as stored.
        counts: in what the experiment's data differ from those that were published under their name.
        with_target_dev: the digest of the training data is also that of the targets' dev sets.
    """
    method = METHODS.get(config.method)
    mixes = method is None or (method.few_shot and not method.adapts)
    plain = {field.name: getattr(config, field.name) for field in fields(config) if field.name not in ELSEWHERE}
    plain |= {"population": config.population is not None, "data": str(DataSpec.from_json(spec["data"]))}
    plain |= {"counts": tuple(counts), "max_test_examples": (spec.get("training") or {}).get("max_test_examples")}
    if not mixes:
        plain = {name: value for name, value in plain.items() if name not in OF_MIXING}
    training = _that_matter(config.training)
    values: dict[Part, Any] = {(name, ""): value for name, value in (plain | training).items()}
    reads = (config.protocol, config.source_language, *config.target_languages, "dev" if with_target_dev else "")
    values["data_digest", " ".join(reads)] = config.data_digest
    for language in config.target_languages if mixes else ():
        values["target_languages", language] = config.target_languages
        if config.alpha is not None:
            values["alpha", language] = config.alpha
    own = _of_protocol(config.task, config.protocol)
    return Setting(values, frozenset(name for name, value in training.items() if name in own and own[name] == value))


def with_settings(
    rows: pd.DataFrame,
    configs: Mapping[str, tuple[Mapping[str, Any], bool]],
    specs: Mapping[str, Mapping[str, Any]],
    counts: Mapping[str, Sequence[str]],
) -> pd.DataFrame:
    """Rows with their `setting`.

    Args:
        rows: with `experiment` and `trial`.
        configs: by trial, its configuration as stored, and whether it reads the targets' dev sets.
        specs: by experiment.
        counts: by experiment, in what its data differ from those that were published under their name.
    """
    known: dict[str, Setting] = {}
    of: dict[tuple[str, str], Setting] = {}
    for experiment, trial in rows[["experiment", "trial"]].drop_duplicates().itertuples(index=False, name=None):
        (config, with_target_dev), spec = configs[trial], specs[experiment]
        said = [spec["data"], (spec.get("training") or {}).get("max_test_examples"), counts[experiment]]
        key = json.dumps([{**config, "seed": None}, with_target_dev, *said])
        if key not in known:
            read = TrialConfig.from_dict(dict(config))
            known[key] = setting_of(read, spec, counts[experiment], with_target_dev)
        of[experiment, trial] = known[key]
    pairs = zip(rows["experiment"], rows["trial"], strict=True)
    return rows.assign(setting=pd.Series([of[pair] for pair in pairs], index=rows.index, dtype=object))


def in_groups(rows: pd.DataFrame, by: Sequence[str]) -> list[tuple[tuple[Any, ...], frozenset[Setting]]]:
    """The settings in each group of rows, after its values of `by`, in the order in which pandas groups."""
    unique = rows[[*by, "setting"]].drop_duplicates()
    groups = unique.groupby(list(by), dropna=False, observed=True)["setting"]
    return [(key if isinstance(key, tuple) else (key,), frozenset(found)) for key, found in groups]


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


def from_the_paper(
    settings: Collection[Setting], task: str, metric: str, seeds: int, languages: int | None = None
) -> list[str]:
    """What is not as in the paper, in words with both values; "task" alone where the whole task is not in it.

    A hyperparameter is compared with that of its own protocol for the task, and the protocol with the paper's. The
    encoder is known by its name.

    Args:
        settings: those of some results.
        task: the task of the results.
        metric: that of the results.
        seeds: the number that a mean is over.
        languages: the number that a mean is over, the source included; None for a score of one language.
    """
    known = published.published_of(task)
    if known is None:
        return [f"task {task} (paper: none)"]
    found: list[tuple[str, list[Any], Any]] = [("metric", [metric], known.metric), ("seeds", [seeds], published.SEEDS)]
    if languages is not None:
        found.append(("languages", [languages], known.languages))
    targets = sorted({len(value) for one in settings for value in one.all("target_languages")})
    if targets not in ([], [known.languages - 1]) and targets != [(languages or 0) - 1]:
        found.append(("target_languages", targets, known.languages - 1))
    for name in (*PLAIN, "alpha"):
        pairs = [(value, _paper_s(name, task, one)) for one in settings for value in one.all(name)]
        if any(not _is_paper_s(name, *pair) for pair in pairs):
            theirs = ", ".join(dict.fromkeys(shown(name, theirs) for _, theirs in pairs))
            found.append((name, list(dict.fromkeys(value for value, _ in pairs)), theirs))
    return [f"{name} {listed(name, ours)} (paper: {theirs})" for name, ours, theirs in found if ours != [theirs]]


def listed(name: str, values: Iterable[Any]) -> str:
    """Values in words, in order."""
    return ", ".join(sorted({shown(name, value) for value in values}, key=_as_number))


def shown(name: str, value: Any) -> str:
    """A value in words."""
    match value:
        case None:
            return ABSENT.get(name, "none")
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


def _of_protocol(task: str, protocol: str) -> dict[str, Any]:
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
    return found if "encoder_digest" in found else {name: one for name, one in found.items() if name != "encoder"}


def _paper_s(name: str, task: str, setting: Setting) -> Any:
    """The value in the paper of a name that a setting has."""
    protocol = str(setting.values["protocol", ""])
    known = TASKS[task].published
    assert known is not None
    given = {
        "encoder": known.encoder, "protocol": PAPER.name, "source_language": published.SOURCE, "counts": (),
        "data": published.data_source(), "numerics": NUMERICS, "max_test_examples": None, "population": False,
        "alpha": TASKS[task].under(protocol).alpha, **_of_protocol(task, protocol),
    }  # fmt: skip
    defaults = {field.name: field.default for field in fields(TrialConfig) if field.default is not MISSING}
    return given[name] if name in given else defaults.get(name)


def _is_paper_s(name: str, ours: Any, theirs: Any) -> bool:
    if name == "encoder_digest":  # nobody has published it
        return True
    return bool(ours == theirs) or (name == "encoder" and str(ours).rpartition("/")[2] == theirs)


def _as_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
