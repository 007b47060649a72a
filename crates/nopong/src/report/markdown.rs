//! For an issue, a chat or a wiki: CommonMark with tables as GitHub has them.

use super::{Style, words};
use crate::diagnosis::{Diagnosis, Finding};
use crate::evidence::CaseFile;

/// Foreign or own text within a line: nothing in it is markup.
fn md(text: &str) -> String {
    let mut out = String::new();
    for c in crate::text::shown_str(text, 2000).chars() {
        match c {
            // HTML passes through Markdown.
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // `@` and `#` would notify people and link issues.
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            '@' => out.push_str("&#64;"),
            c => out.push(c),
        }
    }
    out
}

/// A code block whose fence is longer than any in its text.
fn code(text: &str) -> String {
    let text = crate::text::shown_str(text, 2000);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("  {fence}sh\n  {text}\n  {fence}\n")
}

/// Writes the document.
pub fn write(style: Style, file: &CaseFile, diagnosis: &Diagnosis) -> String {
    let mark = if diagnosis.pong { "✓" } else { "✗" };
    let mut out = format!("## {mark} {}\n\n", md(&words::headline(file, diagnosis)));
    if let Some(standing) = words::standing(diagnosis) {
        out.push_str(&format!("**{}**\n\n", md(&standing)));
    }
    if file.ask.source != "argument" {
        out.push_str(&format!("Target taken from: {}\n\n", md(&file.ask.source)));
    }
    if let Some(problem) = &file.ask.problem {
        if let Some((text, column)) = &problem.marked {
            out.push_str(&format!(
                "```text\n{}\n{}^\n```\n\n",
                text.replace("```", "'''"),
                " ".repeat(*column)
            ));
        }
        if let Some(meant) = &problem.meant {
            out.push_str(&format!("Probably meant: {}\n\n", md(meant)));
        }
    }
    out.push_str("| stage | | |\n|---|---|---|\n");
    for rung in &diagnosis.ladder {
        out.push_str(&format!(
            "| {} | {} {} | {} |\n",
            rung.label,
            words::mark(rung.state),
            words::state(rung.state),
            md(&rung.detail)
        ));
    }
    out.push('\n');
    for (heading, findings) in
        [("Causes", &diagnosis.causes), ("Behind it", &diagnosis.behind), ("Warnings", &diagnosis.warnings)]
    {
        if !findings.is_empty() {
            out.push_str(&format!("### {heading}\n\n"));
        }
        for finding in findings {
            out.push_str(&section(finding));
        }
    }
    list(&mut out, "Unknown", diagnosis.blind_spots.iter().map(|b| format!("{}: {}", b.what, b.why)));
    list(&mut out, "Ruled out", diagnosis.ruled_out.iter().map(|(id, r)| format!("{id}: {}", r.says)));
    if !diagnosis.next.is_empty() {
        out.push_str("### Next\n\n");
        for next in &diagnosis.next {
            out.push_str(&format!("- {}\n\n{}\n", md(&next.says), code(&next.command)));
        }
    }
    if style.verbose {
        out.push_str("### Evidence\n\n| fact | from | seen | by hand |\n|---|---|---|---|\n");
        for item in file.items().into_iter().filter(|i| i.state != "not-run") {
            let from = if item.from == crate::evidence::Side::Client { "client" } else { "server" };
            let by_hand = md(&item.by_hand.unwrap_or_default());
            out.push_str(&format!("| {} | {from} | {} | {by_hand} |\n", item.id, md(&item.says)));
        }
    }
    out
}

fn list(out: &mut String, heading: &str, items: impl Iterator<Item = String>) {
    for (i, item) in items.enumerate() {
        if i == 0 {
            out.push_str(&format!("### {heading}\n\n"));
        }
        out.push_str(&format!("- {}\n", md(&item)));
    }
    if !out.ends_with("\n\n") {
        out.push('\n');
    }
}

fn section(finding: &Finding) -> String {
    let mut out = format!(
        "**{}** (`{}`, {}, {})\n\n",
        md(&finding.title),
        words::id(finding),
        finding.band.word(),
        words::percent(finding)
    );
    for reason in words::because(finding) {
        out.push_str(&format!("- {}\n", md(&reason.says)));
    }
    out.push('\n');
    if let Some(fix) = &finding.fix {
        out.push_str(&format!("Fix: {}\n\n", md(&fix.title)));
        for step in &fix.steps {
            out.push_str(&format!("- {}\n", md(&step.says)));
            if let Some(command) = &step.command {
                out.push_str(&format!("\n{}\n", code(command)));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Style, fixtures};
    use super::{code, md, write};
    use crate::diagnosis::diagnose;

    #[test]
    fn nothing_foreign_is_markup() {
        assert_eq!(md("**a** <b> |`x`@y #1\n"), "\\*\\*a\\*\\* &lt;b&gt; \\|\\`x\\`&#64;y \\#1\\\\n");
        assert!(code("a ```` b").contains("`````sh"));
        let file = fixtures::hostile();
        let text = write(Style::default(), &file, &diagnose(&file));
        assert!(!text.contains("<script") && !text.contains("\n# head"), "{text}");
    }

    #[test]
    fn has_the_cause_the_proof_and_the_fix() {
        let file = fixtures::bound_to_loopback();
        let text = write(Style::default(), &file, &diagnose(&file));
        for part in [
            "## ✗ redis://10.0.0.5:6379 gives no PONG",
            "(`bind-loopback-only`, confirmed",
            "/etc/redis/redis.conf:87",
            "```sh",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
