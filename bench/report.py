"""What the rows come to: the table on the terminal, the page, the picture and the JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

import plan
import plots
from measure import Row
from micro import Count, Micro, as_json
from plan import Metric, Workload
from plots import number


@dataclass
class Results:
    machine: dict[str, object]
    quick: bool
    size: dict[str, int]
    rows: list[Row]
    micro: list[Micro]
    counts: list[Count]
    seconds: float

    def select(self, workload: str, workers: int | None = None) -> list[Row]:
        return [r for r in self.rows if r.entry.workload == workload and workers in (None, r.entry.workers)]

    @property
    def workloads(self) -> list[Workload]:
        return [w for w in plan.WORKLOADS.values() if self.select(w.id)]

    def workers(self, workload: str) -> list[int]:
        return sorted({r.entry.workers for r in self.select(workload)})

    def weft(self, row: Row, metric: str) -> float | None:
        """weft's median for the same workload and number of workers."""
        same = self.select(row.entry.workload, row.entry.workers)
        return next((r.median(metric) for r in same if r.entry.label == plan.WEFT), None)

    def baseline(self, workload: Workload, metric: Metric, workers: int) -> tuple[str, float] | None:
        """The floor under a workload (its short name, its median), if it was measured: in the same workload, with as many
        workers where there is such a row; or what all are set beside."""
        rows = [row for row in self.rows if row.entry.label == workload.baseline]
        rows = [row for row in rows if row.entry.workload == workload.id] or rows
        for row in sorted(rows, key=lambda row: row.entry.workers != workers):
            own = row.entry.workload == workload.id
            name = metric.name if own else plan.WORKLOADS[row.entry.workload].metrics[0].name
            if (median := row.median(name)) is not None:
                return (plan.BASELINES[row.entry.label], median)
        return None


def _over(value: float | None, base: float | None) -> float | None:
    # An excess over one second may be near nothing or below it: no ratio then.
    return value / base if value is not None and base is not None and base > 0 and value > 0 else None


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 9.995 else f"{value:.0f}"


def _spread(values: list[float]) -> str:
    return f"{number(min(values))}..{number(max(values))}" if values else ""


def _notes(row: Row) -> str:
    """What a reader has to know about the figures of this row."""
    notes = []
    if row.repeated:
        notes.append(f"{row.repeated} repeated")
    if row.disturbed:
        notes.append(f"{row.disturbed} of {len(row.samples)} disturbed")
    return ", ".join(notes)


def _size(results: Results, workload: Workload) -> str:
    size = results.size[workload.id]
    usual = "" if size == workload.size else f" (not {workload.size:,})"
    return f"{size:,} {workload.size_means}{usual}"


def _sections(results: Results) -> Iterator[tuple[Workload, Metric, int, list[Row]]]:
    for workload in results.workloads:
        for metric in workload.metrics:
            for workers in results.workers(workload.id):
                yield workload, metric, workers, results.select(workload.id, workers)


def table(results: Results) -> str:
    lines: list[str] = []
    for workload, metric, workers, rows in _sections(results):
        base = results.baseline(workload, metric, workers)
        who = "1 worker" if workers == 1 else f"{workers} workers"
        lines += [
            "",
            f"{workload.id} {workload.title}, {who}: {metric.heading} [{metric.unit}], {_size(results, workload)}",
            f"  {'':40}{'median':>10}  {'min..max':<19}{'n':>3}{'x weft':>8}" + (f"{'x ' + base[0]:>10}" if base else ""),
        ]
        for row in rows:
            if row.error:
                lines.append(f"  {row.entry.label:40}ERROR: {row.error}")
                continue
            values, median = row.values(metric.name), row.median(metric.name)
            if median is None:
                continue
            line = f"  {row.entry.label:40}{number(median):>10}  {_spread(values):<19}{len(values):>3}"
            line += f"{_ratio(_over(median, results.weft(row, metric.name))):>8}"
            if base:
                line += f"{_ratio(_over(median, base[1])):>10}"
            notes = _notes(row)
            lines.append(line + (f"  {notes}" if notes else ""))
    if results.counts:
        lines += ["", "counts"] + [f"  {c.name:58}{number(c.value):>12}  {c.unit}" for c in results.counts]
    if results.micro:
        lines += ["", "micro-benchmarks: median real time [ns]"]
        lines += [f"  {m.name:58}{number(m.real_ns):>12}" for m in results.micro]
    return "\n".join(lines)


def markdown(results: Results) -> str:
    """One table, for a README."""
    counts = sorted({r.entry.workers for r in results.rows})
    heads = [f"{'1 worker' if n == 1 else f'{n} workers'} | × weft" for n in counts]
    lines = ["| workload | program | " + " | ".join(heads) + " |", "|---|---|" + "---:|---:|" * len(counts)]
    for workload in results.workloads:
        for metric in workload.metrics:
            name = f"{workload.id} {workload.title}: {metric.heading} [{metric.unit}]"
            for label in dict.fromkeys(r.entry.label for r in results.select(workload.id)):
                cells = []
                for workers in counts:
                    row = next((r for r in results.select(workload.id, workers) if r.entry.label == label), None)
                    if row is None or row.error or (median := row.median(metric.name)) is None:
                        cells.append("error | " if row and row.error else " | ")
                        continue
                    ratio = _ratio(_over(median, results.weft(row, metric.name)))
                    cells.append(f"{number(median)} ({_spread(row.values(metric.name))}) | {ratio}")
                shown = f"**{label}**" if label == plan.WEFT else label
                lines.append(f"| {name} | {shown} | " + " | ".join(cells) + " |")
                name = ""
    return "\n".join(lines) + "\n"


def as_document(results: Results) -> dict[str, object]:
    rows = []
    for row in results.rows:
        metrics = {}
        for metric in plan.WORKLOADS[row.entry.workload].metrics:
            if values := row.values(metric.name):
                median = row.median(metric.name)
                base = results.baseline(plan.WORKLOADS[row.entry.workload], metric, row.entry.workers)
                metrics[metric.name] = {
                    "unit": metric.unit,
                    "median": median,
                    "min": min(values),
                    "max": max(values),
                    "values": values,
                    "over_weft": _over(median, results.weft(row, metric.name)),
                    **({f"over_{base[0]}": _over(median, base[1])} if base else {}),
                }
        rows.append(
            {
                "workload": row.entry.workload,
                "workers": row.entry.workers,
                "program": row.entry.label,
                "family": row.entry.family,
                "size": results.size[row.entry.workload],
                "metrics": metrics,
                "foreign_cpu_s": [round(s.foreign_s, 3) for s in row.samples],
                "repeated": row.repeated,
                "disturbed": row.disturbed,
                "error": row.error,
            }
        )
    return {
        "machine": results.machine,
        "quick": results.quick,
        "seconds": round(results.seconds),
        "workloads": rows,
        "micro": as_json(results.micro),
        "counts": as_json(results.counts),
    }


def _kind(row: Row) -> str:
    return "limit" if row.entry.limit else "weft" if row.entry.family == plan.WEFT else "peer"


def _ordered(rows: list[Row], metric: Metric) -> list[Row]:
    """weft first, then the others from best to worst, what bounds them all last."""
    groups = {"weft": 0, "peer": 1, "limit": 2}

    def badness(row: Row) -> float:
        median = row.median(metric.name)
        return float("inf") if not median else -median if metric.more_is_better else median

    return sorted(rows, key=lambda r: (groups[_kind(r)], 0 if _kind(r) == "weft" else badness(r)))


def _chart(results: Results, workload: Workload, metric: Metric, workers: int, rows: list[Row]) -> str:
    bars = []
    for row in _ordered(rows, metric):
        values, median = row.values(metric.name), row.median(metric.name)
        if median is None:
            if row.error:
                bars.append(plots.Bar(row.entry.label, _kind(row), note=f"error: {row.error}", tip=row.error))
            continue
        ratio = _over(median, results.weft(row, metric.name))
        tip = f"{row.entry.label}: median {number(median)} {metric.unit}, {_spread(values)}, {len(values)} runs"
        if notes := _notes(row):
            tip += f", {notes}"
        bars.append(
            plots.Bar(
                row.entry.label,
                _kind(row),
                median,
                min(values),
                max(values),
                f"{_ratio(ratio)}×" if ratio is not None and row.entry.label != plan.WEFT else "",
                tip=tip,
            )
        )
    return plots.chart(f"{workload.id} {metric.title}", bars) if bars else ""


_PANELS = (  # workload, metric, title
    ("W2", "ns_per_yield", "Yield"),
    ("W3", "ns_per_spawn_join", "Spawn and join"),
    ("W10", "wall_ms", "Fork and join, fib(30)"),
    ("W4", "wall_ms", "Skynet"),
    ("W4", "peak_rss_mib", "Skynet's memory"),
    ("W5", "ns_per_round_trip", "Ping-pong by channels"),
    ("W6", "ns_per_message", "Channel, four to four"),
    ("W7", "ns_per_lock", "Mutex of 64 tasks"),
    ("W8", "rss_bytes_per_fiber", "Memory of a parked task"),
    ("W8", "create_park_ms", "Create and park"),
    ("W9", "cpu_s", "Sleepers"),
    ("W11", "server_cpu_us_per_req", "Echo: CPU per request"),
)
_UNITS = {"ns": "nanoseconds", "ms": "milliseconds", "us": "microseconds", "B": "bytes", "MiB": "MiB", "s": "seconds of CPU time"}


def _overview(results: Results, standalone: bool) -> str:
    panels = []
    for workload_id, metric_name, title in _PANELS:
        workload = plan.WORKLOADS[workload_id]
        metric = next(m for m in workload.metrics if m.name == metric_name)
        pairs = []
        for family in plan.FAMILIES:
            if family in plan.LIMITS:
                continue
            best: list[float | None] = []  # of the family's variants
            for workers in (1, 2):
                rows = [r for r in results.select(workload_id, workers) if r.entry.family == family]
                if family == plan.WEFT:
                    rows = [r for r in rows if r.entry.label == plan.WEFT]
                best.append(min((m for r in rows if (m := r.median(metric_name)) is not None), default=None))
            if any(v is not None for v in best):
                pairs.append(plots.Pair(family, "weft" if family == plan.WEFT else "peer", tuple(best)))
        pairs.sort(key=lambda p: (p.kind != "weft", p.values[0] if p.values[0] is not None else float("inf")))
        if pairs:
            size = f", {results.size[workload_id]:,} {workload.size_means}" if workload.size_means in ("tasks", "leaves") else ""
            unit = _UNITS[metric.unit]
            mark = results.baseline(workload, metric, 1)
            if mark and mark[0] == "raw":
                mark = ("bare switch", mark[1])
            panels.append(plots.Panel(title, unit + size, pairs, mark))
    if not panels:
        return ""
    machine = results.machine
    subtitle = f"Medians, less is better. {machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}"
    return plots.overview("weft beside its peers" if standalone else "At a glance", subtitle, panels, standalone)


_PAGE_STYLE = """
  * { box-sizing:border-box; }
  body { margin:0; background:var(--paper); color:var(--ink); line-height:1.5;
    font:15px/1.5 ui-sans-serif, system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif; }
  main { max-width:1180px; margin:0 auto; padding:36px 20px 60px; }
  h1 { font-size:28px; margin:0 0 6px; letter-spacing:-.01em; } h2 { font-size:19px; margin:40px 0 2px; }
  h3 { font-size:14px; margin:0 0 8px; font-weight:600; } p { margin:2px 0 12px; } .soft { color:var(--soft); }
  .grid { display:grid; grid-template-columns:repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap:14px; margin-bottom:14px; }
  .card { background:var(--card); border-radius:10px; padding:16px 18px 10px; min-width:0; } svg { width:100%; height:auto; display:block; }
  table { border-collapse:collapse; width:100%; font-size:13.5px; font-variant-numeric:tabular-nums; }
  th, td { text-align:right; padding:4px 10px; border-bottom:1px solid var(--line); white-space:nowrap; }
  th { font-weight:600; color:var(--soft); } th:first-child, td:first-child { text-align:left; }
  tr.weft td { font-weight:650; } .bad { color:var(--bad); } .scroll { overflow-x:auto; }
  td.group { padding-top:16px; font-weight:650; }
  dl { display:grid; grid-template-columns:max-content 1fr; gap:2px 16px; margin:12px 0 24px; font-size:13.5px; }
  dt { color:var(--soft); } dd { margin:0; }
"""


def _about(results: Results) -> str:
    machine = results.machine
    versions = machine["versions"]
    assert isinstance(versions, dict)
    counts = {len(r.samples) for r in results.rows if r.samples}
    repeated = sum(r.repeated for r in results.rows)
    disturbed = sum(r.disturbed for r in results.rows)
    facts = {
        "Taken": f"{machine['date']}, revision {machine['revision']}, in {results.seconds / 60:.1f} minutes"
        + (" (--quick: smaller sizes, fewer repetitions)" if results.quick else ""),
        "Machine": f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB",
        "System": f"{machine['system']}, Linux {machine['kernel']}",
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()) or "not noted",
        "Repetitions": f"{' to '.join(str(n) for n in sorted({min(counts, default=0), max(counts, default=0)}))}"
        " of each program, one process each, interleaved",
        "Disturbance": f"{repeated} runs repeated because other processes used the processor meanwhile, or it was slow afterwards; "
        f"{disturbed} such runs kept all the same",
    }
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items()) + "</dl>"


def _figures(results: Results) -> str:
    """The numbers behind the plots."""
    lines = ["<tr><th></th><th>median</th><th>min</th><th>max</th><th>n</th><th>× weft</th><th>× floor</th><th>notes</th></tr>"]
    for workload, metric, workers, rows in _sections(results):
        who = "1 worker" if workers == 1 else f"{workers} workers"
        title = f"{workload.id} {workload.title}, {who}: {metric.heading} [{metric.unit}]"
        lines.append(f'<tr><td class="group" colspan="8">{escape(title)}</td></tr>')
        base = results.baseline(workload, metric, workers)
        for row in rows:
            label = escape(row.entry.label)
            values, median = row.values(metric.name), row.median(metric.name)
            if row.error:
                lines.append(f'<tr><td>{label}</td><td class="bad" colspan="7">error: {escape(row.error)}</td></tr>')
            elif median is not None:
                cells = [number(median), number(min(values)), number(max(values)), str(len(values))]
                cells.append(_ratio(_over(median, results.weft(row, metric.name))))
                cells += [_ratio(_over(median, base[1])) if base else "", _notes(row)]
                css = ' class="weft"' if row.entry.label == plan.WEFT else ""
                lines.append(f"<tr{css}><td>{label}</td>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
    return '<div class="scroll"><table>' + "".join(lines) + "</table></div>"


def page(results: Results) -> str:
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>weft: benchmark</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
        f"<style>{plots.STYLE}{_PAGE_STYLE}</style></head><body><main>",
        "<h1>weft beside its peers</h1>",
        '<p class="soft">Bars are medians, whiskers reach from the least to the most, shorter is better. '
        "The figure at the right edge is the ratio to weft. A bar with a break goes on past the axis.</p>",
        _about(results),
        _overview(results, standalone=False),
    ]
    for workload in results.workloads:
        parts.append(f"<h2>{workload.id} {escape(workload.title)}</h2>")
        parts.append(f'<p class="soft">{escape(workload.about)} Size: {escape(_size(results, workload))}.</p>')
        for metric in workload.metrics:
            parts.append('<div class="grid">')
            for workers in results.workers(workload.id):
                svg = _chart(results, workload, metric, workers, results.select(workload.id, workers))
                if svg:
                    who = "1 worker" if workers == 1 else f"{workers} workers"
                    parts.append(
                        f'<div class="card"><h3>{escape(metric.heading[0].upper() + metric.heading[1:])} '
                        f'<span class="soft">[{escape(metric.unit)}], {who}</span></h3>{svg}</div>'
                    )
            parts.append("</div>")
    if results.counts:
        parts.append('<h2>Counts</h2><p class="soft">Counted, not timed: they do not wobble.</p><div class="scroll"><table>')
        parts += [
            f"<tr><td>{escape(c.name)}</td><td>{number(c.value)}</td><td>{escape(c.unit)}</td></tr>" for c in results.counts
        ]
        parts.append("</table></div>")
    if results.micro:
        parts.append('<h2>Micro-benchmarks</h2><p class="soft">Google Benchmark, medians.</p><div class="scroll"><table>')
        parts.append("<tr><th>benchmark</th><th>real time [ns]</th><th>CPU time [ns]</th><th>counters</th></tr>")
        for m in results.micro:
            counters = ", ".join(f"{k} {number(v)}" for k, v in m.counters.items())
            parts.append(
                f"<tr><td>{escape(m.name)}</td><td>{number(m.real_ns)}</td><td>{number(m.cpu_ns)}</td><td>{escape(counters)}</td></tr>"
            )
        parts.append("</table></div>")
    parts.append("<h2>All figures</h2>" + _figures(results))
    parts.append("</main></body></html>\n")
    return "".join(parts)


def write(results: Results, directory: Path) -> list[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    files = {
        "index.html": page(results),
        "overview.svg": _overview(results, standalone=True) + "\n",
        "table.md": markdown(results),
        "results.json": json.dumps(as_document(results), indent=1) + "\n",
    }
    for name, text in files.items():
        (directory / name).write_text(text)
    return [directory / name for name in files]
