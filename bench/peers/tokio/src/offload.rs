//! W14 with `spawn_blocking`, Tokio's pool of threads.

use std::time::Instant;

use tokio::task::spawn_blocking;

use crate::{check, metric, ns_per, size};

pub async fn offload() {
    const CALLERS: usize = 100;
    const FACTOR: usize = 5;
    let calls = size("W14_N", 20_000);
    let mut n = 0;
    let start = Instant::now();
    for _ in 0..calls {
        n = spawn_blocking(move || n + 1).await.unwrap();
    }
    let round_trip = ns_per(start.elapsed(), calls);
    check(n == calls, "calls one at a time");

    let each = calls * FACTOR / CALLERS;
    let mut tasks = Vec::with_capacity(CALLERS);
    let start = Instant::now();
    for _ in 0..CALLERS {
        tasks.push(tokio::spawn(async move {
            let mut mine = 0;
            for _ in 0..each {
                mine = spawn_blocking(move || mine + 1).await.unwrap();
            }
            mine
        }));
    }
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    let per_call = ns_per(start.elapsed(), each * CALLERS);
    check(sum == each * CALLERS, "calls a hundred at a time");
    metric("ns_per_round_trip", round_trip, "ns");
    metric("ns_per_call", per_call, "ns");
}
