"""The paper's setting: what is not as in it, of some results."""

from collections.abc import Collection
from dataclasses import MISSING, fields
from typing import Any

from service.reports import published
from service.reports.setting import PLAIN, Setting, listed, of_protocol, shown
from trainers.methods import PAPER as PAPERS_METHODS
from trainers.protocols import PAPER
from trainers.tasks import TASKS
from trainers.trial import NUMERICS, TrialConfig

# What nobody has published.
UNPUBLISHED = ("encoder_digest", "encoder_revision")


def from_the_paper(
    settings: Collection[Setting],
    task: str,
    metric: str,
    seeds: int,
    languages: int | None = None,
    split: str = "test",
    method: str | None = None,
    k: int | None = None,
) -> list[str]:
    """What is not as in the paper, in words with both values; "task" alone where the whole task is not in it.

    A hyperparameter is compared with that of its own protocol for the task, and the protocol with the paper's. The
    encoder is known by its name.

    Args:
        settings: those of some results.
        task: the task of the results.
        metric: that of the results.
        seeds: the number that a mean is over.
        languages: the number that a mean is over, the source included; None for a score of one language.
        split: that was scored.
        method: that of the results, if it is asked whether the paper has it.
        k: that of the results, if it is asked whether the paper has it.
    """
    known = published.published_of(task)
    if known is None:
        return [f"task {task} (paper: none)"]
    found: list[tuple[str, list[Any], Any]] = [("metric", [metric], known.metric), ("seeds", [seeds], published.SEEDS)]
    found.append(("split", [split], "test"))
    if method is not None and method not in PAPERS_METHODS:
        found.append(("method", [method], "none in its tables"))
    if k is not None and k not in (0, *published.SHOTS):
        found.append(("k", [k], listed("k", published.SHOTS)))
    if languages is not None:
        found.append(("languages", [languages], known.languages))
    targets = sorted({len(value) for one in settings for value in one.all("target_languages")})
    if targets not in ([], [known.languages - 1]) and targets != [(languages or 0) - 1]:
        found.append(("target_languages", targets, known.languages - 1))
    for name in (*(name for name in PLAIN if name not in UNPUBLISHED), "alpha"):
        pairs = [(value, _paper_s(name, task, one)) for one in settings for value in one.all(name)]
        if any(not _is_paper_s(name, *pair) for pair in pairs):
            theirs = ", ".join(dict.fromkeys(shown(name, theirs) for _, theirs in pairs))
            found.append((name, list(dict.fromkeys(value for value, _ in pairs)), theirs))
    return [f"{name} {listed(name, ours)} (paper: {theirs})" for name, ours, theirs in found if ours != [theirs]]


def _paper_s(name: str, task: str, setting: Setting) -> Any:
    """The value in the paper of a name that a setting has."""
    protocol = str(setting.values["protocol", ""])
    known = TASKS[task].published
    assert known is not None
    given = {
        "encoder": known.encoder, "protocol": PAPER.name, "source_language": published.SOURCE, "counts": (),
        "data": published.data_source(), "numerics": NUMERICS, "max_test_examples": None, "population": False,
        "average": 0, "alpha": TASKS[task].under(protocol).alpha, **of_protocol(task, protocol),
    }  # fmt: skip
    defaults = {field.name: field.default for field in fields(TrialConfig) if field.default is not MISSING}
    return given[name] if name in given else defaults.get(name)


def _is_paper_s(name: str, ours: Any, theirs: Any) -> bool:
    return bool(ours == theirs) or (name == "encoder" and str(ours).rpartition("/")[2] == theirs)
