//! What `--help` prints beside the options. Its lines are at most 80 columns wide, so that few terminals wrap them.

/// The end of `-h`.
pub(super) const SHORT: &str = "\
Every option can also be set with an environment variable: IOTCORE_HOST,
IOTCORE_PORT and so on; a switch by true or false.
With --help: examples, the operations, and why one `failed`.";

/// The end of `--help`.
pub(super) const LONG: &str = r#"Every option can also be set with an environment variable: IOTCORE_HOST,
IOTCORE_PORT and so on; a switch by true or false.

Example: attach a device, send a message of it, and end
  export IOTCORE_HOST=us-central1-mqtt.clearblade.com IOTCORE_KEY=gateway.pem
  export IOTCORE_PROJECT=my-project IOTCORE_LOCATION=us-central1
  export IOTCORE_REGISTRY=my-registry IOTCORE_GATEWAY=my-gateway
  export IOTCORE_ALGORITHM=ES256
  iotcore-relay <<'END'
  {"op":"attach","id":1,"device":"boiler-7"}
  {"op":"telemetry","id":2,"device":"boiler-7","payload":"21.5"}
  END

Example: the same against an emulator of the bridge on this machine
  iotcore-bridge --example-registry here --tls-self-signed here --port 8883
  export IOTCORE_HOST=localhost IOTCORE_KEY=here/gateway.pem
  export IOTCORE_CA=here/ca.pem

Operations: a JSON object per line of the input. The `id`, a number or a text,
is yours: the operation ends in one event, `done` or `failed`, with this `id`.
Without `device`, a telemetry or state is the gateway's own.
  {"op":"attach","id":1,"device":"boiler-7"}
      with `token` if the device has one of its own, and no key in
      --device-keys; `config` and `commands` are the QoS of its subscriptions,
      0, 1 (if missing) or null for none
  {"op":"telemetry","id":2,"device":"boiler-7","payload":"21.5"}
      or `payload_base64`; with `subfolder` and `qos` (0 or 1)
  {"op":"state","id":3,"device":"boiler-7","payload":"on"}
      both may have `expires_after` (seconds), `priority` ("urgent") and `tag`
  {"op":"cancel","id":3}
      ends the telemetry or state with this id; if it has ended, the answer is
      the event `not_cancelled`
  {"op":"authorize","id":4,"device":"boiler-7","token":"eyJhbGciOi..."}
      answers the event `token_needed`
  {"op":"detach","id":5,"device":"boiler-7"}
      once the device's messages are sent
  {"op":"acknowledge","delivery":7}
      a config or command, with --acknowledge manual
  {"op":"stats"}
  {"op":"devices"}
  {"op":"unsent"}
      each is answered by the event of its name, with the same `id` if it has one
  {"op":"close"}
      as the end of the input

With --store, a message is kept on the disk until the bridge has it. The event
`stored` has its `id`: it survives a crash and a power cut, and the next relay
sends it. An event `restored` for each that was found at the start has its `tag`.

Why an operation `failed`, by its `error`:
  suspected       the bridge closed five connections at it, two of them while it
                  was alone
  device_refused  the bridge refused the device, or its attach was suspected:
                  attach or authorize it
  detached        its device was detached first
  token_expired   the given token has expired: mint another one, and check the
                  clock
  expired         its `expires_after` passed while it was not in flight; what is
                  in flight by then may still be `done`, but is not sent again
  cancelled       the operation `cancel` ended it; it may have arrived if it was
                  in flight
  superseded      a newer state replaced it
  dropped         the queue was full (--overflow drop-oldest)
  queue_full      its device cannot send (no token, not attached), and
                  --max-queued of its messages wait already
  store_failed    the store cannot be written, as the event `store_failed` says
  timed_out       the bridge did not answer an attach or a SUBSCRIBE; it is asked
                  again
  closed, gave_up the relay ended first; if it was `stored`, the next one sends it
Any other code is explained in the `detail`. The event `token_needed` asks for
`authorize`: the device's token has expired, and its messages wait."#;
