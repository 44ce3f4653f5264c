//! The example registry: that of the README, with keys of its own.

use std::io;
use std::path::{Path, PathBuf};

use iotcore_gateway_testkit::keys::DeviceKey;
use serde_json::json;

use crate::files;
use crate::options::Options;
use crate::output::Printer;

/// The registry file, which is the README's.
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
            for name in KEYS {
                write_key(folder, name)?;
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

fn write_key(folder: &Path, name: &str) -> Result<(), String> {
    let key = DeviceKey::generate().map_err(|error| format!("cannot generate a key: {error}"))?;
    let [private, public] =
        ["pem", "pub.pem"].map(|extension| folder.join(format!("{name}.{extension}")));
    create(&private, files::write_private, &key.private_pem)?;
    create(&public, files::write_public, &key.public_pem)
}

fn create(
    path: &Path,
    write: impl FnOnce(&Path, &str) -> io::Result<()>,
    text: &str,
) -> Result<(), String> {
    write(path, text).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => format!(
            "{} exists and is not overwritten: give another folder to --example-registry, or remove it",
            path.display()
        ),
        _ => format!("cannot write {}: {error}", path.display()),
    })
}
