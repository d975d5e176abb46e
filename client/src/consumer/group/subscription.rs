//! What a consumer wants to read: topics by name, or by a pattern that is asked again whenever topics come and go.
//!
//! A pattern matches whole names, as Java's and the brokers' do. Topics that are the broker's own are never matched by a
//! pattern. Which topics there are is told, not asked, here.

use std::collections::BTreeSet;

use ottla_protocol::TopicName;
use regex::Regex;

use crate::client::topic_name;
use crate::error::{ClientError, Result};
use crate::metadata::TopicInfo;

const OPERATION: &str = "subscribe";

/// A regular expression for whole topic names.
#[derive(Debug, Clone)]
pub(crate) struct TopicPattern {
    text: String,
    regex: Regex,
}

/// What a consumer wants to read.
#[derive(Debug, Clone)]
pub(crate) enum Subscription {
    /// These topics.
    Names(BTreeSet<TopicName>),
    /// Every topic whose name matches.
    Pattern(TopicPattern),
}

impl TopicPattern {
    /// The expression as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl Subscription {
    /// Names, checked.
    pub(crate) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let names: Result<BTreeSet<TopicName>> =
            names.into_iter().map(|name| topic_name(OPERATION, name)).collect();
        match names? {
            names if names.is_empty() => Err(ClientError::invalid(OPERATION, "no topic is named")),
            names => Ok(Subscription::Names(names)),
        }
    }

    /// A pattern, checked.
    pub(crate) fn pattern(text: &str) -> Result<Self> {
        let regex = Regex::new(&format!("^(?:{text})$"))
            .map_err(|error| ClientError::invalid(OPERATION, format!("{text:?} is no pattern: {error}")))?;
        Ok(Subscription::Pattern(TopicPattern { text: text.to_owned(), regex }))
    }

    /// The topics that are wanted, given those there are; names are wanted whether or not they exist.
    pub(crate) fn topics(&self, known: &[TopicInfo]) -> BTreeSet<TopicName> {
        match self {
            Subscription::Names(names) => names.clone(),
            Subscription::Pattern(pattern) => known
                .iter()
                .filter(|topic| !topic.is_internal && pattern.regex.is_match(&topic.name))
                .map(|topic| topic.name.clone())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_protocol::TopicId;

    fn topic(name: &str) -> TopicInfo {
        TopicInfo {
            name: TopicName::new(name).expect("legal"),
            id: TopicId::ZERO,
            is_internal: name.starts_with("__"),
            partitions: Vec::new(),
        }
    }

    #[test]
    fn a_pattern_matches_whole_names_and_nothing_internal() {
        let known = ["flights", "flights-eu", "old-flights", "__flights"].map(topic);
        let names = |pattern: &str| {
            let topics = Subscription::pattern(pattern).expect("legal").topics(&known);
            topics.iter().map(TopicName::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("flights.*"), "flights flights-eu");
        assert_eq!(names("old-flights|flights"), "flights old-flights");
        assert_eq!(names(".*"), "flights flights-eu old-flights");
    }

    #[test]
    fn what_cannot_be_wanted_is_refused_at_once() {
        assert!(Subscription::pattern("(").is_err());
        assert!(Subscription::names(["a b"]).is_err());
        assert!(Subscription::names([]).is_err());
    }
}
