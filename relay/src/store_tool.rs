//! `iotcore-relay store`: looks at a store that no relay uses, and changes nothing.

mod content;
mod lines;

use std::{
    fmt,
    io::{self, BufWriter, Write},
    path::Path,
    process::ExitCode,
    time::SystemTime,
};

use iotcore_gateway_tokio::{auth::UnixTime, error::StoreError};

use self::content::Content;
use crate::{
    notes::{self, note},
    options::{StoreArguments, StoreTask},
    program::{FAILED, MAX_FLUSH},
};

const INTACT: u8 = 0;
const DAMAGED: u8 = 3;

/// Does what is asked for; returns the exit code.
pub(crate) fn run(arguments: &StoreArguments) -> ExitCode {
    let code = look_at(arguments).unwrap_or_else(|error| {
        note(error);
        FAILED
    });
    notes::flush(MAX_FLUSH);
    ExitCode::from(code)
}

fn look_at(arguments: &StoreArguments) -> Result<u8, Error> {
    let folder = arguments.task.folder();
    let content = Content::read(folder).map_err(|error| Error::of(&folder.path, &error))?;
    let now = UnixTime::try_from(SystemTime::now()).ok();
    let now = now.filter(|now| content.is_plausible(*now));
    let is_export = matches!(arguments.task, StoreTask::Export(_));
    if is_export && now.is_none() && content.has_deadlines() {
        return Err(Error::Clock);
    }
    let mut output = BufWriter::new(io::stdout().lock());
    let written = match &arguments.task {
        StoreTask::Check(_) => lines::check(&mut output, &content),
        StoreTask::Show(_) => lines::show(&mut output, &content, now),
        StoreTask::Export(_) => lines::export(&mut output, &content, now),
    };
    let written = written.and_then(|()| output.flush());
    match written {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.map_err(Error::Output)?,
    }
    Ok(judge(&content))
}

/// Notes what is damaged; returns the exit code.
fn judge(content: &Content) -> u8 {
    let damaged = content.recovered.damaged;
    let unread = content.recovered.set_aside;
    // Each of them is one place.
    let places = damaged.places.saturating_sub(unread as u64);
    if places > 0 {
        note(format_args!(
            "damaged in {places} places: what was there is lost, the rest is there"
        ));
    }
    if unread > 0 {
        note(format_args!(
            "of the files, {unread} cannot be read: what is in them is not lost, and not in this output. Keep the folder, check the disk, \
             and try again"
        ));
    }
    if let Some(foreign) = content.recovered.foreign {
        note(format_args!(
            "{} is no segment of this store, which has not reached that number: it is left alone, and you can delete it",
            foreign.file_name()
        ));
    }
    if content.is_owner_damaged {
        note(
            "damaged where it says which gateway it belongs to: if that is another than was named here, its messages are not found",
        );
    }
    match damaged.is_none() && !content.is_owner_damaged {
        true => INTACT,
        false => DAMAGED,
    }
}

/// The reason why a store cannot be looked at.
#[derive(Debug)]
enum Error {
    Store(String),
    Clock,
    Output(io::Error),
}

impl Error {
    fn of(folder: &Path, error: &StoreError) -> Self {
        let folder = folder.display();
        Self::Store(match error {
            StoreError::Folder { detail, .. } => format!("{folder}: {detail}"),
            StoreError::InUse { .. } => format!(
                "{folder} is in use: end the relay first, because the store changes while it is read"
            ),
            StoreError::NoOwner => format!(
                "{folder} does not say which gateway it belongs to, because it is damaged there or cannot be read: name that, with --project, --location, \
                 --registry and --gateway"
            ),
            StoreError::NoStore { .. } => error.to_string(),
            other => format!("{folder}: {other}"),
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(text) => f.write_str(text),
            Self::Clock => f.write_str(
                "the clock of this machine is wrong, so nothing says how long the messages are valid: set it",
            ),
            Self::Output(error) => write!(f, "cannot write to standard output: {error}"),
        }
    }
}
