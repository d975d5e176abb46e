//! Which names a new topic may have.

use std::collections::HashMap;

use ottla_protocol::{ErrorCode, InvalidTopicName, TopicName};

use super::image::Image;
use crate::refusal::{Refused, refuse};

/// A topic name as Kafka checks it, refused in Kafka's words.
pub(super) fn legal_name(name: &str) -> Refused<TopicName> {
    let why = match TopicName::new(name) {
        Ok(name) => return Ok(name),
        Err(InvalidTopicName::Empty) => "the empty string is not allowed".to_owned(),
        Err(InvalidTopicName::Path(_)) => format!("'{name}' is not allowed"),
        Err(InvalidTopicName::TooLong(_)) => {
            format!("the length of '{name}' is longer than the max allowed length {}", TopicName::BYTES_MAX)
        }
        Err(InvalidTopicName::Character(_)) => {
            format!(
                "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
            )
        }
    };
    refuse(ErrorCode::INVALID_TOPIC_EXCEPTION, format!("Topic name is invalid: {why}"))
}

/// The topics that there are and those that the request takes, by how a metrics system shows them: with `_` for `.`.
/// The index is built when the first name needs it, so that a request of thousands looks at every topic once.
#[derive(Default)]
pub(super) struct Lookalikes {
    taken: Vec<TopicName>,
    by_shown: Option<HashMap<String, TopicName>>,
}

impl Lookalikes {
    pub(super) fn take(&mut self, name: &TopicName) {
        if name.as_str().contains(['.', '_']) {
            if let Some(by_shown) = &mut self.by_shown {
                by_shown.insert(shown(name), name.clone());
            }
            self.taken.push(name.clone());
        }
    }

    pub(super) fn find(&mut self, image: &Image, name: &TopicName) -> Option<&TopicName> {
        if !name.as_str().contains(['.', '_']) {
            return None;
        }
        let taken = &self.taken;
        let index = || {
            let names = image.topics().map(|topic| &topic.name).chain(taken);
            let unsure = names.filter(|name| name.as_str().contains(['.', '_']));
            unsure.map(|name| (shown(name), name.clone())).collect()
        };
        self.by_shown.get_or_insert_with(index).get(&shown(name))
    }
}

fn shown(name: &TopicName) -> String {
    name.as_str().replace('.', "_")
}
