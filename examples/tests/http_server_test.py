"""http_server, by hand: python http_server_test.py HTTP_SERVER"""

import signal
import sys

from programs import LIMIT, Server, connect, read_to_end

HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"


def exchange(port: int, *parts: bytes) -> bytes:
    """All that comes back for the parts, sent one after the other, on one connection."""
    with connect(port) as stream:
        for part in parts:
            stream.sendall(part)
        stream.shutdown(1)
        return read_to_end(stream)


def get(path: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join((b"GET " + path + b" HTTP/1.1", b"Host: here", *headers, b"", b""))


def status_of(answer: bytes) -> bytes:
    return answer.split(b" ", 2)[1] if answer else b""


def test_requests(port: int) -> None:
    assert exchange(port, get(b"/")) == HELLO
    assert exchange(port, get(b"/") * 20) == HELLO * 20, "several in one piece"
    assert exchange(port, *[bytes([byte]) for byte in get(b"/")]) == HELLO, "one in many pieces"
    assert exchange(port, get(b"/", b"Connection: close") + get(b"/")).count(b"200 OK") == 1
    assert exchange(port, b"GET / HTTP/1.0\r\n\r\n").endswith(b"Hello, World!")
    assert exchange(port, b"HEAD / HTTP/1.1\r\nHost: here\r\n\r\n") == HELLO.removesuffix(b"Hello, World!")
    post = b"POST /echo HTTP/1.1\r\nHost: here\r\n"
    assert exchange(port, post + b"Content-Length: 4\r\n\r\nfour").endswith(b"\r\n\r\nfour")
    chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    assert exchange(port, post + chunks).endswith(b"\r\n\r\nonetwo")
    empty = [bytes([byte]) for byte in post + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
    assert exchange(port, *empty).endswith(b"Content-Length: 0\r\n\r\n"), "an empty body in many pieces"
    large = b"x" * 3_000_000
    assert exchange(port, post + b"Content-Length: 3000000\r\n\r\n", large).endswith(b"\r\n\r\n" + large)
    counted = exchange(port, get(b"/count/3"))
    assert b"Transfer-Encoding: chunked\r\n" in counted
    assert counted.endswith(b"\r\n\r\n2\r\n1\n\r\n2\r\n2\n\r\n2\r\n3\n\r\n0\r\n\r\n"), counted


def test_what_is_no_request(port: int) -> None:
    for status, *parts in (
            (b"404", get(b"/nowhere")), (b"405", get(b"/echo")), (b"400", b"what?\r\n\r\n"),
            (b"400", b"GET / HTTP/1.1\r\nHost : here\r\n\r\n"), (b"400", b"GET / HTTP/9.9\r\n\r\n"),
            (b"400", b"POST /echo HTTP/1.1\r\nContent-Length: -5\r\n\r\n"),
            (b"431", b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n"),
            (b"413", b"POST /echo HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n"),
            (b"", b""), (b"", b"GET / HT"), (b"", b"POST /echo HTTP/1.1\r\nContent-Length: 9\r\n\r\nfour")):
        try:
            answer = exchange(port, *parts)
        except (ConnectionResetError, BrokenPipeError):
            assert status in (b"431", b"413"), f"{parts[0][:60]}: reset"  # it does not read what it refuses
            continue
        assert status_of(answer) == status, f"{parts[0][:60]}: {answer!r}"


def test_end(server: Server) -> None:
    """Who waits for nothing is let go; what is being sent is answered."""
    idle = connect(server.port)
    idle.sendall(get(b"/"))
    answers = idle.makefile("rb")
    assert answers.read(len(HELLO)) == HELLO
    busy = connect(server.port)
    busy.sendall(b"POST /echo HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    theirs = busy.makefile("rb")
    assert theirs.readline() == b"HTTP/1.1 100 Continue\r\n" and theirs.readline() == b"\r\n"
    server.process.send_signal(signal.SIGTERM)
    assert answers.read() == b""
    busy.sendall(b"four")
    assert theirs.read().endswith(b"\r\n\r\nfour")
    for each in (answers, theirs, idle, busy):
        each.close()
    rest, _ = server.process.communicate(timeout=LIMIT)
    assert server.process.returncode == 0
    assert rest.endswith(" connections, all ended\n"), rest


def main(program: str) -> None:
    for workers in (1, 2):
        with Server(program, 0, workers) as server:
            test_requests(server.port)
            test_what_is_no_request(server.port)
            test_end(server)


main(*sys.argv[1:])
