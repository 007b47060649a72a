//! No Redis server is installed, or the program that the unit starts is not there.

use super::shared::{self, Down};
use crate::cause::common::is_loopback;
use crate::cause::{Category, Cause, Fix, Latent, Meta, Reason, Risk, Stage};
use crate::diagnosis::Case;
use crate::evidence::client::Setting;

/// See the module.
#[derive(Debug)]
pub(super) struct NotInstalled;

static META: Meta = Meta {
    id: "not-installed",
    category: Category::NotRunning,
    stage: Stage::Connect,
    title: "no Redis server is installed",
    masked_by: &[],
    settled_by: &["binary", "unit", "process"],
};

/// A program of a loaded unit that is not on disk.
fn missing_program<'a>(case: &Case<'a>) -> Option<&'a str> {
    let unit = case.unit().filter(|u| u.load_state == "loaded")?;
    shared::program_missing(case, Some(unit)).then(|| unit.exec_start.first().map(String::as_str)).flatten()
}

fn circumstances(case: &Case<'_>, down: &Down<'_>) -> Vec<Reason> {
    let Some(found) = case.server.binary.get() else {
        return match down.unit.filter(|u| u.load_state == "loaded") {
            Some(unit) => vec![Reason::against("unit", format!("a unit is there: {}", unit.name))],
            None => Vec::new(),
        };
    };
    if let Some(program) = missing_program(case) {
        let says = format!("{} starts {program}, which is not there", shared::unit_name(case));
        // 203 is systemd's EXIT_EXEC (systemd.exec(5)).
        let exec = down.unit.is_some_and(|u| u.exit_status == Some(203));
        return vec![if exec { Reason::confirms("binary", says) } else { Reason::strong("binary", says) }];
    }
    if let Some(binary) = found.iter().find(|b| shared::present(b)) {
        return vec![Reason::rules_out("binary", format!("{} is installed", binary.path))];
    }
    let loaded = case.server.unit.get().is_some_and(|u| u.units.iter().any(|u| u.load_state == "loaded"));
    if loaded {
        return Vec::new();
    }
    let says = "there is no redis-server, valkey-server or keydb-server in any usual place, and none runs";
    // A container of an application has no server of its own: there the address is the more probable fault.
    if case.client.standing.get().is_some_and(|s| s.container.is_some()) {
        return vec![Reason::weak("binary", says)];
    }
    // The default address was dialled and the settings name another host: then Redis need not be here at all.
    if let Some((setting, host, port)) = elsewhere(case) {
        let but =
            format!("{} {} says {host}:{port}: Redis may be meant to be there", setting.place, setting.key);
        return vec![Reason::strong("binary", says), Reason::against("settings", but)];
    }
    vec![Reason::confirms("binary", says)]
}

fn elsewhere<'a>(case: &Case<'a>) -> Option<(&'a Setting, String, u16)> {
    use crate::cause::address::shared::{on_defaults, other_settings};
    let others = on_defaults(case).then(|| other_settings(case))?;
    others
        .into_iter()
        .find(|(_, host, _)| host != "localhost" && host.parse().map_or(true, |ip| !is_loopback(ip)))
}

impl Cause for NotInstalled {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        shared::weigh(case, META.id, |down| circumstances(case, down))
    }

    fn title(&self, case: &Case<'_>) -> String {
        match missing_program(case) {
            Some(program) => format!("{program}, which {} starts, is not installed", shared::unit_name(case)),
            None if case.server_seen() => {
                format!("no Redis server is installed on this machine ({})", case.target())
            }
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        if let Some(program) = missing_program(case) {
            return Some(
                Fix::new(Risk::Ask, format!("install what provides {program}, or correct ExecStart"))
                    .run("show what the unit starts", format!("systemctl cat {}", shared::unit_name(case)))
                    .step("reinstall the package, or set ExecStart= to the installed program in a drop-in"),
            );
        }
        Some(
            Fix::new(Risk::Ask, "install a server here, or dial the machine that has one")
                .run("on Debian or Ubuntu", "apt-get install redis-server")
                .run("on Fedora, RHEL 10 and their kin", "dnf install valkey")
                .step("if Redis is meant to be on another machine: correct the address that the application dials"),
        )
    }

    fn latent(&self, case: &Case<'_>) -> Option<Latent> {
        shared::behind(case, META.id, self.title(case), self.fix(case), |down| circumstances(case, down))
    }
}

#[cfg(test)]
mod tests {
    use super::NotInstalled;
    use crate::cause::testing::*;
    use crate::diagnosis::Band;
    use crate::evidence::client::Standing;
    use crate::evidence::server::Binary;

    #[test]
    fn confirms_an_empty_machine() {
        let mut file = on_server(refused());
        file.server.binary = seen(Vec::new());
        assert_eq!(first(&file), Some(("not-installed", Band::Confirmed)));
    }

    #[test]
    fn doubted_when_the_settings_name_another_host() {
        use crate::evidence::client::{Setting, Settings};
        let mut file = on_server(refused());
        file.ask = client("127.0.0.1", 6379).ask;
        (file.ask.local, file.ask.source) = (true, "argument".to_owned());
        file.server.binary = seen(Vec::new());
        let dials = Some("redis://cache.example.org:6379".to_owned());
        file.client.settings = seen(Settings { found: vec![Setting { dials, ..Setting::default() }] });
        let (id, band) = first(&file).unwrap();
        assert_eq!(id, "settings-not-applied");
        assert_ne!(band, Band::Confirmed);
    }

    #[test]
    fn confirms_a_unit_without_its_program() {
        let mut file = with_unit(on_server(refused()), "failed", "failed", "exit-code");
        file = edit_unit(file, |u| u.exit_status = Some(203));
        file.server.binary = seen(Vec::new());
        assert!(confirms(&NotInstalled, &file));
    }

    #[test]
    fn an_installed_program_rules_it_out() {
        let mut file = on_server(refused());
        file.server.binary =
            seen(vec![Binary { path: "/usr/bin/redis-server".to_owned(), ..Binary::default() }]);
        assert!(rules_out(&NotInstalled, &file));
        assert!(rules_out(&NotInstalled, &running(on_server(refused()), "127.0.0.1:6379")));
    }

    #[test]
    fn an_application_container_needs_no_server() {
        let mut file = on_server(refused());
        file.server.binary = seen(Vec::new());
        file.client.standing = seen(Standing { container: Some("docker".to_owned()), ..Standing::default() });
        assert!(!confirms(&NotInstalled, &file));
    }

    #[test]
    fn silent_from_a_lone_client() {
        assert!(silent(&NotInstalled, &refused()));
    }
}
