"""The sample corpus: its sizes, its labels, that names are held out, and that words agree."""

import hashlib
import json
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from trainers.data.sample import LANGUAGES, SPLITS, TASKS, examples
from trainers.data.sample import lexicon as lexicons
from trainers.data.sample.corpus import derivations
from trainers.data.sample.grammar import Constituent, Derivation, Terminal, derive
from trainers.data.sample.lexicon import UPOS, LexiconError
from trainers.data.sample.meaning import FRAMES

DIGEST = "d0d47aea3f93289288e8cae550837f75e9dbe93107f026b8a1cd5d09904e00ff"
TAGS = {"O", *(f"{place}-{kind}" for place in "BI" for kind in ("PER", "LOC", "ORG"))}


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
    assert TASKS == ("ner",)


@pytest.mark.parametrize("language", LANGUAGES)
def test_sizes(language: str) -> None:
    sizes = [len(examples("ner", language, split)) for split in SPLITS]
    assert sizes == ([800, 120, 200] if language == "en" else [60, 60, 120])


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


def test_the_corpus_is_the_one_that_was_pinned() -> None:
    corpus = {language: {split: examples("ner", language, split) for split in SPLITS} for language in LANGUAGES}
    text = json.dumps(corpus, ensure_ascii=True, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_a_caller_may_change_what_it_was_given() -> None:
    examples("ner", "en", "dev")[0]["tokens"].clear()
    assert examples("ner", "en", "dev")[0]["tokens"]


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [(("pos", "en", "train"), "ner"), (("ner", "xx", "train"), "en, ar"), (("ner", "en", "valid"), "train, dev, test")],
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


def test_importing_the_package_is_light() -> None:
    code = "import sys, trainers.data.sample; sys.exit(bool({'torch', 'transformers', 'numpy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
