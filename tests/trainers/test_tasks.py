"""What holds for every task, and the frames that tokenizers put around their windows."""

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.languages import LANGUAGES
from trainers.protocols import PROTOCOLS
from trainers.tasks import TASKS
from trainers.tasks.frame import Frame
from trainers.tasks.task import ExampleError, Task, Window

CONTEXT = "Stockholm is the capital of Sweden . Berlin is that of Germany , and Nairobi that of Kenya . " * 3

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "ner": [
        {"tokens": ["Stockholm"], "tags": ["B-LOC"]},
        {"tokens": CONTEXT.split(), "tags": ["O"] * len(CONTEXT.split())},
        {"tokens": ["in", "Berlin", "Mitte", "."], "tags": ["O", "B-LOC", "I-LOC", "O"]},
    ],
    "pos": [
        {"tokens": CONTEXT.split(), "tags": ["NOUN"] * len(CONTEXT.split())},
        {"tokens": ["in", "Berlin"], "tags": ["ADP", "PROPN"]},
    ],
    "tydiqa": [
        {
            "id": "1",
            "context": CONTEXT,
            "question": "Where ?",
            "answers": {"text": ["Kenya"], "answer_start": [CONTEXT.index("Kenya")]},
        },
        {"id": "2", "context": "In Bern .", "question": "Where ?", "answers": {"text": ["Bern"], "answer_start": [3]}},
    ],
    "xnli": [
        {"premise": "Stockholm is the capital .", "hypothesis": "It is not .", "label": "contradiction"},
        {"premise": "It is .", "hypothesis": "It is .", "label": "entailment"},
        {"premise": "It is .", "hypothesis": "It is in Sweden .", "label": "neutral"},
    ],
    "pawsx": [
        {"sentence1": "From Bern to Berlin .", "sentence2": "From Berlin to Bern .", "label": "different"},
        {"sentence1": "Today it is .", "sentence2": "It is today .", "label": "paraphrase"},
    ],
}


@pytest.fixture(scope="module")
def plain(tiny_encoder: Path) -> Any:
    """A tokenizer like XLM-R's, without segment ids."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_encoder)


@pytest.fixture(scope="module")
def segmented(plain: Any) -> Any:
    """A tokenizer like BERT's, with segment ids."""
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(plain.backend_tokenizer.to_str())
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=names, model_max_length=128)


@pytest.fixture(scope="module", params=["plain", "segmented"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=TASKS.values(), ids=TASKS)
def task(request: pytest.FixtureRequest) -> Task[Any]:
    return request.param


def labels_of(task: Task[Any]) -> tuple[str, ...]:
    return task.label_set(sorted(set().union(*map(task.labels_of, EXAMPLES[task.name]))))


def batch_of(windows: list[Window], length: int) -> dict[str, torch.Tensor]:
    ids = torch.ones(len(windows), length, dtype=torch.long)
    mask, types = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, window in enumerate(windows):
        size = len(window.input_ids)
        ids[row, :size], mask[row, :size] = torch.tensor(window.input_ids), 1
        types[row, :size] = torch.tensor(window.token_types or [0] * size)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def model_for(task: Task[Any], folder: Path) -> Any:
    import transformers

    transformers.logging.set_verbosity_error()
    labels = labels_of(task)
    options = {"num_labels": len(labels)} if labels else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return getattr(transformers, task.model_class).from_pretrained(folder, **options).eval()


# Tasks


def test_there_are_five_tasks_in_order() -> None:
    assert list(TASKS) == ["ner", "pos", "tydiqa", "xnli", "pawsx"]
    assert all(task.name == name for name, task in TASKS.items())
    assert {name: (task.metric, task.metrics_names) for name, task in TASKS.items()} == {
        "ner": ("f1", ("f1",)),
        "pos": ("chunk_f1", ("chunk_f1", "accuracy")),
        "tydiqa": ("f1", ("f1", "exact_match")),
        "xnli": ("accuracy", ("accuracy",)),
        "pawsx": ("accuracy", ("accuracy",)),
    }
    assert [name for name, task in TASKS.items() if task.published is None] == ["pawsx"]


def test_what_a_task_says_of_itself_is_known_elsewhere(task: Task[Any]) -> None:
    assert set(task.settings) <= set(PROTOCOLS)
    assert set(task.languages) <= set(LANGUAGES)
    assert list(task.languages) == sorted(task.languages)
    assert task.metric in task.metrics_names
    assert task.published is None or task.published.metric in task.metrics_names


@pytest.mark.service
def test_nobody_who_only_plans_loads_torch() -> None:
    code = "import sys, trainers.tasks; sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_gold_scores_100_in_every_metric_under_its_name(task: Task[Any]) -> None:
    assert [task.problem(one) for one in EXAMPLES[task.name]] == [None] * len(EXAMPLES[task.name])
    gold = [task.gold(one) for one in EXAMPLES[task.name]]
    best = [one[0] for one in gold] if task.name == "tydiqa" else gold
    assert task.metrics(gold, best) == dict.fromkeys(task.metrics_names, 100.0)


def test_no_examples_have_no_windows(task: Task[Any], plain: Any) -> None:
    assert task.features([], labels_of(task), plain, 40) == []
    assert task.predictions([], [], [], labels_of(task)) == []


def test_every_window_names_its_example_and_fits(task: Task[Any], tokenizer: Any) -> None:
    windows = task.features(EXAMPLES[task.name], labels_of(task), tokenizer, 40)
    assert [window.example for window in windows] == sorted(window.example for window in windows)
    assert {window.example for window in windows} == set(range(len(EXAMPLES[task.name])))
    assert all(len(window.input_ids) <= 40 for window in windows)
    typed = "token_type_ids" in tokenizer.model_input_names
    assert all(len(window.token_types) == (len(window.input_ids) if typed else 0) for window in windows)
    has_pairs = task.name in ("tydiqa", "xnli", "pawsx")
    assert {type_ for window in windows for type_ in window.token_types} == (
        set(range(1 + has_pairs)) if typed else set()
    )


def test_the_loss_of_a_batch_is_the_mean_over_what_its_windows_supervise(
    task: Task[Any], tokenizer: Any, tiny_encoder: Path
) -> None:
    model = model_for(task, tiny_encoder)
    windows = task.features(EXAMPLES[task.name], labels_of(task), tokenizer, 40)
    length = max(len(window.input_ids) for window in windows) + 3

    def loss(batch: list[Window], length: int) -> float:
        targets = {name: torch.tensor(values) for name, values in task.targets(batch, length).items()}
        assert {len(values) for values in targets.values()} == {len(batch)}
        return float(model(**batch_of(batch, length), **targets).loss)

    with torch.inference_mode():
        together = loss(windows, length)
        alone = [
            loss([window], length if task.name == "tydiqa" else len(window.input_ids)) * window.supervised
            for window in windows
        ]  # the span head of transformers has padding in its softmax, as in the authors' code
    assert together == pytest.approx(sum(alone) / sum(window.supervised for window in windows), rel=1e-5)


def test_decoding_depends_neither_on_padding_nor_on_the_batch_and_is_plain(
    task: Task[Any], tokenizer: Any, tiny_encoder: Path
) -> None:
    model = model_for(task, tiny_encoder)
    windows = task.features(EXAMPLES[task.name], labels_of(task), tokenizer, 40)
    with torch.inference_mode():
        together = task.decode(model(**batch_of(windows, 60)), windows)
        alone = [task.decode(model(**batch_of([window], len(window.input_ids))), [window])[0] for window in windows]
    if task.name == "tydiqa":  # scores differ in the last bits with the batch that the model reads
        assert [one[1:] for one in together] == [one[1:] for one in alone]
        assert [one[0] for one in together] == pytest.approx([one[0] for one in alone], rel=1e-5)
    else:
        assert together == alone
    assert pickle.loads(pickle.dumps(together)) == together
    assert "torch" not in pickle.dumps(together).decode("latin-1")
    predicted = task.predictions(EXAMPLES[task.name], windows, together, labels_of(task))
    gold = [task.gold(one) for one in EXAMPLES[task.name]]
    assert len(predicted) == len(gold)
    assert all(0 <= score <= 100 for score in task.metrics(gold, predicted).values())


def test_real_examples_are_without_a_problem(task: Task[Any], shared: Path) -> None:
    paths = sorted((shared / "data" / task.name).glob("*/*.jsonl"))
    if not paths:
        pytest.skip(f"the shared data are not there: {shared}/data/{task.name} has no <language>/<split>.jsonl")
    labels = set()
    for path in paths:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            example = json.loads(line)
            assert task.problem(example) is None, f"{path}, line {number}"
            labels |= task.labels_of(example)
    assert set(task.label_set(sorted(labels))) >= labels


# Errors


def test_an_example_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ExampleError(3, "too long")))
    assert (error.place, error.message, str(error)) == (3, "too long", "too long")
    assert isinstance(error, ValueError)


def test_several_predictions_that_are_all_the_same_are_one_label(task: Task[Any]) -> None:
    one, other = ("", "Bern") if task.name == "tydiqa" else labels_of(task)[:2]
    tags = task.name in ("ner", "pos")
    assert task.one_label([[one, one], [one]] if tags else [one, one, one]) == one
    assert task.one_label([[one, other], [one]] if tags else [one, other, one]) is None
    assert task.one_label([[one]] if tags else [one]) is None
    assert task.one_label([]) is None


# Frames


TEXTS = st.lists(st.sampled_from(["Berlin", "is", "zzyzx", "."]), min_size=1, max_size=9).map(" ".join)


@settings(deadline=None, max_examples=60)
@given(TEXTS, TEXTS)
def test_a_frame_joins_sequences_as_the_tokenizer_does(tokenizer: Any, one: str, other: str) -> None:
    for texts in ([one], [one, other]):
        bare = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        own = tokenizer(*texts)
        frame = Frame(tokenizer, len(texts))
        ids, types = frame.around(*bare)
        assert (ids, types) == (own["input_ids"], own.get("token_type_ids", []))
        assert frame.special == len(ids) - sum(map(len, bare))
        for place, before in enumerate(frame.before):
            first = before + sum(map(len, bare[:place]))
            assert ids[first : first + len(bare[place])] == bare[place]


def test_a_frame_keeps_what_it_puts_around(tokenizer: Any) -> None:
    frame = Frame(tokenizer, 2)
    first = frame.around([7], [8])
    frame.around([9] * 5, [])
    assert frame.around([7], [8]) == first
    assert [id_ for id_ in first[0] if id_ not in (0, 2)] == [7, 8]
