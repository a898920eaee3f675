"""What sentences say, whatever the language: frames, the roles they need or allow, and a few facts about places."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from trainers.sample_corpus.lexicon import Entry

# Only facts that stay true in every source; the keys are entries of a lexicon's [city] and [country].
LARGEST_CITY_OF = {
    "berlin": "germany", "paris": "france", "rome": "italy", "madrid": "spain", "moscow": "russia",
    "istanbul": "turkey", "cairo": "egypt", "nairobi": "kenya", "tokyo": "japan", "shanghai": "china",
    "new_york": "usa", "toronto": "canada", "helsinki": "finland", "oslo": "norway", "stockholm": "sweden",
    "sao_paulo": "brazil", "dar_es_salaam": "tanzania", "warsaw": "poland", "casablanca": "morocco",
    "baghdad": "iraq", "london": "uk",
}  # fmt: skip
COUNTRY_OF = LARGEST_CITY_OF | {
    "cape_town": "south_africa", "washington": "usa", "lincoln": "usa", "victoria": "canada", "mumbai": "india",
    "mombasa": "kenya", "alexandria": "egypt", "novgorod": "russia", "vladimir": "russia", "fukuoka": "japan",
    "nagano": "japan", "chiba": "japan", "hagen": "germany", "lahti": "finland", "aydin": "turkey",
    "ankara": "turkey", "jaipur": "india", "delhi": "india", "dalian": "china", "suzhou": "china",
}  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """A kind of statement: for each role, the lexicon sections it is filled from.

    ``core`` roles are always filled and ``adjuncts`` sometimes. With ``facts`` (city to country) there are two roles
    more, ``place`` and ``region``, filled by a city and its country, so that the statement is true.
    """

    core: Mapping[str, tuple[str, ...]]
    adjuncts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def roles(self) -> frozenset[str]:
        """Every role a pattern of this frame may mention."""
        return frozenset({*self.core, *self.adjuncts} | ({"place", "region"} if self.facts else set()))


_TIME = ("day", "period")
_PURCHASE = Frame(
    {"agent": ("human",), "quality": ("quality",), "patient": ("thing",)},
    {"place": ("venue",), "time": _TIME, "beneficiary": ("beneficiary",)},
)

FRAMES: Mapping[str, Frame] = {
    "born": Frame({"agent": ("person",), "place": ("city",)}, {"time": ("year",)}),
    "works": Frame({"agent": ("person",), "employer": ("company",)}, {"place": ("city",)}),
    "bought": _PURCHASE,
    "employed_since": Frame({"agent": ("person",), "employer": ("university", "institution"), "time": ("year",)}),
    "opened": Frame({"agent": ("company",), "patient": ("premises",), "place": ("city",)}, {"time": _TIME}),
    "visited": Frame({"agent": ("person",), "place": ("city",)}, {"companion": ("person",), "time": _TIME}),
    "went": Frame({"agent": ("human",), "goal": ("building",)}, {"manner": ("manner",), "time": ("day",)}),
    "lives": Frame({
        "agent": ("person",), "trait": ("trait",), "profession": ("profession",), "origin": ("country",),
        "place": ("city",),
    }),
    "hired": Frame(
        {"agent": ("company", "university", "institution"), "patient": ("person",)},
        {"profession": ("profession",), "time": _TIME},
    ),
    "wrote": Frame(
        {"agent": ("person",), "merit": ("merit",), "patient": ("text",), "topic": ("country",)},
        {"time": ("period",)},
    ),
    "largest": Frame({}, facts=LARGEST_CITY_OF),
    "did_not_buy": _PURCHASE,
    "described": Frame({"look": ("look",)}, facts=COUNTRY_OF),
    "travelled": Frame(
        {"agent": ("person",), "origin": ("city",), "goal": ("city",)}, {"purpose": ("purpose",), "time": _TIME}
    ),
    "sold": Frame(
        {"agent": ("human",), "number": ("number",), "quality": ("quality",), "patient": ("thing",)},
        {"place": ("venue",), "time": _TIME},
    ),
    "met": Frame({"agent": ("person",), "patient": ("person",), "place": ("city",)}, {"time": _TIME}),
    "studied": Frame({"agent": ("person",), "topic": ("field",), "place": ("university",)}),
    "was": Frame({"colour": ("colour",), "patient": ("thing",), "quality": ("quality",)}),
}  # fmt: skip


# What each of these frames says is that there was nothing of what the other says.
DENIES = {"did_not_buy": "bought"}


@dataclass(frozen=True)
class Filler:
    """What fills a role: a lexicon entry, or a name made of several, and the entity type it names ("" for none).

    ``shape`` lists references to ``parts`` as a pattern does; ``*`` in it is the form that the sentence asks for.
    """

    shape: str
    parts: Mapping[str, Entry]
    entity: str

    @property
    def words(self) -> frozenset[str]:
        """Which lexicon entries it is made of."""
        return frozenset(entry.place for entry in self.parts.values())

    def feature(self, column: str) -> str:
        """The feature other words agree with, from the first part that has it."""
        bearers = [entry for entry in self.parts.values() if column in entry.cells]
        return (bearers or list(self.parts.values()))[0].feature(column)


@dataclass(frozen=True)
class Meaning:
    """A frame with its roles filled.

    Leaving an adjunct out of ``fillers`` gives a statement that this one entails; of a frame in ``DENIES``, one that
    entails this one.
    """

    frame: str
    fillers: Mapping[str, Filler]

    @cached_property
    def words(self) -> frozenset[str]:
        """Which lexicon entries it is made of."""
        return words_of(self.fillers.values())


def words_of(fillers: Iterable[Filler]) -> frozenset[str]:
    """Which lexicon entries any of the fillers is made of."""
    return frozenset(word for filler in fillers for word in filler.words)
