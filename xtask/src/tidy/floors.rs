//! The floors: which crate stands on which, and that none reaches sideways or up.
//!
//! Read from `cargo metadata`, so a dependency that nobody wrote by hand counts as well. A test may reach up: the client
//! is tested against the broker, which stands above it.

use crate::failure::Failure;
use crate::process::capture;
use crate::workspace::Workspace;
use serde_json::Value;

/// Folder and floor of every crate. A new crate is a decision, so it is not found by itself.
const FLOORS: &[(&str, u8)] = &[
    ("protocol", 0),
    ("assignors", 0),
    ("log", 1),
    ("cluster", 1),
    ("client", 1),
    ("broker", 2),
    ("load", 2),
    ("cli", 3),
    ("chaos", 3),
    ("benches", 3),
    ("examples", 3),
    ("interop", 3),
    ("xtask", 3),
];

fn floor_of(package: &str) -> Option<u8> {
    let folder = package.strip_prefix("ottla-")?;
    FLOORS.iter().find(|(name, _)| *name == folder).map(|(_, floor)| *floor)
}

/// What stands where it must not.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let text =
        capture(workspace.cargo().args(["metadata", "--no-deps", "--format-version", "1", "--quiet"]))?;
    let metadata: Value =
        serde_json::from_str(&text).map_err(|error| Failure::Claim(format!("cargo metadata: {error}")))?;
    Ok(violations(&metadata))
}

fn violations(metadata: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(floor) = floor_of(name) else {
            wrong.push(format!("crate {name} has no floor in xtask/src/tidy/floors.rs"));
            continue;
        };
        let folder = name.trim_start_matches("ottla-");
        if !package["manifest_path"].as_str().unwrap_or_default().ends_with(&format!("/{folder}/Cargo.toml"))
        {
            wrong.push(format!("crate {name} does not live in the folder {folder}"));
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            let test_only = dependency["kind"].as_str() == Some("dev");
            if let Some(below) = floor_of(on)
                && below >= floor
                && !test_only
            {
                wrong.push(format!("{name} (floor {floor}) depends on {on} (floor {below})"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, dependency: &str, kind: Value) -> Value {
        let folder = name.trim_start_matches("ottla-");
        json!({"packages": [{
            "name": name, "manifest_path": format!("/any/{folder}/Cargo.toml"),
            "dependencies": [{"name": dependency, "kind": kind}],
        }]})
    }

    #[test]
    fn a_lower_floor_is_allowed() {
        assert!(violations(&package("ottla-broker", "ottla-log", Value::Null)).is_empty());
    }

    #[test]
    fn sideways_and_up_are_not() {
        assert_eq!(violations(&package("ottla-log", "ottla-cluster", Value::Null)).len(), 1);
        assert_eq!(violations(&package("ottla-client", "ottla-broker", Value::Null)).len(), 1);
    }

    #[test]
    fn a_test_may_reach_up() {
        assert!(violations(&package("ottla-client", "ottla-broker", json!("dev"))).is_empty());
    }

    #[test]
    fn an_unknown_crate_needs_a_floor() {
        assert_eq!(violations(&package("ottla-utils", "serde", Value::Null)).len(), 1);
    }
}
