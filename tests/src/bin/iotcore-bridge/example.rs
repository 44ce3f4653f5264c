//! The example registry: that of the book, with keys of its own.

use std::io;
use std::path::{Path, PathBuf};

use iotcore_gateway_testkit::keys::DeviceKey;
use serde_json::json;

use crate::files;
use crate::options::Options;
use crate::output::Printer;

/// The registry file, which is the book's.
const REGISTRY: &str = include_str!("example.json");

/// The clients that have keys: `NAME.pem` and `NAME.pub.pem`.
const KEYS: [&str; 2] = ["gateway", "roaming-sensor"];

/// Where the registry comes from.
pub(crate) enum Source<'a> {
    /// The operator's file.
    File(&'a Path),
    /// An example in a folder.
    Example {
        folder: &'a Path,
        registry: PathBuf,
        /// Whether it was written now, or found.
        is_new: bool,
    },
}

impl<'a> Source<'a> {
    /// Returns the registry that the options ask for; writes the example into its folder, unless that has a registry
    /// already.
    ///
    /// # Errors
    /// Another file of the example exists, or the system's.
    pub(crate) fn open(options: &'a Options) -> Result<Self, String> {
        match (&options.registry, &options.example_registry) {
            (Some(file), _) => Ok(Self::File(file)),
            (None, Some(folder)) => Self::write(folder),
            (None, None) => Err("--registry or --example-registry is needed".to_owned()),
        }
    }

    fn write(folder: &'a Path) -> Result<Self, String> {
        files::create_folder(folder)?;
        let registry = folder.join("registry.json");
        let is_new = !registry.exists();
        if is_new {
            let keys = KEYS.map(|name| key_files(folder, name));
            refuse_any_of(keys.as_flattened())?;
            for files in &keys {
                write_key(files)?;
            }
            create(&registry, files::write_public, REGISTRY)?;
        }
        Ok(Self::Example {
            folder,
            registry,
            is_new,
        })
    }

    /// Returns the registry file.
    pub(crate) fn registry(&self) -> &Path {
        match self {
            Self::File(file) => file,
            Self::Example { registry, .. } => registry,
        }
    }

    /// Prints where the example and its keys are.
    pub(crate) fn print(&self, printer: &Printer) {
        let Self::Example {
            folder,
            registry,
            is_new,
        } = self
        else {
            return;
        };
        let key = folder.join("gateway.pem");
        let found = if *is_new { "written" } else { "used again" };
        printer.print(
            format_args!(
                "the example {} is {found}: its gateway signs tokens with {} (ES256)",
                registry.display(),
                key.display()
            ),
            &json!({ "event": "example", "registry": registry, "key": key, "new": is_new }),
        );
    }
}

/// Returns the files of a key: the private and the public one.
fn key_files(folder: &Path, name: &str) -> [PathBuf; 2] {
    ["pem", "pub.pem"].map(|extension| folder.join(format!("{name}.{extension}")))
}

/// Refuses to begin if any of the files is there: the rest would be half an example.
fn refuse_any_of(files: &[PathBuf]) -> Result<(), String> {
    let there: Vec<_> = files.iter().filter(|file| file.exists()).collect();
    let shown = there.iter().map(|file| file.display().to_string());
    match there[..] {
        [] => Ok(()),
        _ => Err(exists(&shown.collect::<Vec<_>>().join(", "))),
    }
}

fn exists(files: &str) -> String {
    format!(
        "{files} exists and is not overwritten: give another folder to --example-registry, or remove it"
    )
}

fn write_key([private, public]: &[PathBuf; 2]) -> Result<(), String> {
    let key = DeviceKey::generate().map_err(|error| format!("cannot generate a key: {error}"))?;
    create(private, files::write_private, &key.private_pem)?;
    create(public, files::write_public, &key.public_pem)
}

fn create(
    path: &Path,
    write: impl FnOnce(&Path, &str) -> io::Result<()>,
    text: &str,
) -> Result<(), String> {
    write(path, text).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(&path.display().to_string()),
        _ => format!("cannot write {}: {error}", path.display()),
    })
}
