"""Figures over time as SVG: panels below one another, with marks across all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bench.plot import part, powers, short, steps, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WIDTH, HEIGHT = 860, 150
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 26, 10
LEGEND, AXIS, NOTE = 28, 40, 22

#: Told apart by people who see colours in any of the usual ways.
_LINES = ("#0072b2", "#d55e00")
_MARKS = ("#cc3311", "#009e73", "#999999")
_SHADE = "#f3f0e4"

#: A moment, in seconds, and a value then.
Point = tuple[float, float]


class Panel(NamedTuple):
    """Lines over time.

    :ivar series: for each name its pieces: points that a line joins.
    :ivar log: whether the vertical axis goes by powers of ten.
    """

    title: str
    series: dict[str, list[list[Point]]]
    log: bool = False


class Marks(NamedTuple):
    """Events, and states that lasted for a while.

    :ivar moments: for each kind, when it happened, in seconds.
    :ivar spans: when, from and to, what ``spanName`` says was so.
    """

    moments: dict[str, list[float]]
    spanName: str
    spans: list[tuple[float, float]]


def draw(
    path: Path, panels: Sequence[Panel], marks: Marks, seconds: float, note: str
) -> None:
    """Write panels as one file.

    :param seconds: how long it went on.
    """
    height = LEGEND + HEIGHT * len(panels) + AXIS + NOTE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    parts += _marks(marks, seconds, LEGEND + HEIGHT * len(panels))
    for number, panel in enumerate(panels):
        parts.append(f'<g transform="translate(0,{LEGEND + HEIGHT * number})">')
        parts += [*_panel(panel, seconds), "</g>"]
    parts += _axis(seconds, LEGEND + HEIGHT * len(panels))
    parts += ['<g font-size="10">', text(8, height - 8, note), "</g>"]
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def _x(at: float, seconds: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * at / seconds


def _marks(marks: Marks, seconds: float, bottom: float) -> list[str]:
    """Draw spans and moments, and say on top what they are."""
    parts = []
    top = LEGEND + TOP
    for start, end in marks.spans:
        x, width = _x(start, seconds), _x(end, seconds) - _x(start, seconds)
        parts.append(
            f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" '
            f'height="{bottom - top - BOTTOM}" fill="{_SHADE}"/>'
        )
    x = float(LEFT)
    for colour, (name, moments) in zip(_MARKS, marks.moments.items(), strict=False):
        parts += [
            f'<line x1="{_x(at, seconds):.1f}" y1="{top}" x2="{_x(at, seconds):.1f}" '
            f'y2="{bottom - BOTTOM}" stroke="{colour}" stroke-dasharray="4 3"/>'
            for at in moments
        ]
        parts.append(
            f'<line x1="{x}" y1="18" x2="{x + 20}" y2="18" stroke="{colour}" '
            'stroke-width="2" stroke-dasharray="4 3"/>'
        )
        parts.append(text(x + 26, 22, f"{name} ({len(moments)})"))
        x += 130
    parts.append(f'<rect x="{x}" y="11" width="20" height="14" fill="{_SHADE}"/>')
    return [*parts, text(x + 26, 22, marks.spanName)]


def _panel(panel: Panel, seconds: float) -> list[str]:
    lines = panel.series.values()
    values = [value for pieces in lines for piece in pieces for _, value in piece]
    ticks = powers(values) if panel.log else steps(values)
    parts = [text(LEFT, TOP - 8, panel.title, weight="bold")]
    for tick in ticks:
        y = _y(tick, ticks, panel.log)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" '
            'stroke="#ddd"/>'
        )
        parts.append(text(LEFT - 6, y + 4, short(tick), "end"))
    right = float(WIDTH - RIGHT)
    for colour, (name, pieces) in zip(_LINES, panel.series.items(), strict=False):
        for piece in pieces:
            joined = " ".join(
                f"{_x(at, seconds):.1f},{_y(value, ticks, panel.log):.1f}"
                for at, value in piece
            )
            parts.append(
                f'<polyline points="{joined}" fill="none" stroke="{colour}" '
                'stroke-width="1.5"/>'
            )
        parts.append(f'<g fill="{colour}">{text(right, TOP - 8, name, "end")}</g>')
        right -= 130
    return parts


def _y(value: float, ticks: list[float], log: bool) -> float:
    inner = HEIGHT - TOP - BOTTOM
    return HEIGHT - BOTTOM - inner * part(value, ticks, log)


def _axis(seconds: float, y: float) -> list[str]:
    """Write the time below all panels, in minutes."""
    parts = [
        text(_x(at * 60, seconds), y + 8, short(at), "middle")
        for at in steps([seconds / 60])
        if at * 60 <= seconds
    ]
    return [*parts, text(WIDTH / 2, y + 26, "minutes", "middle")]
