//! Folders for the servers' logs: fresh, on a disk, and removed afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Result;

/// File systems that keep files in memory (see statfs(2)): nothing durable is measured there.
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// A folder of its own, removed when dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A fresh folder for what must be on a disk. It stands in `OFFHOOK_BENCH_FOLDER` or, without that,
    /// in the folder of cargo's profiles, beside the programs that are measured.
    pub(crate) fn on_disk() -> Result<Self> {
        let root = match std::env::var_os("OFFHOOK_BENCH_FOLDER") {
            Some(root) => PathBuf::from(root),
            None => beside_the_programs()?,
        };
        let folder = Self::new(&root)?;
        if is_memory(&folder.path)? {
            return Err(format!(
                "{} is in memory, where nothing is durable: name a folder on a disk in OFFHOOK_BENCH_FOLDER",
                root.display()
            )
            .into());
        }
        Ok(folder)
    }

    /// A fresh folder in `root`.
    fn new(root: &Path) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("bench-data-{}-{number}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Self { path })
    }

    /// A name in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The folder that holds the folder of this program.
fn beside_the_programs() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let root = this.ancestors().nth(2).ok_or("this program is in no folder")?;
    Ok(root.to_owned())
}

fn is_memory(path: &Path) -> Result<bool> {
    let kind = rustix::fs::statfs(path)?.f_type as u64;
    // The field is signed on some machines: 32 bits tell these two apart from all others.
    Ok([TMPFS, RAMFS].contains(&(kind & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_fresh_and_goes_with_its_owner() {
        let root = beside_the_programs().expect("a folder");
        let (first, second) = (Folder::new(&root).expect("a folder"), Folder::new(&root).expect("another"));
        assert_ne!(first.path, second.path);
        let file = first.write("file", b"bytes").expect("written");
        assert_eq!(fs::read(&file).expect("read"), b"bytes");
        drop(first);
        assert!(!file.exists() && second.path.exists());
    }

    #[test]
    fn memory_is_told_from_a_disk() {
        assert!(!is_memory(Path::new("/proc")).expect("proc"));
        let mounts = fs::read_to_string("/proc/mounts").expect("mounts");
        if mounts.contains(" /dev/shm tmpfs ") {
            assert!(is_memory(Path::new("/dev/shm")).expect("shm"));
        }
    }
}
