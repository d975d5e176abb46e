//! The floors: the least that any broker must do for a request, as processes of their own so that their CPU is read
//! the way a broker's is. They speak in the same frames as the brokers and do nothing that the row does not need.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, send};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::batch::crc32c;
use crate::error::{BenchError, Doing, Result};
use crate::stats::Latencies;

/// Which floor a server process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FloorKind {
    /// Request → sendfile of 1 MiB.
    Fetch,
    /// Receive a produce request, CRC-32C, write it to a file, acknowledge.
    Produce,
    /// Send back what came, on a tokio runtime with two workers.
    Echo,
}

/// Bytes that the fetch floor answers with.
pub(crate) const FETCH_BYTES: usize = 1 << 20;

/// Serves one floor on `address` until it is killed. `file` is what it reads from or writes to.
pub(crate) fn serve(kind: FloorKind, address: SocketAddr, file: &Path) -> Result<()> {
    if kind == FloorKind::Echo {
        return serve_echo(address);
    }
    let listener = TcpListener::bind(address).doing(|| format!("bind {address}"))?;
    loop {
        let (stream, _) = listener.accept().doing(|| "accept".to_owned())?;
        stream.set_nodelay(true).doing(|| "set TCP_NODELAY".to_owned())?;
        // A client that hangs up ends its connection, not the floor.
        let _ = match kind {
            FloorKind::Fetch => serve_fetch(stream, file),
            FloorKind::Produce => serve_produce(stream, file),
            FloorKind::Echo => Ok(()),
        };
    }
}

fn serve_fetch(mut stream: TcpStream, path: &Path) -> Result<()> {
    let file = File::open(path).doing(|| format!("open {}", path.display()))?;
    let file_bytes = file.metadata().doing(|| format!("measure {}", path.display()))?.len() as i64;
    let mut request = vec![0u8; 4096];
    let mut position = 0i64;
    loop {
        read_frame(&mut stream, &mut request)?;
        let head = (FETCH_BYTES as u32).to_be_bytes();
        // The length and the first bytes of the file leave in one segment.
        let more = MsgFlags::from_bits_retain(nix::libc::MSG_MORE);
        send(stream.as_raw_fd(), &head, more).doing(|| "send a length".to_owned())?;
        if position + FETCH_BYTES as i64 > file_bytes {
            position = 0;
        }
        let end = position + FETCH_BYTES as i64;
        while position < end {
            let left = (end - position) as usize;
            sendfile(&stream, &file, Some(&mut position), left).doing(|| "sendfile".to_owned())?;
        }
    }
}

fn serve_produce(mut stream: TcpStream, path: &Path) -> Result<()> {
    let mut file = File::create(path).doing(|| format!("create {}", path.display()))?;
    let mut request = vec![0u8; 1 << 20];
    loop {
        let length = read_frame(&mut stream, &mut request)?;
        let batch = &request[request_overhead(&request[..length])..length];
        let stored = u32::from_be_bytes([batch[17], batch[18], batch[19], batch[20]]);
        if crc32c(&batch[21..]) != stored {
            return Err(BenchError::Void("the floor received a damaged batch".to_owned()));
        }
        file.write_all(batch).doing(|| format!("write {}", path.display()))?;
        stream.write_all(&ack_frame()).doing(|| "acknowledge".to_owned())?;
    }
}

/// Where the batch begins in a Produce v7 frame (without its length) of one topic and one partition.
fn request_overhead(frame: &[u8]) -> usize {
    let string_bytes = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let after_client_id = 8 + 2 + string_bytes(8);
    let topic = after_client_id + 2 + 2 + 4 + 4;
    topic + 2 + string_bytes(topic) + 4 + 4 + 4
}

/// A Produce v7 response of the usual size: correlation id, one topic named `t`, one partition, base offset 0.
fn ack_frame() -> [u8; 4 + 49] {
    let mut frame = [0u8; 53];
    frame[3] = 49;
    frame[4 + 7] = 1;
    frame[4 + 9] = 1;
    frame[4 + 10] = b't';
    frame
}

fn read_frame(stream: &mut TcpStream, into: &mut Vec<u8>) -> Result<usize> {
    let mut head = [0u8; 4];
    stream.read_exact(&mut head).doing(|| "read a request".to_owned())?;
    let length = u32::from_be_bytes(head) as usize;
    if length > into.len() {
        into.resize(length, 0);
    }
    stream.read_exact(&mut into[..length]).doing(|| "read a request".to_owned())?;
    Ok(length)
}

fn serve_echo(address: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_io()
        .build()
        .doing(|| "build a runtime".to_owned())?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(address).await.doing(|| format!("bind {address}"))?;
        loop {
            let (mut stream, _) = listener.accept().await.doing(|| "accept".to_owned())?;
            stream.set_nodelay(true).doing(|| "set TCP_NODELAY".to_owned())?;
            tokio::spawn(async move {
                let mut buffer = vec![0u8; 64 << 10];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}

/// What a file is before it is appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It grows with each append, so that each sync has to commit the file system's journal too.
    Growing,
    /// Its blocks are there already.
    Preallocated,
}

/// Blocks of the preallocated file; the append position goes round.
const PREALLOCATED_BLOCKS: u64 = 16 << 10;

/// 4 KiB appends, each followed by `fdatasync`, for `duration`, in `dir`.
pub(crate) fn measure_fdatasync(dir: &Path, to: Appended, duration: Duration) -> Result<Latencies> {
    let path = dir.join("fdatasync-floor");
    let file = File::create(&path).doing(|| format!("create {}", path.display()))?;
    let block = [0x5au8; 4096];
    let block_bytes = block.len() as u64;
    if to == Appended::Preallocated {
        let bytes = (PREALLOCATED_BLOCKS * block_bytes) as i64;
        fallocate(&file, FallocateFlags::empty(), 0, bytes)
            .doing(|| format!("allocate {}", path.display()))?;
        file.sync_all().doing(|| format!("fsync {}", path.display()))?;
    }
    let mut latencies = Latencies::new();
    let end = Instant::now() + duration;
    for index in 0.. {
        let from = Instant::now();
        if from >= end {
            break;
        }
        let position = match to {
            Appended::Growing => index * block_bytes,
            Appended::Preallocated => index % PREALLOCATED_BLOCKS * block_bytes,
        };
        file.write_all_at(&block, position).doing(|| format!("write {}", path.display()))?;
        file.sync_data().doing(|| format!("fdatasync {}", path.display()))?;
        latencies.record(from.elapsed());
    }
    drop(file);
    fs::remove_file(&path).doing(|| format!("remove {}", path.display()))?;
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Shape, build};
    use crate::wire::PreparedProduce;

    #[test]
    fn the_floor_finds_the_batch_in_a_produce_request() {
        let batch = build(Shape { value_bytes: 10, batch_bytes_max: 1000 }, Some(2), 0, 7);
        let prepared = PreparedProduce::new("topic", 3, batch.clone());
        let frame = &prepared.frame[4..];
        assert_eq!(&frame[request_overhead(frame)..], &batch.bytes[..]);
    }
}
