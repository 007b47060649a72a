//! Thousands of damaged listings: an error or a verdict, never a panic, never a long wait.

use std::time::{Duration, Instant};

const NFT: &str = include_str!("fixtures/nft-everything.json");
const IPTABLES: &str = include_str!("fixtures/ufw-iptables-save.txt");

/// splitmix64, public domain.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((z ^ (z >> 31)) >> 1).expect("64 bits")
}

/// Cuts, doubles, swaps and overwrites pieces.
fn damage(text: &str, state: &mut u64) -> Vec<u8> {
    const WORDS: &[&str] = &[
        "null",
        "-1",
        "18446744073709551616",
        "1e400",
        "{}",
        "[]",
        "\"\"",
        "@",
        "*",
        "::/999",
        "/33",
        "!",
        "-j",
        "\u{202e}",
        "{\"range\":[9,1]}",
        "{\"prefix\":{\"addr\":\"::\",\"len\":999}}",
        "{\"set\":[]}",
        "jump",
        "-A INPUT -j INPUT",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..1 + next(state) % 4 {
        let at = next(state) % bytes.len().max(1);
        let len = (next(state) % 40).min(bytes.len() - at);
        match next(state) % 5 {
            0 => drop(bytes.drain(at..at + len)),
            1 => {
                let piece = bytes[at..at + len].to_vec();
                let to = next(state) % (bytes.len() + 1);
                drop(bytes.splice(to..to, piece));
            }
            2 => bytes[at] = u8::try_from(next(state) % 256).expect("a byte"),
            3 => {
                let word = WORDS[next(state) % WORDS.len()];
                drop(bytes.splice(at..at + len, word.bytes()));
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

#[test]
fn damaged_listings_never_panic() {
    let mut state = 6379;
    let started = Instant::now();
    for _ in 0..3000 {
        packet_verdict::exercise_nft(&damage(NFT, &mut state));
        packet_verdict::exercise_iptables(&damage(IPTABLES, &mut state));
    }
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
}

#[test]
fn depth_and_circles_end() {
    let deep = format!("{{\"nftables\": [{}{}]}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(packet_verdict::parse("deep", &deep).is_err());
    let nested = format!("{{\"nftables\": [{{\"rule\": {}1{}}}]}}", "{\"a\":".repeat(5000), "}".repeat(5000));
    assert!(packet_verdict::parse("nested", &nested).is_err());
    // A chain that calls itself, and chains that call each other ten times over.
    packet_verdict::exercise_iptables(
        b"*filter\n:INPUT ACCEPT [0:0]\n:a - [0:0]\n-A INPUT -j a\n-A a -j a\nCOMMIT\n",
    );
    let mut bomb = String::from("*filter\n:INPUT ACCEPT [0:0]\n");
    (0..15).for_each(|n| bomb.push_str(&format!(":c{n} - [0:0]\n")));
    bomb.push_str("-A INPUT -j c0\n");
    for n in 0..14 {
        for limit in ["", "-m limit --limit 1/s ", "-m limit --limit 2/s "] {
            (0..5).for_each(|_| bomb.push_str(&format!("-A c{n} {limit}-j c{}\n", n + 1)));
        }
    }
    bomb.push_str("COMMIT\n");
    let started = Instant::now();
    packet_verdict::exercise_iptables(bomb.as_bytes());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
