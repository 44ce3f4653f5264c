#![no_main]
#![forbid(unsafe_code)]

use iotcore_gateway_testkit::fuzzing;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::store::run(data));
