"""Runs the client against an emulator of the bridge: `BRIDGE=path/to/iotcore-bridge RELAY=path/to/iotcore-relay python3 test_client.py`."""

import asyncio
import json
import logging
import os
import pathlib
import re
import signal
import sys
import tempfile
import time
import traceback

from iotcore_relay import InvalidOperation, Message, NotConnected, OperationFailed, Relay, RelayEnded, RelayError

RELAY = os.path.abspath(os.environ["RELAY"])
BRIDGE = os.path.abspath(os.environ["BRIDGE"])
SENSORS = [f"sensor-{number}" for number in range(20)]
CLOSED_PORT = 1  # reserved and unused
LOGGED: "list[str]" = []


class Bridge:
    """The emulator with the example registry, in a folder, and its port."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.port = 0
        self.arrived: dict[str, list[str]] = {}
        self.connections: set[int] = set()

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
            elif event["event"] == "connected":
                self.connections.add(event["connection"])
            elif event["event"] == "closed":
                self.connections.discard(event["connection"])

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
        assert await relay.close() == []
        assert [message async for message in messages] == []


async def messages_may_follow_the_call_of_attach(bridge: Bridge) -> None:
    for run in (asyncio.create_task, asyncio.gather, asyncio.ensure_future):
        async with bridge.relay() as relay:
            attached = run(relay.attach("boiler-7"))
            await relay.telemetry("boiler-7", "first")
            assert await attached in (None, [None])
    relay = bridge.relay()
    early = relay.attach("boiler-7")
    async with relay:
        task = asyncio.create_task(relay.attach("bound-sensor"))
        task.cancel()  # before it has begun: an attach is not taken back
        await early
        await relay.telemetry("bound-sensor", "first")
        await asyncio.sleep(0)
        assert relay._open == {}, relay._open


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
        left = await relay.close()
        unsent = await error_of(waiting, OperationFailed)
        assert unsent.code == "closed" and [unsent.operation] == left and left[0]["payload"] == "unsent", unsent
    assert bridge.arrived == {}


async def what_a_relay_leaves_unsent_the_next_one_sends(bridge: Bridge) -> None:
    relay = bridge.relay(port=CLOSED_PORT)
    await relay.start()
    sends = [asyncio.ensure_future(relay.telemetry(None, b"%d" % number, tag=str(number))) for number in range(20)]
    while len(await relay.unsent()) != 20:
        pass
    relay.kill()
    ended = await asyncio.gather(*sends, return_exceptions=True)
    assert {type(end) for end in ended} == {RelayEnded}, ended
    late = await error_of(relay.state(None, "late"), RelayEnded)
    assert late.exit_code == -9, late
    left = await relay.unsent()
    assert [operation["op"] for operation in left] == ["telemetry"] * 20 + ["state"], left
    bridge.arrived.clear()
    async with bridge.relay() as relay:
        await asyncio.gather(*map(relay.send_again, json.loads(json.dumps(left))))
        assert await relay.unsent() == []
    assert bridge.arrived == {"my-gateway": [str(number) for number in range(20)]}, bridge.arrived


async def what_is_in_the_store_is_left_to_the_next_relay(bridge: Bridge) -> None:
    store = os.path.join(bridge.folder, "store-python")
    relay = bridge.relay(port=CLOSED_PORT, store=store)
    await relay.start()
    for number in range(3):
        await relay.telemetry(None, str(number), tag=str(number), until="stored")
    assert await relay.unsent() == []
    late = asyncio.ensure_future(relay.telemetry(None, "3", tag="3"))
    events = relay.events()
    assert (await event_of(events, "stored"))["id"] == 5
    relay.kill()
    await error_of(late, RelayEnded)
    assert await relay.unsent() == []
    relay = bridge.relay(port=CLOSED_PORT, store=store, drain_timeout=1)
    await relay.start()
    last = asyncio.ensure_future(relay.telemetry(None, "4", until="done"))
    await event_of(relay.events(), "stored")
    assert await relay.close() == []
    kept = await error_of(last, OperationFailed)
    assert kept.is_stored and kept.retry == "kept" and kept.operation is None, kept
    bridge.arrived.clear()
    relay = bridge.relay(store=store)
    events = relay.events()
    async with relay:
        restored = [await event_of(events, "restored") for _ in range(5)]
        assert [event["tag"] for event in restored] == ["0", "1", "2", "3", None], restored
    assert bridge.arrived == {"my-gateway": ["0", "1", "2", "3", "4"]}, bridge.arrived


async def what_is_given_too_late_fails_at_once(bridge: Bridge) -> None:
    relay = bridge.relay(port=CLOSED_PORT, drain_timeout=2)
    await relay.start()
    early = asyncio.ensure_future(relay.telemetry(None, "early"))
    while len(await relay.unsent()) != 1:
        pass
    closing = asyncio.ensure_future(relay.close())
    await asyncio.sleep(0)
    for _ in range(2):  # while it closes, and once it has
        begun = time.monotonic()
        late = await error_of(relay.telemetry(None, "late", tag="t"), OperationFailed)
        assert (late.code, late.certainty, late.retry) == ("closed", "confirmed", "backoff"), late
        assert late.operation["payload"] == "late" and late.operation["tag"] == "t", late.operation
        for call in (relay.attach("boiler-7"), relay.stats(), relay.connected()):
            late = await error_of(call, OperationFailed)
            assert late.code == "closed" and late.operation is None, late
        assert time.monotonic() - begun < 0.5
        left = await closing
    assert [operation["payload"] for operation in left] == ["early", "late"], left
    assert [operation["payload"] for operation in await relay.unsent()] == ["early", "late", "late"]
    await error_of(early, OperationFailed)


async def each_error_has_a_traceback_of_its_own(bridge: Bridge) -> None:
    relay = bridge.relay()
    await relay.start()
    relay.kill()
    await error_of(relay.events().__anext__(), RelayEnded)
    for use in (relay.stats, relay.connected, relay.close, relay.events().__anext__):
        errors = [await error_of(use(), RelayEnded) for _ in range(2)]
        first, second = (len(traceback.extract_tb(error.__traceback__)) for error in errors)
        assert first == second and errors[0] is not errors[1], (use, first, second)


async def a_ctrl_c_is_the_programs_and_its_end_the_relays(bridge: Bridge) -> None:
    pipe = asyncio.subprocess.PIPE
    script = [sys.executable, __file__, "until-signal", bridge.folder, str(bridge.port)]
    program = await asyncio.create_subprocess_exec(*script, stdout=pipe, start_new_session=True)
    assert await program.stdout.readline() == b"connected\n"
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does
    assert await program.stdout.read() == b"sent\nleft []\n"
    await program.wait()
    program = await asyncio.create_subprocess_exec(*script, stdout=pipe, start_new_session=True)
    assert await program.stdout.readline() == b"connected\n"
    program.kill()
    assert bridge.connections
    while bridge.connections:  # a relay whose program is gone ends, too
        await asyncio.sleep(0.05)
    await program.wait()


async def until_signal(folder: str, port: int) -> None:
    bridge = Bridge(folder)
    bridge.port = port
    signalled = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, signalled.set)
    async with bridge.relay() as relay:
        await relay.connected()
        print("connected", flush=True)
        await signalled.wait()
        await asyncio.sleep(0.3)  # what the relay does with a signal, it has done
        await relay.telemetry(None, "last")
        print("sent", flush=True)
    print("left", await relay.unsent(), flush=True)


async def what_the_example_keeps_its_next_start_sends(bridge: Bridge) -> None:
    bridge.arrived.clear()
    kept = []
    for port, seconds in ((CLOSED_PORT, 1.5), (bridge.port, 0.5)):
        script = str(pathlib.Path(__file__).resolve().with_name("example_keep.py"))
        names = dict(host="localhost", port=port, ca="ca.pem", key="gateway.pem", algorithm="ES256", project="my-project")
        names.update(location="us-central1", registry="my-registry", gateway="my-gateway", drain_timeout=1)
        environment = {**os.environ, **{f"IOTCORE_{name.upper()}": str(value) for name, value in names.items()}}
        environment["PATH"] = os.pathsep.join([os.path.dirname(RELAY), os.environ["PATH"]])
        program = await asyncio.create_subprocess_exec(
            sys.executable, script, cwd=bridge.folder, env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        await asyncio.sleep(seconds)
        program.terminate()
        assert await program.wait() == 0
        kept.append(json.loads(pathlib.Path(bridge.folder, "unsent.json").read_text()))
    assert len(kept[0]) >= 4 and kept[1] == [], kept
    for device in ("boiler-7", "bound-sensor"):
        before = [operation["payload"] for operation in kept[0] if operation["device"] == device]
        assert bridge.arrived[device][: len(before)] == before and len(bridge.arrived[device]) > len(before), bridge.arrived


async def without_a_connection_it_is_told_why_and_one_that_comes_is_used(bridge: Bridge) -> None:
    async with bridge.relay(port=CLOSED_PORT, drain_timeout=1) as relay:
        for _ in range(2):
            error = await error_of(relay.connected(), NotConnected)
            assert error.code == "dial_failed" and "check --host and --port" in str(error), error
            assert re.search(r"check --host and --port.*; the next attempt is in \d+\.\d s$", LOGGED[-1]), LOGGED
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
    missing = await error_of(use("no-such-program"), RelayEnded)
    assert "no-such-program cannot be run: No such file or directory; install it" in str(missing), missing
    assert missing.exit_code is None


async def a_relay_that_is_not_started_says_so(bridge: Bridge) -> None:
    relay = bridge.relay()
    for use in (relay.attach("boiler-7"), relay.connected(), relay.close()):
        assert "not_started" in str(await error_of(use, RelayError))
    await relay.start()
    await relay.connected()
    assert await relay.close() == []


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
        messages_may_follow_the_call_of_attach,
        twenty_devices_lose_nothing_over_cuts_and_a_restart_of_the_bridge,
        what_is_cancelled_is_taken_back,
        what_a_relay_leaves_unsent_the_next_one_sends,
        what_is_in_the_store_is_left_to_the_next_relay,
        what_is_given_too_late_fails_at_once,
        what_the_example_keeps_its_next_start_sends,
        without_a_connection_it_is_told_why_and_one_that_comes_is_used,
        whatever_ends_the_relay_is_an_error_of_all_that_waits,
        each_error_has_a_traceback_of_its_own,
        a_ctrl_c_is_the_programs_and_its_end_the_relays,
        what_is_no_relay_is_an_error,
        a_relay_that_is_not_started_says_so,
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


handler = logging.Handler()
handler.emit = lambda record: LOGGED.append(record.getMessage())
logging.basicConfig(handlers=[handler])
asyncio.run(until_signal(sys.argv[2], int(sys.argv[3])) if sys.argv[1:2] == ["until-signal"] else main())
