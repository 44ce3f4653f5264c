//! Watches over the files with private keys: who may read them, and when the gateway's is replaced.

use std::{io, path::Path, sync::Arc};

use iotcore_gateway_tokio::KeyTokens;

#[cfg(unix)]
use crate::notes::note;

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

/// Reads the key again at each SIGHUP, and notes whether it can be used; if not, the last one remains in use.
#[cfg(unix)]
pub(crate) fn reload_on_hangup(key: &Path, tokens: &Arc<KeyTokens>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangups = signal(SignalKind::hangup())?;
    let (key, tokens) = (key.to_owned(), Arc::clone(tokens));
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match tokens.reload().as_slice() {
                [] => {
                    note(format_args!(
                        "--key {}: read again, for the next token",
                        key.display()
                    ));
                    check_mode("--key", &key);
                }
                errors => errors.iter().for_each(|error| {
                    note(format_args!(
                        "--key: {error}; the key that was read before remains in use"
                    ));
                }),
            }
        }
    });
    Ok(())
}

#[cfg(windows)]
pub(crate) fn reload_on_hangup(_key: &Path, _tokens: &Arc<KeyTokens>) -> io::Result<()> {
    Ok(())
}
