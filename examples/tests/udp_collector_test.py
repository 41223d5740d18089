"""udp_collector: python udp_collector_test.py UDP_COLLECTOR"""

import re
import socket
import sys

from programs import LIMIT, Server


class Sensor:
    def __init__(self, port: int):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(LIMIT)
        self.sent = 0

    def send(self, *texts: bytes) -> list:
        """@returns the totals when all have been received. Few at a time, so that the system loses none."""
        for text in texts:
            self.socket.send(text)
            self.sent += 1
        while True:
            totals = self.ask()[0]
            if totals[0] == self.sent:
                return totals

    def ask(self):
        """@returns the totals, and the lines of the sensors"""
        self.socket.send(b"?")
        lines = self.socket.recv(65536).decode().splitlines()
        totals = re.fullmatch(r"received (\d+), refused (\d+), dropped (\d+), queued (\d+)", lines[0])
        return [int(number) for number in totals.groups()], lines[1:]


def test_readings(program: str) -> None:
    expected = ["attic: 1 readings, -1.50 to -1.50, mean -1.50", "kitchen: 200 readings, 1.00 to 200.00, mean 100.50"]
    with Server(program) as server:
        sensor = Sensor(server.port)
        for first in range(1, 200, 10):
            sensor.send(*[f"kitchen {value}".encode() for value in range(first, first + 10)])
        sensor.send(b"attic -1.5\n")
        refused = [b"", b"kitchen", b" 5", b"kitchen ", b"kitchen x", b"kitchen 5 6", b"kitchen nan", b"kitchen 1e999",
                   b"kitchen 1" + b"0" * 600]
        sensor.send(*refused)
        while True:
            totals, lines = sensor.ask()
            if lines == expected:
                break
        assert totals == [210, 9, 0, 0], totals
        printed = server.stop()
        assert printed.endswith("received 210, refused 9, dropped 0, queued 0\n" + "\n".join(expected) + "\n"), printed


def test_full_queue(program: str) -> None:
    """Who evaluates is with the first for an hour: eight more are queued, and the rest is dropped, and counted."""
    with Server(program, 0, 8, 3_600_000) as server:
        sensor = Sensor(server.port)
        for _ in range(5):
            received, refused, dropped, queued = sensor.send(*[b"kitchen 20"] * 10)
            assert refused == 0 and queued in (7, 8), queued
            assert received - dropped in (8, 9), "dropped, with room in the queue" if dropped else "never full"
        server.stop()


def main(program: str) -> None:
    test_readings(program)
    test_full_queue(program)


main(*sys.argv[1:])
