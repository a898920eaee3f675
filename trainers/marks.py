"""Marks: what to know of a score before its value. Each is a flag of `trainers.trial.Score` and a fact of the trial."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

# More than this share of the surgery operations, all or one language's, lost to overflow is worth a mark.
MUCH = 0.1


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A mark.

    Attributes:
        name: of the flag, of its column in results, and of the fact that gives the reason.
        brief: what it says beside a score.
        models: what it says of models.
        of: which of a method's scores it tells apart.
    """

    name: str
    brief: str
    models: str
    of: Literal["language", "seed"]


MARKS = (
    Mark(
        name="one_label",
        brief="one label everywhere",
        models="models that predict the same label everywhere",
        of="language",
    ),
    Mark(
        name="surgery_overflow",
        brief="surgery overflowed",
        models="models that lost more than a tenth of all, or of a language's, surgery operations to overflow",
        of="seed",
    ),
)

MARK_NAMES = tuple(mark.name for mark in MARKS)


def marks_of(score: Any) -> list[Mark]:
    """The marks of a score, given as an object or as plain data; what an older version stored may lack some."""
    flags = score if isinstance(score, Mapping) else vars(score)
    return [mark for mark in MARKS if flags.get(mark.name)]


def surgery_overflow(measures: Mapping[str, Any]) -> str | None:
    """What surgery lost to overflow up to a report, by the report's measures; None if it is no more than a tenth.

    A tenth of all operations, or of one language's: one among 47 may lose all of its own, which are 2 % of all. An
    operation is lost where the gradient of the batch or of the shots is not finite, as in fp16 while the loss scale is
    too large: nothing is projected.
    """
    met = measures.get("surgery")
    if met is None:
        return None
    hit = {language: of for language, of in met.get("per_language", {}).items() if _is_much(of)}
    if not hit and not _is_much(met):
        return None
    languages = ", ".join(f"{language} {of['nonfinite']} of {of['operations']}" for language, of in hit.items())
    most = f" ({languages})" if languages else ""
    return f"{met['nonfinite']} of {met['operations']} surgery operations were lost to overflow{most}"


def _is_much(met: Mapping[str, int]) -> bool:
    return met["nonfinite"] > MUCH * met["operations"]
