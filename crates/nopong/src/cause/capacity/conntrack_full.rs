//! The kernel's table of tracked connections is full, and packets of new ones are dropped.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, runtime};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct ConntrackFull;

static META: Meta = Meta {
    id: "conntrack-full",
    category: Category::Capacity,
    stage: Stage::Connect,
    title: "the table of tracked connections is full",
    masked_by: &[],
    settled_by: &["kernel", "limits"],
};

/// Where the fullest table is, and its figures.
fn fullest(case: &Case<'_>) -> Option<(&'static str, u64, u64)> {
    let server = case.server.kernel.get().and_then(|k| k.conntrack).map(|(n, max)| ("kernel", n, max));
    let client = case.client.limits.get().and_then(|l| l.conntrack).map(|(n, max)| ("limits", n, max));
    server
        .into_iter()
        .chain(client)
        .filter(|(_, _, max)| *max > 0)
        .max_by(|a, b| (a.1 as f64 / a.2 as f64).total_cmp(&(b.1 as f64 / b.2 as f64)))
}

fn sentence(used: u64, max: u64) -> String {
    format!("the kernel tracks {used} connections of {max} it may track")
}

impl Cause for ConntrackFull {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        // Without a place in the table the packet is dropped (nf_conntrack_core.c, "table full, dropping
        // packet"); in the OUTPUT hook our own connect() then gets EPERM.
        let fits = case.symptom == Symptom::TimedOut
            || (case.symptom == Symptom::LocalErrno && runtime::errno(case) == Some("EPERM"));
        if !fits {
            return Vec::new();
        }
        match fullest(case) {
            Some((id, used, max)) if used >= max => vec![Reason::confirms(id, sentence(used, max))],
            Some((id, used, max)) if used * 100 >= max * 98 => vec![Reason::strong(id, sentence(used, max))],
            // A router on the way may have a table of its own: only this machine's is known.
            Some((id, used, max)) => vec![Reason::against(id, sentence(used, max))],
            None => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        match fullest(case).filter(|(_, used, max)| used * 100 >= max * 98) {
            Some((_, used, max)) => format!("new connections are dropped: {}", sentence(used, max)),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let max = fullest(case).map_or(262_144, |(_, _, max)| max.saturating_mul(2));
        Some(
            Fix::new(Risk::Ask, "make room in the table, and find who fills it")
                .run("by source address", "conntrack -L 2>/dev/null | grep -o 'src=[^ ]*' | sort | uniq -c | sort -n | tail")
                .run("a greater table, until the next boot", format!("sysctl -w net.netfilter.nf_conntrack_max={max}"))
                .step("for good: the same line in /etc/sysctl.d/; each entry takes some 300 bytes")
                .step("or do not track Redis at all: notrack rules for its port, both directions, and accept rules without state"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let fits = matches!(case.symptom, Symptom::TimedOut | Symptom::LocalErrno);
        let (id, used, max) = fullest(case).filter(|(_, used, max)| !fits && used * 10 >= max * 9)?;
        Some(Latent {
            place: Place::Warning,
            title: format!("the table of tracked connections is nearly full: {}", sentence(used, max)),
            reasons: vec![Reason::confirms(id, sentence(used, max))],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ConntrackFull;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::server::Kernel;

    fn tracked(mut file: CaseFile, used: u64, max: u64) -> CaseFile {
        file.server.kernel = seen(Kernel { conntrack: Some((used, max)), ..Kernel::default() });
        file
    }

    #[test]
    fn settles() {
        assert_eq!(first(&tracked(timed_out(), 65536, 65536)), Some(("conntrack-full", Band::Confirmed)));
        assert!(confirms(&ConntrackFull, &tracked(errno("EPERM"), 65536, 65536)));
    }

    #[test]
    fn an_empty_table_speaks_against_it() {
        assert!(!confirms(&ConntrackFull, &tracked(timed_out(), 12, 65536)));
        assert!(silent(&ConntrackFull, &tracked(timed_out(), 12, 65536)));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&ConntrackFull, &timed_out()));
        assert!(silent(&ConntrackFull, &refused()));
    }
}
