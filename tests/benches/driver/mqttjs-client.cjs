// The same load with MQTT.js: `node mqttjs-client.cjs PORT` prints its figures as a line of JSON.
"use strict";

const mqtt = require("mqtt");

const MESSAGES = 100_000;
const WINDOW = 100;
const SINGLES = 5_000;
const WARM_UP = 500;
const PAYLOAD = Buffer.alloc(64, "x");
const TOPIC = "/devices/device-1/events";

const now = () => Number(process.hrtime.bigint()) / 1e3; // microseconds

function cpu() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Publishes all messages, with a window of them in flight. */
function publishAll(client) {
  return new Promise((resolve, reject) => {
    let sent = 0;
    let done = 0;
    const acknowledged = (error) => {
      if (error) return reject(error);
      done += 1;
      if (done === MESSAGES) return resolve();
      if (sent < MESSAGES) publish();
    };
    const publish = () => {
      sent += 1;
      client.publish(TOPIC, PAYLOAD, { qos: 1 }, acknowledged);
    };
    for (let n = 0; n < WINDOW; n += 1) publish();
  });
}

async function main() {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${process.argv[2]}`, { clientId: "mqttjs" });
  const begun = { wall: now(), cpu: cpu() };
  await publishAll(client);
  const taken = { wall: now() - begun.wall, cpu: cpu() - begun.cpu };

  const latencies = [];
  for (let n = 0; n < SINGLES; n += 1) {
    const start = now();
    await client.publishAsync(TOPIC, PAYLOAD, { qos: 1 });
    latencies.push(now() - start);
  }
  await client.endAsync();
  const sorted = latencies.slice(WARM_UP).sort((a, b) => a - b);
  const percentile = (percent) => sorted[Math.floor((sorted.length * percent) / 100)];
  console.log(
    JSON.stringify({
      client: "mqtt.js",
      cpu_micros: taken.cpu / MESSAGES,
      messages_per_second: (MESSAGES / taken.wall) * 1e6,
      p50_micros: percentile(50),
      p99_micros: percentile(99),
    }),
  );
}

main();
