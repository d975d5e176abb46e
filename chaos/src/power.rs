//! Cuts the power of a mounted ext4: the one system call of this crate that needs `unsafe`.
//!
//! The file system stops at once and does not even write its journal out, so that after the next mount there is only what
//! was synced before. It is *not* a power loss of the disk below, whose own cache stays.
#![allow(unsafe_code, reason = "an ioctl has no safe form")]

use rustix::ioctl::{Opcode, Setter, ioctl};
use std::fs::File;

/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`.
const SHUTDOWN: Opcode = 0x8004_587d;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`.
const WITHOUT_LOG_FLUSH: u32 = 2;

/// Cuts it. `file` is any file or directory of the file system.
pub(crate) fn cut(file: &File) -> std::io::Result<()> {
    // SAFETY: the request reads one u32 behind the pointer it is given, which is what a setter of a u32 passes.
    let cut = unsafe { ioctl(file, Setter::<SHUTDOWN, u32>::new(WITHOUT_LOG_FLUSH)) };
    Ok(cut?)
}
