//! One lab: its network, and three machines in it. The server runs a real systemd; client and router
//! are bare (a stub init), each with its own files over the same tree. All of it is written down in
//! the run folder before it is made, so that whatever is left behind by a killed run is swept later.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Fail;
use crate::net::Net;
use crate::shell::{self, Output};
use crate::tree::{self, Host};

const RUN: &str = "/run/nopong-lab";
const BOOT: Duration = Duration::from_secs(20);

/// What is on disk about a lab, enough to take it down.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    slot: u8,
    /// The lab's name if it outlives the process that made it.
    pub name: Option<String>,
    owner: Process,
    processes: Vec<Process>,
    pub host: String,
    pub inits: Vec<(String, i32)>,
}

/// A process that cannot be mistaken for a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    pid: i32,
    started: u64,
}

impl Process {
    fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Field 22, counted after the command's closing bracket (proc(5)).
        let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, started })
    }

    fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    fn kill(self) {
        if self.alive() {
            let pid = nix::unistd::Pid::from_raw(self.pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

pub struct Instance {
    pub net: Net,
    pub host: Host,
    record: Record,
    children: Vec<Child>,
    /// Left standing when this value goes.
    kept: bool,
}

impl Instance {
    /// Boots a lab. `nopong`, if given, is seen in every machine as /usr/local/bin/nopong.
    pub fn boot(host: Host, nopong: Option<&Path>, name: Option<&str>) -> Result<Self, Fail> {
        let tree = tree::ready(host.tree)?;
        let slot = take_slot()?;
        let record = Record {
            slot,
            name: name.map(str::to_owned),
            owner: Process::of(std::process::id().cast_signed()).ok_or("cannot read my own /proc entry")?,
            processes: Vec::new(),
            host: host.name.to_owned(),
            inits: Vec::new(),
        };
        let mut lab = Self { net: Net { slot }, host, record, children: Vec::new(), kept: name.is_some() };
        lab.save()?;
        let made = lab.net.make().and_then(|()| lab.start(&tree, nopong)).and_then(|()| lab.wait_for_boot());
        match made {
            Ok(()) => Ok(lab),
            Err(e) => {
                lab.kept = false;
                Err(format!("{e} (lab {slot})"))
            }
        }
    }

    /// The lab of that name, made by another process and still standing.
    pub fn open(name: &str) -> Result<Self, Fail> {
        let record = records().into_iter().find(|r| r.name.as_deref() == Some(name));
        let record = record.ok_or_else(|| format!("no lab named {name}; make it with: lab up {name}"))?;
        let host = tree::host(&record.host)?;
        Ok(Self { net: Net { slot: record.slot }, host, record, children: Vec::new(), kept: true })
    }

    fn start(&mut self, tree: &Path, nopong: Option<&Path>) -> Result<(), Fail> {
        for (role, hostname) in [("server", "redis1"), ("client", "app1"), ("router", "gw1")] {
            let child = self.spawn(tree, role, hostname, nopong)?;
            let process = Process::of(child.id().cast_signed());
            self.children.push(child);
            self.record.processes.extend(process);
        }
        self.save()?;
        let began = Instant::now();
        while self.record.inits.len() < 3 {
            if began.elapsed() > BOOT {
                return Err("the machines did not start".into());
            }
            for (child, role) in self.children.iter_mut().zip(["server", "client", "router"]) {
                if let Ok(Some(status)) = child.try_wait() {
                    let log = fs::read_to_string(folder(self.record.slot).join(format!("{role}.log")));
                    return Err(format!(
                        "{role} ended at once, {status}: {}",
                        log.unwrap_or_default().trim()
                    ));
                }
                let known = self.record.inits.iter().any(|(r, _)| r == role);
                if let Some(init) = (!known).then(|| init_under(child.id().cast_signed())).flatten() {
                    self.record.processes.push(init);
                    self.record.inits.push((role.to_owned(), init.pid));
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for role in ["server", "client", "router"] {
            // The tree brings the resolver of the machine that made it; a lab has none until it makes one.
            let files = self.root(role)?.join("etc");
            fs::write(files.join("resolv.conf"), "")
                .and_then(|()| fs::OpenOptions::new().append(true).open(files.join("hosts")))
                .and_then(|mut hosts| hosts.write_all(b"127.0.1.1 redis1 app1 gw1\n"))
                .map_err(|e| format!("cannot write the resolver's files of the {role}: {e}"))?;
        }
        self.save()
    }

    fn spawn(&self, tree: &Path, role: &str, hostname: &str, nopong: Option<&Path>) -> Result<Child, Fail> {
        let log = folder(self.record.slot).join(format!("{role}.log"));
        let log = fs::File::create(&log).map_err(|e| format!("cannot write {}: {e}", log.display()))?;
        let copy = log.try_clone().map_err(|e| format!("cannot share a log: {e}"))?;
        // A control group of its own: nspawn's names below it are fixed and would collide.
        let group = format!("npl{}-{role}", self.record.slot);
        let enter = "for h in /sys/fs/cgroup $1; do \
                     if [ -e $h/cgroup.procs ]; then mkdir -p $h/$0 && echo 0 > $h/$0/cgroup.procs; fi; done; shift; exec \"$@\"";
        let hierarchies: Vec<String> =
            hierarchies(self.host).iter().map(|h| format!("/sys/fs/cgroup/{h}")).collect();
        let mut argv: Vec<String> =
            ["sh", "-c", enter, &group, &hierarchies.join(" "), "setsid", "systemd-nspawn", "-q"]
                .map(Into::into)
                .into();
        argv.push(format!("--directory={}", tree.display()));
        argv.push(format!("--network-namespace-path=/run/netns/{}", self.net.namespace(role)));
        argv.push(format!("--hostname={hostname}"));
        argv.push(format!("--machine={group}"));
        argv.extend(
            [
                "--volatile=overlay",
                "--register=no",
                "--keep-unit",
                "--console=read-only",
                "--resolv-conf=off",
                "--timezone=off",
                "--link-journal=no",
                "--settings=no",
                // Firewalls and their services need it; nspawn withholds it for a borrowed namespace.
                "--capability=CAP_NET_ADMIN",
            ]
            .map(Into::into),
        );
        if self.host.tree == "docker" {
            // runc gives each container a key ring of its own; nspawn's filter knows no reason for that.
            argv.push("--system-call-filter=@keyring".into());
        }
        if let Some(binary) = nopong {
            argv.push(format!("--bind-ro={}:/usr/local/bin/nopong", binary.display()));
        }
        argv.extend(if role == "server" {
            vec!["--boot".into()]
        } else {
            vec!["--as-pid2".into(), "sleep".into(), "infinity".into()]
        });
        Command::new(&argv[0])
            .args(&argv[1..])
            // The tree is shared and never written: the overlay takes all changes.
            .env("SYSTEMD_NSPAWN_LOCK", "0")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            .spawn()
            .map_err(|e| format!("cannot start systemd-nspawn: {e}"))
    }

    fn wait_for_boot(&self) -> Result<(), Fail> {
        let began = Instant::now();
        loop {
            // Answers as soon as systemd's bus socket is there, and then only when all jobs are done.
            let out = self.exec("server", "root", "systemctl is-system-running --wait", BOOT)?;
            if matches!(out.stdout.trim(), "running" | "degraded") {
                // The tree names the machine that made it, and systemd believes that.
                let name = "echo redis1 > /etc/hostname; hostname redis1";
                return self.exec("server", "root", name, BOOT).map(drop);
            }
            if began.elapsed() > BOOT {
                return Err(format!("the server did not finish booting: {}", out.brief()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn init(&self, role: &str) -> Result<i32, Fail> {
        let found = self.record.inits.iter().find(|(r, _)| r == role);
        found
            .map(|&(_, pid)| pid)
            .ok_or_else(|| format!("no machine {role}; there are server, client, router"))
    }

    /// The machine's files as seen from here.
    pub fn root(&self, role: &str) -> Result<PathBuf, Fail> {
        Ok(PathBuf::from(format!("/proc/{}/root", self.init(role)?)))
    }

    /// The command line that runs `argv` inside a machine as `root` or `app`, in a clean environment.
    pub fn enter(&self, role: &str, user: &str, argv: &[&str]) -> Result<Vec<String>, Fail> {
        let pid = self.init(role)?.to_string();
        let mut line: Vec<String> = ["nsenter", "-t", &pid, "-a", "--"].map(Into::into).into();
        if user != "root" {
            let home = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--inh-caps=-all"];
            line.extend(home.map(Into::into));
        }
        line.extend(
            [
                "env",
                "-i",
                "LANG=C.UTF-8",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ]
            .map(Into::into),
        );
        line.push(if user == "root" { "HOME=/root".into() } else { format!("HOME=/home/{user}") });
        for (name, value) in self.net.names() {
            line.push(format!("{}={value}", name.to_uppercase()));
        }
        for (name, value) in [("UNIT", self.host.unit), ("CONF", self.host.conf), ("CLI", self.host.cli)] {
            line.push(format!("{name}={value}"));
        }
        line.extend(argv.iter().map(|&a| a.to_owned()));
        Ok(line)
    }

    /// Runs shell text inside a machine, with the lab's few functions at hand.
    pub fn exec(&self, role: &str, user: &str, script: &str, limit: Duration) -> Result<Output, Fail> {
        let text = limit.as_secs_f32().to_string();
        let line = self.enter(
            role,
            user,
            &["timeout", "-k", "1", &text, "bash", "-e", "-c", &format!("{FUNCTIONS}\n{script}")],
        )?;
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        shell::run(limit + Duration::from_secs(3), &line, "")
    }

    /// What only the machine below can do to the server: `memory-limit BYTES` puts the unit's
    /// process in a memory group of its own (v1 hierarchies are not delegated to a container);
    /// `copy MACHINE:PATH MACHINE:PATH` carries a file over, readable by all; `ssh MACHINE MACHINE [USER]` lets root of
    /// the first into the second.
    pub fn special(&self, script: &str) -> Result<(), Fail> {
        match script.split_whitespace().collect::<Vec<_>>()[..] {
            ["memory-limit", bytes] => self.memory_limit(bytes),
            ["copy", from, to] => {
                let path = |place: &str| {
                    let (role, path) = place.split_once(":/").ok_or("copy wants MACHINE:/PATH")?;
                    Ok::<_, Fail>(self.root(role)?.join(path))
                };
                let (from, to) = (path(from)?.display().to_string(), path(to)?.display().to_string());
                shell::must(BOOT, &["install", "-D", "-m", "644", &from, &to], "").map(drop)
            }
            ["ssh", from, to] => self.ssh(from, to, "root"),
            ["ssh", from, to, user] => self.ssh(from, to, user),
            _ => Err(format!("the lab knows no step `{script}`")),
        }
    }

    /// A real sshd on the one, a key of root on the other, each known to the other.
    fn ssh(&self, from: &str, to: &str, user: &str) -> Result<(), Fail> {
        let run = |role: &str, script: &str| match self.exec(role, "root", script, BOOT)? {
            out if out.ok() => Ok(out.stdout),
            out => Err(format!("ssh on the {role}: {}", out.brief())),
        };
        let key = run(from, "ssh_key")?;
        run(to, &format!("ssh_let_in {user} '{}'", key.trim()))?;
        // The network may be the very fault that is made next: nobody has to be asked for the host key.
        let host_key = run(to, "cat /etc/ssh/ssh_host_ed25519_key.pub")?;
        let address = self.net.address(if to == "router" && from == "server" { "gateway" } else { to });
        run(from, &format!("ssh_knows {address} '{}'", host_key.trim())).map(drop)
    }

    fn memory_limit(&self, bytes: &str) -> Result<(), Fail> {
        let inner = self.exec("server", "root", "pid_of", Duration::from_secs(5))?.stdout;
        let init = self.init("server")?;
        let outer = outer_pid(init, inner.trim()).ok_or("the unit has no process to limit")?;
        let base = Path::new("/sys/fs/cgroup/memory").join(self.net.namespace("server"));
        if !base.is_dir() {
            let set = format!("systemctl set-property --runtime $UNIT MemoryMax={bytes} MemorySwapMax=0");
            return match self.exec("server", "root", &set, BOOT)? {
                out if out.ok() => Ok(()),
                out => Err(format!("cannot limit the unit's memory: {}", out.brief())),
            };
        }
        let group = base.join("redis");
        let write = |file: &str, text: &str| {
            fs::write(group.join(file), text).map_err(|e| format!("cannot write {file}: {e}"))
        };
        let _ = fs::create_dir(&group);
        write("memory.limit_in_bytes", bytes)?;
        write("cgroup.procs", &outer.to_string())
    }

    fn save(&self) -> Result<(), Fail> {
        let file = folder(self.record.slot).join("lab.json");
        let text =
            serde_json::to_string(&self.record).map_err(|e| format!("cannot write down the lab: {e}"))?;
        fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))
    }

    /// Leaves the lab standing for other processes.
    pub fn keep(mut self) {
        self.kept = true;
    }

    pub fn down(mut self) {
        self.kept = false;
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.record);
            for child in &mut self.children {
                let _ = child.wait();
            }
        }
    }
}

/// Shell functions every step may use.
const FUNCTIONS: &str = include_str!("functions.sh");

/// Further hierarchies of version 1, in which Docker makes groups below the machine's own.
const CONTROLLERS: &[&str] = &["blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "pids"];

/// The hierarchies in which a machine gets a group of its own.
fn hierarchies(host: Host) -> Vec<&'static str> {
    let all = ["systemd", "unified", "memory"].into_iter();
    all.chain(CONTROLLERS.iter().copied().filter(|_| host.tree == "docker")).collect()
}

fn folder(slot: u8) -> PathBuf {
    Path::new(RUN).join(slot.to_string())
}

/// A free slot number; making its folder is what takes it.
fn take_slot() -> Result<u8, Fail> {
    fs::create_dir_all(RUN).map_err(|e| format!("cannot make {RUN}: {e}"))?;
    (1..=250)
        .find(|&slot| fs::create_dir(folder(slot)).is_ok())
        .ok_or_else(|| "all 250 slots are taken".into())
}

/// The process here that is `inner` in the namespace of `init`.
fn outer_pid(init: i32, inner: &str) -> Option<i32> {
    let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = space(&init.to_string())?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().into_string().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let ids = status.lines().find_map(|l| l.strip_prefix("NSpid:"))?;
        let same = ids.split_whitespace().last() == Some(inner) && space(&pid)? == wanted;
        same.then(|| pid.parse().ok())?
    })
}

/// The init of the machine that a systemd-nspawn runs: its child that is process 1 inside.
fn init_under(nspawn: i32) -> Option<Process> {
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        if field("PPid:") == Some(&nspawn.to_string())
            && field("NSpid:").is_some_and(|ids| ids.split_whitespace().count() > 1 && ids.ends_with("\t1"))
        {
            return Process::of(field("Pid:")?.parse().ok()?);
        }
    }
    None
}

pub fn records() -> Vec<Record> {
    let files = fs::read_dir(RUN).into_iter().flatten().flatten().map(|e| e.path().join("lab.json"));
    files.filter_map(|f| serde_json::from_str(&fs::read_to_string(f).ok()?).ok()).collect()
}

/// Takes down what runs that are gone left behind. Named labs stay until they are taken down.
pub fn sweep() {
    for record in records() {
        if record.name.is_none() && !record.owner.alive() {
            remove(&record);
        }
    }
    for entry in fs::read_dir(RUN).into_iter().flatten().flatten() {
        // Taken, and its taker died before writing down anything. Only an empty folder goes.
        let old = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if old.is_some_and(|age| age > BOOT) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn remove(record: &Record) {
    // What is frozen cannot die: a paused container.
    thaw(&Path::new("/sys/fs/cgroup/freezer").join(Net { slot: record.slot }.namespace("server")));
    // The inits first: all of a machine dies with its init.
    for process in record.processes.iter().rev() {
        process.kill();
    }
    let net = Net { slot: record.slot };
    net.remove();
    for hierarchy in ["", "systemd", "unified", "memory"].iter().chain(CONTROLLERS) {
        for role in ["server", "client", "router"] {
            remove_group(&Path::new("/sys/fs/cgroup").join(hierarchy).join(net.namespace(role)));
        }
    }
    let _ = fs::remove_dir_all(folder(record.slot));
}

/// Lets everything in a group and in those below it go on.
fn thaw(group: &Path) {
    let _ = fs::write(group.join("freezer.state"), "THAWED");
    for entry in fs::read_dir(group).into_iter().flatten().flatten().filter(|e| e.path().is_dir()) {
        thaw(&entry.path());
    }
}

/// A control group and those below it, as soon as their dying processes have left.
fn remove_group(path: &Path) {
    if !path.is_dir() {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_group(&entry.path());
        }
    }
    let began = Instant::now();
    while fs::remove_dir(path).is_err() && path.exists() && began.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(5));
    }
}
