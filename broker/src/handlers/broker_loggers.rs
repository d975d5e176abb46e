//! The part of DescribeConfigs and IncrementalAlterConfigs that is about BROKER_LOGGER (KIP-412): not the controller's
//! business, since each process has a log of its own.

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use ottla_protocol::messages::describe_configs::{DescribeConfigsResource, DescribeConfigsResult};
use ottla_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, IncrementalAlterConfigsRequest,
};

use crate::core::Core;

const BROKER_LOGGER: i8 = 8;

/// The most resources of this kind in one request. There is only one of them, so more are a mistake or malice.
const RESOURCES_MAX: usize = 100;

/// Takes the loggers out of what is to be described, and describes them. The places ascend.
pub(super) fn take_described(
    core: &Core,
    resources: &mut Vec<DescribeConfigsResource>,
) -> Vec<(usize, DescribeConfigsResult)> {
    let (places, loggers) = take(resources, |resource| resource.resource_type);
    places.into_iter().zip(loggers.iter().map(|resource| describe(core, resource))).collect()
}

/// Takes the loggers out of what is to be changed, and changes them. The places ascend.
pub(super) fn take_altered(
    core: &Core,
    request: &mut IncrementalAlterConfigsRequest,
) -> Vec<(usize, AlterConfigsResourceResponse)> {
    let (places, loggers) = take(&mut request.resources, |resource| resource.resource_type);
    let altered = loggers.iter().map(|resource| alter(core, resource, request.validate_only));
    places.into_iter().zip(altered).collect()
}

/// Takes out the resources of this kind, with their places. Beyond the bound they stay, and are refused as unknown.
fn take<R>(resources: &mut Vec<R>, kind: impl Fn(&R) -> i8) -> (Vec<usize>, Vec<R>) {
    let is_logger = |resource: &R| kind(resource) == BROKER_LOGGER;
    if !resources.iter().any(is_logger) {
        return (Vec::new(), Vec::new());
    }
    let (mut places, mut loggers, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for (place, resource) in std::mem::take(resources).into_iter().enumerate() {
        if is_logger(&resource) && loggers.len() < RESOURCES_MAX {
            places.push(place);
            loggers.push(resource);
        } else {
            others.push(resource);
        }
    }
    *resources = others;
    (places, loggers)
}

/// The levels of this broker's loggers, those that are asked for.
fn describe(core: &Core, resource: &DescribeConfigsResource) -> DescribeConfigsResult {
    let mut result = DescribeConfigsResult {
        resource_type: BROKER_LOGGER,
        resource_name: resource.resource_name.clone(),
        ..DescribeConfigsResult::default()
    };
    if let Err((error_code, message)) = check_name(core, &resource.resource_name) {
        result.error_code = error_code;
        result.error_message = Some(Str::from(message));
        return result;
    }
    let asked = resource.configuration_keys.as_deref().filter(|keys| !keys.is_empty());
    result.configs = core.log_levels.get().map(|levels| levels.describe()).unwrap_or_default();
    result.configs.retain(|row| asked.is_none_or(|keys| keys.contains(&row.name)));
    result
}

/// Changes the levels of this broker's loggers.
fn alter(core: &Core, resource: &AlterConfigsResource, validate_only: bool) -> AlterConfigsResourceResponse {
    let altered = check_name(core, &resource.resource_name).and_then(|()| match core.log_levels.get() {
        Some(levels) => levels.alter(&resource.configs, validate_only),
        None => Err((ErrorCode::INVALID_REQUEST, "The log of this process cannot be changed.".to_owned())),
    });
    let (error_code, message) = match altered {
        Ok(()) => (ErrorCode::NONE, None),
        Err((error_code, message)) => (error_code, Some(Str::from(message))),
    };
    AlterConfigsResourceResponse {
        error_code,
        error_message: message,
        resource_type: BROKER_LOGGER,
        resource_name: resource.resource_name.clone(),
    }
}

fn check_name(core: &Core, name: &str) -> Result<(), (ErrorCode, String)> {
    let invalid = |message: String| Err((ErrorCode::INVALID_REQUEST, message));
    let this = core.node_id.get();
    match name.parse::<i32>() {
        Ok(id) if id == this => Ok(()),
        Ok(_) => invalid(format!("Unexpected broker id, expected {this} but received {name}")),
        Err(_) if name.is_empty() => invalid("Broker id must not be empty".to_owned()),
        Err(_) => invalid(format!("Broker id must be an integer, but it is: {name}")),
    }
}
