//! W2 to W10, W13 and W14 on Tokio: see workload.hpp for the command line and the exit statuses.
//! Variants: `multi_thread` (usual), and with one worker `current_thread`.
//! `echo WORKERS VARIANT PORT [stall]` is a server: see echo.hpp.

mod channels;
mod echo;
mod offload;
mod stall;

use std::future::Future;
use std::pin::Pin;
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The number in the environment variable `name`, or `usual` without one.
fn size(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn metric(name: &str, value: f64, unit: &str) {
    println!("{name} {value:.3} {unit}");
}

fn check(right: bool, what: &str) {
    if !right {
        eprintln!("wrong result: {what}");
        exit(3);
    }
}

fn ns_per(elapsed: Duration, operations: usize) -> f64 {
    elapsed.as_nanos() as f64 / operations as f64
}

fn milliseconds(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64() * 1e3
}

/// A field such as `VmRSS` of /proc/self/status.
fn memory_bytes(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    let kib: usize = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    kib * 1024
}

/// User plus system time of this process.
fn cpu_seconds() -> f64 {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

async fn join(tasks: &mut Vec<JoinHandle<()>>) {
    for task in tasks.drain(..) {
        task.await.unwrap();
    }
}

struct Yields {
    begin_end: Mutex<(Instant, Instant)>,
    entered: AtomicBool,
    left: AtomicUsize,
    total: AtomicUsize,
}

async fn yields() {
    const TASKS: usize = 1000;
    let yields = size("W2_N", 1000);
    let shared = Arc::new(Yields {
        begin_end: Mutex::new((Instant::now(), Instant::now())),
        entered: AtomicBool::new(false),
        left: AtomicUsize::new(0),
        total: AtomicUsize::new(0),
    });
    let mut tasks = Vec::with_capacity(TASKS);
    for _ in 0..TASKS {
        let shared = shared.clone();
        tasks.push(tokio::spawn(async move {
            if !shared.entered.swap(true, SeqCst) {
                shared.begin_end.lock().unwrap().0 = Instant::now();
            }
            let mut n = 0;
            while n < yields {
                tokio::task::yield_now().await;
                n += 1;
            }
            shared.total.fetch_add(n, SeqCst);
            if shared.left.fetch_add(1, SeqCst) + 1 == TASKS {
                shared.begin_end.lock().unwrap().1 = Instant::now();
            }
        }));
    }
    join(&mut tasks).await;
    check(shared.total.load(SeqCst) == TASKS * yields, "yields");
    let (begin, end) = *shared.begin_end.lock().unwrap();
    metric("ns_per_yield", ns_per(end - begin, TASKS * yields), "ns");
}

async fn spawn_join() {
    const BATCH: usize = 1000;
    let batches = size("W3_N", 1000);
    let slots: Arc<Vec<AtomicU64>> = Arc::new((0..BATCH).map(|_| AtomicU64::new(0)).collect());
    let mut tasks = Vec::with_capacity(BATCH);
    let start = Instant::now();
    for _ in 0..batches {
        for i in 0..BATCH {
            let slots = slots.clone();
            tasks.push(tokio::spawn(async move {
                // A plain load and store: the join orders the batches.
                slots[i].store(slots[i].load(Relaxed) + i as u64 + 1, Relaxed);
            }));
        }
        join(&mut tasks).await;
    }
    let elapsed = start.elapsed();
    let sum: u64 = slots.iter().map(|slot| slot.load(Relaxed)).sum();
    check(sum == batches as u64 * 500_500, "sum of the slots");
    metric("ns_per_spawn_join", ns_per(elapsed, batches * BATCH), "ns");
}

#[derive(Default)]
struct Parked {
    event: Notify,
    all_parked: Notify,
    waiting: AtomicUsize,
    woken: AtomicUsize,
}

async fn parked() {
    let count = size("W8_N", 1_000_000);
    let shared = Arc::new(Parked::default());
    let before = memory_bytes("VmRSS");

    let start = Instant::now();
    let mut tasks = Vec::with_capacity(count);
    for _ in 0..count {
        let shared = shared.clone();
        tasks.push(tokio::spawn(async move {
            let event = shared.event.notified(); // from here on it gets notify_waiters()
            if shared.waiting.fetch_add(1, SeqCst) + 1 == count {
                shared.all_parked.notify_one();
            }
            event.await;
            shared.woken.fetch_add(1, SeqCst);
        }));
    }
    shared.all_parked.notified().await;
    let create = start.elapsed();
    let peak = memory_bytes("VmHWM");

    let start = Instant::now();
    shared.event.notify_waiters();
    join(&mut tasks).await;
    let wake = start.elapsed();
    check(shared.woken.load(SeqCst) == count, "woken");
    metric("create_park_ms", milliseconds(create), "ms");
    metric("wake_join_ms", milliseconds(wake), "ms");
    metric("rss_bytes_per_fiber", (peak - before) as f64 / count as f64, "B");
}

async fn timers() {
    let count = size("W9_N", 1_000_000);
    let done = Arc::new(AtomicUsize::new(0));
    let cpu_before = cpu_seconds();
    let start = Instant::now();
    let mut tasks = Vec::with_capacity(count);
    for i in 0..count {
        let done = done.clone();
        tasks.push(tokio::spawn(async move {
            let duration = (i as u32).wrapping_mul(7919) % 1001;
            tokio::time::sleep(Duration::from_millis(duration.into())).await;
            done.fetch_add(1, SeqCst);
        }));
    }
    join(&mut tasks).await;
    let wall = start.elapsed();
    let cpu = cpu_seconds() - cpu_before;
    check(done.load(SeqCst) == count, "sleepers");
    metric("over_1s_ms", milliseconds(wall) - 1000.0, "ms");
    metric("cpu_s", cpu, "s");
    metric("peak_rss_mib", memory_bytes("VmHWM") as f64 / f64::from(1 << 20), "MiB");
}

fn plain_fib(n: u32) -> u64 {
    if n < 2 {
        n.into()
    } else {
        plain_fib(n - 1) + plain_fib(n - 2)
    }
}

/// A recursive future needs a box; a call that ends in plain recursion does not.
fn fib(n: u32) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n <= 10 {
            return plain_fib(n);
        }
        let a = tokio::spawn(fib(n - 1));
        let b = fib(n - 2).await;
        a.await.unwrap() + b
    })
}

async fn forkjoin() {
    let repeats = size("W10_N", 20);
    check(fib(30).await == 832_040, "fib");
    let start = Instant::now();
    for _ in 0..repeats {
        check(fib(30).await == 832_040, "fib");
    }
    metric("wall_ms", milliseconds(start.elapsed()) / repeats as f64, "ms");
}

/// The parent is a task like the others, so that it runs on a worker.
fn run<F: Future<Output = ()> + Send + 'static>(runtime: &Runtime, workload: F) {
    runtime.block_on(async { tokio::spawn(workload).await.unwrap() });
}

fn unknown() -> ! {
    eprintln!("usage: peer_tokio WORKLOAD WORKERS [current_thread|multi_thread]");
    exit(2);
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() < 3 {
        unknown();
    }
    let workers: usize = args[2].parse().unwrap_or(0);
    let serves = args[1] == "echo";
    let signals = serves.then(echo::block_sigterm); // before there are other threads
    let mut builder = match (workers, args.get(3).map_or("multi_thread", String::as_str)) {
        (1, "current_thread") => Builder::new_current_thread(),
        (1.., "multi_thread") => Builder::new_multi_thread(),
        _ => unknown(),
    };
    if serves {
        builder.enable_io();
    }
    let runtime = builder.worker_threads(workers).enable_time().build().unwrap();
    match args[1].as_str() {
        "W2" => run(&runtime, yields()),
        "W3" => run(&runtime, spawn_join()),
        "W4" => run(&runtime, channels::skynet()),
        "W5" => run(&runtime, channels::pingpong()),
        "W7" => run(&runtime, channels::mutex()),
        #[cfg(feature = "async-channel")]
        "W6" => run(&runtime, channels::mpmc_channel::async_channel()),
        #[cfg(feature = "flume")]
        "W5_flume" => run(&runtime, channels::pingpong_flume()),
        #[cfg(feature = "flume")]
        "W6_flume" => run(&runtime, channels::mpmc_channel::flume()),
        "W8" => run(&runtime, parked()),
        "W9" => run(&runtime, timers()),
        "W10" => run(&runtime, forkjoin()),
        "W13" => run(&runtime, stall::stall()),
        "W14" => run(&runtime, offload::offload()),
        "echo" if args.len() >= 5 => {
            let stall = args.get(5).map_or(false, |word| word == "stall");
            echo::serve(&runtime, signals.unwrap(), workers, args[4].parse().unwrap_or(0), stall)
        }
        _ => unknown(),
    }
}
