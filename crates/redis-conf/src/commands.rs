//! The commands a server knows, as far as a configuration names them: `rename-command` and the rules of ACL users.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::release::{Fork, Release};
use crate::source::Origin;
use crate::table::value::c_str;

/// In every release here: `COMMAND LIST` of Redis 7.0.15, 8.0.2 and Valkey 8.1.1. Subcommands in brackets.
const IN_ALL: &str = "\
    acl(cat,deluser,dryrun,genpass,getuser,help,list,load,log,save,setuser,users,whoami) append asking auth \
    bgrewriteaof bgsave bitcount bitfield bitfield_ro bitop bitpos blmove blmpop blpop brpop brpoplpush \
    bzmpop bzpopmax bzpopmin \
    client(caching,getname,getredir,help,id,info,kill,list,no-evict,pause,reply,setname,tracking,trackinginfo,unblock,unpause) \
    cluster(addslots,addslotsrange,bumpepoch,count-failure-reports,countkeysinslot,delslots,delslotsrange,failover,flushslots,forget,getkeysinslot,help,info,keyslot,links,meet,myid,nodes,replicas,replicate,reset,saveconfig,set-config-epoch,setslot,shards,slaves,slots) \
    command(count,docs,getkeys,getkeysandflags,help,info,list) config(get,help,resetstat,rewrite,set) copy \
    dbsize debug decr decrby del discard dump echo eval eval_ro evalsha evalsha_ro exec exists expire \
    expireat expiretime failover fcall fcall_ro flushall flushdb \
    function(delete,dump,flush,help,kill,list,load,restore,stats) geoadd geodist geohash geopos georadius \
    georadius_ro georadiusbymember georadiusbymember_ro geosearch geosearchstore get getbit getdel getex \
    getrange getset hdel hello hexists hget hgetall hincrby hincrbyfloat hkeys hlen hmget hmset hrandfield \
    hscan hset hsetnx hstrlen hvals incr incrby incrbyfloat info keys lastsave \
    latency(doctor,graph,help,histogram,history,latest,reset) lcs lindex linsert llen lmove lmpop lolwut \
    lpop lpos lpush lpushx lrange lrem lset ltrim memory(doctor,help,malloc-stats,purge,stats,usage) mget \
    migrate module(help,list,load,loadex,unload) monitor move mset msetnx multi \
    object(encoding,freq,help,idletime,refcount) persist pexpire pexpireat pexpiretime pfadd pfcount pfdebug \
    pfmerge pfselftest ping psetex psubscribe psync pttl publish \
    pubsub(channels,help,numpat,numsub,shardchannels,shardnumsub) punsubscribe quit randomkey readonly \
    readwrite rename renamenx replconf replicaof reset restore restore-asking role rpop rpoplpush rpush \
    rpushx sadd save scan scard script(debug,exists,flush,help,kill,load) sdiff sdiffstore select set setbit \
    setex setnx setrange shutdown sinter sintercard sinterstore sismember slaveof \
    slowlog(get,help,len,reset) smembers smismember smove sort sort_ro spop spublish srandmember srem sscan \
    ssubscribe strlen subscribe substr sunion sunionstore sunsubscribe swapdb sync time touch ttl type \
    unlink unsubscribe unwatch wait watch xack xadd xautoclaim xclaim xdel \
    xgroup(create,createconsumer,delconsumer,destroy,help,setid) xinfo(consumers,groups,help,stream) xlen \
    xpending xrange xread xreadgroup xrevrange xsetid xtrim zadd zcard zcount zdiff zdiffstore zincrby \
    zinter zintercard zinterstore zlexcount zmpop zmscore zpopmax zpopmin zrandmember zrange zrangebylex \
    zrangebyscore zrangestore zrank zrem zremrangebylex zremrangebyrank zremrangebyscore zrevrange \
    zrevrangebylex zrevrangebyscore zrevrank zscan zscore zunion zunionstore";
/// Added by Redis 7.2.
const SINCE_7_2: &str = "\
    client(no-touch,setinfo) cluster(myshardid) waitaof";
/// Added by Redis 7.4 and not by Valkey: expiring hash fields.
const SINCE_REDIS_7_4: &str = "\
    hexpire hexpireat hexpiretime hpersist hpexpire hpexpireat hpexpiretime hpttl httl";
/// Added by Redis 8.0.
const SINCE_REDIS_8: &str = "\
    hgetdel hgetex hsetex";
/// Added by Valkey 8.0.
const SINCE_VALKEY_8: &str = "\
    client(capa,import-source) cluster(slot-stats) script(show)";
/// Added by Valkey 8.1.
const SINCE_VALKEY_8_1: &str = "\
    commandlog(get,help,len,reset)";
/// Of the vector set module inside Redis 8: known to ACLs, but not yet when `rename-command` is read.
const MODULE_REDIS_8: &str = "\
    vadd vcard vdim vemb vgetattr vinfo vismember vlinks vrandmember vrem vsetattr vsim";
/// What a Sentinel knows, in every release here.
const OF_SENTINEL: &str = "acl auth client command hello info ping psubscribe publish punsubscribe role sentinel \
    shutdown subscribe unsubscribe";

/// The categories of commands, `ACL CAT`, the same in all releases here.
const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// What a name of an ACL rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    No,
    /// A command; whether it has subcommands.
    Command {
        subcommands: bool,
    },
    Subcommand,
}

/// The command table while a configuration is read, made when a line first asks: most files never do.
pub(crate) struct Commands {
    release: Release,
    sentinel: bool,
    tables: OnceCell<Tables>,
    renamed: Vec<(Vec<u8>, Vec<u8>, Origin)>,
}

struct Tables {
    /// Lowercase, with the subcommands.
    original: BTreeMap<&'static str, BTreeSet<&'static str>>,
    /// Lowercase names that a rename may take or give, now.
    current: BTreeSet<Vec<u8>>,
    /// Only known once modules are loaded.
    of_modules: BTreeSet<&'static str>,
}

impl Tables {
    fn of(release: Release, sentinel: bool) -> Self {
        let mut original: BTreeMap<&'static str, BTreeSet<&'static str>> = BTreeMap::new();
        for list in lists(release) {
            for word in list.split_whitespace() {
                let (name, subs) = word.split_once('(').unwrap_or((word, ""));
                let subs = subs.trim_end_matches(')').split(',').filter(|s| !s.is_empty());
                original.entry(name).or_default().extend(subs);
            }
        }
        if sentinel {
            let known: BTreeSet<&str> = OF_SENTINEL.split_whitespace().collect();
            original.retain(|name, _| known.contains(name));
            original.insert("sentinel", BTreeSet::new());
        }
        let current = original.keys().map(|name| name.as_bytes().to_vec()).collect();
        let of_modules = match release {
            Release::Redis80 if !sentinel => MODULE_REDIS_8.split_whitespace().collect(),
            _ => BTreeSet::new(),
        };
        Self { original, current, of_modules }
    }
}

impl Commands {
    pub(crate) fn of(release: Release, sentinel: bool) -> Self {
        Self { release, sentinel, tables: OnceCell::new(), renamed: Vec::new() }
    }

    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| Tables::of(self.release, self.sentinel))
    }

    /// `rename-command`: takes a name out of the table, and puts the new one in unless that is empty.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8], origin: &Origin) -> Result<(), &'static str> {
        let from_key = c_str(from).to_ascii_lowercase();
        let to_key = to.to_ascii_lowercase();
        let mut tables = self.tables.take().unwrap_or_else(|| Tables::of(self.release, self.sentinel));
        let found = tables.current.remove(&from_key);
        let clash = found && !to.is_empty() && !tables.current.insert(to_key);
        let _ = self.tables.set(tables);
        if !found {
            return Err("No such command in rename-command");
        }
        if clash {
            return Err("Target command name already exists");
        }
        self.renamed.push((from.to_vec(), to.to_vec(), origin.clone()));
        Ok(())
    }

    pub(crate) fn take_renamed(&mut self) -> Vec<(Vec<u8>, Vec<u8>, Origin)> {
        std::mem::take(&mut self.renamed)
    }

    /// A name in an ACL rule, `get` or `config|get`; renaming does not matter there.
    pub(crate) fn known(&self, name: &[u8]) -> Known {
        let Ok(name) = std::str::from_utf8(name) else { return Known::No };
        let name = name.to_ascii_lowercase();
        if let Some((parent, sub)) = name.split_once('|') {
            let found = self.tables().original.get(parent).is_some_and(|subs| subs.contains(sub));
            return if found { Known::Subcommand } else { Known::No };
        }
        match self.tables().original.get(name.as_str()) {
            Some(subs) => Known::Command { subcommands: !subs.is_empty() },
            None if self.tables().of_modules.contains(name.as_str()) => Known::Command { subcommands: false },
            None => Known::No,
        }
    }
}

pub(crate) fn is_category(name: &[u8]) -> bool {
    CATEGORIES.iter().any(|c| c.as_bytes().eq_ignore_ascii_case(name))
}

fn lists(release: Release) -> Vec<&'static str> {
    let mut lists = vec![IN_ALL];
    let since = |version| release.version() >= version;
    if since((7, 2)) {
        lists.push(SINCE_7_2);
    }
    match release.fork() {
        Fork::Redis => {
            lists.extend(since((7, 4)).then_some(SINCE_REDIS_7_4));
            lists.extend(since((8, 0)).then_some(SINCE_REDIS_8));
        }
        Fork::Valkey => {
            lists.extend(since((8, 0)).then_some(SINCE_VALKEY_8));
            lists.extend(since((8, 1)).then_some(SINCE_VALKEY_8_1));
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renames_move_names() {
        let mut commands = Commands::of(Release::Redis70, false);
        let mut rename =
            |from: &str, to: &str| commands.rename(from.as_bytes(), to.as_bytes(), &Origin::Argv);
        assert_eq!(rename("CONFIG", ""), Ok(()));
        assert_eq!(rename("config", "x"), Err("No such command in rename-command"));
        assert_eq!(rename("FLUSHALL", "get"), Err("Target command name already exists"));
        assert_eq!(rename("get", "config"), Ok(()));
        assert_eq!(rename("nope", "x"), Err("No such command in rename-command"));
    }

    #[test]
    fn names_of_acl_rules() {
        let commands = Commands::of(Release::Redis70, false);
        assert_eq!(commands.known(b"GET"), Known::Command { subcommands: false });
        assert_eq!(commands.known(b"config"), Known::Command { subcommands: true });
        assert_eq!(commands.known(b"config|set"), Known::Subcommand);
        assert_eq!(commands.known(b"waitaof"), Known::No);
        assert_ne!(Commands::of(Release::Valkey81, false).known(b"waitaof"), Known::No);
        assert_ne!(Commands::of(Release::Redis80, false).known(b"vadd"), Known::No);
        assert_eq!(Commands::of(Release::Redis80, true).known(b"get"), Known::No);
        assert!(is_category(b"Dangerous") && !is_category(b"all"));
    }
}
