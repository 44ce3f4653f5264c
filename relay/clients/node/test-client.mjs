// Runs the client against an emulator of the bridge: `BRIDGE=path/to/iotcore-bridge RELAY=path/to/iotcore-relay node test-client.mjs`.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { InvalidOperation, NotConnected, OperationFailed, Relay, RelayEnded, RelayError } from "./iotcore-relay.mjs";

const [RELAY, BRIDGE] = [resolve(process.env.RELAY), resolve(process.env.BRIDGE)];
const SENSORS = Array.from({ length: 20 }, (_, number) => `sensor-${number}`);
const CLOSED_PORT = 1; // reserved and unused
const isTest = process.argv[2] !== "until-signal";
const folder = isTest ? mkdtempSync(join(tmpdir(), "iotcore-relay-")) : process.cwd();

/** The emulator with the example registry, and its port. */
const bridge = {
  port: 0,
  arrived: {},
  connections: new Set(),
  async start() {
    this.process = spawn(BRIDGE, ["--example-registry", folder, "--tls-self-signed", folder, "--port", `${this.port}`, "--json"], { stdio: ["pipe", "pipe", "inherit"] });
    await new Promise((listening) => createInterface({ input: this.process.stdout }).on("line", (line) => {
      const event = JSON.parse(line);
      if (event.event === "telemetry") (this.arrived[event.device] ??= []).push(event.payload);
      if (event.event === "connected") this.connections.add(event.connection);
      if (event.event === "closed") this.connections.delete(event.connection);
      if (event.event !== "listening") return;
      this.port = Number(event.address.split(":").at(-1));
      listening();
    }));
  },
  tell(command) { this.process.stdin.write(`${command}\n`); },
  async stop() {
    this.tell("quit");
    await once(this.process, "close");
  },
  relay(options = {}) {
    return new Relay({ host: "localhost", port: this.port, ca: join(folder, "ca.pem"), key: join(folder, "gateway.pem"), algorithm: "ES256",
      project: "my-project", location: "us-central1", registry: "my-registry", gateway: "my-gateway", ...options }, RELAY);
  },
};

async function eventOf(events, name) {
  for (;;) {
    const { value } = await events.next();
    if (value.event === name) return value;
  }
}

async function messagesAndAnswersAreWhatTheBridgeSays() {
  const relay = bridge.relay();
  await relay.connected();
  const messages = relay.messages("boiler-7");
  await relay.attach("boiler-7");
  const config = (await messages.next()).value;
  assert.deepEqual(config, { kind: "config", device: "boiler-7", subfolder: null, payload: Buffer.from('{"target":20}'), delivery: config.delivery });
  bridge.tell("command boiler-7 --subfolder valve close");
  const command = (await messages.next()).value;
  assert.deepEqual([command.kind, command.subfolder, command.payload.toString()], ["command", "valve", "close"]);
  await relay.telemetry("boiler-7", Uint8Array.of(0xff), { subfolder: "a/b", tag: "t", priority: "urgent", expires_after: 60 });
  await relay.telemetry(null, "own", { qos: 0 });
  await relay.state("boiler-7", "open");
  await assert.rejects(relay.attach("roaming-sensor"), (error) => error instanceof OperationFailed
    && error.code === "gateway_attachment_error" && error.retry === "never");
  await assert.rejects(relay.state("boiler-7", "x".repeat(70_000)), { code: "payload_too_large", message: /at most 65536/ });
  await assert.rejects(relay.telemetry("boiler-7", "x", { qos: 7 }), (error) => error instanceof InvalidOperation
    && error.code === "illegal_operation" && error.message.includes("0 or 1"));
  const stats = await relay.stats();
  assert.deepEqual([stats.connected, stats.published], [true, 3]);
  const states = (await relay.devices()).map(({ device, state }) => [device, state]);
  assert.deepEqual(Object.fromEntries(states), { "boiler-7": "attached", "my-gateway": "attached", "roaming-sensor": "refused" });
  await relay.detach("boiler-7");
  assert.deepEqual(await relay.close(), []);
  assert.deepEqual(await messages.next(), { done: true, value: undefined });
}

async function twentyDevicesLoseNothingOverCutsAndARestartOfTheBridge() {
  const count = 100;
  bridge.arrived = {};
  const relay = bridge.relay({ backoffMin: 200 });
  const events = relay.events();
  const running = SENSORS.map(async (sensor) => {
    await relay.attach(sensor);
    for (let number = 0; number < count; number += 1) {
      await relay.telemetry(sensor, String(number));
      await sleep(10);
    }
  });
  await eventOf(events, "connected");
  await sleep(300);
  bridge.tell("drop my-gateway");
  await eventOf(events, "connected");
  await bridge.stop();
  await eventOf(events, "disconnected");
  await bridge.start();
  await Promise.all(running);
  assert.ok(relay.isConnected && relay.lastDisconnect);
  const stats = await relay.stats();
  assert.ok(stats.connections >= 3 && stats.published === 20 * count, JSON.stringify(stats));
  assert.deepEqual(await relay.close(), []);
  for (const sensor of SENSORS) {
    // At least once; the first copies in order.
    assert.deepEqual([...new Set(bridge.arrived[sensor].map(Number))], Array.from({ length: count }, (_, number) => number));
  }
}

async function whatIsCancelledIsTakenBack() {
  bridge.arrived = {};
  const relay = bridge.relay({ port: CLOSED_PORT, drainTimeout: 1 });
  await assert.rejects(relay.telemetry(null, "never", { signal: AbortSignal.timeout(100) }), { code: "cancelled" });
  await assert.rejects(relay.telemetry(null, "never", { signal: AbortSignal.abort() }), { name: "AbortError" });
  const waiting = assert.rejects(relay.telemetry(null, "unsent"), (error) => error.code === "closed" && error.operation.payload === "unsent");
  assert.equal((await relay.unsent()).length, 1);
  assert.deepEqual((await relay.close()).map(({ payload }) => payload), ["unsent"]);
  await waiting;
  assert.deepEqual(bridge.arrived, {});
}

async function whatARelayLeavesUnsentTheNextOneSends() {
  let relay = bridge.relay({ port: CLOSED_PORT });
  const numbers = Array.from({ length: 20 }, (_, number) => String(number));
  const ended = numbers.map((number) => assert.rejects(relay.telemetry(null, Buffer.from(number), { tag: number }), RelayEnded));
  assert.equal((await relay.unsent()).length, 20);
  relay.kill();
  await Promise.all(ended);
  await assert.rejects(relay.state(null, "late"), RelayEnded);
  const left = await relay.unsent();
  assert.deepEqual(left.map(({ tag }) => tag), [...numbers, undefined]);
  bridge.arrived = {};
  relay = bridge.relay();
  await Promise.all(JSON.parse(JSON.stringify(left)).map((operation) => relay.sendAgain(operation)));
  assert.deepEqual(await relay.close(), []);
  assert.deepEqual(bridge.arrived, { "my-gateway": numbers });
}

async function whatIsInTheStoreIsLeftToTheNextRelay() {
  const store = join(folder, "store-node");
  let relay = bridge.relay({ port: CLOSED_PORT, store });
  for (const tag of ["0", "1", "2"]) await relay.telemetry(null, tag, { tag, until: "stored" });
  assert.deepEqual(await relay.unsent(), []);
  let events = relay.events();
  const late = assert.rejects(relay.telemetry(null, "3", { tag: "3" }), RelayEnded);
  await eventOf(events, "stored");
  relay.kill();
  await late;
  assert.deepEqual(await relay.unsent(), []);
  relay = bridge.relay({ port: CLOSED_PORT, store, drainTimeout: 1 });
  events = relay.events();
  const last = assert.rejects(relay.telemetry(null, "4"), ({ code, isStored, retry, operation }) => code === "closed"
    && isStored && retry === "kept" && operation === undefined);
  await eventOf(events, "stored");
  assert.deepEqual(await relay.close(), []);
  await last;
  bridge.arrived = {};
  relay = bridge.relay({ store });
  events = relay.events();
  const tags = [];
  for (let n = 0; n < 5; n++) tags.push((await eventOf(events, "restored")).tag);
  assert.deepEqual(tags, ["0", "1", "2", "3", null]);
  assert.deepEqual(await relay.close(), []);
  assert.deepEqual(bridge.arrived, { "my-gateway": ["0", "1", "2", "3", "4"] });
}

async function whatIsGivenTooLateFailsAtOnce() {
  const relay = bridge.relay({ port: CLOSED_PORT, drainTimeout: 2 });
  const early = assert.rejects(relay.telemetry(null, "early"), { code: "closed" });
  assert.equal((await relay.unsent()).length, 1);
  const closing = relay.close();
  for (let when = 0; when < 2; when += 1) { // while it closes, and once it has
    const begun = performance.now();
    await assert.rejects(relay.telemetry(null, "late", { tag: "t" }), ({ code, certainty, retry, operation }) => code === "closed"
      && certainty === "confirmed" && retry === "backoff" && operation.payload === "late" && operation.tag === "t");
    for (const call of [relay.attach("boiler-7"), relay.stats(), relay.connected()]) {
      await assert.rejects(call, ({ code, operation }) => code === "closed" && operation === undefined);
    }
    assert.ok(performance.now() - begun < 500);
    await closing;
  }
  assert.deepEqual((await closing).map(({ payload }) => payload), ["early", "late"]);
  assert.deepEqual((await relay.unsent()).map(({ payload }) => payload), ["early", "late", "late"]);
  await early;
}

/** Runs a script of this folder in a process group of its own, with the relay's options in the environment. */
function program(script, options, ...more) {
  const given = Object.entries({ host: "localhost", ca: "ca.pem", key: "gateway.pem", algorithm: "ES256", project: "my-project",
    location: "us-central1", registry: "my-registry", gateway: "my-gateway", ...options });
  const variables = Object.fromEntries(given.map(([name, value]) => [`IOTCORE_${name.toUpperCase()}`, String(value)]));
  const env = { ...process.env, ...variables, PATH: [dirname(RELAY), process.env.PATH].join(delimiter) };
  const path = fileURLToPath(new URL(script, import.meta.url));
  return spawn(process.execPath, [path, ...more], { cwd: folder, env, detached: true, stdio: ["ignore", "pipe", "ignore"] });
}

async function whatTheExampleKeepsItsNextStartSends() {
  bridge.arrived = {};
  const kept = [];
  for (const [port, time] of [[CLOSED_PORT, 1500], [bridge.port, 500]]) {
    const example = program("example-keep.mjs", { port, drain_timeout: 1 });
    await sleep(time);
    example.kill("SIGTERM");
    assert.deepEqual(await once(example, "exit"), [0, null]);
    kept.push(JSON.parse(readFileSync(join(folder, "unsent.json"), "utf8")));
  }
  assert.ok(kept[0].length >= 4 && kept[1].length === 0, JSON.stringify(kept));
  for (const device of ["boiler-7", "bound-sensor"]) {
    const before = kept[0].filter((operation) => operation.device === device).map(({ payload }) => payload);
    assert.deepEqual(bridge.arrived[device].slice(0, before.length), before);
    assert.ok(bridge.arrived[device].length > before.length);
  }
}

async function aCtrlCIsTheProgramsAndItsEndTheRelays() {
  const start = async () => {
    const child = program("test-client.mjs", { port: bridge.port }, "until-signal");
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    assert.equal((await lines.next()).value, "connected");
    return { child, lines };
  };
  const { child, lines } = await start();
  process.kill(-child.pid, "SIGINT"); // as a terminal does
  assert.equal((await lines.next()).value, "sent, left 0");
  await once(child, "exit");
  (await start()).child.kill("SIGKILL");
  assert.equal(bridge.connections.size, 1);
  while (bridge.connections.size > 0) await sleep(50); // a relay whose program is gone ends, too
}

async function untilSignal() {
  const relay = new Relay();
  await relay.connected();
  const signalled = once(process, "SIGINT");
  console.log("connected");
  await signalled;
  await sleep(300); // what the relay does with a signal, it has done
  await relay.telemetry(null, "last");
  console.log(`sent, left ${(await relay.close()).length}`);
}

async function withoutAConnectionItIsToldWhy() {
  const warnings = [];
  process.on("warning", ({ message }) => warnings.push(message));
  let relay = bridge.relay({ port: CLOSED_PORT, drainTimeout: 1 });
  for (let attempt = 0; attempt < 2; attempt += 1) {
    await assert.rejects(relay.connected(), (error) => error instanceof NotConnected && error.code === "dial_failed"
      && error.message.includes("check --host and --port"));
    await relay.stats();
    assert.match(warnings.at(-1), /check --host and --port.*; the next attempt is in \d+\.\d s$/);
  }
  assert.equal((await relay.stats()).last_disconnect.reason, "dial_failed");
  assert.deepEqual(await relay.close(), []);
  relay = bridge.relay({ gateway: "boiler-7" });
  await assert.rejects(relay.connected(), { code: "refused", message: /boiler-7/ });
  assert.deepEqual(await relay.close(), []);
}

async function whateverEndsTheRelayIsAnErrorOfAllThatWaits() {
  for (const [options, how] of [
    [{ colour: "red" }, /exit code 2\n(.|\n)*unexpected argument '--colour'/],
    [{ key: "/no/such.pem" }, /exit code 1\n(.|\n)*cannot read the key file \/no\/such.pem/],
    [{ ca: join(folder, "gateway.pem") }, /exit code 1\n(.|\n)*no certificate in the CA file/],
    [{ port: CLOSED_PORT, noReconnect: true }, /exit code 1\n(.|\n)*check --host and --port/],
  ]) {
    const relay = bridge.relay(options);
    const events = relay.events();
    const waiting = [relay.attach("boiler-7"), relay.messages().next()].map((call) => assert.rejects(call, RelayError));
    await assert.rejects(async () => { for await (const _ of events); }, how);
    await Promise.all(waiting);
    for (const late of [relay.stats(), relay.connected(), relay.close(), relay.events().next()]) await assert.rejects(late, how);
  }
  const relay = bridge.relay({ port: CLOSED_PORT });
  const waiting = assert.rejects(relay.attach("boiler-7"), /SIGKILL/);
  await relay.stats();
  relay.kill();
  await waiting;
  await assert.rejects(relay.close(), RelayEnded);
}

async function everyTextArrivesAndWhatCannotBeSentSaysSo() {
  const relay = bridge.relay();
  const commands = relay.messages("boiler-7");
  await relay.attach("boiler-7", { config: null });
  bridge.tell("command boiler-7 line\u2028separator");
  const { value } = await commands.next();
  assert.equal(value.payload.toString(), "line\u2028separator");
  await assert.rejects(relay.telemetry("boiler-7", "x".repeat(3 << 20)), (error) => error.code === "line_too_long");
  await assert.rejects(relay.telemetry(undefined, "x"), TypeError);
  await assert.rejects(relay.telemetry("boiler-7", "x", { expires_after: NaN }), TypeError);
  await relay.close();
}

async function whatIsNoRelayIsAnError() {
  await assert.rejects(new Relay({}, "cat").stats(), /output cannot be read/);
  await assert.rejects(new Relay({}, "no-such-program").stats(), /could not be run: .*no-such-program/);
}

async function aFullPipeIsWaitedForAndGivenUpWithTheRelay() {
  const relay = bridge.relay({ port: CLOSED_PORT, maxQueued: 1 });
  // 100 are read, and a pipe holds 64 KiB.
  const sends = Array.from({ length: 300 }, () => assert.rejects(relay.telemetry(null, "x".repeat(10_000)), RelayEnded));
  await sleep(300);
  relay.kill();
  await Promise.all(sends);
  await assert.rejects(relay.close(), RelayEnded);
}

async function addSensors() {
  await bridge.start();
  await bridge.stop();
  const file = join(folder, "registry.json");
  const registry = JSON.parse(readFileSync(file, "utf8"));
  registry.devices.push(...SENSORS.map((id) => ({ id })));
  registry.gateways[0].bound_devices.push(...SENSORS);
  writeFileSync(file, JSON.stringify(registry));
}

async function runTests() {
  process.removeAllListeners("warning");
  setTimeout(() => { console.error("it took longer than 60 s"); process.exit(1); }, 60_000).unref();
  await addSensors();
  await bridge.start();
  try {
    for (const test of [
      messagesAndAnswersAreWhatTheBridgeSays,
      twentyDevicesLoseNothingOverCutsAndARestartOfTheBridge,
      whatIsCancelledIsTakenBack,
      whatARelayLeavesUnsentTheNextOneSends,
      whatIsInTheStoreIsLeftToTheNextRelay,
      whatIsGivenTooLateFailsAtOnce,
      whatTheExampleKeepsItsNextStartSends,
      withoutAConnectionItIsToldWhy,
      whateverEndsTheRelayIsAnErrorOfAllThatWaits,
      aCtrlCIsTheProgramsAndItsEndTheRelays,
      everyTextArrivesAndWhatCannotBeSentSaysSo, whatIsNoRelayIsAnError,
      aFullPipeIsWaitedForAndGivenUpWithTheRelay,
    ]) {
      const begun = performance.now();
      await test();
      console.log(`${test.name}: passed in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    }
  } finally {
    await bridge.stop();
    rmSync(folder, { recursive: true });
  }
}

await (isTest ? runTests() : untilSignal());
