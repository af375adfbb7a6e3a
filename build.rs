//! Packs the binary's relative relocations (RELR): less to read and less to do at each start. Whatever runs it needs glibc 2.36
//! or newer, as Debian 12 has.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[expect(clippy::disallowed_methods, reason = "this is how cargo tells for which system it builds")]
    let is = |name: &str, value: &str| std::env::var_os(name).is_some_and(|found| found == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
