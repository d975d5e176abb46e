//! What each API costs: the frames that Java clients and Apache Kafka exchanged (`tests/golden`), the request decoded as a
//! broker meets it, the response encoded as it answers.
//!
//! A message is as large as it was when it was recorded, so rows tell of a change, not of each other; `codec` and `groups` have
//! sizes that matter. Each API is here once, in the newest version that was recorded and is spoken.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use ottla_protocol::codec::{Request, decode_request, decode_response};
use ottla_protocol::messages::{self, RequestVisitor};
use ottla_protocol::{ApiKey, api, frame};

/// A recorded frame without its length.
struct Frame<'a, 'b> {
    group: &'a mut BenchmarkGroup<'b, WallTime>,
    bytes: Bytes,
    version: i16,
}

/// Decodes a request, header and body.
struct Decode<'a, 'b>(Frame<'a, 'b>);

/// Encodes a response.
struct Encode<'a, 'b>(Frame<'a, 'b>);

impl RequestVisitor for Decode<'_, '_> {
    type Output = ();

    fn visit<R: Request>(self) {
        let Frame { group, bytes, version } = self.0;
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("{} v{version}", R::KEY.name()), |bencher| {
            bencher.iter(|| {
                let (_, body) = frame::decode_request_header(black_box(bytes.clone())).expect("of a client");
                decode_request::<R>(body, version).expect("of a client")
            });
        });
    }
}

impl RequestVisitor for Encode<'_, '_> {
    type Output = ();

    fn visit<R: Request>(self) {
        let Frame { group, bytes, version } = self.0;
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let (id, body) = frame::decode_response_header(bytes, R::KEY, version).expect("of a broker");
        let response = decode_response::<R>(body, version).expect("of a broker");
        group.bench_function(format!("{} v{version}", R::KEY.name()), |bencher| {
            bencher.iter_batched(
                || response.clone(),
                |response| frame::encode_response(id, R::KEY, version, response).expect("as before"),
                BatchSize::SmallInput,
            );
        });
    }
}

/// The newest frames of one direction, by API: `offset_fetch-v8-req.bin` is a request of OffsetFetch in version 8.
fn recorded(direction: &str) -> BTreeMap<String, (ApiKey, i16, Bytes)> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/java");
    let mut newest: BTreeMap<String, (ApiKey, i16, Bytes)> = BTreeMap::new();
    for entry in std::fs::read_dir(golden).expect("the golden frames") {
        let path = entry.expect("listed").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a frame's name");
        let (api, rest) = name.split_once("-v").expect("a frame's name");
        let (version, _) = rest.split_once('-').filter(|(_, end)| *end == direction).unwrap_or_default();
        let Ok(version) = version.parse() else { continue };
        let key = ApiKey::ALL.iter().find(|key| key.name().to_lowercase() == api.replace('_', ""));
        let key = *key.expect("the name of an API");
        let is_newer = newest.get(api).is_none_or(|(_, known, _)| *known < version);
        if is_newer && api::served(key).is_some_and(|api| api.serves(version)) {
            newest.insert(api.to_owned(), (key, version, std::fs::read(&path).expect("readable").into()));
        }
    }
    assert!(newest.len() > 30, "only {} APIs were recorded", newest.len());
    newest
}

fn apis(criterion: &mut Criterion) {
    for (title, direction) in [("decode a request of", "req"), ("encode a response of", "res")] {
        let mut group = criterion.benchmark_group(title);
        // There are many, and each is short.
        let (warm_up, measurement) = (Duration::from_millis(200), Duration::from_millis(500));
        group.sample_size(20).warm_up_time(warm_up).measurement_time(measurement);
        for (key, version, bytes) in recorded(direction).into_values() {
            let frame = Frame { group: &mut group, bytes, version };
            let measured = match direction {
                "req" => messages::visit(key, Decode(frame)),
                _ => messages::visit(key, Encode(frame)),
            };
            measured.expect("an API that is spoken");
        }
        group.finish();
    }
}

criterion_group!(benches, apis);
criterion_main!(benches);
