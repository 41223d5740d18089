"""tail_f: python tail_f_test.py TAIL_F"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from programs import LIMIT, Running


def expect(follower, text: str) -> None:
    """What it prints next."""
    printed = follower.process.stdout.read(len(text)).decode()
    assert printed == text, (printed, text)


def test_follows(program: str, directory: Path) -> None:
    log = directory / "log"
    log.write_text("".join(f"line {i}\n" for i in range(30)))
    with Running(program, log, stdout=subprocess.PIPE) as follower:
        expect(follower, "".join(f"line {i}\n" for i in range(20, 30)))
        for i in range(30, 130):
            with log.open("a") as end:
                end.write(f"line {i}\n")
            if i % 10 == 0:
                expect(follower, "".join(f"line {n}\n" for n in range(max(30, i - 9), i + 1)))
        expect(follower, "".join(f"line {n}\n" for n in range(121, 130)))
        (directory / "other").write_text("of no interest\n")
        # Rotated: another file gets the name.
        log.rename(directory / "log.1")
        (directory / "new").write_text("the new one\n")
        (directory / "new").rename(log)
        expect(follower, "the new one\n")
        with log.open("a") as end:
            end.write("goes on\n")
        expect(follower, "goes on\n")
        os.truncate(log, 0)
        with log.open("a") as end:
            end.write("cut\n")
        expect(follower, "cut\n")
        follower.process.send_signal(signal.SIGINT)
        assert follower.process.wait(LIMIT) == 0
        assert follower.process.stdout.read() == b""


def test_missing(program: str, directory: Path) -> None:
    result = subprocess.run([program, directory / "none"], stderr=subprocess.PIPE, timeout=LIMIT)
    assert result.returncode == 1
    assert b"none' for reading: No such file or directory" in result.stderr, result.stderr


if __name__ == "__main__":
    for test in (test_follows, test_missing):
        with tempfile.TemporaryDirectory() as name:
            test(sys.argv[1], Path(name))
