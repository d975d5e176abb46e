//! Describing and changing the configs of topics, brokers and groups (KIP-133, KIP-226, KIP-339).
//!
//! Each resource of a request stands or falls alone, and what is described is always what is in force: the records over
//! what the broker was started with. What a value means and which values are legal is the business of
//! [`crate::config`]; here it is decided whose values they are. Client metrics and log levels are no configs of ours yet.

use std::collections::BTreeMap;

use ottla_protocol::codec::Str;
use ottla_protocol::messages::{
    alter_configs, create_topics, describe_configs, incremental_alter_configs, list_config_resources,
};
use ottla_protocol::{BrokerId, ErrorCode, TopicName};

use super::image::Image;
use super::names::legal_name;
use super::outcome::Outcome;
use super::record::{ConfigResource, MetadataRecord};
use crate::config::alter::{self, Alteration, Changes, Operation, Target};
use crate::config::describe::{self, Entry};
use crate::config::{BrokerConfig, GroupKeys, Layers, Overrides, TopicConfig};
use crate::refusal::{Refused, refuse};

/// The most configs that one response describes: every config of ten thousand topics. A few bytes of request could
/// otherwise ask for gigabytes, since every group name has configs.
const DESCRIBED_MAX: usize = 400_000;

/// The most resources that one request changes.
const ALTERED_MAX: usize = 10_000;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

impl Image {
    /// The configuration of the broker that was started with `config`: what was set at run time goes before it.
    pub fn broker_config(&self, config: &BrokerConfig) -> BrokerConfig {
        let this = ConfigResource::Broker(BrokerId::new(config.node_id));
        config.with_dynamic(self.configs(&ConfigResource::AllBrokers).clone(), self.configs(&this).clone())
    }

    /// The configuration of a topic on that broker.
    pub fn topic_config(&self, topic: &TopicName, config: &BrokerConfig) -> TopicConfig {
        TopicConfig::resolve(self.configs(&ConfigResource::Topic(topic.clone())), &self.layers(config))
    }

    /// The configuration of a group on that broker.
    pub fn group_config(&self, group: &str, config: &BrokerConfig) -> GroupKeys {
        GroupKeys::resolve(self.configs(&ConfigResource::Group(group.to_owned())), &self.layers(config))
    }

    /// Where the values of that broker come from.
    pub(super) fn layers(&self, config: &BrokerConfig) -> Layers {
        let this = ConfigResource::Broker(BrokerId::new(config.node_id));
        Layers {
            dynamic_broker: self.configs(&this).clone(),
            dynamic_default: self.configs(&ConfigResource::AllBrokers).clone(),
            static_broker: config.layers().static_broker.clone(),
        }
    }

    /// Answers DescribeConfigs at the broker that was started with `config`: one row per resource.
    pub fn describe_configs(
        &self,
        request: &describe_configs::DescribeConfigsRequest,
        config: &BrokerConfig,
    ) -> describe_configs::DescribeConfigsResponse {
        let layers = self.layers(config);
        let mut described_count = 0;
        let result = |resource: &describe_configs::DescribeConfigsResource| {
            let mut result = describe_configs::DescribeConfigsResult {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..Default::default()
            };
            let entries = match described_count < DESCRIBED_MAX {
                true => self.entries(resource.resource_type, &resource.resource_name, &layers, config),
                false => {
                    refuse(ErrorCode::POLICY_VIOLATION, "Excessively large number of configs per request.")
                }
            };
            match entries {
                Ok(entries) => {
                    let asked = resource.configuration_keys.as_deref().filter(|keys| !keys.is_empty());
                    let is_asked =
                        |entry: &Entry| asked.is_none_or(|keys| keys.iter().any(|key| **key == *entry.name));
                    result.configs =
                        entries.into_iter().filter(is_asked).map(|entry| described(entry, request)).collect();
                    described_count += result.configs.len().max(1);
                }
                Err(refusal) => {
                    result.error_code = refusal.error_code;
                    result.error_message = Some(refusal.message.into());
                }
            }
            result
        };
        let results = request.resources.iter().map(result).collect();
        describe_configs::DescribeConfigsResponse { results, ..Default::default() }
    }

    /// Answers ListConfigResources: the brokers, topics and groups that have configs. Version 0 asks for telemetry
    /// subscriptions, of which there are none.
    pub fn list_config_resources(
        &self,
        request: &list_config_resources::ListConfigResourcesRequest,
        version: i16,
    ) -> list_config_resources::ListConfigResourcesResponse {
        const KINDS: [i8; 5] = [GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC];
        let asked: &[i8] = match version {
            0 => &[CLIENT_METRICS],
            _ if request.resource_types.is_empty() => &KINDS,
            _ => &request.resource_types,
        };
        if asked.iter().any(|kind| !KINDS.contains(kind)) {
            let error_code = ErrorCode::UNSUPPORTED_VERSION;
            return list_config_resources::ListConfigResourcesResponse { error_code, ..Default::default() };
        }
        let names = |kind| -> Vec<Str> {
            match kind {
                GROUP => self.configured_groups().map(Str::from).collect(),
                BROKER | BROKER_LOGGER => self.brokers().map(|(id, _)| id.to_string().into()).collect(),
                TOPIC => self.topics().map(|topic| Str::from(&topic.name)).collect(),
                _ => Vec::new(),
            }
        };
        let of_kind = |resource_type: i8| {
            let resource =
                move |resource_name| list_config_resources::ConfigResource { resource_name, resource_type };
            names(resource_type).into_iter().map(resource)
        };
        list_config_resources::ListConfigResourcesResponse {
            config_resources: KINDS
                .into_iter()
                .filter(|kind| asked.contains(kind))
                .flat_map(of_kind)
                .collect(),
            ..Default::default()
        }
    }

    fn entries(&self, kind: i8, name: &str, layers: &Layers, config: &BrokerConfig) -> Refused<Vec<Entry>> {
        match kind {
            CLIENT_METRICS if name.is_empty() => {
                let message = "Client metrics subscription name must not be empty";
                return refuse(ErrorCode::INVALID_REQUEST, message);
            }
            CLIENT_METRICS => return Ok(describe::client_metrics()),
            BROKER if !name.is_empty() && self.broker_named(name)?.get() != config.node_id => {
                return unexpected_broker(config, name);
            }
            _ => {}
        }
        let resource = self.resource(kind, name, config)?;
        let own = self.configs(&resource);
        Ok(match resource {
            ConfigResource::Topic(_) => describe::topic(own, layers),
            ConfigResource::Broker(_) => describe::broker(layers),
            ConfigResource::AllBrokers => describe::all_brokers(layers),
            ConfigResource::Group(_) => describe::group(own, layers),
        })
    }

    /// What CreateTopics shows of a new topic's configs.
    pub(super) fn created_configs(
        own: &Overrides,
        layers: &Layers,
    ) -> Vec<create_topics::CreatableTopicConfigs> {
        let shown = |entry: Entry| create_topics::CreatableTopicConfigs {
            name: entry.name.into(),
            value: entry.value.map(Str::from),
            read_only: entry.is_read_only,
            config_source: entry.source.code(),
            is_sensitive: entry.is_sensitive,
        };
        describe::topic(own, layers).into_iter().map(shown).collect()
    }

    /// Answers IncrementalAlterConfigs.
    pub fn incremental_alter_configs(
        &self,
        request: &incremental_alter_configs::IncrementalAlterConfigsRequest,
        config: &BrokerConfig,
    ) -> Outcome<MetadataRecord, incremental_alter_configs::IncrementalAlterConfigsResponse> {
        use incremental_alter_configs::{
            AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsResponse,
        };
        let layers = self.layers(config);
        let once = Once::new(request.resources.iter().map(|one| (one.resource_type, &*one.resource_name)));
        let mut outcome = Outcome::unchanged(IncrementalAlterConfigsResponse::default());
        for wanted in &request.resources {
            let alteration = |config: &'_ AlterableConfig| match Operation::from_code(config.config_operation)
            {
                Some(operation) => Ok((operation, config.value.clone(), config.name.clone())),
                None => {
                    let message = format!("Unknown operation type {}", config.config_operation);
                    refuse(ErrorCode::INVALID_REQUEST, message)
                }
            };
            let planned = once.check(wanted.resource_type, &wanted.resource_name).and_then(|()| {
                let resource = self.alterable(wanted.resource_type, &wanted.resource_name, config)?;
                let asked = wanted.configs.iter().map(alteration).collect::<Refused<Vec<_>>>()?;
                let alterations: Vec<Alteration<'_>> = asked
                    .iter()
                    .map(|(operation, value, key)| Alteration {
                        key,
                        operation: *operation,
                        value: value.as_deref(),
                    })
                    .collect();
                let current = self.configs(&resource);
                Ok((alter::incremental(target(&resource), current, &layers, &alterations)?, resource))
            });
            let mut response = AlterConfigsResourceResponse {
                resource_type: wanted.resource_type,
                resource_name: wanted.resource_name.clone(),
                ..Default::default()
            };
            match planned {
                Ok((changes, resource)) => outcome.records.extend(records(&resource, changes)),
                Err(refusal) => {
                    response.error_code = refusal.error_code;
                    response.error_message = Some(refusal.message.into());
                }
            }
            outcome.reply.responses.push(response);
        }
        if request.validate_only {
            outcome.records.clear();
        }
        outcome
    }

    /// Answers AlterConfigs, the older API that replaces all values of a resource.
    pub fn alter_configs(
        &self,
        request: &alter_configs::AlterConfigsRequest,
        config: &BrokerConfig,
    ) -> Outcome<MetadataRecord, alter_configs::AlterConfigsResponse> {
        let layers = self.layers(config);
        let once = Once::new(request.resources.iter().map(|one| (one.resource_type, &*one.resource_name)));
        let mut outcome = Outcome::unchanged(alter_configs::AlterConfigsResponse::default());
        for wanted in &request.resources {
            let planned = once.check(wanted.resource_type, &wanted.resource_name).and_then(|()| {
                let resource = self.alterable(wanted.resource_type, &wanted.resource_name, config)?;
                let values: Vec<(&str, Option<&str>)> =
                    wanted.configs.iter().map(|config| (&*config.name, config.value.as_deref())).collect();
                let current = self.configs(&resource);
                Ok((alter::replacing(target(&resource), current, &layers, &values)?, resource))
            });
            let mut response = alter_configs::AlterConfigsResourceResponse {
                resource_type: wanted.resource_type,
                resource_name: wanted.resource_name.clone(),
                ..Default::default()
            };
            match planned {
                Ok((changes, resource)) => outcome.records.extend(records(&resource, changes)),
                Err(refusal) => {
                    response.error_code = refusal.error_code;
                    response.error_message = Some(refusal.message.into());
                }
            }
            outcome.reply.responses.push(response);
        }
        if request.validate_only {
            outcome.records.clear();
        }
        outcome
    }

    /// As [`Image::resource`], in Kafka's words for a change: topics have no defaults of their own.
    fn alterable(&self, kind: i8, name: &str, config: &BrokerConfig) -> Refused<ConfigResource> {
        if kind == TOPIC && name.is_empty() {
            return refuse(ErrorCode::INVALID_REQUEST, "Default topic resources are not allowed.");
        }
        self.resource(kind, name, config)
    }

    /// The resource that a request means, if it exists.
    fn resource(&self, kind: i8, name: &str, config: &BrokerConfig) -> Refused<ConfigResource> {
        match kind {
            TOPIC => {
                let name = legal_name(name)?;
                if self.topic(&name).is_none() {
                    let message = format!("The topic '{name}' does not exist.");
                    return refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message);
                }
                Ok(ConfigResource::Topic(name))
            }
            BROKER if name.is_empty() => Ok(ConfigResource::AllBrokers),
            BROKER => {
                let broker = self.broker_named(name)?;
                if broker.get() != config.node_id && self.brokers().all(|(id, _)| id != broker) {
                    return unexpected_broker(config, name);
                }
                Ok(ConfigResource::Broker(broker))
            }
            GROUP if name.is_empty() => refuse(ErrorCode::INVALID_REQUEST, "Group name must not be empty"),
            GROUP => Ok(ConfigResource::Group(name.to_owned())),
            BROKER_LOGGER | CLIENT_METRICS => {
                refuse(ErrorCode::INVALID_REQUEST, "Log levels and client metrics cannot be configured.")
            }
            other => refuse(ErrorCode::INVALID_REQUEST, format!("Unsupported resource type: {other}")),
        }
    }

    fn broker_named(&self, name: &str) -> Refused<BrokerId> {
        let invalid = |_| {
            let message = format!("Broker id must be an integer, but it is: {name}");
            refuse(ErrorCode::INVALID_REQUEST, message)
        };
        name.parse().map(BrokerId::new).or_else(invalid)
    }
}

fn unexpected_broker<T>(config: &BrokerConfig, name: &str) -> Refused<T> {
    let message =
        format!("Unexpected broker id, expected {} or empty string, but received {name}", config.node_id);
    refuse(ErrorCode::INVALID_REQUEST, message)
}

fn target(resource: &ConfigResource) -> Target {
    match resource {
        ConfigResource::Topic(_) => Target::Topic,
        ConfigResource::Broker(_) => Target::Broker,
        ConfigResource::AllBrokers => Target::AllBrokers,
        ConfigResource::Group(_) => Target::Group,
    }
}

fn records(resource: &ConfigResource, changes: Changes) -> impl Iterator<Item = MetadataRecord> {
    changes.into_iter().map(|(key, value)| MetadataRecord::Config { resource: resource.clone(), key, value })
}

fn described(
    entry: Entry,
    request: &describe_configs::DescribeConfigsRequest,
) -> describe_configs::DescribeConfigsResourceResult {
    let synonym = |synonym: describe::SynonymEntry| describe_configs::DescribeConfigsSynonym {
        name: synonym.name.into(),
        value: synonym.value.map(Str::from),
        source: synonym.source.code(),
    };
    let synonyms = if request.include_synonyms { entry.synonyms } else { Vec::new() };
    describe_configs::DescribeConfigsResourceResult {
        name: entry.name.into(),
        value: entry.value.map(Str::from),
        read_only: entry.is_read_only,
        config_source: entry.source.code(),
        is_sensitive: entry.is_sensitive,
        synonyms: synonyms.into_iter().map(synonym).collect(),
        config_type: entry.kind.code(),
        documentation: request.include_documentation.then(|| entry.documentation.into()),
    }
}

/// A resource that a request names twice is changed by neither.
struct Once<'a> {
    counts: BTreeMap<(i8, &'a str), usize>,
    resource_count: usize,
}

impl<'a> Once<'a> {
    fn new(resources: impl Iterator<Item = (i8, &'a str)>) -> Self {
        let (mut counts, mut resource_count) = (BTreeMap::new(), 0);
        for resource in resources {
            *counts.entry(resource).or_default() += 1;
            resource_count += 1;
        }
        Self { counts, resource_count }
    }

    fn check(&self, kind: i8, name: &str) -> Refused<()> {
        if self.resource_count > ALTERED_MAX {
            return refuse(ErrorCode::POLICY_VIOLATION, "Excessively large number of resources per request.");
        }
        match self.counts.get(&(kind, name)) {
            Some(1) => Ok(()),
            _ => refuse(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once."),
        }
    }
}

#[cfg(test)]
#[path = "configs_tests.rs"]
mod tests;
