#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| assert!(musterd::fuzzing::run("response", input)));
