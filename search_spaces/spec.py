"""The spec of an experiment: what is POSTed, and every reason to refuse it.

More than 300 lines: a field or a check each.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, Tag, ValidationError

from search_spaces.messages import listed, unquoted
from search_spaces.problems import MOST_PROBLEMS, Problem, SpecError
from search_spaces.search import SearchSpec, variants
from search_spaces.sources import DataField, DataSpec, forms
from search_spaces.spaces import WHOLE, Alpha, BatchSize, Epochs, LearningRate, Part, by_field
from trainers.examples import LANGUAGE_CODE
from trainers.methods import METHODS, SOURCE_TRAINING
from trainers.protocols import PROTOCOLS
from trainers.sampling import Sampling
from trainers.selections import HELD_OUT
from trainers.tasks import TASKS
from trainers.trial import Batching

# Experiments of a higher priority run first.
Priority = Annotated[int, Field(ge=-100, le=100, strict=True), WHOLE]

# The most trials of an experiment, and of one whose spec has "allow_large". More take seconds to plan: a larger search
# is several experiments, which share the trials that they have in common.
MAX_TRIALS = 10_000
MAX_LARGE_TRIALS = 20_000

# The most scores of an experiment: trials times languages times splits.
MAX_RESULTS = 200_000

# The most stretches of a schedule, times the trials that have it.
MAX_STRETCHES = 1_000_000


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character is not allowed")
    text.encode()  # a lone surrogate raises UnicodeEncodeError, which is a ValueError
    return text


def _distinct(values: list[Any]) -> list[Any]:
    repeated = sorted(value for value, count in Counter(values).items() if count > 1)
    if repeated:
        raise ValueError(f"given twice: {listed(repeated)}")
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

# Of a group that has wrong codes the first is enough: a megabyte has hundreds of thousands.
Groups = Annotated[
    list[Annotated[list[Code], Field(min_length=1, max_length=1000, fail_fast=True)]],
    Field(min_length=1, max_length=1000),
]


# The spaces of every searchable hyperparameter, besides a number.
SPREADS = '{"grid": [...]}, {"uniform": [low, high], "samples": n} or {"loguniform": [low, high], "samples": n}'
SCHEDULE = ', or {"schedule": [[epoch, value], ...]} from epoch 0 on'


class TrainingSpec(Part):
    """Overrides of the protocol's hyperparameters; null or absent means the protocol's value."""

    epochs: Epochs | None = Field(None, description=f"a whole number from 1 to 1000, {SPREADS} of them")
    batch_size: BatchSize | None = Field(None, description=f"a whole number from 1 to 4096, {SPREADS} of them")
    learning_rate: LearningRate | None = Field(None, description=f"a number in (0, 1], {SPREADS} of them{SCHEDULE}")
    accumulation: Annotated[int, Field(ge=1, le=4096), WHOLE] | None = Field(
        None, description="gradient-accumulation steps of an update: a whole number from 1 to the batch size"
    )
    batching: Batching | None = Field(
        None, description=f"one of {', '.join(get_args(Batching))}; under released-code micro-batches"
    )
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(None, description="one of fp32, bf16, fp16")
    max_source_examples: Annotated[int, Field(ge=1, le=10**9), WHOLE] | None = Field(
        None, description="a whole number from 1, the size of the sample, or null for all"
    )
    max_test_examples: Annotated[int, Field(ge=1, le=10**9), WHOLE] | None = Field(
        None, description="a whole number from 1, the size of the sample of each language, or null for all"
    )


class TemperatureSampling(Part):
    """Languages are drawn with probability n^(1/T)."""

    temperature: Annotated[float, Field(ge=1, le=1000)]


class RepeatedShots(Part):
    """An epoch has every shot so often."""

    repeat_shots: Annotated[int, Field(ge=2, le=10_000), WHOLE]


AnySampling = Annotated[
    Annotated[TemperatureSampling, Tag("temperature")] | Annotated[RepeatedShots, Tag("repeat_shots")],
    by_field("temperature", "repeat_shots"),
]


class ResourcesSpec(Part):
    """The resources of a trial, and the number of trials that run at once."""

    cpus_per_trial: Annotated[int, Field(ge=1, le=1024), WHOLE] = Field(1, description="a whole number from 1")
    gpus_per_trial: Annotated[float, Field(ge=0, le=1024)] = Field(0, description="0, a fraction of a GPU, or 1")
    memory_per_trial: Annotated[float, Field(ge=0, le=65536)] = Field(
        0, description="GiB that the pool reserves for a trial; 0 to reserve none"
    )
    max_concurrent_trials: Annotated[int, Field(ge=1, le=10_000), WHOLE] | None = Field(
        None, description="a whole number from 1, or null for as many as the pool holds"
    )


class ExperimentSpec(Part):
    """An experiment: methods compared at the same task, encoder, data and shots."""

    name: Text = Field("", description="free text of up to 200 characters")
    task: Annotated[str, _among(TASKS, "tasks")] = Field(description=f"one of {', '.join(TASKS)}")
    encoder: Name = Field(
        description="offline/multilingual-e5-small, the path of a Hugging Face folder, or a name on its hub"
    )
    encoder_revision: Annotated[str, Field(pattern=r"^[\w./-]{1,200}$")] | None = Field(
        None, description="branch, tag or commit of an encoder on the hub, or null for its main branch"
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
    k: Annotated[list[Annotated[int, Field(ge=1, le=10**6), WHOLE]], Field(min_length=1, max_length=100),
                 AfterValidator(_distinct)] = Field(
        description="a list of distinct whole numbers, each from 1 to the number of a target's training examples"
    )  # fmt: skip
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**31), WHOLE]], Field(min_length=1, max_length=1000),
                     AfterValidator(_distinct)] = Field(
        description="a list of distinct whole numbers from 0 to 2147483647"
    )  # fmt: skip
    alpha: Alpha | None = Field(
        None, description=f"null for the protocol's value for the task, a number in [0, 1], {SPREADS} of them{SCHEDULE}"
    )
    sampling: AnySampling | None = Field(
        None,
        description='null for each example once an epoch, {"temperature": T from 1 to 1000} or'
        ' {"repeat_shots": n from 2 to 10000}',
    )
    average: Annotated[int, Field(ge=1, le=1000), WHOLE] = Field(
        3, description='the last epochs whose weights a method "+average" takes the mean of: from 1 to all epochs'
    )
    held_out: Annotated[int, Field(ge=1, le=10**6), WHOLE] = Field(
        1, description='shots of each target by which a method "+held-out" selects instead of training: below every K'
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

    def with_population(self, name: str) -> Self:
        """The same, with a name for its population if it has one that lacks a name."""
        return self.model_copy(update={"search": self.search.with_population(name)})

    def with_encoder_revision(self, commit: str | None) -> Self:
        """The same, with an encoder that stays as it is: the commit of a repository on the hub."""
        return self.model_copy(update={"encoder_revision": commit})

    def with_candidates_drawn(self) -> Self:
        """The same, with all candidates known in advance: TPE's proposals cost what as many random draws do."""
        return self.model_copy(update={"search": self.search.with_candidates_drawn()})

    def sampling_of(self, method: str) -> Sampling | None:
        """How a method's training samples languages; None for each example once."""
        return Sampling(**self.sampling.model_dump()) if self.sampling is not None and METHODS[method].mixes else None

    def held_out_of(self, method: str) -> int:
        """The shots of each target that a method's training holds out to select by."""
        return self.held_out if METHODS[method].selection == HELD_OUT else 0

    def keeps(self, method: str) -> bool:
        """Whether the models of a method's trainings stay on disk."""
        if method == SOURCE_TRAINING or self.keep == "all":
            return True
        return self.keep == "selected" and not METHODS[method].model_per_target

    def tag_list(self) -> list[str]:
        """The tags as a list, also where a single one was given as text."""
        return [self.tags] if isinstance(self.tags, str) else self.tags


# Replacements of fields that are wrong, so that the others can still be checked.
_PLACEHOLDERS: dict[str, Any] = {
    "task": "ner", "encoder": "-", "data": "sample", "target_languages": "all", "methods": ["zero-shot"], "k": [1],
    "seeds": [1],
}  # fmt: skip


def parse(body: object) -> tuple[ExperimentSpec, list[Problem]]:
    """A spec, and the problems of each of its fields.

    Wrong fields are replaced by placeholders in the spec that is returned: it serves only to check the other fields
    together (`search_spaces.checks`).

    Raises:
        SpecError: the body is not an object, so that there is nothing further to check.
    """
    if not isinstance(body, dict) or not all(isinstance(key, str) for key in body):
        raise SpecError([Problem("body", "not a JSON object")])
    try:
        return ExperimentSpec.model_validate(body), []
    except ValidationError as error:
        problems = _problems(error)
    rest = {key: value for key, value in body.items() if key in ExperimentSpec.model_fields}
    wrong: dict[str, set[str]] = {}
    for problem in problems:
        field, _, part = problem.field.partition(".")
        wrong.setdefault(field, set()).add(part)
    for field, parts in wrong.items():
        if "" not in parts and isinstance(rest.get(field), dict):
            rest[field] = {key: value for key, value in rest[field].items() if key not in parts}
        else:
            rest.pop(field, None)
    placeholders = {key: value for key, value in _PLACEHOLDERS.items() if key not in rest}
    try:
        return ExperimentSpec.model_validate({**rest, **placeholders}), problems
    except ValidationError:  # more wrong fields than are listed
        raise SpecError(problems) from None


def _problems(error: ValidationError) -> list[Problem]:
    """One problem per wrong field, in the order of the fields, up to `MOST_PROBLEMS`."""
    problems: dict[str, Problem] = {}
    for detail in error.errors(include_url=False, include_context=False):
        field, allowed = _place(detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            message = "there is no such field"
        elif detail["type"] != "missing":
            message = f"{_refused(_shown(detail['input']), message)}{unquoted(detail)}"
        problems.setdefault(field, Problem(field, f"{message}; allowed: {allowed}"))
        if len(problems) == MOST_PROBLEMS:
            break
    return list(problems.values())


def _refused(value: str, message: str) -> str:
    """A value and why it is refused, which Pydantic's words follow and ours may begin with."""
    if message.startswith(f"{value} "):
        return message
    if not message.startswith("Input should "):
        return f"{value}: {message}"
    words = message.removeprefix("Input").replace("a valid integer", "a whole number")
    return value + words.replace("a valid number", "a number")


def _place(location: Sequence[str | int]) -> tuple[str, str]:
    """The dotted path of the innermost field in an error's location, and the values that it allows."""
    path: list[str] = []
    allowed = "an object with the fields of an experiment"
    model: Any = ExperimentSpec
    alternatives: dict[str, type[Part]] = {}
    for part in location:
        if part in alternatives:
            model, alternatives = alternatives[str(part)], {}
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
        alternatives = variants(field.annotation)
    return ".".join(path).encode(errors="replace").decode() or "body", allowed


def _shown(value: object) -> str:
    text = ascii(value) if not isinstance(value, str) else repr(value.encode(errors="replace").decode())
    return text if len(text) <= 60 else text[:57] + "..."
