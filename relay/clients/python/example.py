"""Attaches devices; each publishes a reading a second, and reports its config as its state. Usage: example.py [DEVICE ...]"""

import asyncio
import json
import sys

from iotcore_relay import Feed, Message, OperationFailed, Relay, RelayError

READINGS = 3  # of each device; a gateway goes on for ever


async def run(relay: Relay, device: str) -> None:
    messages = relay.messages(device)  # before the attach: the config comes at once
    await relay.attach(device)
    tasks = [asyncio.create_task(publish(relay, device)), asyncio.create_task(follow(relay, messages))]
    ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for task in ended:
        task.result()  # raises what it has raised: what a task raises that nobody awaits is not seen


async def publish(relay: Relay, device: str) -> None:
    for number in range(READINGS):
        await relay.telemetry(device, json.dumps({"celsius": 70 + number}))
        print(device, "published", number)
        await asyncio.sleep(1)


async def follow(relay: Relay, messages: "Feed[Message]") -> None:
    async for message in messages:
        print(message.device, message.kind, message.text)
        if message.kind == "config":
            try:
                await relay.state(message.device, message.payload)
            except OperationFailed as error:
                if error.code != "superseded":  # by a newer state
                    raise


async def main(devices: "list[str]") -> None:
    async with Relay() as relay:  # its options are in the environment: IOTCORE_HOST and so on
        await relay.connected()  # or ends and says why not; without this line it waits for as long as it takes
        await asyncio.gather(*(run(relay, device) for device in devices))


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1:] or ["boiler-7", "bound-sensor"]))
    except RelayError as error:
        sys.exit(str(error))
