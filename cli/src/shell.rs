//! `ottla completions` and `ottla man`: the command line described to shells and to `man`.

use std::io::Write;

use clap::CommandFactory;

use crate::arguments::{Arguments, CompletionsArguments, ManArguments};
use crate::failure::Failure;

/// Prints a completion script.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "ottla", &mut script);
    print(&script)
}

/// Prints the manual page, or writes a page per command.
pub(crate) fn man(arguments: &ManArguments) -> Result<(), Failure> {
    if let Some(dir) = &arguments.dir {
        std::fs::create_dir_all(dir).map_err(|error| Failure::io(dir.display(), &error))?;
        return clap_mangen::generate_to(Arguments::command(), dir)
            .map_err(|error| Failure::io(dir.display(), &error));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Arguments::command())
        .render(&mut page)
        .map_err(|error| Failure::io("the manual page", &error))?;
    print(&page)
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::io("standard output", &error))
}
