"""A gateway that makes the calls of the vendor's Python page, in the same order and style.

Rewritten; only the behaviour on the wire matters:

* its own two subscriptions and the attach are sent before CONNACK is read;
* an attach without a token contains an empty one, in JSON with a space before the colon;
* nothing is read for five seconds after the attach, and it does not wait for the PUBACK;
* then it subscribes, to its own config a second time and to its errors last;
* it reads about one packet per second;
* it reconnects with its current token, and does not subscribe or attach again;
* for a fresh token it creates a new client with the same identifier, and drops the old one without DISCONNECT;
* it detaches last, and ends without reading the PUBACK and without DISCONNECT.
"""

import argparse
import random
import ssl
import time
from datetime import datetime, timedelta, timezone

import jwt
import paho.mqtt.client as paho

LONGEST_BACKOFF = 32


def say(*words):
    print(*words, flush=True)


def read_options():
    parser = argparse.ArgumentParser()
    for name in ("host", "project", "location", "registry", "gateway", "device", "key", "algorithm", "ca"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-minutes", type=float, default=60, help="until a new client takes over")
    parser.add_argument("--rounds", type=int, required=True, help="how often to read, once a second")
    parser.add_argument("--stranger", help="a device to attach in the first round")
    return parser.parse_args()


class Sample:
    def __init__(self, options):
        self.options = options
        self.backoff = 1
        self.is_lost = False

    def token(self):
        issued = datetime.now(tz=timezone.utc)
        claims = {"iat": issued, "exp": issued + timedelta(minutes=20), "aud": self.options.project}
        with open(self.options.key, encoding="ascii") as file:
            return jwt.encode(claims, file.read(), algorithm=self.options.algorithm)

    def new_client(self):
        o = self.options
        client = paho.Client(
            client_id=f"projects/{o.project}/locations/{o.location}/registries/{o.registry}/devices/{o.gateway}"
        )
        client.username_pw_set(username="unused", password=self.token())
        client.tls_set(ca_certs=o.ca, tls_version=ssl.PROTOCOL_TLSv1_2)
        client.on_connect = self.on_connect
        client.on_disconnect = self.on_disconnect
        client.on_publish = lambda _client, _data, identifier: say("puback", identifier)
        client.on_message = lambda _client, _data, message: say(
            "message", message.topic, message.qos, message.payload.decode("utf-8")
        )
        client.connect(o.host, o.port)
        client.subscribe(f"/devices/{o.gateway}/config", qos=1)
        client.subscribe(f"/devices/{o.gateway}/commands/#", qos=0)
        return client

    def on_connect(self, _client, _data, _flags, code):
        say("connack", code)
        self.is_lost = False
        self.backoff = 1

    def on_disconnect(self, _client, _data, code):
        say("lost", code)
        self.is_lost = True

    def attach(self, client, device):
        sent = client.publish(f"/devices/{device}/attach", '{"authorization" : ""}', qos=1)
        say("attach", device, sent.mid)

    def reconnect(self, client):
        time.sleep(self.backoff + random.randint(0, 1000) / 1000)
        self.backoff *= 2
        client.connect(self.options.host, self.options.port)

    def run(self):
        o = self.options
        issued = time.monotonic()
        client = self.new_client()
        self.attach(client, o.device)
        time.sleep(5)
        client.subscribe(f"/devices/{o.device}/config", qos=1)
        client.subscribe(f"/devices/{o.gateway}/config", qos=1)
        client.subscribe(f"/devices/{o.gateway}/errors", qos=0)
        for number in range(o.rounds):
            client.loop()
            if number == 0 and o.stranger:
                self.attach(client, o.stranger)
            if self.is_lost:
                if self.backoff > LONGEST_BACKOFF:
                    say("gave up")
                    break
                self.reconnect(client)
            if int(time.monotonic() - issued) > 60 * o.token_minutes:
                say("fresh token")
                issued = time.monotonic()
                client = self.new_client()
            time.sleep(1)
        client.publish(f"/devices/{o.device}/detach", "{}", qos=1)
        say("detach", o.device)


Sample(read_options()).run()
