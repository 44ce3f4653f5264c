"""Runs against a relay and an emulator, which relay/tests/program/clients.rs starts: it answers lines such as `cut`."""

import asyncio
import json
import os
import sys

from iotcore_relay import NotConnected, OperationFailed, Relay, RelayEnded

OPTIONS = json.loads(os.environ["OPTIONS"])
OFFLINE = json.loads(os.environ["OFFLINE"])
PROGRAM = os.environ["RELAY"]


async def scenario() -> None:
    async with await Relay.start(OPTIONS, PROGRAM, {}) as relay:
        await relay.connected()
        messages = relay.messages("boiler-7")
        await relay.attach("boiler-7")
        assert (await messages.__anext__()).kind == "config"
        await relay.telemetry("boiler-7", "71", subfolder="a/b", tag="t")
        await relay.state("boiler-7", b"\xff")
        print("command", flush=True)
        command = await messages.__anext__()
        assert (command.kind, command.text) == ("command", "close"), command
        try:
            await relay.attach("stranger-1")
            raise AssertionError("stranger-1 was attached")
        except OperationFailed as error:
            assert error.code == "gateway_attachment_error" and error.retry == "never", error
        assert {"boiler-7", "gateway-1"} <= {device["device"] for device in await relay.devices()}
        assert (await relay.stats())["published"] == 2
        events = relay.events()
        print("cut", flush=True)
        while (await events.__anext__())["event"] != "disconnected":
            pass
        sends = [asyncio.create_task(relay.telemetry("boiler-7", str(n))) for n in range(1000)]
        taken_back = asyncio.create_task(relay.telemetry("boiler-7", "never"))
        await asyncio.sleep(0.1)
        taken_back.cancel()
        await asyncio.gather(*sends)
        assert await relay.unsent() == []
        assert await relay.close() == 0

    offline = await Relay.start(OFFLINE, PROGRAM, {})
    try:
        await offline.connected()
        raise AssertionError("it connected")
    except NotConnected as error:
        assert error.code == "dial_failed" and "--host" in str(error), error
    waiting = asyncio.create_task(offline.attach("boiler-7"))
    await asyncio.sleep(0.1)
    offline._process.kill()
    for ended in (waiting, offline.stats(), offline.connected()):
        try:
            await ended
            raise AssertionError("a killed relay answered")
        except RelayEnded as error:
            assert "exit code -9" in str(error), error
    assert [message async for message in offline.messages()] == []

    wrong = await Relay.start(["--host"], PROGRAM, {})
    try:
        await wrong.attach("boiler-7")
        raise AssertionError("a relay without options answered")
    except RelayEnded as error:
        assert "exit code 2" in str(error) and "--host" in str(error), error


asyncio.run(asyncio.wait_for(scenario(), 60))
print("passed", flush=True)
