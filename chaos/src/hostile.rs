//! Input that no client sends: each piece must end in Kafka's error or a closed connection, cost next to no memory, and
//! leave the broker serving others.
//!
//! The cases are bytes, written out here. After them come seeded mutations of frames that real clients sent. A healthy
//! connection asks for its answer between all of them, and the broker's resident memory is read from `/proc`.

use crate::broker::{Home, Life};
use crate::chance::Chance;
use crate::finding::Finding;
use crate::wire::Wire;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// What a case may end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The broker closes the connection and says nothing.
    Closed,
    /// The broker answers.
    Answered,
    /// The broker waits for the rest; it may wait.
    Waits,
}

/// How long the broker may think about one piece of nonsense.
const PATIENCE: Duration = Duration::from_millis(2_000);
/// How long a frame that was begun is watched.
const GLANCE: Duration = Duration::from_millis(200);
/// How much resident memory may grow over the whole run.
const GROWTH_KIB_MAX: u64 = 96 * 1024;
/// How many connections declare 100 MiB and send almost nothing.
const DECLARERS: usize = 200;

fn frame(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// A request header: key, version, correlation id 7, client id `x`.
fn header(key: i16, version: i16) -> Vec<u8> {
    let mut bytes = key.to_be_bytes().to_vec();
    bytes.extend(version.to_be_bytes());
    bytes.extend([0, 0, 0, 7, 0, 1, b'x']);
    bytes
}

/// Every case: what it is, its bytes, how it must end.
fn cases() -> Vec<(&'static str, Vec<u8>, End)> {
    const MANY: [u8; 4] = [0x7f, 0xff, 0xff, 0xff];
    const MANY_COMPACT: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x0f];
    vec![
        ("a negative length", vec![0xff; 4], End::Closed),
        ("a length of 2 GiB", MANY.to_vec(), End::Closed),
        ("a length one above the limit", (100_u32 * 1024 * 1024 + 1).to_be_bytes().to_vec(), End::Closed),
        ("a length of zero", vec![0; 4], End::Closed),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), End::Closed),
        ("a TLS hello", [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 64]].concat(), End::Closed),
        ("an unknown API key", frame(&[&header(999, 0)]), End::Closed),
        ("a negative API key", frame(&[&header(-1, 0)]), End::Closed),
        ("an unknown version of Metadata", frame(&[&header(3, 99)]), End::Closed),
        (
            "an unknown version of ApiVersions",
            frame(&[&header(18, 99), &[0, 2, b'x', 2, b'1', 0]]),
            End::Answered,
        ),
        ("Metadata that claims 2³¹ topics in 4 bytes", frame(&[&header(3, 1), &MANY]), End::Closed),
        ("Metadata v12 that claims 2³² topics", frame(&[&header(3, 12), &[0], &MANY_COMPACT]), End::Closed),
        (
            "Produce that claims 2³¹ topics",
            frame(&[&header(0, 3), &[255, 255, 0, 1, 0, 0, 0, 9], &MANY]),
            End::Closed,
        ),
        ("Fetch that claims 2³¹ topics", frame(&[&header(1, 4), &[0; 17], &MANY]), End::Closed),
        (
            "a string longer than its frame",
            frame(&[&header(3, 1), &[0, 0, 0, 1, 0x7f, 0xff, b'a']]),
            End::Closed,
        ),
        ("a negative string length", frame(&[&header(3, 1), &[0, 0, 0, 1, 0xff, 0xfe]]), End::Closed),
        (
            "a topic name that is not UTF-8",
            frame(&[&header(3, 1), &[0, 0, 0, 1, 0, 2, 0xc3, 0x28]]),
            End::Closed,
        ),
        ("left-over bytes", frame(&[&header(3, 1), &[0, 0, 0, 0, 1, 2, 3]]), End::Closed),
        ("a varint without an end", frame(&[&header(3, 12), &[0], &[0xff; 16]]), End::Closed),
        (
            "a flood of tags",
            frame(&[&header(3, 12), &[0xff, 0xff, 0x7f], &[1, 0].repeat(30_000)]),
            End::Closed,
        ),
        ("a header that is cut", frame(&[&[0, 3, 0, 1, 0]]), End::Closed),
        ("a client id longer than its frame", frame(&[&[0, 3, 0, 1, 0, 0, 0, 7, 0x7f, 0xff]]), End::Closed),
        ("a frame that stops in the middle", vec![0, 0, 1, 0, 0, 3, 0, 1], End::Waits),
        ("a length that stops in the middle", vec![0, 0], End::Waits),
    ]
}

/// Sends the bytes and watches what comes.
fn end_of(address: SocketAddr, bytes: &[u8], patience: Duration) -> Result<End, Finding> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    if stream.write_all(bytes).is_err() {
        return Ok(End::Closed);
    }
    match stream.read(&mut [0; 64]) {
        Ok(0) => Ok(End::Closed),
        Ok(_) => Ok(End::Answered),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(End::Waits),
        Err(_) => Ok(End::Closed),
    }
}

/// Runs the cases, the declarers and the mutations of the frames in `golden`.
pub(crate) fn run(binary: &Path, directory: &Path, golden: &Path, seed: u64) -> Result<(), Finding> {
    let home = Home::new(binary, &directory.join("hostile"))?;
    let life = home.start_sound()?;
    let mut healthy = Wire::connect(home.address)?;
    healthy.ask()?;
    let before = resident_kib(&life)?;
    for (name, bytes, expected) in cases() {
        let patience = if expected == End::Waits { GLANCE } else { PATIENCE };
        let end = end_of(home.address, &bytes, patience)?;
        if end != expected {
            return Err(Finding::Broken(format!("{name}: expected {expected:?}, it is {end:?}")));
        }
        healthy.ask()?;
        println!("{name}: {end:?}");
    }
    let at_declarers = declarers(home.address, &mut healthy, &life)?;
    println!(
        "{DECLARERS} connections that declare 100 MiB each: {} KiB more",
        at_declarers.saturating_sub(before)
    );
    let count = mutations(home.address, &mut healthy, golden, seed)?;
    let after = resident_kib(&life)?;
    println!("{count} mutated frames of real clients: {} KiB more in all", after.saturating_sub(before));
    for growth in [at_declarers.saturating_sub(before), after.saturating_sub(before)] {
        if growth > GROWTH_KIB_MAX {
            return Err(Finding::Broken(format!("resident memory grew by {growth} KiB")));
        }
    }
    drop(healthy);
    if life.stop()? {
        return Ok(());
    }
    Err(Finding::Broken("the broker does not end cleanly afterwards".to_owned()))
}

/// Connections that say 100 MiB are to come and send a kibibyte; returns the resident memory while they are open.
fn declarers(address: SocketAddr, healthy: &mut Wire, life: &Life) -> Result<u64, Finding> {
    let mut open = Vec::new();
    for _ in 0..DECLARERS {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(&(100_u32 * 1024 * 1024).to_be_bytes())?;
        stream.write_all(&[0; 1024])?;
        open.push(stream);
    }
    healthy.ask()?;
    resident_kib(life)
}

/// Frames of real clients with some of their bytes changed, cut or doubled, all on connections of their own.
fn mutations(address: SocketAddr, healthy: &mut Wire, golden: &Path, seed: u64) -> Result<u64, Finding> {
    let mut chance = Chance::new(seed);
    let mut frames = Vec::new();
    for client in std::fs::read_dir(golden)? {
        let client = client?.path();
        if !client.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(client)? {
            let file = file?.path();
            if file.to_string_lossy().ends_with("-req.bin") {
                frames.push(std::fs::read(file)?);
            }
        }
    }
    frames.sort();
    let mut count = 0;
    for original in &frames {
        for _ in 0..20 {
            let mut bytes = original.clone();
            for _ in 0..chance.between(1, 6) {
                let at = chance.between(0, bytes.len() as u64) as usize;
                bytes[at] = chance.number() as u8;
            }
            if chance.between(0, 4) == 0 {
                bytes.truncate(chance.between(1, bytes.len() as u64 + 1) as usize);
            }
            // What becomes of it is the broker's choice; that it answers others afterwards is not.
            end_of(address, &frame(&[&bytes]), Duration::from_millis(5))?;
            count += 1;
        }
        healthy.ask()?;
    }
    if count == 0 {
        return Err(Finding::Void(format!("no frames in {}", golden.display())));
    }
    Ok(count)
}

fn resident_kib(life: &Life) -> Result<u64, Finding> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", life.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .ok_or_else(|| Finding::Void("no VmRSS in /proc".to_owned()))
}
