#![no_main]
#![forbid(unsafe_code)]

use iotcore_gateway_testkit::script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| script::run_bytes(data));
