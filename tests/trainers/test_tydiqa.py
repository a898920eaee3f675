"""The task tydiqa: windows against SQuAD's rules, the search against all pairs, answers there and back, its scores."""

import json
import random
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.data.sample import examples as sample_examples
from trainers.encoders import offline as offline_encoder
from trainers.encoders.by_name import prepare_encoder
from trainers.tasks import squad
from trainers.tasks.passages import PassageWindow
from trainers.tasks.task import ExampleError
from trainers.tasks.tydiqa import TYDIQA

Example = dict[str, Any]

WORDS = [
    "Stockholm",
    "is",
    "the",
    "capital",
    "zzyzx",
    "of",
    "Sweden.",
    "(1897)",
    "e\u0301t\u00e9",
    "\ufb01n",
    "१२",
    "\n\n",
    " ",
]
CONTEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=120).map(" ".join).filter(str.strip)
QUESTIONS = st.lists(st.sampled_from(WORDS[:8]), min_size=1, max_size=40).map(" ".join).filter(str.strip)


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_encoder)


@pytest.fixture(scope="module")
def spacious(tokenizer: Any) -> Any:
    """A tokenizer whose tokens have the space before them among their characters."""
    from tokenizers import Tokenizer, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", model_input_names=["input_ids", "attention_mask"]
    )


@pytest.fixture(scope="module")
def offline_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The tokenizer of the offline encoder, which has XLM-R's vocabulary."""
    from transformers import AutoTokenizer

    try:
        offline_encoder.package_file()
    except offline_encoder.OfflineEncoderError as error:
        pytest.skip(str(error))
    home = tmp_path_factory.mktemp("offline")
    yield AutoTokenizer.from_pretrained(prepare_encoder(offline_encoder.NAME, home))
    shutil.rmtree(home)


def question(context: str, answer: str, text: str = "Where is it?", offset: int | None = None) -> Example:
    begin = context.index(answer) if offset is None else offset
    return {"id": "q1", "context": context, "question": text, "answers": {"text": [answer], "answer_start": [begin]}}


def some_examples(count: int = 40) -> list[Example]:
    """Passages of sentences of the sample, with an answer of a few words each."""
    draw = random.Random(1)
    sentences = [one["tokens"] for language in ("en", "de", "sw") for one in sample_examples("ner", language, "test")]
    some = []
    for place in range(count):
        words = [word for _ in range(draw.randint(1, 40)) for word in draw.choice(sentences)]
        first = draw.randrange(len(words))
        answer = " ".join(words[first : first + draw.randint(1, 4)])
        before = " ".join([*words[:first], ""])
        context = "  " + " ".join(words)
        one = question(context, answer, " ".join(draw.choice(sentences)), len(before) + 2)
        some.append({**one, "id": f"q{place}"})
    assert [TYDIQA.problem(one) for one in some] == [None] * count
    return some


def logits(windows: Sequence[PassageWindow], seed: int, length: int | None = None) -> tuple[Tensor, Tensor]:
    """Random start and end logits [windows, length]."""
    length = length or max(len(window.input_ids) for window in windows)
    generator = torch.Generator().manual_seed(seed)
    starts, ends = torch.randn(2, len(windows), length, generator=generator)
    return starts, ends


def decoded(windows: Sequence[PassageWindow], starts: Tensor, ends: Tensor) -> list[Any]:
    return TYDIQA.decode(SimpleNamespace(start_logits=starts, end_logits=ends), windows)


def decoded_gold(windows: Sequence[PassageWindow], batch_size: int = 10) -> list[Any]:
    """Of a model that is certain of the targets."""
    found = []
    for first in range(0, len(windows), batch_size):
        batch = windows[first : first + batch_size]
        length = max(len(window.input_ids) for window in batch)
        targets = TYDIQA.targets(batch, length)
        ends = [10.0 * torch.nn.functional.one_hot(torch.tensor(places), length) for places in targets.values()]
        found += decoded(batch, *ends)
    return found


# Windows


def of_squad(count: int, room: int, step: int) -> tuple[list[tuple[int, int]], list[int]]:
    """The spans (first, length) of SQuAD's script over so many tokens, and which has each one's maximal context."""
    spans, offset = [], 0
    while offset < count:
        length = min(count - offset, room)
        spans.append((offset, length))
        if offset + length == count:
            break
        offset += min(length, step)
    best = []
    for place in range(count):
        scores = {
            number: min(place - first, first + length - 1 - place) + 0.01 * length
            for number, (first, length) in enumerate(spans)
            if first <= place < first + length
        }
        best.append(max(scores, key=lambda number: (scores[number], -number)))
    return spans, best


@pytest.mark.parametrize("max_length", [40, 50, 64, 128, 150, 384])
def test_windows_and_maximal_context_are_those_of_squads_script(tokenizer: Any, max_length: int) -> None:
    some = [*some_examples(), question("zq " * 900, "zq")]
    windows = TYDIQA.features(some, (), tokenizer, max_length)
    for place, one in enumerate(some):
        context = tokenizer(one["context"], add_special_tokens=False, verbose=False)["input_ids"]
        asked = tokenizer(one["question"], add_special_tokens=False)["input_ids"][:64]
        room = max_length - 4 - len(asked)
        step = 128 if room >= 2 * 128 else (room + 1) // 2
        spans, best = of_squad(len(context), room, step)
        mine = [window for window in windows if window.example == place]
        assert [window.input_ids for window in mine] == [
            [0, *asked, 2, 2, *context[first : first + length], 2] for first, length in spans
        ]
        assert all(len(window.input_ids) <= max_length for window in mine)
        owned = [
            (position - window.context.start + first, number)
            for number, (window, (first, _)) in enumerate(zip(mine, spans, strict=True))
            for position in window.owned
        ]
        assert sorted(owned) == list(enumerate(best))  # each token in one window, the right one
        for window, (_, length) in zip(mine, spans, strict=True):
            assert len(window.context) == len(window.spans) == length
            assert set(window.owned) <= set(window.context)
            assert (window.token_types, window.supervised) == ([], 1)


@settings(deadline=None, max_examples=100)
@given(CONTEXTS, QUESTIONS, st.integers(5, 200))
def test_windows_cover_every_context_or_there_is_no_room(
    tokenizer: Any, context: str, asked: str, max_length: int
) -> None:
    count = len(tokenizer(context, add_special_tokens=False, verbose=False)["input_ids"])
    example = question(context, context.split()[0], asked)
    try:
        windows = TYDIQA.features([example], (), tokenizer, max_length)
    except ExampleError:
        assert max_length <= 4 + min(64, len(tokenizer(asked, add_special_tokens=False)["input_ids"]))
        return
    assert sum(len(window.owned) for window in windows) == count
    assert all(len(window.input_ids) <= max_length and window.owned for window in windows)
    covered = {spot for window in windows for span in window.spans for spot in range(*span)}
    left_out = {context[spot] for spot in range(len(context)) if spot not in covered}
    assert all(not character.strip() for character in left_out)


def test_windows_are_those_of_the_tokenizers_own_overflow(tokenizer: Any) -> None:
    some = [one for one in some_examples() if len(tokenizer(one["question"])["input_ids"]) <= 60]
    for one in some:
        room = 330 - len(tokenizer(one["question"])["input_ids"]) - 2
        own = tokenizer(
            one["question"],
            one["context"],
            truncation="only_second",
            max_length=330,
            stride=room - 128,
            return_overflowing_tokens=True,
        )
        windows = TYDIQA.features([one], (), tokenizer, 330)
        assert [window.input_ids for window in windows] == own["input_ids"]
    assert len(own["input_ids"]) > 0


def test_a_question_is_cut_to_64_sub_words(tokenizer: Any) -> None:
    asked = "zq " * 100
    [window] = TYDIQA.features([question("It is in Berlin.", "Berlin", asked)], (), tokenizer, 128)
    assert window.context.start == 1 + 64 + 2
    assert window.input_ids[1:65] == tokenizer(asked, add_special_tokens=False, verbose=False)["input_ids"][:64]


def test_a_window_without_room_for_the_context_is_an_error(tokenizer: Any) -> None:
    some = [question("It is in Berlin.", "Berlin", "zq " * length) for length in (1, 100)]
    with pytest.raises(ExampleError) as error:
        TYDIQA.features(some, (), tokenizer, 68)
    assert error.value.place == 1
    assert str(error.value) == (
        "a window of 68 tokens has no room for the context of 'q1' beside its question of 64 and special tokens"
    )
    assert len(TYDIQA.features(some, (), tokenizer, 69)[-1].context) == 1


def test_a_context_of_which_the_tokenizer_leaves_nothing_is_an_error(tokenizer: Any) -> None:
    from tokenizers import Tokenizer, normalizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.normalizer = normalizers.Replace("x", "")
    with pytest.raises(ExampleError, match="the tokenizer leaves nothing of the context of 'q1'"):
        TYDIQA.features([question("xx x", "x")], (), PreTrainedTokenizerFast(tokenizer_object=backend), 68)


# Gold answers


@pytest.mark.parametrize("which", ["tokenizer", "spacious"])
@pytest.mark.parametrize("max_length", [48, 100, 384])
def test_a_model_that_is_certain_of_the_targets_gives_the_gold_answers(
    request: pytest.FixtureRequest, which: str, max_length: int
) -> None:
    tokenizer, some = request.getfixturevalue(which), some_examples()
    windows = TYDIQA.features(some, (), tokenizer, max_length)
    predicted = TYDIQA.predictions(some, windows, decoded_gold(windows), ())
    assert predicted == [one["answers"]["text"][0] for one in some]


def test_sub_words_do_not_have_the_white_space_that_a_tokenizer_counts_in(spacious: Any) -> None:
    context = "  It is  in\n\n Berlin ."
    offsets = spacious(context, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
    assert any(context[slice(*offset)].startswith(" ") for offset in offsets)
    [window] = TYDIQA.features([question(context, "in\n\n Berlin")], (), spacious, 128)
    texts = [context[slice(*span)] for span in window.spans]
    assert texts == [text.strip() for text in texts]
    assert "".join(texts) == "ItisinBerlin."


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("  It is in Berlin.", "It"),  # spaces before the first word
        ("in re\u0301sume\u0301 (e\u0301)", "re\u0301sume\u0301"),  # NFKC composes e and its accent
        ("in e\u0301", "e\u0301"),  # at the end of the context
        ("the \ufb01nal ①", "\ufb01nal"),  # NFKC takes a ligature apart
        ("the \ufb01nal ①", "①"),
        ("on १२ जून", "१२"),
        ("a\u00a0b\u3000c", "b"),
    ],
)
def test_answers_that_normalisation_changes_are_given_back_as_they_stand(
    offline_tokenizer: Any, context: str, answer: str
) -> None:
    examples = [question(context, answer)]
    windows = TYDIQA.features(examples, (), offline_tokenizer, 128)
    assert TYDIQA.predictions(examples, windows, decoded_gold(windows), ()) == [answer]


def test_targets_are_those_of_the_first_answer(tokenizer: Any) -> None:
    context = "Bern or Berlin"
    both = {**question(context, "Berlin"), "answers": {"text": ["Berlin", "Bern"], "answer_start": [8, 0]}}
    windows = TYDIQA.features([both], (), tokenizer, 128)
    assert TYDIQA.predictions([both], windows, decoded_gold(windows), ()) == ["Berlin"]
    assert TYDIQA.gold(both) == ["Berlin", "Bern"]


def test_an_answer_that_is_not_wholly_in_a_window_is_at_its_first_position(tokenizer: Any) -> None:
    assert len(tokenizer("in", add_special_tokens=False)["input_ids"]) == 1
    context = " ".join(["in"] * 90)
    for begin in range(0, len(context) - 28, 3):
        end = begin + 29
        windows = TYDIQA.features([question(context, context[begin:end], offset=begin)], (), tokenizer, 64)
        for window in windows:
            if window.spans[0][0] <= begin and end <= window.spans[-1][1]:
                first, last = (window.spans[place - window.context.start] for place in window.answer)
                assert (first[0], last[1]) == (begin, end)
            else:
                assert window.answer == (0, 0)
        targets = TYDIQA.targets(windows, 64)
        assert list(targets) == ["start_positions", "end_positions"]
        assert list(zip(*targets.values(), strict=True)) == [window.answer for window in windows]
        assert any(window.answer != (0, 0) for window in windows)  # windows overlap by half


@pytest.mark.slow
def test_real_gold_answers_are_given_back_unless_no_span_of_30_sub_words_is_one(
    shared: Path, offline_tokenizer: Any
) -> None:
    paths = sorted((shared / "data" / "tydiqa").glob("*/*.jsonl"))
    if not paths:
        pytest.skip(f"the shared data are not there: {shared}/data/tydiqa has no <language>/<split>.jsonl")
    for language, files in groupby(paths, lambda path: path.parent.name):
        some = [json.loads(line) for path in files for line in path.read_text("utf-8").splitlines()]
        assert [problem for one in some if (problem := TYDIQA.problem(one))] == []
        windows = TYDIQA.features(some, (), offline_tokenizer, 384)
        predicted = TYDIQA.predictions(some, windows, decoded_gold(windows), ())
        counts = {"too long": 0, "ends inside a token": 0, "given back": 0}
        for place, (one, text) in enumerate(zip(some, predicted, strict=True)):
            counts[_fate(one, text, [window for window in windows if window.example == place])] += 1
        print(f"{language}: {len(some)} questions, {len(windows)} windows, answers {counts}")
        assert counts["given back"] > 0.8 * len(some)


def _fate(example: Example, predicted: str, windows: list[PassageWindow]) -> str:
    answer, begin = example["answers"]["text"][0], example["answers"]["answer_start"][0]
    spans = {span for window in windows for span in window.spans}
    touched = {span for span in spans if span[0] < begin + len(answer) and span[1] > begin}
    holding = [window for window in windows if window.answer != (0, 0)]
    assert holding
    for window in holding:
        first, last = (window.spans[place - window.context.start] for place in window.answer)
        assert (first[0], last[1]) == (min(span[0] for span in touched), max(span[1] for span in touched))
    if window.answer[1] - window.answer[0] >= 30:
        assert predicted != answer.strip()
        return "too long"
    stripped = begin + len(answer) - len(answer.lstrip()), begin + len(answer.rstrip())
    if (min(span[0] for span in touched), max(span[1] for span in touched)) != stripped:
        assert answer.strip() in predicted
        return "ends inside a token"
    assert predicted == answer.strip()
    return "given back"


# The best span


def naive(example: Example, windows: Sequence[PassageWindow], starts: Tensor, ends: Tensor, n_best: int) -> str:
    """The best text, trying all pairs of positions."""
    best, text = float("-inf"), ""
    for window, start_row, end_row in zip(windows, starts.tolist(), ends.tolist(), strict=True):
        size = len(window.input_ids)
        cut_start, cut_end = (sorted(row[:size], reverse=True)[:n_best][-1] for row in (start_row, end_row))
        for first in range(size):
            for last in range(size):
                is_span = first in window.owned and last in window.context and first <= last < first + 30
                is_tried = start_row[first] >= cut_start and end_row[last] >= cut_end
                score = start_row[first] + end_row[last]
                if is_span and is_tried and score > best:
                    begin = window.context.start
                    best = score
                    text = example["context"][window.spans[first - begin][0] : window.spans[last - begin][1]]
    return text


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("max_length", [40, 90, 384])
def test_the_best_span_is_that_of_a_search_through_all_pairs(tokenizer: Any, max_length: int, seed: int) -> None:
    some = some_examples(8)
    windows = TYDIQA.features(some, (), tokenizer, max_length)
    starts, ends = logits(windows, seed)
    if seed % 2:  # one of the rows' peaks is where no answer can be
        starts[:, 0] += 9
        ends[:, 0] += 9
    predicted = TYDIQA.predictions(some, windows, decoded(windows, starts, ends), ())
    expected = []
    for place, one in enumerate(some):
        mine = [number for number, window in enumerate(windows) if window.example == place]
        expected.append(naive(one, [windows[number] for number in mine], starts[mine], ends[mine], 20))
    assert predicted == expected


def test_in_windows_of_20_sub_words_every_pair_is_tried(tokenizer: Any) -> None:
    some = [question("It is in Berlin or is it in Bern or in Stockholm", "Berlin", "zq?")]
    windows = TYDIQA.features(some, (), tokenizer, 20)
    assert len(windows) > 1
    for seed in range(50):
        starts, ends = logits(windows, seed)
        predicted = TYDIQA.predictions(some, windows, decoded(windows, starts, ends), ())
        assert predicted == [naive(some[0], windows, starts, ends, 10**6)]


@pytest.mark.parametrize("seed", range(5))
def test_decoding_depends_neither_on_padding_nor_on_the_batch(tokenizer: Any, seed: int) -> None:
    some = [*some_examples(10), question("Bern", "Bern", "?")]
    windows = TYDIQA.features(some, (), tokenizer, 100)
    starts, ends = logits(windows, seed, 130)
    starts, ends = starts.round(decimals=1), ends.round(decimals=1)  # so that there are equals
    together = decoded(windows, starts, ends)
    for place, window in enumerate(windows):
        size = len(window.input_ids)
        assert decoded([window], starts[[place], :size], ends[[place], :size]) == [together[place]]
    padding = torch.arange(130) >= torch.tensor([[len(window.input_ids)] for window in windows])
    assert decoded(windows, starts.masked_fill(padding, 99.0), ends.masked_fill(padding, 99.0)) == together
    backwards = decoded(windows[::-1], starts.flip(0), ends.flip(0))
    assert backwards == together[::-1]


def test_a_span_is_at_most_30_sub_words_does_not_end_before_it_starts_and_lies_in_the_context(tokenizer: Any) -> None:
    windows = TYDIQA.features(some_examples(20), (), tokenizer, 384)
    for seed in range(5):
        starts, ends = logits(windows, seed)
        for window, found in zip(windows, decoded(windows, starts, ends), strict=True):
            if found is not None:
                first = [span[0] for span in window.spans].index(found[1])
                last = len(window.spans) - 1 - [span[1] for span in window.spans][::-1].index(found[2])
                assert 0 <= last - first < 30 + 2  # a character may have several tokens


def test_without_a_valid_span_the_answer_is_empty(tokenizer: Any) -> None:
    example = question("It is in Berlin or is it in Bern or in Stockholm", "Berlin", "in " * 17)
    windows = TYDIQA.features([example], (), tokenizer, 100)
    starts, ends = torch.zeros(2, len(windows), 100)
    starts[:, :20] = ends[:, :20] = 5.0
    assert windows[0].context.start == 20
    assert decoded(windows, starts, ends) == [None] * len(windows)
    assert TYDIQA.predictions([example], windows, [None] * len(windows), ()) == [""]
    assert TYDIQA.metrics([["Berlin"]], [""]) == {"f1": 0.0, "exact_match": 0.0}


def test_logits_that_are_no_numbers_give_no_span(tokenizer: Any) -> None:
    windows = TYDIQA.features(some_examples(3), (), tokenizer, 100)
    nothing = torch.full((len(windows), 100), float("nan"))
    assert decoded(windows, nothing, nothing) == [None] * len(windows)


def test_the_best_of_an_examples_windows_counts_and_the_first_of_equals(tokenizer: Any) -> None:
    example = question("one two three", "one")
    windows = TYDIQA.features([example], (), tokenizer, 128) * 3
    candidates = [(1.0, 0, 3), (2.0, 4, 7), (2.0, 8, 13)]
    assert TYDIQA.predictions([example], windows, candidates, ()) == ["two"]
    assert TYDIQA.predictions([example], windows, [None, None, candidates[2]], ()) == ["three"]


def test_half_precision_logits_are_added_in_single_precision(tokenizer: Any) -> None:
    windows = TYDIQA.features(some_examples(3), (), tokenizer, 100)
    starts, ends = (one.to(torch.bfloat16) for one in logits(windows, 1))
    assert decoded(windows, starts, ends) == decoded(windows, starts.float(), ends.float())


# Scores: another way to write SQuAD's rules


def other_words(text: str) -> list[str]:
    kept = "".join(
        one for one in text.lower() if not (one.isascii() and one.isprintable() and not one.isalnum()) or one == " "
    )
    runs = ("".join(run) for _, run in groupby(kept, str.isalnum))
    return "".join(" " if run in ("a", "an", "the") else run for run in runs).split()


def other_f1(gold: str, predicted: str) -> float:
    wanted, found = other_words(gold), other_words(predicted)
    rest, common = list(wanted), 0
    for word in found:
        if word in rest:
            rest.remove(word)
            common += 1
    if common == 0:
        return 0.0
    precision, recall = common / len(found), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def check_scores(gold: list[list[str]], predicted: list[str]) -> None:
    f1 = [max(other_f1(text, one) for text in texts) for texts, one in zip(gold, predicted, strict=True)]
    matches = [
        any(" ".join(other_words(text)) == " ".join(other_words(one)) for text in texts)
        for texts, one in zip(gold, predicted, strict=True)
    ]
    scores = TYDIQA.metrics(gold, predicted)
    assert list(scores) == list(TYDIQA.metrics_names) == ["f1", "exact_match"]
    assert scores["f1"] == pytest.approx(100 * sum(f1) / len(f1), abs=1e-9)
    assert scores["exact_match"] == pytest.approx(100 * sum(matches) / len(matches), abs=1e-9)


PARTS = [
    "the",
    "The",
    "a",
    "an",
    "A.",
    "b",
    "B",
    "cat",
    "cat,",
    "the-cat",
    "«a»",
    "১৯",
    "a_b",
    "it's",
    "ан",
    " ",
    "\t",
    "é",
    "a\u0301",
    "",
]


def test_scores_are_those_of_another_implementation_on_thousands_of_random_answers() -> None:
    draw = random.Random(1)
    texts = [" ".join(draw.choices(PARTS, k=draw.randint(0, 6))) for _ in range(6000)]
    for first in range(0, 6000, 6):
        golds = [texts[first : first + 2], texts[first + 2 : first + 3], texts[first + 3 : first + 4]]
        check_scores(golds, [texts[first + 2], texts[first + 4], texts[first + 3]])


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.lists(st.text(max_size=12), min_size=1, max_size=3), st.text(max_size=12)), min_size=1))
def test_scores_are_those_of_another_implementation_whatever_the_text(pairs: list[tuple[list[str], str]]) -> None:
    check_scores([golds for golds, _ in pairs], [one for _, one in pairs])


@pytest.mark.parametrize(
    ("golds", "predicted", "f1", "exact_match"),
    [
        (["Denver Broncos"], "The Denver Broncos!", 1, 1),
        (["Denver Broncos", "Broncos"], "broncos", 1, 1),
        (["a cat sat"], "the cat", 2 / 3, 0),
        (["Santa Clara, California"], "Levi's Stadium in Santa Clara", 4 / 8, 0),
        (["gold gold"], "gold", 2 / 3, 0),
        (["1897"], "1897.", 1, 1),
        (["১৯৭১ সালে"], "১৯৭১", 2 / 3, 0),
        (["«Уралмаш»"], "Уралмаш", 0, 0),  # only ASCII punctuation goes
        (["서울은"], "서울", 0, 0),  # white-space tokens in every language
        (["the"], "a", 0, 1),  # SQuAD v1.1: nothing in common with nothing, but the same
        (["x"], "", 0, 0),
    ],
)
def test_known_scores(golds: list[str], predicted: str, f1: float, exact_match: float) -> None:
    scores = TYDIQA.metrics([golds], [predicted])
    assert scores == {"f1": pytest.approx(100 * f1), "exact_match": pytest.approx(100 * exact_match)}


@given(st.text(max_size=20), st.text(max_size=20))
def test_f1_is_symmetric_between_0_and_1_and_1_for_the_same_words(one: str, other: str) -> None:
    assert squad.f1(one, other) == squad.f1(other, one)
    assert 0 <= squad.f1(one, other) <= 1
    assert squad.exact_match(one, one) == 1
    if squad.words(one) and squad.exact_match(one, other):
        assert squad.f1(one, other) == 1


# Examples


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "'id' is not a string"),
        ({"id": 3}, "'id' is not a string"),
        ({"context": ["a"]}, "'context' is not a string"),
        ({"question": None}, "'question' is not a string"),
        ({"id": ""}, "'id' is empty"),
        ({"context": " \n"}, "'context' is empty"),
        ({"question": "\u3000"}, "'question' is empty"),
        ({"answers": {"text": ["  "], "answer_start": [5]}}, "an answer of 'q1' is empty"),
        ({"answers": {"text": [""], "answer_start": [5]}}, "an answer of 'q1' is empty"),
        (
            {"answers": {"text": ["Bern"], "answer_start": [1]}},
            "at offset 1 of the context of 'q1' stands 't is', not the answer 'Bern'",
        ),
        (
            {"answers": {"text": ["It", "Bern"], "answer_start": [0, 9]}},
            "at offset 9 of the context of 'q1' stands 'Berl', not the answer 'Bern'",
        ),
        (
            {"answers": {"text": ["Berlin"], "answer_start": [99]}},
            "at offset 99 of the context of 'q1' stands '', not the answer 'Berlin'",
        ),
        (
            {"answers": {"text": ["Berl"], "answer_start": [-7]}},
            "at offset -7 of the context of 'q1' stands '', not the answer 'Berl'",
        ),
        *(
            (
                {"answers": answers},
                "'answers' of 'q1' is not {\"text\": [strings], \"answer_start\": [whole numbers]},"
                " as many of both and at least one",
            )
            for answers in (
                None,
                [],
                {},
                {"text": [], "answer_start": []},
                {"text": "It", "answer_start": 0},
                {"text": ["It"]},
                {"text": ["It"], "answer_start": [0, 0]},
                {"text": ["It"], "answer_start": ["0"]},
                {"text": ["It"], "answer_start": [0.0]},
                {"text": ["It"], "answer_start": [False]},
                {"text": [None], "answer_start": [0]},
                [{"text": "It", "answer_start": 0}],
            )
        ),
    ],
)
def test_what_is_wrong_with_an_example_is_said(change: dict[str, Any], message: str) -> None:
    assert TYDIQA.problem({**question("It is in Berlin.", "Berlin"), **change}) == message


def test_what_is_no_object_or_lacks_answers_is_said() -> None:
    assert TYDIQA.problem(["a"]) == "not a JSON object"
    without = question("It is in Berlin.", "Berlin")
    assert TYDIQA.problem(without) is None
    del without["answers"]
    assert str(TYDIQA.problem(without)).startswith("'answers' of 'q1' is not")


def test_messages_about_long_texts_are_short() -> None:
    long = "z" * 10**6
    problem = TYDIQA.problem({**question(long, long), "answers": {"text": [long], "answer_start": [1]}})
    assert problem is not None
    assert len(problem) < 300


def test_an_answer_in_another_normal_form_is_not_at_its_place() -> None:
    context = "in re\u0301sume\u0301"
    answer = unicodedata.normalize("NFC", "re\u0301sume\u0301")
    assert TYDIQA.problem(question(context, answer, offset=3)) is not None


@pytest.mark.parametrize("padding", [0, 1, 40])
def test_the_loss_is_the_models_own_without_padding_and_padding_changes_nothing(
    tiny_encoder: Path, padding: int
) -> None:
    from transformers import AutoModelForQuestionAnswering

    torch.manual_seed(2)
    model = AutoModelForQuestionAnswering.from_pretrained(tiny_encoder).eval()
    ids = torch.randint(4, 1000, (3, 20))
    mask = torch.ones_like(ids)
    targets = {"start_positions": torch.tensor([0, 3, 19]), "end_positions": torch.tensor([0, 7, 19])}
    expected = model(input_ids=ids, attention_mask=mask, **targets).loss
    batch = {
        "input_ids": torch.nn.functional.pad(ids, (0, padding), value=1),
        "attention_mask": torch.nn.functional.pad(mask, (0, padding)),
        **targets,
    }
    assert TYDIQA.loss(model(**batch), batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_there_are_no_labels_and_shots_are_drawn_of_all_questions() -> None:
    example = question("It is in Berlin.", "Berlin")
    assert TYDIQA.labels_of(example) == set()
    assert TYDIQA.label_set([]) == ()
    assert TYDIQA.stratum(example) == ""
