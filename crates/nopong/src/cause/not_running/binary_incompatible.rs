//! The program cannot run on this machine: another architecture, a missing library, an instruction the CPU lacks.

use super::shared::{self, Down};
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::server::Binary;
use crate::text::shell;

/// See the module.
#[derive(Debug)]
pub(super) struct BinaryIncompatible;

static META: Meta = Meta {
    id: "binary-incompatible",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "the server's program cannot run on this machine",
    masked_by: &["service-masked", "not-installed"],
    settled_by: &["binary", "log"],
};

/// The program of the unit, or the only one, when it does not run.
fn broken<'a>(case: &Case<'a>) -> Option<&'a Binary> {
    let found = case.file.server.binary.get()?;
    let program = case.unit().and_then(|u| u.exec_start.first());
    let one = found.iter().find(|b| Some(&b.path) == program).or(if program.is_none() {
        found.first()
    } else {
        None
    });
    one.filter(|b| b.broken.is_some() && shared::present(b))
}

fn sentence(binary: &Binary) -> String {
    format!("{} does not run: {}", binary.path, binary.broken.as_deref().unwrap_or_default())
}

fn circumstances(case: &Case<'_>, down: &Down<'_>) -> Vec<Reason> {
    if let Some(binary) = broken(case) {
        return vec![Reason::confirms("binary", sentence(binary))];
    }
    let Some(unit) = down.unit else { return Vec::new() };
    let signal = unit.ended_by_signal();
    match unit.exit_status {
        // SIGILL: signal(7).
        Some(4) if signal => {
            vec![Reason::confirms(
                "unit",
                format!("{} ended by SIGILL: an instruction this CPU does not have", unit.name),
            )]
        }
        // systemd.exec(5), EXIT_EXEC; 127 is what the dynamic loader exits with.
        Some(code @ (203 | 127))
            if !signal
                && shared::failed(Some(unit))
                && shared::helper_failed(Some(unit)).is_none()
                && !shared::program_missing(case, Some(unit)) =>
        {
            vec![Reason::strong("unit", format!("{} could not be executed (status {code})", unit.name))]
        }
        _ if case.server.binary.get().is_some_and(|b| b.iter().any(|b| b.version.is_some())) => {
            vec![Reason::rules_out("binary", "the program runs: it tells its version")]
        }
        _ => Vec::new(),
    }
}

impl Cause for BinaryIncompatible {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        let mut reasons = shared::weigh(case, META.id, |down| circumstances(case, down));
        if !reasons.is_empty() && shared::last_word(case, META.id).is_some() {
            reasons.extend(broken(case).map(|b| Reason::strong("binary", sentence(b))));
        }
        reasons
    }

    fn title(&self, case: &Case<'_>) -> String {
        if let Some(binary) = broken(case) {
            return sentence(binary);
        }
        match shared::last_word(case, META.id) {
            Some(death) => {
                format!(
                    "the server's program cannot run here: {}",
                    death.detail.as_deref().unwrap_or(&death.text)
                )
            }
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let program =
            case.unit().and_then(|u| u.exec_start.first()).map_or("/usr/bin/redis-server", String::as_str);
        let program = shell(program);
        Some(shared::then_start(Risk::Ask, "install a build for this machine", case, |fix| {
            fix.run(
                "what the program is, and what this machine is",
                format!("file -L {program}; uname -m; getconf PAGESIZE"),
            )
            .run("which libraries it misses", format!("ldd {program} | grep 'not found'"))
            .step("reinstall the server from this machine's own distribution, with its dependencies")
        }))
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        shared::behind(case, META.id, self.title(case), self.fix(case), |down| circumstances(case, down))
    }
}

#[cfg(test)]
mod tests {
    use super::BinaryIncompatible;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::CaseFile;
    use crate::evidence::server::{Binary, DeathKind};

    fn program(mut file: CaseFile, broken: Option<&str>) -> CaseFile {
        file.server.binary = seen(vec![Binary {
            path: "/usr/bin/redis-server".to_owned(),
            version: broken.is_none().then(|| "7.0.15".to_owned()),
            broken: broken.map(str::to_owned),
            ..Binary::default()
        }]);
        file
    }

    #[test]
    fn settles() {
        let file = died(
            DeathKind::ExecFailed,
            "Failed at step EXEC spawning /usr/bin/redis-server: Exec format error",
        );
        assert_eq!(
            first(&program(file, Some("Exec format error"))),
            Some(("binary-incompatible", Band::Confirmed))
        );
        let silent_log = with_unit(on_server(refused()), "failed", "failed", "exit-code");
        let file = program(silent_log, Some("liblzf.so.1: cannot open shared object file"));
        assert_eq!(first(&file), Some(("binary-incompatible", Band::Confirmed)));
    }

    #[test]
    fn a_program_that_tells_its_version_runs() {
        let file = with_unit(on_server(refused()), "failed", "failed", "exit-code");
        assert!(rules_out(&BinaryIncompatible, &program(file, None)));
    }

    #[test]
    fn rules_out_and_silent() {
        assert!(rules_out(&BinaryIncompatible, &running(on_server(refused()), "127.0.0.1:6379")));
        assert!(silent(&BinaryIncompatible, &refused()));
    }
}
