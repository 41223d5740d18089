"""resp_server and resp_client: python resp_test.py RESP_SERVER RESP_CLIENT"""

import subprocess
import sys
import threading

from programs import Server, connect, output_of, read_exactly, read_to_end
from resp import NULL, Client, command

# What is sent, and what must come back, byte for byte.
CONVERSATION = [
    (command("PING"), b"+PONG\r\n"),
    (command("ping", "hello"), b"$5\r\nhello\r\n"),
    (b"PING\r\n", b"+PONG\r\n"),
    (b"\r\n", b""),
    (b"*0\r\n", b""),
    (b"*-1\r\n", b""),
    (b"set line 'a word' \n", b"+OK\r\n"),
    (b'echo "\\x00\\r\\n\\"z"\r\n', b'$5\r\n\0\r\n"z\r\n'),
    (command("GET", "line"), b"$6\r\na word\r\n"),
    (command("ECHO", b"\0\r\n\xff"), b"$4\r\n\0\r\n\xff\r\n"),
    (command("ECHO", ""), b"$0\r\n\r\n"),
    (command("GET", "k"), b"$-1\r\n"),
    (command("SET", "k", "v"), b"+OK\r\n"),
    (command("SET", "k", "w", "NX"), b"$-1\r\n"),
    (command("SET", "k", "w", "xx"), b"+OK\r\n"),
    (command("SET", "none", "w", "XX"), b"$-1\r\n"),
    (command("GET", "k"), b"$1\r\nw\r\n"),
    (command("TTL", "k"), b":-1\r\n"),
    (command("TTL", "none"), b":-2\r\n"),
    (command("EXPIRE", "k", 100_000), b":1\r\n"),
    (command("PERSIST", "k"), b":1\r\n"),
    (command("EXPIRE", "none", 100), b":0\r\n"),
    (command("EXPIRE", "k", -1), b":1\r\n"),
    (command("EXISTS", "k"), b":0\r\n"),
    (command("INCR", "n"), b":1\r\n"),
    (command("INCRBY", "n", 41), b":42\r\n"),
    (command("DECR", "n"), b":41\r\n"),
    (command("GET", "n"), b"$2\r\n41\r\n"),
    (command("SET", "n", 2**63 - 1), b"+OK\r\n"),
    (command("INCR", "n"), b"-ERR increment or decrement would overflow\r\n"),
    (command("SET", "n", "007"), b"+OK\r\n"),
    (command("INCR", "n"), b"-ERR value is not an integer or out of range\r\n"),
    (command("MSET", "a", 1, "b", 2), b"+OK\r\n"),
    (command("MGET", "a", "none", "b"), b"*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n2\r\n"),
    (command("EXISTS", "a", "a", "none"), b":2\r\n"),
    (command("DEL", "a", "b", "none"), b":2\r\n"),
    (command("GET"), b"-ERR wrong number of arguments for 'get' command\r\n"),
    (command("SET", "k", "v", "EX"), b"-ERR syntax error\r\n"),
    (command("SET", "k", "v", "NX", "XX"), b"-ERR syntax error\r\n"),
    (command("SET", "k", "v", "EX", "0"), b"-ERR invalid expire time in 'set' command\r\n"),
    (command("SET", "k", "v", "PX", "x"), b"-ERR value is not an integer or out of range\r\n"),
    (command("NO\r\nSUCH", "a", "b"), b"-ERR unknown command 'NO  SUCH', with args beginning with: 'a' 'b' \r\n"),
    (command("CONFIG", "GET", "save"), b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
    (command("COMMAND"), b"*0\r\n"),
    (command("FLUSHALL"), b"+OK\r\n"),
    (command("DBSIZE"), b":0\r\n"),
]

# After these the server closes.
BROKEN = [
    (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*99999999999\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*1\r\n+PING\r\n", b"-ERR Protocol error: expected '$', got '+'\r\n"),
    (b"*1\r\n$x\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n$-1\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n$536870913\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"get 'k\r\n", b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    (b"x" * 65_537, b"-ERR Protocol error: too big inline request\r\n"),
    (b"*" + b"1" * 65_536, b"-ERR Protocol error: too big mbulk count string\r\n"),
    (b"*1\r\n$" + b"1" * 65_536, b"-ERR Protocol error: too big bulk count string\r\n"),
    (command("PING") + b"*1\r\n!", b"+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n"),
    (command("PING") + command("QUIT") + command("PING"), b"+PONG\r\n+OK\r\n"),
]


def test_conversation(port: int) -> None:
    expected = b"".join(answer for _, answer in CONVERSATION)
    with connect(port) as stream:  # one after the other
        for sent, answer in CONVERSATION:
            stream.sendall(sent)
            found = read_exactly(stream, len(answer))
            assert found == answer, f"{sent}: {found} instead of {answer}"
    everything = b"".join(sent for sent, _ in CONVERSATION)
    with connect(port) as stream:  # all at once
        stream.sendall(everything)
        assert read_exactly(stream, len(expected)) == expected
    with connect(port) as stream:  # byte by byte
        for byte in everything:
            stream.sendall(bytes([byte]))
        stream.shutdown(1)
        assert read_to_end(stream) == expected


def test_broken(port: int) -> None:
    for sent, answer in BROKEN:
        with connect(port) as stream:
            stream.sendall(sent)
            found = read_exactly(stream, len(answer))
            assert found == answer, f"{sent[:40]}: {found} instead of {answer}"
            assert read_to_end(stream) == b""


def test_sizes(port: int) -> None:
    client = Client(port)
    large = bytes(range(256)) * 40_000
    assert client.ask("SET", "large", large) == b"+OK"
    assert client.ask("GET", "large") == ("bulk", large)
    assert client.ask("DEL", "large") == 1
    # Tens of thousands of commands are sent before the first reply is read.
    count = 30_000
    sender = threading.Thread(target=client.send, args=(command("INCR", "count") * count,))
    sender.start()
    assert client.replies(count) == list(range(1, count + 1))
    sender.join()
    # Many arguments in one.
    keys = [f"key {i}" for i in range(20_000)]
    assert client.ask("MSET", *[word for key in keys for word in (key, key)]) == b"+OK"
    assert client.ask("MGET", *keys) == [("bulk", key.encode()) for key in keys]
    assert client.ask("FLUSHALL") == b"+OK"
    client.close()


def test_time(port: int) -> None:
    client, other = Client(port), Client(port)
    assert client.ask("SET", "stays", "x", "EX", 100_000) == b"+OK"
    assert 99_000 < other.ask("TTL", "stays") <= 100_000
    assert 99_000_000 < other.ask("PTTL", "stays") <= 100_000_000
    assert client.ask("SET", "goes", "x", "PX", 1) == b"+OK"
    while other.ask("GET", "goes") != NULL:
        pass
    # Unasked for it goes, too.
    assert client.ask("SET", "goes", "x", "PX", 1) == b"+OK"
    while other.ask("DBSIZE") != 1:
        pass
    assert client.ask("INCR", "n") == 1 and client.ask("SET", "stays", "y") == b"+OK"
    assert client.ask("TTL", "stays") == -1
    client.ask("FLUSHALL")
    for each in (client, other):
        each.close()


def test_client(program: str, port: int) -> None:
    for words, printed in (
        (["SET", "k", 'a "word"\n'], "OK\n"),
        (["GET", "k"], '"a \\"word\\"\\x0a"\n'),
        (["GET", "none"], "(nil)\n"),
        (["DEL", "k"], "(integer) 1\n"),
        (["NO"], "(error) ERR unknown command 'NO', with args beginning with: \n"),
        (["MGET", "a", "b"], "1) (nil)\n2) (nil)\n"),
        (["COMMAND"], "(empty array)\n"),
    ):
        found = output_of(program, port, *words)
        assert found == printed, f"{words}: {found}"
    count = 10_000
    lines = "".join(f"INCR many\nECHO 'number {i}'\n\n" for i in range(1, count + 1))
    found = output_of(program, port, input=lines)
    assert found == "".join(f'(integer) {i}\n"number {i}"\n' for i in range(1, count + 1))
    failed = subprocess.run([program, str(port)], input="ECHO 'a\n", capture_output=True, text=True, check=False)
    assert failed.returncode == 1 and failed.stderr == "a quote is not closed: ECHO 'a\n", failed


def main(server_program: str, client_program: str) -> None:
    with Server(server_program) as server:
        test_conversation(server.port)
        test_broken(server.port)
        test_sizes(server.port)
        test_time(server.port)
        test_client(client_program, server.port)
        with connect(server.port):  # is there at the end
            assert server.stop() == "stopped\n"


main(*sys.argv[1:])
