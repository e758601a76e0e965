#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (kinglet_tests::fuzz::target("json_lines").run)(bytes));
