//! The whole story of a gateway, on smol. What it does is in `examples/story`; what smol has to do with it is here.
//!
//! `cargo run --release -p iotcore-gateway-smol --example gateway_smol` needs nothing else: it starts an emulator of the
//! bridge on this machine, with keys and a certificate made on the spot. With `--host` and the ids of a real registry it
//! does the same there, as far as that goes without the cloud's side; `--help` lists the options.
#![forbid(unsafe_code)]

#[path = "../../examples/story/mod.rs"]
mod story;

use std::process::ExitCode;

use iotcore_gateway_smol::{SmolRuntime, connect};

use self::story::{Outcome, Story, ending};

fn main() -> ExitCode {
    ending(smol::block_on(run()))
}

async fn run() -> Outcome {
    let (story, setup) = Story::begin(SmolRuntime)?;

    // The client commands, the driver works. It runs until the gateway is closed.
    let (client, driver) = connect(setup)?;
    let status = client.status(); // of all that changes, a refused first connection too
    let driver = smol::spawn(driver.run());

    story.tell(client, status).await?;
    driver.await;
    story.end();
    Ok(())
}
