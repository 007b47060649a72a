//! maxmemory is reached and nothing may be evicted: every write is refused.

use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage, common, runtime};
use crate::diagnosis::{Case, Symptom, memory_full};

/// See the module.
#[derive(Debug)]
pub(super) struct MemoryFull;

static META: Meta = Meta {
    id: "memory-full",
    category: Category::Health,
    stage: Stage::Ready,
    title: "the server's memory is full and it may evict nothing",
    masked_by: &[],
    settled_by: &["inside"],
};

/// From this share of maxmemory a warning is due.
const NEARLY: f64 = 0.95;

fn refusal<'a>(case: &Case<'a>) -> Option<&'a str> {
    runtime::replied(case, "OOM").or_else(|| {
        let reply = case.file.client.topology.get()?.probe_reply.as_ref()?;
        reply.error().filter(|_| reply.word() == Some("OOM"))
    })
}

fn figures(case: &Case<'_>) -> Option<(u64, u64, &'static str, String)> {
    let used = runtime::number(case, "used_memory")?;
    let max = runtime::number(case, "maxmemory").filter(|max| *max > 0)?;
    let (id, policy) = runtime::info(case, "maxmemory_policy")?;
    let says = format!(
        "used_memory is {}, maxmemory {}, maxmemory-policy {policy}",
        runtime::size(used),
        runtime::size(max)
    );
    Some((used, max, id, says))
}

fn is_full(case: &Case<'_>) -> bool {
    case.talk().is_some_and(memory_full) || case.server.inside.get().is_some_and(memory_full)
}

impl Cause for MemoryFull {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if let Some(text) = refusal(case) {
            reasons.push(Reason::confirms("protocol", format!("it answers: {text}")));
        }
        if case.symptom == Symptom::NotReady && is_full(case) {
            reasons.extend(figures(case).map(|(_, _, id, says)| Reason::confirms(id, says)));
        } else if !reasons.is_empty() {
            reasons.extend(figures(case).map(|(_, _, id, says)| Reason::strong(id, says)));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match figures(case) {
            Some((used, max, _, _)) if used >= max => {
                format!(
                    "memory is full ({} of {}), and every write is refused",
                    runtime::size(used),
                    runtime::size(max)
                )
            }
            _ => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let cli = common::cli(case);
        Some(
            Fix::new(Risk::Ask, "make room: more memory, an eviction policy, or fewer keys")
                .run("what uses the memory", format!("{cli} INFO memory; {cli} --bigkeys"))
                .step(format!("raise the limit where the machine has room: {cli} CONFIG SET maxmemory SIZE, then CONFIG REWRITE"))
                .step("a cache may evict: CONFIG SET maxmemory-policy allkeys-lru; a store must not, it needs room or expiry"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        let (used, max, id, says) = figures(case)?;
        let policy = runtime::info(case, "maxmemory_policy")?.1;
        let place = if case.symptom == Symptom::Pong { Place::Warning } else { Place::Behind };
        if policy == "noeviction" && used as f64 >= max as f64 * NEARLY {
            let title = if used >= max { self.title(case) } else { format!("memory is nearly full: {says}") };
            return Some(Latent {
                place,
                title,
                reasons: vec![Reason::confirms(id, says)],
                fix: self.fix(case),
            });
        }
        // volatile-* evicts only keys with an expiry: without any, writes are refused as well (evict.c).
        (policy.starts_with("volatile-") && used >= max).then(|| Latent {
            place: Place::Warning,
            title: format!("memory is full, and only keys with an expiry may be evicted: {says}"),
            reasons: vec![Reason::strong(id, says)],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryFull;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};

    fn used(used: &str, policy: &str) -> crate::evidence::CaseFile {
        pong(&[("used_memory", used), ("maxmemory", "1000000"), ("maxmemory_policy", policy)])
    }

    #[test]
    fn confirms_a_full_memory() {
        assert_eq!(first(&used("1000001", "noeviction")), Some(("memory-full", Band::Confirmed)));
        let file = ping_error("OOM command not allowed when used memory > 'maxmemory'.");
        assert_eq!(first(&file), Some(("memory-full", Band::Confirmed)));
    }

    #[test]
    fn warns_before() {
        let diagnosis = diagnose(&used("960000", "noeviction"));
        assert!(diagnosis.pong && diagnosis.warnings.len() == 1);
    }

    #[test]
    fn a_cache_is_always_full() {
        assert!(silent(&MemoryFull, &used("1000001", "allkeys-lru")));
        assert!(silent(&MemoryFull, &used("500000", "noeviction")));
        assert!(silent(&MemoryFull, &refused()));
    }
}
