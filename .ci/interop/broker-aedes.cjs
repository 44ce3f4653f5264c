// node broker-aedes.cjs FOLDER PORT TLS_PORT: the broker aedes, plain and over TLS; prints clients that connect and disconnect.
"use strict";

const { readFileSync } = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const tls = require("node:tls");
const aedes = require("aedes");

const [folder, port, tlsPort] = process.argv.slice(2);
const read = (name) => readFileSync(path.join(folder, name));

const broker = aedes();
broker.on("client", (client) => console.log(`connected ${client.id}`));
broker.on("clientDisconnect", (client) => console.log(`gone ${client.id}`));
broker.on("clientError", (client, error) => console.log(`error ${client.id}: ${error.message}`));
broker.on("connectionError", (_client, error) => console.log(`error before CONNECT: ${error.message}`));

net.createServer(broker.handle).listen(Number(port), "127.0.0.1");
tls
  .createServer({ cert: read("server.pem"), key: read("server.key"), minVersion: "TLSv1.2" }, broker.handle)
  .listen(Number(tlsPort), "127.0.0.1");
