//! The tools' listings, each asked for once and at the same time; what a tool says when it cannot.

use crate::cloud::{Connection, Inventory, LARGEST};
use crate::evidence::Why;
use crate::evidence::cloud::{Cloud, Provider};
use crate::sys;
use std::time::Duration;

/// Limit of one listing. The tools take one to four seconds to start, more on a small machine.
const LIMIT: Duration = Duration::from_secs(25);
/// More than the addresses of one target need.
const LISTS: usize = 10;

/// The tool of a cloud, and where in PATH it is.
fn tool(provider: Provider) -> &'static str {
    match provider {
        Provider::Aws => "aws",
        Provider::Gcp => "gcloud",
        Provider::Azure => "az",
    }
}

/// What is asked in any case.
fn basic(provider: Provider) -> &'static [&'static [&'static str]] {
    match provider {
        Provider::Aws => &[
            &["ec2", "describe-network-interfaces"],
            &["ec2", "describe-security-groups"],
            &["ec2", "describe-network-acls"],
        ],
        Provider::Gcp => &[&["compute", "instances", "list"], &["compute", "firewall-rules", "list"]],
        Provider::Azure => &[
            &["network", "nic", "list"],
            &["network", "nsg", "list"],
            &["network", "vnet", "list"],
            &["network", "public-ip", "list"],
        ],
    }
}

/// How its output becomes JSON.
fn as_json(provider: Provider) -> &'static [&'static str] {
    match provider {
        Provider::Aws => &["--output", "json"],
        Provider::Gcp => &["--format=json"],
        Provider::Azure => &["--output", "json", "--only-show-errors"],
    }
}

/// What was asked, and what came.
type Answer<'a> = (Vec<&'a str>, Result<Vec<u8>, Why>);

/// One tool, ready to be run.
struct Tool {
    provider: Provider,
    path: String,
    environment: Vec<(String, String)>,
}

/// Reads what decides about the connections, and judges them.
pub(super) fn read(provider: Provider, connections: &[Connection]) -> Result<Vec<Cloud>, Why> {
    let tool = Tool {
        provider,
        path: sys::program_of_user(tool(provider))?.to_string_lossy().into_owned(),
        environment: environment(),
    };
    let mut inventory = Inventory::default();
    let mut unread = Vec::new();
    let mut failed = None;
    for (words, answer) in tool.ask(basic(provider)) {
        let answer = answer.and_then(|bytes| tool.add(&mut inventory, &words, &bytes));
        if let Err(why) = answer {
            unread.push(format!("{}: {why}", words.join(" ")));
            failed.get_or_insert(why);
        }
    }
    // Without a login every listing fails in the same way.
    if unread.len() == basic(provider).len() {
        return Err(failed.unwrap_or(Why::Panicked));
    }
    if unread.is_empty() {
        inventory.complete(provider);
    }
    let more = further(provider, &inventory, connections);
    let more: Vec<Vec<&str>> = more.iter().map(|words| words.iter().map(String::as_str).collect()).collect();
    let more: Vec<&[&str]> = more.iter().map(Vec::as_slice).collect();
    for (words, answer) in tool.ask(&more) {
        if let Err(why) = answer.and_then(|bytes| tool.add(&mut inventory, &words, &bytes)) {
            unread.push(format!("{}: {why}", words.join(" ")));
        }
    }
    let mut clouds = inventory.judge(connections);
    for cloud in &mut clouds {
        cloud.unread.clone_from(&unread);
    }
    Ok(clouds)
}

/// What only the first answers tell to ask: prefix lists, effective policies, caches known by name.
fn further(provider: Provider, inventory: &Inventory, connections: &[Connection]) -> Vec<Vec<String>> {
    let words = |text: &str, last: Option<String>| -> Vec<String> {
        text.split(' ').map(str::to_owned).chain(last).collect()
    };
    let mut all = Vec::new();
    for connection in connections {
        let ends = [connection.server, connection.source.ip()];
        match provider {
            Provider::Aws => {
                let lists = ends.iter().flat_map(|ip| inventory.prefix_lists_wanted(*ip));
                all.extend(
                    lists.map(|l| words("ec2 get-managed-prefix-list-entries --prefix-list-id", Some(l))),
                );
                let known = inventory.knows(provider, connection);
                if !known && connection.host.ends_with(".cache.amazonaws.com") {
                    all.push(words("elasticache describe-cache-clusters --show-cache-node-info", None));
                }
            }
            Provider::Gcp => {
                let networks = ends.iter().flat_map(|ip| inventory.gcp_networks(*ip));
                all.extend(networks.map(|n| words("compute networks get-effective-firewalls", Some(n))));
            }
            Provider::Azure => {}
        }
    }
    all.sort();
    all.dedup();
    all.truncate(LISTS);
    all
}

/// The tool's environment: the user's own, without what belongs to Redis.
fn environment() -> Vec<(String, String)> {
    let foreign = |name: &str| {
        let name = name.to_ascii_uppercase();
        name.contains("REDIS") || name.contains("VALKEY") || name.starts_with("LD_")
    };
    let own = [
        ("LC_ALL", "C"),
        // Nothing may ask, page or colour.
        ("AWS_PAGER", ""),
        ("AWS_MAX_ATTEMPTS", "2"),
        ("CLOUDSDK_CORE_DISABLE_PROMPTS", "1"),
        ("AZURE_CORE_NO_COLOR", "1"),
    ];
    let mut all: Vec<(String, String)> = sys::environment();
    all.retain(|(name, _)| !foreign(name) && !own.iter().any(|(own, _)| own == name));
    all.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    all
}

impl Tool {
    /// Asks several things at once.
    fn ask<'a>(&self, all: &[&'a [&'a str]]) -> Vec<Answer<'a>> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = all.iter().map(|words| (*words, scope.spawn(|| self.run(words)))).collect();
            threads
                .into_iter()
                .map(|(words, thread)| (words.to_vec(), thread.join().unwrap_or(Err(Why::Panicked))))
                .collect()
        })
    }

    fn run(&self, words: &[&str]) -> Result<Vec<u8>, Why> {
        let mut argv = vec![self.path.as_str()];
        argv.extend(words);
        argv.extend(as_json(self.provider));
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let output = sys::run_in(&argv, &environment, LIMIT, LARGEST)?;
        if output.cut {
            return Err(Why::Garbled { what: format!("more than {} MiB were listed", LARGEST >> 20) });
        }
        match output.code {
            Some(0) => Ok(output.stdout),
            _ => Err(Why::Failed {
                what: fault(self.provider, words, &String::from_utf8_lossy(&output.stderr)),
            }),
        }
    }

    fn add(&self, inventory: &mut Inventory, words: &[&str], bytes: &[u8]) -> Result<(), Why> {
        let name = format!("{} {}", tool(self.provider), words.join(" "));
        // With nothing to list, gcloud prints an empty list, or nothing.
        let bytes = if bytes.trim_ascii().is_empty() { b"[]" } else { bytes };
        inventory
            .add(&name, bytes, true)
            .map_err(|e| Why::Garbled { what: format!("what {name} printed is {e}") })
    }
}

/// What went wrong, and what to do. Only words that are known are taken from what the tool said.
fn fault(provider: Provider, words: &[&str], said: &str) -> String {
    let says = |parts: &[&str]| parts.iter().any(|p| said.contains(p));
    let asked = format!("{} {}", tool(provider), words.join(" "));
    match provider {
        Provider::Aws if says(&["locate credentials", "NoCredentials", "config profile"]) => {
            "no AWS credentials here: aws configure, or set AWS_PROFILE (under sudo: sudo -E, or run nopong as yourself)"
                .to_owned()
        }
        Provider::Aws if says(&["Expired", "expired", "sso login"]) => {
            "the AWS credentials have expired: aws sso login, or take new ones".to_owned()
        }
        Provider::Aws if says(&["specify a region", "NoRegion"]) => {
            "no AWS region is set: AWS_REGION=…, the one that the Redis host is in".to_owned()
        }
        Provider::Aws if says(&["UnauthorizedOperation", "AccessDenied", "not authorized"]) => {
            let action: String = words
                .get(1)
                .map(|w| w.split('-').map(capital).collect())
                .unwrap_or_default();
            format!("the AWS identity may not list this: it needs {}:{action}", words.first().unwrap_or(&"ec2"))
        }
        Provider::Aws if says(&["AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch"]) => {
            "AWS does not accept these credentials: aws sts get-caller-identity tells more".to_owned()
        }
        Provider::Gcp if says(&["active account", "auth login", "Reauthentication", "refreshing"]) => {
            "gcloud has no valid login: gcloud auth login".to_owned()
        }
        Provider::Gcp if says(&["property [project]", "core/project"]) => {
            "gcloud has no project: gcloud config set project …, or CLOUDSDK_CORE_PROJECT".to_owned()
        }
        Provider::Gcp if says(&["PERMISSION_DENIED", "Required 'compute", "403"]) => {
            "the Google Cloud identity may not list this: it needs the role roles/compute.viewer".to_owned()
        }
        Provider::Azure if says(&["az login", "AADSTS"]) => "az has no valid login: az login".to_owned(),
        Provider::Azure if says(&["AuthorizationFailed"]) => {
            "the Azure identity may not list this: it needs the role Reader".to_owned()
        }
        _ if says(&["Could not connect", "Connection", "ConnectionError", "resolve"]) => {
            format!("{asked}: its endpoint cannot be reached from here")
        }
        _ => format!("{asked} failed: run it by hand to see why"),
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::fault;
    use crate::evidence::cloud::Provider;

    #[test]
    fn what_the_tools_say_is_recognised_and_never_quoted() {
        let aws = |said| fault(Provider::Aws, &["ec2", "describe-security-groups"], said);
        assert!(aws("Unable to locate credentials. You can configure").contains("aws configure"));
        let denied = "An error occurred (UnauthorizedOperation) when calling the DescribeSecurityGroups operation: \
                      User: arn:aws:iam::123456789012:user/eve is not authorized";
        assert!(aws(denied).ends_with("needs ec2:DescribeSecurityGroups"), "{}", aws(denied));
        assert!(!aws(denied).contains("123456789012"));
        assert!(aws("AKIAIOSFODNN7EXAMPLE went wrong").ends_with("run it by hand to see why"));
        assert!(
            fault(Provider::Gcp, &["compute"], "ERROR: (gcloud) The required property [project] is")
                .contains("set project")
        );
        assert!(
            fault(Provider::Azure, &["network"], "ERROR: Please run 'az login' to setup account.")
                .contains("az login")
        );
    }
}
