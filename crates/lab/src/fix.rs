//! `lab fix`: a scenario's fault, `nopong fix --yes` on it, the real client's PONG, `nopong undo`, and the host as it
//! was before: files, rules, unit states, settings. With `--kill`, the fix (built with debug assertions) is killed at
//! every point of its journal in turn, and undone each time.
//!
//! What a snapshot leaves out: counters and handles of rules, whether a unit that is down `failed`, the data files.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;

use crate::instance::Instance;
use crate::scenario::{Scenario, VANTAGES};
use crate::{Fail, run, say, tree};

/// A fix bounds itself; this is for a defect.
const LIMIT: Duration = Duration::from_secs(60);
/// Points of a journal; no plan comes near it.
const POINTS: usize = 60;

/// The table `[fix]` of a scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fix {
    #[serde(default = "server_root")]
    pub from: String,
    #[serde(default = "target")]
    pub target: String,
    #[serde(default)]
    pub args: Vec<String>,
    pub then: Then,
    /// The real client's command after the fix, where it is not the one that failed.
    pub ask: Option<String>,
    /// Texts that must be in what fix prints.
    #[serde(default)]
    pub says: Vec<String>,
    /// Starts nopong through it.
    #[serde(default)]
    pub wrap: Vec<String>,
    /// Where `nopong fix` is started.
    pub dir: Option<String>,
    /// A step after the fix, as at the next boot; the client must get its PONG after it too.
    pub reload: Option<String>,
    /// After the fix a client without the password gets no PONG.
    #[serde(default)]
    pub closed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
pub enum Then {
    #[serde(rename = "PONG")]
    Pong,
    #[serde(rename = "rolled-back")]
    RolledBack,
    #[serde(rename = "refused")]
    Refused,
    #[serde(rename = "advice")]
    Advice,
}

fn server_root() -> String {
    "server-root".into()
}

fn target() -> String {
    "redis://{server}:6379".into()
}

struct Outcome {
    name: String,
    then: Then,
    seconds: f64,
    kills: usize,
    wrong: Option<Fail>,
}

/// Runs the fixes of all scenarios that have one.
pub fn run(scenarios: &[Scenario], nopong: &Path, jobs: usize, kill: bool) -> Result<ExitCode, Fail> {
    let all: Vec<(&Scenario, &Fix)> = scenarios
        .iter()
        .filter_map(|s| Some((s, s.fix.as_ref()?)))
        .filter(|(_, f)| !kill || f.then == Then::Pong)
        .collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, 4) {
            scope.spawn(|| {
                while let Some((scenario, fix)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut outcome = Outcome {
                        name: scenario.name.clone(),
                        then: fix.then,
                        seconds: 0.0,
                        kills: 0,
                        wrong: None,
                    };
                    outcome.wrong = attempt(scenario, fix, nopong, kill, &mut outcome).err();
                    show(&outcome);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    let outcomes = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let failed = outcomes.iter().filter(|o| o.wrong.is_some()).count();
    say_times(outcomes.iter().filter(|o| o.wrong.is_none() && o.then == Then::Pong).map(|o| o.seconds));
    let kills: usize = outcomes.iter().map(|o| o.kills).sum();
    if kill {
        say!("kills undone: {kills}");
    }
    say!("{} passed, {failed} failed", outcomes.len() - failed);
    Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// How long the fixes took that ended in a PONG and were undone.
pub fn say_times(seconds: impl Iterator<Item = f64>) {
    let mut times: Vec<f64> = seconds.collect();
    times.sort_by(f64::total_cmp);
    if let (Some(median), Some(most)) = (times.get(times.len() / 2), times.last()) {
        let count = times.len();
        say!("fixed and undone: {count}; median {median:.2} s to a verified PONG, at most {most:.2} s");
    }
}

fn show(outcome: &Outcome) {
    match &outcome.wrong {
        None if outcome.kills > 0 => say!("ok    {:44} {} kills", outcome.name, outcome.kills),
        None => say!("ok    {:44} {:?} {:.2} s", outcome.name, outcome.then, outcome.seconds),
        Some(wrong) => say!("FAIL  {:44} {wrong}", outcome.name),
    }
}

fn attempt(
    scenario: &Scenario,
    fix: &Fix,
    nopong: &Path,
    kill: bool,
    outcome: &mut Outcome,
) -> Result<(), Fail> {
    let lab = Instance::boot(tree::host(&scenario.tree)?, Some(nopong), None)?;
    run::healthy(&lab, scenario)?;
    run::broken(&lab, scenario)?;
    if kill {
        let before = snapshot(&lab)?;
        return killed(lab, before, scenario, fix, nopong, outcome);
    }
    outcome.seconds = on(&lab, scenario, fix)?;
    Ok(())
}

/// Fixes what is broken in this lab, asks as the real client does, undoes and compares: the seconds that the fix took.
pub fn on(lab: &Instance, scenario: &Scenario, fix: &Fix) -> Result<f64, Fail> {
    let before = snapshot(lab)?;
    let let_in_before = strangers(lab)?;
    let out = nopong_fix(lab, fix, &[])?;
    let said = format!("{}\n{}", out.stdout, out.stderr);
    let seconds = out.took.as_secs_f64();
    let wanted = match fix.then {
        Then::Pong => out.code == 0 && said.contains("Fixed: "),
        Then::RolledBack => out.code == 4,
        Then::Refused => said.contains("no change was planned"),
        Then::Advice => said.contains("nothing to apply by itself"),
    };
    if !wanted {
        return Err(format!("fix ended with {}:\n{said}", out.code));
    }
    if let Some(missing) = fix.says.iter().find(|s| !said.contains(s.as_str())) {
        return Err(format!("fix does not say `{missing}`:\n{said}"));
    }
    if fix.then != Then::Pong {
        same(&before, &snapshot(lab)?).map_err(|d| format!("{d}\n{said}"))?;
        return Ok(seconds);
    }
    let ask = fix.ask.as_ref().or(scenario.then.as_ref()).unwrap_or(&scenario.ping);
    let password = said.lines().find_map(|l| l.split_once("shown this once: ")).map(|(_, p)| p.trim());
    let (place, script) = crate::scenario::step(ask);
    let bare = run::ask(lab, scenario.then.as_ref().unwrap_or(&scenario.ping))?;
    let ask = match password {
        Some(p) => format!("{place}: export REDISCLI_AUTH={p} VALKEYCLI_AUTH={p}; {script}"),
        None => ask.clone(),
    };
    let out = run::ask(lab, &ask)?;
    if !out.stdout.contains("PONG") {
        return Err(format!("the real client got no PONG after the fix: {}\n{said}", out.brief()));
    }
    if let Some(reload) = &fix.reload {
        let (place, script) = crate::scenario::step(reload);
        let done = lab.exec(place, "root", script, LIMIT)?;
        let again = run::ask(lab, &ask)?;
        if !done.ok() || !again.stdout.contains("PONG") {
            return Err(format!("no PONG after `{reload}`: {} {}\n{said}", done.brief(), again.brief()));
        }
    }
    if (fix.closed || password.is_some()) && bare.stdout.contains("PONG") {
        return Err(format!("a client without the password got PONG after the fix\n{said}"));
    }
    // A server that was down comes up as its owner configured it; nothing else is ever opened to strangers.
    let down = ["not-running/", "containers/stopped", "containers/paused"];
    if strangers(lab)? > let_in_before && !down.iter().any(|d| scenario.name.starts_with(d)) {
        return Err(format!("after the fix a stranger without a password gets PONG\n{said}"));
    }
    undone(lab, fix, &before).map_err(|e| format!("{e}\n{said}"))?;
    if let Some(fails) = &scenario.fails {
        let out = run::ask(lab, scenario.then.as_ref().unwrap_or(&scenario.ping))?;
        if out.stdout.contains("PONG") {
            return Err(format!("after undo the client gets PONG, expected {fails}: {}", out.brief()));
        }
    }
    Ok(seconds)
}

/// At how many of the server's two addresses a third host gets PONG without a password.
fn strangers(lab: &Instance) -> Result<usize, Fail> {
    let answers = run::ask(lab, "router: $CLI -h $SERVER ping; $CLI -h $SERVER6 ping")?;
    Ok(answers.stdout.matches("PONG").count())
}

/// Dies at each point of the journal in turn, until the fix gets through. Where what the undo leaves in the host's log,
/// or systemd's start limit, keeps the same plan from being made again, the fault is made on a fresh host.
fn killed(
    mut lab: Instance,
    mut before: String,
    scenario: &Scenario,
    fix: &Fix,
    nopong: &Path,
    outcome: &mut Outcome,
) -> Result<(), Fail> {
    for point in 1..POINTS {
        let environment = [format!("NOPONG_DIE_AFTER={point}")];
        let mut out = nopong_fix(&lab, fix, &environment)?;
        if !ended_as_meant(&out) && point > 1 {
            drop(lab);
            lab = Instance::boot(tree::host(&scenario.tree)?, Some(nopong), None)?;
            run::healthy(&lab, scenario)?;
            run::broken(&lab, scenario)?;
            before = snapshot(&lab)?;
            out = nopong_fix(&lab, fix, &environment)?;
        }
        if !ended_as_meant(&out) {
            return Err(format!("point {point}: fix ended with {}", out.brief()));
        }
        if out.code != 0 && point % 2 == 0 {
            // The undo is killed as well, and undone by the next one.
            let line = format!("NOPONG_DIE_AFTER={} nopong undo", 1 + point % 3);
            lab.exec("server", "root", &line, LIMIT)?;
        }
        undone(&lab, fix, &before).map_err(|e| format!("killed at point {point}: {e}\n{}", out.stdout))?;
        if out.code == 0 {
            return Ok(());
        }
        outcome.kills += 1;
    }
    Err("the fix never got through".into())
}

/// Verified, or killed where it was to be.
fn ended_as_meant(out: &crate::shell::Output) -> bool {
    out.code == 0 || out.code == 137
}

fn nopong_fix(lab: &Instance, fix: &Fix, environment: &[String]) -> Result<crate::shell::Output, Fail> {
    let Some((_, role, user)) = VANTAGES.iter().find(|(name, ..)| *name == fix.from) else {
        return Err(format!("no vantage {}", fix.from));
    };
    let fill = |text: &str| {
        lab.net
            .names()
            .iter()
            .fold(text.to_owned(), |t, (name, value)| t.replace(&format!("{{{name}}}"), value))
    };
    let limit = LIMIT.as_secs().to_string();
    let mut argv: Vec<String> = ["timeout", "-k", "1", &limit, "env"].map(Into::into).into();
    argv.extend(fix.dir.iter().flat_map(|d| ["-C".to_owned(), d.clone()]));
    argv.extend(environment.iter().cloned());
    argv.extend(fix.wrap.iter().cloned());
    argv.extend(["nopong", "fix", "--yes"].map(Into::into));
    argv.extend(fix.args.iter().map(|a| fill(a)));
    if !fix.target.is_empty() {
        argv.push(fill(&fix.target));
    }
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    let line = lab.enter(role, user, &words)?;
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    crate::shell::run(LIMIT + Duration::from_secs(3), &line, "")
}

/// `nopong undo`, after which the host is as it was. A fix killed before its first step leaves nothing to undo.
fn undone(lab: &Instance, fix: &Fix, before: &str) -> Result<(), Fail> {
    let at = VANTAGES.iter().find(|(name, ..)| *name == fix.from).map_or("server", |(_, role, _)| *role);
    let out = lab.exec(at, "root", "nopong undo", LIMIT)?;
    let nothing = out.code == 2 && out.stderr.contains("anything to undo");
    if out.code != 0 && !nothing {
        return Err(format!("undo ended with {}", out.brief()));
    }
    same(before, &snapshot(lab)?).map_err(|d| format!("{d}; undo said {}", out.brief()))
}

/// Everything a fix may change, as text.
fn snapshot(lab: &Instance) -> Result<String, Fail> {
    let out = lab.exec("server", "root", SNAPSHOT, LIMIT)?;
    if out.ok() { Ok(out.stdout) } else { Err(format!("no snapshot: {}", out.brief())) }
}

/// The lines that differ, if any.
fn same(before: &str, after: &str) -> Result<(), Fail> {
    if before == after {
        return Ok(());
    }
    let only = |a: &str, b: &str, sign: char| -> Vec<String> {
        let other: std::collections::BTreeSet<&str> = b.lines().collect();
        a.lines().filter(|l| !other.contains(l)).take(12).map(|l| format!("{sign} {l}")).collect()
    };
    let mut lines = only(before, after, '-');
    lines.extend(only(after, before, '+'));
    Err(format!("not as it was:\n{}", lines.join("\n")))
}

/// Files, rules, units, settings.
const SNAPSHOT: &str = r#"set +e
# A container that dies again and again has its port published for a moment at each start: look in a longer pause.
settled() { # when each last started and ended, once that is a while ago
  [ -S /run/docker.sock ] || return
  local at fresh i
  for i in {1..80}; do
    fresh=
    for at in $(docker ps -q | xargs -r docker inspect -f '{{.State.StartedAt}} {{.State.FinishedAt}}'); do
      [ $(($(date +%s%N) - $(date -d $at +%s%N))) -gt 700000000 ] || fresh=1
    done
    [ -n "$fresh" ] || break
    sleep 0.05
  done
  docker ps -q | xargs -r docker inspect -f '{{.State.StartedAt}} {{.State.FinishedAt}}'
}
look() {
places=()
for p in /etc/redis /etc/valkey /etc/ufw /etc/default/ufw /etc/firewalld /etc/nftables.conf /etc/iptables \
  /etc/systemd/system /home/app /srv; do [ -e $p ] && places+=($p); done
find "${places[@]}" -printf '%M %u:%g %p %l\n' | sort
find "${places[@]}" -type f -exec sha256sum {} + | sort -k2
for p in /var/lib/redis /var/lib/valkey /var/log/redis /var/log/valkey; do
  [ -e $p ] && find $p -maxdepth 0 -printf '%M %u:%g %p\n'
done
getfacl -cpR /etc/redis /etc/valkey 2>/dev/null
nft -s list ruleset
for t in iptables ip6tables iptables-legacy ip6tables-legacy; do
  [ -s /proc/net/ip_tables_names ] || case $t in *legacy) continue;; esac
  echo "$t"; $t-save 2>/dev/null | grep -v '^#' | sed 's/\[[0-9]*:[0-9]*\]//'
done
if [ "$(systemctl is-active firewalld)" = active ]; then
  firewall-cmd --list-all-zones; firewall-cmd --permanent --list-all-zones
fi
for u in redis-server valkey-server firewalld ufw nftables; do
  echo $u $(systemctl show -P LoadState -P UnitFileState $u) \
    $(systemctl show -P ActiveState $u | sed -E 's/failed|inactive|deactivating/down/; s/reloading|activating/active/')
done
if [ -S /run/docker.sock ]; then
  docker ps -a --format '{{.Names}} {{.State}} {{.Ports}}' | sed -E 's/created|exited/down/' | sort
  docker ps -aq | xargs -r docker inspect -f '{{.Name}} {{.HostConfig.RestartPolicy}} {{.Mounts}} {{.Config.Cmd}}' | sort
fi
for door in "-h 127.0.0.1" "-h $SERVER" "-s /run/redis/redis.sock" "-h $SERVER6"; do
  said=$(timeout 2 $CLI $door CONFIG GET '*' 2>&1)
  case $said in *refused*|*"No such"*|*"not connect"*|*"Error: "*|"") continue;; esac
  # Each process has its own order.
  echo "$said" | paste -sd '\t\n' | sed 's/\t$//' | sort; timeout 2 $CLI $door ACL LIST; break
done
}
for i in {1..8}; do
  before=$(settled)
  seen=$(look)
  [ "$before" != "$(settled)" ] || break
done
echo "$seen"
true
"#;

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn a_difference_is_shown_by_its_lines() {
        assert!(same("a\nb\n", "a\nb\n").is_ok());
        let said = same("a\nb\n", "a\nc\n").unwrap_err();
        assert!(said.contains("- b") && said.contains("+ c") && !said.contains("- a"));
    }
}
