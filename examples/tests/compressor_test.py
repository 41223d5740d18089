"""parallel_compressor: python compressor_test.py PARALLEL_COMPRESSOR"""

import fcntl
import gzip
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile

from programs import LIMIT, Running


def compress(program: str, data: bytes, **how) -> bytes:
    done = subprocess.run([program], input=data, capture_output=True, timeout=LIMIT, check=True, **how)
    counts = re.findall(r"read (\d+), written (\d+)", done.stderr.decode())
    assert counts[-1] == (str(len(data)), str(len(done.stdout)) if data else "0"), done.stderr
    return done.stdout


def test_contents(program: str) -> None:
    text = b"".join(b"line %d\n" % n for n in range(200_000))
    for data in (b"", b"x", text, os.urandom(1_000_000)):
        assert gzip.decompress(compress(program, data)) == data
    assert len(compress(program, text)) < len(text) / 3


def test_files(program: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source, target = os.path.join(directory, "in"), os.path.join(directory, "out")
        data = bytes(range(256)) * 4000
        with open(source, "wb") as file:
            file.write(data)
        with open(target, "wb") as file:
            subprocess.run([program, source], stdout=file, stderr=subprocess.DEVNULL, timeout=LIMIT, check=True)
        with gzip.open(target) as file:
            assert file.read() == data
    missing = subprocess.run([program, "/nowhere"], capture_output=True, timeout=LIMIT)
    assert missing.returncode == 1 and b"/nowhere" in missing.stderr


def test_ticks_and_interrupt(program: str) -> None:
    """Input that comes slowly does not keep it from telling, nor from ending at SIGINT."""
    with Running(program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        for _ in range(3):
            assert running.process.stderr.readline() == b"read 0, written 0\n"
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(LIMIT) == 130


def test_terminal(program: str) -> None:
    """A terminal is left as it was."""
    master, terminal = pty.openpty()
    before = fcntl.fcntl(terminal, fcntl.F_GETFL)
    with Running(program, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal) as running:
        seen = b""
        while b"read 0" not in seen:  # it waits for input
            seen += os.read(master, 100)
        assert fcntl.fcntl(terminal, fcntl.F_GETFL) == before
        os.write(master, b"typed\n\x04")
        assert gzip.decompress(running.process.stdout.read()) == b"typed\n"
        assert running.process.wait(LIMIT) == 0
    assert fcntl.fcntl(terminal, fcntl.F_GETFL) == before
    os.close(master)
    os.close(terminal)


if __name__ == "__main__":
    for test in (test_contents, test_files, test_ticks_and_interrupt, test_terminal):
        test(sys.argv[1])
