"""curl talks to http_server: python http_server_curl_test.py HTTP_SERVER"""

import sys

from programs import Server, directory, need, output_of


def main(program: str) -> None:
    need("curl")
    with Server(program) as server, directory() as here:
        url = f"http://127.0.0.1:{server.port}"

        def curl(*words: object) -> str:
            return output_of("curl", "--silent", "--show-error", "--fail", "--max-time", 240, "--noproxy", "*", *words)

        assert curl(url) == "Hello, World!"
        assert curl(*[f"{url}/"] * 20) == "Hello, World!" * 20  # on one connection
        assert curl("--http1.0", url) == "Hello, World!"
        assert "Content-Length: 13" in curl("--head", url)
        assert curl(f"{url}/count/1000") == "".join(f"{n}\n" for n in range(1, 1001))
        assert curl("--data", "one=1", f"{url}/echo") == "one=1"
        body = here / "body"
        body.write_bytes(bytes(range(256)) * 12_000)  # large enough that curl asks first
        back = here / "back"
        for how in ((), ("--header", "Transfer-Encoding: chunked")):
            curl("--data-binary", f"@{body}", *how, "--output", back, f"{url}/echo")
            assert back.read_bytes() == body.read_bytes()
        assert output_of("curl", "--silent", "--noproxy", "*", "--output", "/dev/null", "--write-out", "%{http_code}",
                         f"{url}/nowhere") == "404"
        assert server.stop().endswith(" connections, all ended\n")


main(*sys.argv[1:])
