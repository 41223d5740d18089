"""resp_server beside Redis: redis-benchmark gets the right reply to each command, and random commands are answered as
redis-server answers them. python resp_redis_test.py RESP_SERVER"""

import random
import sys

from programs import Server, directory, need
from resp import Client, check_benchmark, command, start_redis


def random_command(chance: random.Random) -> list:
    key = chance.choice(["a", "b", "c", "k\r\n", b"\0\xff", ""])
    number = chance.choice([0, 1, -1, 17, 2**63 - 1, -(2**63), 2**63, "x", "", "+1", "01", " 1", "-0", "1.5"])
    value = chance.choice([number, "word", "two words", b"\0\x80\r\n", "x" * 3000])
    time = chance.choice([100_000, 1_000_000, 2**62, 0, -5, "x", 2**63 - 1, -(2**63)])
    name = chance.choice(["get", "GET", "sEt", "set", "set", "del", "exists", "incr", "decr", "incrby", "decrby", "expire",
                          "pexpire", "ttl", "pttl", "persist", "mset", "mget", "echo", "ping", "dbsize", "nosuch"])
    if name.lower() == "set":
        words = [name, key, value]
        if chance.random() < 0.3:
            words += [chance.choice(["EX", "px"]), time]
        if chance.random() < 0.3:
            words.insert(chance.choice([3, len(words)]), chance.choice(["NX", "xx", "bad"]))
        if chance.random() < 0.05:
            words += chance.choice([["nx"], ["XX"], ["ex"], ["EX", 5]])
    elif name in ("incrby", "decrby"):
        words = [name, key, number]
    elif name in ("expire", "pexpire"):
        words = [name, key, time]
    elif name == "mset":
        words = [name, *[chance.choice([key, "a", value]) for _ in range(chance.choice([2, 2, 4, 3]))]]
    elif name in ("del", "exists", "mget"):
        words = [name, *[chance.choice([key, "a", "b", "none"]) for _ in range(chance.randint(1, 3))]]
    elif name == "dbsize":
        words = [name]
    elif name == "nosuch":
        words = [chance.choice(["nosuch", "NO SUCH", "no\nsuch", "y" * 300]), *["a word\r"] * chance.randint(0, 3)]
    elif name == "ping":
        words = [name, *([value] if chance.random() < 0.5 else [])]
    else:
        words = [name, key]
    if chance.random() < 0.05:  # one too many, or too few
        words = words[:-1] or words if chance.random() < 0.5 else [*words, "more"]
    # What resp_server does not know of Redis 7: options of EXPIRE, more of SET and PING with none.
    if words[0] in ("expire", "pexpire") and len(words) > 3:
        words = words[:3]
    return words


def same(name: str, ours, theirs) -> bool:
    if name.lower() in ("ttl", "pttl") and isinstance(ours, int) and isinstance(theirs, int) and theirs > 0:
        return ours > 0 and abs(ours - theirs) <= (100_000 if name.lower() == "pttl" else 100)  # time passes between them
    return ours == theirs


def compare(ours: Client, theirs: Client, seed: int) -> None:
    chance = random.Random(seed)
    for client in (ours, theirs):
        assert client.ask("FLUSHALL") == b"+OK"
    for _ in range(100):
        batch = [random_command(chance) for _ in range(chance.choice([1, 1, 5, 50]))]
        for client in (ours, theirs):
            client.send(b"".join(command(*words) for words in batch))
        for words, our, their in zip(batch, ours.replies(len(batch)), theirs.replies(len(batch))):
            assert same(str(words[0]), our, their), f"seed {seed}, {words}: {our} instead of {their}"


def main(program: str) -> None:
    need("redis-server", "redis-benchmark")
    with Server(program) as server, directory() as below:
        check_benchmark(server.port, 1, 3000)
        check_benchmark(server.port, 16, 10_000)
        redis, redis_port = start_redis(below)
        with redis:
            ours, theirs = Client(server.port), Client(redis_port)
            for seed in range(10):
                compare(ours, theirs, seed)
            for client in (ours, theirs):
                client.close()
        assert server.stop() == "stopped\n"


main(*sys.argv[1:])
