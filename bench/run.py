#!/usr/bin/env python3
"""Runs the workloads of weft and of its peers, prints one table and writes a report.

The programs are those found in BUILD_DIR/bench; what is absent is skipped.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path

import machine
import measure
import micro
import plan
import report
import serve

ROOT = Path(__file__).resolve().parent.parent


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer repetitions: under three minutes")
    parser.add_argument("--workloads", metavar="LIST", help="such as W2,W3 (usually all)")
    parser.add_argument("--peers", metavar="LIST", default="all", help="such as Go,Tokio; `none`, or `all` that are built")
    parser.add_argument("--workers", metavar="LIST", default="1,2", help="numbers of worker threads (usually 1,2)")
    parser.add_argument("--repetitions", type=int, metavar="N", help="runs of each program (usually 9, of the longest 5)")
    parser.add_argument("--build-dir", type=Path, default=ROOT / "build/release", metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/report", metavar="DIR")
    parser.add_argument("--no-micro", action="store_true", help="leave out micro-benchmarks and counts")
    args = parser.parse_args()
    args.workloads = args.workloads.upper().split(",") if args.workloads else list(plan.WORKLOADS)
    args.workers = [int(n) for n in args.workers.split(",")]
    if wrong := set(args.workloads) - set(plan.WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(wrong))}")
    by_lower = {family.lower(): family for family in plan.FAMILIES}
    presets: dict[str, list[str]] = {"all": list(by_lower), "none": []}
    wanted = presets.get(args.peers) or [name for name in args.peers.lower().split(",") if name not in presets]
    if wrong := set(wanted) - set(by_lower):
        parser.error(f"no such peer: {', '.join(sorted(wrong))}")
    args.families = {by_lower[name] for name in wanted} | {plan.WEFT, *plan.LIMITS}
    return args


def sizes(args: argparse.Namespace) -> dict[str, int]:
    """The caller's environment wins over the usual size."""
    chosen = {}
    for workload in plan.WORKLOADS.values():
        usual = workload.quick_size if args.quick else workload.size
        chosen[workload.id] = int(os.environ.get(workload.size_variable, usual))
    return chosen


def repetitions(args: argparse.Namespace, entry: plan.Entry) -> int:
    if args.repetitions is not None:
        return int(args.repetitions)
    if args.quick:
        return plan.WORKLOADS[entry.workload].quick_repetitions
    usual = plan.WORKLOADS[entry.workload].repetitions
    return min(usual, entry.most_repetitions or usual)


def main() -> int:
    args = parse_arguments()
    directory = args.build_dir / "bench"
    entries = plan.entries(args.workloads, args.workers, args.families)
    for program in dict.fromkeys(program for e in entries for program in e.programs):
        if not (directory / program).is_file():
            print(f"{program} is not built: skipped", file=sys.stderr)
    entries = [e for e in entries if all((directory / program).is_file() for program in e.programs)]
    if not entries:
        print(f"nothing to run in {directory}", file=sys.stderr)
        return 1

    size = sizes(args)
    environment = os.environ | {plan.WORKLOADS[w].size_variable: str(n) for w, n in size.items()}

    def once(entry: plan.Entry) -> measure.Sample:
        workload = plan.WORKLOADS[entry.workload]
        machine.touch_memory(workload.bytes_each * size[workload.id])
        if workload.load is not None:
            return serve.run_served(entry, directory, environment, timeout_s=60)
        return measure.run_once([str(directory / entry.program), *entry.arguments], environment, timeout_s=120)

    start = time.monotonic()
    wanted = {e: repetitions(args, e) for e in entries}
    # A quick run's micro-benchmarks and counts take about 30 s more.
    patience_s, enough_s = (10, 130) if args.quick else (300, math.inf)
    rows = measure.measure(entries, wanted, once, patience_s, enough_s)
    with_micro = plan.WEFT in args.families and not args.no_micro
    results = report.Results(
        machine=machine.describe(ROOT, args.build_dir),
        quick=args.quick,
        size=size,
        rows=rows,
        micro=micro.run_micro(directory, args.quick, "Go" in args.families) if with_micro else [],
        counts=micro.run_counts(directory) if with_micro else [],
        seconds=time.monotonic() - start,
    )
    print(report.table(results))
    for path in report.write(results, args.out):
        print(f"wrote {os.path.relpath(path)}", file=sys.stderr)
    return 1 if any(row.error for row in rows) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
