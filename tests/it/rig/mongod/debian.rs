//! What tests need of the machine and a fresh Debian lacks.

use std::process::{Command, Stdio};

/// Installs packages. It works for root on Debian and Ubuntu; whether it did, the next look at what was lacking tells.
pub(crate) fn install(packages: &[&str]) {
    let install = [&["install", "-qy", "--no-install-recommends"][..], packages].concat();
    for arguments in [&["update", "-q"][..], &install[..]] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        let _ = apt.stdin(Stdio::null()).output();
    }
}
