//! Where threads are when they do not run: from the scheduler's switches, how long each wait lasted and at which stack, how
//! often a thread had to make room, and how long a woken thread waited for a processor.
//!
//! A wait counts when both its ends lie within the recording.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::stacks::{Event, ranked};
use crate::stats::Latencies;

/// The waits of a process within a window.
#[derive(Debug, Serialize)]
pub(crate) struct Waits {
    /// By place, longest first.
    pub(crate) places: Vec<Place>,
    /// Waits, and times a thread had to make room.
    pub(crate) waited: u64,
    pub(crate) made_room: u64,
    /// From being woken to running, in microseconds.
    pub(crate) wake_p50_us: f64,
    pub(crate) wake_p99_us: f64,
    /// Seconds by folded stack, for the picture.
    #[serde(skip)]
    pub(crate) folded: Vec<(String, f64)>,
}

/// Waits at one place: the kernel's errand and the function of ours that sent it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Place {
    pub(crate) errand: String,
    pub(crate) on_behalf_of: String,
    pub(crate) count: u64,
    pub(crate) seconds: f64,
}

/// A thread that does not run.
struct Away<'a, 'b> {
    since: f64,
    event: &'a Event<'b>,
    woken: Option<f64>,
}

impl Waits {
    /// Pairs each switch away from one of `threads` with the switch back.
    pub(crate) fn of(events: &[Event<'_>], threads: &[u32]) -> Self {
        let mut away: HashMap<u32, Away<'_, '_>> = HashMap::new();
        let mut wakes = Latencies::new();
        let (mut waited, mut made_room) = (0, 0);
        let mut places: BTreeMap<(&str, &str), (u64, f64)> = BTreeMap::new();
        let mut stacks = Vec::new();
        for event in events {
            if event.text.starts_with("sched:sched_waking") {
                let sleeper = number(event.text, " pid=").and_then(|thread| away.get_mut(&thread));
                if let Some(sleeper) = sleeper {
                    sleeper.woken.get_or_insert(event.seconds);
                }
                continue;
            }
            if let Some(back) = number(event.text, "next_pid=").and_then(|thread| away.remove(&thread)) {
                if let Some(woken) = back.woken {
                    wakes.record(std::time::Duration::from_secs_f64((event.seconds - woken).max(0.0)));
                }
                let seconds = event.seconds - back.since;
                let place = (back.event.kernel_errand(), back.event.on_behalf_of());
                let sum = places.entry(place).or_default();
                *sum = (sum.0 + 1, sum.1 + seconds);
                stacks.push((back.event.folded(), seconds));
            }
            let Some(thread) = number(event.text, "prev_pid=").filter(|thread| threads.contains(thread))
            else {
                continue;
            };
            // Whoever could go on running is in state R, or R+ when it was made to stop.
            if event.text.contains("prev_state=R") {
                made_room += 1;
                continue;
            }
            waited += 1;
            away.insert(thread, Away { since: event.seconds, event, woken: None });
        }
        let mut places: Vec<Place> = places
            .into_iter()
            .map(|((errand, of), (count, seconds))| Place {
                errand: errand.to_owned(),
                on_behalf_of: of.to_owned(),
                count,
                seconds,
            })
            .collect();
        places.sort_by(|left, right| right.seconds.total_cmp(&left.seconds));
        Self {
            places,
            waited,
            made_room,
            wake_p50_us: wakes.percentile_us(50.0),
            wake_p99_us: wakes.percentile_us(99.0),
            folded: ranked(stacks),
        }
    }
}

/// The number that stands after `name`.
fn number(text: &str, name: &str) -> Option<u32> {
    let (_, rest) = text.split_once(name)?;
    rest.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::stacks::parse;
    use super::*;

    const SCRIPT: &str = "\
ottla  7 10.000000: sched:sched_switch: prev_comm=ottla prev_pid=7 prev_prio=120 prev_state=S ==> next_comm=x next_pid=0 next_prio=120
\tffffffff81751e1c __x64_sys_epoll_wait ([kernel.kallsyms])
\t          e8c121 tokio::runtime::io::driver::Driver::turn (/usr/bin/ottla)

x  9 10.000900: sched:sched_waking: comm=ottla pid=7 prio=120 target_cpu=001

swapper  0 10.001000: sched:sched_switch: prev_comm=x prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=ottla next_pid=7 next_prio=120
\tffffffff82265488 __schedule ([kernel.kallsyms])

ottla  7 10.002000: sched:sched_switch: prev_comm=ottla prev_pid=7 prev_prio=120 prev_state=R+ ==> next_comm=y next_pid=5 next_prio=120
\tffffffff82265488 __schedule ([kernel.kallsyms])

";

    #[test]
    fn a_wait_ends_when_the_thread_runs_again_and_making_room_is_no_wait() {
        let events = parse(SCRIPT);
        let waits = Waits::of(&events, &[7]);
        assert_eq!((waits.waited, waits.made_room), (1, 1));
        assert_eq!(waits.places.len(), 1);
        let place = &waits.places[0];
        assert_eq!((place.errand.as_str(), place.count), ("epoll_wait", 1));
        assert_eq!(place.on_behalf_of, "tokio::runtime::io::driver::Driver::turn");
        assert!((place.seconds - 0.001).abs() < 1e-9, "{place:?}");
        assert!((waits.wake_p50_us - 100.0).abs() < 1.0, "{}", waits.wake_p50_us);
    }

    #[test]
    fn threads_of_others_do_not_count() {
        assert_eq!(Waits::of(&parse(SCRIPT), &[5]).waited, 0);
    }
}
