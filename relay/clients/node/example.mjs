// Attaches boiler-7, publishes each second, and reports each config as its state. It ends on an error, and says why.
import { setTimeout as sleep } from "node:timers/promises";
import { NotConnected, Relay } from "./iotcore-relay.mjs";

const relay = new Relay(); // its options are in the environment: IOTCORE_HOST and so on
relay.on("config", async ({ device, payload }) => {
  if (device !== "boiler-7") return; // it is null for the gateway's own
  console.log("config", payload.toString());
  await relay.state(device, payload).catch((error) => {
    if (error.code !== "superseded") console.error(error.message); // by a newer state
  });
});
try {
  for (let isConnected = false; !isConnected; ) {
    await relay.connected().then(() => { isConnected = true; }, (error) => {
      console.error(error.message);
      if (!(error instanceof NotConnected && ["dial_failed", "peer_closed", "broken"].includes(error.code))) throw error;
    });
  }
  await relay.attach("boiler-7");
  for (let number = 0; number < 3; number += 1) {
    await relay.telemetry("boiler-7", JSON.stringify({ celsius: 70 + number }));
    console.log("published", number);
    await sleep(1000);
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await relay.close();
}
