//! What to run next: the look that would decide between the causes named.

use super::Explanation;
use crate::cause::{self, Category};

impl Explanation {
    /// The address as a target, over TLS where the text speaks of it.
    pub fn target(&self) -> Option<String> {
        let first = self.causes.first().map_or("", |c| c.0);
        let tls = first.starts_with("tls-") && first != "tls-not-spoken";
        self.address.as_ref().map(|a| a.url(tls))
    }

    /// What to run next, as sentences with commands.
    pub fn next(&self) -> Vec<(String, String)> {
        let mut next = Vec::new();
        let mut add = |says: String, command: String| next.push((says, command));
        let target = self.target();
        match &target {
            Some(url) => {
                add(
                    format!("look at {url} itself, from where the application runs"),
                    format!("nopong {url}"),
                );
            }
            None => add(
                "look from where the application runs, with its own settings".to_owned(),
                "nopong".to_owned(),
            ),
        }
        let first = self.causes.first().map_or("", |c| c.0);
        let category = cause::by_id(first).map(|c| c.meta().category);
        let remote = self.address.as_ref().filter(|a| !a.is_loopback() && !a.is_socket());
        match (first, category) {
            ("settings-not-applied" | "second-client-on-defaults" | "client-pool-exhausted", _) => {
                add("see what the application really dials".to_owned(), "nopong dials --for 30s".to_owned());
            }
            (
                "loopback-in-container" | "name-on-other-network" | "env-collision" | "port-not-published",
                _,
            ) => add(
                "look from inside the application's container".to_owned(),
                "nopong --from container:NAME".to_owned(),
            ),
            ("config-invalid" | "tls-material-unusable" | "tcp-port-disabled", _) => add(
                "read the configuration as redis-server would".to_owned(),
                "nopong config /etc/redis/redis.conf".to_owned(),
            ),
            ("server-firewall-drops" | "server-firewall-rejects", _) => {
                let port = self.address.as_ref().and_then(|a| a.port).unwrap_or(6379);
                add(
                    "on the Redis host: what its firewall does with the client, and by which rule".to_owned(),
                    format!("nopong verdict --src CLIENT --dst SERVER:{port}"),
                );
            }
            (_, Some(Category::NotRunning | Category::Bind | Category::Health | Category::Security)) => {
                let where_ =
                    if remote.is_some() { "on the Redis host" } else { "as root, with the server's side" };
                add(format!("{where_}: what became of the server"), "sudo nopong".to_owned());
            }
            _ => {}
        }
        if !first.is_empty() {
            add(format!("read about {first}"), format!("nopong explain {first}"));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::super::explain;

    fn commands(text: &str) -> Vec<String> {
        explain(text.as_bytes()).next().into_iter().map(|n| n.1).collect()
    }

    #[test]
    fn the_next_look_fits_the_cause() {
        let said = commands("Could not connect to Redis at 10.0.0.5:6380: Connection timed out");
        assert_eq!(said[0], "nopong redis://10.0.0.5:6380");
        assert_eq!(said[1], "nopong verdict --src CLIENT --dst SERVER:6380");
        let said =
            commands("Error 1 connecting to cache:6380. certificate verify failed: certificate has expired");
        assert_eq!(said[0], "nopong rediss://cache:6380");
        let said = commands("Could not connect to Redis at /run/redis/redis.sock: No such file or directory");
        assert_eq!(said[0], "nopong unix:///run/redis/redis.sock");
        assert_eq!(commands("nothing of interest"), ["nopong"]);
    }
}
