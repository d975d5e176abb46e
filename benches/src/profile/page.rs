//! The report of a profile, as Markdown for people and JSON for programs. Every number comes from the measurement.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::load::Load;
use super::stacks::Owner;
use super::{Profile, Report, Samples};
use crate::error::{BenchError, Doing, Result};

/// Waits in a table.
const PLACES_MAX: usize = 8;

/// One line for whoever waits.
pub(super) fn headline(profile: &Profile) -> String {
    let calls = profile.kernel.as_ref().map_or_else(dash, |kernel| per(kernel.system_calls, profile));
    match &profile.samples {
        Some(samples) => {
            let kernel = percent(share_of(samples, Owner::Kernel));
            format!("kernel {kernel}, {calls} system calls a request, {} samples", samples.count)
        }
        None => format!("{} switches a request", per(profile.proc.voluntary_switches, profile)),
    }
}

/// Writes `NAME-profile.md` and `.json`.
pub(super) fn write(report: &Report, results: &Path, name: &str) -> Result<()> {
    let json = serde_json::to_string_pretty(report)
        .map_err(|error| BenchError::Void(format!("results as JSON: {error}")))?;
    for (extension, text) in [("json", json), ("md", markdown(report, name))] {
        let path = results.join(format!("{name}-profile.{extension}"));
        fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn markdown(report: &Report, name: &str) -> String {
    let machine = &report.machine;
    let mut page = format!(
        "# Where the broker's time goes\n\nWritten by `{}` at commit {}.\n{} × {}, {} MiB, Linux {}; {}.\n\n",
        machine.command_line,
        machine.commit,
        machine.processor_count,
        machine.processor,
        machine.memory_mib,
        machine.kernel,
        machine.network
    );
    match &report.no_perf {
        Some(reason) => page.push_str(&format!("**{reason}.**\n\n")),
        None => {
            shares(&mut page, report, name);
            errands(&mut page, report);
        }
    }
    per_request(&mut page, report);
    if report.no_perf.is_none() {
        system_calls(&mut page, report);
        symbols(&mut page, report);
        waits(&mut page, report, name);
    }
    allocations(&mut page, report);
    page
}

fn shares(page: &mut String, report: &Report, name: &str) {
    let _ = writeln!(
        page,
        "## Shares of the broker's processor time\n\nBy the function that was running when sampled (`perf record -e cpu-clock \
         --call-graph dwarf`, the binary of profile `profiling`).\nA function that was inlined counts for the one it is in.\n"
    );
    let titles: Vec<&str> = Owner::ALL.iter().map(|owner| owner.title()).collect();
    let _ = writeln!(
        page,
        "| load | {} | ottla ÷ all but the kernel | samples | others used |",
        titles.join(" | ")
    );
    let _ = writeln!(page, "|---|{}---|---|---|", "---|".repeat(titles.len()));
    for (profile, samples) in sampled(report) {
        let cells: Vec<String> = samples.by_owner.iter().map(|(_, share)| percent(*share)).collect();
        let user = 1.0 - share_of(samples, Owner::Kernel);
        let ours = if user > 0.0 { share_of(samples, Owner::Ottla) / user } else { 0.0 };
        let _ = writeln!(
            page,
            "| [{}]({name}-flame-{}.svg) | {} | {} | {} | {} |",
            profile.load.title(),
            profile.load.name(),
            cells.join(" | "),
            percent(ours),
            samples.count,
            percent(profile.foreign_share)
        );
    }
    page.push('\n');
}

fn errands(page: &mut String, report: &Report) {
    page.push_str("## What the kernel's part is for\n\nShares of all samples, by system call.\n\n");
    for (profile, samples) in sampled(report) {
        let listed: Vec<String> =
            samples.errands.iter().map(|(name, share)| format!("{name} {}", percent(*share))).collect();
        let _ = writeln!(page, "- {}: {}", profile.load.title(), listed.join(", "));
    }
    page.push('\n');
}

fn per_request(page: &mut String, report: &Report) {
    page.push_str(
        "## For each request\n\nCounted, not sampled. A request is a produce, a fetch or a heartbeat; end to end has both a \
         produce and a fetch for each record,\nunless one fetch brings several. Bytes through files: what `/proc/PID/io` \
         says was read and written (`sendfile` counts in both,\nsockets in neither), for each byte of batches that the load \
         moved: at 1.00 written every byte is copied into a file once.\n\n\
         | load | requests/s | CPU µs | system calls | wake-ups | waits | made room | migrations | page faults | read ÷ byte \
         | written ÷ byte |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for profile in &report.profiles {
        let (proc, asked) = (&profile.proc, profile.asked);
        let kernel = |count: fn(&super::KernelCounts) -> u64| {
            profile.kernel.as_ref().map_or_else(dash, |kernel| per(count(kernel), profile))
        };
        let through = |bytes: u64| match asked.bytes {
            0 => dash(),
            moved => format!("{:.2}", bytes as f64 / moved as f64),
        };
        let _ = writeln!(
            page,
            "| {} | {:.0} | {:.1} | {} | {} | {} | {} | {} | {} | {} | {} |",
            profile.load.title(),
            asked.requests as f64 / profile.window_s,
            profile.server_cpu_s * 1e6 / asked.requests.max(1) as f64,
            kernel(|counts| counts.system_calls),
            kernel(|counts| counts.wake_ups),
            per(proc.voluntary_switches, profile),
            per(proc.involuntary_switches, profile),
            kernel(|counts| counts.migrations),
            per(proc.page_faults, profile),
            through(proc.read_bytes),
            through(proc.written_bytes),
        );
    }
    page.push('\n');
}

fn system_calls(page: &mut String, report: &Report) {
    page.push_str("## System calls for each request, by name\n\n");
    for profile in &report.profiles {
        let Some(kernel) = &profile.kernel else { continue };
        let listed: Vec<String> = kernel
            .by_name
            .iter()
            // What comes less often than in two hundred requests is not a request's.
            .filter(|(_, count)| count * 200 >= profile.asked.requests)
            .map(|(name, count)| format!("{name} {}", per(*count, profile)))
            .collect();
        let _ = writeln!(page, "- {}: {}", profile.load.title(), listed.join(", "));
    }
    page.push('\n');
}

fn symbols(page: &mut String, report: &Report) {
    page.push_str("## The largest functions\n\n");
    for (profile, samples) in sampled(report) {
        let _ = writeln!(page, "### {}\n", profile.load.title());
        page.push_str("| kernel | | the binary | |\n|---|---|---|---|\n");
        for row in 0..samples.kernel.len().max(samples.user.len()) {
            let cells = |of: &[(String, f64)]| match of.get(row) {
                Some((name, share)) => format!("`{}` | {}", name.replace('|', "\\|"), percent(*share)),
                None => " | ".to_owned(),
            };
            let _ = writeln!(page, "| {} | {} |", cells(&samples.kernel), cells(&samples.user));
        }
        page.push('\n');
    }
}

fn waits(page: &mut String, report: &Report, name: &str) {
    let waiting: Vec<(Load, &super::Waits)> =
        report.profiles.iter().filter_map(|profile| Some((profile.load, profile.waits.as_ref()?))).collect();
    if waiting.is_empty() {
        return;
    }
    page.push_str(
        "## Where threads wait\n\nFrom the scheduler's switches with their stacks (`sched:sched_switch`, `sched:sched_waking`). \
         A second on each row is a second of one thread.\n\n",
    );
    for (load, waits) in waiting {
        let _ = writeln!(
            page,
            "### [{}]({name}-off-cpu-{}.svg)\n\n{} waits; {} times a thread had to make room. From being woken to running: \
             {:.0} µs in the middle, {:.0} µs at p99.\n",
            load.title(),
            load.name(),
            waits.waited,
            waits.made_room,
            waits.wake_p50_us,
            waits.wake_p99_us
        );
        page.push_str("| waits in | of | times | seconds | µs each |\n|---|---|---|---|---|\n");
        for place in waits.places.iter().take(PLACES_MAX) {
            let _ = writeln!(
                page,
                "| {} | `{}` | {} | {:.3} | {:.0} |",
                place.errand,
                place.on_behalf_of.replace('|', "\\|"),
                place.count,
                place.seconds,
                place.seconds * 1e6 / place.count.max(1) as f64
            );
        }
        page.push('\n');
    }
}

fn allocations(page: &mut String, report: &Report) {
    page.push_str(
        "## What a request allocates\n\nCounted by the allocator of a broker that serves one request at a time \
         (`ottla-counting-broker`).\nA test holds it: the bytes do not grow with the data.\n\n\
         | request | records | bytes of the batch | pieces | bytes |\n|---|---|---|---|---|\n",
    );
    for counted in &report.allocations {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {:.2} | {:.0} |",
            counted.request, counted.records, counted.batch_bytes, counted.pieces, counted.bytes
        );
    }
}

fn sampled(report: &Report) -> impl Iterator<Item = (&Profile, &Samples)> {
    report.profiles.iter().filter_map(|profile| Some((profile, profile.samples.as_ref()?)))
}

fn share_of(samples: &Samples, owner: Owner) -> f64 {
    samples.by_owner.iter().find(|(of, _)| *of == owner).map_or(0.0, |(_, share)| *share)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn per(count: u64, profile: &Profile) -> String {
    format!("{:.2}", count as f64 / profile.asked.requests.max(1) as f64)
}

fn dash() -> String {
    "–".to_owned()
}
