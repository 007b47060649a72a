//! What the server checks once all lines are read and before it serves: the Sentinel's directives, TLS, users,
//! modules, sockets. In the order of the release, which differs: 7.0 opens its sockets first, later ones last.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::acl::{self, Wrong};
use crate::commands::Commands;
use crate::files::{OsError, Secret, TlsFiles};
use crate::load::{Loader, to_path};
use crate::release::Fork;
use crate::sds;
use crate::setting::User;
use crate::source::{FILE_MAX, Origin};

/// CONFIG_MIN_RESERVED_FDS, server.h.
const RESERVED_FILES: u64 = 32;

impl Loader<'_> {
    pub(crate) fn start_up(&mut self) {
        if self.start.sentinel {
            self.take_sentinel_queue();
            self.check_sentinel_file();
        }
        if self.start.release.listens_last() {
            self.check_locale();
            self.check_cluster_file();
            self.check_modules();
            self.check_users();
            self.check_tls();
            self.check_sockets();
            self.check_cluster_socket();
        } else {
            self.check_tls();
            self.check_sockets();
            self.check_cluster_file();
            self.check_cluster_socket();
            self.check_modules();
            self.check_users();
        }
        self.check_append_only();
        self.warn_of_limits();
    }

    fn take_sentinel_queue(&mut self) {
        let queue = std::mem::take(&mut self.sentinel_queue);
        let outcome = crate::sentinel::take(queue, self.start.release, &self.cwd, self.files);
        self.monitored = outcome.monitored;
        for ((words, origin, counted), says) in outcome.refused {
            let name =
                words.first().map(|w| String::from_utf8_lossy(w).to_ascii_lowercase()).unwrap_or_default();
            let shown = if crate::redact::is_name(name.as_bytes()) { name.as_str() } else { "***" };
            let directive = format!("sentinel {shown}");
            self.problem(origin, Some(counted), Some(&directive), says.to_owned(), None);
        }
    }

    fn check_sentinel_file(&mut self) {
        let Some(path) = &self.start.file else {
            let says = "Sentinel needs config file on disk to save state. Exiting...".to_owned();
            return self.problem(Origin::Default, None, None, says, None);
        };
        let path = self.start.cwd.join(path);
        if let Err(error) = self.files.writable(&path) {
            let says =
                format!("Sentinel config file {} is not writable: {error}. Exiting...", path.display());
            self.problem(Origin::Default, None, None, says, None);
        }
    }

    /// Only the names every C library has are sure; for others it depends on what is installed.
    fn check_locale(&mut self) {
        let name = self.value("locale-collate").to_vec();
        let sure: [&[u8]; 4] = [b"", b"C", b"POSIX", b"C.UTF-8"];
        if !sure.contains(&name.as_slice()) {
            let origin = self.origin("locale-collate");
            let says = "the server stops if this locale is not installed (see locale -a)".to_owned();
            self.warn(&origin, Some("locale-collate"), says);
        }
    }

    fn on(&self, name: &str) -> bool {
        self.value(name) == b"yes"
    }

    fn text(&self, name: &str) -> Option<&[u8]> {
        Some(self.value(name)).filter(|v| !v.is_empty())
    }

    pub(crate) fn port(&self, name: &str) -> u16 {
        std::str::from_utf8(self.value(name)).ok().and_then(|v| v.parse().ok()).unwrap_or(0)
    }

    fn check_cluster_file(&mut self) {
        if !self.on("cluster-enabled") {
            return;
        }
        let name = to_path(self.value("cluster-config-file"));
        let path = self.cwd.join(&name);
        let opened =
            if name.as_os_str().is_empty() { Err(OsError::NOT_FOUND) } else { self.files.appendable(&path) };
        if let Err(error) = opened {
            let says = format!("Can't open {} in order to acquire a lock: {error}", name.display());
            let origin = self.origin("cluster-config-file");
            self.problem(origin, None, Some("cluster-config-file"), says, None);
        }
    }

    fn check_modules(&mut self) {
        if self.start.sentinel {
            return;
        }
        for (path, origin) in self.modules.clone() {
            // Without a slash the loader searches its own directories.
            if !path.contains(&b'/') {
                continue;
            }
            let path = to_path(&path);
            if let Err(error) = self.files.executable(&self.cwd.join(&path)) {
                let says = format!("Can't load module from {}: server aborting", path.display());
                self.problem(origin, None, Some("loadmodule"), says, Some(error.text()));
            }
        }
        let modules = !self.modules.is_empty();
        for (name, origin, _) in std::mem::take(&mut self.queued) {
            if modules {
                let says = "no directive of the server: it must be one of a loaded module".to_owned();
                self.warn(&origin, Some(&name), says);
                continue;
            }
            let says =
                "Module Configuration detected without loadmodule directive or no ApplyConfig call: aborting";
            let hint = self.hint_for(name.as_bytes(), 1);
            self.problem(origin, None, Some(&name), says.to_owned(), hint);
        }
    }

    fn check_users(&mut self) {
        let file = self.text("aclfile").map(<[u8]>::to_vec);
        if file.is_some() && !self.users.is_empty() {
            let name = match self.start.release.fork() {
                Fork::Redis => ("Redis", "redis.conf"),
                Fork::Valkey => ("Valkey", "valkey.conf"),
            };
            let says = format!(
                "Configuring {} with users defined in {} and at the same setting an ACL file path is invalid. This \
                 setup is very likely to lead to configuration errors and security holes, please define either an \
                 ACL file or declare users directly in your {}, but not both.",
                name.0, name.1, name.1
            );
            let origin = self.origin("aclfile");
            self.problem(origin, None, Some("aclfile"), says, None);
        }
        let all_channels = self.value("acl-pubsub-default") == b"allchannels";
        for user in self.users.clone() {
            if acl::has_spaces(&user.name) {
                let says = "Spaces not allowed in ACL usernames".to_owned();
                self.problem(user.origin.clone(), None, Some("user"), says, None);
            } else if let Some((rule, wrong)) = acl::unknown_rule(&user, all_channels, &self.commands) {
                let name = String::from_utf8_lossy(&user.name).into_owned();
                let says =
                    format!("Error loading ACL rule '{rule}' for the user named '{name}': {}", wrong.text());
                if self.modules.is_empty() || wrong != Wrong::UnknownCommand {
                    self.problem(user.origin.clone(), None, Some("user"), says, None);
                } else {
                    self.warn(&user.origin, Some("user"), format!("{says}, unless a module brings it"));
                }
            }
        }
        if let Some(file) = file {
            self.check_acl_file(&file, all_channels);
        }
    }

    /// An ACL file is read in a simpler way than a configuration: no comments, no quotes.
    fn check_acl_file(&mut self, name: &[u8], all_channels: bool) {
        const ABORT: &str = "Aborting Redis startup because of ACL errors: ";
        let abort = match self.start.release.fork() {
            Fork::Redis => ABORT.to_owned(),
            Fork::Valkey => ABORT.replace("Redis", "Valkey"),
        };
        let shown = to_path(name);
        let path = self.cwd.join(&shown);
        let content = match self.files.read(&path, FILE_MAX) {
            Ok(content) => content,
            Err(error) => {
                let says = format!("{abort}Error loading ACLs, opening file '{}': {error}", shown.display());
                let origin = self.origin("aclfile");
                return self.problem(origin, None, Some("aclfile"), says, None);
            }
        };
        let path = Arc::new(path);
        let mut users: Vec<User> = Vec::new();
        let mut names = BTreeSet::new();
        for (line, number) in content.split(|b| *b == b'\n').zip(1..) {
            let origin = Origin::File { path: Arc::clone(&path), line: number };
            if let Err(says) = acl_line(line, (&mut users, &mut names), &origin, all_channels, &self.commands)
            {
                let says = format!("{abort}{}:{number}{says}", shown.display());
                self.problem(origin, None, Some("user"), says, None);
            }
        }
        self.users.extend(users);
    }

    fn check_tls(&mut self) {
        let wanted = self.port("tls-port") != 0 || self.on("tls-replication") || self.on("tls-cluster");
        if !wanted {
            return;
        }
        if !self.start.tls {
            let says = "Failed finding TLS support.".to_owned();
            let origin = self.origin("tls-port");
            return self.problem(origin, None, Some("tls-port"), says, None);
        }
        if let Some((directive, says)) = self.tls_fault() {
            let origin = self.origin(directive);
            let hint = Some("Failed to configure TLS. Check logs for more info.".to_owned());
            self.problem(origin, None, Some(directive), says, hint);
        }
    }

    /// The first thing `tlsConfigure` (tls.c) stops at.
    fn tls_fault(&self) -> Option<(&'static str, String)> {
        let path = |name: &str| self.text(name).map(|v| self.cwd.join(to_path(v)));
        let Some(cert) = path("tls-cert-file") else {
            return Some(("tls-cert-file", "No tls-cert-file configured!".to_owned()));
        };
        let Some(key) = path("tls-key-file") else {
            return Some(("tls-key-file", "No tls-key-file configured!".to_owned()));
        };
        let (ca_file, ca_dir) = (path("tls-ca-cert-file"), path("tls-ca-cert-dir"));
        let verifies =
            self.value("tls-auth-clients") != b"no" || self.on("tls-cluster") || self.on("tls-replication");
        if verifies && ca_file.is_none() && ca_dir.is_none() {
            let says = "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, \
                        tls-replication or tls-auth-clients are enabled!";
            return Some(("tls-ca-cert-file", says.to_owned()));
        }
        if !self.text("tls-protocols").is_none_or(are_protocols) {
            let says = "Invalid tls-protocols specified. Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and \
                        'TLSv1.3'.";
            return Some(("tls-protocols", says.to_owned()));
        }
        let pass = |name: &str| self.text(name).map(|v| Secret::new(v.to_vec()));
        let (key_pass, dh_params) = (pass("tls-key-file-pass"), path("tls-dh-params-file"));
        let server = TlsFiles { cert, key, key_pass, ca_file, ca_dir, dh_params, client: false };
        self.tls_files_fault(&server).or_else(|| {
            let (cert, key) = (path("tls-client-cert-file")?, path("tls-client-key-file")?);
            let key_pass = pass("tls-client-key-file-pass");
            self.tls_files_fault(&TlsFiles { cert, key, key_pass, dh_params: None, client: true, ..server })
        })
    }

    fn tls_files_fault(&self, tls: &TlsFiles) -> Option<(&'static str, String)> {
        let names = match tls.client {
            false => ("tls-cert-file", "tls-key-file"),
            true => ("tls-client-cert-file", "tls-client-key-file"),
        };
        let shown = |name: &str| to_path(self.value(name)).display().to_string();
        // OpenSSL wraps an error number of the system so; a directory opens, but holds nothing of use.
        let unread = |path, nothing: &str| match self.files.read(path, 1) {
            Ok(_) => None,
            Err(OsError::IS_DIRECTORY) => Some(nothing.to_owned()),
            Err(e) => Some(format!("error:8{:07X}:system library::{e}", e.0)),
        };
        if let Some(error) = unread(&tls.cert, "error:0480006C:PEM routines::no start line") {
            return Some((names.0, format!("Failed to load certificate: {}: {error}", shown(names.0))));
        }
        if let Some(error) = unread(&tls.key, "error:1E08010C:DECODER routines::unsupported") {
            return Some((names.1, format!("Failed to load private key: {}: {error}", shown(names.1))));
        }
        let no_ca = "error:05800088:x509 certificate routines::no certificate or crl found";
        if let Some(error) = tls.ca_file.as_ref().and_then(|path| unread(path, no_ca)) {
            let says = format!("Failed to configure CA certificate(s) file/directory: {error}");
            return Some(("tls-ca-cert-file", says));
        }
        if let Some(fault) = self.files.tls(tls) {
            // The server names files as they are written.
            let as_written =
                [(&tls.cert, names.0), (&tls.key, names.1)].iter().fold(fault.says, |says, (path, name)| {
                    says.replace(&path.display().to_string(), &shown(name))
                });
            return Some((fault.directive, as_written));
        }
        match tls.dh_params.as_ref().map(|path| self.files.read(path, 1)) {
            Some(Err(error)) => {
                let says = format!("Failed to load {}: {error}", shown("tls-dh-params-file"));
                Some(("tls-dh-params-file", says))
            }
            _ => None,
        }
    }

    fn check_append_only(&mut self) {
        if self.start.sentinel || !self.on("appendonly") {
            return;
        }
        let name = to_path(self.value("appenddirname"));
        let made = match self.files.enter(&self.cwd.join(&name)) {
            Ok(_) => Ok(()),
            Err(OsError::NOT_FOUND) => self.files.writable(&self.cwd),
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            let says = format!("Can't open or create append-only dir {}: {error}", name.display());
            let origin = self.origin("appendonly");
            self.problem(origin, None, Some("appendonly"), says, None);
        }
    }

    fn warn_of_limits(&mut self) {
        let number = |v: &[u8]| std::str::from_utf8(v).ok().and_then(|v| v.parse::<u64>().ok()).unwrap_or(0);
        let maxclients = number(self.value("maxclients"));
        if let Some(limit) = self.files.open_files_limit() {
            let needed = maxclients + RESERVED_FILES;
            if limit < needed {
                let left = limit.saturating_sub(RESERVED_FILES);
                let says = format!(
                    "You requested maxclients of {maxclients} requiring at least {needed} max file descriptors; \
                     only {limit} may be opened, so {left} clients can connect"
                );
                let origin = self.origin("maxclients");
                self.warn(&origin, Some("maxclients"), says);
                if left > 0 {
                    self.values.insert("maxclients", (left.to_string().into_bytes(), origin));
                }
            }
        }
        let maxmemory = number(self.value("maxmemory"));
        if maxmemory > 0 && maxmemory < 1024 * 1024 {
            let says = format!(
                "WARNING: You specified a maxmemory value that is less than 1MB (current value is {maxmemory} bytes). \
                 Are you sure this is what you really want?"
            );
            let origin = self.origin("maxmemory");
            self.warn(&origin, Some("maxmemory"), says);
        }
    }
}

fn are_protocols(list: &[u8]) -> bool {
    let known: [&[u8]; 4] = [b"tlsv1", b"tlsv1.1", b"tlsv1.2", b"tlsv1.3"];
    list.split(|b| *b == b' ').all(|word| known.iter().any(|k| word.eq_ignore_ascii_case(k)))
}

fn acl_line(
    line: &[u8],
    (users, names): (&mut Vec<User>, &mut BTreeSet<Vec<u8>>),
    origin: &Origin,
    all_channels: bool,
    commands: &Commands,
) -> Result<(), String> {
    let line = sds::trim(line);
    if line.is_empty() {
        return Ok(());
    }
    let words: Vec<Vec<u8>> = line.split(|b| *b == b' ').map(<[u8]>::to_vec).collect();
    if words[0] != b"user" || words.len() < 2 {
        return Err(" should start with user keyword followed by the username".to_owned());
    }
    let name = &words[1];
    if acl::has_spaces(name) {
        return Err(": username contains invalid characters".to_owned());
    }
    if !names.insert(name.clone()) {
        return Err(format!(": Duplicate user '{}' found", String::from_utf8_lossy(name)));
    }
    let rules = acl::merge_selectors(&words[2..])
        .map_err(|_| ": Unmatched parenthesis in selector definition.".to_owned())?;
    let user = User { name: name.clone(), rules, origin: origin.clone() };
    let refused = acl::unknown_rule(&user, all_channels, commands);
    users.push(user);
    match refused {
        Some((rule, Wrong::UnknownCommand)) => {
            Err(format!(": Error in applying operation '{rule}': {}", Wrong::UnknownCommand.text()))
        }
        Some((_, wrong)) => Err(format!(": {}", wrong.text())),
        None => Ok(()),
    }
}
