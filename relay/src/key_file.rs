//! Watches over the files with private keys: who may read them, and when they are replaced.

use std::{io, path::Path, sync::Arc};

#[cfg(unix)]
use crate::notes::note;
use crate::{device_keys::DeviceKeys, keys::Keys};

/// Notes that others may read the key in this file, if they may. The file was given with this option.
#[cfg(unix)]
pub(crate) fn check_mode(option: &str, key: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    const OF_OTHERS: u32 = 0o077;
    let Ok(metadata) = std::fs::metadata(key) else {
        // Reading it reports the reason.
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() && mode & OF_OTHERS != 0 {
        let quoted = key.to_string_lossy().replace('\'', r"'\''");
        let key = key.display();
        note(format_args!(
            "{option} {key}: its mode is {mode:04o}, which gives other users of this machine access to the private key: `chmod 600 '{quoted}'`"
        ));
    }
}

#[cfg(windows)]
pub(crate) fn check_mode(_option: &str, _key: &Path) {}

/// The same for all keys that were given.
pub(crate) fn check_modes(key: &Path, keys: &Keys) {
    check_mode("--key", key);
    // A folder that cannot be read is told by who reads the keys.
    let files = keys.devices.as_ref().map(DeviceKeys::files);
    for file in files.into_iter().flatten().flatten() {
        check_mode("--device-keys", &file.path);
    }
}

/// Reads all keys again at each SIGHUP, and notes whether they can be used; where not, the last one remains in use.
#[cfg(unix)]
pub(crate) fn reload_on_hangup(key: &Path, keys: &Arc<Keys>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangups = signal(SignalKind::hangup())?;
    let (key, keys) = (key.to_owned(), Arc::clone(keys));
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            reload(&key, &keys);
            check_modes(&key, &keys);
        }
    });
    Ok(())
}

#[cfg(unix)]
fn reload(key: &Path, keys: &Keys) {
    const KEPT: &str = "the key that was read before remains in use";
    match keys.gateway.reload().as_slice() {
        [] => note(format_args!(
            "--key {}: read again, for the next token",
            key.display()
        )),
        errors => errors
            .iter()
            .for_each(|error| note(format_args!("--key: {error}; {KEPT}"))),
    }
    if let Some(devices) = &keys.devices {
        let (count, errors) = devices.reload();
        for error in errors {
            note(format_args!(
                "--device-keys: {error}; {KEPT}, if there is one"
            ));
        }
        note(format_args!(
            "--device-keys {}: {count} read again, each for the next token of its device",
            devices.folder().display()
        ));
    }
}

#[cfg(windows)]
pub(crate) fn reload_on_hangup(_key: &Path, _keys: &Arc<Keys>) -> io::Result<()> {
    Ok(())
}
