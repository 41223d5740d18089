"""The C++ in a page of Markdown, as a program; and whether it does what the page says.

    page.py write PAGE.md OUTPUT.cpp            what tests/docs/CMakeLists.txt compiles
    page.py check PAGE.md PROGRAM               runs each block in a process of its own, and compares what it prints
    page.py write-file PAGE.md NAME OUTPUT.cpp  a program that the page calls by a name
    page.py play PAGE.md NAME PROGRAM           its transcripts, with such a program

A block of C++ is

    ```cpp                  the body of a function, which runs on a fiber in virtual time
    ```cpp simulated        the same in a simulation with a network and files, from seed 1
    ```cpp                  whose first line is `// in main`: the same on the program's own thread
    ```cpp                  that has an `int main(`: a program, which runs as it is
    ```cpp shared           what the blocks after it may use, outside of functions; programs may not
    ```cpp file NAME        a program that is compiled by itself, and runs in a transcript

and a block of `text` behind it is what it prints. Without one it prints nothing. Names of `weft`, and
`std::chrono_literals`, are in scope, but not for programs. A transcript is a

    ```console
    $ ./NAME 8080 &
    what it prints when it starts
    $ command
    what that prints
    $ kill -TERM %1
    what the program prints at its end
    ```

in which the port 8080 stands for any that is free.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HEADERS = """\
#undef NDEBUG
#include <weft/io/testing.hpp>
#include <weft/io/testing/simulated_files.hpp>
#include <weft/io/testing/simulated_network.hpp>
#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <numeric>
#include <ranges>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

namespace page {
using namespace weft;
using namespace std::chrono_literals;
}
"""

MAIN = """
int main(int argc, char** argv) {
  int const block = argc > 1 ? std::atoi(argv[1]) : 0;
  switch (block) {
%s    default:
      return 3;
  }
}
"""

WAYS = {
    "body": "weft::run(page::block_{number}, weft::testing::in_virtual_time());",
    "simulated": "{{ weft::testing::simulation sim{{1}}; weft::testing::simulated_network net{{sim}}; "
                 "weft::testing::simulated_files files{{sim}}; sim.run(page::block_{number}); }}",
    "thread": "page::block_{number}();",
    "program": "return program_{number}::main();",
}


@dataclass
class Fence:
    """What stands between two fences."""
    line: int  # its first, in the page
    words: list[str]  # behind the opening fence
    text: str


@dataclass
class Block:
    number: int
    way: str
    name: str
    line: int
    code: str
    output: str = ""


def fences_of(page: Path) -> list[Fence]:
    fences = []
    opened = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("```"):
            if opened is not None:
                opened.text += line + "\n"
        elif opened is None:
            opened = Fence(number + 1, line[3:].split(), "")
        else:
            fences.append(opened)
            opened = None
    if opened is not None:
        sys.exit(f"{page}:{opened.line - 1}: this fence is never closed")
    return fences


def way_of(fence: Fence) -> str:
    words = fence.words[1:]
    if words in (["shared"], ["simulated"]):
        return words[0]
    if len(words) == 2 and words[0] == "file":
        return "file"
    if words:
        sys.exit(f"line {fence.line - 1}: unknown words after cpp: {' '.join(words)}")
    if re.search(r"^int main\(", fence.text, re.MULTILINE):
        return "program"
    return "thread" if fence.text.startswith("// in main\n") else "body"


def blocks_of(page: Path) -> list[Block]:
    blocks: list[Block] = []
    takes_output = False
    for fence in fences_of(page):
        kind = fence.words[0] if fence.words else ""
        if kind == "cpp":
            way = way_of(fence)
            name = fence.words[2] if way == "file" else ""
            blocks.append(Block(len(blocks) + 1, way, name, fence.line, fence.text))
            takes_output = way not in ("shared", "file")
        elif kind == "text":
            if not takes_output:
                sys.exit(f"{page}:{fence.line}: the output of which block?")
            blocks[-1].output = fence.text
            takes_output = False
    return blocks


def as_function(program: str) -> str:
    """A main that is a function like any other, which has to end with a return."""
    head, begin, body = program.partition("int main(")
    body = re.sub(r"^}$", "return 0; }", body, count=1, flags=re.MULTILINE)
    return head + begin + body


def write(page: Path, output: Path) -> None:
    includes: list[str] = []
    parts: list[str] = []
    cases: list[str] = []

    def without_includes(code: str) -> str:
        includes.extend(re.findall(r"^#include .*$", code, re.MULTILINE))
        return re.sub(r"^#include .*$", "", code, flags=re.MULTILINE)

    for block in blocks_of(page):
        code = f'#line {block.line} "{page.resolve()}"\n' + without_includes(block.code)
        number = block.number
        if block.way == "file":
            continue
        if block.way == "program":
            parts.append(f"namespace program_{number} {{\n{as_function(code)}}}\n")
        elif block.way == "shared":
            parts.append(f"namespace page {{\n{code}}}\n")
        else:
            parts.append(f"namespace page {{\nvoid block_{number}() {{\n{code}}}\n}}\n")
        if block.way != "shared":
            call = WAYS[block.way].format(number=number)
            cases.append(f"    case {number}:\n      {call}\n      break;\n")
    text = "".join(line + "\n" for line in dict.fromkeys(includes)) + HEADERS + "\n" + "\n".join(parts)
    output.write_text(text + MAIN % "".join(cases), encoding="utf-8")


def check(page: Path, program: Path) -> int:
    failed = ran = 0
    for block in blocks_of(page):
        if block.way in ("shared", "file"):
            continue
        ran += 1
        done = subprocess.run([program, str(block.number)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              encoding="utf-8", timeout=100, check=False)
        if done.returncode != 0 or done.stdout != block.output:
            failed += 1
            print(f"{page}:{block.line}: ended with {done.returncode} and printed\n{done.stdout}\nnot\n{block.output}")
    print(f"{ran} blocks, {failed} failed")
    return 1 if failed or not ran else 0


# --- transcripts

class Background:
    """A program that a transcript has started, and what it has printed."""

    def __init__(self, command: list[str]) -> None:
        # Whoever started the tests in the background has made children ignore SIGINT.
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8",
                                        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def lines(self, count: int) -> str:
        assert self.process.stdout is not None
        return "".join(self.process.stdout.readline() for _ in range(count))

    def end(self, by: str) -> str:
        self.process.send_signal(signal.Signals["SIG" + by.removeprefix("-")])
        rest, _ = self.process.communicate(timeout=60)
        if self.process.returncode != 0:
            rest += f"(ended with {self.process.returncode})\n"
        return rest


def steps_of(transcript: str) -> list[tuple[str, str]]:
    steps: list[tuple[str, str]] = []
    for line in transcript.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], ""))
        elif steps:
            steps[-1] = (steps[-1][0], steps[-1][1] + line + "\n")
        else:
            sys.exit(f"a transcript begins with a command, not with {line!r}")
    return steps


def play(page: Path, name: str, program: Path) -> int:
    transcripts = [f.text for f in fences_of(page) if f.words[:1] == ["console"] and f"./{name} " in f.text]
    if not transcripts:
        sys.exit(f"{page}: no transcript of ./{name}")
    failed = 0
    for transcript in transcripts:
        port = "8080"
        running = None
        try:
            for command, expected in steps_of(transcript):
                words = command.split()
                if words[0] == f"./{name}":
                    running = Background([str(program), *(w.replace("8080", "0") for w in words[1:] if w != "&")])
                    printed = running.lines(expected.count("\n"))
                    found = re.search(r"127\.0\.0\.1:(\d+)", printed)
                    port = found[1] if found else port
                elif words[0] == "kill":
                    assert running is not None
                    printed = running.end(words[1])
                elif shutil.which(words[0]) is None:
                    print(f"skipped: there is no {words[0]}")
                    return 77
                else:
                    printed = subprocess.run(["/bin/sh", "-c", command.replace("8080", port)], stdin=subprocess.DEVNULL,
                                             stdout=subprocess.PIPE, encoding="utf-8", timeout=60, check=False,
                                             env={**os.environ, "no_proxy": "*"}).stdout
                printed = printed.replace("\r", "")
                if printed != expected.replace("8080", port):
                    failed += 1
                    print(f"$ {command}\nprinted\n{printed}\nnot\n{expected}")
        finally:
            if running is not None and running.process.poll() is None:
                running.process.kill()
                running.process.wait()
    print(f"{len(transcripts)} transcripts, {failed} steps failed")
    return 1 if failed else 0


def main(command: str, page: str, *rest: str) -> int:
    path = Path(page)
    if command == "write":
        write(path, Path(rest[0]))
    elif command == "check":
        return check(path, Path(rest[0]))
    elif command == "play":
        return play(path, rest[0], Path(rest[1]))
    elif command == "write-file":
        [block] = [b for b in blocks_of(path) if b.name == rest[0]]
        Path(rest[1]).write_text(f'#line {block.line} "{path.resolve()}"\n{block.code}', encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
