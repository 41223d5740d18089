//! W4 to W7. Tokio has no channel with several receivers: W6 is on `async-channel`, and on `flume`, on which W5 is, too.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, Mutex};

use crate::{check, memory_bytes, metric, milliseconds, ns_per, size};

const CHILDREN: u64 = 10;

fn skynet_task(to: mpsc::Sender<u64>, num: u64, size: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if size == 1 {
            to.send(num).await.unwrap();
            return;
        }
        let (child, mut from) = mpsc::channel(10);
        for i in 0..CHILDREN {
            tokio::spawn(skynet_task(child.clone(), num + i * (size / CHILDREN), size / CHILDREN));
        }
        let mut sum = 0;
        for _ in 0..CHILDREN {
            sum += from.recv().await.unwrap();
        }
        to.send(sum).await.unwrap();
    })
}

pub async fn skynet() {
    let leaves = size("W4_N", 1_000_000) as u64;
    let (to, mut answer) = mpsc::channel(10);
    let start = Instant::now();
    tokio::spawn(skynet_task(to, 0, leaves));
    let sum = answer.recv().await.unwrap();
    let elapsed = start.elapsed();
    check(sum == leaves * (leaves - 1) / 2, "sum of the leaves");
    metric("wall_ms", milliseconds(elapsed), "ms");
    metric("peak_rss_mib", memory_bytes("VmHWM") as f64 / f64::from(1 << 20), "MiB");
}

fn check_rounds(sum: u64, rounds: u64, start: Instant) {
    let elapsed = start.elapsed();
    check(sum == rounds * (rounds + 1) / 2, "sum of the answers");
    metric("ns_per_round_trip", ns_per(elapsed, rounds as usize), "ns");
}

pub async fn pingpong() {
    let rounds = size("W5_N", 1_000_000) as u64;
    let (ping, mut pinged) = mpsc::channel::<u64>(1);
    let (pong, mut ponged) = mpsc::channel::<u64>(1);
    let start = Instant::now();
    let b = tokio::spawn(async move {
        for _ in 0..rounds {
            let value = pinged.recv().await.unwrap();
            pong.send(value + 1).await.unwrap();
        }
    });
    let a = tokio::spawn(async move {
        let mut sum = 0;
        for i in 0..rounds {
            ping.send(i).await.unwrap();
            sum += ponged.recv().await.unwrap();
        }
        sum
    });
    let sum = a.await.unwrap();
    b.await.unwrap();
    check_rounds(sum, rounds, start);
}

#[cfg(feature = "flume")]
pub async fn pingpong_flume() {
    let rounds = size("W5_N", 1_000_000) as u64;
    let (ping, pinged) = flume::bounded::<u64>(0);
    let (pong, ponged) = flume::bounded::<u64>(0);
    let start = Instant::now();
    let b = tokio::spawn(async move {
        for _ in 0..rounds {
            let value = pinged.recv_async().await.unwrap();
            pong.send_async(value + 1).await.unwrap();
        }
    });
    let a = tokio::spawn(async move {
        let mut sum = 0;
        for i in 0..rounds {
            ping.send_async(i).await.unwrap();
            sum += ponged.recv_async().await.unwrap();
        }
        sum
    });
    let sum = a.await.unwrap();
    b.await.unwrap();
    check_rounds(sum, rounds, start);
}

#[cfg(any(feature = "async-channel", feature = "flume"))]
pub mod mpmc_channel {
    use super::*;

    const TASKS: usize = 4;
    const CAPACITY: usize = 128;

    /// The two crates differ in names alone. The channel closes when the last producer has dropped its end.
    macro_rules! workload {
        ($name:ident, $channel:expr, $send:ident, $receive:ident) => {
            pub async fn $name() {
                let messages = size("W6_N", 4_000_000);
                let (to, from) = $channel;
                let mut producers = Vec::with_capacity(TASKS);
                let mut consumers = Vec::with_capacity(TASKS);
                let start = Instant::now();
                for p in 0..TASKS {
                    let to = to.clone();
                    producers.push(tokio::spawn(async move {
                        for i in (p..messages).step_by(TASKS) {
                            to.$send(i as u64).await.unwrap();
                        }
                    }));
                }
                drop(to);
                for _ in 0..TASKS {
                    let from = from.clone();
                    consumers.push(tokio::spawn(async move {
                        let mut sum = 0;
                        while let Ok(value) = from.$receive().await {
                            sum += value;
                        }
                        sum
                    }));
                }
                crate::join(&mut producers).await;
                let mut sum = 0;
                for task in consumers {
                    sum += task.await.unwrap();
                }
                let elapsed = start.elapsed();
                check(sum == messages as u64 * (messages as u64 - 1) / 2, "sum of the messages");
                metric("ns_per_message", ns_per(elapsed, messages), "ns");
            }
        };
    }
    #[cfg(feature = "async-channel")]
    workload!(async_channel, async_channel::bounded(CAPACITY), send, recv);
    #[cfg(feature = "flume")]
    workload!(flume, flume::bounded(CAPACITY), send_async, recv_async);
}

pub async fn mutex() {
    const TASKS: usize = 64;
    let each = size("W7_N", 20_000);
    let counter = Arc::new(Mutex::new(0));
    let mut tasks = Vec::with_capacity(TASKS);
    let start = Instant::now();
    for _ in 0..TASKS {
        let counter = counter.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..each {
                *counter.lock().await += 1;
            }
        }));
    }
    crate::join(&mut tasks).await;
    let elapsed = start.elapsed();
    check(*counter.lock().await == TASKS * each, "counter");
    metric("ns_per_lock", ns_per(elapsed, TASKS * each), "ns");
}
