//! The whole story of a gateway, on Tokio. What it does is in `examples/story`; what Tokio has to do with it is here.
//!
//! `cargo run --release -p iotcore-gateway-tokio --example gateway` needs nothing else: it starts an emulator of the
//! bridge on this machine, with keys and a certificate made on the spot. With `--host` and the ids of a real registry it
//! does the same there, as far as that goes without the cloud's side; `--help` lists the options.
#![forbid(unsafe_code)]

#[path = "../../examples/story/mod.rs"]
mod story;

use std::process::ExitCode;

use iotcore_gateway_tokio::{TokioRuntime, connect};

use self::story::{Outcome, Story, ending};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ending(run().await)
}

async fn run() -> Outcome {
    let (story, setup) = Story::begin(TokioRuntime)?;

    // The client commands, the driver works. It runs until the gateway is closed.
    let (client, driver) = connect(setup)?;
    let status = client.status(); // of all that changes, a refused first connection too
    let driver = tokio::spawn(driver.run());

    story.tell(client, status).await?;
    driver.await?;
    story.end();
    Ok(())
}
