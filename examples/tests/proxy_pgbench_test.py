"""pgbench through tcp_proxy: what it leaves in the database is what it leaves there without the proxy.
python proxy_pgbench_test.py TCP_PROXY"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from programs import Running, Server, need, output_of, skip, start_at_free_port

USER = "postgres"


def programs_of_postgres() -> Path:
    for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (path / "initdb").exists() and (path / "postgres").exists():
            return path
    found = shutil.which("initdb")
    if found is None:
        skip("PostgreSQL is not installed")
    return Path(found).parent


def as_user(*command: object) -> list:
    """PostgreSQL does not run as root."""
    return ["runuser", "-u", USER, "--", *command] if os.getuid() == 0 else list(command)


@contextlib.contextmanager
def directory_of_user():
    """Below the directory that the test runs in, if that user gets there."""
    for below in (os.getcwd(), tempfile.gettempdir()):
        path = Path(tempfile.mkdtemp(prefix="test-", dir=below))
        try:
            if os.getuid() == 0:
                shutil.chown(path, USER)
                if subprocess.run(as_user("test", "-w", path), check=False).returncode != 0:
                    continue
            yield path
            return
        finally:
            shutil.rmtree(path, ignore_errors=True)
    skip(f"{USER} has no place to write to")


def contents(port: int) -> str:
    """How many rows each table has and what is in them, but for the times."""
    tables = {"branches": "bid", "tellers": "tid", "accounts": "aid", "history": "tid, aid, delta"}
    queries = [f"SELECT count(*), md5(string_agg(concat_ws('|', {kept}), ';' ORDER BY {kept})) FROM pgbench_{table}"
               for table, kept in ((name, order if name == "history" else f"{order}, {balance(order)}")
                                   for name, order in tables.items())]
    return output_of("psql", "-h", "127.0.0.1", "-p", port, "-U", USER, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c",
                     "; ".join(queries), USER).strip()


def balance(key: str) -> str:
    return key[0] + "balance"


def run_benchmark(port: int, server_port: int, clients: int, transactions: int, protocol: str) -> str:
    """@returns what is in the tables afterwards"""
    there = ["-h", "127.0.0.1", "-p", str(port), "-U", USER]
    output_of("pgbench", *there, "-i", "-q", "-s", "1", USER)
    printed = output_of("pgbench", *there, "-n", "-c", clients, "-t", transactions, "-M", protocol, "--random-seed=6", USER)
    wanted = clients * transactions
    assert f"actually processed: {wanted}/{wanted}\n" in printed, printed
    assert re.search(r"failed transactions: 0 ", printed) or "failed" not in printed, printed
    return contents(server_port)


def main(program: str) -> None:
    need("pgbench", "psql")
    if os.getuid() == 0:
        need("runuser")
        if subprocess.run(["id", "-u", USER], capture_output=True, check=False).returncode != 0:
            skip(f"there is no user {USER}")
    postgres = programs_of_postgres()
    with directory_of_user() as below:
        data = below / "data"
        output_of(*as_user(postgres / "initdb", "-D", data, "-U", USER, "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8"),
                  cwd=below)

        def start(port: int) -> Running:
            options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "shared_buffers=16MB"]
            # Straight from the one process to the other, so that the signal that ends it reaches it.
            become = dict(user=USER, group=USER, extra_groups=[]) if os.getuid() == 0 else {}
            return Running(postgres / "postgres", "-F", "-D", data, "-p", port, *options, cwd=below,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **become)

        def answers(port: int) -> bool:
            return subprocess.run(["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode == 0

        database, port = start_at_free_port(start, answers)
        with database:
            with Server(program, port) as proxy:
                for protocol in ("simple", "prepared"):
                    direct = run_benchmark(port, port, 1, 100, protocol)
                    proxied = run_benchmark(proxy.port, port, 1, 100, protocol)
                    assert direct == proxied, f"{proxied} instead of {direct}"
                    assert direct.split("\n")[-1].startswith("100|"), direct
                # Many at once leave what depends on their order, but not how much there is.
                proxied = run_benchmark(proxy.port, port, 8, 25, "extended")
                assert proxied.split("\n")[-1].startswith("200|"), proxied
                assert proxy.stop() == "stopped\n"
            database.process.send_signal(signal.SIGINT)  # which it takes for a request to end now
            database.process.wait()


main(*sys.argv[1:])
