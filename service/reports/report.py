"""A report: figures of an experiment as a table or a drawing, in the forms that papers and notebooks take."""

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from service.reports.drawing import Drawing

# From this difference in points on, a cell has the full color.
FULL_COLOR = 20.0

# What LaTeX needs for a table's rules, and for its colors.
BOOKTABS, XCOLOR = r"\usepackage{booktabs}", r"\usepackage[table]{xcolor}"

# Gains are blue, losses orange: Okabe and Ito's, which the color-blind tell apart.
GAIN, LOSS, WHITE = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0xFF, 0xFF, 0xFF)


@dataclass(frozen=True)
class Report:
    """What a report says.

    Attributes:
        title: a line.
        data: its figures, one a row.
        display: the same as a reader wants to see it, as text; its index is shown.
        notes: what a reader has to know, a sentence each.
        shades: of each cell of `display` its difference from zero-shot, in points; NaN for no color.
        draw: makes the chart, of Altair, of a report that is a figure.
    """

    title: str
    data: pd.DataFrame
    display: pd.DataFrame
    notes: tuple[str, ...] = ()
    shades: pd.DataFrame | None = None
    draw: Callable[[], Any] | None = None

    def table(self) -> dict[str, Any]:
        """What `display` shows, for JSON: its columns, of which the first `index` are its index; rows; and shades."""
        table, indices = self.display.reset_index(), self.display.index.nlevels
        of_rows = range(len(table)) if self.shades is not None else ()
        shades = [[self._shade(row, column) for column in range(len(self.display.columns))] for row in of_rows]
        rows = [[str(value) for value in row] for row in table.to_numpy()]
        return {"columns": list(map(str, table.columns)), "index": indices, "rows": rows, "shades": shades}

    def markdown(self) -> str:
        """A GitHub table with title and notes."""
        table = self.display.reset_index()
        lines = [" | ".join(map(_md, row)) for row in (table.columns, *table.to_numpy())]
        ruler = "|".join("---" for _ in table.columns)
        rows = [f"| {lines[0]} |", f"|{ruler}|", *(f"| {line} |" for line in lines[1:])]
        return "\n".join([f"**{_md(self.title)}**", "", *rows, "", *map(_md, self.notes), ""])

    def latex(self) -> str:
        """A table whose first line, a comment, names the packages that it needs."""
        table, indices = self.display.reset_index(), self.display.index.nlevels
        head = " & ".join(_tex(name) for name in table.columns)
        rows = []
        for place, row in enumerate(table.to_numpy()):
            cells = [self._tex_color(place, column - indices) + _tex(value) for column, value in enumerate(row)]
            rows.append(" & ".join(cells) + r" \\")
        shape = "l" * indices + "r" * (len(table.columns) - indices)
        is_colored = self.shades is not None and bool(self.shades.notna().any(axis=None))
        lines = [
            f"% Needs: {', '.join([BOOKTABS, *([XCOLOR] if is_colored else [])])}",
            r"\begin{table}", r"\centering\small", rf"\begin{{tabular}}{{{shape}}}", r"\toprule", head + r" \\",
            r"\midrule", *rows, r"\bottomrule", r"\end{tabular}",
            rf"\caption{{{_tex(' '.join([self.title + '.', *self.notes]))}}}", r"\end{table}", "",
        ]  # fmt: skip
        return "\n".join(lines)

    def html(self) -> str:
        """A table for a notebook, or the drawing."""
        if self.draw is not None:
            return self.svg()
        table, indices = self.display.reset_index(), self.display.index.nlevels
        head = "".join(f"<th>{html.escape(str(name))}</th>" for name in table.columns)
        rows = []
        for place, row in enumerate(table.to_numpy()):
            cells = [
                f"<td{self._html_color(place, column - indices)}>{html.escape(str(value))}</td>"
                for column, value in enumerate(row)
            ]
            rows.append(f"<tr>{''.join(cells)}</tr>")
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        caption = f"<caption>{html.escape(self.title)}</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{notes}"

    def drawing(self) -> Drawing:
        """The figure, with title and notes. ValueError if the report is a table."""
        if self.draw is None:
            raise ValueError("it is a table")
        return Drawing(self.draw(), self.title, self.notes)

    def vega_lite(self) -> dict[str, Any]:
        """The figure as a Vega-Lite spec, with its data in it. ValueError if the report is a table."""
        return self.drawing().vega_lite()

    def svg(self) -> str:
        """The figure as SVG. ValueError if the report is a table."""
        return self.drawing().svg()

    def png(self) -> bytes:
        """The figure as PNG. ValueError if the report is a table."""
        return self.drawing().png()

    def pdf(self) -> bytes:
        """The figure as PDF. ValueError if the report is a table."""
        return self.drawing().pdf()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """For notebooks: the table, or the figure."""
        return {"text/html": self.html()} if self.draw is None else self.drawing()._repr_mimebundle_()

    def _shade(self, row: int, column: int) -> float | None:
        if self.shades is None or column < 0:
            return None
        difference = self.shades.iat[row, column]
        return None if pd.isna(difference) else float(difference)

    def _color(self, row: int, column: int) -> str | None:
        difference = self._shade(row, column)
        return None if difference is None else color(difference)

    def _tex_color(self, row: int, column: int) -> str:
        found = self._color(row, column)
        return rf"\cellcolor[HTML]{{{found}}}" if found else ""

    def _html_color(self, row: int, column: int) -> str:
        found = self._color(row, column)
        return f' style="background:#{found};color:#000"' if found else ""


def color(difference: float) -> str:
    """The color of a difference as RRGGBB: at most half of the full one, so that black letters stay readable."""
    share = 0.5 * min(abs(difference) / FULL_COLOR, 1.0)
    pairs = zip(WHITE, GAIN if difference > 0 else LOSS, strict=True)
    return "".join(f"{round(white + share * (full - white)):02X}" for white, full in pairs)


def _md(text: object) -> str:
    """Text for GitHub: a bar is no cell, an asterisk that comes first no list, and nothing is HTML."""
    words = str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "\\<")
    return f"\\{words}" if words.startswith("*") else words


def _tex(text: object) -> str:
    special = {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
        ">": r"\textgreater{}", "|": r"\textbar{}",
        "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "α": r"$\alpha$",
        "†": r"$\dagger$", "–": "--", "±": r"$\pm$",
    }  # fmt: skip
    words = " ".join(str(text).split())  # an empty line ends a paragraph, which a cell must not
    return "".join(special.get(letter, letter) for letter in words if letter.isprintable())
