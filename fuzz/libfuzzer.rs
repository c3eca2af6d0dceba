//! libFuzzer's door to the targets: one program for all of them, since each would link the whole server. `CNX_FUZZ_TARGET` names the one
//! that is run; `fuzz/run` sets it.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[expect(dead_code, reason = "libFuzzer finds the pieces by itself, in the comparisons that it traces")]
mod targets;

static RUN: LazyLock<fn(&[u8]) -> bool> = LazyLock::new(|| {
    let name = std::env::var("CNX_FUZZ_TARGET").unwrap_or_default();
    let target = targets::TARGETS.iter().find(|target| target.name == name);
    let names: Vec<&str> = targets::TARGETS.iter().map(|target| target.name).collect();
    target.unwrap_or_else(|| panic!("CNX_FUZZ_TARGET is one of {}", names.join(", "))).run
});

fuzz_target!(|data: &[u8]| {
    RUN(data);
});
