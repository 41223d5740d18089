"""tcp_proxy between sockets of this script: python proxy_test.py TCP_PROXY"""

import random
import select
import sys
import threading

from programs import (LIMIT, Server, accept, connect, free_port, is_reset, listen, read_exactly, read_to_end, readable,
                      reset)


def pair(proxy: Server, target):
    client = connect(proxy.port)
    return client, accept(target)


def test_bytes(proxy: Server, target) -> None:
    """Both ways at once, in pieces of any size."""
    client, server = pair(proxy, target)
    chance = random.Random(6)
    data = [chance.randbytes(3_000_000), chance.randbytes(2_000_000)]
    got = [b"", b""]

    def send(stream, what: bytes, seed: int) -> None:
        size = random.Random(seed)
        at = 0
        while at < len(what):
            piece = size.choice((1, 7, 1000, 65_536, 300_000))
            stream.sendall(what[at : at + piece])
            at += piece
        stream.shutdown(1)

    def receive(stream, which: int) -> None:
        got[which] = read_to_end(stream)

    threads = [threading.Thread(target=send, args=(client, data[0], 1)), threading.Thread(target=receive, args=(server, 0)),
               threading.Thread(target=send, args=(server, data[1], 2)), threading.Thread(target=receive, args=(client, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert got == data
    client.close()
    server.close()


def test_half_close(proxy: Server, target) -> None:
    """Who has said all still gets the answer."""
    for first in (0, 1):
        both = pair(proxy, target)
        asks, answers = both[first], both[1 - first]
        asks.sendall(b"question")
        asks.shutdown(1)
        assert read_to_end(answers) == b"question"
        answers.sendall(b"an answer")
        answers.sendall(b" in two parts")
        answers.shutdown(1)
        assert read_to_end(asks) == b"an answer in two parts"
        for stream in both:
            stream.close()


def test_errors(proxy: Server, target) -> None:
    """Who sees the connection break, sees it break."""
    for first in (0, 1):
        both = pair(proxy, target)
        breaks, sees = both[first], both[1 - first]
        breaks.sendall(b"x")
        assert read_exactly(sees, 1) == b"x"
        reset(breaks)
        assert is_reset(sees)
        sees.close()


def test_back_pressure(proxy: Server, target) -> None:
    """Nobody reads: after a while nothing more can be sent. Later it is all there."""
    client, server = pair(proxy, target)
    client.setblocking(False)
    piece = bytes(range(256)) * 256
    sent = 0
    while sent < 200_000_000:
        try:
            sent += client.send(piece[sent % 256 :])
        except BlockingIOError:
            if not select.select([], [client], [], 0.5)[1]:
                break  # or the proxy is slow, which makes this a weaker test, and no failure
    assert sent < 200_000_000, "the proxy takes all there is"
    client.settimeout(LIMIT)
    client.shutdown(1)
    got = read_to_end(server)
    assert len(got) == sent and got == (piece * (sent // len(piece) + 1))[:sent]
    server.close()
    assert read_to_end(client) == b""
    client.close()


def test_limit(program: str, target) -> None:
    """With one connection at most, the second waits for the end of the first."""
    with Server(program, target.getsockname()[1], 0, 1) as proxy:
        first, served = pair(proxy, target)
        second = connect(proxy.port)
        second.sendall(b"second")
        for _ in range(50):
            first.sendall(b"ping")
            assert read_exactly(served, 4) == b"ping"
            served.sendall(b"pong")
            assert read_exactly(first, 4) == b"pong"
            assert not readable(target)
        first.close()
        assert read_to_end(served) == b""
        served.close()
        served = accept(target)
        assert read_exactly(served, 6) == b"second"
        second.close()
        served.close()
        assert proxy.stop() == "stopped\n"


def main(program: str) -> None:
    with listen() as target:
        with Server(program, target.getsockname()[1]) as proxy:
            test_bytes(proxy, target)
            test_half_close(proxy, target)
            test_errors(proxy, target)
            test_back_pressure(proxy, target)
            client, server = pair(proxy, target)
            client.sendall(b"x")
            assert read_exactly(server, 1) == b"x"  # now the proxy knows that it is connected, too
            assert proxy.stop() == "stopped\n"
            assert is_reset(client) and is_reset(server), "cut off at the end, which must not look like an end"
            client.close()
            server.close()
        test_limit(program, target)
    with Server(program, free_port()) as proxy:  # nobody listens there
        try:
            with connect(proxy.port) as client:
                assert is_reset(client)
        except ConnectionResetError:  # before connect() had returned
            pass
        assert proxy.stop() == "stopped\n"


main(*sys.argv[1:])
