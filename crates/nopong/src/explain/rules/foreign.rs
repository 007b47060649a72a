//! Texts of another service: an honest answer is none.

use crate::explain::address::Address;
use crate::explain::text::Text;

/// Services that are not Redis, by what their clients and servers write.
pub(super) const OTHERS: &[&str] = &[
    "postgres",
    "psycopg",
    "mysql",
    "mariadb",
    "mongo",
    "kafka",
    "elasticsearch",
    "opensearch",
    "rabbitmq",
    "amqp",
    "zookeeper",
    "cassandra",
    "ssh: connect to host",
    "curl: (",
];

/// Anything of Redis's own: then the text may well be about it, whatever else stands there.
pub(super) const OURS: &[&str] = &[
    "redis",
    "valkey",
    "keydb",
    "dragonfly",
    "6379",
    "sentinel",
    "jedis",
    "lettuce",
    "predis",
    "bull",
    "sidekiq",
    "memjs",
    // Celery's broker when none is set.
    "amqp://guest",
];

/// Ports that IANA gave to others: PostgreSQL, MySQL, MongoDB, Elasticsearch, Kafka, ssh, http.
const PORTS: &[u16] = &[5432, 3306, 27017, 9200, 9092, 22, 80];

/// Another service failed, and nothing is said of Redis.
pub(super) fn is_it(text: &Text, dialled: Option<&Address>) -> bool {
    let port = dialled.and_then(|a| a.port).is_some_and(|p| PORTS.contains(&p));
    (port || text.any(OTHERS)) && !text.any(OURS)
}
