//! Runs many scenarios side by side and words the result: a line per run, what was expected against
//! what came, totals, figures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::fix::Then;
use crate::run::{self, Judged, Outcome};
use crate::scenario::{Scenario, VANTAGES};
use crate::{Fail, say};

pub fn list(scenarios: &[Scenario]) -> Result<ExitCode, Fail> {
    let mut causes = BTreeSet::new();
    for s in scenarios {
        let firsts: BTreeSet<_> = s.runs.iter().flat_map(|r| r.first.all()).collect();
        say!("{:45} {}", s.name, s.about);
        causes.extend(firsts);
    }
    say!("{} scenarios, {} causes", scenarios.len(), causes.len());
    Ok(ExitCode::SUCCESS)
}

pub fn run(
    scenarios: &[Scenario],
    nopong: Option<&Path>,
    fixes: bool,
    jobs: usize,
    json: Option<&Path>,
) -> Result<ExitCode, Fail> {
    for tree in scenarios.iter().map(|s| s.tree.as_str()).collect::<BTreeSet<_>>() {
        crate::tree::ready(crate::tree::host(tree)?.tree)?;
    }
    let guard = guard()?;
    let began = std::time::Instant::now();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(scenarios.len()) {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run::scenario(scenario, nopong, fixes);
                    show(&outcome);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    let mut outcomes = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by(|a, b| a.scenario.cmp(&b.scenario));
    once_more(scenarios, nopong, fixes, &mut outcomes);
    drop(guard);
    let failed = summary(&outcomes, nopong.is_some());
    say!("{} scenarios in {:.1} s", outcomes.len(), began.elapsed().as_secs_f64());
    if let Some(path) = json {
        let text =
            serde_json::to_string_pretty(&outcomes).map_err(|e| format!("cannot word the results: {e}"))?;
        std::fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// At most so many failures are taken for the neighbours' fault.
const ALONE: usize = 5;

/// All labs share one kernel and its log: an OOM kill, a full table or plain load of one can show in another. A few
/// failures are therefore looked at once more, alone, and it is said which of them passed only then.
fn once_more(scenarios: &[Scenario], nopong: Option<&Path>, fixes: bool, outcomes: &mut [Outcome]) {
    if outcomes.iter().filter(|o| o.is_bad()).count() > ALONE {
        return;
    }
    for outcome in outcomes.iter_mut().filter(|o| o.is_bad()) {
        let Some(scenario) = scenarios.iter().find(|s| s.name == outcome.scenario) else { continue };
        say!("once more, alone: {}", scenario.name);
        let again = run::scenario(scenario, nopong, fixes);
        show(&again);
        if !again.is_bad() {
            say!("passed only alone: {}", scenario.name);
            *outcome = again;
        }
    }
}

/// A process that sweeps this run's labs when this run is gone, even killed.
fn guard() -> Result<impl Drop, Fail> {
    struct Guard(std::process::Child);
    impl Drop for Guard {
        fn drop(&mut self) {
            drop(self.0.stdin.take());
            let _ = self.0.wait();
        }
    }
    use std::os::unix::process::CommandExt as _;
    let exe = std::env::current_exe().map_err(|e| format!("cannot find myself: {e}"))?;
    let child = Command::new(exe)
        .arg("guard")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|e| format!("cannot start the guard: {e}"))?;
    Ok(Guard(child))
}

fn show(outcome: &Outcome) {
    let mut lines = Vec::new();
    if let Some(fault) = &outcome.fault {
        lines.push(format!("FAIL  {:44} {fault}", outcome.scenario));
    } else if outcome.runs.is_empty() && outcome.fixed.is_none() {
        lines.push(format!("real  {:44} {:.1} s", outcome.scenario, outcome.seconds));
    }
    for run in &outcome.runs {
        let word = if run.wrong.is_empty() { "ok  " } else { "FAIL" };
        lines.push(format!(
            "{word}  {:44} {:12} {} {}, {:.0} ms, {:.1} MB",
            run.scenario,
            run.vantage,
            run.got,
            run.band,
            run.wall_ms,
            run.peak_kb as f64 / 1024.0
        ));
        lines.extend(run.wrong.iter().map(|w| format!("        {w}")));
        if !run.wrong.is_empty() {
            lines.extend(why(run).lines().map(|l| format!("        | {l}")));
        }
    }
    if let Some(fixed) = &outcome.fixed {
        lines.push(match &fixed.outcome {
            Ok(seconds) => {
                format!("ok    {:44} fix          {:?}, {seconds:.2} s", outcome.scenario, fixed.then)
            }
            Err(wrong) => format!("FAIL  {:44} fix          {wrong}", outcome.scenario),
        });
    }
    say!("{}", lines.join("\n"));
}

/// The part of a report a developer needs to see why, short.
fn why(run: &Judged) -> String {
    let pick = |list: &str| -> Vec<Value> {
        let all = run.report.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
        let shorten = |c: &Value| json!({"id": c["id"], "p": c["probability"], "band": c["band"], "because": c["because"]});
        all.iter().take(4).map(shorten).collect()
    };
    let mut text = format!("stage {}, {}\n", run.report["stage"], run.report["symptom"]);
    for list in ["causes", "behind", "warnings"] {
        for cause in pick(list) {
            text.push_str(&format!("{list}: {cause}\n"));
        }
    }
    for fact in run.report.get("evidence").and_then(Value::as_array).into_iter().flatten() {
        let why = fact["why"].as_str().map(|w| format!(" ({w})")).unwrap_or_default();
        text.push_str(&format!("{}: {} {}{why}\n", fact["id"], fact["state"], fact["says"]));
    }
    if !run.stderr.is_empty() {
        text.push_str(&format!("stderr: {}\n", run.stderr.chars().take(500).collect::<String>()));
    }
    text
}

/// Prints tables and totals; true when something failed.
fn summary(outcomes: &[Outcome], judged: bool) -> bool {
    let broken = outcomes.iter().filter(|o| o.fault.is_some()).count();
    let runs: Vec<&Judged> = outcomes.iter().flat_map(|o| &o.runs).collect();
    let failed = runs.iter().filter(|r| !r.wrong.is_empty()).count();
    let fixes: Vec<_> = outcomes.iter().filter_map(|o| o.fixed.as_ref()).collect();
    let unfixed = fixes.iter().filter(|f| f.outcome.is_err()).count();
    if judged {
        confusion(&runs);
        figures(&runs);
    }
    if !fixes.is_empty() {
        let to_pong = fixes.iter().filter(|f| f.then == Then::Pong);
        crate::fix::say_times(to_pong.filter_map(|f| f.outcome.as_ref().ok().copied()));
        say!("fixes: {} passed, {unfixed} failed", fixes.len() - unfixed);
    }
    let passed = if judged { runs.len() - failed } else { outcomes.len() - broken };
    say!("{passed} passed, {} failed, 0 skipped", failed + broken);
    failed + broken + unfixed > 0
}

fn confusion(runs: &[&Judged]) {
    let mut table: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for run in runs {
        // Where several are accepted, the one that came stands for the set.
        let hit = run.expected.contains(&run.got);
        let row = if hit { run.got.clone() } else { run.expected.join("|") };
        *table.entry((row, &run.got)).or_default() += 1;
    }
    say!("\n{:40} {:30} runs", "expected", "got");
    for ((row, got), count) in table {
        say!("{row:40} {:30} {count}", if row == got { "=" } else { got });
    }
}

fn figures(runs: &[&Judged]) {
    say!(
        "\n{:14} {:>5} {:>10} {:>10} {:>10} {:>10}",
        "from",
        "runs",
        "median ms",
        "max ms",
        "median MB",
        "max MB"
    );
    for (vantage, ..) in VANTAGES {
        let mine: Vec<_> = runs.iter().filter(|r| r.vantage == *vantage).collect();
        if mine.is_empty() {
            continue;
        }
        let (wall_median, wall_max) = median_max(mine.iter().map(|r| r.wall_ms).collect());
        let (peak_median, peak_max) = median_max(mine.iter().map(|r| r.peak_kb as f64 / 1024.0).collect());
        say!(
            "{vantage:14} {:>5} {wall_median:>10.1} {wall_max:>10.1} {peak_median:>10.1} {peak_max:>10.1}",
            mine.len()
        );
    }
    say!("");
}

fn median_max(mut all: Vec<f64>) -> (f64, f64) {
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all[all.len() - 1])
}
