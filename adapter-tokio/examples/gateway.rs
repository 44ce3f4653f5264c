//! The lifecycle of a gateway on Tokio. The steps are in `examples/story`; this file has the parts specific to Tokio.
//!
//! `cargo run --release -p iotcore-gateway-tokio --example gateway` needs nothing else: it starts an emulator of the
//! bridge on this machine, with generated keys and a generated certificate. With `--host` and the ids of a real
//! registry, it connects to that, without the steps that need control of the cloud's side; `--help` lists the options.
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
    let (story, setup) = Story::begin(TokioRuntime::default())?;

    // The client sends commands to the driver, which runs until the gateway is closed.
    let (client, driver) = connect(setup)?;
    let status = client.status(); // all status changes, including a refused first connection
    let driver = tokio::spawn(driver.run());

    story.tell(client, status).await?;
    driver.await?;
    story.end();
    Ok(())
}
