//! Recorded events as `perf script` prints them, with their stacks: who owns a frame (the kernel, libc, ottla, …) and which
//! system call it serves. Nothing is measured here.

use std::collections::BTreeMap;

use serde::Serialize;

/// One event with the stack at which it happened.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) seconds: f64,
    /// The event's name and, after it, its fields.
    pub(crate) text: &'a str,
    /// Innermost first.
    pub(crate) frames: Vec<Frame<'a>>,
}

/// One function on a stack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) symbol: &'a str,
    pub(crate) owner: Owner,
}

/// Whose code a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Owner {
    Kernel,
    Libc,
    /// Our crates.
    Ottla,
    /// tokio and mio.
    Tokio,
    /// mimalloc.
    Allocator,
    /// Rust's library and all other crates.
    Other,
}

impl Owner {
    /// All of them, in the order of the report.
    pub(crate) const ALL: [Owner; 6] =
        [Owner::Kernel, Owner::Libc, Owner::Ottla, Owner::Tokio, Owner::Allocator, Owner::Other];

    /// As it is called in the report.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Owner::Kernel => "kernel",
            Owner::Libc => "libc",
            Owner::Ottla => "ottla",
            Owner::Tokio => "tokio",
            Owner::Allocator => "allocator",
            Owner::Other => "other crates, std",
        }
    }

    fn of(symbol: &str, object: &str) -> Self {
        if object.starts_with("[kernel") || object.starts_with("[guest.kernel") || object.ends_with(".ko") {
            return Owner::Kernel;
        }
        if ["libc.so", "libm.so", "ld-linux", "libc-"].iter().any(|name| object.contains(name)) {
            return Owner::Libc;
        }
        if symbol.starts_with("mi_") || symbol.starts_with("_mi_") {
            return Owner::Allocator;
        }
        match crate_of(symbol) {
            name if name.starts_with("ottla") => Owner::Ottla,
            "tokio" | "tokio_util" | "mio" => Owner::Tokio,
            _ => Owner::Other,
        }
    }
}

/// The crate in a demangled name: `<&mut tokio::net::TcpStream as …>::poll` is tokio's.
fn crate_of(symbol: &str) -> &str {
    let mut rest = symbol;
    loop {
        let trimmed = rest.trim_start_matches(['<', '&', '(', '[', '*']);
        let trimmed =
            ["dyn ", "mut ", "const "].iter().find_map(|word| trimmed.strip_prefix(word)).unwrap_or(trimmed);
        if trimmed.len() == rest.len() {
            break;
        }
        rest = trimmed;
    }
    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
    let name = &rest[..end];
    // `drop_in_place::<ottla_broker::…>` and the like are the work of what they are made for.
    let made_for = rest.split_once("drop_in_place").and_then(|(_, of)| of.split_once('<')).map(|(_, of)| of);
    match made_for {
        Some(of) if name == "core" => crate_of(of),
        _ => name,
    }
}

/// Reads what [`super::perf::script`] gave.
pub(crate) fn parse(script: &str) -> Vec<Event<'_>> {
    script.split("\n\n").filter_map(event).collect()
}

fn event(paragraph: &str) -> Option<Event<'_>> {
    let mut lines = paragraph.lines().skip_while(|line| line.trim().is_empty());
    let head = lines.next()?;
    // "name of the thread  6199 24883.309801: cpu-clock: …"; the name may hold spaces.
    let (before, text) = head.split_once(": ")?;
    let seconds = before.rsplit(' ').next()?.parse().ok()?;
    let frames = lines.filter_map(frame).collect();
    Some(Event { seconds, text: text.trim(), frames })
}

fn frame(line: &str) -> Option<Frame<'_>> {
    let (_, rest) = line.trim_start().split_once(' ')?;
    let (symbol, object) = rest.trim_end_matches(')').rsplit_once(" (")?;
    Some(Frame { symbol, owner: Owner::of(symbol, object) })
}

impl Event<'_> {
    /// Whose code was running.
    pub(crate) fn owner(&self) -> Owner {
        self.frames.first().map_or(Owner::Other, |frame| frame.owner)
    }

    /// What the kernel was doing for the process: a system call by its name, a page fault, an interrupt.
    pub(crate) fn kernel_errand(&self) -> &str {
        let kernel = self.frames.iter().take_while(|frame| frame.owner == Owner::Kernel);
        for frame in kernel {
            for prefix in ["__x64_sys_", "__arm64_sys_", "__do_sys_", "ksys_", "__sys_"] {
                if let Some(name) = frame.symbol.strip_prefix(prefix) {
                    return name;
                }
            }
            match frame.symbol {
                "asm_exc_page_fault" => return "page fault",
                "exit_to_user_mode_loop" => return "return to user",
                "ret_from_fork" | "ret_from_fork_asm" => return "new thread",
                name if name.starts_with("asm_sysvec_") || name.starts_with("asm_common_interrupt") => {
                    return "interrupt";
                }
                _ => {}
            }
        }
        let wrapper = self.frames.iter().find(|frame| frame.owner != Owner::Kernel);
        wrapper.filter(|frame| frame.owner == Owner::Libc).map_or("entry and exit of calls", |frame| {
            frame.symbol.trim_start_matches("__libc_").trim_start_matches("__GI_").trim_start_matches('_')
        })
    }

    /// The stack in one line, outermost frame first, as flame graphs take it. What every thread begins with is left out.
    pub(crate) fn folded(&self) -> String {
        let is_beginning = |frame: &Frame<'_>| frame.symbol.ends_with("multi_thread::worker::run");
        let inner = self.frames.iter().position(is_beginning).unwrap_or(self.frames.len());
        let names = self.frames[..inner].iter().rev().map(|frame| {
            // The palette knows these endings: the kernel's and ours get colours of their own.
            let ending = match frame.owner {
                Owner::Kernel => "_[k]",
                Owner::Ottla => "_[j]",
                _ => "",
            };
            format!("{}{ending}", frame.symbol.replace(';', ":"))
        });
        names.collect::<Vec<_>>().join(";")
    }

    /// The innermost function of ours, or failing that of tokio.
    pub(crate) fn on_behalf_of(&self) -> &str {
        let innermost = |owner| self.frames.iter().find(|frame| frame.owner == owner);
        innermost(Owner::Ottla).or(innermost(Owner::Tokio)).map_or("?", |frame| frame.symbol)
    }
}

/// How often each key comes, most frequent first.
pub(crate) fn ranked<K: Ord>(weighed: impl IntoIterator<Item = (K, f64)>) -> Vec<(K, f64)> {
    let mut sums: BTreeMap<K, f64> = BTreeMap::new();
    for (key, weight) in weighed {
        *sums.entry(key).or_default() += weight;
    }
    let mut ranked: Vec<(K, f64)> = sums.into_iter().collect();
    ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
ottla  6199 24883.309801: cpu-clock: 
\tffffffff8206dbcb tcp_sendmsg ([kernel.kallsyms])
\tffffffff81e80ec9 __sys_sendmsg ([kernel.kallsyms])
\t          10ac4d __libc_sendmsg (/usr/lib/libc.so.6)
\t          90fe4a ottla_broker::rt::net::TcpStream::poll_write (/usr/bin/ottla)
\t          e9b4bb tokio::runtime::scheduler::multi_thread::worker::run (/usr/bin/ottla)
\t           891f4 start_thread (/usr/lib/libc.so.6)

a b  7 1.5: cpu-clock: 
\t          9c334d <&mut tokio::net::TcpStream as core::fmt::Debug>::fmt (/usr/bin/ottla)

";

    #[test]
    fn a_script_is_read_with_its_stacks() {
        let events = parse(SCRIPT);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].seconds, 24883.309801);
        assert_eq!(events[0].owner(), Owner::Kernel);
        assert_eq!(events[0].kernel_errand(), "sendmsg");
        assert_eq!(events[0].on_behalf_of(), "ottla_broker::rt::net::TcpStream::poll_write");
        assert_eq!(
            events[0].folded(),
            "ottla_broker::rt::net::TcpStream::poll_write_[j];__libc_sendmsg;__sys_sendmsg_[k];tcp_sendmsg_[k]"
        );
    }

    #[test]
    fn a_thread_may_have_a_name_with_spaces() {
        let events = parse("a b  7 1.5: cpu-clock: \n\t 1 main (/usr/bin/ottla)\n\n");
        assert_eq!((events[0].seconds, events[0].text), (1.5, "cpu-clock:"));
    }

    #[test]
    fn a_frame_belongs_to_the_crate_whose_type_it_is_about() {
        assert_eq!(Owner::of("<&mut tokio::net::TcpStream as Debug>::fmt", "ottla"), Owner::Tokio);
        assert_eq!(Owner::of("<ottla_log::Log as Drop>::drop", "ottla"), Owner::Ottla);
        assert_eq!(Owner::of("core::ptr::drop_in_place::<ottla_log::Log>", "ottla"), Owner::Ottla);
        assert_eq!(Owner::of("core::ptr::drop_in_place::<alloc::vec::Vec<u8>>", "ottla"), Owner::Other);
        assert_eq!(Owner::of("mi_free", "ottla"), Owner::Allocator);
        assert_eq!(Owner::of("memcpy", "/usr/lib/libc.so.6"), Owner::Libc);
    }

    #[test]
    fn the_heaviest_key_ranks_first() {
        assert_eq!(ranked([("a", 1.0), ("b", 2.0), ("a", 4.0)]), [("a", 5.0), ("b", 2.0)]);
    }
}
