"""Runs weft's Google Benchmark programs, the peers' figures to set beside them, and weft's counts."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measure import parse_metrics

_TO_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
_NOT_COUNTERS = {  # of a benchmark's JSON; all other numbers are the program's own counters
    "family_index", "per_family_instance_index", "repetitions", "repetition_index", "threads", "iterations",
    "real_time", "cpu_time",
}  # fmt: skip


@dataclass(frozen=True)
class Micro:
    program: str
    name: str
    real_ns: float
    cpu_ns: float
    counters: dict[str, float]


@dataclass(frozen=True)
class Count:
    name: str
    value: float
    unit: str


def _results(program: str, document: dict[str, Any]) -> list[Micro]:
    runs = document.get("benchmarks", [])
    medians = [r for r in runs if r.get("aggregate_name") == "median"]
    results = []
    for run in medians or [r for r in runs if r.get("run_type") != "aggregate"]:
        if run.get("error_occurred"):
            print(f"{program} {run['name']}: {run.get('error_message')}", file=sys.stderr)
            continue
        to_ns = _TO_NS[run["time_unit"]]
        counters = {
            k: v for k, v in run.items() if isinstance(v, (int, float)) and not isinstance(v, bool) and k not in _NOT_COUNTERS
        }
        name = run.get("run_name", run["name"])
        results.append(Micro(program, name, run["real_time"] * to_ns, run["cpu_time"] * to_ns, counters))
    return results


def run_micro(directory: Path, quick: bool, with_go: bool) -> list[Micro]:
    results: list[Micro] = []
    for path in sorted(p for p in directory.glob("weft_bench_*") if p.is_file()):
        print(f"micro-benchmarks: {path.name}", file=sys.stderr, flush=True)
        options = ["--benchmark_format=json"]
        if quick:
            options.append("--benchmark_min_time=0.05")
        else:
            options += ["--benchmark_repetitions=5", "--benchmark_min_time=0.2"]
        try:
            done = subprocess.run([str(path), *options], capture_output=True, text=True, timeout=30 if quick else 600)
            results += _results(path.name, json.loads(done.stdout))
        except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
            print(f"{path.name}: no result: {error}", file=sys.stderr)
    if with_go:
        results += _run_go(directory)
    return sorted(results, key=lambda m: m.name.partition("/")[0])  # Go's beside weft's


def _run_go(directory: Path) -> list[Micro]:
    """What a C++ program cannot measure itself: `name value ns` lines."""
    path = directory / "peer_go"
    if not path.is_file():
        return []
    print(f"micro-benchmarks: {path.name}", file=sys.stderr, flush=True)
    try:
        done = subprocess.run([str(path), "small_costs", "1"], capture_output=True, text=True, timeout=60, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        print(f"{path.name}: no result: {error}", file=sys.stderr)
        return []
    return [Micro(path.name, name, ns, ns, {}) for name, (ns, _unit) in parse_metrics(done.stdout).items()]


def run_counts(directory: Path) -> list[Count]:
    path = directory / "weft_counts"
    if not path.is_file():
        return []
    print("counts: weft_counts", file=sys.stderr, flush=True)
    try:
        done = subprocess.run([str(path)], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired as error:
        print(f"weft_counts: {error}", file=sys.stderr)
        return []
    if done.returncode != 0:
        print(f"weft_counts: exit status {done.returncode}: {done.stderr.strip()}", file=sys.stderr)
        return []
    return [Count(name, value, unit) for name, (value, unit) in parse_metrics(done.stdout).items()]


def as_json(items: list[Micro] | list[Count]) -> list[dict[str, Any]]:
    return [asdict(item) for item in items]
