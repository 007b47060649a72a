//! What speaks against stopping a server, by its own word at the moment: asked when the plan is made, again right before
//! the restart, and before an undo that would restart or stop it.

use super::{ConfigSet, Door, Fault, Receipt};
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// How a server is asked what a restart would cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Gate {
    /// Where.
    pub door: Door,
    /// The configuration file, which may have the password.
    pub file: Option<String>,
    /// `save` of that file: in force where nobody can have changed it, because CONFIG is renamed away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save: Option<String>,
    /// User name and password that the operator gave.
    #[serde(skip)]
    pub login: Option<(Option<String>, Secret)>,
}

/// What a server tells of itself.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// INFO.
    pub info: BTreeMap<String, String>,
    /// `save`: when it saves by itself; it saves at shutdown unless this is empty (server.c, prepareForShutdown).
    pub save: Option<String>,
    /// `shutdown-on-sigterm`, since Redis 7.0.
    pub on_sigterm: Option<String>,
    /// Its own line of CLUSTER NODES.
    pub node: Option<String>,
    /// What a connected Sentinel says is under way, or why none could be asked.
    pub sentinel: Option<String>,
}

/// A reason against a restart, and what lifts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Against {
    /// A sentence without its full stop.
    pub reason: String,
    /// What to do, or to wait for.
    pub lift: String,
}

impl Against {
    fn new(reason: impl Into<String>, lift: impl Into<String>) -> Option<Self> {
        Some(Self { reason: reason.into(), lift: lift.into() })
    }
}

impl std::fmt::Display for Against {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.lift)
    }
}

impl Gate {
    /// A conversation for questions only.
    fn asker(&self) -> ConfigSet {
        ConfigSet {
            door: self.door.clone(),
            directive: "save".to_owned(),
            value: None,
            secret: None,
            is_secret: false,
            file: self.file.clone(),
            login: self.login.clone(),
        }
    }

    /// Asks the server, its cluster's table and a Sentinel that watches it. An error says why nothing is known.
    pub fn ask(&self) -> Result<Standing, Fault> {
        let asker = self.asker();
        let said = asker.answers(&[
            &["INFO"],
            &["CONFIG", "GET", "save"],
            &["CONFIG", "GET", "shutdown-on-sigterm"],
            &["CLUSTER", "NODES"],
            &["CLIENT", "LIST", "TYPE", "normal"],
            &["CLIENT", "LIST", "TYPE", "pubsub"],
        ])?;
        let [info, save, on_sigterm, nodes, clients, subscribers] = said.as_slice() else {
            return Err(Fault::new("the running server left questions unanswered"));
        };
        let text = |reply: &Result<Vec<String>, String>| reply.as_ref().ok().and_then(|t| t.first().cloned());
        let info = match info {
            Ok(text) => fields(&text.concat()),
            Err(why) => return Err(Fault::new(format!("INFO is answered by {why}"))),
        };
        if info.is_empty() {
            return Err(Fault::new("INFO is answered by nothing"));
        }
        let setting =
            |reply: &Result<Vec<String>, String>| reply.as_ref().ok().and_then(|t| t.get(1).cloned());
        let renamed = save.as_ref().is_err_and(|why| why.contains("unknown command"));
        let watched = [clients, subscribers].into_iter().filter_map(text).any(|list| has_sentinel(&list));
        let primary = info.get("role").is_some_and(|r| r == "master");
        Ok(Standing {
            save: setting(save).or_else(|| self.save.clone().filter(|_| renamed)),
            on_sigterm: setting(on_sigterm),
            node: text(nodes).and_then(|t| t.lines().find(|l| l.contains("myself")).map(str::to_owned)),
            sentinel: (watched && primary).then(|| sentinel_says(&asker)).flatten(),
            info,
        })
    }

    /// Somebody who says no password gets PONG.
    pub fn lets_strangers_in(&self) -> Result<bool, Fault> {
        self.asker().answers_a_stranger(&["PING"]).map(|said| said.is_ok())
    }

    /// An error when the server must not be stopped now, or does not tell.
    pub fn check(&self) -> Result<(), Fault> {
        let standing = self
            .ask()
            .map_err(|f| Fault::new(format!("what a restart would lose cannot be seen: {}", f.says)))?;
        standing.against().map_or(Ok(()), |a| Err(Fault::new(a.to_string())))
    }

    /// Asked right before a restart: the plan may have waited for an answer, and what it found then need not be so any
    /// more.
    pub(super) fn allows(gate: Option<&Self>) -> Result<(), Fault> {
        gate.map_or(Ok(()), Self::check).map_err(|f| Fault::new(format!("no restart now: {}", f.says)))
    }

    /// Nobody listens there any more: nothing is lost.
    fn is_down(&self) -> bool {
        self.asker().is_refused()
    }
}

/// An undo that would stop or restart a server is refused as long as that would lose something.
pub fn before_undo(receipt: &Receipt) -> Result<(), Fault> {
    for step in receipt.open_steps() {
        if let Some(gate) = step.action.stops_at_undo(&step.before).filter(|gate| !gate.is_down()) {
            gate.check()?;
        }
    }
    Ok(())
}

/// `name:value` lines.
fn fields(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|l| l.trim_end().split_once(':'))
        .map(|(k, v)| (k.to_owned(), crate::text::shown_str(v, 300)))
        .collect()
}

/// A Sentinel names its two connections `sentinel-…-cmd` and `sentinel-…-pubsub` (sentinel.c, sentinelSetClientName).
fn has_sentinel(clients: &str) -> bool {
    clients.lines().any(|l| l.split(' ').any(|w| w.starts_with("name=sentinel-")))
}

/// What a Sentinel that watches this primary has under way. Each says hello there every 2 s (sentinel.c,
/// SENTINEL_PUBLISH_PERIOD): `ip,port,runid,epoch,name,…`.
fn sentinel_says(asker: &ConfigSet) -> Option<String> {
    let unasked = |why: &str| Some(format!("a Sentinel watches this primary and cannot be asked ({why})"));
    let hello = match asker.message("__sentinel__:hello") {
        Ok(text) => text,
        Err(fault) => return unasked(&fault.says),
    };
    let words: Vec<&str> = hello.split(',').collect();
    let at =
        words.first().and_then(|ip| ip.parse::<IpAddr>().ok()).zip(words.get(1).and_then(|p| p.parse().ok()));
    let (Some((ip, port)), Some(name)) = (at, words.get(4)) else {
        return unasked("its hello is not understood");
    };
    let sentinel = ConfigSet { door: Door::Tcp { at: SocketAddr::new(ip, port) }, ..asker.clone() };
    // Whoever may PUBLISH can name an address in a hello: no password goes there.
    match sentinel.answers_a_stranger(&["SENTINEL", "MASTER", name]) {
        Ok(Ok(pairs)) => {
            let flags = pairs.chunks(2).find(|p| p.first().is_some_and(|k| k == "flags"))?.get(1)?.clone();
            ["failover_in_progress", "reconf_inprog", "o_down", "s_down"]
                .iter()
                .find(|f| flags.split(',').any(|w| w == **f))
                .map(|f| format!("the Sentinel at {ip} says {f} of {}", crate::text::shown_str(name, 60)))
        }
        Ok(Err(why)) => unasked(&why),
        Err(fault) => unasked(&fault.says),
    }
}

impl Standing {
    fn get(&self, key: &str) -> Option<&str> {
        self.info.get(key).map(String::as_str)
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.get(key) == Some(value)
    }

    /// It writes its data when it is told to stop; none when nobody can say.
    fn saves_at_the_end(&self) -> Option<bool> {
        let word = |w: &str| self.on_sigterm.as_deref().is_some_and(|s| s.split_whitespace().any(|x| x == w));
        match (word("nosave"), word("save")) {
            (true, _) => Some(false),
            (_, true) => Some(true),
            _ => self.save.as_deref().map(|s| !s.is_empty()),
        }
    }

    /// Keys it holds; none where INFO told of no key space.
    pub fn holds_keys(&self) -> bool {
        self.info.keys().any(|k| k.strip_prefix("db").is_some_and(|n| n.parse::<u32>().is_ok()))
    }

    /// A replica whose primary has the same data.
    fn has_copy(&self) -> bool {
        self.is("role", "slave") && self.is("master_link_status", "up")
    }

    /// The first reason against a restart.
    pub fn against(&self) -> Option<Against> {
        self.under_way().or_else(|| self.failing_over()).or_else(|| self.would_lose())
    }

    fn under_way(&self) -> Option<Against> {
        if self.is("loading", "1") || self.is("async_loading", "1") {
            let left = self.get("loading_eta_seconds").map(|s| format!(", {s} s by its own estimate"));
            let lift = format!("wait until it has loaded{}", left.unwrap_or_default());
            return Against::new("the server is loading its data", lift);
        }
        let feeding = self.info.iter().find(|(k, v)| {
            k.strip_prefix("slave").is_some_and(|n| n.parse::<u32>().is_ok())
                && (v.contains("state=wait_bgsave") || v.contains("state=send_bulk"))
        });
        if let Some((_, line)) = feeding {
            let part =
                |key: &str| line.split(',').find_map(|w| w.strip_prefix(key)).unwrap_or("?").to_owned();
            let who = format!("{}:{}", part("ip="), part("port="));
            return Against::new(
                format!("replica {who} is being given its first copy, which would begin anew"),
                "wait until INFO replication says state=online of it",
            );
        }
        if self.is("master_sync_in_progress", "1") {
            return Against::new(
                "the replica is taking its first copy from its primary, which would begin anew",
                "wait for master_sync_in_progress:0 in INFO replication",
            );
        }
        if self.is("rdb_bgsave_in_progress", "1") {
            return Against::new(
                "a background save is running",
                "wait for rdb_bgsave_in_progress:0 in INFO persistence",
            );
        }
        if self.is("aof_rewrite_in_progress", "1") || self.is("aof_rewrite_scheduled", "1") {
            return Against::new(
                "the append-only file is being rewritten",
                "wait for aof_rewrite_in_progress:0 in INFO persistence",
            );
        }
        None
    }

    fn failing_over(&self) -> Option<Against> {
        const WAIT: &str = "wait until it has ended";
        if let Some(state) = self.get("master_failover_state").filter(|s| *s != "no-failover") {
            return Against::new(format!("a failover is under way ({state})"), WAIT);
        }
        if let Some(reason) = self.get("paused_reason").filter(|r| *r != "none") {
            return Against::new(format!("clients are paused ({reason})"), WAIT);
        }
        if let Some(says) = &self.sentinel {
            return Against::new(
                says.clone(),
                "ask it: SENTINEL MASTERS on its port, and wait for flags=master",
            );
        }
        // `[slot->-node]` and `[slot-<-node]`: on its way to, and from, another node (cluster-nodes format).
        if self.node.as_deref().is_some_and(|n| n.contains("->-") || n.contains("-<-")) {
            return Against::new("slots of the cluster are on their way between nodes", WAIT);
        }
        None
    }

    fn would_lose(&self) -> Option<Against> {
        let unsaved =
            self.get("rdb_changes_since_last_save").and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        let appends = self.is("aof_enabled", "1");
        if unsaved == 0 || self.has_copy() {
            return None;
        }
        if appends && self.is("aof_last_write_status", "err") {
            return Against::new(
                "the append-only file cannot be written, and what is not in it would be lost",
                "look into its folder and disk first",
            );
        }
        if appends {
            return None;
        }
        match self.saves_at_the_end() {
            Some(true) if self.is("rdb_last_bgsave_status", "err") => Against::new(
                format!(
                    "the last save failed: a stop saves first, which would fail too, and hang or lose {unsaved} changes"
                ),
                "mend what the log says of it, and run BGSAVE",
            ),
            Some(true) => None,
            Some(false) => Against::new(
                format!("there is unsaved data ({unsaved} changes), and nothing is saved at shutdown"),
                "save it first with redis-cli BGSAVE",
            ),
            None => Against::new(
                format!(
                    "there is unsaved data ({unsaved} changes), and whether it is saved at shutdown cannot be seen"
                ),
                "save it first with redis-cli BGSAVE",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Standing, fields, has_sentinel};

    /// INFO of a Redis 7.0.15 that is idle, cut to what is read.
    const IDLE: &str = "loading:0\r\nasync_loading:0\r\nrdb_changes_since_last_save:5\r\nrdb_bgsave_in_progress:0\r\n\
        rdb_last_bgsave_status:ok\r\naof_enabled:0\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n\
        aof_last_write_status:ok\r\nrole:master\r\nmaster_failover_state:no-failover\r\ndb0:keys=5,expires=0\r\n";

    fn said(changes: &[(&str, &str)], save: Option<&str>) -> Option<String> {
        let mut info = fields(IDLE);
        info.extend(changes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let standing = Standing { info, save: save.map(str::to_owned), ..Standing::default() };
        standing.against().map(|a| a.reason)
    }

    #[test]
    fn what_is_under_way() {
        let with = |k, v| said(&[(k, v)], Some("3600 1")).unwrap_or_default();
        assert!(with("loading", "1").contains("loading"));
        assert!(with("rdb_bgsave_in_progress", "1").contains("background save"));
        assert!(with("aof_rewrite_scheduled", "1").contains("rewritten"));
        assert!(with("master_failover_state", "waiting-for-sync").contains("failover"));
        assert!(with("paused_reason", "failover_in_progress").contains("paused"));
        let line = "ip=10.0.0.9,port=6379,state=wait_bgsave,offset=0,lag=0,type=replica";
        assert!(with("slave0", line).contains("10.0.0.9:6379"));
        let line = "ip=10.0.0.9,port=6379,state=online,offset=9,lag=0,type=replica";
        assert_eq!(with("slave0", line), "");
    }

    #[test]
    fn what_would_be_lost() {
        assert_eq!(said(&[], Some("3600 1")), None);
        assert!(said(&[], Some("")).unwrap().contains("unsaved"));
        assert!(said(&[], None).unwrap().contains("cannot be seen"));
        assert_eq!(said(&[("rdb_changes_since_last_save", "0")], Some("")), None);
        assert_eq!(said(&[("aof_enabled", "1")], Some("")), None);
        assert!(said(&[("rdb_last_bgsave_status", "err")], Some("3600 1")).unwrap().contains("failed"));
        // Its primary has what it has.
        let replica = [("role", "slave"), ("master_link_status", "up")];
        assert_eq!(said(&replica, Some("")), None);
        assert!(said(&[("role", "slave"), ("master_link_status", "down")], Some("")).is_some());
    }

    #[test]
    fn the_word_for_sigterm_counts() {
        let mut standing =
            Standing { info: fields(IDLE), save: Some("3600 1".to_owned()), ..Standing::default() };
        standing.on_sigterm = Some("nosave force".to_owned());
        assert!(standing.against().is_some());
        standing.save = Some(String::new());
        standing.on_sigterm = Some("save".to_owned());
        assert_eq!(standing.against(), None);
    }

    #[test]
    fn a_sentinel_is_known_by_its_name() {
        assert!(has_sentinel("id=4 addr=10.0.0.2:41000 name=sentinel-5e1a-cmd age=4\nid=5 name= age=1"));
        assert!(!has_sentinel("id=4 addr=10.0.0.2:41000 name=my-sentinel-thing age=4"));
    }
}
