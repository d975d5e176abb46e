//! What a group reads: topics by name and by regular expression, and how one sees that they have changed.
//!
//! Expressions are resolved here, by the broker (KIP-848 with heartbeats since version 1), in RE2's syntax, and must match
//! a topic's whole name. A hash over what the topics look like is kept beside the group's epoch: a group whose topics
//! have another hash than that wants a new assignment. The hash is our own; Kafka computes another one, so a group
//! that moves between the two rebalances once.

use std::collections::BTreeSet;

use ottla_protocol::ErrorCode;
use ottla_protocol::codec::Str;
use regex::Regex;

use super::record::ResolvedRegex;
use super::state::ConsumerGroup;
use super::topics::TopicDirectory;
use crate::group::Now;
use crate::refusal::{Refused, refuse};

/// The longest program that an expression may become, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// The expression, or why it is none.
pub(crate) fn compile(pattern: &str) -> Refused<Regex> {
    // A topic matches when all of its name does.
    let whole = format!("^(?:{pattern})$");
    match regex::RegexBuilder::new(&whole).size_limit(REGEX_BYTES_MAX).build() {
        Ok(regex) => Ok(regex),
        Err(error) => refuse(
            ErrorCode::INVALID_REGULAR_EXPRESSION,
            format!("the expression {pattern:?} cannot be used: {}", last_line(&error.to_string())),
        ),
    }
}

/// The sentence under the drawing that the parser makes of the place.
fn last_line(message: &str) -> &str {
    message.lines().last().unwrap_or_default().trim_start_matches("error: ")
}

/// The topics that an expression matches now.
pub(crate) fn resolve(regex: &Regex, topics: &dyn TopicDirectory, now: Now) -> ResolvedRegex {
    let mut matched = BTreeSet::new();
    topics.each_name(&mut |name| {
        if regex.is_match(name) {
            matched.insert(Str::from(name));
        }
    });
    ResolvedRegex { topics: matched, version: 0, timestamp_ms: now.unix_ms }
}

/// A hash over the topics that exist: their names, identities and numbers of partitions.
pub(crate) fn metadata_hash(names: &BTreeSet<Str>, topics: &dyn TopicDirectory) -> i64 {
    // FNV-1a: the hash is on record, so it must be the same in every process and every release.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    let mut any = false;
    for name in names {
        let Some(shape) = topics.shape(name) else { continue };
        any = true;
        eat(name.as_bytes());
        eat(&shape.id.get().as_u128().to_be_bytes());
        eat(&shape.partition_count.to_be_bytes());
    }
    // Kafka's hash of no topics is 0, too.
    if any { hash as i64 } else { 0 }
}

impl ConsumerGroup {
    /// The expressions that match other topics now than when they were last looked at.
    pub(crate) fn changed_regexes(&self, topics: &dyn TopicDirectory, now: Now) -> Vec<(Str, ResolvedRegex)> {
        let mut changed = Vec::new();
        for (pattern, before) in &self.regexes {
            // It was compiled when a member brought it, or by another release, which is to blame then.
            let Ok(regex) = compile(pattern) else { continue };
            let resolved = resolve(&regex, topics, now);
            if resolved.topics != before.topics {
                changed.push((pattern.clone(), resolved));
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_whole_names_only() {
        let regex = compile("a|b.*").unwrap();
        assert!(
            regex.is_match("a") && regex.is_match("bc") && !regex.is_match("ab") && !regex.is_match("xa")
        );
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        for bad in ["(", "a{99999}", "(?=x)", r"(a)\1"] {
            assert_eq!(compile(bad).unwrap_err().error_code, ErrorCode::INVALID_REGULAR_EXPRESSION, "{bad}");
        }
    }
}
