// A gateway that makes the calls of the vendor's Node page, in the same order and style, and adds the two functions
// that the page leaves out: one that mints the token, one that attaches.
//
// It waits five seconds after CONNACK, subscribes to its errors and attaches, one after the other, waits, and closes
// the connection without DISCONNECT: it neither detaches nor requests a config. Messages are decoded from base64
// although they are already bytes, which changes nothing, and as ASCII, which strips the eighth bit.
"use strict";

const { readFileSync } = require("node:fs");
const { parseArgs } = require("node:util");
const jsonwebtoken = require("jsonwebtoken");
const mqtt = require("mqtt");

const names = ["host", "port", "project", "location", "registry", "gateway", "device", "key", "algorithm", "ca"];
const { values: option } = parseArgs({
  options: Object.fromEntries([...names, "milliseconds"].map((name) => [name, { type: "string" }])),
});

function mintToken() {
  const issued = Math.floor(Date.now() / 1000);
  const claims = { iat: issued, exp: issued + 20 * 60, aud: option.project };
  return jsonwebtoken.sign(claims, readFileSync(option.key), { algorithm: option.algorithm });
}

function attach(client) {
  client.publish(`/devices/${option.device}/attach`, "{}", { qos: 1 }, (error) =>
    console.log(error ? `attach failed: ${error.message}` : `puback attach ${option.device}`),
  );
}

const client = mqtt.connect({
  host: option.host,
  port: Number(option.port),
  clientId: `projects/${option.project}/locations/${option.location}/registries/${option.registry}/devices/${option.gateway}`,
  username: "unused",
  password: mintToken(),
  protocol: "mqtts",
  qos: 1, // not an option of CONNECT: MQTT.js must ignore it
  secureProtocol: "TLSv1_2_method",
  ca: [readFileSync(option.ca)],
});

client.on("connect", (connack) => {
  console.log(`connack ${connack.returnCode} ${client.stream.getProtocol()}`);
  setTimeout(() => {
    client.subscribe(`/devices/${option.gateway}/errors`, { qos: 0 });
    attach(client);
    setTimeout(() => client.end(true), Number(option.milliseconds));
  }, 5000);
});
client.on("message", (topic, message) => {
  console.log(`message ${topic} ${Buffer.from(message, "base64").toString("ascii")}`);
});
client.on("error", (error) => console.log(`error ${error.message}`));
client.on("close", () => console.log("closed"));
