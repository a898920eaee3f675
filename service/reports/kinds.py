"""All reports, by name."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from service.reports.analyses import alpha_curve, conflicts, conflicts_by_language, dev_curves, gain_by
from service.reports.paper import (
    by_language,
    cosines,
    dev_sizes,
    gain_table,
    groupings,
    over_epochs,
    overfitting,
    table_1,
)
from service.reports.report import Report
from service.reports.rows import Of


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of report.

    Attributes:
        title: what it shows, for the list of reports.
        of: the rows that it is made of.
        made: makes it from them, and the names of settings that may differ. ValueError where they lack what it shows,
            or are of several settings.
        published: the paper's figures can stand beside ours: `made` takes `beside`.
    """

    title: str
    of: Of
    made: Callable[..., Report]
    published: bool = False


KINDS: Mapping[str, Kind] = {
    "table-1": Kind(title="methods at each K by task", of="selected", made=table_1, published=True),
    "table-2": Kind(
        title="languages that gain most by surgery",
        of="selected",
        made=partial(gain_table, least=False),
        published=True,
    ),
    "table-4": Kind(title="ner by language", of="selected", made=partial(by_language, task="ner"), published=True),
    "table-5": Kind(title="pos by language", of="selected", made=partial(by_language, task="pos"), published=True),
    "table-6": Kind(
        title="tydiqa by language", of="selected", made=partial(by_language, task="tydiqa"), published=True
    ),
    "table-7": Kind(title="xnli by language", of="selected", made=partial(by_language, task="xnli"), published=True),
    "table-8": Kind(
        title="languages that gain least by surgery",
        of="selected",
        made=partial(gain_table, least=True),
        published=True,
    ),
    "table-9": Kind(title="ner: one target, some, or all", of="selected", made=partial(groupings, task="ner")),
    "table-10": Kind(title="tydiqa: one target, some, or all", of="selected", made=partial(groupings, task="tydiqa")),
    "figure-1": Kind(title="cosines between languages' gradients", of="cosines", made=cosines),
    "figure-2": Kind(title="one target, some, or all", of="selected", made=partial(groupings, task=None)),
    "figure-3": Kind(title="when adapting overfits", of="every", made=overfitting),
    "figure-4": Kind(title="sizes of dev sets", of="every", made=dev_sizes),
    "figure-5": Kind(title="scores over epochs", of="every", made=over_epochs),
    "alpha": Kind(title="scores by α", of="selected", made=alpha_curve),
    "dev-curves": Kind(title="dev scores over epochs", of="dev", made=dev_curves),
    "conflicts-by-language": Kind(title="conflicts by language", of="surgery", made=conflicts_by_language),
    "conflicts": Kind(title="conflicts over training", of="measures", made=conflicts),
    "gain-by-family": Kind(title="what surgery adds, by family", of="selected", made=partial(gain_by, trait="family")),
    "gain-by-script": Kind(title="what surgery adds, by script", of="selected", made=partial(gain_by, trait="script")),
}


def report(name: str, rows: pd.DataFrame, allow: Collection[str] = (), published: bool = False) -> Report:
    """A report, whose data and notes say which NUMERICS its results are of, and which packages differ between them.

    Args:
        name: of the kind.
        rows: of the kind's `of`, with columns `numerics` and `packages`.
        allow: names of settings that may differ; the report says which do.
        published: the paper's figures stand beside ours.

    Raises:
        ValueError: they lack what it shows, or are of several settings; or the paper has no such figures.
    """
    if published and not KINDS[name].published:
        allowed = ", ".join(name for name, kind in KINDS.items() if kind.published)
        raise ValueError(f"there are no published figures to stand beside those of {name}; allowed with {allowed}")
    made = KINDS[name].made(rows, allow, **({"beside": True} if published else {}))
    shown = rows[rows["task"].isin(made.data["task"])]
    of_task = {task: sorted(found.unique()) for task, found in shown.groupby("task")["numerics"]}
    words = {task: " and ".join(map(str, found)) for task, found in of_task.items()}
    each = set(words.values()) if len(set(words.values())) == 1 else [f"{one} ({task})" for task, one in words.items()]
    one = {task: found[0] if len(found) == 1 else None for task, found in of_task.items()}
    data = made.data.assign(numerics=made.data["task"].map(one))
    return replace(made, data=data, notes=(*made.notes, *_several_versions(shown), f"NUMERICS {', '.join(each)}."))


def _several_versions(rows: pd.DataFrame) -> list[str]:
    """A note of the packages of which trials ran with several versions: equal seeds may differ in the last bits."""
    versions: dict[str, set[str]] = {}
    for package, version in {pair for packages in rows["packages"].unique() for pair in packages}:
        versions.setdefault(package, set()).add(version)
    several = [f"{one} {' and '.join(sorted(found))}" for one, found in sorted(versions.items()) if len(found) > 1]
    return [f"Trained with several versions of packages: {', '.join(several)}."] if several else []
