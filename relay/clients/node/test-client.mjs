// Runs against a relay and an emulator, which relay/tests/program/clients.rs starts: it answers lines such as `cut`.
import assert from "node:assert/strict";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { NotConnected, OperationFailed, Relay, RelayEnded } from "./iotcore-relay.mjs";

const [options, offlineOptions] = [JSON.parse(process.env.OPTIONS), JSON.parse(process.env.OFFLINE)];
setTimeout(() => { console.error("it took longer than 60 s"); process.exit(1); }, 60_000).unref();

const relay = new Relay(options, process.env.RELAY, {});
await relay.connected();
const config = once(relay, "config");
await relay.attach("boiler-7");
await config;
await relay.telemetry("boiler-7", "71", { subfolder: "a/b", tag: "t" });
await relay.state("boiler-7", Uint8Array.of(0xff));
const command = once(relay, "command");
console.log("command");
assert.equal((await command)[0].payload.toString(), "close");
await assert.rejects(relay.attach("stranger-1"), (error) => error instanceof OperationFailed
  && error.code === "gateway_attachment_error" && error.retry === "never");
assert.ok((await relay.devices()).some(({ device }) => device === "boiler-7"));
assert.equal((await relay.stats()).published, 2);
console.log("cut");
while (relay.lastDisconnect === null) await once(relay, "event");
const abort = new AbortController();
const takenBack = assert.rejects(relay.telemetry("boiler-7", "never", { signal: abort.signal }), { code: "cancelled" });
abort.abort();
await Promise.all([takenBack, ...Array.from({ length: 1000 }, (_, n) => relay.telemetry("boiler-7", String(n)))]);
assert.deepEqual(await relay.unsent(), []);
assert.equal(await relay.close(), 0);
await assert.rejects(relay.attach("boiler-7"), RelayEnded);

const offline = new Relay(offlineOptions, process.env.RELAY, {});
await assert.rejects(offline.connected(), (error) => error instanceof NotConnected && error.code === "dial_failed" && error.message.includes("--host"));
const waiting = assert.rejects(offline.attach("boiler-7"), /SIGKILL/);
await sleep(100);
offline.kill();
await waiting;
await assert.rejects(offline.stats(), RelayEnded);
await assert.rejects(offline.connected(), RelayEnded);

await assert.rejects(new Relay(["--host"], process.env.RELAY, {}).attach("boiler-7"), /exit code 2(.|\n)*--host/);
await assert.rejects(new Relay([], "/no/such/program").attach("boiler-7"), /could not be started/);
console.log("passed");
