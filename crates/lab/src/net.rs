//! The network of one lab: three namespaces, `client — router — server`, both families. Addresses
//! carry the lab's slot number, so any number of labs stand side by side and never meet.

use std::time::Duration;

use crate::{Fail, shell};

const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    pub slot: u8,
}

impl Net {
    pub fn namespace(self, role: &str) -> String {
        format!("npl{}-{role}", self.slot)
    }

    /// The addresses scenarios may name, as placeholder and value.
    pub fn names(self) -> Vec<(&'static str, String)> {
        let n = self.slot;
        vec![
            ("server", format!("10.78.{n}.20")),
            ("server6", format!("fd78:{n}::20")),
            ("client", format!("10.77.{n}.10")),
            ("client6", format!("fd77:{n}::10")),
            ("router", format!("10.77.{n}.1")),
            ("router6", format!("fd77:{n}::1")),
            // The router's foot in the server's network; the second one stands for a neighbour.
            ("gateway", format!("10.78.{n}.1")),
            ("neighbour", format!("10.78.{n}.30")),
            // Nobody has this address.
            ("nobody", format!("10.78.{n}.99")),
        ]
    }

    pub fn address(self, name: &str) -> String {
        self.names().into_iter().find(|(n, _)| *n == name).map(|(_, a)| a).unwrap_or_default()
    }

    pub fn make(self) -> Result<(), Fail> {
        let n = self.slot;
        let [c, r, s] = ["client", "router", "server"].map(|role| self.namespace(role));
        let links = format!(
            "netns add {c}\nnetns add {r}\nnetns add {s}\n\
             link add name eth0 netns {c} type veth peer name lan0 netns {r}\n\
             link add name eth0 netns {s} type veth peer name lan1 netns {r}\n"
        );
        batch(&[], &links)?;
        let host = |net: u8, last: u8, dev: &str| {
            format!(
                "link set lo up\nlink set {dev} up\naddr add 10.{net}.{n}.{last}/24 dev {dev}\n\
                 addr add fd{net}:{n}::{last}/64 dev {dev} nodad\n"
            )
        };
        let way =
            |net: u8| format!("route add default via 10.{net}.{n}.1\nroute add default via fd{net}:{n}::1\n");
        batch(&["-n", &r], &(host(77, 1, "lan0") + &host(78, 1, "lan1") + &host(78, 30, "lan1")))?;
        batch(&["-n", &c], &(host(77, 10, "eth0") + &way(77)))?;
        batch(&["-n", &s], &(host(78, 20, "eth0") + &way(78)))?;
        for role in ["client", "router", "server"] {
            // The hosts are long up when a scenario starts: no address is still being tried out.
            self.sysctl(role, "net.ipv6.conf.all.accept_dad=0")?;
            // Several looks follow each other within a second here; the kernel's limit of one ICMP error a
            // second to a peer (icmp_ratelimit) would make the later ones see silence.
            self.sysctl(role, "net.ipv4.icmp_ratelimit=0")?;
            self.sysctl(role, "net.ipv6.icmp.ratelimit=0")?;
        }
        self.sysctl("router", "net.ipv4.ip_forward=1")?;
        self.sysctl("router", "net.ipv6.conf.all.forwarding=1")
    }

    /// Sets a sysctl of one namespace. Only `net.` keys: others would be the machine's.
    pub fn sysctl(self, role: &str, setting: &str) -> Result<(), Fail> {
        if !setting.starts_with("net.") {
            return Err(format!("sysctl {setting} is not the namespace's own"));
        }
        let ns = self.namespace(role);
        shell::must(LIMIT, &["ip", "netns", "exec", &ns, "sysctl", "-q", "-w", setting], "").map(drop)
    }

    /// Deletes the namespaces, and the links with them. Missing ones are fine.
    pub fn remove(self) {
        for role in ["client", "router", "server"] {
            let ns = self.namespace(role);
            if std::path::Path::new("/run/netns").join(&ns).exists() {
                let _ = shell::run(LIMIT, &["ip", "netns", "del", &ns], "");
            }
        }
    }
}

fn batch(options: &[&str], lines: &str) -> Result<(), Fail> {
    let mut argv = vec!["ip"];
    argv.extend(options);
    argv.extend(["-batch", "-"]);
    shell::must(LIMIT, &argv, lines).map(drop)
}
