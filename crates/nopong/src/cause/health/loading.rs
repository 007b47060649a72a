//! The server loads its data and serves nobody until it is done.

use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage, runtime};
use crate::diagnosis::{Case, Symptom};

/// See the module.
#[derive(Debug)]
pub(super) struct Loading;

static META: Meta = Meta {
    id: "loading",
    category: Category::Health,
    stage: Stage::Ready,
    title: "the server is loading its data",
    // A loading that never ends is the consequence of what ends it.
    masked_by: &["data-unloadable", "oom-killed", "supervisor-kills", "crashed"],
    settled_by: &["inside", "unit"],
};

/// `61 % done, about 114 s to go`.
fn progress(case: &Case<'_>) -> Option<String> {
    let done = runtime::info(case, "loading_loaded_perc")?.1;
    let left = runtime::info(case, "loading_eta_seconds")
        .map(|(_, s)| format!(", about {s} s to go"))
        .unwrap_or_default();
    Some(format!("{done} % done{left}"))
}

impl Cause for Loading {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if let Some(text) = runtime::replied(case, "LOADING") {
            reasons.push(Reason::confirms("protocol", format!("it answers: {text}")));
        } else if case.symptom == Symptom::NotReady && runtime::info_is(case, "loading", "1").is_some() {
            reasons.push(Reason::confirms("protocol", "INFO says loading:1"));
        }
        if !reasons.is_empty() {
            reasons.extend(progress(case).map(|p| Reason::strong("protocol", format!("INFO says {p}"))));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        match progress(case) {
            Some(progress) => format!("the server is loading its data: {progress}"),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        Some(
            Fix::new(Risk::Safe, "wait: a restart would begin the loading anew")
                .run("wait until it serves", format!("nopong wait {}", runtime::target(case)))
                .step("let clients retry, and let probes take LOADING for alive but not ready"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Loading;
    use crate::cause::Cause;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, Case};

    #[test]
    fn confirms_by_the_reply() {
        let mut file = ping_error("LOADING Redis is loading the dataset in memory");
        assert_eq!(first(&file), Some(("loading", Band::Confirmed)));
        let mut talks = file.client.protocol.get().cloned().unwrap();
        talks[0].info = pong_talk(&[("loading_loaded_perc", "61.20"), ("loading_eta_seconds", "114")]).info;
        file.client.protocol = seen(talks);
        assert_eq!(
            Loading.title(&Case::new(&file)),
            "the server is loading its data: 61.20 % done, about 114 s to go"
        );
    }

    #[test]
    fn never_restarts() {
        let file = ping_error("LOADING Redis is loading the dataset in memory");
        let fix = Loading.fix(&Case::new(&file)).unwrap();
        assert!(fix.steps.iter().filter_map(|s| s.command.as_deref()).all(|c| !c.contains("restart")));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&Loading, &refused()));
        assert!(silent(&Loading, &pong(&[("loading", "0")])));
    }
}
