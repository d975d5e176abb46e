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
        core.connections.sweep(&core.clock, &core.limits);
        let (now, now_ms) = (core.clock.now(), time::wall_clock_ms());
        let watched = core.directories.iter().flat_map(|directory| directory.take_watched());
        watched.for_each(|partition| partition.tick(now, now_ms));
    }
}

/// Applies retention and writes checkpoints until the broker stops.
pub(crate) async fn keep_house(core: Arc<Core>) {
    let config = &core.config;
    let retention = Duration::from_millis(config.log_retention_check_interval_ms.max(1));
    let checkpoint = Duration::from_millis(config.log_flush_offset_checkpoint_interval_ms.max(1));
    let (mut next_retention, mut next_checkpoint) = (time::now() + retention, time::now() + checkpoint);
    loop {
        let next = next_retention.min(next_checkpoint);
        if !sleep_unless_stopping(&core, next.saturating_duration_since(time::now())).await {
            return;
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
    }
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
    let now_ms = time::wall_clock_ms();
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
    let now_ms = time::wall_clock_ms();
    for directory in &core.directories {
        let written = directory.dir().checkpoint().and_then(|()| directory.dir().purge(now_ms));
        match written {
            Ok(()) => debug!(directory = %directory.dir().path().display(), "checkpoint written"),
            Err(failure) => directory.note_failure(&failure),
        }
    }
}
