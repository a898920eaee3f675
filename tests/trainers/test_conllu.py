"""CoNLL-U: one word per written word, tagged by the word nearest to the root; malformed lines are named."""

import time

import pytest

from trainers.data.conllu import examples
from trainers.examples import DataError
from trainers.tasks.tagging import MAX_WORDS


def line(id_: str, form: str, upos: str = "_", head: str = "_") -> str:
    return f"{id_}\t{form}\t_\t{upos}\t_\t_\t{head}\t_\t_\t_"


def words(*lines: str, language: str = "de") -> list[tuple[str, str]]:
    [(_, example)] = examples(lines, language)
    return list(zip(example["tokens"], example["tags"], strict=True))


ZUM = [
    "# text = zum Haus",
    line("1-2", "zum"),
    line("1", "zu", "ADP", "3"),
    line("2", "dem", "DET", "3"),
    line("3", "Haus", "NOUN", "0"),
]


def test_a_multiword_token_is_one_word_as_it_is_written() -> None:
    assert words(*ZUM) == [("zum", "ADP"), ("Haus", "NOUN")]


def test_its_tag_is_that_of_the_word_nearest_to_the_root() -> None:
    swapped = [*ZUM[:2], line("1", "zu", "ADP", "2"), line("2", "dem", "DET", "3"), ZUM[-1]]
    assert words(*swapped)[0] == ("zum", "DET")
    below = [line("1-3", "abc"), line("1", "a", "VERB", "2"), line("2", "b", "PUNCT", "0"), line("3", "c", "NOUN", "2")]
    assert words(*below) == [("abc", "PUNCT")]


@pytest.mark.parametrize(
    ("language", "tags", "wanted"),
    [
        ("de", "ADP PRON", "PRON"), ("it", "PRON ADV", "ADV"), ("de", "PRON ADV", "PRON"), ("es", "ADP PRON", "PRON"),
        ("es", "PRON AUX", "AUX"), ("fr", "DET AUX", "AUX"), ("fr", "NOUN PRON", "PRON"), ("de", "NOUN PRON", "NOUN"),
        ("es", "NOUN DET", "DET"), ("de", "SYM X", "X"), ("it", "NUM NOUN", "NUM"), ("de", "PROPN VERB", "VERB"),
    ],
)  # fmt: skip
def test_of_words_equally_near_the_language_s_order_decides(language: str, tags: str, wanted: str) -> None:
    first, second = tags.split()
    parts = [line("1-2", "ab"), line("1", "a", first, "3"), line("2", "b", second, "3"), line("3", "c", "VERB", "0")]
    assert words(*parts, language=language)[0] == ("ab", wanted)


def test_of_words_with_the_same_rank_the_first_counts_so_that_the_tag_is_certain() -> None:
    parts = [line("1-2", "ab"), line("1", "a", "SYM", "0"), line("2", "b", "INTJ", "0")]
    assert words(*parts, language="es") == [("ab", "SYM")]


def test_empty_nodes_are_left_out() -> None:
    assert words(
        line("0.1", "E0"), line("1", "Ana", "PROPN", "0"), line("1.1", "E1", "VERB"), line("2", "geht", "VERB", "1")
    ) == [("Ana", "PROPN"), ("geht", "VERB")]


@pytest.mark.parametrize(
    ("forms", "kept"),
    [("_ _ _", False), ("a _ _", False), ("_ b", False), ("_", False), ("a b _", True), ("a", True), ("a b", True)],
)
def test_sentences_whose_text_may_not_be_distributed_are_left_out(forms: str, kept: bool) -> None:
    lines = [line(str(place), form, "X", "0") for place, form in enumerate(forms.split(), start=1)]
    assert bool(list(examples(lines, "fr"))) is kept


def test_a_blanked_sentence_is_told_by_its_words_as_they_are_written() -> None:
    parts = [line("1-2", "du"), line("1", "_", "ADP", "3"), line("2", "_", "DET", "3"), line("3", "pain", "NOUN", "0")]
    assert words(*parts, language="fr") == [("du", "ADP"), ("pain", "NOUN")]


@pytest.mark.parametrize(
    ("form", "written"),
    [("10 000", "10000"), ("می\u200cرود", "میرود"), ("a  b", "ab"), ("a\u00a0b", "a\u00a0b"), ("#", "#")],
)
def test_blanks_and_zero_width_non_joiners_inside_words_are_removed(form: str, written: str) -> None:
    assert words(line("1", form, "NUM", "0")) == [(written, "NUM")]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_sentence_is_at_the_line_of_its_first_token(end: str) -> None:
    lines = ["", *ZUM, "", " ", *ZUM[1:]]
    assert [number for number, _ in examples([line + end for line in lines], "de")] == [3, 9]


MALFORMED = {
    "two columns": ("Ana\tPROPN", "line 3: 2 columns; allowed: the 10 of CoNLL-U"),
    "blanks for tabs": (line("2", "geht").replace("\t", "  "), "line 3: 1 columns"),
    "no ID": (line("_", "geht"), "line 3: the token has no ID"),
    "another ID": (line("zwei", "geht"), "line 3: .*'zwei' is not a valid ID"),
    "a reversed span": (line("3-2", "geht"), "line 3: .*'3-2' is not a valid ID"),
    "a head that is none": (line("2", "geht", "VERB", "Ana"), "line 3: .*head.*'Ana'"),
    "an ID of thousands of digits": (line("9" * 5000, "geht"), "line 3: .* Allowed: an ID as 3, 3-4 or 3.1"),
    "a head of thousands of digits": (line("2", "geht", "VERB", "9" * 5000), "line 3: .* a head as 3, or _"),
    "a gap": (line("3", "geht"), "line 3: the token's ID begins with 3; allowed here: 2"),
    "no blank line": (line("1", "geht"), "line 3: the token's ID begins with 1; allowed here: 2"),
    "a span after its words": (line("1-2", "geht"), "line 3: the token's ID begins with 1; allowed here: 2"),
    "a span without words": (line("2-3", "geht"), "line 3: the sentence lacks words of the token 2-3"),
    "half a span": ("\n".join([line("2-3", "ab"), line("2", "a")]), "line 3: the sentence lacks words"),
    "a span within a span": ("\n".join([line("2-3", "ab"), line("2-3", "ab")]), "line 4: the token's ID begins with 2"),
    "spans that overlap": (
        "\n".join([line("2-3", "ab"), line("2", "a", "X", "0"), line("3-4", "bc"), line("3", "b", "X", "2")]),
        "line 5: the token 3-4 overlaps the one before",
    ),
    "heads in a circle": (
        "\n".join([line("2-3", "ab"), line("2", "a", "X", "3"), line("3", "b", "X", "2")]),
        "line 4: no path leads from the word 2 to the root",
    ),
    "a head that is not there": (
        "\n".join([line("2-3", "ab"), line("2", "a", "X", "0"), line("3", "b", "X", "9")]),
        "line 5: no path leads from the word 3 to the root",
    ),
}


@pytest.mark.parametrize(("bad", "message"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_named_by_its_line(bad: str, message: str) -> None:
    lines = ["# text = Ana geht", line("1", "Ana", "PROPN", "0"), *bad.split("\n")]
    with pytest.raises(DataError, match=f"^{message}"):
        list(examples(lines, "de"))


def test_a_long_word_of_words_below_each_other_takes_no_longer_than_its_lines() -> None:
    """Each word was followed to the root: 100,000 took over ten minutes."""
    count = 2 * MAX_WORDS - 1
    parts = [line(str(place), "a", "X", str((place + 1) % (count + 1))) for place in range(1, count + 1)]
    begin = time.process_time()
    assert words(line(f"1-{count}", "aa"), *parts) == [("aa", "X")]
    assert time.process_time() - begin < 5
    with pytest.raises(DataError, match=r"goes on after 20,000 tokens, which are allowed"):
        words(*parts, line(str(count + 1), "a", "X", "0"), line(str(count + 2), "a", "X", "0"))
