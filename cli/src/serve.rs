//! `ottla serve`: run a broker until a signal ends it.
//!
//! Settings come from a file, the environment and the command line, the later winning; without any it serves on port
//! 9092 with its data in `./ottla-data`. It prints one line when it can be connected to. The first SIGINT or SIGTERM
//! stops it cleanly, a second one at once.

use std::path::Path;

use ottla_broker::{Broker, LogLevels};
use ottla_cluster::config::BrokerConfig;
use ottla_cluster::config::settings::{self, Settings};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arguments::ServeArguments;
use crate::failure::Failure;
use crate::report::print_text;

const DATA_DEFAULT: &str = "./ottla-data";

/// Runs the command.
pub(crate) fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    let log_levels = start_logging(&arguments.log)?;
    let config = configuration(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("ottla")
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    runtime.block_on(serve(config, log_levels))
}

async fn serve(config: BrokerConfig, log_levels: LogLevels) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::io("signals", &error))?;
    let dirs = config.log_dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(",");
    let broker = Broker::start(config).await.map_err(|error| Failure::new(error.to_string()))?;
    broker.set_log_levels(log_levels);
    let ready =
        format!("ottla {} is ready on {}, data in {dirs}\n", env!("CARGO_PKG_VERSION"), broker.address());
    // Nobody may be reading any more; that is no reason to stop serving.
    let _ = print_text(&ready);
    signals.next().await;
    eprintln!("ottla: stopping; once more to stop at once");
    tokio::select! {
        stopped = broker.shutdown() => stopped.map_err(|error| Failure::new(error.to_string())),
        () = signals.next() => Err(Failure::new("stopped at once: the next start recovers the logs")),
    }
}

/// Ctrl-C and a polite kill.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// File, environment, command line; what was set without an effect is told.
fn configuration(arguments: &ServeArguments) -> Result<BrokerConfig, Failure> {
    let mut settings = Settings::default();
    let wrong = |error: settings::SettingsError| Failure::usage(error.to_string());
    if let Some(file) = &arguments.config {
        let text = std::fs::read_to_string(file).map_err(|error| Failure::io(file.display(), &error))?;
        settings.add_file(&file.display().to_string(), &text).map_err(wrong)?;
    }
    // These two are the command line's own, not configs.
    let own = ["OTTLA_BOOTSTRAP", "OTTLA_LOG"];
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let variables: Vec<_> = variables.filter(|(name, _)| !own.contains(&name.as_str())).collect();
    settings.add_environment(variables).map_err(wrong)?;
    if let Some(port) = arguments.port {
        settings.add_argument(&format!("listeners=PLAINTEXT://:{port}")).map_err(wrong)?;
    }
    let names_data = settings.get("log.dirs").is_some() || settings.get("log.dir").is_some();
    let data = arguments.data.as_deref().or((!names_data).then_some(Path::new(DATA_DEFAULT)));
    if let Some(data) = data {
        settings.add_argument(&format!("log.dirs={}", data.display())).map_err(wrong)?;
    }
    for argument in &arguments.set {
        settings.add_argument(argument).map_err(wrong)?;
    }
    let (config, notes) = BrokerConfig::load(&settings).map_err(|error| Failure::usage(error.to_string()))?;
    for note in settings::summarise(&notes) {
        eprintln!("ottla: {note}");
    }
    Ok(config)
}

/// Starts the log, whose levels an admin client may change while the broker runs.
fn start_logging(text: &str) -> Result<LogLevels, Failure> {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;
    let filter =
        EnvFilter::try_new(text).map_err(|error| Failure::usage(format!("--log {text}: {error}")))?;
    let root = filter.max_level_hint().map_or_else(|| "info".to_owned(), |level| level.to_string());
    let logging = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter_reloading();
    let reload = logging.reload_handle();
    logging.try_init().map_err(|error| Failure::new(format!("cannot start logging: {error}")))?;
    let text = text.to_owned();
    Ok(LogLevels::new(&root, move |more| {
        // Later directives go before earlier ones for the same part.
        let filter = EnvFilter::new(if more.is_empty() { text.clone() } else { format!("{text},{more}") });
        if let Err(error) = reload.reload(filter) {
            eprintln!("ottla: the log keeps its levels: {error}");
        }
    }))
}
