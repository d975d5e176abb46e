//! What is wrong with a command line, in one line as any other failure.
//!
//! Clap says it in paragraphs: what is wrong, a tip, the usage, where to find help. This file takes the first two and turns the
//! others into the command whose help to read. Help and version, which clap treats as errors, are printed as they are.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::failure::Failure;

/// Tells what clap made of the command line, and gives the exit code.
pub(crate) fn tell(error: &clap::Error) -> ExitCode {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if is_help {
        error.exit();
    }
    Failure::usage(one_line(&error.render().to_string())).report()
}

fn one_line(text: &str) -> String {
    let mut said = Vec::new();
    let mut help = "see --help".to_owned();
    for paragraph in text.split("\n\n") {
        let line = paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        if let Some(usage) = line.strip_prefix("Usage: ") {
            let is_word = |word: &&str| !word.starts_with(['[', '<', '-']);
            let command: Vec<&str> = usage.split(' ').take_while(is_word).collect();
            help = format!("see {} --help", command.join(" "));
        } else if !line.starts_with("For more information") && !line.is_empty() {
            said.push(line.strip_prefix("error: ").unwrap_or(&line).to_owned());
        }
    }
    said.push(help);
    said.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn told(arguments: &[&str]) -> String {
        let arguments = [&["ottla"], arguments].concat();
        one_line(&crate::arguments::Arguments::try_parse_from(arguments).unwrap_err().render().to_string())
    }

    #[test]
    fn what_is_wrong_is_told_in_one_line_with_the_command_whose_help_to_read() {
        assert_eq!(
            told(&["bench", "produce", "a", "b"]),
            "unexpected argument 'b' found; see ottla bench produce --help"
        );
        assert_eq!(
            told(&["topic", "create"]),
            "the following required arguments were not provided: <TOPIC>...; see ottla topic create --help"
        );
        let codec = told(&["bench", "produce", "--compression", "rar"]);
        assert!(
            codec.contains("[possible values: none, gzip, snappy, lz4, zstd]") && !codec.contains('\n'),
            "{codec}"
        );
    }
}
