//! Where the broker's time goes: for each load its share of kernel, libc and ours, flame graphs, system calls, switches and
//! faults for each request, where its threads wait, and what a request allocates.
//!
//! Only ottla is profiled, on whatever is measured elsewhere; nothing here is compared with a rival, and no rate is a
//! result: samples, counters and switches are taken in windows of their own because each disturbs in its own way.

mod allocations;
mod counts;
mod load;
mod page;
mod perf;
mod stacks;
mod waits;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inferno::flamegraph::color::{MultiPalette, Palette};
use inferno::flamegraph::{self, Options};
use serde::Serialize;

use self::counts::{KernelCounts, ProcCounts};
pub(crate) use self::load::Load;
use self::load::{Asked, Running};
use self::perf::Perf;
use self::stacks::{Event, Owner, ranked};
use self::waits::Waits;
use crate::error::{BenchError, Doing, Result};
use crate::machine::Machine;
use crate::system::{Broker, Launcher, Meanwhile, Places, System};
use crate::warm::touch_page_cache;
use crate::watch::Watch;

/// A load settles before its window …
const WARM_UP: Duration = Duration::from_millis(700);
/// … and goes on for a moment after it.
const AFTER: Duration = Duration::from_millis(500);
/// Switches come with their stacks, which is much to write.
const SWITCHES_WINDOW: Duration = Duration::from_secs(3);
const SAMPLES_PER_SECOND: u32 = 2_999;
/// The most that a window writes on this machine, more or less.
const MADE_PRESENT_BYTES: u64 = 3 << 30;
/// Symbols in the report.
const TOP: usize = 10;

/// What to profile and how.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) loads: &'a [Load],
    /// How long each load is watched, for each kind of window.
    pub(crate) window: Duration,
    /// The broker that counts its allocations.
    pub(crate) counting_broker: PathBuf,
    pub(crate) results: &'a Path,
    /// What the result files begin with, such as `session-3`.
    pub(crate) name: &'a str,
}

/// All that is kept.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// Why there are no samples, if there are none.
    no_perf: Option<String>,
    profiles: Vec<Profile>,
    allocations: Vec<allocations::Allocated>,
}

/// One load.
#[derive(Debug, Serialize)]
struct Profile {
    load: Load,
    window_s: f64,
    asked: Asked,
    server_cpu_s: f64,
    foreign_share: f64,
    proc: ProcCounts,
    kernel: Option<KernelCounts>,
    samples: Option<Samples>,
    waits: Option<Waits>,
}

/// Where the processor time went, as shares of all samples.
#[derive(Debug, Serialize)]
struct Samples {
    count: usize,
    by_owner: Vec<(Owner, f64)>,
    /// The kernel's part by what it was asked for.
    errands: Vec<(String, f64)>,
    /// The kernel's functions.
    kernel: Vec<(String, f64)>,
    /// Functions of the binary and its libraries, outside the kernel.
    user: Vec<(String, f64)>,
}

/// Profiles and writes the report and its pictures.
pub(crate) fn run(machine: &Machine, places: &Places, plan: &Plan<'_>) -> Result<()> {
    fs::create_dir_all(plan.results).doing(|| format!("create {}", plan.results.display()))?;
    let no_perf = perf::availability();
    if let Some(reason) = &no_perf {
        eprintln!("{reason}");
    }
    let allocations = allocations::measure(&plan.counting_broker, &places.work_dir)?;
    let mut profiles = Vec::new();
    for load in plan.loads {
        touch_page_cache(&places.work_dir, MADE_PRESENT_BYTES)?;
        let profile = profile(places, *load, plan, no_perf.is_none())?;
        eprintln!("{}: {}", load.name(), page::headline(&profile));
        profiles.push(profile);
    }
    let report = Report { machine: machine.clone(), no_perf, profiles, allocations };
    page::write(&report, plan.results, plan.name)
}

/// Prints as JSON what requests make a broker allocate that counts.
pub(crate) fn print_allocations(counting_broker: &Path) -> Result<()> {
    let temporary = tempfile::tempdir().doing(|| "create a temporary directory".to_owned())?;
    let counted = allocations::measure(counting_broker, temporary.path())?;
    let json = serde_json::to_writer(std::io::stdout(), &counted);
    json.map_err(|error| BenchError::Void(format!("results as JSON: {error}")))
}

fn profile(places: &Places, load: Load, plan: &Plan<'_>, perf: bool) -> Result<Profile> {
    let recording = places.work_dir.join("perf.out");
    let window = load.window(plan.window);
    let counted = Window::open(places, load, window, |pid| {
        if perf { Perf::counting(pid, &recording).map(Some) } else { Ok(None) }
    });
    let mut profile = counted?.count()?;
    if !perf {
        return Ok(profile);
    }
    let sampled = Window::open(places, load, window, |pid| {
        Perf::sampling(pid, SAMPLES_PER_SECOND, &recording).map(Some)
    });
    sampled?.record()?;
    let script = perf::script(&recording)?;
    let events = stacks::parse(&script);
    let picture = |kind: &str| plan.results.join(format!("{}-{kind}-{}.svg", plan.name, load.name()));
    let folded = ranked(events.iter().map(|event| (event.folded(), 1.0)));
    draw(&folded, 1.0, "samples", load, "on a processor", &picture("flame"))?;
    profile.samples = Some(Samples::of(&events));
    if load.mostly_waits() {
        let mut threads = Vec::new();
        let waiting = Window::open(places, load, window.min(SWITCHES_WINDOW), |pid| {
            threads = counts::threads(pid)?;
            Perf::switches(&threads, &recording).map(Some)
        });
        waiting?.record()?;
        let script = perf::script(&recording)?;
        let waits = Waits::of(&stacks::parse(&script), &threads);
        draw(&waits.folded, 1e6, "µs", load, "waiting", &picture("off-cpu"))?;
        profile.waits = Some(waits);
    }
    fs::remove_file(&recording).doing(|| format!("remove {}", recording.display()))?;
    Ok(profile)
}

/// A fresh broker under a load that has settled, and a perf that is ready. A fresh one because deleting what an earlier
/// window wrote would be in the figures of the next.
struct Window {
    broker: Broker,
    load: Load,
    length: Duration,
    running: Running,
    perf: Option<Perf>,
}

impl Window {
    fn open(
        places: &Places,
        load: Load,
        length: Duration,
        perf: impl FnOnce(u32) -> Result<Option<Perf>>,
    ) -> Result<Self> {
        let name = format!("profile-{}", load.name());
        let broker = Launcher::prepare(System::Ottla, places, &name, Meanwhile::Running)?.start()?;
        let perf = perf(broker.process.pid())?;
        let running = Running::start(&broker, load, "profiled", WARM_UP + length + AFTER)?;
        std::thread::sleep(WARM_UP);
        Ok(Self { broker, load, length, running, perf })
    }

    /// Counts everything and samples nothing.
    fn count(mut self) -> Result<Profile> {
        let pid = self.broker.process.pid();
        self.perf.as_mut().map_or(Ok(()), Perf::begin)?;
        let (watch, proc) = (Watch::start(&self.broker.process)?, ProcCounts::of(pid)?);
        let asked = self.running.asked();
        std::thread::sleep(self.length);
        let (asked, proc) = (self.running.asked().since(asked), ProcCounts::of(pid)?.since(proc));
        let observed = watch.stop(&self.broker.process)?;
        let kernel = self.perf.take().map(|perf| KernelCounts::read(&perf.end()?)).transpose()?;
        let load = self.load;
        self.close()?;
        Ok(Profile {
            load,
            window_s: observed.elapsed_s,
            asked,
            server_cpu_s: observed.server_cpu_s,
            foreign_share: observed.foreign_share,
            proc,
            kernel,
            samples: None,
            waits: None,
        })
    }

    /// Lets perf record.
    fn record(mut self) -> Result<()> {
        self.perf.as_mut().map_or(Ok(()), Perf::begin)?;
        std::thread::sleep(self.length);
        self.perf.take().map_or(Ok(()), |perf| perf.end().map(drop))?;
        self.close()
    }

    fn close(self) -> Result<()> {
        self.running.join()?;
        self.broker.discard()
    }
}

impl Samples {
    fn of(events: &[Event<'_>]) -> Self {
        let each = 1.0 / events.len().max(1) as f64;
        let top = |weighed: &mut dyn Iterator<Item = &str>| {
            let ranked = ranked(weighed.map(|name| (name, each)));
            ranked.into_iter().take(TOP).map(|(name, share)| (name.to_owned(), share)).collect()
        };
        let leaf = |event: &&Event<'_>| !event.frames.is_empty();
        let in_kernel = |event: &&Event<'_>| event.owner() == Owner::Kernel;
        let in_program = |event: &&Event<'_>| !matches!(event.owner(), Owner::Kernel | Owner::Libc);
        let share =
            |owner: &Owner| events.iter().filter(|event| event.owner() == *owner).count() as f64 * each;
        let symbol = |event: &'_ Event<'_>| event.frames[0].symbol.to_owned();
        let kernel: Vec<String> = events.iter().filter(leaf).filter(in_kernel).map(symbol).collect();
        let user: Vec<String> = events.iter().filter(leaf).filter(in_program).map(symbol).collect();
        Self {
            count: events.len(),
            by_owner: Owner::ALL.iter().map(|owner| (*owner, share(owner))).collect(),
            errands: top(&mut events.iter().filter(in_kernel).map(Event::kernel_errand)),
            kernel: top(&mut kernel.iter().map(String::as_str)),
            user: top(&mut user.iter().map(String::as_str)),
        }
    }
}

/// Draws stacks and their weights, each `unit` of which is one of what the picture counts.
fn draw(
    folded: &[(String, f64)],
    unit: f64,
    count_name: &str,
    load: Load,
    doing: &str,
    path: &Path,
) -> Result<()> {
    let mut options = Options::default();
    options.title = format!("ottla {doing} — {}", load.title().replace('`', ""));
    options.subtitle = Some("green: ottla; orange: kernel; yellow: other crates; red: libc".to_owned());
    options.colors = Palette::Multi(MultiPalette::Java);
    options.count_name = count_name.to_owned();
    options.deterministic = true;
    // What is narrower than this cannot be seen, and most of the file would be that.
    options.min_width = 0.2;
    let lines: Vec<String> =
        folded.iter().map(|(stack, weight)| format!("{stack} {:.0}", weight * unit)).collect();
    let mut picture = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut picture)
        .doing(|| format!("draw {}", path.display()))?;
    fs::write(path, picture).doing(|| format!("write {}", path.display()))
}
