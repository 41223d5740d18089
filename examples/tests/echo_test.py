"""echo_server and echo_client: python echo_test.py ECHO_SERVER ECHO_CLIENT"""

import signal
import sys

from programs import Server, connect, output_of, read_exactly, read_to_end, reset


def main(server_program: str, client_program: str) -> None:
    with Server(server_program) as server:
        printed = output_of(client_program, server.port, 200, 20, 100)
        assert printed == "20 messages came back on each of 200 connections\n", printed
        # One message is larger than what two sockets hold.
        printed = output_of(client_program, server.port, 2, 2, 20_000_000)
        assert printed == "2 messages came back on each of 2 connections\n", printed

        # Bytes come back in their order, until the client has said all; then the server ends, too.
        with connect(server.port) as stream:
            for byte in range(256):
                stream.sendall(bytes([byte]))
            assert read_exactly(stream, 256) == bytes(range(256))
            stream.shutdown(1)
            assert read_to_end(stream) == b""

        # Who breaks off concerns nobody else.
        staying = connect(server.port)
        breaking = connect(server.port)
        breaking.sendall(b"x")
        reset(breaking)
        staying.sendall(b"still there?")
        assert read_exactly(staying, 12) == b"still there?"

        # A client that is there when the server is told to end may go on until it has done.
        server.process.send_signal(signal.SIGTERM)
        staying.sendall(b"and now?")
        assert read_exactly(staying, 8) == b"and now?"
        staying.close()
        rest, _ = server.process.communicate()
        assert server.process.returncode == 0
        assert rest == f"{200 + 2 + 3} connections, all ended\n", rest


main(*sys.argv[1:])
