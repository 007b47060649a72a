//! After no fix does Redis answer without authentication on an address that the world can reach.
//!
//! Judged on what the configuration says once the plan's edits are in it, and by the firewall's verdict on sources of
//! the public Internet. A private network is said, and left to the operator.

use super::{NoPlan, Plan};
use crate::apply::Action;
use crate::diagnosis::Case;
use crate::probe::firewall::{self, Asked};
use crate::sys;
use packet_verdict::Hook;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Two unrelated hosts of the world for each family, in networks that no rule set has a reason to name.
const WORLD: [&str; 4] = ["45.33.32.156", "151.101.1.6", "2600:3c01::f03c:91ff:fe18:bb2f", "2a04:4e42::323"];

/// Directives that say who gets in, as the plan's edits leave them: file and value of the last line of each edited file.
pub(super) type Edited = BTreeMap<String, Vec<(String, String)>>;

/// The directives looked for in edited files.
pub(super) const DIRECTIVES: [&str; 5] = ["bind", "port", "tls-port", "protected-mode", "tls-auth-clients"];

/// The configuration as the plan leaves it.
struct Left<'a> {
    case: &'a Case<'a>,
    edited: &'a Edited,
    plan: &'a Plan,
}

impl Left<'_> {
    /// Every value that a directive may have then: several files may set it, and the worst counts.
    fn values(&self, name: &str) -> Vec<String> {
        let config = self.case.config();
        let running = config.and_then(|c| c.running_otherwise(name));
        let now = self.plan.actions.iter().find_map(|a| match a {
            Action::ConfigSet(set) if set.directive == name => set.value.as_deref(),
            _ => None,
        });
        // A restart brings the file's; without one the process goes on with what it has.
        let process = now.or(running.filter(|_| !self.restarts()));
        let edited = self.edited.get(name).map_or(&[][..], Vec::as_slice);
        let file = config
            .and_then(|c| c.settings.get(name))
            .filter(|s| {
                edited.iter().all(|(path, _)| *path != s.file) && (edited.is_empty() || s.line.is_some())
            })
            .map(|s| s.value.as_str());
        let edited = edited.iter().map(|(_, value)| value.as_str());
        edited.chain(file).chain(process).map(str::to_owned).collect()
    }

    fn restarts(&self) -> bool {
        self.case.process().is_none() || self.plan.actions.iter().any(|a| matches!(a, Action::Restart(_)))
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.values(name).iter().any(|v| v == value)
    }

    /// Nobody has to prove anything: no password, no protected mode, no client certificate.
    fn is_bare(&self) -> bool {
        let Some(config) = self.case.config() else { return false };
        let certificates = self.values("port").iter().all(|p| p == "0")
            && self.values("tls-auth-clients").iter().all(|v| !matches!(v.as_str(), "no" | "optional"));
        let open = config.default_user_has_password == Some(false)
            || (!self.restarts() && is_open_now(self.case) && !self.sets_password());
        open && self.plan.new_password.is_none() && self.is("protected-mode", "no") && !certificates
    }

    fn sets_password(&self) -> bool {
        self.plan.actions.iter().any(|a| matches!(a, Action::ConfigSet(set) if set.is_secret))
    }

    /// Ports that it then listens on.
    fn ports(&self) -> Vec<u16> {
        let all = [self.values("port"), self.values("tls-port")].concat();
        let mut ports: Vec<u16> = all.iter().filter_map(|p| p.parse().ok()).filter(|p| *p != 0).collect();
        ports.dedup();
        ports
    }

    /// It then listens on that address of this machine. `*` and `0.0.0.0` are every IPv4 address, `::` and `::*` every
    /// IPv6 one (anet.c; Redis sets IPV6_V6ONLY); no word at all is both.
    fn serves(&self, ip: IpAddr) -> bool {
        let on = |word: &str| match word.trim_start_matches('-') {
            "*" | "0.0.0.0" => ip.is_ipv4(),
            "::*" | "::" => ip.is_ipv6(),
            word => word.parse() == Ok(ip),
        };
        self.values("bind").iter().any(|b| b.trim().is_empty() || b.split_whitespace().any(on))
    }
}

/// The running server answered somebody who said no password, whatever its file says.
pub(super) fn is_open_now(case: &Case<'_>) -> bool {
    let talks = [case.server.inside.get(), case.talk()];
    case.process().is_some() && talks.into_iter().flatten().any(|t| t.auth.is_none() && t.pong())
}

/// Refuses a plan that starts, restarts or opens a server so that the world gets in without a word; says it of a network.
pub(super) fn check(case: &Case<'_>, edited: &Edited, plan: &mut Plan) -> Result<(), NoPlan> {
    let touches = |a: &Action| {
        matches!(a, Action::Restart(_) | Action::UnitState(_) | Action::Supervised(_) | Action::ConfigSet(_))
    };
    if !plan.actions.iter().any(touches) && edited.is_empty() {
        return Ok(());
    }
    let left = Left { case, edited, plan };
    if !left.is_bare() {
        return Ok(());
    }
    let served: Vec<IpAddr> = crate::cause::common::outside_addresses(case)
        .into_iter()
        .map(|a| a.address)
        .filter(|ip| left.serves(*ip))
        .collect();
    for ip in served.iter().copied().filter(|ip| is_public(*ip)) {
        for port in left.ports() {
            if let Some(how) = open(ip, port) {
                return Err(NoPlan::Refused(format!(
                    "the server would listen on the public address {ip}, port {port}, without a password, and {how}: \
                     set requirepass first"
                )));
            }
        }
    }
    // One to one, the cloud lays a public IPv4 address over a private one; the host sees neither it nor the cloud's rules.
    if let Some(cloud) = cloud_of_this_host()
        && let Some(ip) =
            served.iter().find(|ip| ip.is_ipv4() && left.ports().iter().any(|p| open(**ip, *p).is_some()))
    {
        plan.advice.push(format!(
            "this host is in a cloud ({cloud}), where {ip} may have a public address that is not seen here, and its own \
             firewall admits the world: let the cloud's rules admit the clients alone"
        ));
    }
    if let Some(ip) = served.first() {
        let says = format!("set a password (requirepass): whoever reaches {ip} gets in without one");
        plan.advice.push(says);
    }
    Ok(())
}

/// The cloud that this machine is of. A container has addresses of its own, which no cloud knows.
fn cloud_of_this_host() -> Option<&'static str> {
    let in_container = ["/run/systemd/container", "/.dockerenv", "/run/.containerenv"];
    if in_container.iter().any(|p| sys::lstat(p).is_ok()) || sys::env("container").is_some() {
        return None;
    }
    let field = |name: &str| sys::read_text(format!("/sys/class/dmi/id/{name}"), 200).unwrap_or_default();
    cloud(field("sys_vendor").trim(), field("product_name").trim(), field("chassis_asset_tag").trim())
}

/// By what the firmware says (systemd's virt.c, cloud-init's ds-identify). Hyper-V at home has Azure's vendor, and not its
/// tag.
fn cloud(vendor: &str, product: &str, tag: &str) -> Option<&'static str> {
    match (vendor, product, tag) {
        ("Amazon EC2", ..) => Some("Amazon EC2"),
        (_, "Google Compute Engine", _) => Some("Google Cloud"),
        (.., "7783-7084-3265-9085-8269-3286-77") => Some("Azure"),
        (.., "OracleCloud.com") => Some("Oracle Cloud"),
        ("Alibaba Cloud", ..) => Some("Alibaba Cloud"),
        ("Tencent Cloud", ..) => Some("Tencent Cloud"),
        (_, "OpenStack Nova" | "OpenStack Compute", _) => Some("OpenStack"),
        _ => None,
    }
}

/// The firewall keeps the world out of nothing there; how that is known.
fn open(ip: IpAddr, port: u16) -> Option<String> {
    let world = WORLD.iter().filter_map(|w| w.parse::<IpAddr>().ok()).filter(|w| w.is_ipv4() == ip.is_ipv4());
    let asked: Vec<Asked> =
        world.map(|src| Asked { src, dst: ip, port, hook: Hook::Input, uid: None }).collect();
    match firewall::look(&asked, false) {
        Ok(seen) => {
            let way = seen.verdicts.iter().find(|v| !matches!(v.verdict.as_str(), "drop" | "reject"))?;
            Some(match way.verdict.as_str() {
                "accept" => "nothing in the firewall keeps the world out".to_owned(),
                _ => format!("whether the firewall keeps the world out is not known ({})", way.because),
            })
        }
        Err(why) => Some(format!("whether the firewall keeps the world out is not known ({why})")),
    }
}

/// Not of RFC 1918, 6598, 4193 or 3927 and their like.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_documentation() || a == 0)
                && !(a == 100 && (64..128).contains(&b))
        }
        // 2000::/3 is what IANA gives out as global unicast (RFC 4291).
        IpAddr::V6(v6) => v6.segments()[0] & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::{Edited, Left, cloud, is_public};
    use crate::cause::testing::*;
    use crate::diagnosis::Case;
    use crate::plan::Plan;

    #[test]
    fn public_addresses() {
        let is = |s: &str| is_public(s.parse().expect("address"));
        assert!(is("8.8.8.8") && is("2a01:4f8::1"));
        assert!(!is("10.0.0.1") && !is("172.16.9.9") && !is("192.168.1.1") && !is("100.64.0.1"));
        assert!(!is("fd00::1") && !is("fe80::1") && !is("::ffff:10.0.0.1") && !is("127.0.0.1"));
    }

    #[test]
    fn clouds_by_their_firmware() {
        assert_eq!(cloud("Amazon EC2", "t3.micro", "Amazon EC2"), Some("Amazon EC2"));
        assert_eq!(cloud("Google", "Google Compute Engine", ""), Some("Google Cloud"));
        assert_eq!(cloud("Google", "Kip", ""), None);
        let azure = "7783-7084-3265-9085-8269-3286-77";
        assert_eq!(cloud("Microsoft Corporation", "Virtual Machine", azure), Some("Azure"));
        assert_eq!(cloud("Microsoft Corporation", "Virtual Machine", "1-2-3"), None);
        assert_eq!(cloud("QEMU", "Standard PC (Q35 + ICH9, 2009)", ""), None);
    }

    fn bare(settings: &[(&str, &str)], edited: &[(&str, &str)]) -> (bool, bool, bool) {
        let mut file = with_config(on_server(refused()), settings);
        if let crate::evidence::Seen::Yes(fact) = &mut file.server.config {
            fact.value[0].default_user_has_password = Some(false);
        }
        let edited: Edited = edited
            .iter()
            .map(|(k, v)| ((*k).to_owned(), vec![("/etc/redis/redis.conf".to_owned(), (*v).to_owned())]))
            .collect();
        let (case, plan) = (Case::new(&file), Plan::default());
        let left = Left { case: &case, edited: &edited, plan: &plan };
        let serves = |ip: &str| left.serves(ip.parse().expect("address"));
        (left.is_bare(), serves("8.8.8.8"), serves("2a01:4f8::1"))
    }

    #[test]
    fn judged_as_the_plan_leaves_it() {
        let open = [("bind", "0.0.0.0"), ("port", "6379"), ("protected-mode", "no")];
        assert_eq!(bare(&open, &[]), (true, true, false));
        assert_eq!(bare(&open, &[("bind", "127.0.0.1")]), (true, false, false));
        // The repaired line is what opens it.
        let closed = [("bind", "* -::*"), ("port", "6379"), ("protected-mode", "yes")];
        assert_eq!(bare(&closed, &[]), (false, true, true));
        assert_eq!(bare(&closed, &[("protected-mode", "no")]), (true, true, true));
        let certified = [("bind", "8.8.8.8"), ("port", "0"), ("tls-port", "6379"), ("protected-mode", "no")];
        assert_eq!(bare(&certified, &[("tls-auth-clients", "yes")]), (false, true, false));
        assert_eq!(bare(&certified, &[("tls-auth-clients", "optional")]), (true, true, false));
    }
}
