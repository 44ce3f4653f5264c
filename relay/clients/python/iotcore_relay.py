"""A typed asyncio client of iotcore-relay, which it runs as a child process. Python 3.9 or newer, standard library only."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import logging
import os
import weakref
from collections import deque
from dataclasses import dataclass
from typing import Any, AsyncIterator, Callable, Coroutine, Generic, Optional, TypeVar, Union

_log = logging.getLogger("iotcore_relay")
_T = TypeVar("_T")
_ANSWERS = ("done", "failed", "invalid", "stats", "devices", "unsent")
_MESSAGES = ("telemetry", "state")
_UNSENT = ("closed", "gave_up", "stopped")
_CLOSED = (0, 3, 4)  # exit codes


class RelayError(Exception):
    """Base of all errors: `code` for programs, the text for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class OperationFailed(RelayError):
    """The relay answered `failed`: `code`, `certainty` and `retry` are those of its reference. `operation` is the line that
    sends a message again, or None. `is_stored` tells that the next relay on the same store sends it: do not send it again."""

    def __init__(self, event: dict[str, Any]) -> None:
        super().__init__(event["error"], event["detail"])
        self.certainty: str = event["certainty"]
        self.retry: str = event["retry"]
        self.operation: Optional[dict[str, Any]] = event.get("operation")
        self.is_stored = self.retry == "kept"


class InvalidOperation(RelayError):
    """The relay answered `invalid`: a mistake of the caller."""


class NotConnected(RelayError):
    """An attempt to connect failed: the code is the `reason`, the text says what to check. The relay goes on trying."""


class RelayEnded(RelayError):
    """The relay has failed: the text has its exit code and the last lines of its standard error."""

    def __init__(self, exit_code: Optional[int], detail: str) -> None:
        super().__init__("relay_ended", detail)
        #: 1 or 2, as in the relay's documentation; negative: the signal that ended it; None: it could not be run
        self.exit_code = exit_code


@dataclass(frozen=True)
class Message:
    """A config or a command."""

    kind: str  # "config" or "command"
    device: Optional[str]  # None for the gateway itself, as in `telemetry`
    subfolder: Optional[str]
    payload: bytes
    delivery: int

    @property
    def text(self) -> str:
        """The payload as UTF-8 text; raises UnicodeDecodeError if it is none."""
        return self.payload.decode()


class Feed(Generic[_T]):
    """An async iterator. It ends with `close`, and raises RelayEnded if the relay ends by itself. What is not read is kept."""

    def __init__(self, pick: Callable[[dict[str, Any]], Optional[_T]], end: Callable[[], Exception]) -> None:
        self._pick = pick
        self._end = end
        self._queue: asyncio.Queue[Optional[_T]] = asyncio.Queue()  # None at the end

    def __aiter__(self) -> AsyncIterator[_T]:
        return self

    async def __anext__(self) -> _T:
        item = await self._queue.get()
        if item is None:
            self._queue.put_nowait(None)
            raise self._end()
        return item


class Relay:
    """A running relay: `async with Relay(host="localhost", plain=True) as relay:`, or `await relay.start()` and at the end
    `await relay.close()`.

    `program` is the path of `iotcore-relay`, if that is not in the PATH. The keywords are the options of the command line,
    such as `device_keys` for `--device-keys`; those that are not given come from the environment, IOTCORE_HOST and so on. What
    the relay writes to standard error, and why a connection ended, goes to the logger `iotcore_relay`. Every method raises
    RelayEnded if the relay has failed, and once `close` has begun, OperationFailed with the code `closed`.

    `is_connected` tells whether there is a connection, and `last_disconnect` is the last event `disconnected`, or None.
    """

    def __init__(self, program: str = "iotcore-relay", **options: Union[str, int, os.PathLike[str], None]) -> None:
        given = [(name.replace("_", "-"), value) for name, value in options.items() if value is not None and value is not False]
        self._command = [program, *(f"--{name}" if value is True else f"--{name}={value}" for name, value in given)]
        self._ids = itertools.count(1)
        self._open: dict[Any, tuple[asyncio.Future[dict[str, Any]], dict[str, Any]]] = {}  # with their lines, by their ids
        self._left: dict[Any, dict[str, Any]] = {}  # operations of messages that the relay's end leaves unsent, by their ids
        self._stored: set[Any] = set()  # the ids of messages in the store that have not ended
        self._until_stored: set[Any] = set()  # the ids of open operations that are awaited only until they are stored
        self._connecting: list[asyncio.Future[None]] = []
        self._feeds: weakref.WeakSet[Feed[Any]] = weakref.WeakSet()
        self._notes: deque[str] = deque(maxlen=20)
        self._process: Optional[asyncio.subprocess.Process] = None
        self._input: Optional[asyncio.StreamWriter] = None
        self._closing = False
        self._exit: Optional[tuple[Optional[int], str]] = None  # its code, and the detail
        self.is_connected = False
        self.last_disconnect: Optional[dict[str, Any]] = None

    async def start(self) -> None:
        """Runs the relay, which begins to connect. Raises RelayEnded if it cannot be run."""
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, stderr=pipe, limit=2**30, start_new_session=True  # Ctrl-C is the program's
            )
        except OSError as error:
            detail = f"{self._command[0]} cannot be run: {error.strerror}; install it, or give its path as `program`"
            self._exit = (None, detail)
            raise self._over() from error
        assert process.stdin and process.stdout and process.stderr
        self._process, self._input = process, process.stdin
        self._draining = asyncio.Lock()
        self._reading = asyncio.create_task(self._read(process.stdout, process.stderr))

    async def __aenter__(self) -> Relay:
        await self.start()
        return self

    async def __aexit__(self, error_type: Any, *_: Any) -> None:
        try:
            await self.close()
        except RelayEnded:
            if error_type is None:  # otherwise that says more
                raise

    async def close(self) -> list[dict[str, Any]]:
        """Ends the relay once what is open has ended, as far as that succeeds; returns the operations of the messages that are
        left unsent, as `unsent` does from then on. Raises RelayEnded if the relay has failed."""
        writer = self._writer()
        self._closing = True
        writer.close()
        await asyncio.shield(self._reading)
        if self._has_failed():
            raise self._over()
        return await self.unsent()

    def kill(self) -> None:
        """Ends the relay at once: what is open raises RelayEnded."""
        if self._process and self._process.returncode is None:
            self._process.kill()

    async def connected(self) -> None:
        """Waits for a connection. Raises NotConnected when the next attempt fails: call it again to go on waiting."""
        self._writer()
        if self._closing or self._exit:
            raise self._over()
        if not self.is_connected:
            attempt = asyncio.get_running_loop().create_future()
            self._connecting.append(attempt)
            await attempt

    def attach(
        self, device: str, *, token: Optional[str] = None, config: Optional[int] = 1, commands: Optional[int] = 1
    ) -> Coroutine[Any, Any, None]:
        """Attaches a device now and on each later connection; `config` and `commands` are a QoS, or None for none of them. The
        line is written by the call, so that messages may follow it at once; await what it returns, a coroutine, for the answer."""
        line = self._line("attach", device=device, token=token, config=config, commands=commands)
        begun = self._begin(line)

        async def answer() -> None:
            await self._answer(line, begun or self._begin(line))

        return answer()

    async def detach(self, device: str) -> None:
        """Takes a device out of service: returns once the bridge has confirmed it, behind what the device has to send."""
        await self._request("detach", device=device)

    async def authorize(self, device: str, token: str) -> None:
        """Gives the device a new token, which answers the event `token_needed`."""
        await self._request("authorize", device=device, token=token)

    async def telemetry(
        self, device: Optional[str], payload: Union[str, bytes], *, subfolder: Optional[str] = None, qos: int = 1,
        priority: str = "ordinary", expires_after: Optional[float] = None, tag: Optional[str] = None, until: str = "done",
    ) -> None:  # fmt: skip
        """Publishes, and returns once the bridge has it; with `until="stored"`, once either that or the relay's store has it.
        Cancelling this, as `asyncio.wait_for` does, takes the message back."""
        await self._publish("telemetry", device, payload, qos, priority, expires_after, tag, until, subfolder=subfolder)

    async def state(
        self, device: Optional[str], payload: Union[str, bytes], *, qos: int = 1, priority: str = "ordinary",
        expires_after: Optional[float] = None, tag: Optional[str] = None, until: str = "done",
    ) -> None:  # fmt: skip
        """Publishes the device's state likewise; a newer one makes it fail, `superseded`."""
        await self._publish("state", device, payload, qos, priority, expires_after, tag, until)

    async def acknowledge(self, message: Message) -> None:
        """With `acknowledge="manual"`: tells the bridge that the config or command was taken."""
        line = {"op": "acknowledge", "delivery": message.delivery}
        if not self._write(line):
            raise await self._refusal(line)
        await self._drain()

    async def stats(self) -> dict[str, Any]:
        return await self._request("stats")

    async def devices(self) -> list[dict[str, Any]]:
        devices: list[dict[str, Any]] = (await self._request("devices"))["devices"]
        return devices

    async def send_again(self, operation: dict[str, Any]) -> None:
        """Sends a message that another relay has left unsent, one of its `unsent`; otherwise as `telemetry` and `state`."""
        await self._request(**{name: value for name, value in operation.items() if name != "id"})

    async def unsent(self) -> list[dict[str, Any]]:
        """Returns the operations of the messages that have not ended, for `send_again`. Once the relay has ended, however it
        has, of all those that it has left unsent or was given too late; once `close` has begun, waits for the end. What is in
        the relay's store is left out: the next relay on it sends that by itself."""
        if self._closing:
            await asyncio.shield(self._reading)
        if self._exit:
            return [operation for _, operation in sorted(self._left.items())]
        answer = await self._request("unsent")
        stored = set(answer.get("stored", ()))
        return [operation for operation in answer["operations"] if operation["id"] not in stored]

    def messages(self, *devices: Optional[str]) -> Feed[Message]:
        """Configs and commands from now on, of these devices (None: the gateway itself) or of all. Call it before `attach`."""
        return self._feed(lambda event: _message(event, devices))

    def events(self) -> Feed[dict[str, Any]]:
        """All events from now on, as dicts."""
        return self._feed(lambda event: event)

    def _feed(self, pick: Callable[[dict[str, Any]], Optional[_T]]) -> Feed[_T]:
        feed = Feed(pick, lambda: self._over() if self._has_failed() else StopAsyncIteration())
        self._feeds.add(feed)
        if self._exit:
            feed._queue.put_nowait(None)
        return feed

    async def _publish(self, op: str, device: Optional[str], payload: Union[str, bytes], qos: int, priority: str,
                       expires_after: Optional[float], tag: Optional[str], until: str,
                       subfolder: Optional[str] = None) -> None:  # fmt: skip
        if until not in ("done", "stored"):
            raise ValueError(f'until must be "done" or "stored", not {until!r}')
        content = {"payload": payload} if isinstance(payload, str) else {"payload_base64": base64.b64encode(payload).decode()}
        optional = {"device": device, "subfolder": subfolder, "expires_after": expires_after, "tag": tag}
        given = {name: value for name, value in optional.items() if value is not None}
        id = next(self._ids)
        if until == "stored":
            self._until_stored.add(id)
        try:
            await self._request(op, id, qos=qos, priority=priority, **content, **given)
        finally:
            self._until_stored.discard(id)

    async def _request(self, op: str, id: Optional[int] = None, **members: Any) -> dict[str, Any]:
        line = self._line(op, id, **members)
        return await self._answer(line, self._begin(line))

    def _line(self, op: str, id: Optional[int] = None, **members: Any) -> dict[str, Any]:
        return {"op": op, "id": next(self._ids) if id is None else id, **members}

    def _begin(self, line: dict[str, Any]) -> Optional[asyncio.Future[dict[str, Any]]]:
        """Writes an operation; returns what its end will be put into, or None if the relay reads nothing."""
        if not self._write(line):
            return None
        ended: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def forget(_: Any) -> None:
            self._open.pop(line["id"], None)
            ended.cancelled() or ended.exception()  # it may end before anyone awaits it

        ended.add_done_callback(forget)
        self._open[line["id"]] = ended, line
        return ended

    async def _answer(self, line: dict[str, Any], ended: Optional[asyncio.Future[dict[str, Any]]]) -> dict[str, Any]:
        if ended is None:
            raise await self._refusal(line)
        try:
            await self._drain()
            return await ended
        except asyncio.CancelledError:
            if line["op"] in _MESSAGES and not self._closing and not self._exit:
                self._writer().write(b'{"op":"cancel","id":%d}\n' % line["id"])
            raise
        finally:
            ended.cancel()

    def _write(self, line: dict[str, Any]) -> bool:
        if self._input is None or self._input.is_closing() or self._exit:
            return False
        self._input.write(json.dumps(line).encode() + b"\n")
        return True

    async def _refusal(self, line: dict[str, Any]) -> RelayError:
        """Why a line was not written."""
        self._writer()
        if not self._closing:  # the relay has ended by itself
            await asyncio.shield(self._reading)
        return self._over(line)

    async def _drain(self) -> None:
        try:
            async with self._draining:  # by one at a time, as Python 3.9 demands
                await self._writer().drain()  # back-pressure: the relay reads no more while too much is open
        except ConnectionError:  # what became of the line is told by the answer, or at the end
            await asyncio.shield(self._reading)

    def _writer(self) -> asyncio.StreamWriter:
        if self._input is None:
            how = "use `async with Relay(...) as relay:`, or `await relay.start()`"
            raise self._over() if self._exit else RelayError("not_started", how)
        return self._input

    def _has_failed(self) -> bool:
        return self._exit is not None and self._exit[0] not in _CLOSED

    def _over(self, line: Optional[dict[str, Any]] = None) -> RelayError:
        """Why `line` cannot be sent or is not answered; it is kept if it is a message. Each raise has an error of its own,
        because it adds to its traceback."""
        operation = line if line and line["op"] in _MESSAGES else None
        is_stored = bool(operation) and operation["id"] in self._stored
        if operation and not is_stored:
            self._left.setdefault(operation["id"], operation)
        if self._exit and self._has_failed():
            return RelayEnded(*self._exit)
        closed = {"error": "closed", "detail": "the relay has ended, or had begun to", "certainty": "confirmed"}
        again = {"retry": "kept"} if is_stored else {"retry": "backoff", "operation": operation}
        return OperationFailed({**closed, **again})

    async def _read(self, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader) -> None:
        notes = asyncio.create_task(self._read_notes(stderr))
        try:
            async for line in stdout:
                self._on_event(json.loads(line))
        except Exception as error:  # it is no relay
            self._notes.append(f"its output cannot be read: {error!r}")
            self.kill()
        await notes
        assert self._process
        code = await self._process.wait()
        if code not in _CLOSED and self.last_disconnect:
            self._notes.append(self.last_disconnect["detail"])
        why = "\n".join(["", *self._notes])
        self._exit = (code, f"iotcore-relay ended with exit code {code}{why}")
        self.is_connected = False
        for attempt in self._connecting:
            if not attempt.done():
                attempt.set_exception(self._over())
        for ended, line in self._open.values():
            if not ended.done():
                ended.set_exception(self._over(line))
        for feed in self._feeds:
            feed._queue.put_nowait(None)

    async def _read_notes(self, stderr: asyncio.StreamReader) -> None:
        async for line in stderr:
            note = line.decode(errors="replace").rstrip()
            self._notes.append(note)
            _log.warning("%s", note)

    def _on_event(self, event: dict[str, Any]) -> None:
        name = event["event"]
        if name in ("connected", "disconnected"):
            self._on_connection(event)
        if name == "invalid" and event.get("id") is None:
            _log.warning("%s", event["detail"])
        if name == "stored":
            self._on_stored(event)
        if name in ("done", "failed"):
            self._stored.discard(event["id"])
        answered = self._open[event["id"]][0] if name in _ANSWERS and event.get("id") in self._open else None
        if answered and not answered.done():
            if name == "failed":
                if event["error"] in _UNSENT and "operation" in event:
                    self._left[event["id"]] = event["operation"]
                answered.set_exception(OperationFailed(event))
            elif name == "invalid":
                answered.set_exception(InvalidOperation(event["error"], event["detail"]))
            else:
                answered.set_result(event)
        for feed in self._feeds:
            item = feed._pick(event)
            if item is not None:
                feed._queue.put_nowait(item)

    def _on_stored(self, event: dict[str, Any]) -> None:
        id = event["id"]
        self._stored.add(id)
        if id in self._until_stored and id in self._open and not self._open[id][0].done():
            self._open[id][0].set_result(event)

    def _on_connection(self, event: dict[str, Any]) -> None:
        self.is_connected = event["event"] == "connected"
        if not self.is_connected:
            self.last_disconnect = event
            if event["reason"] not in ("closed", "token_refresh"):
                wait = event["retry_in_ms"]
                _log.warning("%s%s", event["detail"], "" if wait is None else f"; the next attempt is in {wait / 1000:.1f} s")
        for attempt in self._connecting:
            if not attempt.done():
                if self.is_connected:
                    attempt.set_result(None)
                else:
                    attempt.set_exception(NotConnected(event["reason"], event["detail"]))
        self._connecting.clear()


def _message(event: dict[str, Any], devices: tuple[Optional[str], ...]) -> Optional[Message]:
    if event["event"] not in ("config", "command") or devices and event["device"] not in devices:
        return None
    payload = base64.b64decode(event["payload_base64"]) if "payload_base64" in event else event["payload"].encode()
    return Message(event["event"], event["device"], event["subfolder"], payload, event["delivery"])
