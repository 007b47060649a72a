//! Where a text comes from: words that change the odds, and say nothing by themselves.

/// Signs of a container or pod around the client.
pub(super) const CONTAINER: &[&str] = &[
    "docker",
    "compose",
    "container",
    "kube",
    "pod/",
    "_1 |",
    "-1 |",
    "_2 |",
    "-2 |",
    "/usr/src/app",
    "/workspaces/",
    "127.0.0.11",
    ".svc.cluster.local",
    "/opt/bitnami",
    "helm",
];

/// Managed services that take TLS only, or mostly.
pub(super) const MANAGED: &[&str] = &[
    "upstash",
    "cache.amazonaws.com",
    "elasticache",
    "redis.cache.windows.net",
    "redis.azure.net",
    "memorydb",
    "rediss:",
    "redis cloud",
    "redis-cloud.com",
    "redislabs.com",
    "ondigitalocean",
    "aivencloud",
    "herokuapp",
];

/// Providers whose instances stand behind security groups or allow-lists.
pub(super) const CLOUD: &[&str] = &[
    "amazonaws",
    "aliyun",
    "azure",
    "windows.net",
    "compute.internal",
    "ec2",
    "gcp",
    "cloudapp",
    "rds.aliyuncs",
    "any host resolved for dns name",
];

/// Versions of libraries whose options were renamed: what is left at a default is likelier there.
pub(super) const CODE: &[&str] = &[
    // node-redis 4: host and port moved below `socket`.
    "@redis/client",
    "@redis+client",
    "redissocket",
    // Spring Boot 3: spring.redis became spring.data.redis.
    "springframework.data.redis",
    "spring.data.redis",
];
