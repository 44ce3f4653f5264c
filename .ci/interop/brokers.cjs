// node brokers.cjs COUNT URL [CA]: with MQTT 3.1.1, publishes COUNT messages with QoS 1 to itself through a broker.
// Succeeds if each is acknowledged and received once, in order.
"use strict";

const { readFileSync } = require("node:fs");
const mqtt = require("mqtt");

const [count, url, ca] = process.argv.slice(2);

async function run() {
  const client = await mqtt.connectAsync(url, { protocolVersion: 4, ...(ca && { ca: [readFileSync(ca)] }) }, false);
  const numbers = [...Array(Number(count)).keys()].map(String);
  const came = [];
  const all = new Promise((done) => {
    client.on("message", (_topic, payload, packet) => {
      came.push(`${payload} QoS ${packet.qos}`);
      if (came.length === numbers.length) done();
    });
  });
  const [granted] = await client.subscribeAsync("/devices/sensor/#", { qos: 1 });
  await Promise.all(numbers.map((number) => client.publishAsync("/devices/sensor/events", number, { qos: 1 })));
  await all;
  await client.endAsync();
  const wanted = numbers.map((number) => `${number} QoS 1`);
  if (granted.qos !== 1 || came.join() !== wanted.join()) throw new Error(`QoS ${granted.qos}, came: ${came.join()}`);
}

run().catch((error) => {
  console.error(error);
  process.exit(1);
});
