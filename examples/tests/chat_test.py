"""chat_server: python chat_test.py CHAT_SERVER"""

import socket
import sys

from programs import LIMIT, Server, connect, is_reset, reset


class Member:
    def __init__(self, port: int, name: str, receive_buffer: int = 0):
        if receive_buffer:
            self.stream = socket.socket()
            self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.stream.settimeout(LIMIT)
            self.stream.connect(("127.0.0.1", port))
        else:
            self.stream = connect(port)
        self.lines = self.stream.makefile("r", encoding="ascii", newline="\n")
        self.hears("* who are you?")
        self.says(name)

    def says(self, text: str) -> None:
        self.stream.sendall(text.encode() + b"\n")

    def hears(self, *expected: str) -> None:
        for text in expected:
            line = self.lines.readline()
            assert line == text + "\n", f"{line!r} instead of {text!r}"

    def ends(self) -> None:
        assert self.lines.readline() == ""
        self.close()

    def close(self) -> None:
        self.lines.close()
        self.stream.close()


def test_rooms(server: Server) -> None:
    ana = Member(server.port, "ana")
    ana.hears("* ana is in lobby")
    ben = Member(server.port, "ben")
    for each in (ana, ben):
        each.hears("* ben is in lobby")
    ana.says("good morning")
    ben.hears("ana: good morning")
    ben.says("/who")
    ben.hears("* ana ben")

    other_ana = Member(server.port, "ana")
    other_ana.hears("* somebody has that name")
    other_ana.ends()

    ben.says("/join kitchen")
    ben.hears("* ben is in kitchen")
    ana.hears("* ben leaves")
    carla = Member(server.port, "carla")
    for each in (ana, carla):
        each.hears("* carla is in lobby")
    carla.says("/join kitchen")
    ana.hears("* carla leaves")
    for each in (ben, carla):
        each.hears("* carla is in kitchen")
    carla.says("coffee?")
    ana.says("nobody is here")
    ben.hears("carla: coffee?")  # and not what ana says, who is in the lobby

    carla.says("/quit")
    ben.hears("* carla leaves")
    carla.ends()
    # Who breaks off, or says too long a line, has left, and the name is free again.
    dora = Member(server.port, "dora")
    for each in (ana, dora):
        each.hears("* dora is in lobby")
    reset(dora.stream)
    dora.lines.close()
    ana.hears("* dora leaves")
    dora = Member(server.port, "dora")
    for each in (ana, dora):
        each.hears("* dora is in lobby")
    dora.stream.sendall(b"x" * 5000)
    ana.hears("* dora leaves")
    is_reset(dora.stream)
    dora.close()
    for each in (ana, ben):
        each.says("/quit")
        each.ends()


def test_slow_reader(server: Server) -> None:
    talker = Member(server.port, "talker")
    talker.hears("* talker is in lobby")
    slow = Member(server.port, "slow", receive_buffer=4096)
    talker.hears("* slow is in lobby")
    reader = Member(server.port, "reader")
    for each in (talker, reader):
        each.hears("* reader is in lobby")
    # What the system keeps for the slow one fills up, and then the queue; the reader gets each line.
    text = "x" * 1000
    for said in range(100_000):
        talker.says(text)
        line = reader.lines.readline()
        if line == "* slow does not keep up, and is out\n":
            line = reader.lines.readline()
            break
        assert line == f"talker: {text}\n"
    else:
        raise AssertionError("the slow one is still there")
    talker.hears("* slow does not keep up, and is out")
    talker.says("/who")
    talker.hears("* talker reader")
    # In the time that it has left, it reads what was queued; that is less than what was said.
    slow.hears("* slow is in lobby", "* reader is in lobby")
    heard = 0
    while (line := slow.lines.readline()) == f"talker: {text}\n":
        heard += 1
    assert line == "* you do not keep up, and are out\n", line
    assert heard <= said, f"{heard} of {said}"
    slow.ends()
    for each in (talker, reader):
        each.close()


def test_no_patience(server: Server) -> None:
    talker = Member(server.port, "talker")
    talker.hears("* talker is in lobby")
    slow = Member(server.port, "slow", receive_buffer=4096)
    talker.hears("* slow is in lobby")
    while True:
        talker.says("x" * 1000)
        talker.says("/who")
        line = talker.lines.readline()
        if line == "* slow does not keep up, and is out\n":
            break
        assert line == "* talker slow\n", line
    # It did not read, and yet it is gone, and its name is free: it need not be waited for.
    while True:
        again = Member(server.port, "slow")
        if again.lines.readline() == "* slow is in lobby\n":
            break
        again.close()
    for each in (talker, slow, again):
        each.close()


def main(program: str) -> None:
    with Server(program, 0, 64, 3600) as server:
        test_rooms(server)
        test_slow_reader(server)
        with connect(server.port):  # is there at the end
            assert server.stop() == "stopped\n"
    with Server(program, 0, 4, 0) as server:
        test_no_patience(server)
        assert server.stop() == "stopped\n"


main(*sys.argv[1:])
