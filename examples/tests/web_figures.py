"""How long the programs of web/ take where services and disks are slow: python web_figures.py DIRECTORY_OF_PROGRAMS

For an idle machine: it asserts times, and no test runs it. Prints each program's own figures."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from programs import Server, directory, output_of

programs = Path(sys.argv[1])
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def run(name: str, *words: object) -> str:
    return output_of(programs / f"weft_example_{name}", *words)


def seconds(text: str, before: str) -> list:
    return [float(number) for number in re.findall(before + r"[^\n]*?(\d+\.\d\d) s", text)]


def check(what: str, holds: bool) -> None:
    print(f"  {what}: {'yes' if holds else 'NO'}", flush=True)
    failures.extend([] if holds else [what])


def counts(service: Server) -> dict:
    with direct.open(f"http://127.0.0.1:{service.port}/counts") as answer:
        return json.loads(answer.read())


def stand_in() -> Server:
    return Server(programs / "weft_example_stand_in_server")


def followers(url: str) -> None:
    users = ["ana?delay=300", "nobody?delay=100", "ben?delay=500", "carla?delay=400"]
    printed = run("followers", url, *users)
    print(printed, end="")
    check("about the longest delay of 0.5 s together", seconds(printed, "together")[0] <= 0.6)


def ten_urls(url: str) -> None:
    printed = run("ten_urls", *[f"{url}/hello?delay=1000&number={n}" for n in range(10)])
    print(printed, end="")
    check("at least 10 s one by one", seconds(printed, "one by one")[0] >= 10)
    check("at most 1.3 s together", seconds(printed, "together")[0] <= 1.3)


def hundred(url: str, here: Path) -> None:
    for n in range(100):
        (here / f"{n}.txt").write_bytes(b"x" * (1000 + n))
    printed = run("hundred", f"{url}/hello?delay=20&number=", here, 10, 1)
    print(printed, end="")
    one_by_one, together = (float(number) for number in re.search(r"files .* (\d+\.\d+) s +(\d+\.\d+) s", printed).groups())
    check("100 files together in a tenth of the time", together <= one_by_one / 10)
    late = float(re.search(r"at most (\d+\.\d\d) ms late", printed).group(1))
    check("a ticker on the only worker never late by more than 20 ms", late <= 20)


def hundred_urls(url: str) -> None:
    # Together only: one by one takes a hundred seconds, and has a row above with a shorter delay.
    start = os.times().elapsed
    printed = run("statuses", *[f"{url}/hello?delay=1000&number={n}" for n in range(100)])
    took = os.times().elapsed - start
    assert printed.count(": 200 OK\n") == 100
    print(f"100 URLs of 1 s together in {took:.2f} s, the program's start with it")
    check("at most 1.5 s", took <= 1.5)


def scraper() -> None:
    with stand_in() as service:
        url = f"http://127.0.0.1:{service.port}"
        print(run("scraper", 10, 60_000, *[f"{url}/hello?delay=20&page={n}" for n in range(200)]), end="")
        most = counts(service)["most_at_once"]
        print(f"at most {most} at once")
        check("not more than its limit of 10", most <= 10)


def dashboard(url: str) -> None:
    words = [word for n in range(4) for word in (f"part {n}", f"{url}/hello?delay={(n + 1) * 100}", 1000)]
    with Server(programs / "weft_example_dashboard", *words, "late", f"{url}/never", 500) as server:
        with direct.open(f"http://127.0.0.1:{server.port}/") as answer:
            printed = answer.read().decode()
        print(printed)
        check("in the time of the slowest, which is given up at 500 ms", 500 <= json.loads(printed)["milliseconds"] <= 600)


def etl(url: str, here: Path) -> None:
    printed = run("line_etl", f"{url}/lines/20000?pause=5", here / "lines", 2000)
    print(printed, end="")
    *stages, total = (float(number) for number in re.findall(r"(\d+\.\d\d) s", printed))
    check(f"all in {total:.2f} s, and the stages alone {sum(stages):.2f} s", total < sum(stages))


def large_download(url: str, here: Path) -> None:
    size = 1 << 30
    target = here / "large"
    process = subprocess.Popen([programs / "weft_example_downloader", f"{url}/bytes/{size}", target], stdout=subprocess.PIPE)
    printed = process.stdout.read().decode()
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    print(printed, end="")
    print(f"at most {usage.ru_maxrss / 1024:.1f} MiB resident, {usage.ru_utime + usage.ru_stime:.1f} s of CPU")
    check("1 GiB has come", process.returncode == 0 and target.stat().st_size == size)
    check("in less than 32 MiB", usage.ru_maxrss < 32 * 1024)


failures: list = []
with stand_in() as services, directory() as scratch:
    address = f"http://127.0.0.1:{services.port}"
    for files in ("hundred", "etl", "large"):
        (scratch / files).mkdir()
    chosen = {
        "followers": lambda: followers(address),
        "ten_urls": lambda: ten_urls(address),
        "hundred": lambda: hundred(address, scratch / "hundred"),
        "hundred_urls": lambda: hundred_urls(address),
        "scraper": scraper,
        "dashboard": lambda: dashboard(address),
        "etl": lambda: etl(address, scratch / "etl"),
        "download": lambda: large_download(address, scratch / "large"),
    }
    for name in sys.argv[2:] or chosen:
        print(f"== {name}", flush=True)
        chosen[name]()
print("\n".join(["NOT HELD:", *failures]) if failures else "all held")
sys.exit(bool(failures))
