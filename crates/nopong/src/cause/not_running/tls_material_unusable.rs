//! The server cannot use its certificate, key or CA file.

use super::shared::{self, Down, State};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Place, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::text::shell;

/// See the module.
#[derive(Debug)]
pub(super) struct TlsMaterialUnusable;

static META: Meta = Meta {
    id: "tls-material-unusable",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the server cannot use its certificate or key",
    masked_by: &["service-masked"],
    settled_by: &["log", "storage"],
};

/// TLS is switched on somewhere, so the files are read at the start.
fn wanted(case: &Case<'_>) -> bool {
    let on = |key: &str, off: &str| {
        case.config().and_then(|c| c.value(key)).is_some_and(|v| v != off && !v.is_empty())
    };
    on("tls-port", "0") || on("tls-replication", "no") || on("tls-cluster", "no")
}

/// What the files on disk show.
fn defect(case: &Case<'_>) -> Option<String> {
    if !wanted(case) {
        return None;
    }
    let storage = case.server.storage.get()?;
    let path = storage.paths.iter().find(|p| p.purpose.starts_with("tls-") && p.usable == Some(false));
    if let Some(path) = path {
        let why = path.obstacle.clone().unwrap_or_else(|| {
            if path.exists { "the server's user may not read it" } else { "it is not there" }.to_owned()
        });
        return Some(if why.contains(&path.path) {
            format!("{}: {why}", path.purpose)
        } else {
            format!("{} {}: {why}", path.purpose, path.path)
        });
    }
    let tls = storage.tls.as_ref()?;
    if tls.key_matches == Some(false) {
        return Some("the key does not belong to the certificate".to_owned());
    }
    tls.problem.clone()
}

fn circumstances(case: &Case<'_>, down: &Down<'_>) -> Vec<Reason> {
    match defect(case).filter(|_| down.failed()) {
        Some(says) => vec![Reason::strong("storage", says)],
        None if case.config().is_some_and(|c| c.value("tls-port").is_some()) && !wanted(case) => {
            vec![Reason::rules_out("config", "the configuration does not switch TLS on")]
        }
        None if case
            .server
            .storage
            .get()
            .and_then(|s| s.tls.as_ref())
            .is_some_and(|t| t.key_matches == Some(true)) =>
        {
            vec![Reason::against("storage", "certificate and key belong together")]
        }
        None => Vec::new(),
    }
}

impl Cause for TlsMaterialUnusable {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let mut reasons = shared::weigh(case, META.id, |down| circumstances(case, down));
        if !reasons.is_empty() && shared::last_word(case, META.id).is_some() {
            reasons.extend(defect(case).map(|says| Reason::strong("storage", says)));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if let Some(says) = defect(case) {
            return format!("redis-server cannot use its TLS files: {says}");
        }
        match shared::last_word(case, META.id) {
            Some(death) => {
                format!(
                    "redis-server cannot use its TLS files: {}",
                    death.detail.as_deref().unwrap_or(&death.text)
                )
            }
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let value = |key: &str, usual: &str| {
            let set = case.config().and_then(|c| c.value(key)).filter(|v| !v.is_empty() && *v != "set");
            shell(set.unwrap_or(usual))
        };
        let cert = value("tls-cert-file", "/etc/redis/tls/redis.crt");
        let key = value("tls-key-file", "/etc/redis/tls/redis.key");
        let user = shell(&shared::server_user(case));
        Some(shared::then_start(
            Risk::Ask,
            "put a certificate and its key where the server can read them",
            case,
            |fix| {
                fix.run("can the server's user read them", format!("runuser -u {user} -- cat {cert} {key} > /dev/null"))
                .run(
                    "do they belong together (the two lines must be equal)",
                    format!("openssl x509 -in {cert} -noout -pubkey | sha256sum; openssl pkey -in {key} -pubout | sha256sum"),
                )
                .step(format!("copy the matching pair there; the key with owner root, group {user}, mode 640"))
                .step("paths that do not begin with / are taken from dir, not from where the configuration is")
            },
        ))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        if let Some(behind) =
            shared::behind(case, META.id, self.title(case), self.fix(case), |down| circumstances(case, down))
        {
            return Some(behind);
        }
        let says = defect(case)?;
        let (place, title) = match shared::state(case) {
            State::Runs(_) => (Place::Warning, "the server would not start again"),
            State::Down(_) => (Place::Behind, "the server will not start"),
            State::Unseen => return None,
        };
        Some(Latent {
            place,
            title: format!("{title}: {says}"),
            reasons: vec![Reason::confirms("storage", says)],
            fix: self.fix(case),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::TlsMaterialUnusable;
    use crate::cause::testing::*;
    use crate::diagnosis::{Band, diagnose};
    use crate::evidence::CaseFile;
    use crate::evidence::server::{DeathKind, Storage, TlsFiles};

    fn mismatch(file: CaseFile) -> CaseFile {
        let mut file = with_config(file, &[("tls-port", "6380")]);
        let tls = TlsFiles { key_matches: Some(false), ..TlsFiles::default() };
        file.server.storage = seen(Storage { paths: Vec::new(), tls: Some(tls) });
        file
    }

    #[test]
    fn settles() {
        let file = died(DeathKind::TlsMaterial, "Failed to load private key: key values mismatch");
        assert_eq!(first(&file), Some(("tls-material-unusable", Band::Confirmed)));
    }

    #[test]
    fn speaks_for_it_without_the_log() {
        let mut file = with_unit(on_server(refused()), "failed", "failed", "exit-code");
        file.server.log = crate::evidence::Seen::NotRun;
        let (id, band) = first(&mismatch(file)).unwrap();
        assert!(id == "tls-material-unusable" && band != Band::Confirmed, "{id} {band:?}");
    }

    #[test]
    fn warns_while_it_runs() {
        let file = mismatch(running(on_server(pong(&[])), "10.0.0.5:6379"));
        assert_eq!(diagnose(&file).warnings[0].cause.meta().id, "tls-material-unusable");
    }

    #[test]
    fn rules_out_and_silent() {
        assert!(rules_out(&TlsMaterialUnusable, &running(on_server(refused()), "127.0.0.1:6379")));
        assert!(silent(&TlsMaterialUnusable, &refused()));
    }
}
