"""The paper's tables and figures, of real trials through the whole service, in every form."""

import io
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import altair
import pandas as pd
import pytest

from service.client import Client, ServiceError
from service.reports.compare import comparison
from service.reports.kinds import KINDS
from service.reports.report import FULL_COLOR, color
from service.reports.setting import Setting
from trainers import NUMERICS
from trainers.marks import MARK_NAMES

Fields = dict[str, Any]

TABLES = ("table-1", "table-2", "table-4", "table-8", "gain-by-family", "gain-by-script")
FIGURES = ("figure-1", "table-9", "figure-2", "figure-3", "figure-4", "figure-5", "alpha", "conflicts")
METHODS = ["zero-shot", "ord-FS", "ord-FS+dev", "mix-FT", "naive-mix-train", "gradient-mix-train"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, start_services: Callable[..., Any]) -> Client:
    made: Client = start_services(tmp_path_factory.mktemp("paper") / "home").client
    return made


@pytest.fixture(scope="module")
def ids() -> list[str]:
    return []


@pytest.fixture
def id_(client: Client, spec: Fields, ids: list[str]) -> str:
    """An experiment with all methods; the first test runs it."""
    if not ids:
        training = {**spec["training"], "epochs": 3, "learning_rate": 1e-2, "max_source_examples": 128}
        wanted = {**spec, "methods": METHODS, "k": [1, 5], "seeds": [1, 2], "training": training, "alpha": 1.0}
        ids.append(client.submit({**wanted, "test_at": "every", "resources": {}}))
        assert client.wait(ids[0], progress=False)["state"] == "succeeded"
    return ids[0]


@pytest.mark.parametrize("name", TABLES + FIGURES)
def test_every_report_comes_in_every_form(client: Client, id_: str, name: str) -> None:
    found = client.report(name, id_)
    assert len(found.data)
    assert found.title
    assert found.form("csv").splitlines()[0] == ",".join(found.data.columns)
    assert len(pd.read_csv(io.StringIO(found.form("csv")))) == len(found.data)
    assert found.form("markdown").startswith(f"**{found.title}**\n\n| ")
    assert set(found.data["numerics"]) == {NUMERICS}
    assert found.notes[-1] == f"NUMERICS {NUMERICS}."
    latex = found.form("latex")
    assert latex.count(r"\\") == len([line for line in latex.splitlines() if line.endswith(r"\\")])
    assert latex.count("{") == latex.count("}")
    shown = found._repr_mimebundle_()
    assert found.figure == (name in FIGURES)
    if name in FIGURES:
        drawn = ET.fromstring(found.form("svg"))
        assert drawn.tag.endswith("svg")
        assert len(list(drawn.iter())) > 50
        assert found.notes[-1] in found.form("svg")
        assert found.form("png").startswith(b"\x89PNG\r\n\x1a\n")
        assert found.form("pdf").startswith(b"%PDF-")
        assert found.form("html") == found.form("svg") == shown["image/svg+xml"]
        spec = found.form("vega-lite")
        altair.Chart.from_dict(spec)  # it is valid
        assert found.notes[-1] in spec["description"]
        assert shown["application/vnd.vegalite.v6+json"] == spec
    else:
        assert shown["text/html"].startswith("<table>")
        for form in ("svg", "png", "pdf", "vega-lite"):
            with pytest.raises(ServiceError, match="it is a table; allowed: json"):
                found.form(form)


def test_table_1_is_the_summary_beside_the_paper_s(client: Client, id_: str) -> None:
    table = client.report("table-1", id_).data.set_index(["method", "k"])
    ours = client.summary(["method", "k"], experiment=id_).set_index(["method", "k"])
    pd.testing.assert_series_equal(table["mean_with_source"].sort_index(), ours["mean_with_source"].sort_index())
    assert table["published"].notna().all()
    assert table["complete"].all()
    notes = " ".join(client.report("table-1", id_).notes)
    assert "encoder" in notes
    assert "2 seeds" in notes
    display = client.report("table-1", id_).form("markdown")
    for row in table.itertuples():
        assert f"{row.mean_with_source:.2f} ± {row.sd_with_source:.2f}" in display


def test_tables_2_and_8_are_the_gains(client: Client, id_: str) -> None:
    rows = client.results(id_, split="test", metric="f1", at="selected")
    expected = comparison(rows, "gradient-mix-train", "ord-FS", 5, "en").languages
    most, least = (client.report(name, id_).data for name in ("table-2", "table-8"))
    assert most["language"].tolist() == expected["language"].tolist()
    assert most["gain"].tolist() == pytest.approx(expected["gain"].tolist())
    assert least["language"].tolist() == expected["language"].tolist()[::-1]


def test_table_4_has_each_language_and_the_average(client: Client, id_: str) -> None:
    found = client.report("table-4", id_).data
    rows = client.results(id_, split="test", metric="f1", at="selected")
    means = rows.groupby(["method", "k", "language"])["value"].mean()
    for row in found.itertuples():
        if row.language != "avg.":
            assert row.mean == pytest.approx(means[row.method, row.k, row.language])
        else:
            assert row.mean == pytest.approx(means[row.method, row.k].mean())


def test_figure_3_counts_languages_that_are_best_after_the_first_epoch(client: Client, id_: str) -> None:
    curves = client.report("figure-3", id_).data
    rows = client.results(id_, split="dev", method="ord-FS+dev", metric="f1")
    expected = rows[rows["language"] != "en"].groupby(["k", "language", "epoch"])["value"].mean()
    assert curves.set_index(["k", "language", "epoch"])["mean"].to_dict() == pytest.approx(expected.to_dict())


def test_conflicts_are_those_of_the_trials_facts(client: Client, id_: str) -> None:
    found = client.report("conflicts", id_).data
    assert found["epoch"].tolist() == [1, 2, 3] * 2
    assert found["mean"].dropna().between(0, 100).all()
    trial = client.results(id_, method="gradient-mix-train", k=5, seed=1)["trial"].iloc[0]
    measures = client.trial(trial)["measures"]
    assert [one["epoch"] for one in measures] == [1, 2, 3]
    surgery = client.trial(trial)["facts"]["training"]["surgery"]
    assert measures[-1]["values"]["surgery"]["conflict_rate"] == surgery["conflict_rate"]
    assert "per_language" not in measures[-1]["values"]["surgery"]


def test_figure_1_is_symmetric_and_kept(client: Client, id_: str) -> None:
    found = client.report("figure-1", id_, k=5).data
    assert set(found["method"]) == {"naive-mix-train", "gradient-mix-train"}
    cosine = found.set_index(["method", "language", "other"])["mean"]
    for method, language, other in cosine.index:
        assert cosine[method, language, other] == pytest.approx(cosine[method, other, language])
        assert language != other or cosine[method, language, other] == pytest.approx(1)
    assert set(found["language"]) == {"en", "de", "hi"}


# What cells of one setting have in common.
SAME = {
    **dict.fromkeys(("encoder", "protocol", "data", "judged_on", "name", "owner", "selection", "candidate"), ""),
    "numerics": NUMERICS,
    "left_out": (),
    **dict.fromkeys(MARK_NAMES, False),
    "setting": Setting({}),
    **{"task": "ner", "source_language": "en", "k": 5, "alpha": 1.0, "seed": 1, "metric": "f1", "examples": "test"},
}


def test_curves_leave_out_what_lacks_a_language_and_say_so() -> None:
    rows = pd.DataFrame(
        {**SAME, "method": "gradient-mix-train", "trial": f"seed {seed}", "seed": seed, "language": language,
         "split": "test", "epoch": epoch, "selected": epoch == 2, "value": float(10 * seed + epoch)}
        for seed in (1, 2) for epoch in (1, 2) for language in ("en", "de", "hi")
        if (seed, epoch, language) != (2, 2, "hi")
    )  # fmt: skip
    found = KINDS["figure-5"].made(rows)
    assert found.data[["epoch", "mean", "n"]].to_numpy().tolist() == [[1, 16, 2], [2, 12, 1]]
    assert "Epochs of seeds that lack a language do not count." in found.notes


def test_groups_of_unlike_sizes_are_one_setting_between_one_target_and_all() -> None:
    """Each language's score is how many targets its model is for."""
    groupings = {"one": ["de", "hi", "sw"], "some": ["de hi", "sw"], "all": ["de hi sw"]}
    rows = pd.DataFrame(
        {**SAME, "experiment": id_, "method": "gradient-mix-train", "trial": f"{id_} {group}", "language": language,
         "value": float(len(group.split()))}
        for id_, groups in groupings.items() for group in groups for language in ("en", *group.split())
    )  # fmt: skip
    found = KINDS["table-9"].made(rows)
    assert found.data["targets"].tolist() == [1.0, 1.5, 3.0]
    assert found.data["mean"].tolist() == [1.0, pytest.approx(5 / 3), 3.0]
    assert found.display.index.get_level_values("targets").tolist() == ["1", "1.5", "3"]
    assert found.display["hi"].tolist() == ["1.00", "2.00", "3.00"]


def test_gains_by_family_and_script_are_means_over_their_languages() -> None:
    """Surgery gains 1 point in German, 3 in Dutch, 5 in Hindi, 7 in a language that is not known; 2 more at seed 2."""
    gains = {"en": 0, "de": 1, "nl": 3, "hi": 5, "tlh": 7}
    rows = pd.DataFrame(
        {**SAME, "method": method, "seed": seed, "trial": f"{method} {seed}", "language": language,
         "value": 50.0 + (method == "gradient-mix-train") * (gain + 2 * (seed == 2) * (language != "en"))}
        for method in ("naive-mix-train", "gradient-mix-train") for seed in (1, 2) for language, gain in gains.items()
    )  # fmt: skip
    found = KINDS["gain-by-family"].made(rows).data
    assert found[["family", "languages", "gain"]].to_numpy().tolist() == [
        ["unknown", 1, 8.0], ["IE: Indo-Aryan", 1, 6.0], ["IE: Germanic", 2, 3.0],
    ]  # fmt: skip
    assert found["sd"].tolist() == pytest.approx([2**0.5] * 3)
    assert found[["seeds", "wins", "losses"]].to_numpy().tolist() == [[2, 2, 0], [2, 2, 0], [2, 4, 0]]
    scripts = KINDS["gain-by-script"].made(rows).data
    assert dict(zip(scripts["script"], scripts["gain"], strict=True)) == {"unknown": 8.0, "Deva": 6.0, "Latn": 3.0}
    with pytest.raises(ValueError, match="paired by seed"):
        KINDS["gain-by-family"].made(rows[(rows["seed"] == 1) | (rows["method"] == "naive-mix-train")])
    with pytest.raises(ValueError, match="no scores of gradient-mix-train and naive-mix-train on targets"):
        KINDS["gain-by-family"].made(rows.assign(method="zero-shot"))


def test_what_lacks_is_said(client: Client, id_: str) -> None:
    with pytest.raises(ServiceError, match="there are no test scores of xnli among these results"):
        client.report("table-7", id_)
    with pytest.raises(ServiceError, match="there is no such report; allowed: table-1"):
        client.report("table-99", id_)
    with pytest.raises(ServiceError, match="gradient-mix-train and ord-FS"):
        client.report("table-2", id_, method="zero-shot")
    for name in KINDS:
        with pytest.raises(ServiceError, match="no experiment has"):
            client.report(name, "no-such-experiment")


def test_colours_stay_readable_and_tell_gains_from_losses() -> None:
    assert color(0.0) == "FFFFFF"
    assert color(FULL_COLOR) == color(10 * FULL_COLOR) == "80B8D8"
    assert color(-FULL_COLOR) == "EAAE80"
