//! What a broker does when nobody asks: deadlines once a second, retention and checkpoints now and then.
//!
//! Two tasks for the whole broker, however many connections and partitions it has. The first looks at deadlines and does
//! nothing that could block; the second hands file work to the runtime's blocking threads, one job at a time, so that
//! retention over ten thousand logs stays in the background.

use std::sync::Arc;
use std::time::Duration;

use ottla_log::LogError;
use tracing::{debug, info};

use crate::core::Core;
use crate::partition::Partition;
use crate::rt::time;

/// Looks at the deadlines of connections and appends until the broker stops.
pub(crate) async fn watch_deadlines(core: Arc<Core>) {
    let interval = Duration::from_millis(core.limits.sweep_interval_ms());
    while sleep_unless_stopping(&core, interval).await {
        core.clock.tick();
        core.quorum.nudge();
        core.connections.sweep(&core.clock, &core.limits);
        let (now, now_ms) = (core.clock.now(), core.clock.wall_ms());
        let watched = core.directories.iter().flat_map(|directory| directory.take_watched());
        watched.for_each(|partition| partition.tick(now, now_ms));
    }
}

/// Applies retention, writes checkpoints and removes what was deleted until the broker stops.
pub(crate) async fn keep_house(core: Arc<Core>) {
    let config = &core.config;
    let retention = Duration::from_millis(config.log_retention_check_interval_ms.max(1));
    let checkpoint = Duration::from_millis(config.log_flush_offset_checkpoint_interval_ms.max(1));
    let (mut next_retention, mut next_checkpoint) = (time::now() + retention, time::now() + checkpoint);
    let mut next_purge = None;
    loop {
        let next = next_retention.min(next_checkpoint);
        let next = next_purge.map_or(next, |purge| next.min(purge));
        tokio::select! {
            biased;
            () = core.stopping.cancelled() => return,
            () = core.deletions.notified() => next_purge = Some(time::now()),
            () = time::sleep_until(next) => {}
        }
        let now = time::now();
        if now >= next_retention {
            next_retention = now + retention;
            in_background(&core, retain).await;
        }
        if now >= next_checkpoint {
            next_checkpoint = now + checkpoint;
            in_background(&core, write_checkpoints).await;
        }
        if next_purge.is_some_and(|due| now >= due) {
            // Before the purge: what falls due while it runs, or before this is looked at again, is still to be removed.
            let as_of_ms = core.clock.monotonic_ms();
            in_background(&core, purge).await;
            next_purge = until_next_purge(&core, as_of_ms).map(|delay| time::now() + delay);
        }
    }
}

/// How long `file.delete.delay.ms` still runs for the first of what was deleted and was not due at `as_of_ms`. What was due
/// then could not be removed; it is tried again with the next checkpoint.
fn until_next_purge(core: &Core, as_of_ms: i64) -> Option<Duration> {
    let next =
        core.directories.iter().filter_map(|directory| directory.dir().next_purge_ms(as_of_ms)).min()?;
    let now_ms = core.clock.monotonic_ms();
    // Past the due time, or the millisecond that was cut off would be waited for again and again.
    Some(time::duration_ms(next.saturating_sub(now_ms).saturating_add(1)))
}

/// `false` once the broker stops.
async fn sleep_unless_stopping(core: &Core, duration: Duration) -> bool {
    tokio::select! {
        biased;
        () = core.stopping.cancelled() => false,
        () = time::sleep(duration) => true,
    }
}

async fn in_background(core: &Arc<Core>, job: fn(&Core)) {
    let core = Arc::clone(core);
    // A job that panics has said so; the next one is due at its time.
    let _panicked = tokio::task::spawn_blocking(move || job(&core)).await;
}

fn for_each_partition(core: &Core, work: impl Fn(&Arc<Partition>) -> Result<(), LogError>) {
    let topics = core.topics.load_full();
    for partition in topics.topics().flat_map(|topic| topic.leaders()) {
        if core.stopping.is_cancelled() {
            return;
        }
        match work(partition) {
            // A topic that is deleted meanwhile closes its log first.
            Ok(()) | Err(LogError::Closed) => {}
            Err(failure) => partition.directory().note_failure(&failure),
        }
    }
}

fn retain(core: &Core) {
    let now_ms = core.clock.wall_ms();
    for_each_partition(core, |partition| {
        let retained = partition.retain(now_ms)?;
        if retained.deleted_segments > 0 {
            let (segments, bytes) = (retained.deleted_segments, retained.deleted_bytes);
            info!(partition = %partition.topic_partition, segments, bytes, "retention deleted segments");
        }
        Ok(())
    });
}

fn write_checkpoints(core: &Core) {
    for directory in &core.directories {
        match directory.dir().checkpoint() {
            Ok(()) => debug!(directory = %directory.dir().path().display(), "checkpoint written"),
            Err(failure) => directory.note_failure(&failure),
        }
    }
    purge(core);
}

fn purge(core: &Core) {
    let now_ms = core.clock.monotonic_ms();
    for directory in &core.directories {
        if let Err(failure) = directory.dir().purge(now_ms) {
            directory.note_failure(&failure);
        }
    }
}
