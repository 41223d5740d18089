"""Runs one process for each repetition, interleaved, and repeats those that something else disturbed."""

from __future__ import annotations

import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pace import Pace
from plan import Entry

UNKNOWN_WORKLOAD = 2  # exit statuses of the workload programs
WRONG_RESULT = 3

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_FOREIGN_TICKS = 3  # /proc/stat counts in ticks: fewer than this may be rounding
_FOREIGN_SHARE = 0.05  # of the wall time of one core
_REPEATS = 3  # for one repetition, before it is taken as it is
_PACE_MATTERS_S = 2.0  # a run that takes longer meets a slow processor anyway, for a part of it
_WAIT_S = 1.0  # for full pace, before one run


@dataclass
class Sample:
    values: dict[str, float]
    foreign_s: float
    disturbed: bool


@dataclass
class Row:
    """All that is known about one entry of the plan."""

    entry: Entry
    samples: list[Sample] = field(default_factory=list)
    repeated: int = 0  # runs thrown away because of other processes or a slow processor
    error: str | None = None
    unknown: bool = False  # the program does not have this workload

    @property
    def disturbed(self) -> int:
        return sum(s.disturbed for s in self.samples)

    def values(self, metric: str) -> list[float]:
        return [] if self.error else [s.values[metric] for s in self.samples if metric in s.values]

    def median(self, metric: str) -> float | None:
        values = self.values(metric)
        return statistics.median(values) if values else None


class Failure(Exception):
    """The run gave no result; the text says why."""


class UnknownWorkload(Failure):
    pass


def _busy_seconds() -> float:
    """CPU time of everything on this machine, and what the hypervisor took from it."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(w) for w in words[:8])
    return (user + nice + system + irq + softirq + steal) * _TICK


def _own_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def parse_metrics(text: str) -> dict[str, tuple[float, str]]:
    """`metric value unit` lines."""
    metrics: dict[str, tuple[float, str]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2:
            metrics[words[0]] = (float(words[1]), " ".join(words[2:]))
    return metrics


class Meter:
    """What other processes use while something is measured."""

    def __init__(self) -> None:
        self._busy, self._own, self._start = _busy_seconds(), _own_seconds(), time.monotonic()

    @property
    def wall_s(self) -> float:
        return time.monotonic() - self._start

    def sample(self, values: dict[str, float], *measured: resource.struct_rusage) -> Sample:
        wall = self.wall_s
        foreign = _busy_seconds() - self._busy - (_own_seconds() - self._own)
        foreign -= sum(usage.ru_utime + usage.ru_stime for usage in measured)
        return Sample(values, foreign, foreign > _FOREIGN_TICKS * _TICK + _FOREIGN_SHARE * wall)


def values_of(text: str) -> dict[str, float]:
    return {name: value for name, (value, _unit) in parse_metrics(text).items()}


def check_status(status: int, said: str) -> None:
    """Raises what the exit status of a program of ours means; `said` is its standard error."""
    last = (said.strip().splitlines() or [""])[-1]
    if status == UNKNOWN_WORKLOAD:
        raise UnknownWorkload(last)
    if status == WRONG_RESULT:
        raise Failure(last or "wrong result")
    if status != 0:
        raise Failure(f"exit status {status}: {last}")


def run_once(command: list[str], environment: Mapping[str, str], timeout_s: float) -> Sample:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        meter = Meter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(environment))
        timer = threading.Timer(timeout_s, child.kill)
        timer.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)  # for this child's CPU time, which subprocess does not tell
            child.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            child.kill()
            child.wait()
            raise
        finally:
            timer.cancel()
        if child.returncode < 0 and meter.wall_s >= timeout_s:
            raise Failure(f"no result within {timeout_s:.0f} s")
        sample = meter.sample({}, usage)
        out.seek(0)
        err.seek(0)
        check_status(child.returncode, err.read())
        sample.values.update(values_of(out.read()))
        return sample


class Progress:
    """One line on stderr, rewritten in place on a terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._last = 0.0

    def skip(self, runs: int) -> None:
        self._total -= runs

    def show(self, what: str, eta_s: float | None) -> None:
        now = time.monotonic()
        if not self._terminal and now - self._last < 5 and self._done:
            return  # a log needs no line for each run
        self._last = now
        eta = "" if eta_s is None else f", about {int(eta_s) // 60}:{int(eta_s) % 60:02d} left"
        line = f"[{self._done + 1} of {self._total}{eta}] {what}"
        print(f"\r\x1b[K{line}" if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr, flush=True)

    def step(self) -> None:
        self._done += 1

    def say(self, line: str) -> None:
        print(f"\r\x1b[K{line}" if self._terminal else line, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def measure(
    entries: list[Entry],
    repetitions: Mapping[Entry, int],
    once: Callable[[Entry], Sample],
    patience_s: float,
    enough_s: float,
) -> list[Row]:
    """Rounds over all entries, so that a slow change of the machine meets each of them alike; each round in an order of
    its own, drawn with a fixed seed, so that none always runs after the same other and finds the memory it left. Repeats
    what others disturbed, and what was short and ended on a slow processor, until that and the waiting for full pace have
    taken `patience_s` in all, of which each round has its share. After `enough_s`, only what has not been run at all."""
    end = time.monotonic() + enough_s
    rows = [Row(e) for e in entries]
    progress = Progress(sum(repetitions[e] for e in entries))
    took: dict[Entry, float] = {}  # the last run's wall time, for the estimate
    done: dict[Entry, int] = {entry: 0 for entry in entries}

    def remaining(round_: int) -> float | None:
        if round_ == 0:
            return None
        needed = sum(
            took.get(row.entry, 0.0) * (repetitions[row.entry] - done[row.entry])
            for row in rows
            if not (row.error or row.unknown)
        )
        return min(needed, max(0.0, end - time.monotonic()))

    shuffle = random.Random(1)
    pace = Pace()
    rounds = max(repetitions.values(), default=0)
    left_s = 0.0
    for round_ in range(rounds):
        left_s += patience_s / rounds
        for row in shuffle.sample(rows, len(rows)):
            entry = row.entry
            if row.error or row.unknown or round_ >= repetitions[entry]:
                continue
            if row.samples and time.monotonic() > end:
                progress.skip(1)
                continue
            workers = "1 worker" if entry.workers == 1 else f"{entry.workers} workers"
            progress.show(f"round {round_ + 1}: {entry.workload} {entry.label}, {workers}", remaining(round_))
            done[entry] += 1
            try:
                for attempt in range(_REPEATS + 1):
                    short = took.get(entry, 0.0) <= _PACE_MATTERS_S
                    if short and left_s > 0:
                        left_s -= pace.wait(min(_WAIT_S, left_s))
                    start = time.monotonic()
                    sample = once(entry)
                    took[entry] = time.monotonic() - start
                    if took[entry] <= _PACE_MATTERS_S and not pace.full():
                        sample.disturbed = True
                    if not sample.disturbed or attempt == _REPEATS or left_s <= 0:
                        break
                    row.repeated += 1
                    time.sleep(0.3)  # what disturbed it may be about to end
                    left_s -= time.monotonic() - start
                row.samples.append(sample)
            except UnknownWorkload:
                row.unknown = True
                progress.skip(repetitions[entry] - round_ - 1)
                progress.say(f"{entry.program} has no {' '.join(entry.arguments)}: skipped")
            except Failure as failure:
                row.error = str(failure)
                progress.skip(repetitions[entry] - round_ - 1)
                progress.say(f"ERROR {entry.workload} {entry.label}, {workers}: {failure}")
            progress.step()
    progress.end()
    return [row for row in rows if not row.unknown]
