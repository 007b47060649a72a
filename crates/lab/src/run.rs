//! One scenario from a fresh boot: healthy, broken, the real client fails as said, then nopong from
//! every vantage asked for.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::expect::{self, Report};
use crate::fix::{self, Then};
use crate::instance::Instance;
use crate::scenario::{Base, Expect, Scenario, VANTAGES, container, step};
use crate::shell::Output;
use crate::{Fail, tree};

/// A step is a handful of commands on a fresh host; what takes longer hangs.
const STEP: Duration = Duration::from_secs(30);
/// A real client is given up on after this; a dropped SYN is retransmitted after 1 s and 3 s.
const CLIENT: Duration = Duration::from_millis(2500);
/// nopong bounds itself; this is for a defect.
const NOPONG: Duration = Duration::from_secs(30);

/// nopong's bound on its own memory, whatever it meets. A debug lab judges debug builds, whose code alone is larger.
const PEAK_KB: u64 = if cfg!(debug_assertions) { 45 } else { 30 } * 1024;

/// One judged run of nopong.
#[derive(Debug, Serialize)]
pub struct Judged {
    pub scenario: String,
    pub vantage: String,
    pub expected: Vec<String>,
    pub got: String,
    pub band: String,
    pub wrong: Vec<String>,
    pub wall_ms: f64,
    pub peak_kb: u64,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub report: Value,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stderr: String,
}

/// What became of a scenario: the fault could not be made, or nopong's answers.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub scenario: String,
    pub about: String,
    pub seconds: f64,
    /// Why the scenario itself did not work.
    pub fault: Option<String>,
    pub runs: Vec<Judged>,
    /// What became of its fix, where one was to be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Fixed>,
}

impl Outcome {
    /// Anything else than it was to be.
    pub fn is_bad(&self) -> bool {
        self.fault.is_some()
            || self.runs.iter().any(|r| !r.wrong.is_empty())
            || self.fixed.as_ref().is_some_and(|f| f.outcome.is_err())
    }
}

/// A fix made and undone.
#[derive(Debug, Serialize)]
pub struct Fixed {
    pub then: Then,
    /// Seconds that it took, or what was wrong.
    pub outcome: Result<f64, Fail>,
}

/// The fault, nopong's answers to it and, with `fixes`, the scenario's fix in the same lab.
pub fn scenario(scenario: &Scenario, nopong: Option<&Path>, fixes: bool) -> Outcome {
    let began = std::time::Instant::now();
    let mut outcome = Outcome {
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        seconds: 0.0,
        fault: None,
        runs: Vec::new(),
        fixed: None,
    };
    outcome.fault = attempt(scenario, nopong, fixes, &mut outcome).err();
    outcome.seconds = began.elapsed().as_secs_f64();
    outcome
}

fn attempt(
    scenario: &Scenario,
    nopong: Option<&Path>,
    fixes: bool,
    outcome: &mut Outcome,
) -> Result<(), Fail> {
    let lab = Instance::boot(tree::host(&scenario.tree)?, nopong, None)?;
    healthy(&lab, scenario)?;
    broken(&lab, scenario)?;
    if nopong.is_some() {
        for expect in &scenario.runs {
            for vantage in expect.from.all() {
                outcome.runs.push(judged(&lab, scenario, expect, vantage)?);
            }
        }
        if let Some(fix) = scenario.fix.as_ref().filter(|_| fixes) {
            outcome.fixed = Some(Fixed { then: fix.then, outcome: fix::on(&lab, scenario, fix) });
        }
    }
    Ok(())
}

/// Brings the lab to the point where the real client gets its PONG.
pub fn healthy(lab: &Instance, scenario: &Scenario) -> Result<(), Fail> {
    let base = match scenario.redis {
        Base::Open => {
            "conf bind '*' '-::*'; conf protected-mode no; systemctl -q enable $UNIT 2>/dev/null; start"
        }
        Base::Stock => "systemctl -q enable $UNIT 2>/dev/null; start",
        Base::None => "true",
    };
    perform(lab, base)?;
    scenario.setup.iter().try_for_each(|s| perform(lab, s))?;
    let out = ask(lab, &scenario.ping)?;
    if out.stdout.contains("PONG") {
        Ok(())
    } else {
        Err(format!("not healthy before the break: {}", out.brief()))
    }
}

/// Makes the fault and checks that the real client meets it.
pub fn broken(lab: &Instance, scenario: &Scenario) -> Result<(), Fail> {
    scenario.breaks.iter().try_for_each(|s| perform(lab, s))?;
    let Some(fails) = &scenario.fails else { return Ok(()) };
    let out = ask(lab, scenario.then.as_ref().unwrap_or(&scenario.ping))?;
    let seen = if fails == "timeout" {
        out.timed_out() && out.stdout.trim().is_empty()
    } else {
        out.stdout.contains(fails.as_str()) || out.stderr.contains(fails.as_str())
    };
    if seen { Ok(()) } else { Err(format!("the real client did not fail with {fails}: {}", out.brief())) }
}

fn perform(lab: &Instance, text: &str) -> Result<(), Fail> {
    let (place, script) = step(text);
    if let Some(role) = place.strip_prefix("sysctl-") {
        return lab.net.sysctl(role, script);
    }
    if place == "lab" {
        return lab.special(script);
    }
    let out = match container(place) {
        Some(name) => lab.exec("server", "root", &inside(name, script), STEP)?,
        None => lab.exec(place, "root", script, STEP)?,
    };
    if out.ok() { Ok(()) } else { Err(format!("step `{text}`: {}", out.brief())) }
}

pub fn ask(lab: &Instance, text: &str) -> Result<Output, Fail> {
    let (place, script) = step(text);
    match container(place) {
        Some(name) => lab.exec("server", "root", &inside(name, script), CLIENT),
        None => lab.exec(place, "app", script, CLIENT),
    }
}

/// The command that runs shell text in a container.
fn inside(name: &str, script: &str) -> String {
    format!("docker exec {name} sh -c '{}'", script.replace('\'', "'\\''"))
}

fn judged(lab: &Instance, scenario: &Scenario, expect: &Expect, vantage: &str) -> Result<Judged, Fail> {
    // In a container nopong is not installed: it looks from the host, as root, from where the container stands.
    let host = ("server-root", "server", "root");
    let found = VANTAGES.iter().find(|(name, ..)| *name == vantage);
    let Some((_, role, user)) = found.or(container(vantage).map(|_| &host)) else {
        return Err(format!("no vantage {vantage}"));
    };
    let fill = |text: &str| {
        lab.net
            .names()
            .iter()
            .fold(text.to_owned(), |t, (name, value)| t.replace(&format!("{{{name}}}"), value))
    };
    let limit = NOPONG.as_secs().to_string();
    // GNU time starts nopong itself, so the peak is nopong's and not the lab's.
    let note = format!("/tmp/peak-{user}");
    let mut argv: Vec<String> = ["timeout", "-k", "1", &limit, "env"].map(Into::into).into();
    argv.extend(expect.env.iter().map(|e| fill(e)));
    argv.extend(["time", "-q", "-f", "%M", "-o", &note].map(Into::into));
    argv.extend(expect.wrap.iter().cloned());
    argv.push("nopong".into());
    argv.extend(expect.verb.clone());
    argv.extend(["--format", "json"].map(Into::into));
    argv.extend(container(vantage).iter().flat_map(|_| ["--from".to_owned(), vantage.to_owned()]));
    argv.extend(expect.args.iter().map(|a| fill(a)));
    if !expect.target.is_empty() {
        argv.push(fill(&expect.target));
    }
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let line = lab.enter(role, user, &words)?;
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let out = crate::shell::run(NOPONG + Duration::from_secs(3), &line, "")?;
    let peak = std::fs::read_to_string(lab.root(role)?.join(&note[1..])).unwrap_or_default();
    let peak_kb = peak.trim().parse().unwrap_or(0);
    let stderr = out.stderr.trim();
    let mut wrong = Vec::new();
    let value: Value = serde_json::from_str(&out.stdout).unwrap_or(Value::Null);
    let report = match serde_json::from_value::<Report>(value.clone()) {
        Ok(report) => {
            let text = format!("{}{stderr}", out.stdout);
            let secrets = &scenario.secrets;
            let expect = &Expect { says: expect.says.iter().map(|s| fill(s)).collect(), ..expect.clone() };
            wrong.extend(expect::judge(expect, &report, out.code, &text, secrets));
            report
        }
        Err(e) => {
            wrong.push(format!("no report: {e}; {}", out.brief()));
            Report::default()
        }
    };
    let wall_ms = out.took.as_secs_f64() * 1000.0;
    if let Some(limit) = expect.within_ms.filter(|&l| wall_ms > l) {
        wrong.push(format!("took {wall_ms:.0} ms, expected at most {limit:.0}"));
    }
    if peak_kb > PEAK_KB {
        wrong.push(format!("peak memory {peak_kb} KiB"));
    }
    if let Some(Err(e)) = expect.after.as_deref().map(|step| perform(lab, step)) {
        wrong.push(format!("afterwards: {e}"));
    }
    if stderr.contains("panicked") || stderr.contains("a defect of nopong") {
        wrong.push("a defect: see stderr".into());
    }
    Ok(Judged {
        scenario: scenario.name.clone(),
        vantage: vantage.to_owned(),
        expected: if expect.first.all().is_empty() {
            vec!["pong".into()]
        } else {
            expect.first.all().to_vec()
        },
        got: report.first().to_owned(),
        band: report.causes.first().map(|c| format!("{:?}", c.band).to_lowercase()).unwrap_or_default(),
        wrong,
        wall_ms,
        peak_kb,
        report: value,
        stderr: stderr.to_owned(),
    })
}
