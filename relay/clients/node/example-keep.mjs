// Publishes a reading a second of devices, with or without a network, until Ctrl-C or SIGTERM. What is unsent then is kept in the
// file unsent.json, and sent by the next start. Usage: example-keep.mjs [DEVICE ...]
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Relay, RelayEnded, RelayError } from "./iotcore-relay.mjs";

const FILE = "unsent.json";
const devices = process.argv.length > 2 ? process.argv.slice(2) : ["boiler-7", "bound-sensor"];
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stop.abort());

function report(error) {
  if (!(error instanceof RelayError)) throw error;
  console.error(error.message);
  if (error instanceof RelayEnded) stop.abort();
}

const relay = new Relay(); // its options are in the environment: IOTCORE_HOST and so on
try {
  // Not awaited: telemetry may follow the call of `attach`, but not precede it.
  for (const device of devices) relay.attach(device).catch(report);
  for (const operation of existsSync(FILE) ? JSON.parse(readFileSync(FILE, "utf8")) : []) relay.sendAgain(operation).catch(report);
  while (!stop.signal.aborted) {
    for (const device of devices) relay.telemetry(device, JSON.stringify({ at: Date.now() / 1000 })).catch(report);
    await sleep(1000, undefined, { signal: stop.signal }).catch(() => {});
  }
} finally {
  await relay.close().catch((error) => {
    report(error);
    process.exitCode = 1;
  });
  writeFileSync(FILE, JSON.stringify(await relay.unsent()));
}
