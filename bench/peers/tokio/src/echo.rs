//! The echo server of W11 and W15 to W17: see echo.hpp.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::stall::compute;

const BUFFER: usize = 1024;
const STALL_PERIOD: Duration = Duration::from_millis(20);
const STALL_WORK: u64 = 6_500_000;

static SUM: AtomicU64 = AtomicU64::new(0); // so that the compiler cannot leave the computation out

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; BUFFER];
    loop {
        let size = stream.read(&mut buffer).await?;
        if size == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..size]).await?;
    }
}

/// Computes for about 10 ms of every 20.
async fn stall_worker() {
    let mut ticks = tokio::time::interval(STALL_PERIOD);
    loop {
        ticks.tick().await;
        SUM.fetch_add(compute(1, STALL_WORK), Relaxed);
    }
}

/// SIGTERM, blocked in this thread and in those that it starts, so that one of them may wait for it.
pub fn block_sigterm() -> libc::sigset_t {
    unsafe {
        let mut signals = std::mem::zeroed();
        libc::sigemptyset(&mut signals);
        libc::sigaddset(&mut signals, libc::SIGTERM);
        libc::pthread_sigmask(libc::SIG_BLOCK, &signals, std::ptr::null_mut());
        signals
    }
}

fn raise_descriptor_limit() {
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
}

pub fn serve(runtime: &Runtime, signals: libc::sigset_t, workers: usize, port: u16, stall: bool) {
    raise_descriptor_limit();
    let (end, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut signal = 0;
        unsafe { libc::sigwait(&signals, &mut signal) };
        let _ = end.send(());
    });
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        println!("port {}", listener.local_addr().unwrap().port());
        std::io::stdout().flush().unwrap();
        // A task like the others, so that it runs on a worker.
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(echo(stream));
            }
        });
        if stall {
            for _ in 0..workers {
                tokio::spawn(stall_worker());
            }
        }
        let _ = ended.await;
    });
}
