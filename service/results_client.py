"""What a client asks about results: rows, summaries, comparisons, reports, and tables of one experiment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pandas as pd

from service import frames
from service.connection import PATIENT, Connection
from service.frames import listed
from service.json_values import parameters, plain, several
from service.score_table import score_table
from trainers.marks import MARK_NAMES

if TYPE_CHECKING:
    from service.reports.drawing import Drawing

# Figures of a comparison that are null where nothing can be said.
MAY_BE_NULL = ("sd", "sd_examples", "low", "high", "p", "p_holm")

# Parameters of the form of an answer, besides those that filter.
FORM = ("columns", "sort", "at", "since", "limit")

# Parameters that may be None or empty, as if they were not given: they are no filters.
OPTIONAL = (*FORM, "allow", "chosen", "metric", "published", "interval")


class ResultsClient:
    """The part of `service.client.Client` that asks about results.

    Args:
        connection: to the service.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection, self._json = connection, connection.json

    def results(self, id_: str | None = None, where: Mapping[str, Any] | None = None, **asked: Any) -> pd.DataFrame:
        """Scores of one experiment or of all, as a frame with the columns of `search_spaces.columns`.

        Test scores are those of the selected weights, dev scores those of every epoch; `value` is in percent.
        `attrs["left_out"]` has the targets that methods leave out, and why.

        Args:
            id_: of the experiment.
            where: a tree of conditions, such as `{"or": [{"column": "k", "op": "ge", "value": 5}, ...]}`.
            asked: filters, one value or several for a column each, as `GET /v1/results` takes them; `columns`; `sort`;
                `at`; `since`, the `attrs["now"]` of an earlier frame, for rows that were added or changed after it.
        """
        given = {**({} if id_ is None else {"experiment": id_}), **asked}
        form = {name: value for name in FORM if (value := given.pop(name, None)) is not None}
        filters = parameters(given)
        if where is None:
            wanted = {**filters, **parameters(form, OPTIONAL), "format": "arrow"}
            frame, headers = self._connection.frame("GET", "/v1/results", params=wanted)
        else:
            only = [{"column": name, "op": "in", "value": values} for name, values in filters.items()]
            form |= {name: several(form[name], name) for name in ("columns", "sort") if name in form}
            query = plain({"where": {"and": [where, *only]}, **form, "format": "arrow"})
            frame, headers = self._connection.frame("POST", "/v1/results/query", json=query)
        frame.attrs["now"] = int(headers["now"])
        return frame

    def summary(self, by: str | Sequence[str] = ("method", "k"), **asked: Any) -> pd.DataFrame:
        """Means over seeds of the mean over target languages, for each group.

        Args:
            by: one or several groupable columns of `search_spaces.columns`: `task`, `method`, `k`, `alpha`, `seed`, ...
            asked: filters as of `results`; `split`; `metric`; `published=True` for the paper's figures beside ours.

        Returns:
            Columns of `by`, `mean`, `sd`, `n` (seeds), `min`, `max`, `mean_in_common` (over the languages that all
            methods have), `mean_with_source`, `sd_with_source`, `languages`, `seeds`, `missing`, `one_label` and
            `surgery_overflow` (scores with this mark), `complete`, `mixed` (what differs within a group), `left_out`
            (languages that its methods leave out), `best` and `numerics`.
        """
        wanted = {**parameters({"by": by, **asked}, OPTIONAL), "format": "arrow"}
        return self._connection.frame("GET", "/v1/results/summary", params=wanted)[0]

    def compare(
        self, better: Mapping[str, Any], over: Mapping[str, Any], unit: str = "seeds", **asked: Any
    ) -> pd.DataFrame:
        """The gain of one side over another for each target language, and how certain it is.

        Args:
            better: filters of the side that gains, such as `{"method": "gradient-mix-train", "alpha": 1}`.
            over: filters of the side that it is compared with.
            unit: "seeds", for methods; "items" (test examples), for the two models of each seed; "seeds-and-items".
            asked: filters of both sides, as of `results`; `split`; `metric`; `allow`, names of settings that may differ
                though neither side names them; `interval`, over seeds Student's "t" or the narrower "bootstrap".

        Returns:
            `language`, `gain`, `sd`, `seeds`, `low`, `high`, `p`, `p_permutation`, `smallest_p`, `p_holm`, `wins`,
            `ties`, `losses`; with "items" a row for each language and `seed`. `attrs` has `overall`, the same for the
            mean over languages, with "seeds" also `scripts` and `families`, the same for those of each, `unit`,
            `differs` (the settings in which the sides differ), `left_out` (languages that are not compared since one
            side left them out), `missing` (how many planned scores of both sides are not there), `one_label` and
            `surgery_overflow` (scores with this mark) and `numerics`.

        Raises:
            ServiceError: the sides also differ in something else, which is named, or there is nothing to compare.
        """
        wanted = {**asked, "unit": unit}
        for side, filters in (("better", better), ("over", over)):
            wanted |= {f"{side}.{name}": values for name, values in filters.items()}
        wanted = parameters(wanted, OPTIONAL)
        found = self._json("GET", "/v1/results/compare", params=wanted, timeout=PATIENT)
        frame = pd.DataFrame(found.pop("languages"))
        frame.attrs = found
        return frame.astype({name: float for name in MAY_BE_NULL if name in frame})

    def report(self, name: str, id_: str | Sequence[str] | None = None, **asked: Any) -> "Report":
        """A report of the results of some experiments, or of all, such as the paper's tables and figures.

        Args:
            name: such as "table-1" or "figure-5"; `GET /v1/reports` lists all.
            id_: of the experiment or experiments.
            asked: filters as of `results`; `metric`, if not each task's main one; `allow`, names of settings that may
                differ, as the report then says; `chosen=True` for the candidates that searches chose alone;
                `published=True` for the paper's figures beside ours.

        Raises:
            ServiceError: there is no such report, or the results lack what it shows, or are of several settings.
        """
        wanted = parameters({**({} if id_ is None else {"experiment": id_}), **asked}, OPTIONAL)
        path = f"/v1/reports/{name}"
        found = self._json("GET", path, params=wanted, timeout=PATIENT)

        def form(format_: str) -> Any:
            answer = self._connection.answer("GET", path, params={**wanted, "format": format_}, timeout=PATIENT)
            media_type = answer.headers["Content-Type"].partition(";")[0]
            if media_type.endswith("json"):
                return answer.json()
            return answer.text if media_type.startswith(("text/", "image/svg")) else answer.content

        data = pd.DataFrame(found["data"])
        return Report(title=found["title"], notes=tuple(found["notes"]), figure=found["figure"], data=data, form=form)

    def page(self, id_: str) -> str:
        """An experiment as one HTML file with its table, charts and spec, which needs no network."""
        return str(self._connection.answer("GET", f"/v1/experiments/{id_}/page", timeout=PATIENT).text)

    def metric_of(self, id_: str) -> str:
        """The metric that selects in an experiment: that of its task.

        Raises:
            ValueError: the package that brought the task is gone from the service, and the results have several.
        """
        task = self._json("GET", f"/v1/experiments/{id_}")["spec"]["task"]
        known = {one["task"]: str(one["metric"]) for one in self._json("GET", "/v1/tasks")["tasks"]}
        if task in known:
            return known[task]
        found = sorted(self.results(id_, split="test")["metric"].unique())
        if len(found) != 1:
            raise ValueError(f"the service has no task {task!r} any more: name a metric ({', '.join(found) or 'none'})")
        return str(found[0])

    def table(self, id_: str, metric: str | None = None) -> pd.DataFrame:
        """Test scores of an experiment, mean over seeds: methods (with K and candidate) down, languages across.

        `mean` is over the target languages that all rows have, and over the seeds that have all of the row's. Where any
        row lacks a seed, `n` is how many these are; `attrs["lacking"]` has the means that lack seeds.
        `attrs["left_out"]` has the languages that methods leave out. `one_label` and `surgery_overflow`, where there
        are any, count the scores with this mark. Without a metric it is the task's main one.

        Raises:
            ValueError: none is given, and `metric_of` does not know it.
        """
        experiment = self._json("GET", f"/v1/experiments/{id_}")
        by = ("method", "k", "candidate", "language", "seed")
        cells = self.summary(by, experiment=id_, metric=metric or self.metric_of(id_))
        spec = experiment["spec"]
        table = score_table(cells, spec["methods"], spec["source_language"], len(spec["seeds"]))
        marks = [name for name in MARK_NAMES if cells[name].any()]
        table[marks] = cells.groupby(list(table.index.names))[marks].sum()
        table.attrs["left_out"] = experiment["left_out"]
        return table

    def sweep(self, id_: str) -> pd.DataFrame:
        """The candidates of an experiment's search, with objective and test score in percent, and whether it is chosen.

        Means and sd are over seeds, as many as `seeds` says. `attrs` of the frame has `objective`, `cost` and `chosen`,
        with `regret` and `remarks`: what is incomplete, a tie, within the noise, or could not matter.
        """
        found = self._json("GET", f"/v1/experiments/{id_}/sweep")
        table = listed(found.pop("candidates"), {**frames.CANDIDATES, "chosen": "bool"})
        if len(table):
            named = ["method", "k", "target_languages", "candidate"]
            chosen = {str([one[name] for name in named]) for one in found["chosen"]}
            table["chosen"] = [str(list(row)) in chosen for row in table[named].itertuples(index=False)]
        table.attrs = found
        return table

    def plot_sweep(self, id_: str, over: str = "alpha") -> "Drawing":
        """Objective and test score against a searched hyperparameter, with sd over seeds, as a chart.

        One panel for each method, K and group of targets; a vertical line marks the chosen candidate. A notebook
        displays it; `.chart` is Altair's, and `.pdf()`, `.svg()` and `.png()` are for papers.

        Raises:
            ImportError: the client alone is installed, which draws nothing.
        """
        if find_spec("service.reports") is None:
            raise ImportError("plot_sweep is not in the distribution allasprak-client: install allasprak")
        from service.reports.figures import sweep_figure

        return sweep_figure(self.sweep(id_), over)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report; a notebook displays it.

    Attributes:
        title: a line.
        notes: sentences below it.
        figure: it can be drawn.
        data: its figures.
        form: its text as "csv", "markdown", "latex" or "html"; of a figure also "svg", bytes as "png" and "pdf", and a
            dictionary as "vega-lite".
    """

    title: str
    notes: tuple[str, ...]
    figure: bool
    data: pd.DataFrame = field(repr=False)
    form: Callable[[str], Any] = field(repr=False)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        if not self.figure:
            return {"text/html": self.form("html")}
        spec = self.form("vega-lite")
        version = spec["$schema"].rpartition("/v")[2].partition(".")[0]
        # those that do not draw this version of Vega-Lite show SVG
        return {f"application/vnd.vegalite.v{version}+json": spec, "image/svg+xml": self.form("svg")}
