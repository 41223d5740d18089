"""The programs of web/, against services that stand in for those of the network:
python web_test.py STAND_IN_SERVER PROGRAM...

No time is asserted: that requests are in flight at once is what the stand-in says, or what it waits for."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from programs import LIMIT, Running, Server, connect, directory, output_of, without_slow_reports

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
taken: list = []
LONG = int(LIMIT * 1000)  # milliseconds: reached only if something hangs


def lines_of(text: str) -> list:
    """Without the times."""
    return re.sub(r"\d+\.\d\d s", "- s", text).splitlines()


def same(printed: str, *expected: str) -> None:
    assert lines_of(printed) == list(expected), printed


class StandIn(Server):
    def __init__(self):
        super().__init__(programs["stand_in_server"])
        self.url = f"http://127.0.0.1:{self.port}"

    def counts(self) -> dict:
        return json.loads(ask(self.url + "/counts")[1])


def ask(url: str, data=None, headers=None):
    """@returns status and body"""
    try:
        with direct.open(urllib.request.Request(url, data, headers or {}), timeout=LIMIT) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def nobody() -> str:
    """A URL at which nobody listens: the port is taken, and stays so."""
    taken.append(socket.socket())
    taken[-1].bind(("127.0.0.1", 0))
    return f"http://127.0.0.1:{taken[-1].getsockname()[1]}/"


def test_followers() -> None:
    with StandIn() as service:
        printed = output_of(programs["followers"], service.url, "ana", "nobody", "ben", "carla")
        each = ("  ana: 120", "  nobody: 404 Not Found", "  ben: 45", "  carla: 7")
        same(printed, "one by one: - s", *each, "together: - s", *each)
        assert service.counts()["requests"] == 8


def test_statuses() -> None:
    with StandIn() as service:
        # The first comes last.
        urls = [service.url + path for path in ("/hello?delay=50", "/status/503", "/nowhere")]
        absent = nobody()
        printed = output_of(programs["statuses"], *urls, absent).splitlines()
        assert printed[:3] == [f"{urls[0]}: 200 OK", f"{urls[1]}: 503 Service Unavailable", f"{urls[2]}: 404 Not Found"]
        assert printed[3].startswith(f"{absent}: ") and "refused" in printed[3], printed


def test_ten_urls() -> None:
    with StandIn() as service:
        # The second time the answers come only when all ten have been asked for.
        printed = output_of(programs["ten_urls"], *[f"{service.url}/hello?again=10&number={n}" for n in range(10)])
        lines = lines_of(printed)
        assert lines[:2] == ["one by one: 50 bytes of 10 URLs in - s", "together: 50 bytes of 10 URLs in - s"], printed
        assert re.fullmatch(r"\d+\.\d times as fast", lines[2]), printed
        assert service.counts() == {"requests": 20, "most_at_once": 10}


def test_scraper() -> None:
    with StandIn() as service:
        same(output_of(programs["scraper"], 7, LONG, *[f"{service.url}/meet/7"] * 70), "70 pages, 910 bytes, 0 failed")
        assert service.counts() == {"requests": 70, "most_at_once": 7}
    with StandIn() as service:
        paths = ["/hello", "/status/500", "/nowhere", "/bytes/100000?cut=70000", "/hello?delay=10"]
        printed = output_of(programs["scraper"], 1, LONG, *[service.url + path for path in paths], nobody())
        *failures, last = sorted(printed.splitlines()[:-1]), printed.splitlines()[-1]
        assert last == "2 pages, 10 bytes, 4 failed", printed
        for path, why in (("/status/500", "500 Internal Server Error"), ("/nowhere", "404 Not Found"),
                          ("/bytes/100000?cut=70000", f"GET {service.url}/bytes/100000?cut=70000: partial message")):
            assert f"{service.url}{path}: {why}\n" in printed, printed
        assert "refused" in printed
        # A page that never comes is given up; that the others are in time, only an idle machine could promise.
        never = f"{service.url}/never"
        printed = output_of(programs["scraper"], 5, 50, *[never] * 5, *[f"{service.url}/never?{n}" for n in range(7)])
        assert printed.count(f"{never}: no answer within 50 ms\n") == 5, printed
        assert printed.endswith("0 pages, 0 bytes, 12 failed\n"), printed


def test_field_counts() -> None:
    with StandIn() as service:
        urls = [f"{service.url}{path}" for path in ("/fields/3?delay=30", "/fields/0", "/fields/5000", "/hello", "/nowhere")]
        printed = output_of(programs["field_counts"], *urls).splitlines()
        for url, line, fields in zip(urls, printed, ("3 fields", "0 fields", "5000 fields", "", "404 Not Found")):
            assert line == f"{url}: {fields}" if fields else line.startswith(f"{url}: ") and "fields" not in line, printed


def test_character_counts() -> None:
    with directory() as here:
        texts = {"ascii": b"0123456789\n", "empty": b"", "many": "für 5 € 🚀 日本語".encode() * 1000,
                 "latin": "für".encode("latin-1"), "cut": "€".encode()[:2], "long": b"\xc0\x80",
                 "half": b"\xed\xa0\x80", "far": b"\xf4\x90\x80\x80", "loose": b"a\x80"}
        for name, text in texts.items():
            (here / name).write_bytes(text)
        printed = output_of(programs["character_counts"], *[here / name for name in texts], here / "none", here)
        *lines, none, itself = printed.splitlines()
        for (name, text), line in zip(texts.items(), lines):
            try:
                expected = f"{len(text.decode())} characters"
            except UnicodeDecodeError:
                expected = "not UTF-8"
            assert line == f"{here / name}: {expected}", line
        assert f"'{here / 'none'}'" in none and "No such file" in none, none
        assert f"'{here}'" in itself and "directory" in itself, itself


def failure_of(name: str, *words: object) -> str:
    done = subprocess.run([programs[name], *[str(word) for word in words]], stderr=subprocess.PIPE, text=True,
                          timeout=LIMIT, check=False)
    assert done.returncode == 1, done
    return without_slow_reports(done.stderr)


def test_downloader() -> None:
    with StandIn() as service, directory() as here:
        target = here / "file"
        for path in ("/bytes/0", "/bytes/1", "/bytes/3000000", "/bytes/3000000?chunked=1"):
            with direct.open(service.url + path, timeout=LIMIT) as answer:
                expected = answer.read()
            printed = output_of(programs["downloader"], service.url + path, target)
            assert printed == f"{len(expected)} bytes in {target}\n", printed
            assert target.read_bytes() == expected
        # What fails leaves all as it was.
        for path, why in (("/bytes/3000000?cut=2000000", "partial message"), ("/nowhere", "404 Not Found"),
                          ("/bytes/3000000?chunked=1&cut=2000000", "partial message")):
            for name in ("file", "other"):
                printed = failure_of("downloader", service.url + path, here / name)
                assert why in printed, printed
        failure_of("downloader", service.url + "/bytes/3000000?stall=2000000", here / "other", 50)
        assert "refused" in failure_of("downloader", nobody(), here / "other")
        assert "No such file" in failure_of("downloader", service.url + "/hello", here / "none" / "other")
        (here / "directory").mkdir()
        assert "directory" in failure_of("downloader", service.url + "/hello", here / "directory")
        with Running(programs["downloader"], service.url + "/bytes/3000000?stall=2000000", here / "other") as stalled:
            while len(list(here.iterdir())) == 2:  # it has begun when there is a file more
                assert stalled.process.poll() is None
                time.sleep(0.01)
            stalled.process.send_signal(signal.SIGINT)
            assert stalled.process.wait(LIMIT) == 130
        assert sorted(entry.name for entry in here.iterdir()) == ["directory", "file"]
        assert target.read_bytes() == expected


def test_line_etl() -> None:
    with StandIn() as service, directory() as here:
        target = here / "lines"
        for count in (0, 1, 20_000):
            with direct.open(f"{service.url}/lines/{count}", timeout=LIMIT) as answer:
                lines = answer.read().decode().splitlines()
            printed = output_of(programs["line_etl"], f"{service.url}/lines/{count}", target, 1)
            same(printed, f"{count} lines, 0 refused", "reading - s, changing - s, writing - s; all in - s")
            records = [json.loads(line) for line in target.read_text().splitlines()]
            assert [f"{r['number']},{r['name']},{r['amount']}" for r in records] == lines
        seal = 14695981039346656037
        for byte in b"0,ana,0":
            seal = (seal ^ byte) * 1099511628211 % 2**64
        assert records[0]["seal"] == seal
        for path in ("/hello", "/bytes/300000"):
            assert output_of(programs["line_etl"], service.url + path, here / "none").startswith("1 lines, 1 refused\n")
        assert (here / "none").read_bytes() == b""
        assert "partial message" in failure_of("line_etl", service.url + "/bytes/300000?cut=200000", here / "other")
        assert sorted(entry.name for entry in here.iterdir()) == ["lines", "none"]


def test_hundred() -> None:
    with StandIn() as service, directory() as here:
        for n in range(100):
            (here / str(n)).write_bytes(b"x" * n)
        # The second time the answers come only when all hundred have been asked for.
        printed = output_of(programs["hundred"], f"{service.url}/hello?again=100&number=", here, 0)
        lines = [re.sub(r" +", " ", line) for line in lines_of(printed)]
        assert lines[0] == " one by one together ratio", printed
        assert re.fullmatch(r" 100 URLs 500 bytes - s - s \d+\.\d", lines[1]), printed
        assert re.fullmatch(r" 100 files 4950 bytes - s - s \d+\.\d", lines[2]), printed
        assert re.fullmatch(r"a tick each millisecond, at most \d+\.\d\d ms late", lines[3]), printed
        assert service.counts() == {"requests": 200, "most_at_once": 100}


def test_pages() -> None:
    items = [f"item {n}" for n in range(1, 16)]
    with StandIn() as service:
        same(output_of(programs["pages"], service.url), *items, "15 items")
        assert service.counts() == {"requests": 5, "most_at_once": 1}
    with StandIn() as service:
        same(output_of(programs["pages"], service.url, 4), *items[:4], "4 items")
        assert service.counts()["requests"] == 2, "only the pages that were needed"


def test_polling() -> None:
    with StandIn() as service:
        printed = output_of(programs["polling"], service.url, 4, 5, LONG)
        assert sorted(printed.splitlines()) == [f"job {n}: done, after 3 polls" for n in range(1, 5)], printed
        assert service.counts()["requests"] == 4 * 4
        # It waits an hour before it asks again, and may not.
        printed = output_of(programs["polling"], service.url, 2, 3_600_000, 50)
        assert sorted(printed.splitlines()) == [f"job {n}: not done after 50 ms" for n in (5, 6)], printed


def test_dashboard() -> None:
    with StandIn() as service:
        absent = nobody()
        parts = [("weather", "/hello", LONG), ("news", "/meet/2", LONG), ("traffic", "/meet/2", LONG),
                 ("stocks", "/never", 50), ("sports", "/status/500", LONG)]
        words = [word for name, path, limit in parts for word in (name, service.url + path, limit)]
        with Server(programs["dashboard"], *words) as dashboard:
            status, body = ask(f"http://127.0.0.1:{dashboard.port}/")
            assert status == 200
            page = json.loads(body)
            assert page.pop("milliseconds") >= 50
            assert page == {"weather": {"answer": "hello"}, "news": {"answer": "all are here\n"},
                            "traffic": {"answer": "all are here\n"}, "stocks": {"error": "no answer within 50 ms"},
                            "sports": {"error": "500 Internal Server Error"}}, page
            dashboard.stop()
        words = [word for n in range(5) for word in (f"part {n}", f"{service.url}/meet/5", LONG)]
        with Server(programs["dashboard"], *words, "absent", absent, LONG) as dashboard:
            page = json.loads(ask(f"http://127.0.0.1:{dashboard.port}/")[1])
            assert all(page[f"part {n}"] == {"answer": "all are here\n"} for n in range(5)), page
            assert "refused" in page["absent"]["error"], page
            dashboard.stop()


def test_webhook_receiver() -> None:
    def post(port: int, delivery: str, body: bytes, token: str = "secret") -> tuple:
        return ask(f"http://127.0.0.1:{port}/hooks", body, {"X-Token": token, "X-Delivery": delivery})

    with Server(programs["webhook_receiver"], "secret") as receiver:
        good = b'{"event": "push", "from": "ana", "more": [1, 2]}'
        assert post(receiver.port, "1", good) == (202, "taken\n")
        assert post(receiver.port, "1", good) == (200, "known\n")
        assert post(receiver.port, "2", good, "secrex") == (401, "who are you?\n")
        for bad in (b"", b"{", b"[]", b'{"event": "push"}', b'{"event": 1, "from": "ana"}', b'"event"'):
            assert post(receiver.port, "3", bad) == (400, "not understood\n"), bad
        assert post(receiver.port, "", good) == (400, "not understood\n")
        assert ask(f"http://127.0.0.1:{receiver.port}/hooks") == (405, "webhooks are posted\n")
        for n in range(4, 54):
            assert post(receiver.port, str(n), json.dumps({"event": f"tag {n}", "from": "ben"}).encode())[0] == 202
        # One is on its way in when the program is told to end; and what was taken is done.
        with connect(receiver.port) as stream:
            stream.sendall(b"POST /hooks HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\nExpect: 100-continue\r\n"
                           b"X-Token: secret\r\nX-Delivery: 99\r\n\r\n" % len(good))
            answers = stream.makefile("rb")
            assert answers.readline() == b"HTTP/1.1 100 Continue\r\n" and answers.readline() == b"\r\n"
            receiver.process.send_signal(signal.SIGINT)
            stream.sendall(good)
            assert answers.readline() == b"HTTP/1.1 202 Accepted\r\n"
            answers.close()
        printed, _ = receiver.process.communicate(timeout=LIMIT)
        assert receiver.process.returncode == 0
        same(printed, "push by ana", *[f"tag {n} by ben" for n in range(4, 54)], "push by ana", "52 messages")
    with Server(programs["webhook_receiver"], "secret", 1) as receiver:
        for n in range(100):  # however the one that works and those who bring more take turns
            status, _ = post(receiver.port, str(n), good)
            assert status in (202, 503), status
        assert receiver.stop().endswith(" messages\n")


programs = {Path(path).name.removeprefix("weft_example_"): path for path in sys.argv[1:]}
test_followers()
test_statuses()
test_ten_urls()
test_scraper()
test_field_counts()
test_character_counts()
test_downloader()
test_line_etl()
test_hundred()
test_pages()
test_polling()
test_dashboard()
test_webhook_receiver()
