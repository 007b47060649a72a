//! `ssh:[user@]host`: the system's own ssh, with the user's configuration, agent and known hosts.

use super::far::Carrier;
use crate::evidence::Why;
use crate::{sys, text};
use std::net::Ipv6Addr;

/// A machine that ssh reaches. Made by [`Host::parse`] alone, so that no part of it is an option or a shell's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    asked: String,
}

/// ssh's own limit for the connection, in seconds; a live host answers within a round trip.
const CONNECT_S: u8 = 10;

impl Host {
    /// `[user@]host` as ssh takes it (an alias of the user's configuration among them), or `//[user@]host[:port]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let asked = format!("ssh:{text}");
        let (url, rest) = match text.strip_prefix("//") {
            Some(rest) => (true, rest.trim_end_matches('/')),
            None => (false, text),
        };
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        let (host, port) = if url { split_port(host)? } else { (host, None) };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if bare.contains(':') && bare.split('%').next().is_none_or(|ip| ip.parse::<Ipv6Addr>().is_err()) {
            return Err(match bare.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>())) {
                Some((name, Ok(port))) if word(name, HOST) => {
                    let user = user.filter(|u| word(u, USER)).map(|u| format!("{u}@")).unwrap_or_default();
                    format!("a port is written ssh://{user}{name}:{port}, or stands in ~/.ssh/config")
                }
                _ => format!("{} is not a host", text::shown_str(host, 60)),
            });
        }
        // A dash at the beginning would make an option of it (CVE-2017-1000117 and its kin).
        if !word(bare, HOST) {
            return Err(format!("{} is not a host that ssh could reach", text::shown_str(host, 60)));
        }
        if let Some(user) = user.filter(|u| !word(u, USER)) {
            return Err(format!("{} is not a user's name", text::shown_str(user, 60)));
        }
        Ok(Self { user: user.map(str::to_owned), host: bare.to_owned(), port, asked })
    }

    /// The command line of ssh, without the far command.
    pub fn carrier(&self) -> Result<Carrier, Why> {
        let program =
            program().ok_or_else(|| Why::Missing { what: "ssh (the client of OpenSSH)".to_owned() })?;
        let asks = sys::is_terminal();
        let mut argv = vec![program, "-T".to_owned(), "-a".to_owned(), "-x".to_owned()];
        let mut option = |o: String| argv.extend(["-o".to_owned(), o]);
        option(format!("ConnectTimeout={CONNECT_S}"));
        option("ConnectionAttempts=1".to_owned());
        // A connection that dies is noticed within the limits of a look.
        option("ServerAliveInterval=5".to_owned());
        option("ServerAliveCountMax=3".to_owned());
        // What the user's configuration adds to a login by hand has no business here.
        for off in
            ["ClearAllForwardings=yes", "PermitLocalCommand=no", "RemoteCommand=none", "LogLevel=ERROR"]
        {
            option(off.to_owned());
        }
        if !asks {
            option("BatchMode=yes".to_owned());
        }
        if let Some(port) = self.port {
            argv.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(user) = &self.user {
            argv.extend(["-l".to_owned(), user.clone()]);
        }
        argv.extend(["--".to_owned(), self.host.clone()]);
        Ok(Carrier { argv, asked: self.asked.clone(), shell: self.shell(), explain, keep, slow: asks })
    }

    /// What a shell line for that machine begins with.
    pub fn shell(&self) -> String {
        let port = self.port.map(|p| format!("-p {p} ")).unwrap_or_default();
        let user = self.user.as_ref().map(|u| format!("{}@", text::shell(u))).unwrap_or_default();
        format!("ssh {port}{user}{}", self.host)
    }
}

/// Characters of host names, addresses and aliases.
const HOST: &str = "._-:%";
/// Characters of user names, those of directory services among them.
const USER: &str = "._-@+\\$";

fn word(text: &str, also: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    !text.is_empty() && text.len() <= 255 && !text.starts_with('-') && text.chars().all(fine)
}

/// `host:port` of a URL, an IPv6 address in brackets.
fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let at = match text.rfind(']') {
        Some(end) => text.get(end + 1..).and_then(|rest| rest.strip_prefix(':')).map(|_| end + 1),
        None => text.rfind(':'),
    };
    let Some(at) = at else { return Ok((text, None)) };
    let (host, port) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok((host, Some(port))),
        _ => Err(format!("{} is not a port", text::shown_str(port, 20))),
    }
}

/// The usual places; root does not go by PATH, which somebody else may have set.
fn program() -> Option<String> {
    let usual = sys::program("ssh");
    let found = usual.or_else(|| {
        let path = sys::env("PATH").filter(|_| !nix::unistd::geteuid().is_root())?;
        let dirs = path.split(':').filter(|d| d.starts_with('/'));
        dirs.map(|d| std::path::Path::new(d).join("ssh")).find(|p| p.is_file())
    })?;
    found.to_str().map(str::to_owned)
}

/// What ssh needs of our environment: its agent, its ways to ask, the user's locale. No setting of Redis, which may hold a
/// password, gets to a ProxyCommand.
fn keep(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "PATH",
        "TERM",
        "LANG",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
        "KRB5CCNAME",
        "GNUPGHOME",
        "GPG_TTY",
        "TMPDIR",
    ];
    NAMES.contains(&name) || name.starts_with("LC_") || name.starts_with("SSH_")
}

/// The usual last words of OpenSSH's client (ssh.c, sshconnect.c, sshconnect2.c), and what to do about each.
fn explain(carrier: &Carrier, said: &str) -> Option<Why> {
    let shell = &carrier.shell;
    let host = shell.rsplit([' ', '@']).next().unwrap_or_default();
    let what = if said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        format!(
            "the host key of {host} is not the one in known_hosts: another machine may answer; find out why, then `ssh-keygen -R {host}`"
        )
    } else if said.contains("Host key verification failed") {
        format!("the host key of {host} is not known yet: connect once by hand with `{shell}`")
    } else if let Some(methods) = said.split("Permission denied (").nth(1).and_then(|r| r.split(')').next()) {
        let methods = text::shown_str(methods, 100);
        format!(
            "{host} lets nobody in with the keys at hand (it offers {methods}): `{shell}` must work without a question"
        )
    } else if said.contains("Could not resolve hostname") {
        format!("ssh finds no address for {host}")
    } else if said.contains("Connection refused") {
        format!("nothing listens for ssh on {host}")
    } else if said.contains("Connection timed out") || said.contains("timed out during banner exchange") {
        format!("{host} does not answer ssh")
    } else if said.contains("No route to host") || said.contains("Network is unreachable") {
        format!("no way leads to {host}")
    } else {
        return None;
    };
    Some(Why::Failed { what: format!("ssh: {what}") })
}

#[cfg(test)]
mod tests {
    use super::{Host, explain, keep};

    #[test]
    fn hosts() {
        let shell = |text: &str| Host::parse(text).map(|h| h.shell());
        assert_eq!(shell("db").as_deref(), Ok("ssh db"));
        assert_eq!(shell("app@db.example").as_deref(), Ok("ssh app@db.example"));
        assert_eq!(shell("app@corp@db").as_deref(), Ok("ssh app@corp@db"));
        assert_eq!(shell("fd00::5").as_deref(), Ok("ssh fd00::5"));
        assert_eq!(shell("//app@db:2222").as_deref(), Ok("ssh -p 2222 app@db"));
        assert_eq!(shell("//[fd00::5]:22").as_deref(), Ok("ssh -p 22 fd00::5"));
        assert_eq!(shell("//db/").as_deref(), Ok("ssh db"));
        assert!(shell("app@db:2222").is_err_and(|e| e.contains("ssh://app@db:2222")));
    }

    #[test]
    fn no_option_and_nothing_for_a_shell() {
        for bad in [
            "-oProxyCommand=id",
            "app@-oProxyCommand=id",
            "-l@db",
            "a b",
            "db;id",
            "$(id)",
            "db\n",
            "`id`",
            "",
            "@db",
            "app@",
            "//db:0",
            "//db:x",
            "//-oProxyCommand=id",
            "a'b",
            "db&",
            "%h|id",
            "é",
        ] {
            assert!(Host::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_redis_password_is_not_handed_to_ssh() {
        assert!(keep("SSH_AUTH_SOCK") && keep("HOME") && keep("LC_ALL"));
        for name in ["REDISCLI_AUTH", "REDIS_PASSWORD", "REDIS_URL", "LD_PRELOAD", "BASH_ENV"] {
            assert!(!keep(name), "{name}");
        }
    }

    #[test]
    fn last_words_of_ssh() {
        let carrier = Host::parse("app@db").expect("a host").carrier();
        let Ok(carrier) = carrier else { return };
        let says = |said: &str| explain(&carrier, said).map(|w| w.to_string()).unwrap_or_default();
        assert!(
            says("app@db: Permission denied (publickey,password).").contains("offers publickey,password")
        );
        assert!(
            says("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\\nHost key verification failed.")
                .contains("ssh-keygen -R db")
        );
        assert!(says("Host key verification failed.").contains("`ssh app@db`"));
        assert!(says("ssh: connect to host db port 22: Connection refused").contains("nothing listens"));
        assert_eq!(says("something else"), "");
    }
}
