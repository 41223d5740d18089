"""Bar charts as SVG: one for each panel of the report, and the overview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Shared by page and overview. Of the bars only weft's has a colour of its own: the eye finds it in every panel.
STYLE = """
  :root, svg { --ink:#1c2430; --soft:#667085; --line:#d9dee6; --paper:#ffffff; --card:#f7f8fa;
    --weft:#4f46e5; --weft2:#a5a0f3; --peer:#94a3b8; --peer2:#cbd5e1; --bad:#c2410c; }
  @media (prefers-color-scheme: dark) {
    :root, svg { --ink:#e6e9ef; --soft:#98a2b3; --line:#333b49; --paper:#12161d; --card:#1a2029;
      --weft:#8b85ff; --weft2:#5650b8; --peer:#64748b; --peer2:#3f4b5d; --bad:#fb923c; }
  }
  svg text { font-family: ui-sans-serif, system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif;
    font-size:13px; fill:var(--ink); font-variant-numeric: tabular-nums; }
  svg .soft { fill:var(--soft); } svg .strong { font-weight:650; } svg .bad { fill:var(--bad); }
  svg .weft { fill:var(--weft); } svg .weft2 { fill:var(--weft2); } svg .peer { fill:var(--peer); }
  svg .peer2 { fill:var(--peer2); }
  svg .limit { fill:var(--peer2); stroke:var(--peer); stroke-width:1; stroke-dasharray:3 2; }
  svg .axis { stroke:var(--line); stroke-width:1; } svg .whisker { stroke:var(--ink); stroke-width:1.2; opacity:.75; }
  svg .mark { stroke:var(--soft); stroke-width:1.2; stroke-dasharray:3 3; } svg .gap { stroke:var(--card); stroke-width:3; }
"""


@dataclass(frozen=True)
class Bar:
    label: str
    kind: str  # weft, peer, limit
    median: float | None = None
    low: float = 0.0
    high: float = 0.0
    ratio: str = ""
    note: str = ""  # shown in place of a value
    tip: str = ""


def number(value: float) -> str:
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def axis_end(values: Sequence[float]) -> float:
    """Where a linear axis ends. A few bars many times longer than the rest would flatten them: they are cut instead."""
    ordered = sorted(v for v in values if v > 0)
    if not ordered:
        return 1.0
    for longer in range(len(ordered) // 3, 0, -1):
        shorter = ordered[-longer - 1]
        if ordered[-longer] > 4 * shorter:
            return shorter * 1.3
    return ordered[-1]


def _bar(x: float, y: float, width: float, height: float, css: str) -> str:
    """Square where it starts, round where it ends."""
    r = min(3.0, width / 2, height / 2)
    return (
        f'<path class="{css}" d="M{x:.1f} {y:.1f}h{width - r:.1f}a{r:.1f} {r:.1f} 0 0 1 {r:.1f} {r:.1f}'
        f'v{height - 2 * r:.1f}a{r:.1f} {r:.1f} 0 0 1 -{r:.1f} {r:.1f}h-{width - r:.1f}z"/>'
    )


def _cut(x: float, y: float, height: float) -> str:
    """The break in a bar that goes on past the axis."""
    return "".join(
        f'<path class="gap" d="M{x + d:.1f} {y + height + 2:.1f}l6 -{height + 4:.1f}"/>' for d in (-22.0, -14.0)
    )


def chart(title: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars of the medians, with whiskers from least to most."""
    width, left, right, row, top = 620, 216, 128, 27, 8
    span = width - left - right
    end = axis_end([b.median for b in bars if b.median is not None])
    height = top + row * len(bars) + 6
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
        f'<line class="axis" x1="{left}" x2="{left}" y1="{top - 4}" y2="{height - 4}"/>',
    ]
    for index, bar in enumerate(bars):
        y = top + row * index
        middle = y + row / 2 + 4.5 - 1.5
        strong = ' class="strong"' if bar.kind == "weft" else ""
        parts.append(f"<g><title>{escape(bar.tip or bar.label)}</title>")
        parts.append(f'<text x="{left - 10}" y="{middle:.1f}" text-anchor="end"{strong}>{escape(bar.label)}</text>')
        if bar.median is None:
            parts.append(f'<text class="bad" x="{left + 8}" y="{middle:.1f}">{escape(bar.note)}</text></g>')
            continue

        def at(value: float) -> float:
            return left + span * min(max(value, 0.0), end) / end

        length = max(1.5, at(bar.median) - left)
        parts.append(_bar(left, y + 5, length, row - 13, bar.kind))
        cut = bar.median > end
        whisker_end = left + length
        if cut:
            parts.append(_cut(left + length, y + 5, row - 13))
        elif bar.high > bar.low:
            low, high = at(bar.low), at(bar.high)
            whisker_end = max(whisker_end, high)
            line = y + 5 + (row - 13) / 2
            parts.append(
                f'<path class="whisker" fill="none" d="M{low:.1f} {line}H{high:.1f}M{low:.1f} {line - 3}v6M{high:.1f} {line - 3}v6"/>'
            )
        parts.append(f'<text x="{whisker_end + 7:.1f}" y="{middle:.1f}"{strong}>{number(bar.median)}</text>')
        if bar.ratio:
            parts.append(f'<text class="soft" x="{width - 4}" y="{middle:.1f}" text-anchor="end">{escape(bar.ratio)}</text>')
        parts.append("</g>")
    parts.append("</svg>")
    return "".join(parts)


@dataclass(frozen=True)
class Pair:
    """A family's medians with one and two workers."""

    label: str
    kind: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class Panel:
    title: str
    subtitle: str
    pairs: Sequence[Pair]
    mark: tuple[str, float] | None = None  # a limit to be drawn across


def _panel(panel: Panel, x: float, y: float, width: float, height: float) -> list[str]:
    left, right, top, row = x + 96, 64, y + 62, 29
    span = x + width - right - left
    medians = [v for p in panel.pairs for v in p.values if v is not None]
    end = axis_end(medians)
    parts = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" style="fill:var(--card)"/>',
        f'<text class="strong" x="{x + 16}" y="{y + 26}" style="font-size:15px">{escape(panel.title)}</text>',
        f'<text class="soft" x="{x + 16}" y="{y + 44}" style="font-size:12px">{escape(panel.subtitle)}</text>',
    ]
    for index, pair in enumerate(panel.pairs):
        line = top + row * index
        strong = ' class="strong"' if pair.kind == "weft" else ""
        parts.append(f'<text x="{left - 10}" y="{line + 16}" text-anchor="end"{strong}>{escape(pair.label)}</text>')
        for second, value in enumerate(pair.values[:2]):
            if value is None:
                continue
            length = max(1.5, span * min(value, end) / end)
            bar_y = line + 1 + 11 * second
            parts.append(_bar(left, bar_y, length, 9.5, pair.kind + ("2" if second else "")))
            if value > end:
                parts.append(_cut(left + length, bar_y, 9.5))
            parts.append(
                f'<text{strong} x="{left + length + 6:.1f}" y="{bar_y + 8.5:.1f}" style="font-size:10.5px">{number(value)}</text>'
            )
    if panel.mark is not None and panel.mark[1] <= end:
        mark_x = left + span * panel.mark[1] / end
        bottom = top + row * len(panel.pairs)
        parts.append(f'<line class="mark" x1="{mark_x:.1f}" x2="{mark_x:.1f}" y1="{top - 4}" y2="{bottom}"/>')
        parts.append(
            f'<text class="soft" x="{mark_x + 4:.1f}" y="{bottom + 9}" style="font-size:10.5px">'
            f"{escape(panel.mark[0])} {number(panel.mark[1])}</text>"
        )
    return parts


def overview(title: str, subtitle: str, panels: Sequence[Panel], standalone: bool) -> str:
    """Panels in rows of three, on paper of their own so that it reads on any page. Not standalone: the page has the style."""
    columns, gap, panel_width, top = 3, 14, 324, 66
    width = columns * panel_width + (columns + 1) * gap
    parts = []
    y = top
    for first in range(0, len(panels), columns):
        line = panels[first : first + columns]
        panel_height = 62 + 29 * max(len(p.pairs) for p in line) + (22 if any(p.mark for p in line) else 8)
        for column, panel in enumerate(line):
            parts += _panel(panel, gap + column * (panel_width + gap), y, panel_width, panel_height)
        y += panel_height + gap
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>" if standalone else "",
        f'<rect width="{width}" height="{y}" rx="14" style="fill:var(--paper)"/>',
        f'<text class="strong" x="{gap + 4}" y="32" style="font-size:18px">{escape(title)}</text>',
        f'<text class="soft" x="{gap + 4}" y="51" style="font-size:12px">{escape(subtitle)}</text>',
    ]
    key_x = width - gap - 180
    for offset, css, text in ((0, "weft", "1 worker"), (92, "weft2", "2 workers")):
        head.append(f'<rect class="{css}" x="{key_x + offset}" y="22" width="12" height="12" rx="2"/>')
        head.append(f'<text class="soft" x="{key_x + offset + 18}" y="32.5" style="font-size:12px">{text}</text>')
    return "".join([*head, *parts, "</svg>"])
