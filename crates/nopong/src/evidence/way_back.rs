//! The way an answer of the Redis host takes to a client, by that host's own routing.

use super::Says;
use super::client::{Route, RouteOutcome};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What the Redis host's routing tables and policy rules do with the answer (SYN-ACK) to one client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WayBack {
    /// The client.
    pub client: IpAddr,
    /// The address it dials; the answer carries it as its source.
    pub served: IpAddr,
    /// The kernel's route for it.
    pub outcome: RouteOutcome,
    /// What the neighbour table says of the next hop, or of the client itself on the link: `reachable`, `failed` …
    #[serde(default)]
    pub link: Option<String>,
    /// The interface that the client's SYN came in on, where the wire was watched.
    #[serde(default)]
    pub came_by: Option<String>,
    /// Reverse-path filter in force there, for IPv4: 1 strict, 2 loose (the greater of net.ipv4.conf.all.rp_filter and the device's).
    #[serde(default)]
    pub rp_filter: Option<u8>,
    /// What may make the kernel choose another route for the real answer.
    #[serde(default)]
    pub doubt: Option<String>,
}

impl Says for WayBack {
    fn says(&self) -> String {
        let route = Route { to: self.client, outcome: self.outcome.clone() };
        let mut text = format!("from {} to {}", self.served, route.says());
        if let Some(link) = self.link.as_deref().filter(|l| matches!(*l, "failed" | "incomplete")) {
            text.push_str(&format!(", which does not answer there ({link})"));
        }
        if let Some(doubt) = &self.doubt {
            text.push_str(&format!("; not certain: {doubt}"));
        }
        text
    }
}
