//! Makes the machine's memory present before it is measured. On a virtual machine whose free memory goes back to the
//! host, the first gigabytes written after a pause are four times slower than the next (PERFORMANCE.md §0).

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::error::{Doing, Result};

const CHUNK_BYTES: usize = 1 << 20;

/// Writes and deletes a file of `bytes` in `dir`.
pub(crate) fn touch_page_cache(dir: &Path, bytes: u64) -> Result<()> {
    let path = dir.join("warm-up");
    let mut file = File::create(&path).doing(|| format!("create {}", path.display()))?;
    let chunk = vec![0x5au8; CHUNK_BYTES];
    for _ in 0..bytes.div_ceil(CHUNK_BYTES as u64) {
        file.write_all(&chunk).doing(|| format!("write {}", path.display()))?;
    }
    drop(file);
    fs::remove_file(&path).doing(|| format!("remove {}", path.display()))
}
