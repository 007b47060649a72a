//! The client may open no more files, so it cannot open a socket.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, runtime};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::client::Limits;

/// See the module.
#[derive(Debug)]
pub(super) struct ClientFdsExhausted;

static META: Meta = Meta {
    id: "client-fds-exhausted",
    category: Category::Capacity,
    stage: Stage::Connect,
    title: "the client may open no more files",
    masked_by: &[],
    settled_by: &["limits", "connect"],
};

/// The errno that socket() gave: EMFILE is the process's limit, ENFILE the machine's (socket(2)).
fn errno<'a>(case: &Case<'a>) -> Option<&'a str> {
    let own = case.file.client.limits.get().and_then(|l| l.own_errno.as_deref());
    own.or_else(|| runtime::errno(case)).filter(|e| matches!(*e, "EMFILE" | "ENFILE"))
}

fn figures(limits: &Limits) -> Option<String> {
    let (open, limit) = limits.fd_open.zip(limits.fd_limit)?;
    Some(format!("this process has {open} files open of {limit} it may open"))
}

fn machine(limits: &Limits) -> Option<(u64, u64)> {
    limits.system_files.filter(|(_, max)| *max > 0)
}

impl Cause for ClientFdsExhausted {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if case.symptom != Symptom::LocalErrno {
            return Vec::new();
        }
        let limits = case.client.limits.get();
        let Some(errno) = errno(case) else {
            return vec![Reason::rules_out(
                "connect",
                format!("the errno is {}", runtime::errno(case).unwrap_or("another")),
            )];
        };
        let mut reasons = vec![Reason::confirms("connect", format!("no socket could be opened: {errno}"))];
        reasons.extend(limits.and_then(figures).map(|says| Reason::strong("limits", says)));
        if let Some((used, max)) = limits.and_then(machine).filter(|_| errno == "ENFILE") {
            reasons.push(Reason::strong(
                "limits",
                format!("the machine has {used} files open of {max} (fs.file-max)"),
            ));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match errno(case) {
            Some("ENFILE") => "this machine may open no more files (ENFILE)".to_owned(),
            Some(_) => "the client may open no more files (EMFILE)".to_owned(),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if errno(case) == Some("ENFILE") {
            return Some(
                Fix::new(Risk::Ask, "find who holds the machine's files")
                    .run("open files by process", "for p in /proc/[0-9]*; do echo \"$(ls $p/fd 2>/dev/null | wc -l) $(cat $p/comm)\"; done | sort -n | tail")
                    .run("the machine's limit", "sysctl fs.file-nr fs.file-max"),
            );
        }
        Some(
            Fix::new(Risk::Ask, "find the leak in the application; raise its file limit if it needs so many")
                .run("what the application has open (its pid for PID)", "ls -l /proc/PID/fd | awk '{print $NF}' | cut -d: -f1 | sort | uniq -c")
                .step("a socket for each request is a leak of its own: use one pool, and close what is borrowed")
                .step("the limit: LimitNOFILE= in the application's unit, or ulimit -n in what starts it"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if case.symptom == Symptom::LocalErrno {
            return None;
        }
        // Our own process opens few files: only the machine's figures say something of the application.
        let (used, max) =
            machine(case.file.client.limits.get()?).filter(|(used, max)| used * 100 >= max * 95)?;
        let says = format!("the machine has {used} files open of {max}");
        Some(Latent {
            place: Place::Warning,
            title: format!("{says}: clients will soon get no socket"),
            reasons: vec![Reason::confirms("limits", says)],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ClientFdsExhausted;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;

    #[test]
    fn settles() {
        assert_eq!(first(&errno("EMFILE")), Some(("client-fds-exhausted", Band::Confirmed)));
        assert_eq!(first(&errno("ENFILE")), Some(("client-fds-exhausted", Band::Confirmed)));
    }

    #[test]
    fn another_errno_rules_it_out() {
        assert!(rules_out(&ClientFdsExhausted, &errno("EADDRNOTAVAIL")));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&ClientFdsExhausted, &refused()));
    }
}
