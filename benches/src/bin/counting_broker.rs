//! A broker that counts what it allocates. It serves on a free port of loopback, prints its address, and for each line on its
//! standard input prints how many pieces and how many bytes it has allocated since it started; at the end of input it ends.
//!
//! The same broker as in `ottla`, on the system's allocator instead of mimalloc: how often and how much is asked for does
//! not depend on who gives it. Not for measuring time.

#![allow(unsafe_code, reason = "a global allocator that counts can only be written with unsafe")]
#![allow(clippy::print_stdout, reason = "it is spoken with through its standard streams")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::BufRead;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_broker::{Broker, BrokerConfig};

static PIECES: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

struct Counting;

fn count(bytes: usize) {
    PIECES.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it is; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // Room for the whole may be new, so all of it counts.
        count(bytes);
        // SAFETY: the caller keeps the contract of `realloc`, and the pointer came from the same allocator.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from the same allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let Some(data) = std::env::args().nth(1) else {
        eprintln!("usage: ottla-counting-broker DATA-DIRECTORY");
        return ExitCode::FAILURE;
    };
    match serve(&data) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ottla-counting-broker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(data: &str) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let config = BrokerConfig::from_pairs([("listeners", "PLAINTEXT://127.0.0.1:0"), ("log.dirs", data)])?;
    let broker = runtime.block_on(Broker::start(config))?;
    println!("{}", broker.address());
    for line in std::io::stdin().lock().lines() {
        line?;
        println!("{} {}", PIECES.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
    }
    Ok(runtime.block_on(broker.shutdown())?)
}
