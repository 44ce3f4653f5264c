"""Runs the client against an emulator of the bridge: `BRIDGE=path/to/iotcore-bridge RELAY=path/to/iotcore-relay python3 test_client.py`."""

import asyncio
import json
import logging
import os
import pathlib
import tempfile
import time

from iotcore_relay import InvalidOperation, Message, NotConnected, OperationFailed, Relay, RelayEnded, RelayError

RELAY = os.path.abspath(os.environ["RELAY"])
BRIDGE = os.path.abspath(os.environ["BRIDGE"])
SENSORS = [f"sensor-{number}" for number in range(20)]
CLOSED_PORT = 1  # reserved and unused


class Bridge:
    """The emulator with the example registry, in a folder, and its port."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.port = 0
        self.arrived: dict[str, list[str]] = {}

    async def start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        options = ["--example-registry", self.folder, "--tls-self-signed", self.folder, "--port", str(self.port), "--json"]
        self._process = await asyncio.create_subprocess_exec(BRIDGE, *options, stdin=pipe, stdout=pipe)
        while self.port == 0:
            event = json.loads(await self._process.stdout.readline())
            if event["event"] == "listening":
                self.port = int(event["address"].rpartition(":")[2])
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] == "telemetry":
                self.arrived.setdefault(event["device"], []).append(event.get("payload", ""))

    def tell(self, command: str) -> None:
        self._process.stdin.write(command.encode() + b"\n")

    async def stop(self) -> None:
        self.tell("quit")
        await self._reading
        await self._process.wait()

    def add_sensors(self) -> None:
        """Registers 20 more devices, which takes a start."""
        file = pathlib.Path(self.folder, "registry.json")
        registry = json.loads(file.read_text())
        registry["devices"] += [{"id": sensor} for sensor in SENSORS]
        registry["gateways"][0]["bound_devices"] += SENSORS
        file.write_text(json.dumps(registry))

    def relay(self, **options) -> Relay:
        given = dict(host="localhost", port=self.port, ca=f"{self.folder}/ca.pem", key=f"{self.folder}/gateway.pem")
        given.update(algorithm="ES256", project="my-project", location="us-central1", registry="my-registry", gateway="my-gateway")
        return Relay(RELAY, **{**given, **options})


async def error_of(awaitable, kind):
    try:
        result = await asyncio.wait_for(awaitable, 20)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected, not {result}")


async def event_of(events, name: str):
    async for event in events:
        if event["event"] == name:
            return event


async def messages_and_answers_are_what_the_bridge_says(bridge: Bridge) -> None:
    async with bridge.relay() as relay:
        await relay.connected()
        messages = relay.messages("boiler-7")
        await relay.attach("boiler-7")
        config = await messages.__anext__()
        assert config == Message("config", "boiler-7", None, b'{"target":20}', config.delivery), config
        bridge.tell("command boiler-7 --subfolder valve close")
        command = await messages.__anext__()
        assert (command.kind, command.subfolder, command.text) == ("command", "valve", "close"), command
        await relay.telemetry("boiler-7", b"\xff", subfolder="a/b", tag="t", priority="urgent", expires_after=60)
        await relay.telemetry(None, "own", qos=0)
        await relay.state("boiler-7", "open")
        refused = await error_of(relay.attach("roaming-sensor"), OperationFailed)
        assert (refused.code, refused.retry) == ("gateway_attachment_error", "never"), refused
        large = await error_of(relay.state("boiler-7", "x" * 70_000, tag="large"), OperationFailed)
        assert large.code == "payload_too_large" and "at most 65536" in str(large), large
        wrong = await error_of(relay.telemetry("boiler-7", "x", qos=7), InvalidOperation)
        assert wrong.code == "illegal_operation" and "0 or 1" in str(wrong), wrong
        stats = await relay.stats()
        assert (stats["connected"], stats["published"]) == (True, 3), stats
        states = {device["device"]: device["state"] for device in await relay.devices()}
        assert states == {"boiler-7": "attached", "my-gateway": "attached", "roaming-sensor": "refused"}, states
        await relay.detach("boiler-7")
        assert await relay.close() == 0
        assert [message async for message in messages] == []


async def twenty_devices_lose_nothing_over_cuts_and_a_restart_of_the_bridge(bridge: Bridge) -> None:
    count = 100

    async def run(sensor: str) -> None:
        await relay.attach(sensor)
        for number in range(count):
            await relay.telemetry(sensor, str(number))
            await asyncio.sleep(0.01)

    bridge.arrived.clear()
    async with bridge.relay(backoff_min=200) as relay:
        events = relay.events()
        running = [asyncio.create_task(run(sensor)) for sensor in SENSORS]
        await event_of(events, "connected")
        await asyncio.sleep(0.3)
        bridge.tell("drop my-gateway")
        await event_of(events, "connected")
        await bridge.stop()
        await event_of(events, "disconnected")
        await bridge.start()
        await asyncio.gather(*running)
        assert relay.is_connected and relay.last_disconnect is not None
        stats = await relay.stats()
        assert stats["connections"] >= 3 and stats["published"] == 20 * count, stats
    for sensor in SENSORS:
        # At least once; the first copies in order.
        numbers = list(dict.fromkeys(map(int, bridge.arrived[sensor])))
        assert numbers == list(range(count)), (sensor, numbers)


async def what_is_cancelled_is_taken_back(bridge: Bridge) -> None:
    bridge.arrived.clear()
    async with bridge.relay(port=CLOSED_PORT, drain_timeout=1) as relay:
        await error_of(asyncio.wait_for(relay.telemetry(None, "never"), 0.1), asyncio.TimeoutError)
        waiting = asyncio.create_task(relay.telemetry(None, "unsent"))
        while len(await relay.unsent()) != 1:
            pass
        assert await relay.close() == 1
        unsent = await error_of(waiting, OperationFailed)
        assert unsent.code == "closed" and unsent.operation["payload"] == "unsent", unsent
    assert bridge.arrived == {}


async def without_a_connection_it_is_told_why_and_one_that_comes_is_used(bridge: Bridge) -> None:
    async with bridge.relay(port=CLOSED_PORT, drain_timeout=1) as relay:
        for _ in range(2):
            error = await error_of(relay.connected(), NotConnected)
            assert error.code == "dial_failed" and "check --host and --port" in str(error), error
        assert (await relay.stats())["last_disconnect"]["reason"] == "dial_failed"
    async with bridge.relay(gateway="boiler-7") as relay:
        error = await error_of(relay.connected(), NotConnected)
        assert error.code == "refused" and "boiler-7" in str(error), error


async def whatever_ends_the_relay_is_an_error_of_all_that_waits(bridge: Bridge) -> None:
    for options, code, text in [
        (dict(colour="red"), 2, "unexpected argument '--colour'"),
        (dict(key="/no/such.pem"), 1, "cannot read the key file /no/such.pem"),
        (dict(ca=f"{bridge.folder}/gateway.pem"), 1, "no certificate in the CA file"),
        (dict(port=CLOSED_PORT, no_reconnect=True), 1, "check --host and --port"),
    ]:
        try:
            async with bridge.relay(**options) as relay:
                calls = [asyncio.ensure_future(call) for call in (relay.attach("boiler-7"), relay.messages().__anext__())]
                async for _ in relay.events():
                    pass
        except RelayEnded as error:
            assert f"exit code {code}\n" in str(error) and text in str(error), error
        else:
            raise AssertionError(f"{options} ended without an error")
        for call in calls:
            await error_of(call, RelayError)
        for late in (relay.stats(), relay.connected(), relay.close(), relay.events().__anext__()):
            await error_of(late, RelayEnded)
    try:
        async with bridge.relay(port=CLOSED_PORT) as relay:
            waiting = asyncio.ensure_future(relay.attach("boiler-7"))
            await relay.stats()
            relay.kill()
            assert "exit code -9" in str(await error_of(waiting, RelayEnded))
    except RelayEnded:
        return
    raise AssertionError("a killed relay closed")


async def what_is_no_relay_is_an_error(bridge: Bridge) -> None:
    async def use(program: str) -> None:
        async with Relay(program) as relay:
            await relay.stats()

    assert "output cannot be read" in str(await error_of(use("cat"), RelayEnded))
    assert "no-such-program" in str(await error_of(use("no-such-program"), OSError))


async def a_full_pipe_is_waited_for_and_given_up_with_the_relay(bridge: Bridge) -> None:
    relay = bridge.relay(port=CLOSED_PORT, max_queued=1)
    await relay.__aenter__()
    # 100 are read, and a pipe holds 64 KiB.
    sends = [asyncio.ensure_future(relay.telemetry(None, "x" * 10_000)) for _ in range(300)]
    await asyncio.sleep(0.3)
    relay.kill()
    ended = await asyncio.gather(*sends, return_exceptions=True)
    assert {type(end) for end in ended} == {RelayEnded}, ended[-1]
    await error_of(relay.close(), RelayEnded)


async def run_tests(bridge: Bridge) -> None:
    for test in (
        messages_and_answers_are_what_the_bridge_says,
        twenty_devices_lose_nothing_over_cuts_and_a_restart_of_the_bridge,
        what_is_cancelled_is_taken_back,
        without_a_connection_it_is_told_why_and_one_that_comes_is_used,
        whatever_ends_the_relay_is_an_error_of_all_that_waits,
        what_is_no_relay_is_an_error,
        a_full_pipe_is_waited_for_and_given_up_with_the_relay,
    ):
        begun = time.monotonic()
        await asyncio.wait_for(test(bridge), 60)
        print(f"{test.__name__}: passed in {time.monotonic() - begun:.1f} s", flush=True)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bridge = Bridge(folder)
        await bridge.start()
        await bridge.stop()
        bridge.add_sensors()
        try:
            await bridge.start()
            await run_tests(bridge)
        finally:
            await bridge.stop()


logging.disable()
asyncio.run(main())
