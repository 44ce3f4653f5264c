"""A typed asyncio client of iotcore-relay, which it runs as a child process. Python 3.9 or newer, standard library only."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections import deque
from dataclasses import dataclass
from typing import Any, AsyncIterator, Optional, Sequence, Union


class RelayError(Exception):
    """Base of all errors: `code` for programs, the text for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class OperationFailed(RelayError):
    """The relay answered `failed`; codes, certainty and retry are those of its reference."""

    def __init__(self, event: dict[str, Any]) -> None:
        super().__init__(event["error"], event["detail"])
        self.certainty: str = event["certainty"]
        self.retry: str = event["retry"]
        self.operation: Optional[dict[str, Any]] = event.get("operation")  # the line that sends it again


class InvalidOperation(RelayError):
    """The relay answered `invalid`: a mistake of the caller."""


class NotConnected(RelayError):
    """An attempt to connect failed: the code is the `reason`, the text says what to check. The relay goes on trying."""


class RelayEnded(RelayError):
    """The relay has ended; the text has its exit code and the last lines of its standard error."""


@dataclass(frozen=True)
class Message:
    """A config or a command."""

    kind: str  # "config" or "command"
    device: Optional[str]  # None for the gateway itself
    subfolder: Optional[str]
    payload: bytes
    delivery: int

    @property
    def text(self) -> str:
        return self.payload.decode()


class Messages:
    """An async iterator that ends with the relay. It keeps all that was not read: nothing is dropped."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        item = await self._queue.get()
        if item is None:
            self._queue.put_nowait(None)
            raise StopAsyncIteration
        return item


class Relay:
    """A running relay. Use it as `async with await Relay.start([...]) as relay:`."""

    def __init__(self, process: asyncio.subprocess.Process, stderr_lines: int) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._open: dict[int, asyncio.Future[None]] = {}
        self._answers: dict[str, deque[asyncio.Future[dict[str, Any]]]] = {n: deque() for n in ("stats", "devices", "unsent")}
        self._feeds: list[tuple[Optional[str], Any, Messages]] = []
        self._notes: deque[str] = deque(maxlen=stderr_lines)
        self._connecting: list[asyncio.Future[None]] = []
        self._is_connected = False
        self._end: Optional[RelayEnded] = None
        self.last_disconnect: Optional[dict[str, Any]] = None  # the last event `disconnected`; None while connected
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, options: Sequence[str] = (), program: str = "iotcore-relay", env: Optional[dict[str, str]] = None) -> Relay:
        """Starts the program with these options. Raises OSError if there is no such program."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(program, *options, stdin=pipe, stdout=pipe, stderr=pipe, env=env, limit=2**30)
        return cls(process, 20)

    async def __aenter__(self) -> Relay:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    async def connected(self) -> None:
        """Waits for a connection. Raises NotConnected when the next attempt fails: call it again to go on waiting."""
        if self._end:
            raise self._end
        if not self._is_connected:
            attempt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._connecting.append(attempt)
            await attempt

    async def attach(self, device: str, token: Optional[str] = None, config: Optional[int] = 1, commands: Optional[int] = 1) -> None:
        """Attaches a device; None for no subscription."""
        await self._request({"op": "attach", "device": device, "token": token, "config": config, "commands": commands})

    async def detach(self, device: str) -> None:
        await self._request({"op": "detach", "device": device})

    async def authorize(self, device: str, token: str) -> None:
        """Gives the device a new token, which answers the event `token_needed`."""
        await self._request({"op": "authorize", "device": device, "token": token})

    async def telemetry(self, device: Optional[str], payload: Union[str, bytes], subfolder: Optional[str] = None, **options: Any) -> None:
        """Publishes; returns once the bridge has it. Options: qos, priority, expires_after, tag. Cancelling takes it back."""
        await self._request({"op": "telemetry", "device": device, "subfolder": subfolder, **_payload(payload), **options})

    async def state(self, device: Optional[str], payload: Union[str, bytes], **options: Any) -> None:
        """Publishes the device's state; a newer one makes it fail, `superseded`."""
        await self._request({"op": "state", "device": device, **_payload(payload), **options})

    async def acknowledge(self, message: Message) -> None:
        """With `--acknowledge manual`: tells the bridge that the config or command was taken."""
        await self._send({"op": "acknowledge", "delivery": message.delivery})

    async def stats(self) -> dict[str, Any]:
        return await self._ask("stats")

    async def devices(self) -> list[dict[str, Any]]:
        return (await self._ask("devices"))["devices"]

    async def unsent(self) -> list[dict[str, Any]]:
        return (await self._ask("unsent"))["operations"]

    def messages(self, device: Union[str, None, type[Any]] = Any, kind: Optional[str] = None) -> Messages:
        """Configs and commands from now on: of one device, of the gateway itself (None), or of all. Call it before `attach`."""
        return self._feed(kind or "message", device)

    def events(self) -> Messages:
        """All events from now on, as dicts."""
        return self._feed(None, Any)

    async def close(self) -> int:
        """Sends what is open, closes and returns the exit code: 0, or 3 if messages are left unsent, which fail with `closed`."""
        if self._process.stdin and not self._process.stdin.is_closing():
            self._process.stdin.close()
        await asyncio.shield(self._reading)
        return await self._process.wait()

    def _feed(self, kind: Optional[str], device: Any) -> Messages:
        feed = Messages()
        self._feeds.append((kind, device, feed))
        if self._end:
            feed._queue.put_nowait(None)
        return feed

    async def _send(self, line: dict[str, Any]) -> None:
        if self._end:
            raise self._end
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            await self._process.stdin.drain()  # back-pressure: the relay reads no more while too much is open
        except (ConnectionError, RuntimeError):
            await asyncio.shield(self._reading)
            raise self._end or RelayEnded("closed", "the relay's input is closed") from None

    async def _request(self, line: dict[str, Any]) -> None:
        id = next(self._ids)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open[id] = ended
        try:
            await self._send({**line, "id": id})
            await ended
        except asyncio.CancelledError:
            if line["op"] in ("telemetry", "state") and not self._end and self._process.stdin and not self._process.stdin.is_closing():
                self._process.stdin.write(json.dumps({"op": "cancel", "id": id}).encode() + b"\n")
            raise
        finally:
            self._open.pop(id, None)
            ended.cancel()

    async def _ask(self, op: str) -> dict[str, Any]:
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[op].append(answer)
        try:
            await self._send({"op": op})
            return await answer
        finally:
            answer.cancel()

    async def _read(self) -> None:
        assert self._process.stdout and self._process.stderr
        notes = asyncio.create_task(self._read_notes(self._process.stderr))
        try:
            async for line in self._process.stdout:
                self._on_event(json.loads(line))
        except Exception as error:  # what is no relay
            self._notes.append(f"its output cannot be read: {error!r}")
            self._process.kill()
        finally:
            code = await self._process.wait()
            await notes
            why = "\n".join(self._notes) or (self.last_disconnect or {}).get("detail", "")
            self._end = RelayEnded("relay_ended", f"iotcore-relay ended with exit code {code}; its last lines:\n{why}")
            waiting = [*self._connecting, *self._open.values(), *itertools.chain(*self._answers.values())]
            for future in waiting:
                if not future.done():
                    future.set_exception(self._end)
            for _, _, feed in self._feeds:
                feed._queue.put_nowait(None)

    async def _read_notes(self, stderr: asyncio.StreamReader) -> None:
        async for line in stderr:
            self._notes.append(line.decode(errors="replace").rstrip())

    def _on_event(self, event: dict[str, Any]) -> None:
        name = event["event"]
        future = self._open.get(event.get("id")) if name in ("done", "failed", "invalid") else None
        if name in self._answers and self._answers[name]:
            future = self._answers[name].popleft()
        if name in ("connected", "disconnected"):
            self.last_disconnect = event if name == "disconnected" else None
            self._is_connected = name == "connected"
            for attempt in self._connecting:
                if not attempt.done() and self._is_connected:
                    attempt.set_result(None)
                elif not attempt.done():
                    attempt.set_exception(NotConnected(event["reason"], event["detail"]))
            self._connecting.clear()
        if future and not future.done():
            if name == "failed":
                future.set_exception(OperationFailed(event))
            elif name == "invalid":
                future.set_exception(InvalidOperation("invalid", event["error"]))
            else:
                future.set_result(None if name == "done" else event)  # type: ignore[arg-type]
        message = None
        if name in ("config", "command"):
            payload = base64.b64decode(event["payload_base64"]) if "payload_base64" in event else event["payload"].encode()
            message = Message(name, event["device"], event["subfolder"], payload, event["delivery"])
        for kind, device, feed in self._feeds:
            if kind is None:
                feed._queue.put_nowait(event)
            elif message and kind in ("message", name) and device in (Any, message.device):
                feed._queue.put_nowait(message)


def _payload(payload: Union[str, bytes]) -> dict[str, str]:
    if isinstance(payload, str):
        return {"payload": payload}
    return {"payload_base64": base64.b64encode(payload).decode()}
