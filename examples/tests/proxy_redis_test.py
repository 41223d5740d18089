"""redis-benchmark through tcp_proxy: as if redis-server were there itself. python proxy_redis_test.py TCP_PROXY"""

import sys

from programs import Server, directory, need
from resp import COUNTER, Client, check_benchmark, start_redis


def keys(port: int) -> dict:
    client = Client(port)
    found = {key[1]: client.ask("GET", key[1]) for key in client.ask("KEYS", "*")}
    assert found.pop(COUNTER.encode()) is not None  # depends on how much was asked for at the end of a run
    assert client.ask("FLUSHALL") == b"+OK"
    client.close()
    return found


def main(program: str) -> None:
    need("redis-server", "redis-benchmark")
    with directory() as below:
        redis, port = start_redis(below)
        with redis, Server(program, port) as proxy:
            for pipeline, requests in ((1, 3000), (16, 10_000)):
                left_behind = []
                for at in (port, proxy.port):
                    check_benchmark(at, pipeline, requests)
                    left_behind.append(keys(port))
                direct, proxied = left_behind
                assert direct == proxied, f"{proxied} instead of {direct}"
            assert proxy.stop() == "stopped\n"


main(*sys.argv[1:])
