//! Running other programs: to their end, with their output shown or captured, or in the background until dropped.
//!
//! Never a shell: every argument is passed as it is. Standard input is closed, because CI has none; one function says so.

use crate::failure::Failure;
use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How much of a failed program's output is worth repeating.
const OUTPUT_TAIL_BYTES: usize = 4000;

/// The program and its arguments on one line.
pub(crate) fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

/// Runs a program to its end and shows what it prints.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    run_on_terminal(command.stdin(Stdio::null()))
}

/// Runs a program to its end on our own three streams, for tools that people speak with.
pub(crate) fn run_on_terminal(command: &mut Command) -> Result<(), Failure> {
    let text = line(command);
    let status = command.status().map_err(|source| Failure::Start { command: text.clone(), source })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Ended { command: text, status: status.to_string(), output: String::new() })
}

/// What a program printed, and whether it ended well.
pub(crate) struct Printed {
    /// Standard output and standard error.
    pub(crate) text: String,
    /// Whether the exit status was zero.
    pub(crate) success: bool,
    status: String,
    command: String,
}

impl Printed {
    /// The text, or a failure that repeats the end of it.
    pub(crate) fn expect_success(self) -> Result<String, Failure> {
        if self.success {
            return Ok(self.text);
        }
        let from = self.text.len().saturating_sub(OUTPUT_TAIL_BYTES);
        let from = (from..self.text.len()).find(|at| self.text.is_char_boundary(*at)).unwrap_or(0);
        let output = self.text[from..].to_owned();
        Err(Failure::Ended { command: self.command, status: self.status, output })
    }
}

/// Runs a program to its end and captures what it prints on both streams; `input` becomes its standard input.
pub(crate) fn capture_with_input(command: &mut Command, input: &str) -> Result<Printed, Failure> {
    let text = line(command);
    let start = |source| Failure::Start { command: text.clone(), source };
    let mut child = command
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_owned();
        // A program that ends early closes the pipe; its exit status tells why, not this write.
        std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().map_err(start)?;
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(Printed {
        text: printed,
        success: output.status.success(),
        status: output.status.to_string(),
        command: text,
    })
}

/// Runs a program to its end and returns what it printed; an error exit is a failure.
pub(crate) fn capture(command: &mut Command) -> Result<String, Failure> {
    capture_with_input(command, "")?.expect_success()
}

/// Starts a program with both its streams added to the end of `log`.
fn spawn_into(command: &mut Command, log: &Path) -> Result<Child, Failure> {
    let file = File::options().append(true).open(log).map_err(Failure::file(log))?;
    let errors = file.try_clone().map_err(Failure::file(log))?;
    let text = line(command);
    let start = |source| Failure::Start { command: text, source };
    command.stdout(file).stderr(errors).spawn().map_err(start)
}

/// A program in the background. Dropping it kills it.
pub(crate) struct Background {
    child: Child,
    command: String,
    again: Command,
    log: PathBuf,
}

impl Background {
    /// Starts the program with both its streams going to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self, Failure> {
        let text = line(command);
        let mut again = Command::new(command.get_program());
        again.args(command.get_args()).stdin(Stdio::null());
        File::create(log).map_err(Failure::file(log))?;
        let child = spawn_into(command.stdin(Stdio::null()), log)?;
        Ok(Self { child, command: text, again, log: log.to_owned() })
    }

    /// SIGKILL, and the same command line once more; its output is added to what is there.
    pub(crate) fn kill_and_restart(&mut self) -> Result<(), Failure> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map_err(|source| Failure::Start { command: self.command.clone(), source })?;
        self.child = spawn_into(&mut self.again, &self.log)?;
        Ok(())
    }

    /// Waits until something accepts connections there; fails if the program ends first.
    pub(crate) fn wait_until_listening(
        &mut self,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || started.elapsed() > limit {
                let status = ended.map_or("no listener in time".to_owned(), |status| status.to_string());
                let output = std::fs::read_to_string(&self.log).unwrap_or_default();
                return Err(Failure::Ended { command: self.command.clone(), status, output });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Asks the program to end (SIGTERM) and waits for it.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        capture(Command::new("kill").arg("-TERM").arg(self.child.id().to_string()))?;
        let status =
            self.child.wait().map_err(|source| Failure::Start { command: self.command.clone(), source })?;
        // 143 is how a JVM reports the SIGTERM that it obeyed.
        if status.success() || status.code() == Some(143) {
            return Ok(());
        }
        let output = std::fs::read_to_string(&self.log).unwrap_or_default();
        Err(Failure::Ended { command: self.command.clone(), status: status.to_string(), output })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Already ended is fine: then there is nothing left to kill or to wait for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port on loopback that nobody listens on at this moment.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .map_err(|source| Failure::Start { command: "bind 127.0.0.1:0".to_owned(), source })?;
    let address = listener
        .local_addr()
        .map_err(|source| Failure::Start { command: "read the bound port".to_owned(), source })?;
    Ok(address.port())
}
