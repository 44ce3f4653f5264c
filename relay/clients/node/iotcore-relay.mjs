/**
 * A client of iotcore-relay, which it runs as a child process. Node 18 or newer, standard library only.
 *
 * @typedef {{ op: string, id?: number, [member: string]: unknown }} Operation
 * @typedef {{ event: string, [member: string]: any }} RelayEvent
 * @typedef {{ kind: "config" | "command", device: string | null, subfolder: string | null, payload: Buffer, delivery: number }} Message
 *   A config or command; `device` is null for the gateway itself, as in `telemetry`.
 * @typedef {{ qos?: 0 | 1, priority?: "ordinary" | "urgent", expires_after?: number, tag?: string, signal?: AbortSignal,
 *   until?: "done" | "stored" }} PublishOptions
 */
import { spawn } from "node:child_process";
import { once } from "node:events";

/** Base of all errors: `code` for programs, the message for people. */
export class RelayError extends Error {
  /** @param {string} code @param {string} detail */
  constructor(code, detail) {
    super(`${code}: ${detail}`);
    this.name = new.target.name;
    this.code = code;
  }
}
/** The relay answered `failed`: `code`, `certainty` and `retry` are those of its reference. */
export class OperationFailed extends RelayError {
  /** @param {RelayEvent} event */
  constructor(event) {
    super(event.error, event.detail);
    this.certainty = event.certainty;
    this.retry = event.retry;
    /** @type {Operation | undefined} Of a message: the line that sends it again. */
    this.operation = event.operation;
    /** Whether the next relay on the same store sends it: do not send it again. */
    this.isStored = event.retry === "kept";
  }
}
/** The relay answered `invalid`: a mistake of the caller. */
export class InvalidOperation extends RelayError {}
/** An attempt to connect failed: the code is the `reason`, the message says what to check. The relay goes on trying. */
export class NotConnected extends RelayError {}
/** The relay has failed: the message has its exit code and the last lines of its standard error. */
export class RelayEnded extends RelayError {
  /** @param {number | null} exitCode @param {string} detail */
  constructor(exitCode, detail) {
    super("relay_ended", detail);
    /** 1 or 2, as in the relay's documentation; null if a signal ended it or it could not be run. */
    this.exitCode = exitCode;
  }
}

/**
 * A running relay. Its options are those of the command line, such as `{ host: "localhost", deviceKeys: "keys", plain: true }`;
 * those that are not given come from the environment, IOTCORE_HOST and so on. What the relay writes to standard error, and
 * why a connection ended, is a warning of the process. Every method rejects with RelayEnded if the relay has failed, and once
 * `close` has begun, with OperationFailed and the code `closed`.
 */
export class Relay {
  #process; #ended; #nextId = 1; #connecting = []; #feeds = new Set(); #notes = []; #drained;
  #open = new Map(); // with their lines, by their ids
  /** @type {Map<number, Operation>} Operations of messages that the relay's end leaves unsent, by their ids. */ #left = new Map();
  #stored = new Set(); // the ids of messages in the store that have not ended
  /** @type {{ code: number | null, detail: string } | undefined} */ #exit;
  isConnected = false;
  /** @type {RelayEvent | undefined} The last event `disconnected`. */ lastDisconnect;

  /** @param {Record<string, string | number | boolean | undefined>} options @param {string} program */
  constructor(options = {}, program = "iotcore-relay") {
    const given = Object.entries(options).filter(([, value]) => value !== undefined && value !== false);
    const command = given.map(([name, value]) => {
      const option = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
      return value === true ? option : `${option}=${value}`;
    });
    this.#process = spawn(program, command, { detached: process.platform !== "win32" }); // Ctrl-C is the program's
    this.#process.stdin.on("error", () => {}); // the end of the process tells more
    onLines(this.#process.stdout, (line) => this.#onLine(line));
    onLines(this.#process.stderr, (line) => {
      this.#notes = [...this.#notes.slice(-19), line];
      warn(line);
    });
    this.#ended = new Promise((resolve) => {
      this.#process.on("error", (error) => resolve(this.#onExit(null, `could not be run: ${error.message}`)));
      this.#process.on("close", (code, signal) => resolve(this.#onExit(code, `ended with ${signal ?? `exit code ${code}`}`)));
    });
  }

  /** Ends the relay once what is open has ended, as far as that succeeds. Rejects with RelayEnded if the relay has failed.
   * @returns {Promise<Operation[]>} Those of the messages that are left unsent, as `unsent` returns them from then on. */
  async close() {
    this.#process.stdin.end();
    await this.#ended;
    if (this.#hasFailed()) throw this.#over();
    return this.unsent();
  }
  /** Ends the relay at once: what is open rejects with RelayEnded. */
  kill() { this.#process.kill("SIGKILL"); }
  /** Waits for a connection. Rejects with NotConnected when the next attempt fails: call it again to go on waiting.
   * @returns {Promise<void>} */
  async connected() {
    if (this.#exit || this.#process.stdin.writableEnded) throw this.#over();
    if (!this.isConnected) await new Promise((resolve, reject) => this.#connecting.push({ resolve, reject }));
  }
  /** Attaches a device now and on each later connection; `config` and `commands` are a QoS, or null for none of them.
   * @param {string} device @param {{ token?: string, config?: 0 | 1 | null, commands?: 0 | 1 | null }} options @returns {Promise<void>} */
  attach(device, options = {}) { return this.#request({ op: "attach", device, ...options }); }
  /** @param {string} device @returns {Promise<void>} */
  detach(device) { return this.#request({ op: "detach", device }); }
  /** Gives the device a new token, which answers the event `token_needed`.
   * @param {string} device @param {string} token @returns {Promise<void>} */
  authorize(device, token) { return this.#request({ op: "authorize", device, token }); }
  /** Publishes, and resolves once the bridge has it; with `until: "stored"`, once either that or the relay's store has it.
   * `device` is null for the gateway itself. The signal takes it back.
   * @param {string | null} device @param {string | Uint8Array} payload @param {PublishOptions & { subfolder?: string }} options */
  telemetry(device, payload, options = {}) { return this.#publish("telemetry", device, payload, options); }
  /** Publishes the device's state likewise; a newer one makes it fail, `superseded`.
   * @param {string | null} device @param {string | Uint8Array} payload @param {PublishOptions} options */
  state(device, payload, options = {}) { return this.#publish("state", device, payload, options); }
  /** With `acknowledge: "manual"`: tells the bridge that it was taken. @param {Message} message */
  acknowledge(message) { return this.#send({ op: "acknowledge", delivery: message.delivery }); }
  /** @returns {Promise<RelayEvent>} */
  stats() { return this.#request({ op: "stats" }); }
  /** @returns {Promise<RelayEvent[]>} */
  async devices() { return (await this.#request({ op: "devices" })).devices; }
  /** Sends a message that another relay has left unsent, one of its `unsent`; otherwise as `telemetry` and `state`.
   * @param {Operation} operation @returns {Promise<void>} */
  sendAgain({ id, ...operation }) { return this.#request(operation); }
  /** Returns the operations of the messages that have not ended, for `sendAgain`. Once the relay has ended, however it has, of
   * all those that it has left unsent or was given too late; once `close` has begun, waits for the end. What is in the relay's
   * store is left out: the next relay on it sends that by itself.
   * @returns {Promise<Operation[]>} */
  async unsent() {
    if (this.#process.stdin.writableEnded) await this.#ended;
    if (this.#exit) return [...this.#left.values()].sort((a, b) => a.id - b.id);
    const { operations, stored = [] } = await this.#request({ op: "unsent" });
    const ids = new Set(stored);
    return operations.filter(({ id }) => !ids.has(id));
  }
  /** Configs and commands from now on, of these devices (null: the gateway itself) or of all. Call it before `attach`.
   * @param {(string | null)[]} devices @returns {AsyncGenerator<Message, void>} */
  messages(...devices) { return this.#feed((event) => message(event, devices)); }
  /** All events from now on. @returns {AsyncGenerator<RelayEvent, void>} */
  events() { return this.#feed((event) => event); }

  /** Ends with `close`, and throws RelayEnded if the relay ends by itself. What is not read is kept. */
  #feed(pick) {
    const feed = { pick, items: [], wake: () => {} };
    this.#feeds.add(feed);
    return this.#read(feed);
  }
  async *#read(feed) {
    try {
      for (;;) {
        while (feed.items.length > 0) yield feed.items.shift();
        if (this.#hasFailed()) throw this.#over();
        if (this.#exit) return;
        await new Promise((resolve) => { feed.wake = resolve; });
      }
    } finally { this.#feeds.delete(feed); }
  }
  async #publish(op, device, payload, /** @type {PublishOptions} */ { signal, until = "done", ...options }) {
    signal?.throwIfAborted();
    if (until !== "done" && until !== "stored") throw new TypeError(`until must be "done" or "stored", not ${until}`);
    if (device === undefined) throw new TypeError("the device is undefined; null is the gateway itself");
    const id = this.#nextId++;
    const cancel = () => void this.#send({ op: "cancel", id }).catch(() => {});
    signal?.addEventListener("abort", cancel, { once: true });
    const content = typeof payload === "string" ? { payload } : { payload_base64: Buffer.from(payload).toString("base64") };
    try { await this.#request({ op, device, ...content, ...options }, id, until); } finally { signal?.removeEventListener("abort", cancel); }
  }
  #request(operation, id = this.#nextId++, until = "done") {
    for (const [name, value] of Object.entries(operation)) {
      if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`${name} is ${value}`); // null in JSON
    }
    const line = Object.assign({ id }, operation, { id }); // the id comes first, so that a line that is too long is answered
    return new Promise((resolve, reject) => {
      this.#open.set(id, { line, until, resolve, reject });
      this.#send(line).catch((error) => { this.#open.delete(id); reject(error); });
    });
  }
  /** Resolves once the pipe has room: the relay reads no more while too much is open. */
  async #send(line) {
    const { stdin } = this.#process;
    if (this.#exit || stdin.writableEnded) throw this.#over(line);
    if (stdin.write(`${JSON.stringify(line)}\n`)) return;
    this.#drained ??= once(stdin, "drain").catch(() => {}).finally(() => { this.#drained = undefined; });
    await Promise.race([this.#drained, this.#ended]);
  }
  #hasFailed() { return this.#exit !== undefined && !CLOSED.includes(this.#exit.code); }
  /** Why `line` cannot be sent or is not answered; it is kept if it is a message. */
  #over(line = undefined) {
    const operation = line && MESSAGES.includes(line.op) ? line : undefined;
    const isStored = operation !== undefined && this.#stored.has(operation.id);
    if (operation && !isStored && !this.#left.has(operation.id)) this.#left.set(operation.id, operation);
    if (this.#exit && this.#hasFailed()) return new RelayEnded(this.#exit.code, this.#exit.detail);
    const again = isStored ? { retry: "kept" } : { retry: "backoff", operation };
    return new OperationFailed({ event: "failed", error: "closed", detail: "the relay has ended, or had begun to", certainty: "confirmed",
      ...again });
  }
  #onLine(line) {
    try {
      const event = JSON.parse(line);
      if (typeof event.event !== "string") throw new Error("it is no event");
      this.#onEvent(event);
    } catch (error) { // it is no relay
      this.#notes.push(`its output cannot be read: ${error}`);
      this.kill();
    }
  }
  #onEvent(event) {
    const { event: name, id } = event;
    if (name === "connected" || name === "disconnected") this.#onConnection(event);
    if (name === "invalid" && id === undefined) warn(event.detail);
    if (name === "stored") this.#stored.add(id);
    if (name === "done" || name === "failed") this.#stored.delete(id);
    const isAnswer = ANSWERS.includes(name) || name === "stored" && this.#open.get(id)?.until === "stored";
    const answered = isAnswer ? this.#open.get(id) : undefined;
    if (answered) this.#open.delete(id);
    if (answered && event.operation && UNSENT.includes(event.error)) this.#left.set(id, event.operation);
    if (name === "failed") answered?.reject(new OperationFailed(event));
    else if (name === "invalid") answered?.reject(new InvalidOperation(event.error, event.detail));
    else answered?.resolve(name === "done" ? undefined : event);
    for (const feed of this.#feeds) {
      const item = feed.pick(event);
      if (item) feed.items.push(item);
      feed.wake();
    }
  }
  #onConnection(event) {
    this.isConnected = event.event === "connected";
    if (!this.isConnected) {
      this.lastDisconnect = event;
      const next = event.retry_in_ms === null ? "" : `; the next attempt is in ${(event.retry_in_ms / 1000).toFixed(1)} s`;
      if (event.reason !== "closed" && event.reason !== "token_refresh") warn(event.detail + next);
    }
    for (const { resolve, reject } of this.#connecting.splice(0)) {
      if (this.isConnected) resolve(undefined);
      else reject(new NotConnected(event.reason, event.detail));
    }
  }
  #onExit(code, how) {
    if (this.#exit) return;
    if (!CLOSED.includes(code) && this.lastDisconnect) this.#notes.push(this.lastDisconnect.detail);
    this.#exit = { code, detail: [`iotcore-relay ${how}`, ...this.#notes].join("\n") };
    this.isConnected = false;
    for (const { reject } of this.#connecting) reject(this.#over());
    for (const { line, reject } of this.#open.values()) reject(this.#over(line));
    for (const feed of this.#feeds) feed.wake();
  }
}

const ANSWERS = ["done", "failed", "invalid", "stats", "devices", "unsent"];
const MESSAGES = ["telemetry", "state"];
/** @type {(number | null)[]} Exit codes. */
const CLOSED = [0, 3, 4];
const UNSENT = ["closed", "gave_up", "stopped"];

/** Lines end at \n alone: JSON leaves U+2028 and U+2029, at which readline splits, too, as they are. */
function onLines(stream, onLine) {
  let rest = "";
  stream.setEncoding("utf8").on("data", (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    lines.forEach(onLine);
  });
}

function warn(text) { process.emitWarning(text, "RelayWarning"); }

/** @param {RelayEvent} event @param {(string | null)[]} devices @returns {Message | undefined} */
function message({ event: kind, device, subfolder, payload, payload_base64, delivery }, devices) {
  if (kind !== "config" && kind !== "command" || devices.length > 0 && !devices.includes(device)) return undefined;
  return { kind, device, subfolder, payload: payload === undefined ? Buffer.from(payload_base64, "base64") : Buffer.from(payload), delivery };
}
