//! A cloud's firewall without the cloud: moto's EC2 server and the real AWS CLI, in a Python environment of their own;
//! stand-ins for `gcloud` and `az`. The situations, and what nopong must say of them, are in `cloud/*.py`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::tree::CACHE;
use crate::{Fail, needs, shell};

/// Pinned: another moto or CLI may answer otherwise.
const PACKAGES: &[&str] = &["moto[ec2,server]==5.2.5", "awscli==1.46.3", "boto3==1.44.8"];
/// 480 MB from the package index.
const INSTALL: Duration = Duration::from_secs(600);

/// Runs the situations whose name has one of these parts: first those with stand-ins for the tools, then those of AWS.
pub fn run(binary: &Path, filters: &[String]) -> Result<ExitCode, Fail> {
    let binary = fs::canonicalize(binary).map_err(|e| format!("no nopong at {}: {e}", binary.display()))?;
    let ways = [
        ("others.py", needs::find("python3").ok_or("there is no python3".to_owned())),
        ("aws.py", environment()),
    ];
    let mut good = true;
    for (name, python) in ways {
        let python = match python {
            Ok(python) => python,
            Err(why) => {
                crate::say!("lab: {name} skipped, {why}");
                good &= std::env::var("LAB").as_deref() != Ok("require");
                continue;
            }
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cloud").join(name);
        // -B: no byte code beside the sources.
        let status = Command::new(&python).arg("-B").arg(script).arg(&binary).args(filters).status();
        good &= status.map_err(|e| format!("cannot start {}: {e}", python.display()))?.success();
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The environment's interpreter; the environment is made once for each set of packages.
fn environment() -> Result<PathBuf, Fail> {
    let python = needs::find("python3").ok_or("there is no python3")?;
    let stamp = PACKAGES.concat().bytes().fold(0u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    let home = Path::new(CACHE).join(format!("cloud-{stamp:08x}"));
    let (inside, ready) = (home.join("bin/python"), home.join("ready"));
    fs::create_dir_all(CACHE).map_err(|e| format!("cannot make {CACHE}: {e}"))?;
    let lock = Path::new(CACHE).join("cloud.lock");
    let lock = fs::File::create(&lock).map_err(|e| format!("cannot open {}: {e}", lock.display()))?;
    lock.lock().map_err(|e| format!("cannot lock the Python environment: {e}"))?;
    if ready.is_file() {
        return Ok(inside);
    }
    // A half-made one of a killed run.
    let _ = fs::remove_dir_all(&home);
    let (python, at, pip) =
        (python.display().to_string(), home.display().to_string(), inside.display().to_string());
    let made = shell::must(Duration::from_secs(120), &[&python, "-m", "venv", &at], "");
    made.map_err(|e| format!("no virtual environment can be made (python3-venv): {e}"))?;
    let mut argv = vec![pip.as_str(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    argv.extend(PACKAGES);
    shell::must(INSTALL, &argv, "").map_err(|e| format!("its packages cannot be installed: {e}"))?;
    fs::write(&ready, "").map_err(|e| format!("cannot write {}: {e}", ready.display()))?;
    Ok(inside)
}
