//! A data folder among the temporary ones, gone with its owner unless the test failed; and one that is a small file system
//! of its own, which can be filled up.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Enough for the log of a hundred rounds.
const SMALL: &std::ffi::CStr = c"size=128m,mode=700";

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    is_mounted: bool,
}

/// Whether this process may mount.
pub(super) fn can_mount() -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    *MAY.get_or_init(|| Folder::small().is_some())
}

impl Folder {
    pub(super) fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("offhook-crash-{}-{number}", std::process::id()));
        Folder { path, is_mounted: false }
    }

    /// A file system of its own; `None` if it cannot be mounted.
    pub(super) fn small() -> Option<Folder> {
        let mut folder = Folder::new();
        std::fs::create_dir(&folder.path).expect("the folder for temporary files can be written");
        folder.is_mounted = mount("tmpfs", &folder.path, "tmpfs", MountFlags::NODEV, SMALL).is_ok();
        folder.is_mounted.then_some(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path, for a command line.
    pub(super) fn name(&self) -> &str {
        self.path.to_str().expect("a temporary folder has a plain name")
    }

    /// Takes all the room that is left. Files that are there keep theirs.
    pub(super) fn fill_up(&self) {
        let mut ballast = File::create(self.ballast()).expect("there is room for a name");
        let piece = vec![0; 1 << 16];
        let error = std::iter::repeat_with(|| ballast.write(&piece)).find_map(Result::err);
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::StorageFull));
    }

    /// Gives the room back.
    pub(super) fn make_room(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast is there");
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the data folder is left for you to look at: {}", self.path.display());
            return;
        }
        if self.is_mounted {
            let _ = unmount(&self.path, UnmountFlags::DETACH);
        }
        drop(std::fs::remove_dir_all(&self.path));
    }
}
