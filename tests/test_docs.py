"""The documentation: it builds strictly, tells of everything that is public, and names nothing that is not there."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sphinx.util.inventory import InventoryFile

from generated_tables import command_line
from search_spaces.presets import names as preset_names
from search_spaces.search import SearchSpec
from search_spaces.spaces import Part
from search_spaces.spec import ExperimentSpec, parse
from service.api.description import TAGS
from service.client import Client
from service.reports.compare import paired
from service.reports.intervals import smallest_p
from service.reports.kinds import KINDS
from service.reports.summary import BY, FIGURES
from service.store import RESULT_COLUMNS
from trainers.methods import METHODS
from trainers.protocols import PROTOCOLS
from trainers.sampling import shares
from trainers.tasks import TASKS
from trainers.trial import NUMERICS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "docker/README.md",
         *sorted(ROOT.glob("docs/*.md"))]  # fmt: skip
README_BYTES = 8192

# What users import and what contributors derive from. All that is public in these is on the page "Python API".
PUBLIC = [
    "search_spaces.problems", "service.client", "service.reports.alike", "service.reports.analyses",
    "service.reports.compare", "service.reports.compare_items", "service.reports.drawing", "service.reports.intervals",
    "service.reports.item_tests", "service.reports.kinds", "service.reports.left_out", "service.reports.paper",
    "service.reports.papers_setting", "service.reports.published", "service.reports.report",
    "service.reports.setting", "service.reports.sides", "service.reports.summary", "trainers",
    "trainers.artifacts.place", "trainers.artifacts.places", "trainers.cosines",
    "trainers.data.source", "trainers.data.sources", "trainers.examples", "trainers.export", "trainers.marks",
    "trainers.methods", "trainers.protocols", "trainers.registry", "trainers.sampling", "trainers.selections",
    "trainers.surgery.optimizer", "trainers.surgery.rules", "trainers.tasks.hub", "trainers.tasks.pairs",
    "trainers.tasks.passages", "trainers.tasks.tagging", "trainers.tasks.task", "trainers.trial",
]  # fmt: skip

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
ROOMS = "trainers|search_spaces|service"
PATH = re.compile(rf"(?:{ROOMS}|tests|docs|docker)(?:/[\w.-]+)+/?")
DOTTED = re.compile(rf"((?:{ROOMS})(?:\.\w+)+)(?:\(.*\))?")


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return [text for _, found, text in FENCE.findall(page.read_text()) if found == language]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", page.read_text())


def page(name: str) -> str:
    """The text of a page of the site."""
    return (ROOT / "docs" / f"{name}.md").read_text()


# The site


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of all Python objects that the site documents, which was built with every warning as an error."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-n", "-W", "--keep-going", "-q", str(ROOT / "docs"), str(site)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    assert (site / "search.html").is_file()
    found = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {name for kind, objects in found.data.items() if kind.startswith("py:") for name in objects}


@pytest.mark.service
@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_on_the_page_of_the_python_api(name: str, inventory: set[str]) -> None:
    missing = [one for one in public_names(importlib.import_module(name)) if one not in inventory]
    assert not missing


def public_names(module: ModuleType) -> Iterator[str]:
    """Full names of a module's public classes and functions, and of the classes' public methods and properties."""
    exported = getattr(module, "__all__", None)
    for name, value in vars(module).items():
        is_ours = name in exported if exported is not None else getattr(value, "__module__", "") == module.__name__
        if name.startswith("_") or not is_ours or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        full = f"{value.__module__}.{value.__qualname__}"
        yield full
        if inspect.isclass(value):
            kinds = (property, cached_property, classmethod, staticmethod)
            for member, of_class in vars(value).items():
                if not member.startswith("_") and (inspect.isfunction(of_class) or isinstance(of_class, kinds)):
                    yield f"{full}.{member}"


# What has to be told of


def spec_fields(model: type[Part], prefix: str = "") -> Iterator[str]:
    """The names of all fields of a spec, also of its parts."""
    for name, field in model.model_fields.items():
        yield name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Part):
            yield from spec_fields(field.annotation)


def gauges() -> list[str]:
    """Names of the metrics for Prometheus."""
    return re.findall(r'"(allasprak_\w+)"', (ROOT / "service/api/metrics.py").read_text())


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("spec", spec_fields(ExperimentSpec)),
        ("spec", preset_names()),
        ("results", RESULT_COLUMNS),
        ("results", BY),
        ("results", FIGURES),
        ("results", KINDS),
        ("methods", METHODS),
        ("methods", PROTOCOLS),
        ("spec", TASKS),
        ("operations", gauges()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_page_tells_of_all_that_it_is_for(where: str, what: Any) -> None:
    text = prose(ROOT / "docs" / f"{where}.md")
    names = list(what)
    assert names
    assert not [name for name in names if f"`{name}`" not in text and f"`allasprak {name}`" not in text]


def test_the_page_of_the_rest_interface_has_the_table_of_each_tag() -> None:
    assert re.findall(r"^```\{rest-routes\} (\w+)$", page("rest-api"), re.MULTILINE) == list(TAGS)


def test_operations_tell_of_every_setting(settings_names: set[str]) -> None:
    assert settings_names
    assert not [name for name in settings_names if f"| `{name}` |" not in page("operations")]


def test_the_page_of_the_command_line_tells_of_every_command_and_option() -> None:
    rows = list(command_line())
    commands = [command for command, takes, _ in rows if not takes]
    assert {"`follow`", "`serve`"} <= set(commands)
    assert not [name for name in commands if f"`allasprak {name.strip('`')}" not in page("command-line")]
    assert not [row for row in rows if not row[2]], "what has no words in the parser"
    assert page("command-line").count("```{command-line}") == 1
    assert "allasprak follow" in page("tutorial")
    assert f"; NUMERICS {NUMERICS}\n" in page("tutorial")  # its table is of this version


def test_the_data_page_has_a_line_of_each_task_that_the_task_accepts() -> None:
    lines = dict(re.findall(r"^ *\| (\w+) \| `(\{.*?\})`", page("data"), re.MULTILINE))
    assert set(lines) == set(TASKS)
    assert {name: TASKS[name].problem(json.loads(line)) for name, line in lines.items()} == dict.fromkeys(TASKS)


# What must be true


def test_the_readme_is_short_and_shows_a_result() -> None:
    assert len(README.read_bytes()) <= README_BYTES
    assert "| gradient-mix-train |" in README.read_text()


def test_the_readme_has_its_two_commands_and_continuous_integration_runs_the_second() -> None:
    demo, checks = blocks(README, "sh")
    assert "allasprak demo" in demo
    assert "pytest" in checks
    [extract] = re.findall(r"^awk .*(?= >\.test-command$)", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    found = subprocess.run(["bash", "-c", extract], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == checks


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(file: Path) -> None:
    for target, heading in LINK.findall(prose(file)):
        found = (file.parent / target) if target else file
        assert found.exists(), target
        if heading:
            assert heading in headings(found), f"{target}#{heading}"


def headings(file: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    titles = re.findall(r"^#+ (.*)$", prose(file), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_names_that_a_page_mentions_are_there(file: Path) -> None:
    mentioned = CODE.findall(prose(file))
    for code in mentioned:
        for path in PATH.findall(code):
            assert (ROOT / path).exists(), path
        if name := DOTTED.fullmatch(code):
            assert is_importable(name[1]), name[1]


def is_importable(dotted: str) -> bool:
    """Whether a dotted name is a module, or a thing in one."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("file", [README, ROOT / "docs/design.md"], ids=lambda file: file.name)
def test_the_files_of_an_annotated_tree_are_there(file: Path) -> None:
    [tree] = [text for text in blocks(file, "") if text.startswith("service/")]
    folders: list[tuple[int, str]] = []
    for line in filter(None, tree.splitlines()):
        indent = len(line) - len(line.lstrip())
        folders = [(depth, name) for depth, name in folders if depth < indent]
        names = re.match(r"((?:\w+(?:\.py|/) ?)+)", line.lstrip())
        assert names, line
        for name in names[1].split():
            assert ROOT.joinpath(*(folder for _, folder in folders), name).exists(), line
        folders += [(indent, name) for name in names[1].split()[:1] if name.endswith("/")]


def test_specs_on_pages_are_accepted() -> None:
    found = [json.loads(text) for page in PAGES for text in blocks(page, "json")]
    specs = [body for body in found if "task" in body]
    searches = [body for body in found if "searcher" in body]
    assert len(specs) + len(searches) == len(found) >= 3
    for body in specs:
        assert parse(body)[1] == []
        assert body.keys() <= ExperimentSpec.model_fields.keys()
    for body in searches:
        SearchSpec.model_validate(body)
    assert any(body.keys() == ExperimentSpec.model_fields.keys() for body in specs)


def test_python_on_pages_compiles_and_calls_what_clients_have() -> None:
    found = [text for page in PAGES for text in blocks(page, "python")]
    assert found
    for text in found:
        compile(text, "page", "exec")
        for name in re.findall(r"client\.(\w+)\(", text):
            assert hasattr(Client, name), name


def test_the_numbers_of_the_examples_are_computed() -> None:
    """Scores, gains, tests and shares on "How to read these numbers" are what our code makes of its tables."""
    text = page("reading-numbers").replace("\N{MINUS SIGN}", "-")
    tables = [[[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()[2:]]
              for found in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]  # fmt: skip

    gold = [["B-PER", "I-PER", "B-LOC"], ["B-ORG", "O", "O"], ["O", "O", "B-LOC"], ["O", "O", "O"]]
    predicted = [["B-PER", "I-PER", "B-LOC"], ["O", "O", "O"], ["B-PER", "O", "B-LOC"], ["B-LOC", "O", "O"]]
    fractions = [one["f1"] for one in TASKS["ner"].fractions(gold, predicted)]
    assert [tuple(map(int, row[3:])) for row in tables[0]] == fractions
    assert [int(row[2]) for row in tables[0]] == [above / 2 for above, _ in fractions]
    assert [int(row[0]) + int(row[1]) for row in tables[0]] == [below for _, below in fractions]
    above, below = (sum(part) for part in zip(*fractions, strict=True))
    f1 = TASKS["ner"].metrics(gold, predicted)["f1"]
    said = [f"{above} / {below} = {f1:.1f}", f"would be {100 * np.mean([one / of for one, of in fractions]):.1f}"]

    [scores] = [table for table in tables if table[0][0] == "A, de"]
    sides = {side: pd.DataFrame([{"language": row[0][3:], "seed": seed, "value": float(value)}
                                 for row in scores if row[0].startswith(f"{side},")
                                 for seed, value in enumerate(row[1:6], 1)]) for side in "AB"}  # fmt: skip
    means = {side: rows.groupby("seed")["value"].mean() for side, rows in sides.items()}
    gains = means["A"] - means["B"]
    assert scores[-1][1:] == [*(f"{gain:.2f}" for gain in gains), f"{gains.mean():.2f} ± {gains.std():.2f}"]
    said += [f"{side} {has}{means[side].mean():.2f} ± {means[side].std():.2f}"
             for side, has in (("A", "alone has "), ("B", ""))]  # fmt: skip
    found, narrow = (paired(sides["A"], sides["B"], ("A", "B"), kind) for kind in ("t", "bootstrap"))
    hindi = found.languages.set_index("language").loc["hi"]
    said += [
        f"that is {found.overall['low']:.2f} to {found.overall['high']:.2f}",
        f"would be {narrow.overall['low']:.2f} to {narrow.overall['high']:.2f}",
        f"{found.overall['p']:.3f} above",
        f"it is {found.overall['p_permutation']:.4f}",
        f"p = {hindi['p']:.3f}, and {hindi['p_holm']:.3f} after",
        f"{smallest_p(3):g} with three seeds and {smallest_p(5):g} with five",
    ]
    said += [f"{stats.t.ppf(0.975, n - 1) / n**0.5:.2f} {words}"
             for n, words in ((3, "sd with three"), (5, "with five"), (10, "with ten"))]  # fmt: skip

    windows = [2000, *[5] * 6]
    share, updates = shares(windows, 5)[1], -(-sum(windows) // 32)
    said += [
        f"shots are {100 * 30 / sum(windows):.1f} % of an epoch",
        f"{32 * 30 / sum(windows):.1f} of them",
        f"{100 * share:.1f} % of an epoch, so that a shot comes {share * sum(windows) / 5:.0f} times",
        f"has {updates} updates",
        f"{updates / 6:.1f} operations",
        f"ner's α is {TASKS['ner'].under('paper').surgery_alpha(6):g}",
    ]
    flat = " ".join(text.split())
    assert not [words for words in said if words not in flat]


def test_the_loop_with_surgery_runs_as_it_stands() -> None:
    import torch
    from torch.nn.utils import clip_grad_norm_
    from transformers import BertConfig, BertForSequenceClassification, get_linear_schedule_with_warmup

    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
             "intermediate_size": 8}  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = BertForSequenceClassification(BertConfig(**sizes, num_labels=2))
        before = [parameter.detach().clone() for parameter in model.parameters()]
        one, two, three = (
            {"input_ids": torch.randint(20, (4, 5)), "labels": torch.tensor([0, 1, 0, 1])} for _ in range(3)
        )
        named = {"torch": torch, "model": model, "clip_grad_norm_": clip_grad_norm_, "steps": 3,
                 "get_linear_schedule_with_warmup": get_linear_schedule_with_warmup,
                 "arabic_batch": one, "hindi_batch": two, "train_batches": [three] * 3}  # fmt: skip
        [loop] = [text for text in blocks(ROOT / "docs/methods.md", "python") if "operate" in text]
        exec(loop, named)
    assert named["optimizer"].metrics()["operations"] == 3
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
