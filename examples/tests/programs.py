"""Starts programs for tests, and stops them. Nothing here waits for a time: limits are reached only if something hangs."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT = 240.0  # seconds


def skip(reason: str) -> None:
    """Ends the test; ctest counts it as skipped."""
    print(f"skipped: {reason}")
    sys.exit(77)


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            skip(f"{program} is not installed")


def _signals_as_usual() -> None:
    # Whoever started the tests in the background has made children ignore it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Running:
    """A process that is ended, at the latest, with the block."""

    def __init__(self, *command: object, **options):
        self.process = subprocess.Popen([str(word) for word in command], preexec_fn=_signals_as_usual, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Server(Running):
    """One of the examples, which says where it listens."""

    def __init__(self, *command: object):
        super().__init__(*command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        at = re.fullmatch(r"listening at 127\.0\.0\.1:(\d+)\n", line)
        if at is None:
            self.__exit__()
            raise AssertionError(f"{command[0]} printed {line!r}")
        self.port = int(at[1])

    def stop(self, by: int = signal.SIGINT) -> str:
        """What it still prints."""
        self.process.send_signal(by)
        rest, _ = self.process.communicate(timeout=LIMIT)
        assert self.process.returncode == 0, f"exit status {self.process.returncode}"
        return rest


def connect(port: int) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


def listen() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(LIMIT)
    return listener


def accept(listener: socket.socket) -> socket.socket:
    stream, _ = listener.accept()
    stream.settimeout(LIMIT)
    return stream


def read_exactly(stream: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = stream.recv(min(size - len(data), 1 << 20))
        assert more, f"the stream ended after {len(data)} of {size} bytes"
        data += more
    return bytes(data)


def read_to_end(stream: socket.socket) -> bytes:
    data = bytearray()
    while more := stream.recv(1 << 20):
        data += more
    return bytes(data)


def reset(stream: socket.socket) -> None:
    """Closes so that the other side gets an error."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def is_reset(stream: socket.socket) -> bool:
    """Reads to the end, whichever that is."""
    try:
        read_to_end(stream)
    except ConnectionResetError:
        return True
    return False


def readable(stream: socket.socket) -> bool:
    return bool(select.select([stream], [], [], 0)[0])


@contextlib.contextmanager
def directory():
    """A new one, below the directory that the test runs in."""
    path = Path(tempfile.mkdtemp(prefix="test-", dir=os.getcwd()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def start_at_free_port(start, answers):
    """`start(port)` gives something that is Running. Somebody else may have taken the port: then it ends, and another
    is tried. @returns what runs and its port, when `answers(port)` is true."""
    for _ in range(5):
        port = free_port()
        running = start(port)
        until = time.monotonic() + LIMIT
        while running.process.poll() is None and time.monotonic() < until:
            if answers(port):
                return running, port
            time.sleep(0.02)
        running.__exit__()
    raise AssertionError("it does not start")


def without_slow_reports(text: str) -> str:
    """Without what a weft program says of fibers that keep their worker for a second: on a machine that is slow, or busy
    with others, that is no fault of the program."""
    kept, in_report = [], False
    for line in text.splitlines(keepends=True):
        in_report = " has kept worker " in line or (in_report and line.startswith("    "))
        if in_report:
            print(line, end="", file=sys.stderr)
        else:
            kept.append(line)
    return "".join(kept)


def output_of(*command: object, **options) -> str:
    """What it prints, errors first."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=LIMIT, check=False,
                          **options)
    printed = without_slow_reports(done.stderr) + done.stdout
    assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{printed}"
    return printed
