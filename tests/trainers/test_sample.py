"""The sample corpus: its sizes, its labels, that names are held out, that words agree, that answers and pairs hold."""

import hashlib
import json
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, combinations, pairwise, product
from pathlib import Path
from typing import TypeVar

import pytest

from trainers.data.sample import examples, tasks
from trainers.sample_corpus import LANGUAGES, SPLITS, inference
from trainers.sample_corpus import lexicon as lexicons
from trainers.sample_corpus.corpus import derivations
from trainers.sample_corpus.grammar import Constituent, Derivation, Terminal, ask, derive
from trainers.sample_corpus.lexicon import UPOS, LexiconError, Spacing
from trainers.sample_corpus.meaning import FRAMES, Meaning
from trainers.sample_corpus.pairs import Pair, pairs
from trainers.sample_corpus.questions import ASKED, questions
from trainers.tasks.xnli import LABELS

DIGESTS = {
    "ner": "d0d47aea3f93289288e8cae550837f75e9dbe93107f026b8a1cd5d09904e00ff",
    "pos": "ae09dd1a84e3b99a65abb1b2a22c880c0657dba297395de2ba12f2cf1789a909",
    "tydiqa": "d8d897505617cee960052e6cb24f11edcb5660bc6ee91d2795f120f843e1986d",
    "xnli": "ef297bd8e61269ed4b8419ab2fc2dfc5af7c62a1f10f94dc9165e74552db052c",
    "pawsx": "d24e6871c78e0c7988fa6aafee3a78e64e5161ab9460784b9317ef7433c4732f",
}
SIZES = {  # of the source, of a target
    "ner": ([800, 120, 200], [60, 60, 120]),
    "pos": ([800, 120, 200], [60, 60, 120]),
    "tydiqa": ([300, 60, 60], [40, 40, 40]),
    "xnli": ([600, 90, 120], [60, 60, 90]),
    "pawsx": ([600, 90, 120], [60, 60, 90]),
}
BIRTH = ("place", "time")
TAGS = {"O", *(f"{place}-{kind}" for place in "BI" for kind in ("PER", "LOC", "ORG"))}


T = TypeVar("T")


def inferences(language: str, split: str) -> tuple[Pair, ...]:
    """The pairs of xnli."""
    return pairs(language, "xnli", LABELS, inference.pair)[split]


def all_derivations(language: str) -> list[Derivation]:
    return [derivation for split in SPLITS for derivation in derivations(language, split)]


def phrases(node: Constituent | Terminal | Derivation, role: str) -> Iterator[Constituent]:
    """The outermost constituents of a role."""
    if isinstance(node, Constituent) and node.role == role:
        yield node
    elif not isinstance(node, Terminal):
        for child in node.children:
            yield from phrases(child, role)


def forms(derivation: Derivation) -> list[str]:
    return [word.form for word in derivation.terminals]


def first_of(derivation: Derivation, upos: str) -> str:
    return next(word.form for word in derivation.terminals if word.upos == upos)


def names(language: str, split: str) -> set[str]:
    found = set()
    for sentence in examples("ner", language, split):
        words: list[str] = []
        for token, tag in zip([*sentence["tokens"], ""], [*sentence["tags"], "O"], strict=True):
            if not tag.startswith("I-") and words:
                found.add(" ".join(words))
                words = []
            if tag != "O":
                words.append(token)
    return found


def of_frames(language: str, *frames: str) -> list[Derivation]:
    return [derivation for derivation in all_derivations(language) if derivation.meaning.frame in frames]


def test_the_source_and_nine_targets() -> None:
    assert LANGUAGES[0] == "en"
    assert set(LANGUAGES) == {"en", "de", "fi", "tr", "sw", "ru", "ar", "hi", "zh", "ja"}
    assert tasks() == ("ner", "pos", "tydiqa", "xnli", "pawsx")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("task", tasks())
def test_sizes(task: str, language: str) -> None:
    assert [len(examples(task, language, split)) for split in SPLITS] == SIZES[task][language != "en"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_appears_twice(language: str) -> None:
    sentences = [tuple(forms(derivation)) for derivation in all_derivations(language)]
    assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("split", SPLITS)
def test_tokens_and_tags_are_well_formed(language: str, split: str) -> None:
    for sentence in examples("ner", language, split):
        tokens, tags = sentence["tokens"], sentence["tags"]
        assert len(tokens) == len(tags)
        assert 5 <= len(tokens) <= 18
        assert all(re.fullmatch(r"\S+", token) for token in tokens)
        assert all(unicodedata.is_normalized("NFC", token) for token in tokens)
        assert not any(set(token) & set("~$[]<>/|") for token in tokens)
        for before, tag in zip(["O", *tags], tags, strict=False):
            assert tag in TAGS
            assert not tag.startswith("I-") or before[2:] == tag[2:]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("split", SPLITS)
def test_each_split_has_every_tag_and_a_balanced_mix_of_frames(language: str, split: str) -> None:
    assert {tag for sentence in examples("ner", language, split) for tag in sentence["tags"]} == TAGS
    frames = Counter(derivation.meaning.frame for derivation in derivations(language, split))
    assert frames.keys() == FRAMES.keys()
    assert max(frames.values()) <= 2 * sum(frames.values()) / len(frames)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_terminal_has_a_universal_tag_and_every_filled_role_one_phrase(language: str) -> None:
    for derivation in all_derivations(language):
        assert {word.upos for word in derivation.terminals} <= UPOS
        for role in FRAMES[derivation.meaning.frame].roles:
            found = list(phrases(derivation, role))
            assert len(found) == (role in derivation.meaning.fillers), (role, forms(derivation))
            assert all(phrase.terminals for phrase in found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_third_of_the_names_is_held_out_of_train(language: str) -> None:
    trained = {
        entry.place
        for derivation in derivations(language, "train")
        for filler in derivation.meaning.fillers.values()
        for entry in filler.parts.values()
    }
    for section in lexicons.load(language).sections.values():
        held_out = [entry.place for entry in section.entries.values()][2::3] if section.entity else []
        assert trained.isdisjoint(held_out)
    test = names(language, "test")
    assert len(test - names(language, "train")) > len(test) / 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_some_names_are_persons_here_and_places_there(language: str) -> None:
    base_forms: dict[str, set[str]] = {"PER": set(), "LOC": set()}
    for derivation in all_derivations(language):
        for filler in derivation.meaning.fillers.values():
            if filler.entity in base_forms:
                cells = [cell for entry in filler.parts.values() for cell in entry.cells.values()]
                base_forms[filler.entity].update(
                    cell.split()[0] for cell in cells if not cell.isascii() or len(cell) > 2
                )
    assert len(base_forms["PER"] & base_forms["LOC"]) >= 2


def test_five_scripts_or_more() -> None:
    letters = "".join("".join(forms(item)) for language in LANGUAGES for item in derivations(language, "train"))
    scripts = {unicodedata.name(letter).split()[0] for letter in letters if letter.isalpha()}
    assert {"LATIN", "CYRILLIC", "ARABIC", "DEVANAGARI", "CJK", "HIRAGANA", "KATAKANA"} <= scripts


@pytest.mark.parametrize("task", tasks())
def test_the_corpus_is_the_one_that_was_pinned(task: str) -> None:
    corpus = {language: {split: examples(task, language, split) for split in SPLITS} for language in LANGUAGES}
    text = json.dumps(corpus, ensure_ascii=True, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == DIGESTS[task]


def test_a_caller_may_change_what_it_was_given() -> None:
    examples("ner", "en", "dev")[0]["tokens"].clear()
    assert examples("ner", "en", "dev")[0]["tokens"]
    examples("tydiqa", "en", "dev")[0]["answers"]["text"].clear()
    assert examples("tydiqa", "en", "dev")[0]["answers"]["text"]


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (("udpos", "en", "train"), "ner, pos"),
        (("ner", "xx", "train"), "en, ar"),
        (("ner", "en", "valid"), "train, dev, test"),
    ],
)
def test_an_unknown_argument_is_answered_with_what_is_allowed(arguments: tuple[str, str, str], allowed: str) -> None:
    with pytest.raises(ValueError, match=allowed):
        examples(*arguments)


def test_a_missing_form_is_named() -> None:
    lexicon = lexicons.load("fi")
    derivation = of_frames("fi", "visited")[0]
    filler = derivation.meaning.fillers["place"]
    entry = filler.parts["it"]
    poorer = replace(entry, cells={column: cell for column, cell in entry.cells.items() if column != "ine"})
    meaning = replace(
        derivation.meaning, fillers={**derivation.meaning.fillers, "place": replace(filler, parts={"it": poorer})}
    )
    with pytest.raises(LexiconError, match=r"lexicon fi: \[city\] \w+ has no 'ine'"):
        derive(lexicon, meaning, 0)


def test_a_pattern_that_names_an_unknown_role_is_refused() -> None:
    lexicon = replace(lexicons.load("en"), clauses={"was": ("$patient was/AUX $size ./PUNCT",)})
    with pytest.raises(LexiconError, match="'size' is neither a role"):
        derive(lexicon, of_frames("en", "was")[0].meaning, 0)


def test_an_adjunct_can_be_left_out() -> None:
    lexicon = lexicons.load("de")
    derivation = next(item for item in of_frames("de", "opened") if "time" in item.meaning.fillers)
    fillers = {role: filler for role, filler in derivation.meaning.fillers.items() if role != "time"}
    shorter = derive(lexicon, replace(derivation.meaning, fillers=fillers), 1)
    assert 0 < len(shorter.terminals) < len(derivation.terminals)


@pytest.mark.service
def test_importing_the_package_is_light() -> None:
    code = "import sys, trainers.data.sample; sys.exit(bool({'torch', 'transformers', 'numpy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_the_first_english_sentence_of_dev_is() -> None:
    tokens = ["Elena", "Moreno", "was", "born", "in", "Fukuoka", "."]
    assert examples("ner", "en", "dev")[0] == {
        "tokens": tokens,
        "tags": ["B-PER", "I-PER", "O", "O", "O", "B-LOC", "O"],
    }
    assert examples("pos", "en", "dev")[0] == {
        "tokens": tokens,
        "tags": ["PROPN", "PROPN", "AUX", "VERB", "ADP", "PROPN", "PUNCT"],
    }


def test_a_german_sentence_with_its_parts_of_speech() -> None:
    assert examples("pos", "de", "dev")[3] == {
        "tokens": ["Seit", "1976", "arbeitet", "Helene", "Wolf", "für", "die", "Universität", "Nairobi", "."],
        "tags": ["ADP", "NUM", "VERB", "PROPN", "PROPN", "ADP", "DET", "NOUN", "PROPN", "PUNCT"],
    }


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("split", SPLITS)
def test_parts_of_speech_are_universal_tags_of_the_same_tokens_as_for_names(language: str, split: str) -> None:
    tagged = examples("pos", language, split)
    assert [sentence["tokens"] for sentence in tagged] == [s["tokens"] for s in examples("ner", language, split)]
    found = {tag for sentence in tagged for tag in sentence["tags"]}
    assert {"ADJ", "ADP", "ADV", "NOUN", "NUM", "PROPN", "PUNCT", "VERB"} <= found <= UPOS
    assert all(len(sentence["tokens"]) == len(sentence["tags"]) for sentence in tagged)


def test_spacing_joins_tokens_and_says_where_each_starts() -> None:
    english = Spacing(" ", frozenset(",.»"), frozenset("«"))
    assert english.join(["A", ",", "b", "«", "c", "d", "»", "."]) == ("A, b «c d».", [0, 1, 3, 5, 6, 8, 9, 10])
    assert Spacing("", frozenset(), frozenset()).join(["他", "来", "。"]) == ("他来。", [0, 1, 2])
    assert english.join([]) == ("", [])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_holds_its_tokens_in_order_with_spaces_where_the_language_has_them(language: str) -> None:
    spacing = lexicons.load(language).spacing
    for derivation in all_derivations(language):
        text, starts = spacing.join(derivation.forms)
        assert all(text.startswith(form, start) for form, start in zip(derivation.forms, starts, strict=True))
        assert all(start < after for start, after in pairwise(starts))
        assert text.replace(" ", "") == "".join(derivation.forms)
        assert (" " in text) == (language not in {"zh", "ja"})
        assert not re.search(r" [,.?»।؟。，]|« |  ", text), text


def test_russian_quotation_marks_hug_the_name_and_a_dash_stands_free() -> None:
    texts = " ".join(example["context"] for example in examples("tydiqa", "ru", "test"))
    assert "«Кеннеди Моторс»" in texts
    assert re.search(r"\w — \w", texts)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("split", SPLITS)
def test_an_answer_stands_where_it_is_said_to_and_is_the_phrase_of_its_role(language: str, split: str) -> None:
    spacing = lexicons.load(language).spacing
    found = examples("tydiqa", language, split)
    assert len({example["id"] for example in found}) == len(found)
    for example, question in zip(found, questions(language, split), strict=True):
        assert example.keys() == {"id", "context", "question", "answers"}
        assert example["answers"].keys() == {"text", "answer_start"}
        (text,), (start,) = example["answers"]["text"], example["answers"]["answer_start"]
        assert example["context"][start : start + len(text)] == text
        (phrase,) = phrases(question.target, question.role)
        assert text == spacing.join([word.form for word in phrase.terminals])[0]
        sentence = spacing.join(question.target.forms)[0]
        assert example["context"].count(sentence) == 1
        assert 0 <= start - example["context"].index(sentence) < len(sentence)
        assert example["question"][-1] in "?？؟。"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("split", SPLITS)
def test_only_one_sentence_of_a_text_mentions_what_its_question_mentions(language: str, split: str) -> None:
    alike = 0
    for question in questions(language, split):
        meaning = question.target.meaning
        assert question.asked.roles
        assert question.role not in question.asked.roles
        mentioned = {word for role in question.asked.roles for word in meaning.fillers[role].words}
        others = [sentence for sentence in question.text if sentence is not question.target]
        assert len(others) == len(question.text) - 1
        assert not any(mentioned & sentence.meaning.words for sentence in others)
        alike += any(sentence.meaning.frame == meaning.frame for sentence in others)
    assert alike > 0.9 * len(questions(language, split))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("split", SPLITS)
def test_texts_are_short_but_for_a_few_and_all_kinds_of_question_are_asked(language: str, split: str) -> None:
    asked = questions(language, split)
    lengths = [len(question.text) for question in asked]
    assert set(lengths) == {3, 4, 5, 6, 45}
    assert lengths.count(45) == len(asked) // 17
    kinds = Counter((question.target.meaning.frame, question.role) for question in asked)
    assert kinds.keys() == set(ASKED)
    assert max(kinds.values()) <= 2 * len(asked) / len(kinds)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_of_a_text_or_a_pair_is_in_two_splits_and_no_example_repeats(language: str) -> None:
    texts = [{s.forms for question in questions(language, split) for s in question.text} for split in SPLITS]
    paired = [{forms for pair in inferences(language, split) for forms in pair.forms} for split in SPLITS]
    for splits in (texts, paired):
        assert all(one.isdisjoint(other) for one, other in combinations(splits, 2))
    for split in SPLITS:
        assert len({pair.forms for pair in inferences(language, split)}) == len(inferences(language, split))
        assert len({(q.target.forms, q.role) for q in questions(language, split)}) == len(questions(language, split))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_third_of_the_names_is_held_out_of_the_texts_and_pairs_of_train(language: str) -> None:
    said = [sentence for question in questions(language, "train") for sentence in question.text]
    said += [sentence for pair in inferences(language, "train") for sentence in (pair.first, pair.second)]
    trained = {word for sentence in said for word in sentence.meaning.words}
    for section in lexicons.load(language).sections.values():
        assert trained.isdisjoint([entry.place for entry in section.entries.values()][2::3] if section.entity else [])


QUESTIONS = {
    "en": ("For which company does Kenji Miller work?", "for Blue Wave Foods"),
    "de": ("Was hat die Frau gekauft?", "einen teuren Stuhl"),
    "fi": ("Missä Antti syntyi?", "Salossa"),
    "tr": ("Oslo Kâğıt Darüsselam'da ne açtı?", "yeni bir depo"),
    "sw": ("Asha Achieng alisoma nini katika Chuo Kikuu cha Madrid?", "sheria"),
    "ru": ("Что Мария изучала во Владимирском университете?", "физику"),
    "ar": ("ماذا افتتحت شركة إخوان حداد في روما؟", "متجرا جديدا"),
    "hi": ("ब्रिटेन का सबसे बड़ा शहर कौन सा है?", "लंदन"),
    "zh": ("叶莲娜是哪一年出生的？", "1978年"),
    "ja": ("鈴木誠さんはどこで生まれましたか。", "ダルエスサラームで"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_questions_as_a_speaker_would_ask_and_answer_them(language: str) -> None:
    asked = [(example["question"], example["answers"]["text"][0]) for example in examples("tydiqa", language, "test")]
    assert QUESTIONS[language] in asked


def test_a_question_agrees_with_whom_it_asks_about() -> None:
    for language, frame, role in (("ru", "born", "place"), ("ar", "travelled", "goal"), ("hi", "lives", "place")):
        endings = {"ru": {"m": "лся", "f": "лась"}, "ar": {"m": "ر", "f": "ت"}, "hi": {"m": "ते", "f": "ती"}}[language]
        for derivation in of_frames(language, frame):
            question = ask(lexicons.load(language), derivation.meaning, role)
            assert first_of(question, "VERB").endswith(endings[derivation.meaning.fillers["agent"].feature("gender")])


def test_a_lexicon_without_a_question_says_which() -> None:
    lexicon = lexicons.load("sw")
    poorer = replace(lexicon, questions={**lexicon.questions, "born": {"time": "$agent ?/PUNCT"}})
    with pytest.raises(LexiconError, match=r"lexicon sw: \[questions\] has no 'born.place'"):
        ask(poorer, of_frames("sw", "born")[0].meaning, "place")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("[spacing]", r"there is no table \[spacing\]"),
        ("between =", r"\[spacing\] has no 'between'"),
        ("[questions]", r"there is no table \[questions\]"),
    ],
)
def test_a_lexicon_file_without_a_table_says_which(
    missing: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (lexicons._FOLDER / "en.toml").read_text(encoding="utf-8")
    changed = whole.replace(missing, re.sub(r"\w+", "unread", missing))
    assert changed != whole
    (tmp_path / "en.toml").write_text(changed, encoding="utf-8")
    monkeypatch.setattr(lexicons, "_FOLDER", tmp_path)
    with pytest.raises(LexiconError, match=message):
        lexicons.load("en")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("split", SPLITS)
def test_pairs_are_well_formed_and_labels_balanced(language: str, split: str) -> None:
    found = examples("xnli", language, split)
    assert len({example["id"] for example in found}) == len(found)
    assert all(example.keys() == {"id", "premise", "hypothesis", "label"} for example in found)
    assert all(example["premise"] != example["hypothesis"] for example in found)
    assert Counter(example["label"] for example in found) == dict.fromkeys(LABELS, len(found) // 3)


def labelled(worlds: Iterable[T], premise: Callable[[T], bool], hypothesis: Callable[[T], bool]) -> str:
    """The label by definition: what the hypothesis is in every world where the premise is true."""
    found = {hypothesis(world) for world in worlds if premise(world)}
    return {(True,): "entailment", (False,): "contradiction", (False, True): "neutral"}[tuple(sorted(found))]


def subsets(items: Iterable[T]) -> list[frozenset[T]]:
    options = list(items)
    return [frozenset(some) for size in range(len(options) + 1) for some in combinations(options, size)]


def birth(meaning: Meaning) -> Callable[[tuple[str, ...]], bool]:
    """Whether it is true of whoever was born at a place and a time."""
    said = {role: filler.words for role, filler in meaning.fillers.items() if role != "agent"}
    return lambda world: all({fact} == said.get(role, {fact}) for role, fact in zip(BIRTH, world, strict=True))


def purchase(meaning: Meaning) -> Callable[[frozenset[frozenset[str]]], bool]:
    """Whether it is true where each of these purchases was made, under so many of the circumstances in question."""
    said = meaning.fillers.keys() & FRAMES[meaning.frame].adjuncts.keys()
    return lambda world: any(said <= made for made in world) == (meaning.frame == "bought")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_label_is_what_the_meanings_say_in_all_conceivable_worlds(language: str) -> None:
    purchases = subsets(subsets(FRAMES["bought"].adjuncts))
    for pair in chain.from_iterable(inferences(language, split) for split in SPLITS):
        premise, hypothesis = pair.first.meaning, pair.second.meaning
        shared = premise.fillers.keys() & hypothesis.fillers.keys()
        different = {role for role in shared if premise.fillers[role] != hypothesis.fillers[role]}
        if premise.frame == "born":
            assert different <= {"place"}
            words = premise.words | hypothesis.words | {"elsewhere"}
            assert pair.label == labelled(product(words, repeat=len(BIRTH)), birth(premise), birth(hypothesis))
        else:
            assert not different
            assert pair.label == labelled(purchases, purchase(premise), purchase(hypothesis))


def test_a_hypothesis_does_not_show_whether_it_is_entailed_or_contradicted() -> None:
    shapes: dict[str, Counter[tuple[str, ...]]] = {label: Counter() for label in LABELS}
    for pair in inferences("en", "train"):
        shapes[pair.label][pair.second.meaning.frame, *sorted(pair.second.meaning.fillers)] += 1
    assert shapes["entailment"].keys() == shapes["contradiction"].keys()
    assert {shape for shape in shapes["neutral"] if shape[0] != "born"} == {
        shape for shape in shapes["entailment"] if shape[0] != "born"
    }
    assert max(abs(count - shapes["contradiction"][shape]) for shape, count in shapes["entailment"].items()) < 12


PAIRS = [
    (
        "en",
        "The farmer did not buy an old bag.",
        "The farmer did not buy an old bag for the children.",
        "entailment",
    ),
    ("en", "In 1982, Nina was born in Victoria.", "Nina was born in Helsinki.", "contradiction"),
    ("de", "Hassan wurde in Toronto geboren.", "2003 wurde Hassan in Toronto geboren.", "neutral"),
    ("tr", "Öğrenci şehirden ucuz bir sandalye almadı.", "Öğrenci şehirden ucuz bir sandalye aldı.", "contradiction"),
    ("ja", "アンナさんはロンドンで生まれました。", "1981年に、アンナさんはロンドンで生まれました。", "neutral"),
]


@pytest.mark.parametrize(("language", "premise", "hypothesis", "label"), PAIRS)
def test_pairs_as_a_reader_would_label_them(language: str, premise: str, hypothesis: str, label: str) -> None:
    found = [(e["premise"], e["hypothesis"], e["label"]) for e in examples("xnli", language, "dev")]
    assert (premise, hypothesis, label) in found


def test_swahili_verbs_and_adjectives_take_the_class_of_their_noun() -> None:
    verb = {"3": "u", "5": "li", "7": "ki", "9": "i", "11": "u"}
    red = {"3": "mw", "5": "je", "7": "che", "9": "nye"}
    for derivation in of_frames("sw", "was"):
        noun_class = derivation.meaning.fillers["patient"].feature("class")
        assert first_of(derivation, "AUX") == verb[noun_class] + "likuwa"
        if forms(derivation)[1].endswith(("kundu", "usi", "upe")):
            assert forms(derivation)[1].startswith(red[noun_class])
    for derivation in of_frames("sw", "hired", "opened"):
        prefix = verb[derivation.meaning.fillers["agent"].feature("class")]
        verbs = {word.form for word in derivation.terminals if word.upos == "VERB"}
        assert verbs & {prefix + "limwajiri", prefix + "lifungua"}, forms(derivation)


def test_russian_past_tense_agrees_with_its_subject() -> None:
    endings = {"m": ("л", "лся"), "f": ("ла", "лась"), "n": ("ло", "лось")}
    for derivation in of_frames("ru", "born", "visited", "hired", "opened", "bought", "sold", "met", "went"):
        verb = first_of(derivation, "VERB")
        assert verb.endswith(endings[derivation.meaning.fillers["agent"].feature("gender")]), forms(derivation)
    for derivation in of_frames("ru", "was"):
        adjective, noun, verb = forms(derivation)[:3]
        kind = "f" if noun.endswith("а") else "n" if noun.endswith("о") else "m"
        assert verb == {"m": "был", "f": "была", "n": "было"}[kind]
        assert adjective.endswith({"m": ("ый", "ой"), "f": "ая", "n": "ое"}[kind])


def test_hindi_perfective_agrees_with_its_object_and_habitual_with_its_subject() -> None:
    for derivation in of_frames("hi", "bought", "did_not_buy", "wrote", "opened"):
        feminine = derivation.meaning.fillers["patient"].feature("gender") == "f"
        assert "ने" in forms(derivation)
        assert first_of(derivation, "VERB").endswith("ी" if feminine else "ा"), forms(derivation)
    for derivation in of_frames("hi", "lives", "works"):
        feminine = derivation.meaning.fillers["agent"].feature("gender") == "f"
        assert first_of(derivation, "VERB").endswith("ती" if feminine else "ते"), forms(derivation)


def test_arabic_verbs_agree_with_their_subject_and_numerals_with_the_other_gender() -> None:
    for derivation in of_frames("ar", "born", "visited", "bought", "sold", "met", "studied"):
        feminine = derivation.meaning.fillers["agent"].feature("gender") == "f"
        assert first_of(derivation, "VERB").endswith("ت") == feminine, forms(derivation)
    for derivation in of_frames("ar", "sold"):
        feminine = derivation.meaning.fillers["patient"].feature("gender") == "f"
        assert first_of(derivation, "NUM").endswith("ة") != feminine


def test_german_articles_and_adjectives_agree_in_the_accusative() -> None:
    endings = {"m": ("en", "en"), "f": ("e", "e"), "n": ("", "es")}
    for derivation in of_frames("de", "bought", "did_not_buy", "opened", "wrote"):
        article, adjective, _ = [word.form for word in next(phrases(derivation, "patient")).terminals]
        of_article, of_adjective = endings[derivation.meaning.fillers["patient"].feature("gender")]
        assert article in {"ein" + of_article, "kein" + of_article}
        assert adjective.endswith(of_adjective)


def test_german_finite_verbs_stand_second_and_participles_last() -> None:
    for derivation in of_frames("de", "visited", "opened", "hired", "met", "bought", "sold", "travelled"):
        verb = forms(derivation).index("hat" if "hat" in forms(derivation) else "ist")
        assert len([node for node in derivation.children if isinstance(node, Constituent)]) > 1
        assert isinstance(derivation.children[1], Terminal)
        assert derivation.children[1].form == forms(derivation)[verb]
        assert derivation.terminals[-2].upos == "VERB"


def test_finnish_numerals_and_negation_take_the_partitive() -> None:
    for derivation in of_frames("fi", "sold", "did_not_buy"):
        assert all(
            word.form.endswith(("a", "ä", "tta", "ttä"))
            for word in next(phrases(derivation, "patient")).terminals
            if word.upos in {"ADJ", "NOUN"}
        )


def test_turkish_suffixes_follow_vowel_harmony() -> None:
    for derivation in all_derivations("tr"):
        for form in forms(derivation):
            stem, mark, suffix = form.partition("'")
            vowels = [letter for letter in stem.lower().replace("i̇", "i") if letter in "aeıioöuü"]
            if mark and suffix in {"da", "de", "ta", "te", "dan", "den", "tan", "ten"} and stem != "Town":
                assert (suffix[1] == "a") == (vowels[-1] in "aıou") or stem == "Stockholm", form


def test_chinese_classifiers_and_japanese_counters_belong_to_their_noun() -> None:
    for language, column in (("zh", "classifier"), ("ja", "counter")):
        for derivation in of_frames(language, "sold"):
            assert derivation.meaning.fillers["patient"].feature(column) in forms(derivation)
