//! What decoding allocates, counted by the allocator itself: a claim costs no more than the frame did, and a message no
//! more than a small multiple of it.

#![allow(unsafe_code, reason = "a global allocator that counts can only be written with unsafe")]

mod dice;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{BufMut, Bytes, BytesMut};
use ottla_protocol::codec::{EXPANSION_BYTES_FREE, EXPANSION_MAX, Request, decode_request, encode};
use ottla_protocol::messages::metadata::MetadataRequest;
use ottla_protocol::messages::produce::ProduceRequest;
use ottla_protocol::messages::{self, RequestVisitor};
use ottla_protocol::{API_TABLE, ApiRange};

/// No struct of the protocol is larger in memory, so this is what room for one element costs at most.
const ELEMENT_BYTES_MAX: usize = 512;

struct Counting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    static TOTAL: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it is; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.set(LARGEST.get().max(layout.size()));
        TOTAL.set(TOTAL.get() + layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `alloc` came from the same allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs the work and says what it allocated: the largest piece and all together, in bytes.
fn counted<T>(work: impl FnOnce() -> T) -> (usize, usize, T) {
    LARGEST.set(0);
    TOTAL.set(0);
    let result = work();
    (LARGEST.get(), TOTAL.get(), result)
}

#[test]
fn a_claim_of_two_billion_topics_allocates_nothing() {
    let body = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
    let (_, total, refused) = counted(|| decode_request::<MetadataRequest>(body, 1));
    assert!(refused.is_err());
    assert_eq!(total, 0);
}

#[test]
fn a_claim_that_fits_the_frame_allocates_no_more_than_the_frame() {
    // The count could be true by the bytes that follow, but they are no topics.
    let mut body = BytesMut::new();
    body.put_i16(-1);
    body.put_i16(-1);
    body.put_i32(30_000);
    body.put_i32(10_000);
    body.put_bytes(0xff, 80_000);
    let (frame_bytes, body) = (body.len(), body.freeze());
    let (largest, _, refused) = counted(|| decode_request::<ProduceRequest>(body, 3));
    assert!(refused.is_err());
    assert!(largest <= frame_bytes, "{largest} bytes for a frame of {frame_bytes}");
}

/// Decodes random messages of one API, whole and bent, and checks what each allocates.
struct Frugal(&'static ApiRange);

impl RequestVisitor for Frugal {
    type Output = u64;

    fn visit<R: Request>(self) -> u64 {
        let mut bodies = 0;
        for version in self.0.versions() {
            for seed in 0..24 {
                let message = dice::random::<R>(version, seed);
                let encoded = encode(message, version, self.0.is_flexible(version));
                let bytes = encoded.expect("what the dice make can be encoded").bytes;
                let mut bent = BytesMut::from(&bytes[..]);
                if let Some(byte) = bent.get_mut(seed as usize) {
                    *byte = 0x7f;
                }
                for body in [bytes, bent.freeze()] {
                    let frame_bytes = body.len();
                    let (_, total, _) = counted(|| decode_request::<R>(body, version));
                    // A vector that grows leaves its smaller selves behind: twice what it takes in the end.
                    let allowed = 2 * EXPANSION_MAX * frame_bytes + 4 * ELEMENT_BYTES_MAX;
                    assert!(
                        total <= allowed.min(2 * (EXPANSION_MAX * frame_bytes + EXPANSION_BYTES_FREE)),
                        "{} v{version} seed {seed}: {total} bytes for a frame of {frame_bytes}",
                        R::KEY
                    );
                    bodies += 1;
                }
            }
        }
        bodies
    }
}

#[test]
fn decoding_allocates_a_small_multiple_of_the_frame() {
    let bodies: u64 = API_TABLE.iter().map(|api| messages::visit(api.key, Frugal(api)).unwrap()).sum();
    println!("{bodies} bodies decoded within their budget");
}
