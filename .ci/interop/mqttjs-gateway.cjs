// A gateway with five devices on MQTT.js: each operation waits for its acknowledgement.
// Prints one line per completed step; waits for the operator where it prints `ready`.
"use strict";

const { readFileSync } = require("node:fs");
const { setTimeout: sleep } = require("node:timers/promises");
const { parseArgs } = require("node:util");
const jsonwebtoken = require("jsonwebtoken");
const mqtt = require("mqtt");

const names = ["host", "port", "project", "location", "registry", "gateway", "key", "ca"];
const { values: option, positionals: devices } = parseArgs({
  options: Object.fromEntries(names.map((name) => [name, { type: "string" }])),
  allowPositionals: true,
});
const PATIENCE = 10_000; // milliseconds
const STATE_PACE = 1_250; // two states within a second detach the device

/** Keeps what comes until somebody asks for it. */
class Inbox {
  #messages = [];

  add(topic, payload) {
    this.#messages.push({ topic, text: payload.toString("utf8") });
  }

  async take(topic) {
    for (const deadline = Date.now() + PATIENCE; Date.now() < deadline; await sleep(20)) {
      const index = this.#messages.findIndex((message) => message.topic === topic);
      if (index >= 0) return this.#messages.splice(index, 1)[0].text;
    }
    throw new Error(`nothing came on ${topic}`);
  }

  /** What nobody has asked for. */
  get rest() {
    return this.#messages;
  }
}

function expect(what, is, wanted) {
  if (is !== wanted) throw new Error(`${what}: is ${JSON.stringify(is)}, not ${JSON.stringify(wanted)}`);
  console.log(what);
}

function inTime(what, promise) {
  const late = sleep(PATIENCE, undefined, { ref: false }).then(() => {
    throw new Error(`${what}: no acknowledgement`);
  });
  return Promise.race([promise, late]);
}

async function connect(inbox) {
  const issued = Math.floor(Date.now() / 1000);
  const claims = { iat: issued, exp: issued + 3600, aud: option.project };
  const client = mqtt.connect({
    host: option.host,
    port: Number(option.port),
    protocol: "mqtts",
    ca: [readFileSync(option.ca)],
    clientId: `projects/${option.project}/locations/${option.location}/registries/${option.registry}/devices/${option.gateway}`,
    username: "unused",
    password: jsonwebtoken.sign(claims, readFileSync(option.key), { algorithm: "ES256" }),
    resubscribe: false, // otherwise it considers itself subscribed after a detach, and sends no SUBSCRIBE
  });
  client.on("message", (topic, payload) => inbox.add(topic, payload));
  client.on("close", () => console.log("closed"));
  await inTime("CONNECT", new Promise((done, failed) => client.once("connect", done).once("error", failed)));
  console.log("connected");
  return client;
}

async function run() {
  const inbox = new Inbox();
  const client = await connect(inbox);
  const publish = (device, what, payload, qos = 1) =>
    inTime(`${device} ${what}`, client.publishAsync(`/devices/${device}/${what}`, payload, { qos }));
  const subscribe = async (filter, qos) => {
    const [granted] = await inTime(filter, client.subscribeAsync(filter, { qos }));
    expect(`subscribed ${filter}`, granted.qos, qos);
  };
  const attach = async (device) => {
    await publish(device, "attach", "{}");
    console.log(`attached ${device}`);
    await subscribe(`/devices/${device}/config`, 1);
    await subscribe(`/devices/${device}/commands/#`, 1);
  };

  await subscribe(`/devices/${option.gateway}/errors`, 0);
  for (const device of devices) {
    await attach(device);
    expect(`first config of ${device}`, await inbox.take(`/devices/${device}/config`), "");
  }

  await Promise.all(
    devices.map(async (device, number) => {
      await publish(device, "events", `once ${number}`, 0);
      await publish(device, "events/inside/door", `twice ${number}`);
      await publish(device, "state", `on ${number}`);
    }),
  );
  console.log("published");
  const statesSent = sleep(STATE_PACE);

  console.log("ready");
  for (const device of devices) {
    expect(`config of ${device}`, await inbox.take(`/devices/${device}/config`), `config for ${device}`);
    expect(`command of ${device}`, await inbox.take(`/devices/${device}/commands/lamp`), `command for ${device}`);
  }

  const [hasty, other] = devices;
  await statesSent;
  await publish(hasty, "state", "in time");
  let isTaken = false;
  client.publish(`/devices/${hasty}/state`, "too fast", { qos: 1 }, (error) => (isTaken = !error));
  const unanswered = client.getLastMessageId();
  const report = JSON.parse(await inbox.take(`/devices/${option.gateway}/errors`));
  expect(`report of ${report.device_id}: ${report.error_type}`, report.error_type, "GATEWAY_DETACHMENT_DEVICE_ERROR");
  expect("report is about the hasty device", report.device_id, hasty);
  await publish(other, "events", "still attached");
  expect("the state that was too fast is not acknowledged", isTaken, false);
  client.removeOutgoingMessage(unanswered);

  await attach(hasty);
  expect("config after the attach", await inbox.take(`/devices/${hasty}/config`), `config for ${hasty}`);
  await sleep(STATE_PACE);
  await publish(hasty, "state", "patient");
  console.log(`patient ${hasty}`);

  for (const device of devices) {
    await publish(device, "detach", "{}");
    console.log(`detached ${device}`);
  }
  expect("nothing else came", JSON.stringify(inbox.rest), "[]");
  await inTime("DISCONNECT", client.endAsync());
  console.log("finished");
}

run().catch((error) => {
  console.error(error);
  process.exit(1);
});
