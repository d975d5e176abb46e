//! A network namespace of our own whose loopback uses the `reno` congestion control.
//!
//! Some machines run `bbr` even on loopback, which halves the throughput of everything and hides what brokers cost
//! (PERFORMANCE.md §0). The namespace belongs to this process and its children and vanishes with them, so there is
//! nothing to clean up. Without the right to make one the run goes on and its report says so.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// Moves this process, and every child it will start, into a fresh namespace. Call it before any thread exists.
///
/// Returns a sentence for the report: which congestion control the loopback has.
pub(crate) fn enter() -> String {
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
        return format!("host network ({errno}); congestion control {}", system_default());
    }
    let up = ip(&["link", "set", "lo", "up"]);
    let reno =
        ip(&["route", "replace", "local", "127.0.0.1", "dev", "lo", "table", "local", "congctl", "reno"]);
    match (up, reno) {
        (true, true) => "own network namespace; loopback congestion control reno".to_owned(),
        (true, false) => format!("own network namespace; congestion control {}", system_default()),
        (false, _) => "own network namespace; `ip` is missing, so the loopback may be down".to_owned(),
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).status().is_ok_and(|status| status.success())
}

fn system_default() -> String {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}
