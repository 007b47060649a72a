//! Settings: what a client says about them before it dials, and what of them can be seen in an address.

use super::{CONNECT, Rule, SETTING, Weights, rule};
use crate::explain::text::Text;

/// Each that matches counts.
pub(super) const RULES: &[Rule] = &[
    rule(
        "the URL does not parse",
        &[
            "invalidurierror",
            "bad uri",
            "url did not parse",
            "invalid url",
            "err_invalid_url",
            "invalid url scheme",
            "invalid url escape",
            "invalid database number",
            "cast to integer",
            "must specify one of the following schemes",
            "invalid redis url",
            "redis url must",
            "invalid uri",
            "urisyntaxexception",
            "failed to parse url",
            "invalid port",
            "malformed uri",
            "uri malformed",
            "illegal character in",
            "invalid connection string",
            "invalid redis connection string",
            "first path segment in url",
            "invalid userinfo",
            "net/url: invalid",
            "uri::invalidcomponenterror",
            "missing port in address",
            "missing 'redis://'",
            "unknown redis url scheme",
            "unsupported scheme",
            "invalidconfigurationexception: redis",
            "relative url without a base",
            "not a valid url",
            "special character",
            "password contains",
            "missing address",
            "parse error in connection string",
        ],
        &[("url-malformed", 0.85), ("settings-not-applied", 0.05), ("env-collision", 0.03)],
    )
    .unless(&["tcp://", "compiled without tls", "the feature is not enabled"]),
    rule(
        "a URL where a host alone is wanted",
        &[
            "too many colons in address",
            "lookup redis://",
            "enotfound redis://",
            "enotfound rediss://",
            "enotfound http",
            "connecting to redis://",
            "lookup http",
            "lookup tcp",
            "enotfound tcp:",
        ],
        &[("url-malformed", 0.85), ("env-collision", 0.06)],
    )
    .unless(&["cannot connect to redis://", "address tcp://"]),
    rule(
        "an option that the library was built without",
        &[
            "the feature is not enabled",
            "compiled without tls",
            "feature is not enabled",
            "class \"redis\" not found",
            "class 'redis' not found",
            "undefined class constant",
            "no module named 'redis'",
            "cannot find module 'redis'",
            "please install the redis",
        ],
        &[("client-library-fault", 0.6), ("settings-not-applied", 0.15), ("url-malformed", 0.08)],
    ),
    rule(
        "a port that is a text",
        // PHP turns a string of digits into a number by itself, so this one was something else.
        &["must be of type int, string given"],
        &[("env-collision", 0.5), ("settings-not-applied", 0.2), ("url-malformed", 0.12)],
    ),
    rule(
        "the port's variable is no number",
        &["redis_port", "valkey_port"],
        &[("env-collision", 0.75), ("url-malformed", 0.12)],
    )
    .with(&[
        "not a valid integer",
        "invalid literal for int",
        "strconv.",
        "numberformatexception",
        "bad_port",
    ]),
    rule(
        "the port is no number",
        &[
            "not a valid integer",
            "err_socket_bad_port",
            "port should be",
            "invalid literal for int",
            "strconv.atoi",
            "numberformatexception",
            "strconv.parseint",
        ],
        &[("url-malformed", 0.46), ("env-collision", 0.3), ("settings-not-applied", 0.1)],
    )
    .unless(&["tcp://"]),
    rule(
        "a setting is not there",
        &[
            "] not configured",
            "is used by default",
            "(default) is used",
            "configuration is ignored",
            "misleading redisconfig",
            "missing redis configuration",
            "redis_url is not set",
            "redis_url is not defined",
            "redis_url not set",
            "redis_host is not set",
            "falling back to localhost",
            "no hostname was supplied",
            "reverting to default",
            "amqp://guest",
            "no redis url",
            "unknown property",
            "deprecated configuration",
        ],
        &[("settings-not-applied", 0.6), ("second-client-on-defaults", 0.3)],
    ),
    rule(
        "a variable of a link that is not there",
        &["redis_port_6379_tcp"],
        &[("settings-not-applied", 0.5), ("env-collision", 0.35)],
    )
    .with(&["is undefined", "is not set", "is not defined", "keyerror"]),
    rule(
        "a placeholder that nothing filled in",
        &[
            "${redis",
            "$(redis",
            "{{ redis",
            "{{redis",
            "%redis_",
            "enotfound undefined",
            "enotfound null",
            "enotfound none",
            "econnrefused undefined",
            "lookup nil",
            "host=undefined",
            "redis://undefined",
            "redis://null",
            "redis://none",
            "could not resolve placeholder",
        ],
        &[("settings-not-applied", 0.65), ("url-malformed", 0.25)],
    ),
];

/// What the text says of settings.
pub(super) fn weigh(text: &Text, weights: &mut Weights) {
    weights.every(text, SETTING, RULES);
    injected(text, weights);
    unescaped(text, weights);
    if text.any(&["enotfound \"", "enotfound '", "lookup \""]) {
        weights.add("a quotation mark in the name", SETTING, &[("url-malformed", 0.85)]);
    }
    if text.any(&["the client is closed", "clientclosederror"]) {
        weights.add(
            "the client was never connected",
            CONNECT,
            &[("settings-not-applied", 0.45), ("client-library-fault", 0.3), ("idle-connection-cut", 0.1)],
        );
    }
}

/// A URL whose password has characters that libraries read differently.
fn unescaped(text: &Text, weights: &mut Weights) {
    let odd = |rest: &str| {
        let url = rest.split(|c: char| c.is_whitespace() || "'\"`<>".contains(c)).next().unwrap_or_default();
        let Some((user, _)) = url.rsplit_once('@') else { return false };
        let password = user.split_once(':').map_or(user, |(_, p)| p);
        password.contains(['@', '/', '?', '#', '+', '^'])
    };
    if text.after("redis://").chain(text.after("rediss://")).any(odd) {
        weights.add("a password that is not escaped", SETTING * 1.2, &[("url-malformed", 0.8)]);
    }
}

/// `tcp://` where a port belongs: variables that Docker links and Kubernetes services inject.
fn injected(text: &Text, weights: &mut Weights) {
    let as_port = text.any(&[
        ":tcp://",
        "port=tcp://",
        "port tcp://",
        "-p tcp://",
        "_port=tcp",
        "_port: tcp",
        "address tcp://",
    ]);
    // Predis names every address so, in brackets or behind its message.
    let quoted = text.any(&["'tcp://", "\"tcp://"]) && !text.any(&["[tcp://", "refused tcp://"]);
    if as_port || quoted {
        weights.add(
            "an injected variable",
            SETTING * 2.0,
            &[("env-collision", 0.9), ("url-malformed", 0.05)],
        );
    }
}
