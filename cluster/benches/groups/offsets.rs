//! Offsets: a commit of one partition and of a hundred, and the replay of what a coordinator finds when it starts.

use criterion::{BatchSize, Criterion, Throughput};
use ottla_cluster::group::{Answer, GroupRecord};
use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};

use crate::TOPIC;
use crate::shell::Shell;

const VERSION: i16 = 9;

/// A commit of a program that assigns its partitions itself.
fn commit(group: &str, partitions: i32) -> OffsetCommitRequest {
    let one = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 1 << 40,
        committed_metadata: Some(Str::EMPTY),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: TOPIC.into(),
        partitions: (0..partitions).map(one).collect(),
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequest {
        group_id: Str::from(group),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    }
}

fn send(shell: &mut Shell, request: &OffsetCommitRequest) {
    shell.shard.handle_commit(shell.now, request, VERSION, |_, _| true, 0);
    shell.settle();
    match shell.answers.pop() {
        Some((_, Answer::Commit(response))) => {
            assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::NONE);
        }
        other => panic!("{other:?} is no answer to OffsetCommit"),
    }
}

/// A commit from the request to its answer.
pub(crate) fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("offset commit");
    for partitions in [1, 100] {
        let request = commit(crate::GROUP, partitions);
        let mut shell = Shell::new();
        group.throughput(Throughput::Elements(partitions as u64));
        group.bench_function(format!("{partitions} partitions"), |bencher| {
            bencher.iter(|| {
                send(&mut shell, &request);
                shell.log.clear();
            });
        });
    }
    group.finish();
}

/// A hundred groups with a hundred offsets each: decoded, and made part of a shard that is then dropped.
pub(crate) fn replay(criterion: &mut Criterion) {
    let mut shell = Shell::new();
    for number in 0..100 {
        send(&mut shell, &commit(&format!("group-{number}"), 100));
    }
    let records: Vec<_> = shell.log.iter().map(GroupRecord::encode).collect();
    assert_eq!(records.len(), 10_000);
    let mut group = criterion.benchmark_group("replay of offsets");
    group.throughput(Throughput::Elements(records.len() as u64));
    group.bench_function("10,000 records", |bencher| {
        let replay = |mut shell: Shell| {
            for (key, value) in &records {
                let record = GroupRecord::decode(Some(key), value.as_ref()).unwrap().unwrap();
                shell.shard.replay(shell.now, record);
            }
            shell.shard.finish_replay(shell.now);
            shell
        };
        bencher.iter_batched(Shell::new, replay, BatchSize::PerIteration);
    });
    group.finish();
}
