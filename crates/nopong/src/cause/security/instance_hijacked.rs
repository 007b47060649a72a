//! Somebody else has taken the server over: it saves into cron's folders or into .ssh, follows a stranger, or
//! has loaded a module from a temporary folder.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, common, runtime};
use crate::diagnosis::{Case, Symptom};
use std::net::IpAddr;

/// See the module.
#[derive(Debug)]
pub(super) struct InstanceHijacked;

static META: Meta = Meta {
    id: "instance-hijacked",
    category: Category::Security,
    stage: Stage::Ready,
    title: "the server looks taken over by somebody else",
    masked_by: &[],
    settled_by: &["inside", "config"],
};

/// Folders into which a dump is written only to run commands or to log in as somebody.
fn runs_commands(dir: &str) -> bool {
    let dir = dir.trim_end_matches('/');
    dir.starts_with("/etc/cron")
        || dir.starts_with("/var/spool/cron")
        || dir.starts_with("/etc/init.d")
        || dir.starts_with("/etc/ld.so")
        || dir.starts_with("/etc/profile.d")
        || dir.starts_with("/etc/systemd")
        || dir.split('/').any(|part| part == ".ssh")
}

/// Names of a dump that only mean something to another program.
fn odd_name(name: &str) -> bool {
    matches!(
        name,
        "root"
            | "authorized_keys"
            | "authorized_keys2"
            | "crontab"
            | "zzh"
            | "ld.so.preload"
            | "passwd"
            | "shadow"
    ) || [".so", ".sh", ".php", ".jsp", ".py", ".service"].iter().any(|end| name.ends_with(end))
}

/// Folders anybody may write to: no administrator loads a module from there.
fn anybodys(path: &str) -> bool {
    ["/tmp/", "/var/tmp/", "/dev/shm/"].iter().any(|dir| path.starts_with(dir))
}

/// Not an address of a private network (RFC 1918, RFC 6598, RFC 4193), of this machine or of the link.
fn public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            let other =
                v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || v4.is_documentation();
            !(v4.is_private() || shared || other)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            !(v6.is_loopback() || v6.is_unspecified() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80)
        }
    }
}

/// A value in force that the file does not have.
fn differs(case: &Case<'_>, key: &str) -> Option<String> {
    let (_, file, running) = case.config()?.disagree.iter().find(|(k, _, _)| k == key)?;
    Some(format!(
        "the file says {key} {}, the running server {key} {running}",
        if file.is_empty() { "\"\"" } else { file }
    ))
}

fn signs(case: &Case<'_>) -> Vec<Reason> {
    let mut signs = Vec::new();
    let name = runtime::setting(case, "dbfilename").filter(|(_, name)| odd_name(name));
    if let Some((id, dir)) = runtime::setting(case, "dir")
        && (runs_commands(dir) || (dir == "/etc" && name.is_some()))
    {
        signs.push(Reason::confirms(
            id,
            format!("it saves into {dir}, where other programs run what they find"),
        ));
    }
    if let Some((id, name)) = name {
        signs.push(Reason::strong(id, format!("its dump is called {name}")));
    }
    // The server's own complaint names folder and file even when CONFIG is closed to us (rdb.c, rdbSave).
    let complaints = case.server.log.get().into_iter().flat_map(|l| &l.complaints);
    if let Some(line) = complaints
        .filter(|c| c.contains("for saving") || c.contains("server root dir"))
        .find(|c| c.split([' ', '(', ')', '\'', '"']).any(runs_commands))
    {
        signs.push(Reason::strong("log", line.clone()));
    }
    let host =
        runtime::info(case, "master_host").and_then(|(id, host)| Some((id, host.parse::<IpAddr>().ok()?)));
    if let Some((id, host)) = host.filter(|(_, host)| public(*host))
        && let Some(says) = differs(case, "replicaof")
    {
        signs.push(Reason::strong(id, format!("it follows {host}, an address of the internet: {says}")));
    }
    if let Some((id, module)) = runtime::setting(case, "loadmodule").filter(|(_, module)| anybodys(module)) {
        signs.push(Reason::strong(id, format!("it loads the module {module}")));
    }
    if !signs.is_empty() {
        signs.extend(
            ["dir", "dbfilename"]
                .iter()
                .filter_map(|key| differs(case, key))
                .map(|says| Reason::strong("config", says)),
        );
    }
    signs.truncate(4);
    signs
}

impl Cause for InstanceHijacked {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        // Only what an intruder breaks is his: saving, and the link to a primary that is his.
        match (case.symptom, case.error_word()) {
            (Symptom::ErrorReply, Some("MISCONF" | "READONLY" | "MASTERDOWN")) => signs(case),
            _ => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        match signs(case).first() {
            Some(sign) => format!("the server looks taken over: {}", sign.says),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let cli = common::cli(case);
        let port = case.ask.port;
        Some(
            Fix::new(Risk::Advice, "treat the machine as compromised; do not just repair the rights of the folder")
                .step("close the port to everybody but the clients at once, and keep the machine as it is for whoever examines it")
                .run("who is connected", format!("ss -tnp 'sport = :{port}'"))
                .run("what was changed at run time", format!("{cli} CONFIG GET dir dbfilename replicaof"))
                .run("what cron and ssh were given", "ls -la /etc/cron* /var/spool/cron /root/.ssh; grep -rl REDIS00 /etc/cron* /var/spool/cron 2>/dev/null")
                .step("rebuild the machine and restore the data from before; then a password, no wide bind, enable-protected-configs no, a server that does not run as root"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let reasons = signs(case);
        (!reasons.is_empty()).then(|| Latent {
            place: Place::Warning,
            title: self.title(case),
            reasons,
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{InstanceHijacked, odd_name, public, runs_commands};
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::CaseFile;

    fn saves(mut file: CaseFile, dir: &str, name: &str) -> CaseFile {
        let mut talks = file.client.protocol.get().cloned().unwrap();
        talks[0].config =
            vec![("dir".to_owned(), dir.to_owned()), ("dbfilename".to_owned(), name.to_owned())];
        file.client.protocol = seen(talks);
        file
    }

    #[test]
    fn warns_beside_a_pong() {
        let warnings = diagnose(&saves(pong(&[]), "/var/spool/cron", "root")).warnings;
        assert_eq!((warnings[0].cause.meta().id, warnings[0].band), ("instance-hijacked", Band::Confirmed));
    }

    #[test]
    fn explains_a_save_that_fails_there() {
        let file = ping_error(
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        );
        assert_eq!(first(&saves(file, "/etc/cron.d", "root")), Some(("instance-hijacked", Band::Confirmed)));
    }

    #[test]
    fn an_ordinary_folder_is_none_of_it() {
        assert!(silent(&InstanceHijacked, &saves(pong(&[]), "/var/lib/redis", "dump.rdb")));
        let replica = pong(&[("role", "slave"), ("master_host", "10.0.0.9")]);
        assert!(silent(&InstanceHijacked, &replica));
        assert!(silent(&InstanceHijacked, &refused()));
    }

    #[test]
    fn tables() {
        for dir in ["/etc/cron.d", "/var/spool/cron/crontabs/", "/root/.ssh", "/home/app/.ssh/"] {
            assert!(runs_commands(dir), "{dir}");
        }
        for dir in ["/var/lib/redis", "/data", "/srv/crons", "/"] {
            assert!(!runs_commands(dir), "{dir}");
        }
        assert!(
            odd_name("exp.so")
                && odd_name("authorized_keys")
                && !odd_name("dump.rdb")
                && !odd_name("root.rdb")
        );
        assert!(public("185.246.90.203".parse().unwrap()));
        assert!(!public("10.1.1.1".parse().unwrap()) && !public("100.64.0.1".parse().unwrap()));
    }
}
