//! W13: how late tasks run that a timer or a channel has woken, while others compute. See latency.hpp.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{check, cpu_seconds, join, metric, size};

const TIMED: usize = 450;
const HEAVY: usize = 100;
const WORK: u64 = 6_500_000;
const PERIOD: Duration = Duration::from_millis(100);
const HEAVY_PERIODS: usize = 20;

pub fn compute(mut state: u64, steps: u64) -> u64 {
    for _ in 0..steps {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    state
}

/// Every value is counted, in buckets of which 32 lie between two powers of two.
struct Histogram(Vec<AtomicU64>);

fn edge(bucket: u64) -> u64 {
    if bucket < 32 {
        bucket
    } else {
        (bucket % 32 + 32) << (bucket / 32 - 1)
    }
}

impl Histogram {
    fn new() -> Self {
        Histogram((0..64 * 32).map(|_| AtomicU64::new(0)).collect())
    }

    fn add(&self, duration: Duration) {
        let ns = duration.as_nanos() as u64;
        let bucket = if ns < 32 {
            ns
        } else {
            let shift = u64::from(64 - ns.leading_zeros()) - 6;
            (shift + 1) * 32 + (ns >> shift) - 32
        };
        self.0[bucket as usize].fetch_add(1, Relaxed);
    }

    fn total(&self) -> u64 {
        self.0.iter().map(|count| count.load(Relaxed)).sum()
    }

    fn quantile_us(&self, q: f64) -> f64 {
        let all = self.total();
        let mut below = 0;
        for (i, count) in self.0.iter().enumerate() {
            below += count.load(Relaxed);
            if below as f64 >= q * all as f64 {
                return edge(i as u64 + 1) as f64 / 1e3;
            }
        }
        0.0
    }

    fn report(&self, name: &str) {
        metric(&format!("{name}_p50_us"), self.quantile_us(0.5), "us");
        metric(&format!("{name}_p99_us"), self.quantile_us(0.99), "us");
        metric(&format!("{name}_p999_us"), self.quantile_us(0.999), "us");
    }
}

pub async fn stall() {
    let rounds = size("W13_N", 60);
    let heavy_rounds = rounds / HEAVY_PERIODS;
    let timers = Arc::new(Histogram::new());
    let events = Arc::new(Histogram::new());
    let sum = Arc::new(AtomicU64::new(0));
    let start = Instant::now() + PERIOD;
    let mut tasks = Vec::new();
    for i in 0..TIMED {
        let (set, mut is_set) = tokio::sync::mpsc::channel(rounds);
        let timers = timers.clone();
        tasks.push(tokio::spawn(async move {
            let mut deadline = start + PERIOD * i as u32 / TIMED as u32;
            for _ in 0..rounds {
                tokio::time::sleep_until(deadline.into()).await;
                timers.add(Instant::now().saturating_duration_since(deadline));
                set.send(Instant::now()).await.unwrap();
                deadline += PERIOD;
            }
        }));
        let (events, sum) = (events.clone(), sum.clone());
        tasks.push(tokio::spawn(async move {
            for round in 0..rounds {
                let at: Instant = is_set.recv().await.unwrap();
                events.add(at.elapsed());
                sum.fetch_add(compute(round as u64 + 1, 10), Relaxed);
            }
        }));
    }
    for i in 0..HEAVY {
        let (timers, sum) = (timers.clone(), sum.clone());
        tasks.push(tokio::spawn(async move {
            let period = PERIOD * HEAVY_PERIODS as u32;
            let mut deadline = start + period * i as u32 / HEAVY as u32;
            for round in 0..heavy_rounds {
                tokio::time::sleep_until(deadline.into()).await;
                timers.add(Instant::now().saturating_duration_since(deadline));
                sum.fetch_add(compute(round as u64 + 1, WORK), Relaxed);
                deadline += period;
            }
        }));
    }
    join(&mut tasks).await;
    check(timers.total() == (TIMED * rounds + HEAVY * heavy_rounds) as u64, "timers");
    check(events.total() == (TIMED * rounds) as u64 && sum.load(Relaxed) != 0, "events");
    timers.report("timer");
    events.report("event");
    metric("cpu_s", cpu_seconds(), "s");
}
