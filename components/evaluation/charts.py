"""Inline SVG charts of the report: no library, no network, colours from the page's CSS.

Every mark that answers to the pointer carries `data-tip`; the page's script shows it. Charts are
drawn 440 units wide so that their text stays readable when a phone scales them down.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 66, 12, 14, 38


@dataclass(frozen=True)
class Series:
    """One named sequence of values; `css` names a colour class of the page (`c-after`...)."""

    name: str
    css: str
    values: Sequence[float | None]


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) that span [low, high]."""
    if high <= low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def line_chart(
    title: str, positions: Sequence[int], series: Sequence[Series], *, x_label: str, y_label: str
) -> str:
    """Values against whole, rising `positions`; a line passes over values that are None."""
    known = [v for s in series for v in s.values if v is not None]
    if not known:
        return ""
    first, last = positions[0], max(positions[-1], positions[0] + 1)
    y_ticks, x_ticks = ticks(min(known), max(known)), ticks(first, last, 6)
    x, y = _scale(first, last, LEFT, WIDTH - RIGHT), _y_scale(y_ticks)
    whole = [t for t in x_ticks if t == int(t) and first <= t <= last]
    parts = [_grid(y_ticks, y, y_label), _x_axis(whole, x, x_label)]
    for one in series:
        pairs = zip(positions, one.values, strict=True)
        points = [(x(position), y(v)) for position, v in pairs if v is not None]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline class="line {one.css}" points="{path}"/>')
        if len(points) <= 40:
            parts += [f'<circle class="dot {one.css}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>'
                      for a, b in points]  # fmt: skip
    band = (WIDTH - RIGHT - LEFT) / max(len(positions) - 1, 1)
    for i, position in enumerate(positions):
        values = [f"{s.name} {v:.4f}" for s in series if (v := s.values[i]) is not None]
        tip = " · ".join([f"{x_label} {position}", *values])
        parts.append(_hover(x(position) - band / 2, TOP, band, HEIGHT - TOP - BOTTOM, tip))
    return _svg(title, parts)


def histogram(title: str, edges: Sequence[float], series: Sequence[Series], *, x_label: str) -> str:
    """Shares per bin of several sets as overlaid steps; one more `edges` than bins."""
    bins = len(edges) - 1
    shares = {s.name: _shares([float(v or 0) for v in s.values]) for s in series}
    y_ticks = ticks(0.0, max(max(values) for values in shares.values()))
    x, y = _scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT), _y_scale(y_ticks)
    x_ticks = [t for t in ticks(edges[0], edges[-1], 5) if edges[0] <= t <= edges[-1]]
    parts = [
        _grid(y_ticks, y, "share of images", _percent),
        _x_axis(x_ticks, x, x_label),
    ]
    for one in series:
        heights = shares[one.name]
        steps = [(x(edges[0]), y(0))]
        for i in range(bins):
            steps += [(x(edges[i]), y(heights[i])), (x(edges[i + 1]), y(heights[i]))]
        steps.append((x(edges[-1]), y(0)))
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in steps)
        parts.append(f'<polygon class="area {one.css}" points="{path}"/>')
    for i in range(bins):
        tip = " · ".join(
            [f"{edges[i]:.2f} to {edges[i + 1]:.2f}"]
            + [f"{s.name} {shares[s.name][i]:.0%}" for s in series]
        )
        width = x(edges[i + 1]) - x(edges[i])
        parts.append(_hover(x(edges[i]), TOP, width, HEIGHT - TOP - BOTTOM, tip))
    return _svg(title, parts)


def sorted_bars(
    title: str, values: Sequence[float], labels: Sequence[str], band: tuple[float, float]
) -> str:
    """One bar a pair, sorted; `band` shades the confidence interval of the mean."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    y_ticks = ticks(min(0.0, *values, *band), max(0.0, *values, *band))
    y = _y_scale(y_ticks)
    step = (WIDTH - RIGHT - LEFT) / len(values)
    parts = [_grid(y_ticks, y, "score after minus before")]
    top, height = y(band[1]), max(y(band[0]) - y(band[1]), 1.0)
    parts.append(
        f'<rect class="band" x="{LEFT}" y="{top:.1f}" width="{WIDTH - RIGHT - LEFT}" '
        f'height="{height:.1f}"/>'
    )
    for place, i in enumerate(order):
        left, (low, high) = LEFT + place * step, sorted((y(0), y(values[i])))
        css = "c-after" if values[i] >= 0 else "c-worse"
        parts.append(
            f'<rect class="bar {css}" x="{left + step * 0.1:.2f}" y="{low:.1f}" '
            f'width="{step * 0.8:.2f}" height="{max(high - low, 0.5):.1f}"/>'
        )
        tip = f"{labels[i]} · {values[i]:+.4f}"
        parts.append(_hover(left, TOP, step, HEIGHT - TOP - BOTTOM, tip))
    parts.append(f'<line class="zero" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(0):.1f}" '
                 f'y2="{y(0):.1f}"/>')  # fmt: skip
    parts.append(_text(WIDTH / 2 + 20, HEIGHT - 8, "pairs, sorted", "middle"))
    return _svg(title, parts)


def timing_bars(seconds: Mapping[str, float]) -> str:
    """Horizontal bars as HTML, so that names and figures stay text at every width."""
    longest = max(seconds.values(), default=1.0) or 1.0
    rows = [
        f'<div class="timing"><span>{escape(name)}</span>'
        f'<span class="track"><i style="width:{100 * value / longest:.1f}%"></i></span>'
        f"<b>{duration(value)}</b></div>"
        for name, value in seconds.items()
    ]
    return "".join(rows)


def legend(series: Sequence[Series]) -> str:
    """The names of `series` beside their colours."""
    items = "".join(f'<li class="{s.css}">{escape(s.name)}</li>' for s in series)
    return f'<ul class="legend">{items}</ul>'


def duration(seconds: float) -> str:
    """Seconds in words: 4.2 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts) or 1.0
    return [count / total for count in counts]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _y_scale(y_ticks: Sequence[float]) -> Callable[[float], float]:
    return _scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)


def _decimals(values: Sequence[float]) -> Callable[[float], str]:
    """Formats all values with as many decimals as the one that needs most."""
    places = max(len(f"{value:g}".partition(".")[2]) for value in values)
    return lambda value: f"{value:.{places}f}"


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _grid(
    y_ticks: Sequence[float],
    y: Callable[[float], float],
    label: str,
    show: Callable[[float], str] | None = None,
) -> str:
    show = show or _decimals(y_ticks)
    lines = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(t):.1f}" y2="{y(t):.1f}"/>'
        + _text(LEFT - 6, y(t) + 4, show(t), "end")
        for t in y_ticks
    ]
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = (
        f'<text class="label" text-anchor="middle" transform="translate(11 {middle}) '
        f'rotate(-90)">{escape(label)}</text>'
    )
    return "".join([*lines, turned])


def _x_axis(x_ticks: Sequence[float], x: Callable[[float], float], label: str) -> str:
    marks = [_text(x(t), HEIGHT - BOTTOM + 16, f"{t:g}", "middle") for t in x_ticks]
    return "".join([*marks, _text((LEFT + WIDTH) / 2, HEIGHT - 5, label, "middle")])


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _hover(x: float, y: float, width: float, height: float, tip: str) -> str:
    return (
        f'<rect class="hover" x="{x:.2f}" y="{y}" width="{width:.2f}" height="{height}" '
        f'data-tip="{escape(tip)}"/>'
    )


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )
