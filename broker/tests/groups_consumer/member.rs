//! A member of a consumer group, and what else the tests ask of a coordinator.

use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::consumer_group_describe::{ConsumerGroupDescribeRequest, DescribedGroup};
use ottla_protocol::messages::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use ottla_protocol::messages::delete_groups::DeleteGroupsRequest;
use ottla_protocol::messages::find_coordinator::FindCoordinatorRequest;
use ottla_protocol::messages::list_groups::ListGroupsRequest;
use ottla_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup,
};
use uuid::Uuid;

use crate::support::broker::unique;
use crate::support::client::PATIENCE;
use crate::support::{Client, TestBroker};

/// A member of a consumer group that does what it is told at once.
pub(crate) struct Member {
    pub(crate) client: Client,
    pub(crate) group: Str,
    pub(crate) id: Str,
    pub(crate) instance: Option<Str>,
    pub(crate) epoch: i32,
    pub(crate) topic: Str,
    /// Of the one topic that it reads.
    pub(crate) owned: Vec<i32>,
}

impl Member {
    pub(crate) fn new(broker: &TestBroker, group: &Str, topic: &str) -> Member {
        Member {
            client: broker.connect(),
            group: group.clone(),
            id: Str::from(unique("member")),
            instance: None,
            epoch: 0,
            topic: topic.into(),
            owned: Vec::new(),
        }
    }

    pub(crate) fn request(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance.clone(),
            ..Default::default()
        }
    }

    pub(crate) fn first(&self) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            member_epoch: 0,
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec![self.topic.clone()]),
            topic_partitions: Some(Vec::new()),
            ..self.request()
        }
    }

    pub(crate) fn send(&mut self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        self.client.call(1, request)
    }

    pub(crate) fn error(&mut self, request: ConsumerGroupHeartbeatRequest) -> ErrorCode {
        self.send(request).error_code
    }

    /// Joins, or says what it owns; takes what it is told.
    #[track_caller]
    pub(crate) fn beat(&mut self, topic_id: Uuid) -> ConsumerGroupHeartbeatResponse {
        let mut request = if self.epoch <= 0 { self.first() } else { self.request() };
        if self.epoch > 0 {
            let owned = TopicPartitions { topic_id, partitions: self.owned.clone() };
            request.topic_partitions = Some(vec![owned]);
        }
        let response = self.send(request);
        assert_eq!(response.error_code, ErrorCode::NONE, "{:?}", response.error_message);
        self.epoch = response.member_epoch;
        if let Some(assignment) = &response.assignment {
            self.owned =
                assignment.topic_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect();
            self.owned.sort_unstable();
        }
        response
    }

    pub(crate) fn leave(&mut self, epoch: i32) -> ErrorCode {
        let request = ConsumerGroupHeartbeatRequest { member_epoch: epoch, ..self.request() };
        self.error(request)
    }
}

/// A new group, whose coordinator is ready.
pub(crate) fn new_group(client: &mut Client) -> Str {
    let group = Str::from(unique("group"));
    let began = Instant::now();
    loop {
        let found = client.call(3, FindCoordinatorRequest { key: group.clone(), ..Default::default() });
        let listed = client.call(4, ListGroupsRequest::default()).error_code;
        let fetched = fetch(client, 9, &group, None, -1, "none", Uuid::nil()).error_code;
        if [found.error_code, listed, fetched] == [ErrorCode::NONE; 3] {
            return group;
        }
        assert!(began.elapsed() < PATIENCE, "still {found:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn topic_id(client: &mut Client, topic: &str) -> Uuid {
    client.wait_for_leaders(topic).topic_id
}

pub(crate) fn describe(client: &mut Client, group: &Str) -> DescribedGroup {
    let request =
        ConsumerGroupDescribeRequest { group_ids: vec![group.clone()], include_authorized_operations: true };
    client.call(1, request).groups.remove(0)
}

pub(crate) fn fetch(
    client: &mut Client,
    version: i16,
    group: &Str,
    member: Option<&Str>,
    epoch: i32,
    topic: &str,
    topic_id: Uuid,
) -> OffsetFetchResponseGroup {
    let topic = OffsetFetchRequestTopics { name: topic.into(), topic_id, partition_indexes: vec![0] };
    let group = OffsetFetchRequestGroup {
        group_id: group.clone(),
        member_id: member.cloned(),
        member_epoch: epoch,
        topics: Some(vec![topic]),
    };
    client.call(version, OffsetFetchRequest { groups: vec![group], ..Default::default() }).groups.remove(0)
}

pub(crate) fn commit_request(
    group: &Str,
    member: &Str,
    epoch: i32,
    topic: &str,
    topic_id: Uuid,
) -> OffsetCommitRequest {
    let partition =
        OffsetCommitRequestPartition { partition_index: 0, committed_offset: 42, ..Default::default() };
    OffsetCommitRequest {
        group_id: group.clone(),
        member_id: member.clone(),
        generation_id_or_member_epoch: epoch,
        topics: vec![OffsetCommitRequestTopic { name: topic.into(), topic_id, partitions: vec![partition] }],
        ..Default::default()
    }
}

pub(crate) fn commit(client: &mut Client, version: i16, request: OffsetCommitRequest) -> ErrorCode {
    client.call(version, request).topics[0].partitions[0].error_code
}

pub(crate) fn delete(client: &mut Client, group: &Str) -> ErrorCode {
    client.call(2, DeleteGroupsRequest { groups_names: vec![group.clone()] }).results[0].error_code
}
