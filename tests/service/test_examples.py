"""Examples with predictions over the REST interface: the texts that were scored, or none, and errors by kind."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from starlette.testclient import TestClient

from plans import TRAINING, config_of, score_of
from predicted import MIXED, ZERO, part_of, predicted
from search_spaces.environment import Environment
from service.client import Client
from service.examples import Examples
from service.store import Store
from trainers.data import splits
from trainers.data.folder import open_folder
from trainers.data.sample import SampleData
from trainers.data.scored import ChangedDataError, scored_examples
from trainers.data.shots import draw_from
from trainers.tasks import TASKS

TASKS_OF_OURS = ("ner", "pos", "tydiqa", "xnli")


@pytest.fixture
def client(tmp_path: Path, sqlite_store: Store, client_over: Any) -> Iterator[TestClient]:
    with client_over(sqlite_store, Environment(tmp_path, tmp_path, None, None, None)) as client:
        client.app.state.examples = Examples()
        yield client


def asked(client: TestClient, trial: str, **wanted: Any) -> dict[str, Any]:
    answer = client.get(f"/v1/trials/{trial}/examples", params=wanted)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(client: TestClient, trial: str, **wanted: Any) -> tuple[int, str]:
    answer = client.get(f"/v1/trials/{trial}/examples", params=wanted)
    said = answer.json()
    return answer.status_code, "; ".join([said["detail"], *(one["message"] for one in said["errors"])])


@pytest.mark.parametrize("language", ["ar", "zh"])
@pytest.mark.parametrize("task", TASKS_OF_OURS)
def test_all_examples_are_those_of_the_data_with_their_gold_values(
    sqlite_store: Store, client: TestClient, tmp_path: Path, task: str, language: str
) -> None:
    _, trials = predicted(sqlite_store, tmp_path, task)
    found = asked(client, trials[ZERO], language=language, which="all", limit=1000)
    data = SampleData(task).examples(language, "test")
    assert found["scored"] == found["found"] == len(found["examples"]) == len(data)
    assert found["next"] is None
    of = TASKS[task]
    for place, (shown, example) in enumerate(zip(found["examples"], data, strict=True)):
        assert shown["example"] == place
        assert shown["parts"] == of.parts(example)
        assert shown["gold"] == of.gold(example)
        [prediction] = shown["predictions"]
        kinds = [error.kind for error in of.errors(shown["gold"], prediction["prediction"])]
        assert [error["kind"] for error in prediction["errors"]] == kinds
    [side] = found["sides"]
    metrics = of.metrics(
        [one["gold"] for one in found["examples"]],
        [one["predictions"][0]["prediction"] for one in found["examples"]],
    )
    assert side["scores"] == pytest.approx(metrics)


def test_kinds_are_counted_over_all_examples_and_filter_them(
    sqlite_store: Store, client: TestClient, tmp_path: Path
) -> None:
    _, trials = predicted(sqlite_store, tmp_path)
    whole = asked(client, trials[ZERO], language="ar", limit=1000)
    [side] = whole["sides"]
    assert whole["found"] == side["wrong"] == len(whole["examples"])
    assert len(side["kinds"]) > 2
    for counted in side["kinds"]:
        kind = counted["kind"]
        of_kind = asked(client, trials[ZERO], language="ar", kind=kind, limit=1000)
        errors = [error for one in of_kind["examples"] for error in one["predictions"][0]["errors"]]
        assert of_kind["found"] == counted["examples"] == len(of_kind["examples"])
        assert sum(error["kind"] == kind for error in errors) == counted["errors"]
        assert of_kind["sides"] == whole["sides"]
    status, words = refused(client, trials[ZERO], language="ar", kind="typo")
    assert status == 422
    assert all(counted["kind"] in words for counted in side["kinds"])


def test_two_trials_side_by_side(sqlite_store: Store, client: TestClient, tmp_path: Path) -> None:
    _, trials = predicted(sqlite_store, tmp_path)
    every = asked(client, trials[MIXED], language="zh", against=trials[ZERO], which="all", limit=1000)["examples"]
    ours, theirs = ([one["predictions"][side] for one in every] for side in (0, 1))
    numbers = [len(one["errors"]) - len(other["errors"]) for one, other in zip(ours, theirs, strict=True)]
    expected = {
        "errors": [bool(one["errors"] or other["errors"]) for one, other in zip(ours, theirs, strict=True)],
        "differences": [one["prediction"] != other["prediction"] for one, other in zip(ours, theirs, strict=True)],
        "gained": [number < 0 for number in numbers],
        "lost": [number > 0 for number in numbers],
    }
    for which, is_there in expected.items():
        found = asked(client, trials[MIXED], language="zh", against=trials[ZERO], which=which, limit=1000)
        places = [one["example"] for one, there in zip(every, is_there, strict=True) if there]
        assert places
        assert [one["example"] for one in found["examples"]] == places
    default = asked(client, trials[MIXED], language="zh", against=trials[ZERO])
    assert default["found"] == sum(expected["differences"])
    assert [side["trial"] for side in default["sides"]] == [trials[MIXED], trials[ZERO]]


def test_pages_have_each_example_once(sqlite_store: Store, client: TestClient, tmp_path: Path) -> None:
    _, trials = predicted(sqlite_store, tmp_path)
    whole = asked(client, trials[ZERO], language="ar", limit=1000)["examples"]
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = asked(client, trials[ZERO], language="ar", limit=7, **cursor)
        found += page["examples"]
        if page["next"] is None:
            break
        assert len(page["examples"]) == 7
        cursor = {"cursor": page["next"]}
    assert found == whole


def test_a_sample_of_the_test_set_is_the_one_that_was_scored(
    sqlite_store: Store, client: TestClient, tmp_path: Path
) -> None:
    _, trials = predicted(sqlite_store, tmp_path, "xnli", most=12)
    part = part_of(SampleData("xnli"), "xnli", "ar", 12)
    assert part.sample_of is not None
    found = asked(client, trials[ZERO], language="ar", which="all")
    assert [one["example"] for one in found["examples"]] == list(part.places)
    whole = SampleData("xnli").examples("ar", "test")
    assert [one["parts"]["premise"] for one in found["examples"]] == [whole[place]["premise"] for place in part.places]


def changed(*_: Any) -> list[Any]:
    raise ChangedDataError("it has changed")


def folder_of(root: Path) -> Path:
    """Small files of ner."""
    for language in ("en", "ar", "zh"):
        for split in ("train", "dev", "test"):
            lines = [json.dumps(one, ensure_ascii=False) for one in SampleData("ner").examples(language, split)[:20]]  # type: ignore[arg-type]
            path = root / "mine" / "ner" / language / f"{split}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines), encoding="utf-8")
    return root / "mine"


def test_data_that_have_changed_are_never_shown(sqlite_store: Store, client: TestClient, tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    data = open_folder(folder, "ner", tmp_path)
    _, trials = predicted(sqlite_store, tmp_path, examples=data, data={"folder": "mine"})
    path = folder / "ner" / "ar" / "test.jsonl"
    before = path.read_text(encoding="utf-8")
    first, second, *rest = before.splitlines()
    for other in ("\n".join([second, first, *rest]), "\n".join([second, *rest])):
        path.write_text(other, encoding="utf-8")
        code, words = refused(client, trials[ZERO], language="ar", which="all")
        assert code == 409
        assert "ner/ar/test has other examples by now than those that were scored" in words
    path.unlink()
    code, words = refused(client, trials[ZERO], language="ar")
    assert code == 409
    assert "ner/ar/test.jsonl does not exist" in words
    path.write_text(before, encoding="utf-8")
    assert asked(client, trials[ZERO], language="ar", which="all")["found"] == 20


def test_predictions_come_with_texts_and_without_where_data_have_changed(
    sqlite_store: Store, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, trials = predicted(sqlite_store, tmp_path, "tydiqa")
    answer = client.get(f"/v1/trials/{trials[ZERO]}/predictions?language=ar&texts=true")
    frame = pd.read_feather(io.BytesIO(answer.content))
    assert list(frame.columns) == ["example", "gold", "prediction", "question", "context"]
    data = SampleData("tydiqa").examples("ar", "test")
    assert list(frame["context"]) == [one["context"] for one in data]
    plain = pd.read_feather(io.BytesIO(client.get(f"/v1/trials/{trials[ZERO]}/predictions?language=ar").content))
    assert list(plain.columns) == ["example", "gold", "prediction"]
    monkeypatch.setattr("service.examples.scored_examples", changed)
    assert client.get(f"/v1/trials/{trials[ZERO]}/predictions?language=zh&texts=true").status_code == 409
    assert client.get(f"/v1/trials/{trials[ZERO]}/predictions?language=zh").status_code == 200


@pytest.mark.parametrize(
    ("wanted", "status", "media_type"),
    [
        ("bytes=0-5", 206, "application/vnd.apache.arrow.file"),
        ("bytes=0-5,20-25", 206, "multipart/byteranges"),
        ("bytes=999999999-", 416, "application/problem+json"),
        ("bytes=5-0", 400, "application/problem+json"),
    ],
)
def test_parts_of_predictions_are_sent_as_the_description_says(
    sqlite_store: Store, client: TestClient, tmp_path: Path, wanted: str, status: int, media_type: str
) -> None:
    _, trials = predicted(sqlite_store, tmp_path)
    path = f"/v1/trials/{trials[ZERO]}/predictions?language=ar"
    answer = client.get(path, headers={"Range": wanted})
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (status, media_type)
    assert status != 206 or b"ARROW1" in answer.content
    assert status != 416 or answer.headers["content-range"].startswith("bytes */")
    told = client.get("/openapi.json").json()["paths"]["/v1/trials/{id}/predictions"]["get"]["responses"]
    assert media_type in told[str(status)]["content"]


@pytest.mark.parametrize(
    ("wanted", "status", "words"),
    [
        ({"language": "de"}, 404, "no evaluation of de/test"),
        ({"language": "ar", "split": "train"}, 404, "no evaluation of ar/train"),
        ({"language": "ar", "against": "0" * 20}, 422, "there is no trial with this id"),
        ({"language": "ar", "which": "gained"}, 422, "with against"),
        ({"language": "ar", "against_selection": "last"}, 422, "with against"),
        ({"language": "ar", "against": "../x"}, 422, "match"),
        ({"language": "ar", "cursor": "-1"}, 422, "match"),
        ({"language": "ar", "limit": 1001}, 422, "1000"),
        ({"language": "ar", "color": "red"}, 422, "no such parameter"),
    ],
)
def test_what_is_not_there_is_refused_in_words(
    sqlite_store: Store, client: TestClient, tmp_path: Path, wanted: dict[str, Any], status: int, words: str
) -> None:
    _, trials = predicted(sqlite_store, tmp_path)
    code, said = refused(client, trials[ZERO], **wanted)
    assert code == status, said
    assert words in said


def test_trials_on_other_examples_do_not_stand_side_by_side(
    sqlite_store: Store, client: TestClient, tmp_path: Path
) -> None:
    _, trials = predicted(sqlite_store, tmp_path)
    _, cut = predicted(sqlite_store, tmp_path, most=12, encoder="other")
    _, of_pos = predicted(sqlite_store, tmp_path, "pos")
    assert refused(client, trials[ZERO], language="ar", against=cut[ZERO]) == (
        422, "1 field is wrong; it was scored on other examples",
    )  # fmt: skip
    assert refused(client, trials[ZERO], language="ar", against=of_pos[ZERO])[1].endswith("it is a trial of pos")


def test_the_client_has_texts_and_pages(
    sqlite_store: Store, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, trials = predicted(sqlite_store, tmp_path)
    notebook = Client()
    monkeypatch.setattr(notebook._connection, "_http", client)
    frame = notebook.predictions(trials[ZERO], "zh")
    assert [list(tokens) for tokens in frame["tokens"]] == [
        one["tokens"] for one in SampleData("ner").examples("zh", "test")
    ]
    assert len(list(notebook.examples(trials[ZERO], "zh", which="all"))) == len(frame)
    gained = list(notebook.examples(trials[MIXED], "zh", against=trials[ZERO], which="gained"))
    assert gained
    assert all(len(one["predictions"][0]["errors"]) < len(one["predictions"][1]["errors"]) for one in gained)
    client.app.state.examples = Examples()
    monkeypatch.setattr("service.examples.scored_examples", changed)
    with pytest.warns(UserWarning, match="has changed"):
        assert list(notebook.predictions(trials[ZERO], "zh").columns) == ["example", "gold", "prediction"]


@pytest.mark.parametrize("task", ["ner", "xnli"])
@pytest.mark.parametrize("protocol", ["paper", "released-code"])
def test_dev_sets_and_held_out_shots_are_found_by_their_digests(task: str, protocol: str) -> None:
    """As `TrialData` reads them; whatever else was scored is refused."""
    data, of = SampleData(task), TASKS[task]
    drawn_from = of.under(protocol).shots_split
    config = config_of("ord-FS", task=task, protocol=protocol, k=5, held_out=2, training=TRAINING)
    drawn = draw_from(data, of, "de", drawn_from, 5, config.seed)
    trained = draw_from(data, of, "de", drawn_from, 3, config.seed)
    parts = {
        ("en", "dev"): splits.source_dev(data, "en"),
        ("de", "dev"): splits.target_dev(data, "de", drawn, drawn_from),
        ("hi", "dev"): splits.target_dev(data, "hi", None, drawn_from),
        ("de", drawn_from): splits.held_out_shots(drawn, trained, drawn_from),
    }
    for (language, split), part in parts.items():
        score = score_of(language, 50.0, split=split, data=part.digest, examples=len(part.places))
        examples = data.examples(language, part.split)
        found = scored_examples(data, config, score, list(part.places))
        assert found == [examples[place] for place in part.places]
        with pytest.raises(ChangedDataError):
            scored_examples(data, config, score, [place + 1 for place in part.places])
        with pytest.raises(ChangedDataError):
            scored_examples(data, config, score_of(language, 50.0, split=split, data="other"), list(part.places))
