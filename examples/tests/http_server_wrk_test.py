"""wrk loads http_server: python http_server_wrk_test.py HTTP_SERVER [SECONDS]"""

import re
import sys

from programs import Server, need, output_of


def main(program: str, seconds: str = "1") -> None:
    need("wrk")
    with Server(program) as server:
        for path in ("/", "/count/10"):
            printed = output_of("wrk", "-t1", "-c32", f"-d{seconds}s", "--timeout", "60s", f"http://127.0.0.1:{server.port}{path}")
            requests = re.search(r"(\d+) requests in ", printed)
            assert requests and int(requests[1]) > 0, printed
            assert "Socket errors" not in printed and "Non-2xx" not in printed, printed
            print(printed)
        server.stop()


main(*sys.argv[1:])
