"""Plots as SVG: lines in panels, with axes, a legend, and nothing else."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WIDTH, HEIGHT = 430, 290
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 34, 46
LEGEND, NOTE = 28, 22

#: Told apart by people who see colours in any of the usual ways.
COLOURS = {
    "memq": "#0072b2",
    "redis": "#d55e00",
    "beanstalkd": "#009e73",
    "MemcacheQ": "#cc79a7",
}


class Panel(NamedTuple):
    """One plot.

    :ivar ticks: what stands along the horizontal axis, in even steps.
    :ivar series: for each name a value a tick; None leaves a gap.
    :ivar log: whether the vertical axis goes by powers of ten.
    """

    title: str
    across: str
    up: str
    ticks: Sequence[str]
    series: dict[str, list[float | None]]
    log: bool = False


def draw(path: Path, panels: Sequence[Panel], note: str, columns: int = 2) -> None:
    """Write panels as one file, some of them side by side, with a note below."""
    rows = math.ceil(len(panels) / columns)
    width, height = WIDTH * columns, HEIGHT * rows + LEGEND + NOTE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        *_legend({name for panel in panels for name in panel.series}),
    ]
    for number, panel in enumerate(panels):
        x, y = number % columns * WIDTH, number // columns * HEIGHT + LEGEND
        parts += [f'<g transform="translate({x},{y})">', *_panel(panel), "</g>"]
    parts += ['<g font-size="10">', text(8, height - 8, note), "</g>"]
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def short(number: float) -> str:
    """Return a number in few letters: 2500, 10k, 2M."""
    if number >= 1e6:
        return f"{number / 1e6:g}M"
    return f"{number / 1e3:g}k" if number >= 1e4 else f"{number:g}"


def _legend(names: set[str]) -> list[str]:
    parts = []
    for number, name in enumerate(n for n in COLOURS if n in names):
        x = LEFT + number * 110
        parts.append(
            f'<line x1="{x}" y1="18" x2="{x + 20}" y2="18" stroke-width="3" '
            f'stroke="{COLOURS[name]}"/>'
        )
        parts.append(text(x + 26, 22, name))
    return parts


def _panel(panel: Panel) -> list[str]:
    values = [v for line in panel.series.values() for v in line if v is not None]
    marks = powers(values) if panel.log else steps(values)
    parts = [
        text(LEFT, TOP - 12, panel.title, weight="bold"),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, panel.across, "middle"),
        f'<g transform="rotate(-90)">{text(-HEIGHT / 2, 14, panel.up, "middle")}</g>',
    ]
    for mark in marks:
        y = _y(mark, marks, panel.log)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" '
            'stroke="#ddd"/>'
        )
        parts.append(text(LEFT - 6, y + 4, short(mark), "end"))
    for number, tick in enumerate(panel.ticks):
        x = _x(number, panel.ticks)
        parts.append(text(x, HEIGHT - BOTTOM + 18, tick, "middle"))
    for name, line in panel.series.items():
        parts += _line(line, panel, marks, COLOURS[name])
    return parts


def _line(
    line: list[float | None], panel: Panel, marks: list[float], colour: str
) -> list[str]:
    points = [
        (_x(number, panel.ticks), _y(value, marks, panel.log))
        for number, value in enumerate(line)
        if value is not None
    ]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts = [
        f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>'
    ]
    for x, y in points:
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
    return parts


def _x(number: int, ticks: Sequence[str]) -> float:
    inner = WIDTH - LEFT - RIGHT - 40
    return LEFT + 20 + inner * (number / max(1, len(ticks) - 1))


def _y(value: float, marks: list[float], log: bool) -> float:
    inner = HEIGHT - TOP - BOTTOM
    return HEIGHT - BOTTOM - inner * part(value, marks, log)


def part(value: float, marks: list[float], log: bool) -> float:
    """Return at which part of an axis a value is, from 0 to 1."""
    low, high = marks[0], marks[-1]
    if log:
        value, low, high = (
            math.log10(max(value, low)),
            math.log10(low),
            math.log10(high),
        )
    return (value - low) / (high - low)


def steps(values: list[float]) -> list[float]:
    """Return round numbers from 0 to above all values."""
    most = max(values, default=0) or 1
    power = 10.0 ** math.floor(math.log10(most / 4))
    step = next(power * n for n in (1, 2, 2.5, 5, 10) if power * n * 5 >= most)
    return [step * n for n in range(math.ceil(most / step) + 1)]


def powers(values: list[float]) -> list[float]:
    """Return the powers of ten from below all values to above them."""
    positive = [value for value in values if value > 0] or [1]
    low = math.floor(math.log10(min(positive)))
    high = max(low + 1, math.ceil(math.log10(max(positive))))
    return [10.0**n for n in range(low, high + 1)]


def text(
    x: float, y: float, words: str, anchor: str = "start", weight: str = "normal"
) -> str:
    """Return words at a place."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(words)}</text>'
    )
