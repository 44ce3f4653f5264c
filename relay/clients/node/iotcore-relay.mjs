/**
 * A client of iotcore-relay, which it runs as a child process. Node 18 or newer, standard library only.
 *
 * @typedef {{ op: string, id?: number, [member: string]: unknown }} Operation
 * @typedef {{ event: string, [member: string]: any }} RelayEvent
 * @typedef {{ kind: "config" | "command", device: string | null, subfolder: string | null, payload: Buffer, delivery: number }} Message
 *   A config or command; `device` is null for the gateway itself.
 * @typedef {{ qos?: 0 | 1, priority?: "ordinary" | "urgent", expires_after?: number, tag?: string, signal?: AbortSignal }} PublishOptions
 */
import { spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { createInterface } from "node:readline";

/** Base of all errors: `code` for programs, the message for people. */
export class RelayError extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(`${code}: ${message}`);
    this.name = new.target.name;
    this.code = code;
  }
}
/** The relay answered `failed`; codes, certainty and retry are those of its reference. */
export class OperationFailed extends RelayError {
  /** @param {RelayEvent} event */
  constructor(event) {
    super(event.error, event.detail);
    this.certainty = event.certainty;
    this.retry = event.retry;
    /** @type {Operation | undefined} The line that sends the message again. */
    this.operation = event.operation;
  }
}
/** The relay answered `invalid`: a mistake of the caller. */
export class InvalidOperation extends RelayError {}
/** An attempt to connect failed: the code is the `reason`, the message says what to check. The relay goes on trying. */
export class NotConnected extends RelayError {}
/** The relay has ended; the message has its exit code and the last lines of its standard error. */
export class RelayEnded extends RelayError {}

/** A running relay. Emits `event` (every event), `message`, `config`, `command` (a Message) and `end` (a RelayEnded). */
export class Relay extends EventEmitter {
  #process; #nextId = 1; #open = new Map(); #answers = { stats: [], devices: [], unsent: [] }; #notes = []; #connecting = []; #isConnected = false; #lines = 0; #drained; #ended;
  /** @type {RelayEnded | undefined} */ #end;
  /** @type {RelayEvent | null} The last event `disconnected`; null while connected. */ lastDisconnect = null;

  /** Starts the program with these options. @param {string[]} options @param {string} program @param {NodeJS.ProcessEnv} env */
  constructor(options = [], program = "iotcore-relay", env = process.env) {
    super();
    this.#process = spawn(program, options, { env, stdio: "pipe" });
    this.#process.stdin.on("error", () => {}); // the end of the process tells more
    createInterface({ input: this.#process.stdout }).on("line", (line) => this.#onEvent(JSON.parse(line)));
    createInterface({ input: this.#process.stderr }).on("line", (line) => {
      this.#notes.push(line);
      if (this.#notes.length > 20) this.#notes.shift();
    });
    this.#ended = new Promise((resolve) => {
      this.#process.on("error", (error) => resolve(this.#onEnd(`could not be started: ${error.message}`, null)));
      this.#process.on("close", (code, signal) => resolve(this.#onEnd(`ended with ${signal ?? `exit code ${code}`}`, code)));
    });
  }

  /** Waits for a connection. Rejects with NotConnected when the next attempt fails: call it again to go on waiting.
   * @returns {Promise<void>} */
  async connected() {
    if (this.#end) throw this.#end;
    if (!this.#isConnected) await new Promise((resolve, reject) => this.#connecting.push({ resolve, reject }));
  }
  /** Attaches a device; null for no subscription.
   * @param {string} device @param {{ token?: string, config?: 0 | 1 | null, commands?: 0 | 1 | null }} options @returns {Promise<void>} */
  attach(device, options = {}) { return this.#request({ op: "attach", device, ...options }); }
  /** @param {string} device @returns {Promise<void>} */
  detach(device) { return this.#request({ op: "detach", device }); }
  /** Gives the device a new token, which answers the event `token_needed`. @param {string} device @param {string} token */
  authorize(device, token) { return this.#request({ op: "authorize", device, token }); }
  /** Publishes; resolves once the bridge has it. An AbortSignal takes it back (`cancelled`). `device` is null for the gateway.
   * @param {string | null} device @param {string | Uint8Array} payload @param {PublishOptions & { subfolder?: string }} options */
  telemetry(device, payload, options = {}) { return this.#publish({ op: "telemetry", device, ...bytes(payload) }, options); }
  /** Publishes the device's state; a newer one makes it fail, `superseded`.
   * @param {string | null} device @param {string | Uint8Array} payload @param {PublishOptions} options */
  state(device, payload, options = {}) { return this.#publish({ op: "state", device, ...bytes(payload) }, options); }
  /** With `--acknowledge manual`: tells the bridge that it was taken. @param {Message} message */
  acknowledge(message) { return this.#send({ op: "acknowledge", delivery: message.delivery }); }
  /** @returns {Promise<RelayEvent>} */
  stats() { return this.#ask("stats"); }
  /** @returns {Promise<RelayEvent[]>} */
  async devices() { return (await this.#ask("devices")).devices; }
  /** @returns {Promise<Operation[]>} */
  async unsent() { return (await this.#ask("unsent")).operations; }
  /** Sends what is open, closes, and resolves with the exit code: 0, or 3 if messages are left unsent, which fail as `closed`.
   * @returns {Promise<number | null>} */
  close() { this.#process.stdin.end(); return this.#ended; }
  /** Ends the process at once, as SIGKILL does. */
  kill() { this.#process.kill("SIGKILL"); }

  async #publish(line, { signal, ...options }) {
    signal?.throwIfAborted();
    const id = this.#nextId++;
    const cancel = () => void this.#send({ op: "cancel", id }).catch(() => {});
    signal?.addEventListener("abort", cancel, { once: true });
    try { await this.#request({ ...line, ...options }, id); } finally { signal?.removeEventListener("abort", cancel); }
  }
  #request(line, id = this.#nextId++) {
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject, line: this.#lines + 1 });
      this.#send({ ...line, id }).catch((error) => { this.#open.delete(id); reject(error); });
    });
  }
  #ask(op) {
    return new Promise((resolve, reject) => {
      this.#answers[op].push({ resolve, reject });
      this.#send({ op }).catch(reject);
    });
  }
  /** Resolves once the pipe has room: the relay reads no more while too much is open. */
  async #send(line) {
    if (this.#end) throw this.#end;
    const stdin = this.#process.stdin;
    if (stdin.writableEnded) throw new RelayEnded("closed", "the relay was closed by close()");
    this.#lines += 1;
    if (stdin.write(JSON.stringify(line) + "\n")) return;
    this.#drained ??= once(stdin, "drain").catch(() => {}).then(() => { this.#drained = undefined; });
    await Promise.race([this.#drained, this.#ended]);
  }
  #onEnd(how, code) {
    const why = this.#notes.join("\n") || this.lastDisconnect?.detail || "";
    this.#end = new RelayEnded("relay_ended", `iotcore-relay ${how}; its last lines:\n${why}`);
    for (const { reject } of [...this.#connecting, ...this.#open.values(), ...Object.values(this.#answers).flat()]) reject(this.#end);
    this.#open.clear();
    this.emit("end", this.#end);
    return code;
  }
  #onEvent(event) {
    const name = event.event;
    if (name === "connected" || name === "disconnected") {
      this.#isConnected = name === "connected";
      this.lastDisconnect = this.#isConnected ? null : event;
      for (const { resolve, reject } of this.#connecting.splice(0)) {
        if (this.#isConnected) resolve(undefined);
        else reject(new NotConnected(event.reason, event.detail));
      }
    }
    const open = ["done", "failed", "invalid"].includes(name) ? this.#open.get(event.id) : undefined;
    // A `cancel` that comes too late is invalid under the id of its message, but on another line.
    if (open && (name !== "invalid" || event.line === open.line)) {
      const { resolve, reject } = open;
      this.#open.delete(event.id);
      if (name === "done") resolve(undefined);
      else reject(name === "failed" ? new OperationFailed(event) : new InvalidOperation("invalid", event.error));
    }
    this.#answers[name]?.shift()?.resolve(event);
    this.emit("event", event);
    if (name === "config" || name === "command") {
      const { device, subfolder, delivery } = event;
      const payload = "payload_base64" in event ? Buffer.from(event.payload_base64, "base64") : Buffer.from(event.payload);
      const message = { kind: name, device, subfolder, payload, delivery };
      this.emit(name, message);
      this.emit("message", message);
    }
  }
}

function bytes(payload) {
  return typeof payload === "string" ? { payload } : { payload_base64: Buffer.from(payload).toString("base64") };
}
