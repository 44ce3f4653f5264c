//! The command line as a whole: the options of a relay, or the tools for a store.

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Subcommand};
use iotcore_gateway_tokio::{
    ClientId, DeviceId,
    id::{Location, ProjectId, RegistryId},
};

use super::Arguments;

/// What the program is to do.
pub(crate) enum CommandLine {
    /// Run as a relay.
    Relay(Box<Arguments>),
    /// Look at a store.
    Store(StoreArguments),
}

/// Look at the store of a relay that has ended, without changing it
///
/// Exit codes: 0 intact, 1 it cannot be read, or a relay uses it, 2 usage, 3 something is damaged, and the rest was read.
#[derive(Debug, Args)]
pub(crate) struct StoreArguments {
    #[command(subcommand)]
    pub(crate) task: StoreTask,
}

/// What is done with a store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreTask {
    /// Read all of it, and write whose it is, how much it holds, and whether anything is damaged
    Check(StoreFolder),
    /// Write a line for each message, without its payload, for people
    Show(StoreFolder),
    /// Write the operations that send the messages, as JSON Lines for another relay
    Export(StoreFolder),
}

/// A store, and whose it is.
#[derive(Debug, Args)]
pub(crate) struct StoreFolder {
    /// The folder, as in `--store`
    #[arg(value_name = "FOLDER")]
    pub(crate) path: PathBuf,

    #[command(flatten)]
    owner: StoreOwner,
}

/// The options of a relay that name its gateway. They are needed, all four, if the store is damaged where it names it; if it is
/// not, they are ignored.
#[derive(Debug, Args)]
#[command(next_help_heading = "The gateway, only for a store that is damaged where it names it")]
struct StoreOwner {
    /// The id of the project
    #[arg(long, env = "IOTCORE_PROJECT", value_name = "ID")]
    project: Option<ProjectId>,

    /// The location of the registry
    #[arg(long, env = "IOTCORE_LOCATION")]
    location: Option<Location>,

    /// The id of the registry
    #[arg(long, env = "IOTCORE_REGISTRY", value_name = "ID")]
    registry: Option<RegistryId>,

    /// The id of the gateway
    #[arg(long, env = "IOTCORE_GATEWAY", value_name = "ID")]
    gateway: Option<DeviceId>,
}

impl StoreTask {
    pub(crate) fn folder(&self) -> &StoreFolder {
        match self {
            Self::Check(folder) | Self::Show(folder) | Self::Export(folder) => folder,
        }
    }
}

impl StoreFolder {
    /// Returns the gateway that the options name; `None` if one of them is missing.
    pub(crate) fn owner(&self) -> Option<ClientId> {
        let StoreOwner {
            project,
            location,
            registry,
            gateway,
        } = &self.owner;
        Some(ClientId::new(
            project.clone()?,
            location.clone()?,
            registry.clone()?,
            gateway.clone()?,
        ))
    }
}

impl CommandLine {
    /// Parses the command line; ends the program if it is wrong, or asks for help.
    pub(crate) fn parse() -> Self {
        const STORE: &str = "store";
        let store = StoreArguments::augment_args(clap::Command::new(STORE));
        // Without a subcommand, the options of a relay are required.
        let command = Arguments::command()
            .subcommand(store)
            .subcommand_negates_reqs(true)
            .args_conflicts_with_subcommands(true)
            .disable_help_subcommand(true);
        let matches = command.clone().get_matches();
        let parsed = match matches.subcommand() {
            Some((STORE, matches)) => StoreArguments::from_arg_matches(matches).map(Self::Store),
            _ => Arguments::from_arg_matches(&matches)
                .map(|arguments| Self::Relay(Box::new(arguments))),
        };
        parsed.unwrap_or_else(|error| error.format(&mut command.clone()).exit())
    }
}
