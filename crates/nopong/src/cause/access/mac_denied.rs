//! SELinux or AppArmor forbids the server its port or the client its connection.

use crate::cause::common::meta;
use crate::cause::{Category, Cause, Fix, Meta, Reason, Risk, Stage};
use crate::diagnosis::{Case, Symptom};
use crate::evidence::server::{DeathKind, MacDenial};

/// See the module.
#[derive(Debug)]
pub(super) struct MacDenied;

static META: Meta =
    meta("mac-denied", Category::Access, Stage::Connect, "SELinux or AppArmor forbids it", &["mac", "log"]);

/// Operations that stop a connection or a listener, as the audit log names them.
const OF_SOCKETS: &[&str] =
    &["name_bind", "name_connect", "connectto", "bind", "connect", "create", "listen"];

/// The newest denial that fits what the client saw: of a server that does not listen, or of a client's dial.
fn denial<'a>(case: &Case<'a>) -> Option<&'a MacDenial> {
    let mac = case.file.server.mac.get()?;
    let enforced = mac.selinux.as_deref() != Some("permissive");
    let down = case.servers().is_empty();
    let port = case.ask.port.to_string();
    mac.denials.iter().filter(|d| enforced || d.system != "selinux").find(|d| match case.symptom {
        Symptom::Refused | Symptom::SocketMissing | Symptom::SocketStale => down && is_server(&d.comm),
        Symptom::SocketDenied | Symptom::LocalErrno | Symptom::Unreachable => {
            OF_SOCKETS.contains(&d.operation.as_str())
                && (d.object.contains(&port)
                    || case.ask.unix.as_deref().is_some_and(|p| d.object.contains(p))
                    || d.object.contains("redis"))
        }
        _ => false,
    })
}

fn is_server(comm: &str) -> bool {
    ["redis", "valkey", "keydb"].iter().any(|p| comm.starts_with(p))
}

impl Cause for MacDenied {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn weigh(&self, case: &Case<'_>) -> Vec<Reason> {
        if let Some(d) = denial(case) {
            let says = format!("{} denied {} {} on {}", d.system, d.comm, d.operation, d.object);
            // The server is down and was denied something: probable, but only its last words settle it.
            return vec![match case.symptom {
                Symptom::SocketDenied | Symptom::LocalErrno => Reason::confirms("mac", says),
                _ => Reason::strong("mac", says),
            }];
        }
        let last = case.server.log.get().and_then(|l| l.deaths.iter().find(|d| d.last));
        if let Some(death) = last.filter(|d| d.kind == DeathKind::MacDenied && case.servers().is_empty()) {
            return vec![Reason::confirms("log", format!("{}: {}", death.source, death.text))];
        }
        match case.server.mac.get() {
            Some(mac) if mac.selinux.is_none() && mac.apparmor.is_empty() && mac.denials.is_empty() => {
                vec![Reason::rules_out("mac", "neither SELinux nor an AppArmor profile of Redis is in force")]
            }
            _ => Vec::new(),
        }
    }

    fn title(&self, case: &Case<'_>) -> String {
        match denial(case) {
            Some(d) => format!("{} forbids {}: {} on {}", d.system, d.comm, d.operation, d.object),
            None => META.title.to_owned(),
        }
    }

    fn fix(&self, case: &Case<'_>) -> Option<Fix> {
        let port = case.ask.port;
        let fix = Fix::new(Risk::Ask, "permit this one thing; do not switch the protection off");
        Some(match denial(case) {
            Some(d) if d.system == "apparmor" => fix
                .run("see what was denied", "journalctl -k -g 'apparmor=\"DENIED\"'")
                .step("add the path or the network rule to the profile's file in /etc/apparmor.d/local/")
                .run("load it", "systemctl reload apparmor.service"),
            Some(d) if d.operation == "name_bind" => fix
                .run("let Redis have the port", format!("semanage port -a -t redis_port_t -p tcp {port}")),
            Some(d) if d.comm.contains("httpd") || d.comm.contains("php") => {
                fix.run("let web applications connect to Redis", "setsebool -P httpd_can_network_redis on")
            }
            _ => fix
                .run("see what was denied", "ausearch -m AVC,USER_AVC -ts recent")
                .step("a file with a wrong label gets its own back with restorecon -v; a directory of your own first needs semanage fcontext"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::MacDenied;
    use crate::cause::testing::{bearings, died, errno, refused, rules_out, seen, silent};
    use crate::diagnosis::Bearing;
    use crate::evidence::server::{DeathKind, Mac, MacDenial};

    fn denial(comm: &str, operation: &str, object: &str) -> Mac {
        Mac {
            selinux: Some("enforcing".to_owned()),
            denials: vec![MacDenial {
                system: "selinux".to_owned(),
                comm: comm.to_owned(),
                operation: operation.to_owned(),
                object: object.to_owned(),
                at: None,
            }],
            ..Mac::default()
        }
    }

    #[test]
    fn a_denied_client_is_confirmed_a_denied_server_strong() {
        let mut file = errno("EPERM");
        file.server.mac = seen(denial("php-fpm", "name_connect", "port 6379"));
        assert_eq!(bearings(&MacDenied, &file), [Bearing::Confirms]);
        let mut file = refused();
        file.server.mac = seen(denial("redis-server", "name_bind", "port 6379"));
        assert_eq!(bearings(&MacDenied, &file), [Bearing::Strong]);
    }

    #[test]
    fn confirmed_by_the_servers_last_word() {
        let file = died(DeathKind::MacDenied, "avc: denied { name_bind } for comm=redis-server");
        assert_eq!(bearings(&MacDenied, &file), [Bearing::Confirms]);
    }

    #[test]
    fn ruled_out_without_either_system() {
        let mut file = refused();
        file.server.mac = seen(Mac::default());
        assert!(rules_out(&MacDenied, &file));
    }

    #[test]
    fn silent_without_evidence() {
        assert!(silent(&MacDenied, &refused()));
    }
}
