"""The same load with paho-mqtt: `python paho-client.py PORT` prints its figures as a line of JSON."""

import json
import sys
import threading
import time

import paho.mqtt.client as mqtt

MESSAGES = 100_000
WINDOW = 100
SINGLES = 5_000
WARM_UP = 500
PAYLOAD = b"x" * 64
TOPIC = "/devices/device-1/events"

client = mqtt.Client("paho")
client.max_inflight_messages_set(WINDOW)
connected = threading.Event()
acknowledged = threading.Semaphore(0)
client.on_connect = lambda *_: connected.set()
client.on_publish = lambda *_: acknowledged.release()
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_start()
connected.wait()

begun = time.perf_counter(), time.process_time()
for n in range(MESSAGES):
    if n >= WINDOW:
        acknowledged.acquire()
    client.publish(TOPIC, PAYLOAD, qos=1)
for _ in range(WINDOW):
    acknowledged.acquire()
wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]

latencies = []
for _ in range(SINGLES):
    start = time.perf_counter()
    client.publish(TOPIC, PAYLOAD, qos=1)
    acknowledged.acquire()
    latencies.append(time.perf_counter() - start)
client.disconnect()
client.loop_stop()

latencies = sorted(latencies[WARM_UP:])
print(
    json.dumps(
        {
            "client": "paho",
            "cpu_micros": cpu * 1e6 / MESSAGES,
            "messages_per_second": MESSAGES / wall,
            "p50_micros": latencies[len(latencies) * 50 // 100] * 1e6,
            "p99_micros": latencies[len(latencies) * 99 // 100] * 1e6,
        }
    )
)
