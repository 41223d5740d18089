"""What is run: the workloads, their metrics, and which program runs each of them in which variant."""

from __future__ import annotations

from dataclasses import dataclass

WEFT = "weft"


@dataclass(frozen=True)
class Metric:
    name: str
    unit: str
    title: str
    scales: bool = False  # the value grows with the workload's size
    more_is_better: bool = False

    @property
    def heading(self) -> str:
        return f"{self.title} (more is better)" if self.more_is_better else self.title


@dataclass(frozen=True)
class Load:
    """A client of the echo servers: `PROGRAM PORT CONNECTIONS BYTES SECONDS --server PID OPTION...`."""

    program: str
    connections: int
    options: tuple[str, ...] = ()

    def arguments(self, port: int, milliseconds: int, server: int) -> list[str]:
        measured = (str(port), str(self.connections), "64", str(milliseconds / 1000), "--server", str(server))
        return [*measured, *self.options]


@dataclass(frozen=True)
class Workload:
    id: str
    title: str
    about: str
    metrics: tuple[Metric, ...]
    size: int
    quick_size: int
    size_means: str
    baseline: str | None = None  # label of the row that ratios are also given to
    repetitions: int = 9
    quick_repetitions: int = 5
    load: Load | None = None  # its programs are servers, and this is put on them
    bytes_each: int = 0  # about what a program fills for each of `size`, where their pages are the cost

    @property
    def size_variable(self) -> str:
        return f"{self.id}_N"


@dataclass(frozen=True)
class Entry:
    """One row of the table: a program with its arguments."""

    workload: str
    workers: int
    family: str  # whose program: names the peer, and what --peers selects
    label: str
    program: str
    arguments: tuple[str, ...]
    limit: bool = False  # not a runtime, but what bounds them all
    counted: str = ""  # the same server, but one that counts its system calls, and is not timed
    most_repetitions: int | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        return (self.workload, self.workers, self.label)

    @property
    def programs(self) -> tuple[str, ...]:
        load = WORKLOADS[self.workload].load
        own = (self.program, self.counted) if self.counted else (self.program,)
        return own if load is None else (*own, load.program)


RAW = "1000 stacks, staggered (raw)"
SERIAL = "serial"
EPOLL = "bare epoll loop"
PREAD = "pread from threads"
PAGES = "guarded pages (bare)"
BASELINES = {RAW: "raw", SERIAL: "serial", EPOLL: "epoll", PREAD: "pread", PAGES: "pages"}  # in short


# What the clients of the servers tell.
P50 = Metric("p50_us", "us", "latency, median")
P99 = Metric("p99_us", "us", "latency, 99 %")
SHARE = Metric("server_cpu_pct", "%", "share of one core that the server used")
CALLS = Metric("system_calls_per_req", "calls", "system calls of the server per request, counted by a twin that is not timed")
MEMORY = Metric("server_rss_bytes_per_conn", "B", "server's resident memory of each idle connection")


def _rates(what: str, per: str) -> tuple[Metric, ...]:
    return (
        Metric(f"server_cpu_us_per_{what}", "us", f"server's CPU time per {per}"),
        Metric(f"{what}_s", "1/s", f"{per}s per second", more_is_better=True),
    )


WORKLOADS: dict[str, Workload] = {
    w.id: w
    for w in (
        Workload(
            "W1",
            "switch",
            "Two contexts jump to and fro on one thread; or one visits a thousand others in turn.",
            (Metric("ns_per_switch", "ns", "time per switch"),),
            5_000_000,
            5_000_000,
            "round trips",
            baseline=RAW,
        ),
        Workload(
            "W2",
            "yield",
            "1000 tasks yield to the scheduler, 1000 times each.",
            (Metric("ns_per_yield", "ns", "time per yield"),),
            1000,
            1000,
            "yields of each task",
            baseline=RAW,
        ),
        Workload(
            "W3",
            "spawn and join",
            "A parent spawns 1000 tasks and joins them all, again and again.",
            (Metric("ns_per_spawn_join", "ns", "time per spawn and join"),),
            1000,
            200,
            "batches",
            baseline=RAW,
            quick_repetitions=3,
        ),
        Workload(
            "W4",
            "skynet",
            "A tree of tasks, ten below each; all leaves send their numbers up, and each task the sum of ten.",
            (
                Metric("wall_ms", "ms", "wall time of the tree", scales=True),
                Metric("peak_rss_mib", "MiB", "peak resident memory", scales=True),
            ),
            1_000_000,
            100_000,
            "leaves",
        ),
        Workload(
            "W5",
            "ping-pong",
            "Two tasks send a number to and fro by two channels that hold nothing.",
            (Metric("ns_per_round_trip", "ns", "time per round trip"),),
            1_000_000,
            200_000,
            "round trips",
            baseline=RAW,
        ),
        Workload(
            "W6",
            "channel",
            "Four tasks send numbers to four others by one channel that holds 128.",
            (Metric("ns_per_message", "ns", "time per message"),),
            4_000_000,
            800_000,
            "messages",
            baseline=RAW,
        ),
        Workload(
            "W7",
            "mutex",
            "64 tasks count together under one mutex.",
            (Metric("ns_per_lock", "ns", "time per lock and unlock"),),
            20_000,
            20_000,
            "lockings by each task",
        ),
        Workload(
            "W8",
            "parked",
            "Tasks wait on one event, all at once; then it is set.",
            (
                Metric("create_park_ms", "ms", "until all are created and parked", scales=True),
                Metric("wake_join_ms", "ms", "until all are woken and joined", scales=True),
                Metric("rss_bytes_per_fiber", "B", "resident memory of each parked task"),
            ),
            1_000_000,
            100_000,
            "tasks",
            baseline=PAGES,
            quick_repetitions=3,
            bytes_each=6 * 1024,
        ),
        Workload(
            "W9",
            "timers",
            "Each task sleeps once, up to one second.",
            (
                Metric("over_1s_ms", "ms", "wall time in excess of one second", scales=True),
                Metric("cpu_s", "s", "CPU time", scales=True),
                Metric("peak_rss_mib", "MiB", "peak resident memory", scales=True),
            ),
            1_000_000,
            100_000,
            "tasks",
            quick_repetitions=2,
        ),
        Workload(
            "W10",
            "fork and join",
            "fib(30) with 10,945 spawns, plain recursion at the leaves.",
            (Metric("wall_ms", "ms", "wall time of one fib(30)"),),
            20,
            20,
            "repeats",
            baseline=SERIAL,
            quick_repetitions=3,
        ),
        Workload(
            "W11",
            "echo",
            "A TCP echo server; 64 connections, one message of 64 bytes outstanding on each. One thread: the server is pinned "
            "to a core, and the client to another. Two: nothing is pinned.",
            (*_rates("req", "request"), P50, P99, SHARE, CALLS),
            2_000,
            300,
            "milliseconds counted",
            baseline=EPOLL,
            quick_repetitions=2,
            load=Load("echo_load", 64),
        ),
        Workload(
            "W13",
            "stall",
            "900 tasks are woken ten times a second, half by timers, half by those; 100 more compute 10 ms every two seconds.",
            tuple(
                Metric(f"{by}_{quantile}_us", "us", f"from {what} to running, {title}")
                for by, what in (("timer", "deadline"), ("event", "event set"))
                for quantile, title in (("p50", "median"), ("p99", "99 %"), ("p999", "99.9 %"))
            )
            + (Metric("cpu_s", "s", "CPU time", scales=True),),
            60,
            20,
            "rounds of 100 ms",
            repetitions=5,
            quick_repetitions=2,
        ),
        Workload(
            "W14",
            "offload",
            "A task has a call made on another thread and waits for it; then 100 tasks do so at once.",
            (
                Metric("ns_per_round_trip", "ns", "time per call, one at a time"),
                Metric("ns_per_call", "ns", "time per call, 100 at a time"),
            ),
            20_000,
            5_000,
            "calls",
            quick_repetitions=2,
        ),
        Workload(
            "W15",
            "echo beside computation",
            "The echo server of W11 at 10,000 messages a second in all, whatever it does; each of its workers also computes "
            "10 ms of every 20. A latency counts from when the message was due.",
            (P99, P50, SHARE),
            2_000,
            500,
            "milliseconds counted",
            repetitions=5,
            quick_repetitions=2,
            load=Load("echo_load", 64, ("--rate", "10000")),
        ),
        Workload(
            "W16",
            "idle connections",
            "The echo server of W11 with 10,000 idle connections, and 8 busy ones.",
            (MEMORY, P50, P99, *_rates("req", "request"), SHARE),
            2_000,
            300,
            "milliseconds counted",
            baseline=EPOLL,
            repetitions=5,
            quick_repetitions=1,
            load=Load("echo_load", 8, ("--idle", "10000")),
        ),
        Workload(
            "W17",
            "short connections",
            "The echo server of W11; each connection is made, has one message echoed and is closed, 64 of them at a time.",
            (*_rates("conn", "connection"), P50, P99, SHARE),
            2_000,
            300,
            "milliseconds counted",
            baseline=EPOLL,
            repetitions=5,
            quick_repetitions=2,
            load=Load("connect_load", 64),
        ),
        Workload(
            "W18",
            "file reads",
            "64 readers read a file of 64 MiB, which is in memory, in pieces of 64 KiB; before, one reader does in pieces of "
            "4 KiB.",
            (
                Metric("mib_s", "MiB/s", "throughput, 64 readers", more_is_better=True),
                Metric("us_per_read", "us", "time per read, one reader"),
            ),
            20_000,
            4_000,
            "reads",
            baseline=PREAD,
            repetitions=5,
            quick_repetitions=2,
        ),
        Workload(
            "W19",
            "processes",
            "/bin/true is started and waited for, again and again; then 16 at a time.",
            (
                Metric("us_per_process", "us", "time per process, one at a time"),
                Metric("us_per_process_of_16", "us", "time per process, 16 at a time"),
            ),
            1_000,
            200,
            "processes",
            repetitions=5,
            quick_repetitions=2,
        ),
    )
}

FAMILIES: dict[str, str] = {  # family: program
    WEFT: "weft_workloads",
    "Boost.Context": "peer_context",
    "serial": "peer_serial",
    "Boost.Fiber": "peer_boost_fiber",
    "Go": "peer_go",
    "Tokio": "peer_tokio",
    "oneTBB": "peer_onetbb",
    "std::async": "peer_std_async",
    "pread": "peer_pread_threads",
    "pages": "peer_guarded_pages",
    "posix_spawn": "peer_posix_spawn",
    "Asio": "peer_echo_asio_callbacks",
    "libuv": "peer_echo_libuv",
    "epoll": "peer_echo_epoll",
}
ONLY_WITH = {"W1": 1, "W13": 2, "W16": 1, "W17": 1, "W18": 2, "W19": 2}  # numbers of workers
LIMITS = ("Boost.Context", "serial", "epoll", "pread", "pages")  # in every plan: the ratios need them


def _entry(workload: str, workers: int, family: str, label: str, variant: str = "", named: str = "") -> Entry:
    return Entry(
        workload,
        workers,
        family,
        label,
        FAMILIES[family],
        (named or workload, str(workers)) + ((variant,) if variant else ()),
        limit=family in LIMITS,
        # A million stacks from malloc take Boost.Fiber about 15 s.
        most_repetitions=3 if family == "Boost.Fiber" and workload in ("W8", "W9") else None,
    )


def _servers(workload: str, workers: int) -> list[Entry]:
    count = str(workers)
    usual = ("stall",) if workload == "W15" else ()

    def row(family: str, label: str, program: str, *before_port: str, variant: tuple[str, ...] = usual) -> Entry:
        counts = workload == "W11" and program not in ("peer_go", "peer_tokio")
        counted = f"{program}_counted" if counts else ""
        arguments = (*before_port, "0", *variant)
        return Entry(workload, workers, family, label, program, arguments, limit=family in LIMITS, counted=counted)

    rows = [row(WEFT, WEFT, "weft_echo", count)]
    if workload == "W15":
        rows.append(row(WEFT, "weft, no spare workers", "weft_echo", count, variant=("stall_alone",)))
    rows.append(row("Go", "Go", "peer_go", "echo", count))
    for variant in ("current_thread", "multi_thread") if workers == 1 else ("multi_thread",):
        rows.append(row("Tokio", f"Tokio, {variant}", "peer_tokio", "echo", count, variant))
    if workload == "W11":
        rows.append(row("Asio", "Asio, callbacks", "peer_echo_asio_callbacks", count))
        rows.append(row("Asio", "Asio, coroutines", "peer_echo_asio_coroutines", count))
        rows.append(row("libuv", "libuv", "peer_echo_libuv", count))
    if workload != "W15":
        rows.append(row("epoll", EPOLL, "peer_echo_epoll", count))
    return rows


def _rows(workload: str, workers: int) -> list[Entry]:
    if WORKLOADS[workload].load is not None:
        return _servers(workload, workers)
    rows = [_entry(workload, workers, WEFT, WEFT)]
    if workload == "W1":
        rows += [
            _entry("W1", 1, "Boost.Context", label, variant)
            for label, variant in (
                ("context::fiber", "fiber"),
                ("context::fiber, MXCSR differs", "fiber_mxcsr"),
                ("jump_fcontext", "jump_fcontext"),
                ("jump_fcontext, MXCSR differs", "jump_fcontext_mxcsr"),
                ("1000 stacks", "jump_fcontext_1000"),
                (RAW, "jump_fcontext_1000_color"),
            )
        ]
        return rows
    if workload == "W18":
        rows.append(_entry("W18", workers, "pread", PREAD))
        return rows
    if workload == "W19":
        rows.append(_entry(workload, workers, "Go", "Go, os/exec"))
        rows.append(_entry(workload, workers, "posix_spawn", "posix_spawn, waitpid"))
        return rows
    if workload in ("W13", "W14"):
        rows.append(_entry(workload, workers, "Go", "Go"))
        rows.append(_entry(workload, workers, "Tokio", "Tokio, multi_thread", "multi_thread"))
        if workload == "W14":
            rows.append(_entry(workload, workers, "oneTBB", "oneTBB, enqueue", "enqueue"))
            rows.append(_entry(workload, workers, "oneTBB", "oneTBB, execute", "execute"))
            rows.append(_entry(workload, workers, "std::async", "std::async"))
        return rows
    if workload == "W4":
        rows.append(_entry("W4", workers, WEFT, "weft, plain spawns", "plain"))
    if workload == "W2":
        rows.append(_entry("W2", workers, WEFT, "weft, floating point", named="W2_float"))
    if workload == "W8":
        rows.append(_entry("W8", workers, "pages", PAGES))
    if workload == "W10" and workers == 1:
        rows.append(_entry("W10", 1, "serial", SERIAL))
    if workload == "W3":
        if workers == 1:
            rows.append(_entry("W3", 1, "Boost.Fiber", "Boost.Fiber, pool", "pool"))
            rows.append(_entry("W3", 1, "Boost.Fiber", "Boost.Fiber, default stacks", "default"))
        else:
            rows.append(_entry("W3", workers, "Boost.Fiber", "Boost.Fiber"))
    else:
        rows.append(_entry(workload, workers, "Boost.Fiber", "Boost.Fiber"))
    rows.append(_entry(workload, workers, "Go", "Go"))
    if workers == 1:
        rows.append(_entry(workload, 1, "Tokio", "Tokio, current_thread", "current_thread"))
    rows.append(_entry(workload, workers, "Tokio", "Tokio, multi_thread", "multi_thread"))
    if workload in ("W5", "W6"):
        for variant in ("current_thread", "multi_thread") if workers == 1 else ("multi_thread",):
            rows.append(_entry(workload, workers, "Tokio", f"flume, {variant}", variant, named=f"{workload}_flume"))
    if workload in ("W3", "W10"):
        rows.append(_entry(workload, workers, "oneTBB", "oneTBB"))
    return rows


def entries(workloads: list[str], workers: list[int], families: set[str]) -> list[Entry]:
    """The rows of the plan, in the order of a report."""
    plan: list[Entry] = []
    baselines = {WORKLOADS[w].baseline for w in workloads}
    if RAW in baselines and "W1" not in workloads:  # measured in the same sitting, or there is no ratio to it
        plan += [e for e in _rows("W1", 1) if e.label == RAW]
    for workload in workloads:
        for count in [ONLY_WITH[workload]] if workload in ONLY_WITH else workers:
            plan += [e for e in _rows(workload, count) if e.family in families]
    return plan
