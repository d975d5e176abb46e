//! What this process must be allowed to drive many clients.

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::{LoadError, Result};

/// From so many clients on, threads are many.
const MANY_CLIENTS: usize = 64;

/// Makes room for so many clients. Descriptors: the limit is raised to what the system allows without asking. Memory: the
/// allocator gives each thread pages of its own, and where each of them is a huge one, a thousand clients cost gigabytes
/// that must be zeroed while the clock runs.
///
/// # Errors
/// When the process may not have so many connections: making most of them first would only hurt the broker.
pub fn make_room_for(clients: usize, connections: usize) -> Result<()> {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If it is refused, a connection that is one too many says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        if connections as u64 > hard {
            return Err(LoadError::Plan(format!(
                "{connections} connections are more than the {hard} files that this process may open (ulimit -n)"
            )));
        }
    }
    if clients >= MANY_CLIENTS {
        // If it is refused it takes longer.
        let _ = prctl::set_thp_disable(true);
    }
    Ok(())
}
