"""A drawing in each of its forms: Vega-Lite for pages and notebooks; SVG, PNG and PDF for papers."""

import re
from dataclasses import dataclass
from html import escape
from typing import Any

import altair as alt

# Of Vega-Lite's specs, by the version that altair writes.
MEDIA_TYPE = f"application/vnd.vegalite.v{alt.SCHEMA_VERSION.lstrip('v').partition('.')[0]}+json"

# Vega's unit is CSS's pixel, a 96th of an inch; PDF's is a point. PNG has as many dots an inch as journals ask for.
INCH, POINTS_A_PIXEL, DOTS_AN_INCH = 96, 72 / 96, 300

# From where data may be loaded: they are in the spec.
NOWHERE: list[str] = []

# Width and height of an SVG; the id of its gradient, which counts all that were drawn so far; the resources of a PDF's
# page, which stand in another order each time.
SIZE = re.compile(r'\b(width|height)="(\d+)"')
GRADIENT = re.compile(r"gradient_\d+")
RESOURCES = re.compile(rb"(?<= <<\n)(?: +/\w+ \d+ 0 R\n)+")


@dataclass(frozen=True)
class Drawing:
    """A chart; a notebook displays it.

    Attributes:
        chart: of Altair, which can be changed further.
        title: a line that says what it shows.
        notes: sentences that a reader has to know. Both are for those who cannot see it, and for captions.
    """

    chart: Any
    title: str
    notes: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """Title and notes: what is read to those who cannot see it."""
        return " ".join([f"{self.title}.", *self.notes])

    def vega_lite(self) -> dict[str, Any]:
        """The Vega-Lite spec, with its data in it. Text and background have no colors of their own."""
        # the tests validate it: checking it each time against the whole schema takes longer than making it
        return {"description": self.description, **self.chart.to_dict(validate=False)}

    def svg(self) -> str:
        """SVG, whose text is text; title and notes are its title and its description."""
        return svg(self.vega_lite(), self.title, " ".join(self.notes))

    def png(self) -> bytes:
        """PNG of 300 dots an inch."""
        import vl_convert

        return vl_convert.vegalite_to_png(
            self.vega_lite(), scale=POINTS_A_PIXEL, ppi=DOTS_AN_INCH, allowed_base_urls=NOWHERE
        )

    def pdf(self) -> bytes:
        """PDF of one page that is as large as the drawing. Its text is text, with the fonts that it needs."""
        import vl_convert

        opening, rest = _drawn(self.vega_lite())
        opening = SIZE.sub(lambda side: f'{side[1]}="{int(side[2]) * POINTS_A_PIXEL:g}"', opening)
        return RESOURCES.sub(_sorted, vl_convert.svg_to_pdf(f"{opening}>{rest}"))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """For notebooks: the spec, and SVG for those that do not draw this version of Vega-Lite."""
        return {MEDIA_TYPE: self.vega_lite(), "image/svg+xml": self.svg(), "text/plain": self.description}


def svg(chart: dict[str, Any], title: str, notes: str) -> str:
    """SVG of a Vega-Lite spec that has its data in it, with a title and a description."""
    opening, rest = _drawn(chart)
    return f'{opening} role="img"><title>{_xml(title)}</title><desc>{_xml(notes)}</desc>{rest}'


def _drawn(chart: dict[str, Any]) -> tuple[str, str]:
    """SVG: its opening tag, without the end of it, and the rest."""
    import vl_convert  # starts V8

    drawn = vl_convert.vegalite_to_svg(chart, allowed_base_urls=NOWHERE)
    opening, _, rest = GRADIENT.sub("gradient", drawn).partition(">")
    return opening, rest


def _xml(text: str) -> str:
    return escape("".join(letter for letter in text if letter.isprintable()), quote=False)


def _sorted(lines: "re.Match[bytes]") -> bytes:
    return b"".join(sorted(lines[0].splitlines(keepends=True)))
