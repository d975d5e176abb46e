//! What every source file must have and must not have: length, header paragraph, honest names, unsafe only where earned.
//!
//! Line-based on purpose: it reads text, it does not parse Rust. A rule that makes the code worse gets an exception in
//! one of the lists below, with its reason, and a decision record if it is a matter of principle.

use crate::failure::Failure;
use crate::workspace::Workspace;

/// A file is one concept; past this it is probably two.
const LINES_MAX: usize = 500;

/// Longer files, each with its own limit and its reason.
const LONGER: &[(&str, usize, &str)] = &[];

/// The only files that may say `unsafe`.
const UNSAFE: &[(&str, &str)] = &[
    ("log/src/sealed_index.rs", "maps sealed index files, read-only"),
    ("chaos/src/power.rs", "the ioctl that cuts the power of an ext4, for the tests of exactly that"),
    (
        "protocol/tests/allocations.rs",
        "a counting allocator, for the test that a claimed length costs nothing",
    ),
    ("benches/src/bin/counting_broker.rs", "a counting allocator, for what a request allocates"),
];

/// A thing with one of these names has no home yet.
const HOMELESS: [&str; 6] = ["utils", "util", "helpers", "common", "misc", "manager"];

/// Text that must not stay in a source file.
const LEFTOVERS: [&str; 5] = ["todo!(", "dbg!(", "unimplemented!(", "FIXME", "TODO"];

/// Where the machine shows through. Put together here so that this file does not find itself.
const MACHINE: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Everything that is wrong in the files of the workspace.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    for file in workspace.files()? {
        if file.ends_with(".rs") {
            let text = workspace.read(&file)?;
            wrong.extend(source(&file, &text));
        }
        if is_text(&file) {
            let text = workspace.read(&file)?;
            for place in MACHINE.iter().filter(|place| text.contains(**place)) {
                wrong.push(format!("{file} names {place}, which exists on one machine only"));
            }
        }
    }
    for (file, ..) in LONGER {
        if !workspace.path(file).exists() {
            wrong.push(format!("{file} has a longer limit but does not exist"));
        }
    }
    Ok(wrong)
}

fn is_text(file: &str) -> bool {
    let extension = file.rsplit('.').next().unwrap_or_default();
    ["rs", "md", "toml", "py", "java", "xml", "yml", "txt", "properties"].contains(&extension)
        || file.starts_with(".ci/")
}

fn source(file: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let limit = LONGER.iter().find(|(name, ..)| *name == file).map_or(LINES_MAX, |(_, limit, _)| *limit);
    let count = text.lines().count();
    if count > limit {
        wrong.push(format!("{file} has {count} lines; the limit is {limit}"));
    }
    if !has_header(text) {
        wrong.push(format!("{file} does not start with a `//!` paragraph that says what it is"));
    }
    let stem = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".rs");
    if HOMELESS.contains(&stem) {
        wrong.push(format!("{file}: a thing without a noun has no home yet"));
    }
    if file == "xtask/src/tidy/sources.rs" {
        return wrong; // The lists above would find themselves.
    }
    for (number, line) in text.lines().enumerate() {
        let at = number + 1;
        for leftover in LEFTOVERS.iter().filter(|leftover| line.contains(**leftover)) {
            wrong.push(format!("{file}:{at} still says {leftover}"));
        }
        if says_unsafe(line) && !UNSAFE.iter().any(|(name, _)| *name == file) {
            wrong.push(format!("{file}:{at} is unsafe, and the file has not earned it"));
        } else if says_unsafe(line) && !explained(text, number) {
            wrong.push(format!("{file}:{at} is unsafe without a `SAFETY:` comment right above"));
        }
    }
    wrong
}

/// Outer attributes of the crate may stand before it.
fn has_header(text: &str) -> bool {
    text.lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with("#![") && !line.starts_with("// "))
        .is_some_and(|line| line.starts_with("//!"))
}

fn says_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|word| code.contains(word))
}

fn explained(text: &str, number: usize) -> bool {
    let before: Vec<&str> = text.lines().take(number).collect();
    before.iter().rev().take(8).any(|line| line.contains("SAFETY:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_file_with_a_header_is_tidy() {
        assert!(source("log/src/segment.rs", "//! One segment.\n\nfn roll() {}\n").is_empty());
    }

    #[test]
    fn a_file_without_a_header_is_not() {
        assert_eq!(source("log/src/segment.rs", "fn roll() {}\n").len(), 1);
    }

    #[test]
    fn a_long_file_is_not() {
        let text = format!("//! One segment.\n{}", "\n".repeat(LINES_MAX));
        assert_eq!(source("log/src/segment.rs", &text).len(), 1);
    }

    #[test]
    fn a_homeless_file_is_not() {
        assert_eq!(source("log/src/utils.rs", "//! Things.\n").len(), 1);
    }

    #[test]
    fn leftovers_and_unearned_unsafe_are_found() {
        let text = "//! One segment.\nfn roll() { todo!() }\nfn map() { unsafe { read() } }\n";
        assert_eq!(source("log/src/segment.rs", text).len(), 2);
    }

    #[test]
    fn unsafe_in_a_comment_is_only_a_word() {
        assert!(source("log/src/segment.rs", "//! One.\n// never unsafe { here }\n").is_empty());
    }
}
