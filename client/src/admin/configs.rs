//! Configs of topics and brokers: describe them with their sources, change them one key at a time (KIP-339).

use ottla_protocol::BrokerId;
use ottla_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
};
use ottla_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use super::{Admin, verdict};
use crate::error::{ClientError, Result};

/// What has configs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// The dynamic defaults of all brokers.
    BrokerDefaults,
}

impl ConfigResource {
    fn wire(&self) -> (i8, String) {
        match self {
            ConfigResource::Topic(name) => (2, name.clone()),
            ConfigResource::Broker(id) => (4, id.to_string()),
            ConfigResource::BrokerDefaults => (4, String::new()),
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on this broker while it runs.
    DynamicBroker,
    /// Set for all brokers while they run.
    DynamicDefault,
    /// The broker's file, environment or command line.
    StaticBroker,
    /// Nobody set it.
    Default,
    /// Some other source, by its number.
    Other(i8),
}

impl ConfigSource {
    fn from_wire(number: i8) -> Self {
        match number {
            1 => ConfigSource::Topic,
            2 => ConfigSource::DynamicBroker,
            3 => ConfigSource::DynamicDefault,
            4 => ConfigSource::StaticBroker,
            5 => ConfigSource::Default,
            other => ConfigSource::Other(other),
        }
    }

    /// Kafka's name for it, as its tools print it.
    pub fn name(self) -> &'static str {
        match self {
            ConfigSource::Topic => "DYNAMIC_TOPIC_CONFIG",
            ConfigSource::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
            ConfigSource::DynamicDefault => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
            ConfigSource::Default => "DEFAULT_CONFIG",
            ConfigSource::Other(_) => "UNKNOWN",
        }
    }
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// Floating point.
    Double,
    /// Comma-separated.
    List,
    /// The name of a Java class.
    Class,
    /// Never shown.
    Password,
    /// The broker does not tell.
    Unknown,
}

impl ConfigType {
    fn from_wire(number: i8) -> Self {
        match number {
            1 => ConfigType::Boolean,
            2 => ConfigType::String,
            3 => ConfigType::Int,
            4 => ConfigType::Short,
            5 => ConfigType::Long,
            6 => ConfigType::Double,
            7 => ConfigType::List,
            8 => ConfigType::Class,
            9 => ConfigType::Password,
            _ => ConfigType::Unknown,
        }
    }
}

/// A value that applies or would apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key it is set under.
    pub name: String,
    /// The value, none if secret.
    pub value: ConfigValue,
    /// Where it is set.
    pub source: ConfigSource,
}

/// A value as text; none when it is secret or null.
pub type ConfigValue = Option<String>;

/// One config of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its key.
    pub name: String,
    /// The value that applies.
    pub value: ConfigValue,
    /// Where that comes from.
    pub source: ConfigSource,
    /// Its type.
    pub config_type: ConfigType,
    /// Whether it can only be changed by a restart.
    pub is_read_only: bool,
    /// Whether its value is never shown.
    pub is_sensitive: bool,
    /// The values in the order they apply, most specific first, if asked for.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it does, if asked for.
    pub documentation: Option<String>,
}

impl ConfigEntry {
    fn from_wire(row: &DescribeConfigsResourceResult) -> Self {
        let text = |value: &Option<ottla_protocol::codec::Str>| value.as_ref().map(ToString::to_string);
        let synonyms = row.synonyms.iter().map(|synonym| ConfigSynonym {
            name: synonym.name.to_string(),
            value: text(&synonym.value),
            source: ConfigSource::from_wire(synonym.source),
        });
        ConfigEntry {
            name: row.name.to_string(),
            value: text(&row.value),
            source: ConfigSource::from_wire(row.config_source),
            config_type: ConfigType::from_wire(row.config_type),
            is_read_only: row.read_only,
            is_sensitive: row.is_sensitive,
            synonyms: synonyms.collect(),
            documentation: text(&row.documentation).filter(|text| !text.is_empty()),
        }
    }
}

/// One change to the configs of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterOperation {
    /// Sets a key.
    Set(String, String),
    /// Un-sets a key: what lies below applies again.
    Delete(String),
    /// Adds items to a list.
    Append(String, String),
    /// Takes items off a list.
    Subtract(String, String),
}

impl AlterOperation {
    fn wire(&self) -> AlterableConfig {
        let (name, operation, value) = match self {
            AlterOperation::Set(name, value) => (name, 0, Some(value)),
            AlterOperation::Delete(name) => (name, 1, None),
            AlterOperation::Append(name, value) => (name, 2, Some(value)),
            AlterOperation::Subtract(name, value) => (name, 3, Some(value)),
        };
        AlterableConfig { name: name.into(), config_operation: operation, value: value.map(Into::into) }
    }
}

impl Admin {
    /// The configs of a resource with synonyms and documentation, by key.
    ///
    /// # Errors
    /// `UNKNOWN_TOPIC_OR_PARTITION`, or when no broker answers in time.
    pub async fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>> {
        const OPERATION: &str = "describe configs";
        let (resource_type, resource_name) = resource.wire();
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type,
                resource_name: resource_name.as_str().into(),
                configuration_keys: None,
            }],
            include_synonyms: true,
            include_documentation: true,
        };
        let response = match resource {
            ConfigResource::Broker(id) => self.ask_broker(OPERATION, *id, request).await?,
            _ => self.ask_any(OPERATION, request).await?,
        };
        let Some(result) = response.results.first() else {
            return Err(ClientError::invalid(OPERATION, "the answer is empty"));
        };
        verdict(OPERATION, &resource_name, result.error_code, result.error_message.as_deref())?;
        let mut entries: Vec<ConfigEntry> = result.configs.iter().map(ConfigEntry::from_wire).collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// Changes configs of a resource, or only checks whether they could be changed.
    ///
    /// # Errors
    /// `INVALID_CONFIG` for an unknown key or a bad value; then nothing of this resource is changed.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        operations: &[AlterOperation],
        validate_only: bool,
    ) -> Result<()> {
        const OPERATION: &str = "alter configs";
        let (resource_type, resource_name) = resource.wire();
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type,
                resource_name: resource_name.as_str().into(),
                configs: operations.iter().map(AlterOperation::wire).collect(),
            }],
            validate_only,
        };
        let response = match resource {
            ConfigResource::Broker(id) => self.ask_broker(OPERATION, *id, request).await?,
            _ => {
                let codes = |response: &ottla_protocol::messages::incremental_alter_configs::IncrementalAlterConfigsResponse| {
                    response.responses.iter().map(|resource| resource.error_code).collect()
                };
                self.ask_controller(OPERATION, request, codes).await?
            }
        };
        let Some(result) = response.responses.first() else {
            return Err(ClientError::invalid(OPERATION, "the answer is empty"));
        };
        verdict(OPERATION, &resource_name, result.error_code, result.error_message.as_deref())
    }
}
