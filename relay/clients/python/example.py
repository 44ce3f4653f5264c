"""Attaches boiler-7, publishes each second, and reports each config as its state. It ends on an error, and says why."""

import asyncio
import json
import sys

from iotcore_relay import NotConnected, OperationFailed, Relay, RelayError


async def report_configs(relay: Relay) -> None:
    async for message in relay.messages("boiler-7", "config"):
        print("config", message.text)
        try:
            await relay.state("boiler-7", message.payload)
        except OperationFailed as error:
            if error.code != "superseded":  # by a newer state
                raise


async def main() -> None:
    async with await Relay.start() as relay:  # its options are in the environment: IOTCORE_HOST and so on
        while True:
            try:
                await relay.connected()
                break
            except NotConnected as error:
                print(error, file=sys.stderr)
                if error.code not in ("dial_failed", "peer_closed", "broken"):
                    raise
        configs = asyncio.create_task(report_configs(relay))
        await asyncio.wait_for(relay.attach("boiler-7"), 60)
        for number in range(3):
            await relay.telemetry("boiler-7", json.dumps({"celsius": 70 + number}))
            print("published", number)
            await asyncio.sleep(1)
    await configs


try:
    asyncio.run(main())
except RelayError as error:
    sys.exit(str(error))
