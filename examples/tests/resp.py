"""RESP for tests: commands, replies, redis-server, and a listener between redis-benchmark and a server."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import programs


def command(*words: object) -> bytes:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Parser:
    """Cuts a stream, of commands or replies, into values: bytes for a line that begins with + or -, int, None, list,
    and ("bulk", bytes)."""

    def __init__(self) -> None:
        self.data = bytearray()

    def feed(self, data: bytes) -> list:
        self.data += data
        values = []
        at = 0
        while True:
            found = self._value(at)
            if found is None:
                del self.data[:at]
                return values
            value, at = found
            values.append(value)

    def _value(self, at: int):
        end = self.data.find(b"\r\n", at)
        if end < 0:
            return None
        line = bytes(self.data[at:end])
        at = end + 2
        kind, rest = line[:1], line[1:]
        if kind in b"+-":
            return line, at
        if kind == b":":
            return int(rest), at
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return NULL, at
            if len(self.data) < at + size + 2:
                return None
            assert self.data[at + size : at + size + 2] == b"\r\n"
            return ("bulk", bytes(self.data[at : at + size])), at + size + 2
        if kind == b"*":
            elements = []
            for _ in range(int(rest)):
                found = self._value(at)
                if found is None:
                    return None
                value, at = found
                elements.append(value)
            return elements, at
        return line, at  # a command as a line


NULL = "null"
COUNTER = "counter:__rand_int__"  # of redis-benchmark


class Client:
    def __init__(self, port: int):
        self.stream = programs.connect(port)
        self.parser = Parser()
        self.waiting: list = []

    def send(self, data: bytes) -> None:
        self.stream.sendall(data)

    def replies(self, count: int) -> list:
        while len(self.waiting) < count:
            data = self.stream.recv(1 << 20)
            assert data, f"the server is gone, {count - len(self.waiting)} replies are missing"
            self.waiting += self.parser.feed(data)
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken

    def ask(self, *words: object):
        self.send(command(*words))
        return self.replies(1)[0]

    def close(self) -> None:
        self.stream.close()


def _answers(port: int) -> bool:
    try:
        client = Client(port)
        answer = client.ask("PING")
        client.close()
        return answer == b"+PONG"
    except (OSError, AssertionError):
        return False


def start_redis(below: Path):
    """@returns redis-server as it runs, and its port"""

    def start(port: int):
        return programs.Running("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                                "--daemonize", "no", "--dir", below, stdout=subprocess.DEVNULL)

    return programs.start_at_free_port(start, _answers)


class Tap:
    """Passes on connections, and keeps what went each way on each."""

    def __init__(self, target: int):
        self.target = target
        self.listener = programs.listen()
        self.port = self.listener.getsockname()[1]
        self.connections: list[tuple[bytearray, bytearray]] = []
        self.threads: list[threading.Thread] = []
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            client.settimeout(None)
            server = socket.create_connection(("127.0.0.1", self.target))
            for stream in (client, server):
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            kept = (bytearray(), bytearray())
            self.connections.append(kept)
            for source, to, record in ((client, server, kept[0]), (server, client, kept[1])):
                thread = threading.Thread(target=self._pass_on, args=(source, to, record), daemon=True)
                self.threads.append(thread)
                thread.start()

    @staticmethod
    def _pass_on(source: socket.socket, to: socket.socket, record: bytearray) -> None:
        try:
            while data := source.recv(1 << 16):
                record += data
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            for stream in (source, to):
                try:
                    stream.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def finish(self) -> list[tuple[bytes, bytes]]:
        """When all clients have gone. @returns what went to the server and came from it, for each connection"""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join(programs.LIMIT)
        for thread in self.threads:
            thread.join(programs.LIMIT)
            assert not thread.is_alive()
        self.listener.close()
        return [(bytes(there), bytes(back)) for there, back in self.connections]


def check_benchmark(port: int, pipeline: int, requests: int) -> None:
    """Runs redis-benchmark at `port`, and looks at every reply that it gets."""
    client = Client(port)
    client.ask("DEL", COUNTER)
    tap = Tap(port)
    printed = programs.output_of("redis-benchmark", "-h", "127.0.0.1", "-p", tap.port, "-t", "ping,set,get,incr,mset", "-n",
                                 requests, "-c", 10, "-P", pipeline, "-q")
    assert "rror" not in printed and "WARNING" not in printed, printed
    for test in ("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"):
        assert f"{test}: " in printed, printed
    seen: dict[str, int] = {}
    counters = []
    for sent, received in tap.finish():
        commands, replies = Parser().feed(sent), Parser().feed(received)
        # At the end of a run it does not wait for all that it has asked for.
        assert len(replies) <= len(commands), "a reply without a command"
        for asked, reply in zip(commands, replies):
            name = asked[0][1].decode().lower() if isinstance(asked, list) else asked.decode().lower()
            seen[name] = seen.get(name, 0) + 1
            if name == "ping":
                assert reply == b"+PONG", reply
            elif name in ("set", "mset"):
                assert reply == b"+OK", reply
            elif name == "get":
                assert reply == ("bulk", b"VXK") or reply == NULL, reply
            elif name == "incr":
                counters.append(reply)
            elif name == "config":
                assert isinstance(reply, list) and len(reply) == 2, reply
            else:
                raise AssertionError(f"{asked} was asked")
    for name in ("set", "get", "incr", "mset"):
        assert seen[name] >= requests, seen
    assert seen["ping"] >= 2 * requests, seen
    # Each number went to one of them. What was asked for at the end of a run may have been done, and not answered.
    total = int(client.ask("GET", COUNTER)[1])
    client.close()
    assert len(set(counters)) == len(counters) and min(counters) >= 1 and max(counters) <= total, "INCR"
    assert total >= requests
