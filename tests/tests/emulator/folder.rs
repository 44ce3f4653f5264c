//! Folders and files of the tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder that is empty at first, and removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("emulator-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, file: &str) -> String {
        self.0.join(file).to_str().unwrap().to_owned()
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }

    pub(crate) fn write(&self, file: &str, text: &str) -> String {
        fs::write(self.0.join(file), text).unwrap();
        self.path(file)
    }

    /// Writes a registry with one device, `sensor`, which has no key.
    pub(crate) fn registry(&self) -> String {
        let registry = r#"{
            "project": "plant", "location": "us-central1", "registry": "sensors",
            "devices": [{ "id": "sensor" }]
        }"#;
        self.write("registry.json", registry)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
