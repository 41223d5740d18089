"""One repetition of a workload whose program is a server: start it, put the load on it, end it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO

import plan
from measure import Failure, Meter, Sample, check_status, values_of

_START_TIMEOUT_S = 10
_END_TIMEOUT_S = 10


class _Child:
    """A process, its output in files, and after its end its CPU time. It inherits the cores that it may use."""

    def __init__(self, command: list[str], environment: Mapping[str, str], cores: set[int] | None, out: IO[str] | int) -> None:
        self._err = tempfile.TemporaryFile("w+")
        usual = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores or usual)
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=self._err, env=dict(environment), text=True
            )
        finally:
            os.sched_setaffinity(0, usual)

    def ended(self, what: str, timeout_s: float) -> resource.struct_rusage:
        """Waits for the end. Raises unless that is a good one."""
        descriptor = os.pidfd_open(self.process.pid)
        try:
            with DefaultSelector() as selector:
                selector.register(descriptor, EVENT_READ)
                if not selector.select(timeout_s):
                    self.kill()
                    raise Failure(f"{what}: no end within {timeout_s:.0f} s")
        finally:
            os.close(descriptor)
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self._err.seek(0)
        said = self._err.read()
        try:
            check_status(self.process.returncode, said)
        except Failure as failure:
            raise type(failure)(f"{what}: {failure}") from None
        return usage

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        self._err.close()


@contextmanager
def _child(command: list[str], environment: Mapping[str, str], cores: set[int] | None, out: IO[str] | int) -> Iterator[_Child]:
    child = _Child(command, environment, cores, out)
    try:
        yield child
    finally:
        child.kill()


def _port(server: _Child) -> int:
    """What the server prints once it listens."""
    assert server.process.stdout is not None
    with DefaultSelector() as selector:
        selector.register(server.process.stdout, EVENT_READ)
        if not selector.select(_START_TIMEOUT_S):
            raise Failure(f"server: it does not listen within {_START_TIMEOUT_S} s")
    line = server.process.stdout.readline()
    if not line:
        server.ended("server", _END_TIMEOUT_S)  # says why
    word, _, port = line.strip().partition(" ")
    if word != "port" or not port.isdigit():
        raise Failure(f"server: {line.strip()!r} is no port")
    return int(port)


def run_served(entry: plan.Entry, directory: Path, environment: Mapping[str, str], timeout_s: float) -> Sample:
    milliseconds = int(environment[plan.WORKLOADS[entry.workload].size_variable])
    sample = _serve(entry, entry.program, milliseconds, directory, environment, timeout_s)
    if entry.counted:
        counts = _serve(entry, entry.counted, milliseconds // 4, directory, environment, timeout_s).values
        sample.values.update({name: value for name, value in counts.items() if name.endswith("_calls_per_req")})
    return sample


def _serve(
    entry: plan.Entry, program: str, milliseconds: int, directory: Path, environment: Mapping[str, str], timeout_s: float
) -> Sample:
    workload = plan.WORKLOADS[entry.workload]
    load = workload.load
    assert load is not None
    server_cores = client_cores = None
    if entry.workers == 1:
        cores = sorted(os.sched_getaffinity(0))
        server_cores, client_cores = {cores[0]}, {cores[1 % len(cores)]}
    command = [str(directory / program), *entry.arguments]
    meter = Meter()
    with _child(command, environment, server_cores, subprocess.PIPE) as server, tempfile.TemporaryFile("w+") as out:
        arguments = load.arguments(_port(server), milliseconds, server.process.pid)
        with _child([str(directory / load.program), *arguments], environment, client_cores, out) as client:
            try:
                client_usage = client.ended("client", timeout_s)
            except Failure as failure:
                if (status := server.process.poll()) is None:
                    raise
                raise Failure(f"{failure}; the server had ended with status {status}") from None
        server.process.send_signal(signal.SIGTERM)
        server_usage = server.ended("server", _END_TIMEOUT_S)
        out.seek(0)
        assert server.process.stdout is not None
        values = values_of(out.read()) | values_of(server.process.stdout.read())
    return meter.sample(values, server_usage, client_usage)
