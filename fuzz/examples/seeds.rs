//! Writes the inputs that fuzzing starts from into corpus/: the golden frames and batches of the protocol crate, and
//! one default message for every API and version. The same tree gives the same seeds.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla_fuzz::{log_recovery, record_batch, requests};
use ottla_log::{AppendOrigin, Stamp};
use ottla_protocol::codec::{Message, Request, encode};
use ottla_protocol::frame::{decode_request_header, decode_response_header};
use ottla_protocol::messages::{self, RequestVisitor};
use ottla_protocol::records::{
    BatchBuilder, BatchProducer, Compression, Rules, ValidBatch, end_transaction_marker,
};
use ottla_protocol::{API_TABLE, ApiKey, ApiRange, LeaderEpoch, ProducerEpoch, ProducerId, Sequence, api};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = root.join("../protocol/tests/golden");
    let corpus = Corpus { root: root.join("corpus") };
    for client in ["java", "librdkafka", "kcat"] {
        golden_frames(&corpus, &golden.join(client), client)?;
    }
    default_messages(&corpus)?;
    golden_batches(&corpus, &golden.join("batches"))?;
    built_batches(&corpus)?;
    log_directories(&corpus)
}

struct Corpus {
    root: PathBuf,
}

impl Corpus {
    fn add(&self, target: &str, name: &str, input: &[u8]) -> Result<(), Box<dyn Error>> {
        let directory = self.root.join(target);
        fs::create_dir_all(&directory)?;
        Ok(fs::write(directory.join(name), input)?)
    }
}

/// Requests and responses as they stood on the wire, `<api>-v<version>-<req|res>.bin`.
fn golden_frames(corpus: &Corpus, directory: &Path, client: &str) -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<_> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    paths.sort();
    for path in paths {
        let Some(stem) = path.file_name().and_then(|name| name.to_str()?.strip_suffix("-req.bin")) else {
            continue;
        };
        let request = Bytes::from(fs::read(&path)?);
        let (header, body) = decode_request_header(request.clone())?;
        let name = format!("{client}-{stem}");
        let length = (request.len() as u32).to_be_bytes();
        corpus.add("frame", &name, &[&length[..], &request].concat())?;
        let Some((key, row)) = served(header.api_key, header.api_version) else { continue };
        let chooser = requests::chooser(row, header.api_version);
        corpus.add("requests", &name, &[&chooser[..], &body].concat())?;
        if let Ok(response) = fs::read(directory.join(format!("{stem}-res.bin"))) {
            let (_, body) = decode_response_header(response.into(), key, header.api_version)?;
            corpus.add("responses", &name, &[&chooser[..], &body].concat())?;
        }
    }
    Ok(())
}

fn served(key: i16, version: i16) -> Option<(ApiKey, &'static ApiRange)> {
    let key = ApiKey::from_key(key)?;
    let row = api::served(key)?;
    row.serves(version).then_some((key, row))
}

/// The default of every request and response: small, and past the chooser at once.
fn default_messages(corpus: &Corpus) -> Result<(), Box<dyn Error>> {
    for row in API_TABLE {
        for version in row.versions() {
            messages::visit(row.key, Defaults { corpus, row, version }).ok_or("no messages")??;
        }
    }
    Ok(())
}

struct Defaults<'a> {
    corpus: &'a Corpus,
    row: &'static ApiRange,
    version: i16,
}

impl Defaults<'_> {
    fn add<M: Message>(&self, target: &str) -> Result<(), Box<dyn Error>> {
        // A default that this version cannot say (a null that it does not have) is no seed.
        let Ok(encoded) = encode(M::default(), self.version, self.row.is_flexible(self.version)) else {
            return Ok(());
        };
        let body = encoded.bytes;
        let name = format!("default-{:?}-v{}", self.row.key, self.version);
        self.corpus.add(target, &name, &[&requests::chooser(self.row, self.version)[..], &body].concat())
    }
}

impl RequestVisitor for Defaults<'_> {
    type Output = Result<(), Box<dyn Error>>;

    fn visit<R: Request>(self) -> Self::Output {
        self.add::<R>("requests")?;
        self.add::<R::Response>("responses")
    }
}

fn golden_batches(corpus: &Corpus, directory: &Path) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".bin")) else {
            continue;
        };
        let batch = Bytes::from(fs::read(&path)?);
        corpus.add("record_batch", name, &record_batch::seed(&batch, false))?;
        corpus.add("record_batch", &format!("{name}-stored"), &record_batch::seed(&batch, true))?;
    }
    Ok(())
}

fn built_batches(corpus: &Corpus) -> Result<(), Box<dyn Error>> {
    let producer = BatchProducer {
        id: ProducerId::new(1),
        epoch: ProducerEpoch::new(0),
        base_sequence: Some(Sequence::new(0)),
    };
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression).with_producer(producer).transactional();
        builder.push(
            1_700_000_000_000,
            Some(b"k"),
            Some(b"value value value"),
            &[("h", Some(b"x")), ("n", None)],
        )?;
        builder.push(1_700_000_000_001, None, None, &[])?;
        let batch = builder.build();
        corpus.add("record_batch", &format!("built-{compression}"), &record_batch::seed(&batch, false))?;
        corpus.add(
            "record_batch",
            &format!("built-{compression}-twice"),
            &record_batch::seed(&[&batch[..], &batch].concat().into(), true),
        )?;
    }
    let marker = end_transaction_marker(producer, true, 1, 1_700_000_000_000);
    corpus.add("record_batch", "built-marker", &record_batch::seed(&marker, true))
}

/// Two segments with a producer, an aborted transaction and two leader epochs; as found running and as closed.
fn log_directories(corpus: &Corpus) -> Result<(), Box<dyn Error>> {
    let storage = log_recovery::empty();
    let (directory, log) = log_recovery::open(&storage).ok_or("a new directory opens")?;
    for n in 0..18 {
        if n == 10 {
            log.roll(1_700_000_000_000)?;
        }
        let timestamp = 1_700_000_000_000 + n;
        let (batch, origin) = match n {
            3 => (transactional(0, timestamp)?, AppendOrigin::Client),
            6 => (marker(timestamp)?, AppendOrigin::Coordinator),
            _ => (log_recovery::batch(timestamp), AppendOrigin::Client),
        };
        let leader_epoch = LeaderEpoch::new(if n < 12 { 0 } else { 7 });
        log.append(batch, Stamp { leader_epoch, now_ms: timestamp, origin }, |result| {
            result.expect("a seed is sound");
        });
    }
    log.sync()?;
    log.checkpoint()?;
    directory.checkpoint()?;
    corpus.add("log_recovery", "running", &log_recovery::seed(&storage, false, false))?;
    corpus.add("log_recovery", "running-signed", &log_recovery::seed(&storage, false, true))?;
    directory.close()?;
    corpus.add("log_recovery", "closed", &log_recovery::seed(&storage, true, false))?;
    corpus.add("log_recovery", "closed-unmarked", &log_recovery::seed(&storage, false, true))
}

fn transactional(sequence: i64, timestamp: i64) -> Result<ValidBatch, Box<dyn Error>> {
    let producer = BatchProducer {
        id: ProducerId::new(5),
        epoch: ProducerEpoch::new(0),
        base_sequence: Some(Sequence::new(sequence as i32)),
    };
    let mut builder = BatchBuilder::new(Compression::None).with_producer(producer).transactional();
    builder.push(timestamp, None, Some(b"in doubt"), &[])?;
    Ok(ValidBatch::check(builder.build(), &Rules::client(1000))?)
}

fn marker(timestamp: i64) -> Result<ValidBatch, Box<dyn Error>> {
    let producer =
        BatchProducer { id: ProducerId::new(5), epoch: ProducerEpoch::new(0), base_sequence: None };
    Ok(ValidBatch::check(end_transaction_marker(producer, false, 0, timestamp), &Rules::stored())?)
}
