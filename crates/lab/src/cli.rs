//! The verbs of the `lab` command.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

use crate::instance::{self, Instance};
use crate::{Fail, needs, report, run, scenario, tree};

#[derive(Parser)]
#[command(name = "lab", about = "Hosts, routers and real faults for nopong's tests")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make the host trees, if they are missing
    Tree,
    /// Run scenarios and judge nopong
    Run {
        /// Parts of scenario names; all without any
        filters: Vec<String>,
        #[arg(long, default_value_t = 3)]
        jobs: usize,
        /// Write everything, reports included, to this file
        #[arg(long)]
        json: Option<PathBuf>,
        /// Only check that each fault is real: healthy, then the real client fails as said
        #[arg(long)]
        no_nopong: bool,
        /// Then fix and undo, in the same lab, what has a fix
        #[arg(long, conflicts_with = "no_nopong")]
        fix: bool,
    },
    /// Fix what is broken in the scenarios that have a fix, look as the client does, undo, compare
    Fix {
        /// Parts of scenario names; all without any
        filters: Vec<String>,
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Kill the fix at every point of its journal instead (a build with debug assertions)
        #[arg(long)]
        kill: bool,
    },
    /// Judge clouds' firewall rules: the real AWS CLI against a local EC2 server, nopong in between
    Cloud {
        /// Parts of the situations' names; all without any
        filters: Vec<String>,
    },
    /// List the scenarios and the causes they stand for
    List { filters: Vec<String> },
    /// Boot a lab that stays, addressed by name
    Up {
        name: String,
        #[arg(long, default_value = "bookworm")]
        tree: String,
        /// Bring this scenario's fault about in it
        #[arg(long)]
        scenario: Option<String>,
        /// With --scenario: stop before the break
        #[arg(long)]
        healthy: bool,
    },
    /// Run a command in a machine of a standing lab
    Exec {
        name: String,
        /// server, client or router
        role: String,
        /// root or app
        #[arg(long, default_value = "root")]
        user: String,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Take down a standing lab
    Down { name: String },
    /// Standing labs
    Ps,
    #[command(hide = true)]
    Guard,
}

pub fn main() -> ExitCode {
    match act(Args::parse().verb) {
        Ok(code) => code,
        Err(e) => {
            crate::say!("lab: {e}");
            ExitCode::FAILURE
        }
    }
}

fn act(verb: Verb) -> Result<ExitCode, Fail> {
    if let Verb::List { filters } = &verb {
        return report::list(&scenario::load(&scenario::folder(), filters)?);
    }
    if let Err(why) = needs::check() {
        crate::say!("lab: skipped, {why}");
        let required = std::env::var("LAB").is_ok_and(|v| v == "require");
        return Ok(if required { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    instance::sweep();
    match verb {
        Verb::List { .. } => Ok(ExitCode::SUCCESS),
        Verb::Guard => {
            // Ends when the run that holds the other end of stdin does, however it ended.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            instance::sweep();
            Ok(ExitCode::SUCCESS)
        }
        Verb::Run { filters, jobs, json, no_nopong, fix } => {
            let scenarios = scenario::load(&scenario::folder(), &filters)?;
            let binary = nopong().filter(|_| !no_nopong);
            if binary.is_none() && !no_nopong {
                return Err("no nopong to test: build it, set NOPONG_BIN, or say --no-nopong".into());
            }
            report::run(&scenarios, binary.as_deref(), fix, jobs.max(1), json.as_deref())
        }
        Verb::Fix { filters, jobs, kill } => {
            let scenarios = scenario::load(&scenario::folder(), &filters)?;
            let binary = nopong().ok_or("no nopong to test: build it, or set NOPONG_BIN")?;
            crate::fix::run(&scenarios, &binary, jobs, kill)
        }
        Verb::Cloud { filters } => {
            let binary = nopong().ok_or("no nopong to test: build it, or set NOPONG_BIN")?;
            crate::cloud::run(&binary, &filters)
        }
        Verb::Tree => std::thread::scope(|s| {
            let making: Vec<_> = tree::RECIPES.iter().map(|r| s.spawn(|| tree::ready(r.name))).collect();
            making.into_iter().try_for_each(|t| {
                let path = t.join().map_err(|_| "making a tree panicked".to_owned())??;
                crate::say!("{}", path.display());
                Ok(())
            })
        })
        .map(|()| ExitCode::SUCCESS),
        Verb::Up { name, tree, scenario, healthy } => {
            let scenario = match scenario {
                Some(filter) => {
                    let mut found = scenario::load(&scenario::folder(), std::slice::from_ref(&filter))?;
                    // The whole name before a longer one that contains it.
                    found.sort_by_key(|s| s.name.len());
                    Some(found.into_iter().next().ok_or_else(|| format!("no scenario {filter}"))?)
                }
                None => None,
            };
            let tree = scenario.as_ref().map_or(tree, |s| s.tree.clone());
            if instance::records().iter().any(|r| r.name.as_deref() == Some(&name)) {
                return Err(format!("there is a lab {name} already; take it down with: lab down {name}"));
            }
            let lab = Instance::boot(tree::host(&tree)?, None, Some(&name))?;
            for (name, address) in lab.net.names() {
                crate::say!("{name:10} {address}");
            }
            if let Some(scenario) = &scenario {
                let made = run::healthy(&lab, scenario)
                    .and_then(|()| if healthy { Ok(()) } else { run::broken(&lab, scenario) });
                crate::say!("{}: {}", scenario.name, made.err().unwrap_or_else(|| "made".into()));
            }
            lab.keep();
            Ok(ExitCode::SUCCESS)
        }
        Verb::Exec { name, role, user, command } => {
            let lab = Instance::open(&name)?;
            refresh_nopong(&lab, &role)?;
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            let line = lab.enter(&role, &user, &words)?;
            let status = Command::new(&line[0]).args(&line[1..]).status();
            let status = status.map_err(|e| format!("cannot start nsenter: {e}"))?;
            Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(128)).unwrap_or(255)))
        }
        Verb::Down { name } => {
            Instance::open(&name)?.down();
            Ok(ExitCode::SUCCESS)
        }
        Verb::Ps => {
            for record in instance::records() {
                crate::say!(
                    "{:20} {:15} {:?}",
                    record.name.as_deref().unwrap_or("(running)"),
                    record.host,
                    record.inits
                );
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The nopong to test: NOPONG_BIN, or the newest of the target folder's builds.
pub fn nopong() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("NOPONG_BIN") {
        return Some(PathBuf::from(path));
    }
    let exe = std::env::current_exe().unwrap_or_default();
    let default = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target"));
    // This program's own target folder first: two or three steps up from target/debug/deps/….
    let folders = exe.ancestors().skip(2).take(2).map(PathBuf::from);
    let folders = folders.chain(std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from)).chain([default]);
    let built = |p: &PathBuf| std::fs::metadata(p).and_then(|m| m.modified()).ok();
    folders.into_iter().find_map(|target| {
        let kinds = ["release", "debug"].map(|kind| target.join(kind).join("nopong"));
        kinds.into_iter().filter(|p| built(p).is_some()).max_by_key(built)
    })
}

/// Puts the present build into a standing lab's machine, if it is another than the one there.
fn refresh_nopong(lab: &Instance, role: &str) -> Result<(), Fail> {
    let Some(binary) = nopong() else { return Ok(()) };
    let there = lab.root(role)?.join("usr/local/bin/nopong");
    let stamp = |p: &std::path::Path| std::fs::metadata(p).map(|m| (m.len(), m.modified().ok())).ok();
    if stamp(&binary) != stamp(&there) {
        let _ = std::fs::remove_file(&there);
        let (from, to) = (binary.display().to_string(), there.display().to_string());
        crate::shell::must(std::time::Duration::from_secs(10), &["cp", "-p", &from, &to], "")?;
    }
    Ok(())
}
