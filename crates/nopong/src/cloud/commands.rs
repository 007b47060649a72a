//! The missing rule as a command of the cloud's own tool, for one client and one port.

use crate::cause::common::sh;
use crate::evidence::cloud::Opening;
use std::net::IpAddr;

/// What to say before the command, and the command.
pub fn of(opening: &Opening) -> (String, Option<String>) {
    match opening {
        Opening::AwsGroup { group, ingress, port, peer } => {
            let verb =
                if *ingress { "authorize-security-group-ingress" } else { "authorize-security-group-egress" };
            let end = if *ingress { "client" } else { "server" };
            let permission = match peer {
                Some(IpAddr::V6(_)) => format!("Ipv6Ranges=[{{CidrIpv6={}}}]", alone(*peer, end)),
                _ => format!("IpRanges=[{{CidrIp={}}}]", alone(*peer, end)),
            };
            let command = format!(
                "aws ec2 {verb} --group-id {} --ip-permissions {}",
                sh(group),
                sh(&format!("IpProtocol=tcp,FromPort={port},ToPort={port},{permission}"))
            );
            (format!("admit this {end} alone in the security group"), Some(command))
        }
        Opening::AwsAcl { acl, ingress, number, ports, peer } => {
            let Some(number) = number else {
                let says = format!(
                    "no rule number before the one that decides is free in {acl}: renumber its rules, then admit TCP \
                     {}-{} there",
                    ports.0, ports.1
                );
                return (says, None);
            };
            let block = match peer {
                Some(IpAddr::V6(_)) => format!("--ipv6-cidr-block {}", alone(*peer, "client")),
                _ => format!("--cidr-block {}", alone(*peer, "client")),
            };
            let command = format!(
                "aws ec2 create-network-acl-entry --network-acl-id {} {} --rule-number {number} --protocol 6 \
                 --port-range From={},To={} {block} --rule-action allow",
                sh(acl),
                if *ingress { "--ingress" } else { "--egress" },
                ports.0,
                ports.1
            );
            ("admit these packets in the network ACL, before the rule that decides".to_owned(), Some(command))
        }
        Opening::Gcp { network, project, ingress, priority, port, peer, tag } => {
            let Some(priority) = priority else {
                let says = "a firewall policy above the VPC's own rules decides, or a rule of priority 0: whoever \
                            keeps it has to admit the connection there";
                return (says.to_owned(), None);
            };
            let (direction, flag, end) = if *ingress {
                ("INGRESS", "--source-ranges", "client")
            } else {
                ("EGRESS", "--destination-ranges", "server")
            };
            let mut command = format!(
                "gcloud compute firewall-rules create {} --network={} --direction={direction} --action=ALLOW \
                 --rules=tcp:{port} {flag}={} --priority={priority}",
                if *ingress { "nopong-redis-in" } else { "nopong-redis-out" },
                sh(network),
                alone(*peer, end)
            );
            if let Some(tag) = tag {
                command.push_str(&format!(" --target-tags={}", sh(tag)));
            }
            if let Some(project) = project {
                command.push_str(&format!(" --project={}", sh(project)));
            }
            (format!("admit this {end} alone in the VPC's firewall"), Some(command))
        }
        Opening::Azure { group, resource_group, ingress, priority, port, peer, own } => {
            let Some(priority) = priority else {
                let says = format!(
                    "no priority before the rule that decides is free in {group}: change its rules' priorities first"
                );
                return (says, None);
            };
            let (direction, source, destination) =
                if *ingress { ("Inbound", peer, own) } else { ("Outbound", own, peer) };
            let address = |ip: &Option<IpAddr>, end: &str| alone(*ip, end);
            let command = format!(
                "az network nsg rule create --resource-group {} --nsg-name {} --name nopong-redis-{} --priority \
                 {priority} --direction {direction} --access Allow --protocol Tcp --source-address-prefixes {} \
                 --source-port-ranges '*' --destination-address-prefixes {} --destination-port-ranges {port}",
                sh(resource_group),
                sh(group),
                if *ingress { "in" } else { "out" },
                address(source, "client"),
                address(destination, "server"),
            );
            ("admit this client alone in the network security group".to_owned(), Some(command))
        }
    }
}

/// One address, never a whole network; a word to fill in where it is not known.
fn alone(peer: Option<IpAddr>, end: &str) -> String {
    match peer {
        Some(ip) => format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 }),
        None => format!("{}_ADDRESS/32", end.to_ascii_uppercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::evidence::cloud::Opening;

    #[test]
    fn each_command_admits_one_client_to_one_port() {
        let peer = Some("10.0.0.7".parse().unwrap());
        let group = |peer| Opening::AwsGroup { group: "sg-1".into(), ingress: true, port: 6379, peer };
        let command = |o: &Opening| of(o).1.unwrap_or_default();
        assert_eq!(
            command(&group(peer)),
            "aws ec2 authorize-security-group-ingress --group-id sg-1 --ip-permissions \
             'IpProtocol=tcp,FromPort=6379,ToPort=6379,IpRanges=[{CidrIp=10.0.0.7/32}]'"
        );
        assert!(
            command(&group(Some("fd00::7".parse().unwrap()))).contains("Ipv6Ranges=[{CidrIpv6=fd00::7/128}]")
        );
        assert!(command(&group(None)).contains("CLIENT_ADDRESS/32"));
        let hostile = Opening::AwsGroup { group: "sg-1; rm -rf /".into(), ingress: true, port: 1, peer };
        assert!(command(&hostile).contains("--group-id 'sg-1; rm -rf /'"));
        let acl = |number| Opening::AwsAcl {
            acl: "acl-1".into(),
            ingress: false,
            number,
            ports: (1024, 65535),
            peer,
        };
        assert!(command(&acl(Some(90))).contains("--egress --rule-number 90 --protocol 6 --port-range From=1024,To=65535 --cidr-block 10.0.0.7/32 --rule-action allow"));
        assert_eq!(of(&acl(None)).1, None);
        let gcp = Opening::Gcp {
            network: "prod".into(),
            project: Some("p1".into()),
            ingress: true,
            priority: Some(900),
            port: 6379,
            peer,
            tag: Some("redis".into()),
        };
        assert!(command(&gcp).ends_with(
            "--rules=tcp:6379 --source-ranges=10.0.0.7/32 --priority=900 --target-tags=redis --project=p1"
        ));
        let azure = Opening::Azure {
            group: "nsg".into(),
            resource_group: "rg".into(),
            ingress: true,
            priority: Some(310),
            port: 6379,
            peer,
            own: Some("10.0.0.5".parse().unwrap()),
        };
        assert!(
            command(&azure).contains("--source-address-prefixes 10.0.0.7/32")
                && command(&azure).contains("--destination-address-prefixes 10.0.0.5/32")
        );
    }
}
