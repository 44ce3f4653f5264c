// Attaches devices; each publishes a reading a second, and reports its config as its state. Usage: example.mjs [DEVICE ...]
import { setTimeout as sleep } from "node:timers/promises";
import { Relay } from "./iotcore-relay.mjs";

const READINGS = 3; // of each device; a gateway goes on for ever

async function run(relay, device) {
  const messages = relay.messages(device); // before the attach: the config comes at once
  await relay.attach(device);
  await Promise.race([publish(relay, device), follow(relay, messages)]); // an error of either ends the program
}

async function publish(relay, device) {
  for (let number = 0; number < READINGS; number += 1) {
    await relay.telemetry(device, JSON.stringify({ celsius: 70 + number }));
    console.log(device, "published", number);
    await sleep(1000);
  }
}

async function follow(relay, messages) {
  for await (const { device, kind, payload } of messages) {
    console.log(device, kind, payload.toString());
    if (kind !== "config") continue;
    await relay.state(device, payload).catch((error) => {
      if (error.code !== "superseded") throw error; // by a newer state
    });
  }
}

const devices = process.argv.length > 2 ? process.argv.slice(2) : ["boiler-7", "bound-sensor"];
const relay = new Relay(); // its options are in the environment: IOTCORE_HOST and so on
try {
  await relay.connected(); // or ends and says why not; without this line it waits for as long as it takes
  await Promise.all(devices.map((device) => run(relay, device)));
  await relay.close();
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
  await relay.close().catch(() => {}); // if it was the relay that ended, that was told
}
