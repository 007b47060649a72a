//! For CI: a test case for each stage of the path.

use super::words;
use crate::diagnosis::{Diagnosis, Rung, RungState, Stage};
use crate::evidence::CaseFile;

/// Text for an XML element or attribute. XML 1.0 forbids most control characters even as references: they are shown
/// escaped, and so are the two non-characters of the basic plane.
pub(super) fn xml(text: &str) -> String {
    let mut out = String::new();
    for c in crate::text::shown_str(text, 2000).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// Writes the document.
pub fn write(file: &CaseFile, diagnosis: &Diagnosis) -> String {
    let count = |state| diagnosis.ladder.iter().filter(|r| r.state == state).count();
    let (failures, skipped) = (count(RungState::Failed), count(RungState::NotReached));
    let attributes = format!(
        "name=\"nopong\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{:.3}\"",
        diagnosis.ladder.len(),
        file.took_ms / 1e3
    );
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {attributes}>\n  <testsuite {attributes}>\n"
    );
    for rung in &diagnosis.ladder {
        out.push_str(&case(file, diagnosis, rung));
    }
    if !diagnosis.warnings.is_empty() {
        let lines: Vec<String> =
            diagnosis.warnings.iter().map(|w| xml(&format!("{} ({})", w.title, words::id(w)))).collect();
        out.push_str(&format!("    <system-out>warnings:\n{}</system-out>\n", lines.join("\n")));
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn case(file: &CaseFile, diagnosis: &Diagnosis, rung: &Rung) -> String {
    let took = match rung.stage {
        Stage::Resolve => file.client.name.get().map(|n| n.took_ms),
        Stage::Connect => file.client.connect.get().and_then(|d| d.first()).map(|d| d.took_ms),
        Stage::Ready => file.client.protocol.get().and_then(|t| t.first()).and_then(|t| t.ping_ms),
        _ => None,
    };
    let open = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.6}\"",
        xml(&file.ask.url),
        rung.label,
        took.unwrap_or(0.0) / 1e3
    );
    match rung.state {
        RungState::Good => format!("{open}/>\n"),
        RungState::NotReached => format!("{open}>\n      <skipped/>\n    </testcase>\n"),
        RungState::Failed => {
            let kind = diagnosis.causes.first().map_or("undecided", words::id);
            let mut body: Vec<String> = Vec::new();
            for cause in &diagnosis.causes {
                body.push(format!(
                    "{} {} ({}): {}",
                    words::percent(cause),
                    words::id(cause),
                    cause.band.word(),
                    cause.title
                ));
                body.extend(words::because(cause).map(|r| format!("  because: {}", r.says)));
                for step in cause.fix.iter().flat_map(|f| &f.steps) {
                    let command = step.command.as_deref().map(|c| format!(": {c}")).unwrap_or_default();
                    body.push(format!("  fix: {}{command}", step.says));
                }
            }
            let body: Vec<String> = body.iter().map(|l| xml(l)).collect();
            format!(
                "{open}>\n      <failure type=\"{kind}\" message=\"{}\">{}</failure>\n    </testcase>\n",
                xml(&words::headline(file, diagnosis)),
                body.join("\n")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::{write, xml};
    use crate::diagnosis::diagnose;

    #[test]
    fn the_failed_stage_fails() {
        let file = fixtures::bound_to_loopback();
        let text = write(&file, &diagnose(&file));
        assert!(text.contains("failures=\"1\""), "{text}");
        assert!(
            text.contains("name=\"port\" time=\"0.000310\">\n      <failure type=\"bind-loopback-only\""),
            "{text}"
        );
    }

    #[test]
    fn nothing_foreign_is_markup() {
        let file = fixtures::hostile();
        let text = write(&file, &diagnose(&file));
        assert!(!text.contains("<script") && !text.contains("]]>") && !text.contains('\x1b'), "{text}");
        assert_eq!(xml("a<b>&\"'\u{ffff}\0"), "a&lt;b&gt;&amp;&quot;&#39;\\u{ffff}\\x00");
    }
}
