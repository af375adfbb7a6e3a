//! Programs of others that figures are held against: fetched once from where their projects publish them, into
//! `target/bench`.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::figure::target;

/// Returns a Python that has what `benches/peer/requirements.txt` asks for. It takes Python 3 with venv, and PyPI.
pub(crate) fn python() -> Result<PathBuf, Box<dyn Error>> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer/requirements.txt");
    let wanted = fs::read(&requirements)?;
    let directory = target().join("bench/python");
    let (python, mark) = (directory.join("bin/python"), directory.join("installed"));
    if fs::read(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    done(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]);
    done(pip.arg(requirements))?;
    fs::write(mark, wanted)?;
    Ok(python)
}

/// Returns the program that a package of Debian is named after, of the version that the machine's Debian has: nothing is
/// installed. It takes apt and the package lists.
pub(crate) fn debian(package: &str) -> Result<PathBuf, Box<dyn Error>> {
    let directory = target().join("bench").join(package);
    let program = directory.join("usr/bin").join(package);
    if !program.exists() {
        fs::create_dir_all(&directory)?;
        done(Command::new("apt-get").args(["download", "-qq", package]).current_dir(&directory))?;
        for file in fs::read_dir(&directory)? {
            let file = file?.path();
            if file.extension().is_some_and(|extension| extension == "deb") {
                done(Command::new("dpkg").arg("-x").arg(&file).arg(&directory))?;
            }
        }
    }
    if program.exists() { Ok(program) } else { Err(format!("{package} has no {}", program.display()).into()) }
}

/// Runs a program that says itself on the terminal what is wrong.
fn done(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let name = command.get_program().display().to_string();
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("{name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}").into()) }
}
