"""The spec of an experiment: what is POSTed, and every reason to refuse it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from search_spaces.search import (
    AshaScheduler,
    GridSearcher,
    PbtScheduler,
    RandomSearcher,
    SearchSpec,
    TpeSearcher,
)
from search_spaces.sources import DataField, DataSpec, forms
from search_spaces.spaces import Alpha, BatchSize, Epochs, LearningRate, Part
from trainers.examples import LANGUAGE_CODE
from trainers.methods import METHODS, SOURCE_TRAINING
from trainers.protocols import PROTOCOLS
from trainers.tasks import TASKS

# Of two experiments that of the higher one goes first.
Priority = Annotated[int, Field(ge=-100, le=100, strict=True)]

# Unless the spec allows more, and then.
MAX_TRIALS = 10_000
MAX_LARGE_TRIALS = 200_000

MAX_PROBLEMS = 100


@dataclass(frozen=True)
class Problem:
    """One wrong field: its dotted path, and what is wrong and what is allowed."""

    field: str
    message: str


class SpecError(ValueError):
    """A spec that is refused, with all its problems."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = list(problems)


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character is not allowed")
    text.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
    return text


def _distinct(values: list[Any]) -> list[Any]:
    repeated = sorted(value for value, count in Counter(values).items() if count > 1)
    if repeated:
        raise ValueError(f"given twice: {', '.join(map(str, repeated))}")
    return values


def _among(names: Mapping[str, object], plural: str) -> AfterValidator:
    def known(name: str) -> str:
        if name not in names:
            raise ValueError(f"{name!r} is not one of the {plural}")
        return name

    return AfterValidator(known)


Text = Annotated[str, Field(max_length=200), AfterValidator(_storable)]
Name = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_storable)]
Code = Annotated[str, Field(pattern=f"^{LANGUAGE_CODE}$")]

Groups = Annotated[
    list[Annotated[list[Code], Field(min_length=1, max_length=1000)]], Field(min_length=1, max_length=1000)
]


# What every hyperparameter that may be searched takes besides a number.
SPREADS = '{"grid": [...]}, {"uniform": [low, high], "samples": n} or {"loguniform": [low, high], "samples": n}'
SCHEDULE = ', or {"schedule": [[epoch, value], ...]} from epoch 0 on'


class TrainingSpec(Part):
    """What differs from the protocol's hyperparameters; null or absent means the protocol's value."""

    epochs: Epochs | None = Field(None, description=f"a whole number from 1 to 1000, {SPREADS} of them")
    batch_size: BatchSize | None = Field(None, description=f"a whole number from 1 to 4096, {SPREADS} of them")
    learning_rate: LearningRate | None = Field(None, description=f"a number in (0, 1], {SPREADS} of them{SCHEDULE}")
    accumulation: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None, description="passes that an update is divided into: a whole number from 1 to the batch size"
    )
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(None, description="one of fp32, bf16, fp16")
    max_source_examples: Annotated[int, Field(ge=1, le=10**9)] | None = Field(
        None, description="a whole number from 1, or null for all"
    )
    max_test_examples: Annotated[int, Field(ge=1, le=10**9)] | None = Field(
        None, description="a whole number from 1 (per language), or null for all"
    )


class ResourcesSpec(Part):
    """What a trial takes of the pool, and how many may run at once."""

    cpus_per_trial: Annotated[int, Field(ge=1, le=1024)] = Field(1, description="a whole number from 1")
    gpus_per_trial: Annotated[float, Field(ge=0, le=1024)] = Field(
        0, description="0, a fraction of a GPU, or a whole number of GPUs"
    )
    memory_per_trial: Annotated[float, Field(ge=0, le=65536)] = Field(
        0, description="in GiB, which the pool keeps for it; 0 if it need not"
    )
    max_concurrent_trials: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="a whole number from 1, or null for as many as the pool holds"
    )


class ExperimentSpec(Part):
    """An experiment: methods compared at the same task, encoder, data and shots."""

    name: Text = Field("", description="free text of up to 200 characters")
    task: Annotated[str, _among(TASKS, "tasks")] = Field(description=f"one of {', '.join(TASKS)}")
    encoder: Name = Field(
        description="offline/multilingual-e5-small, the path of a Hugging Face folder, or a name on its hub"
    )
    data: DataField
    source_language: Code = Field("en", description="a language code that the data have")
    target_languages: Literal["all"] | Annotated[list[Code], Field(min_length=1, max_length=1000)] = Field(
        description='a list of distinct language codes that the data have, or "all"'
    )
    grouping: Literal["all", "single", "script", "family"] | Groups = Field(
        "all",
        description='which targets share a model: "all", "single", "script", "family", or lists that name each target'
        " once",
    )
    methods: Annotated[
        list[Annotated[str, _among(METHODS, "methods")]], Field(min_length=1, max_length=100), AfterValidator(_distinct)
    ] = Field(description=f"a list of distinct methods among {', '.join(METHODS)}")
    k: Annotated[list[Annotated[int, Field(ge=1, le=10**6)]], Field(min_length=1, max_length=100),
                 AfterValidator(_distinct)] = Field(
        description="a list of distinct whole numbers, each from 1 to the number of a target's training examples"
    )  # fmt: skip
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1, max_length=1000),
                     AfterValidator(_distinct)] = Field(
        description="a list of distinct whole numbers from 0 to 2147483647"
    )  # fmt: skip
    alpha: Alpha | None = Field(
        None, description=f"null for the protocol's value for the task, a number in [0, 1], {SPREADS} of them{SCHEDULE}"
    )
    search: SearchSpec = Field(default_factory=SearchSpec, description="an object, see its fields")
    protocol: Annotated[str, _among(PROTOCOLS, "protocols")] = Field(
        "paper", description=f"one of {', '.join(PROTOCOLS)}"
    )
    training: TrainingSpec = Field(default_factory=TrainingSpec, description="an object, see its fields")
    keep: Literal["none", "selected", "all"] = Field(
        "selected",
        description='which models stay on disk: "none" (but for source trainings), "selected" (those that serve several'
        ' targets), "all"',
    )
    resources: ResourcesSpec = Field(default_factory=ResourcesSpec, description="an object, see its fields")
    priority: Priority = Field(0, description="a whole number from -100 to 100; the higher goes first")
    test_at: Literal["selected", "every"] = Field(
        "selected", description="selected, or every: test scores after each epoch, for curves; nothing is searched then"
    )
    allow_large: bool = Field(False, description=f"true for more than {MAX_TRIALS:,} trials, or false")
    tags: Text | Annotated[list[Text], Field(max_length=100)] = Field([], description="free text, or a list of it")
    owner: Text = Field("", description="free text of up to 200 characters")

    def with_population(self, name: str) -> "ExperimentSpec":
        """The same, with a name for its population if it has one without."""
        scheduler = self.search.scheduler
        if not isinstance(scheduler, PbtScheduler) or scheduler.population is not None:
            return self
        named = self.search.model_copy(update={"scheduler": scheduler.model_copy(update={"population": name})})
        return self.model_copy(update={"search": named})

    def keeps(self, method: str) -> bool:
        """Whether the models of a method's trainings stay on disk."""
        if method == SOURCE_TRAINING or self.keep == "all":
            return True
        return self.keep == "selected" and not METHODS[method].model_per_target

    def tag_list(self) -> list[str]:
        """The tags, also when a single one was given as text."""
        return [self.tags] if isinstance(self.tags, str) else self.tags


# Stands in for fields that are wrong, so that all others can still be checked.
_PLACEHOLDERS: dict[str, Any] = {
    "task": "ner", "encoder": "-", "data": "sample", "target_languages": "all", "methods": ["zero-shot"], "k": [1],
    "seeds": [1],
}  # fmt: skip


def parse(body: object) -> tuple[ExperimentSpec, list[Problem]]:
    """A spec, and what is wrong with it taken field by field.

    Wrong fields are replaced by placeholders in the spec that is returned; it is good for nothing but checking how
    the other fields go together (`search_spaces.checks`).

    Raises:
        SpecError: the body is not an object, so that there is nothing to check further.
    """
    if not isinstance(body, dict) or not all(isinstance(key, str) for key in body):
        raise SpecError([Problem("body", "not a JSON object")])
    try:
        return ExperimentSpec.model_validate(body), []
    except ValidationError as error:
        problems = _problems(error)
    rest = {key: value for key, value in body.items() if key in ExperimentSpec.model_fields}
    for problem in problems:
        field, _, part = problem.field.partition(".")
        if part and isinstance(rest.get(field), dict):
            rest[field] = {key: value for key, value in rest[field].items() if key != part}
        else:
            rest.pop(field, None)
    placeholders = {key: value for key, value in _PLACEHOLDERS.items() if key not in rest}
    try:
        return ExperimentSpec.model_validate({**rest, **placeholders}), problems
    except ValidationError:  # more wrong fields than are listed
        raise SpecError(problems) from None


def _problems(error: ValidationError) -> list[Problem]:
    """One problem per wrong field, in the order of the fields."""
    problems: dict[str, Problem] = {}
    for detail in error.errors(include_url=False, include_context=False):
        field, allowed = _place(detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            message = "there is no such field"
        elif detail["type"] != "missing":
            message = f"{_shown(detail['input'])}: {message}"
        problems.setdefault(field, Problem(field, f"{message}; allowed: {allowed}"))
        if len(problems) == MAX_PROBLEMS:
            break
    return list(problems.values())


# Models that a field holds one of, by the name that tells them apart.
_VARIANTS: dict[str, dict[str, Any]] = {
    "searcher": {"grid": GridSearcher, "random": RandomSearcher, "tpe": TpeSearcher},
    "scheduler": {"asha": AshaScheduler, "pbt": PbtScheduler},
}


def _place(location: Sequence[str | int]) -> tuple[str, str]:
    """The dotted path of the innermost field of an error's location, and what is allowed there."""
    path: list[str] = []
    allowed = "an object with the fields of an experiment"
    model: Any = ExperimentSpec
    variants: dict[str, Any] = {}
    for part in location:
        if variants and part in variants:
            model, variants = variants[str(part)], {}
            continue
        if model is None or not isinstance(part, str):
            break
        path.append(part)
        field = model.model_fields.get(part)
        if field is None:
            allowed = ", ".join(model.model_fields)
            break
        allowed = forms() if field.annotation is DataSpec else field.description or allowed
        model = field.annotation if isinstance(field.annotation, type) and issubclass(field.annotation, Part) else None
        variants = _VARIANTS.get(part, {})
    return ".".join(path).encode(errors="replace").decode() or "body", allowed


def _shown(value: object) -> str:
    text = ascii(value) if not isinstance(value, str) else repr(value.encode(errors="replace").decode())
    return text if len(text) <= 60 else text[:57] + "..."
