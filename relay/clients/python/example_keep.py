"""Publishes a reading a second of devices, with or without a network, until Ctrl-C or SIGTERM. What is unsent then is kept in the
file unsent.json, and sent by the next start. Usage: example_keep.py [DEVICE ...]"""

import asyncio
import json
import pathlib
import signal
import sys
import time
from typing import Awaitable

from iotcore_relay import Relay, RelayEnded, RelayError

FILE = pathlib.Path("unsent.json")


async def main(devices: "list[str]") -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = set()

    async def report(call: Awaitable[None]) -> None:
        try:
            await call
        except RelayError as error:
            print(error, file=sys.stderr)
            if isinstance(error, RelayEnded):
                stop.set()

    def begin(call: Awaitable[None]) -> None:  # in the order of the calls, and none waits for another
        task = asyncio.create_task(report(call))
        running.add(task)
        task.add_done_callback(running.discard)

    relay = Relay()  # its options are in the environment: IOTCORE_HOST and so on
    await relay.start()
    try:
        for device in devices:
            begin(relay.attach(device))  # not awaited: telemetry may follow the call of `attach`, but not precede it
        for operation in json.loads(FILE.read_text()) if FILE.exists() else []:
            begin(relay.send_again(operation))
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            for device in devices:
                begin(relay.telemetry(device, json.dumps({"at": time.time()})))
            await asyncio.wait([stopping], timeout=1)
    finally:
        try:
            await relay.close()
        finally:
            FILE.write_text(json.dumps(await relay.unsent()))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or ["boiler-7", "bound-sensor"]))
