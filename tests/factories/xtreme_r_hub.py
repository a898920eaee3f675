"""XTREME-R where it is published, tiny: the real repositories, configurations, columns, classes and file names, with
sentences of the sample corpus.

A language that the corpus lacks has sentences of another; the last word of each sentence tells whose it is: the code of
the language, and in treebanks the name of the file up to its split, such as `el_gdt`.
"""

import io
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.info import DatasetInfosDict
from datasets.splits import SplitDict, SplitInfo
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData

from hub_server import Repository
from trainers.data import sample
from trainers.languages import LANGUAGES
from trainers.sample_corpus.corpus import derivations
from trainers.sample_corpus.grammar import Terminal

SIZES = {"train": 36, "validation": 9, "test": 9}
"""Examples of a split, by the hub's names; K = 10 of three classes takes 30."""

SENTENCES = {"train": 15, "dev": 6, "test": 6}
"""Sentences of a file of a treebank."""

NER = (
    "af", "ar", "az", "bg", "bn", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "gu", "he", "hi", "hu", "id",
    "it", "ja", "jv", "ka", "kk", "ko", "lt", "ml", "mr", "ms", "my", "nl", "pa", "pl", "pt", "qu", "ro", "ru", "sw",
    "ta", "te", "th", "tl", "tr", "uk", "ur", "vi", "yo", "zh",
)  # fmt: skip
TYDIQA = {
    "ar": "arabic", "bn": "bengali", "en": "english", "fi": "finnish", "id": "indonesian", "ko": "korean",
    "ru": "russian", "sw": "swahili", "te": "telugu",
}  # fmt: skip
XNLI = ["ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"]
PAWSX = ["de", "en", "es", "fr", "ja", "ko", "zh"]

# Treebanks by version of Universal Dependencies: those of 2.7 as the script `universal_dependencies` in huggingface's
# `datasets` lists them, those of 2.5 the same without what came later; they are those of the releases' tags, see
# `trainers.data.treebanks`. Ancient Greek and the like are there to be left out: the name of another language is part
# of theirs.
TREEBANKS = {
    "2.5": """
        Afrikaans af AfriBooms | Arabic ar NYUAD PADT PUD | Bulgarian bg BTB | German de GSD HDT LIT PUD | Greek el GDT
        English en ESL EWT GUM LinES ParTUT Pronouns PUD | Spanish es AnCora GSD PUD | Estonian et EDT EWT
        Basque eu BDT | Persian fa Seraji | Finnish fi FTB PUD TDT | French fr FQB FTB GSD PUD ParTUT Sequoia Rhapsodie
        Hebrew he HTB | Hindi hi HDTB PUD | Hungarian hu Szeged | Indonesian id GSD PUD
        Italian it ISDT PUD ParTUT PoSTWITA TWITTIRO VIT | Japanese ja BCCWJ GSD Modern PUD | Kazakh kk KTB
        Korean ko GSD Kaist PUD | Marathi mr UFAL | Dutch nl Alpino LassySmall | Portuguese pt Bosque GSD PUD
        Russian ru GSD PUD SynTagRus Taiga | Tamil ta TTB | Telugu te MTG | Thai th PUD | Tagalog tl TRG
        Turkish tr GB IMST PUD | Urdu ur UDTB | Vietnamese vi VTB | Yoruba yo YTB | Chinese zh CFL GSD GSDSimp HK PUD
        Ancient_Greek grc Perseus | Classical_Chinese lzh Kyoto | Old_Russian orv TOROT | Old_French fro SRCMF
        Swiss_German gsw UZH
    """,
    "2.7": """
        Lithuanian lt ALKSNIS HSE | Polish pl LFG PDB PUD | Ukrainian uk IU | Wolof wo WTB
        Romanian ro Nonstandard RRT SiMoNERo
    """,
}
TEST_ONLY = {"CFL", "FQB", "GB", "HK", "LIT", "Modern", "PUD", "Pronouns", "TRG", "UZH", "YTB"}
WITHOUT_DEV = {"kk_ktb", "et_ewt"}
WITHOUT_TEXT = {"ar_nyuad", "en_esl", "fr_ftb", "ja_bccwj"}
FORMERLY = {"Rhapsodie": "spoken"}
"""Treebanks whose files have another name than the repository has now."""
IN_PARTS = {"de_hdt": ("train-a-1", "train-a-2", "train-b-1", "train-b-2")}

BASES = {"Arab": "ar", "Cyrl": "ru", "Deva": "hi", "Jpan": "ja", "Hans": "zh"}

TEXT = datasets.Value("string")
TEXTS = datasets.List(TEXT)
TAGS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]

Rows = list[dict[str, Any]]


def repositories(*names: str) -> dict[str, Repository]:
    """The repositories with XTREME-R's ner, tydiqa and xnli, and with pawsx, as `Hub` takes them; or some of them."""
    return {f"datasets/{name}": _made(name) for name in names or _MADE}


@cache
def _made(name: str) -> Repository:
    return _MADE[name]()


def _repository(features: datasets.Features, configurations: Mapping[str, Mapping[str, Rows]]) -> Repository:
    """As the hub's own conversion of a script writes it: a folder a configuration, a card that describes them."""
    files: dict[str, bytes] = {}
    infos, places = DatasetInfosDict(), MetadataConfigs()
    for name, splits in configurations.items():
        sizes = SplitDict()
        for split, rows in splits.items():
            table, file = pa.Table.from_pylist(rows, schema=features.arrow_schema), io.BytesIO()
            pq.write_table(table, file)
            files[f"{name}/{split}-00000-of-00001.parquet"] = file.getvalue()
            sizes[split] = SplitInfo(split, num_bytes=table.nbytes, num_examples=len(table))
        infos[name] = datasets.DatasetInfo(features=features, splits=sizes)
        places[name] = {"data_files": [{"split": split, "path": f"{name}/{split}-*"} for split in splits]}
    card = DatasetCardData()
    infos.to_dataset_card_data(card)
    places.to_dataset_card_data(card)
    return Repository({"README.md": f"---\n{card}\n---\n", **files})


# What the corpus gives


def _base(language: str) -> str:
    """The language of the sample corpus whose sentences stand for those of another."""
    code = {"lzh": "zh", "orv": "ru"}.get(language, language)
    if code in sample.LANGUAGES:
        return code
    return BASES.get(LANGUAGES[code].script, "en") if code in LANGUAGES else "en"


def _examples(task: str, language: str) -> Iterator[tuple[str, Rows]]:
    for split, size in SIZES.items():
        yield split, _sampled(task, _base(language), "dev" if split == "validation" else split)[:size]


@cache
def _sampled(task: str, base: str, split: str) -> Rows:
    return sample.examples(task, base, split)


# ner

WIKIANN = datasets.Features(
    {"tokens": TEXTS, "ner_tags": datasets.List(datasets.ClassLabel(names=TAGS)), "langs": TEXTS, "spans": TEXTS}
)


def _wikiann(language: str) -> dict[str, Rows]:
    return {split: [_tagged(row, language) for row in rows] for split, rows in _examples("ner", language)}


def _tagged(row: Mapping[str, Any], language: str) -> dict[str, Any]:
    tokens, tags = [*row["tokens"], language], [*row["tags"], "O"]
    spans: list[list[str]] = []
    for token, tag in zip(tokens, tags, strict=True):
        if tag.startswith("B-"):
            spans.append([f"{tag[2:]}:"])
        if tag != "O":
            spans[-1].append(token)
    return {
        "tokens": tokens, "ner_tags": [TAGS.index(tag) for tag in tags], "langs": [language] * len(tokens),
        "spans": [" ".join(span) for span in spans],
    }  # fmt: skip


# tydiqa

QUESTIONS = datasets.Features(
    {
        **dict.fromkeys(("id", "title", "context", "question"), TEXT),
        "answers": {"answer_start": datasets.List(datasets.Value("int32")), "text": TEXTS},
    }
)


def _tydiqa() -> dict[str, Rows]:
    """Of all languages, one question of each in turn; there is no test set."""
    asked = {code: dict(_examples("tydiqa", code)) for code in TYDIQA}
    return {
        split: [
            _question(asked[code][split][number], code, split, number)
            for number in range(SIZES[split])
            for code in TYDIQA
        ]
        for split in ("train", "validation")
    }


def _question(row: Mapping[str, Any], language: str, split: str, number: int) -> dict[str, Any]:
    id_ = f"{TYDIQA[language]}-{10**18 + 1000 * list(SIZES).index(split) + number}-0"
    return {**row, "id": id_, "title": language, "context": f"{row['context']} {language}"}


# Pairs

CLASSES = ["entailment", "neutral", "contradiction"]
PAIRS = datasets.Features({"premise": TEXT, "hypothesis": TEXT, "label": datasets.ClassLabel(names=CLASSES)})
PARAPHRASES = datasets.Features(
    {
        **{"id": datasets.Value("int32"), "sentence1": TEXT, "sentence2": TEXT},
        "label": datasets.ClassLabel(names=["0", "1"]),
    }
)


def _xnli(language: str) -> dict[str, Rows]:
    """A quote within a sentence is no end of a field."""
    return {
        split: [
            {
                "premise": f'{row["premise"]} {language}', "hypothesis": f'"{row["hypothesis"]}"  ',
                "label": CLASSES.index(row["label"]),
            }
            for row in rows
        ]
        for split, rows in _examples("xnli", language)
    }  # fmt: skip


def _pawsx(language: str) -> dict[str, Rows]:
    return {
        split: [
            {
                "id": number, "sentence1": f"{row['sentence1']} {language}", "sentence2": row["sentence2"],
                "label": int(row["label"] == "paraphrase"),
            }
            for number, row in enumerate(rows, 1)
        ]
        for split, rows in _examples("pawsx", language)
    }  # fmt: skip


# pos


@cache
def treebanks() -> Mapping[str, str]:
    """The files of the treebanks by path, as raw.githubusercontent.com has them."""
    files = {}
    for version, listed in TREEBANKS.items():
        for line in itertools.chain(*(part.split("|") for part in listed.splitlines() if part.strip())):
            language, code, *names = line.split()
            for name in names:
                prefix = f"{code}_{FORMERLY.get(name, name.lower())}"
                place = f"UniversalDependencies/UD_{language}-{name}/r{version}/{prefix}-ud"
                files |= {f"{place}-{part}.conllu": _treebank(code, prefix, part) for part in _parts(name, prefix)}
    return files


def _parts(name: str, prefix: str) -> list[str]:
    if name in TEST_ONLY:
        return ["test"]
    return [*IN_PARTS.get(prefix, ["train"]), *([] if prefix in WITHOUT_DEV else ["dev"]), "test"]


def _treebank(code: str, prefix: str, part: str) -> str:
    split = part.split("-")[0]
    drawn = derivations(_base(code), split)[: SENTENCES[split]]
    sentences = [
        _sentence(number, [*one.terminals, Terminal(form=prefix, upos="X", tag="O")], prefix)
        for number, one in enumerate(drawn)
    ]
    return "".join(sentences)


def _sentence(number: int, words: Sequence[Terminal], prefix: str) -> str:
    """The second word is the root, all others depend on it. Every third sentence has the first two words written as
    one, every third an empty node; some forms have a blank or a zero-width non-joiner."""
    has_text = prefix not in WITHOUT_TEXT
    forms = [word.form if has_text else "_" for word in words]
    if prefix == "vi_vtb":
        forms[0] = f"{forms[0]} {forms[0]}"
    if prefix == "fa_seraji":
        forms[0] = f"{forms[0]}\u200c{forms[0]}"
    lines = [f"# sent_id = {prefix}-{number}", f"# text = {' '.join(forms)}"]
    if number % 3 == 0:
        lines.append("\t".join(["1-2", forms[0] + forms[1] if has_text else "_", *["_"] * 8]))
    for place, (form, word) in enumerate(zip(forms, words, strict=True), 1):
        head, relation = ("0", "root") if place == 2 else ("2", "dep")
        lines.append("\t".join([str(place), form, "_", word.upos, "_", "_", head, relation, "_", "_"]))
        if number % 3 == 1 and place == 1:
            lines.append("\t".join(["1.1", "nothing", "_", "VERB", "_", "_", "_", "_", "2:dep", "_"]))
    return "\n".join(lines) + "\n\n"


_MADE: Mapping[str, Callable[[], Repository]] = {
    "unimelb-nlp/wikiann": lambda: _repository(WIKIANN, {code: _wikiann(code) for code in NER}),
    "google/xtreme": lambda: _repository(QUESTIONS, {"tydiqa": _tydiqa()}),
    "facebook/xnli": lambda: _repository(PAIRS, {code: _xnli(code) for code in XNLI}),
    "google-research-datasets/paws-x": lambda: _repository(PARAPHRASES, {code: _pawsx(code) for code in PAWSX}),
}
