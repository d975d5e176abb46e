//! The host of the controller's record machine: proposes, commits to the metadata log, applies, then answers.
//!
//! A proposal is a decision over the image of the moment. Decisions are taken one after another on one thread, so each sees
//! the effects of all before it; several that arrive together share one fsync. Nobody sees an image or a reply whose
//! records are not on disk, always (RELIABILITY §3: no option). Here the quorum has one voter; more voters change this
//! module and nothing that calls it. It decides nothing itself: that is `ottla_cluster::controller`.

mod metadata_log;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use ottla_cluster::controller::{Image, MetadataRecord, Outcome};
use ottla_log::storage::Storage;
use ottla_protocol::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::error;

pub(crate) use self::metadata_log::MetadataLog;
pub use self::metadata_log::MetadataLogError;

/// Most decisions that share one fsync.
const BATCH_MAX: usize = 1000;

/// What follows the image: opens and closes the partitions that the records speak of. Runs on the quorum's thread, so a
/// reply leaves only when the partitions that it speaks of can be used.
pub(crate) trait Follower: Send {
    /// The image that the broker starts with. Returns records that have to be committed, see [`Follower::publish`].
    fn open(&mut self, image: &Image) -> Vec<MetadataRecord>;

    /// The image with `records` applied is committed and about to be published. Returns records that have to be committed
    /// before what was opened may be used.
    fn follow(&mut self, image: &Image, records: &[MetadataRecord]) -> Vec<MetadataRecord>;

    /// Shows the partitions to everybody; those that the returned records spoke of only if those are committed.
    fn publish(&mut self, are_committed: bool);

    /// Whether something could not be done for now, such as making a log on a full disk: the next call of
    /// [`Follower::follow`], with or without records, tries again.
    fn is_waiting(&self) -> bool;
}

/// Tells the proposer what became of its proposal.
type Answer = Box<dyn FnOnce(Result<(), ErrorCode>) + Send>;
type Proposal = Box<dyn FnOnce(&Image) -> (Vec<MetadataRecord>, Answer) + Send>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Quorum {
    image: Arc<ArcSwap<Image>>,
    follower_waits: Arc<AtomicBool>,
    proposals: Mutex<Option<Sender<Proposal>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Quorum {
    /// A quorum whose log has been read into `image`, which the follower opens. A snapshot is taken when the log has grown by
    /// `snapshot_every_bytes` (`metadata.log.max.record.bytes.between.snapshots`).
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(
        log: MetadataLog,
        image: Image,
        snapshot_every_bytes: u64,
        follower: impl Follower + 'static,
    ) -> std::io::Result<Quorum> {
        let image = Arc::new(ArcSwap::from_pointee(image));
        let follower_waits = Arc::new(AtomicBool::new(false));
        let (proposals, received) = channel();
        let mut voter = Voter {
            log,
            snapshot_every_bytes,
            image: Arc::clone(&image),
            follower: Box::new(follower),
            follower_waits: Arc::clone(&follower_waits),
        };
        voter.open();
        let builder = std::thread::Builder::new().name("ottla-quorum".to_owned());
        let thread = builder.spawn(move || voter.run(&received))?;
        let (proposals, thread) = (Mutex::new(Some(proposals)), Mutex::new(Some(thread)));
        Ok(Quorum { image, follower_waits, proposals, thread })
    }

    /// Has the follower try again what it could not do, if there is something. Called now and then; waits for nothing.
    pub(crate) fn nudge(&self) {
        if self.follower_waits.load(Ordering::Relaxed)
            && let Some(proposals) = &*self.proposals.lock()
        {
            // A quorum that has ended has nothing left to try.
            let _ended = proposals.send(Box::new(|_| (Vec::new(), Box::new(|_| {}))));
        }
    }

    /// The last committed image.
    pub(crate) fn image(&self) -> Arc<Image> {
        self.image.load_full()
    }

    /// Has `decide` look at the image and commits what it decides. The reply comes when its records are committed and
    /// applied here.
    ///
    /// # Errors
    /// What `decide` refuses with; KAFKA_STORAGE_ERROR when the records could not be written, then they are not in force;
    /// BROKER_NOT_AVAILABLE when the broker is shutting down.
    pub(crate) async fn propose<Reply, F>(&self, decide: F) -> Result<Reply, ErrorCode>
    where
        Reply: Send + 'static,
        F: FnOnce(&Image) -> Result<Outcome<MetadataRecord, Reply>, ErrorCode> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let proposal: Proposal = Box::new(move |image| {
            let (records, reply) = match decide(image) {
                Ok(outcome) => (outcome.records, Ok(outcome.reply)),
                Err(code) => (Vec::new(), Err(code)),
            };
            let answer: Answer = Box::new(move |committed| {
                // A proposer that went away does not mind.
                let _gone = answer.send(committed.and(reply));
            });
            (records, answer)
        });
        let sent = self.proposals.lock().as_ref().is_some_and(|proposals| proposals.send(proposal).is_ok());
        if !sent {
            return Err(ErrorCode::BROKER_NOT_AVAILABLE);
        }
        answered.await.unwrap_or(Err(ErrorCode::BROKER_NOT_AVAILABLE))
    }

    /// Commits what was proposed and ends the thread.
    pub(crate) fn close(&self) {
        drop(self.proposals.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            let _panicked = thread.join();
        }
    }
}

/// The one voter, on its own thread.
struct Voter {
    log: MetadataLog,
    snapshot_every_bytes: u64,
    image: Arc<ArcSwap<Image>>,
    follower: Box<dyn Follower>,
    follower_waits: Arc<AtomicBool>,
}

impl Voter {
    fn run(mut self, proposals: &Receiver<Proposal>) {
        while let Ok(first) = proposals.recv() {
            let rest = proposals.try_iter().take(BATCH_MAX - 1);
            self.commit(std::iter::once(first).chain(rest));
        }
    }

    fn open(&mut self) {
        let mut image = Image::clone(&self.image.load());
        let records = self.follower.open(&image);
        // What cannot be committed now (the disk is full, say) waits for the next commit.
        let _told = self.show(&mut image, &records);
        self.image.store(Arc::new(image));
    }

    /// Commits what the follower has to say, and has it show its partitions.
    fn show(&mut self, image: &mut Image, records: &[MetadataRecord]) -> Result<(), ErrorCode> {
        self.log.push(records);
        let committed = self.write();
        if committed.is_ok() {
            records.iter().for_each(|record| image.apply(record));
        }
        self.follower.publish(committed.is_ok());
        self.follower_waits.store(self.follower.is_waiting(), Ordering::Relaxed);
        committed
    }

    fn write(&mut self) -> Result<(), ErrorCode> {
        self.log.commit().map_err(|error| {
            error!(%error, "the metadata log cannot be written");
            ErrorCode::KAFKA_STORAGE_ERROR
        })
    }

    fn commit(&mut self, proposals: impl Iterator<Item = Proposal>) {
        let mut next = Image::clone(&self.image.load());
        let mut all_records = Vec::new();
        let mut answers = Vec::new();
        for proposal in proposals {
            let (records, answer) = proposal(&next);
            records.iter().for_each(|record| next.apply(record));
            self.log.push(&records);
            all_records.extend(records);
            answers.push(answer);
        }
        let mut committed = self.write();
        if committed.is_ok() && (!all_records.is_empty() || self.follower.is_waiting()) {
            let records = self.follower.follow(&next, &all_records);
            committed = self.show(&mut next, &records);
            self.image.store(Arc::new(next));
        }
        answers.into_iter().for_each(|answer| answer(committed));
        if committed.is_ok() && self.log.bytes_since_snapshot() > self.snapshot_every_bytes {
            self.take_snapshot();
        }
    }

    /// After the answers have left: nobody waits for it.
    fn take_snapshot(&mut self) {
        if let Err(error) = self.log.take_snapshot(&self.image.load().to_records()) {
            error!(%error, "no snapshot of the metadata log can be taken");
        }
    }
}

/// The image that the metadata log in `directory` makes, an empty one if there is none. Changes nothing and needs no lock.
///
/// # Errors
/// See [`MetadataLogError`].
pub(crate) fn read(storage: &dyn Storage, directory: &std::path::Path) -> Result<Image, MetadataLogError> {
    let mut image = Image::default();
    MetadataLog::read(storage, directory, |record| image.apply(&record))?;
    Ok(image)
}

/// Opens the metadata log in `directory`, for this process alone, and reads the image that it makes.
///
/// # Errors
/// See [`MetadataLogError`].
pub(crate) fn open(
    storage: &Arc<dyn Storage>,
    directory: &std::path::Path,
) -> Result<(MetadataLog, Image), MetadataLogError> {
    let lock = metadata_log::lock(&**storage, directory)?;
    let mut image = Image::default();
    let log = MetadataLog::open(storage, directory, |record| image.apply(&record))?;
    Ok((log.holding(lock), image))
}
