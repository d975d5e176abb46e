//! What happens while a bench runs: progress, Ctrl-C, and the end of waiting for a broker that does not answer.
//!
//! The first Ctrl-C ends the run politely: what was measured is told and the topic deleted. The second ends the program.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_load::Run;
use tokio::sync::watch::{Receiver, channel};

use crate::failure::Failure;
use crate::progress::Progress;

/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);
/// After a stop, answers are waited for so long.
const ANSWERS_PATIENCE: Duration = Duration::from_secs(2);
/// What a shell makes of a program that Ctrl-C ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Whether the user pressed Ctrl-C.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Receiver<bool>);

impl Interrupt {
    /// Listens from now on, until the program ends.
    pub(crate) fn listen() -> Interrupt {
        let (told, hears) = channel(false);
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                told.send_replace(true);
                if tokio::signal::ctrl_c().await.is_ok() {
                    eprintln!("ottla: interrupted twice; the topic may still be there");
                    std::process::exit(EXIT_INTERRUPTED);
                }
            }
            std::future::pending::<()>().await;
        });
        Interrupt(hears)
    }

    /// Waits for it.
    pub(crate) async fn pressed(&self) {
        let mut hears = self.0.clone();
        if hears.wait_for(|pressed| *pressed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for `work`, or for Ctrl-C, which is a failure: nothing was measured yet.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            done = work => Ok(done),
            () = self.pressed() => Err(stopped()),
        }
    }

    /// Whether it was pressed.
    pub(crate) fn is_pressed(&self) -> bool {
        *self.0.borrow()
    }
}

/// The failure of a run that Ctrl-C ended too early.
pub(crate) fn stopped() -> Failure {
    Failure::new("stopped before anything was measured")
}

/// Shows progress until the workers are done. Ctrl-C ends the runs, and so does the failure of one of them; a broker that
/// does not answer then is not waited for much longer.
pub(crate) async fn watch(
    runs: &[&Arc<Run>],
    workers: impl Future<Output = ()>,
    progress: &mut Progress,
    interrupt: &Interrupt,
) {
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    let mut workers = std::pin::pin!(workers);
    let (mut shown, mut stopped_at) = (0, None);
    loop {
        tokio::select! {
            () = &mut workers => break,
            () = interrupt.pressed(), if stopped_at.is_none() => runs.iter().for_each(|run| run.stop()),
            _ = tick.tick() => {}
        }
        let (records, bytes) = counted(runs);
        progress.advance_to(records, bytes, bytes.saturating_sub(shown));
        progress.note(stage(runs));
        shown = bytes;
        if runs.iter().any(|run| run.is_stopped()) {
            runs.iter().for_each(|run| run.stop());
            let since: Instant = *stopped_at.get_or_insert_with(Instant::now);
            if since.elapsed() >= ANSWERS_PATIENCE {
                runs.iter().for_each(|run| run.hang_up());
            }
        }
    }
    let (records, bytes) = counted(runs);
    progress.advance_to(records, bytes, bytes.saturating_sub(shown));
}

fn counted(runs: &[&Arc<Run>]) -> (u64, u64) {
    let both = runs.iter().map(|run| run.counted());
    both.fold((0, 0), |(records, bytes), (more, more_bytes)| (records + more, bytes + more_bytes))
}

/// What to say beside the figures.
fn stage(runs: &[&Arc<Run>]) -> &'static str {
    if runs.iter().any(|run| run.is_ending()) {
        "waiting for the last answers"
    } else if runs.iter().all(|run| !run.is_measuring()) {
        "warming up"
    } else {
        ""
    }
}
