//! A disk of one's own to be cruel to: a small tmpfs, or a real ext4 in a file that can lose its power or turn read-only.
//!
//! All of it takes root and a kernel that lets us mount; where it does not, there is no disk, and whoever wanted one says
//! in a line that nothing was tried. It breaks nothing but what it has mounted itself.

use crate::finding::Finding;
use crate::power;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system; dropping it unmounts it.
pub(crate) struct Disk {
    mounted_at: PathBuf,
    image: Option<PathBuf>,
}

impl Disk {
    /// A tmpfs of this size; nothing if this machine does not let us mount.
    pub(crate) fn tmpfs(mounted_at: &Path, mib: u64) -> Result<Option<Self>, Finding> {
        std::fs::create_dir_all(mounted_at)?;
        let size = format!("size={mib}m");
        let mounted =
            succeeds(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(mounted_at))?;
        Ok(mounted.then(|| Self { mounted_at: mounted_at.to_owned(), image: None }))
    }

    /// A new ext4 of this size in the file `image`; nothing if this machine does not let us make or mount one.
    pub(crate) fn ext4(image: &Path, mounted_at: &Path, mib: u64) -> Result<Option<Self>, Finding> {
        std::fs::create_dir_all(mounted_at)?;
        File::create(image)?.set_len(mib << 20)?;
        if !succeeds(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(image))? {
            return Ok(None);
        }
        let disk = Self { mounted_at: mounted_at.to_owned(), image: Some(image.to_owned()) };
        Ok(disk.mount()?.then_some(disk))
    }

    /// Where its files are.
    pub(crate) fn path(&self) -> &Path {
        &self.mounted_at
    }

    /// What was not synced is lost from now on, and nothing can be read or written until it is plugged in again.
    pub(crate) fn cut_power(&self) -> Result<(), Finding> {
        Ok(power::cut(&File::open(&self.mounted_at)?)?)
    }

    /// The kernel notices an error and does what it does then: every write is refused from now on.
    pub(crate) fn turn_read_only(&self) -> Result<(), Finding> {
        let source = Command::new("findmnt").args(["-no", "SOURCE"]).arg(&self.mounted_at).output()?;
        let device = String::from_utf8_lossy(&source.stdout).trim().replace("/dev/", "");
        let trigger = Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error");
        std::fs::write(trigger, "ottla-chaos")?;
        match File::create(self.mounted_at.join("is-it-writable")) {
            Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => Ok(()),
            _ => Err(Finding::Void(format!("{} did not turn read-only", self.mounted_at.display()))),
        }
    }

    /// Unmounts it, repairs what is to be repaired, and mounts it again, as after the power came back. Nobody may use it.
    pub(crate) fn plug_in_again(&self) -> Result<(), Finding> {
        let failed = |what: &str| Finding::Void(format!("{} cannot be {what}", self.mounted_at.display()));
        if !succeeds(Command::new("umount").arg(&self.mounted_at))? {
            return Err(failed("unmounted"));
        }
        if let Some(image) = &self.image {
            // 1 says that something was repaired, which was our doing; what is left is judged by what is read.
            let status = Command::new("e2fsck").arg("-p").arg(image).stdout(Stdio::null()).status()?;
            if status.code().is_none_or(|code| code > 1) {
                return Err(failed("repaired"));
            }
        }
        if self.mount()? { Ok(()) } else { Err(failed("mounted again")) }
    }

    fn mount(&self) -> Result<bool, Finding> {
        let Some(image) = &self.image else { return Ok(false) };
        succeeds(
            Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(image).arg(&self.mounted_at),
        )
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A mount that stays is seen by whoever looks at the directory; there is nobody to tell here.
        drop(Command::new("umount").arg("--lazy").arg(&self.mounted_at).stderr(Stdio::null()).status());
    }
}

/// Whether the program did what it was asked; one that is not there did not.
fn succeeds(command: &mut Command) -> Result<bool, Finding> {
    match command.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) => Ok(status.success()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}
