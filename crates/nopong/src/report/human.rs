//! For a terminal: the cause in the first line, one screen in all, everything with `--verbose`.

use super::style::{Ink, Style};
use super::words;
use crate::diagnosis::{Band, Diagnosis, Finding, Fix, RungState, Stage};
use crate::evidence::{CaseFile, Side};

/// Width of the label column, as wide as `Ruled out`.
const LABEL: usize = 11;
/// Lines a section may take without `--verbose`, so that all of them fit one screen of 24 lines in most cases.
const LINES: usize = 4;

/// Rivals of a confirmed cause that are shown without `--verbose`.
const NOTEWORTHY: f64 = 0.1;

/// Collects the lines.
struct Page {
    style: Style,
    out: String,
}

impl Page {
    fn push(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn blank(&mut self) {
        if !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    fn room(&self) -> usize {
        self.style.width.saturating_sub(2 + LABEL).max(20)
    }

    /// Wrapped text, the label before its first line.
    fn labelled(&mut self, label: &str, text: &str) {
        for (i, line) in self.style.wrap(text, self.room()).into_iter().enumerate() {
            let label = if i == 0 { label } else { "" };
            let label = self.style.ink(Ink::Label, &format!("{label:<LABEL$}"));
            self.push(&format!("  {label}{line}"));
        }
    }

    /// A list under one label, cut without `--verbose`.
    fn list(&mut self, label: &str, items: &[String]) {
        let most = if self.style.verbose { items.len() } else { LINES };
        for (i, item) in items.iter().take(most).enumerate() {
            self.labelled(if i == 0 { label } else { "" }, item);
        }
        if let Some(more) = words::more(items.len(), most) {
            self.labelled("", &more);
        }
    }

    /// A sentence and its command: on one line when both fit, else the command on a line of its own, unbroken.
    fn step(&mut self, label: &str, says: &str, command: Option<&str>) {
        let Some(command) = command else { return self.labelled(label, says) };
        let (says, command) = (self.style.line(says), self.style.line(command));
        let shown = self.style.ink(Ink::Command, &command);
        if says.chars().count() + 2 + command.chars().count() < self.room() {
            let label = self.style.ink(Ink::Label, &format!("{label:<LABEL$}"));
            self.push(&format!("  {label}{says}: {shown}"));
        } else {
            self.labelled(label, &format!("{says}:"));
            self.push(&format!("  {:LABEL$}  {shown}", ""));
        }
    }

    fn fix(&mut self, fix: &Fix) {
        let advice = if fix.risk == crate::diagnosis::Risk::Advice { " (advice)" } else { "" };
        self.labelled("Fix", &format!("{}{advice}", fix.title));
        let most = if self.style.verbose { fix.steps.len() } else { LINES + 1 };
        for step in fix.steps.iter().take(most) {
            self.step("", &format!("- {}", step.says), step.command.as_deref());
        }
        if let Some(more) = words::more(fix.steps.len(), most) {
            self.labelled("", &more);
        }
    }
}

/// Writes the report.
pub fn write(style: Style, file: &CaseFile, diagnosis: &Diagnosis) -> String {
    let mut page = Page { style, out: String::new() };
    first_lines(&mut page, file, diagnosis);
    if diagnosis.pong {
        warnings(&mut page, &diagnosis.warnings);
    } else {
        fault(&mut page, diagnosis);
    }
    if style.verbose {
        evidence(&mut page, file, diagnosis);
    }
    page.out
}

fn first_lines(page: &mut Page, file: &CaseFile, diagnosis: &Diagnosis) {
    let style = page.style;
    let (mark, ink) = if diagnosis.pong { ("✓", Ink::Good) } else { ("✗", Ink::Bad) };
    let mark = style.line(mark);
    let headline = style.wrap(&words::headline(file, diagnosis), style.width.saturating_sub(3).max(20));
    for (i, line) in headline.iter().enumerate() {
        let line = style.ink(if diagnosis.pong { Ink::Good } else { Ink::Label }, line);
        let lead = if i == 0 { style.ink(ink, &mark) } else { " ".repeat(mark.chars().count()) };
        page.push(&format!("{lead} {line}"));
    }
    let taken = (file.ask.source != "argument").then(|| format!("target taken from: {}", file.ask.source));
    for remark in [words::standing(diagnosis), taken].into_iter().flatten() {
        for line in style.wrap(&remark, style.width.saturating_sub(2)) {
            page.push(&format!("  {}", style.ink(Ink::Dim, &line)));
        }
    }
    if let Some((text, column)) = file.ask.problem.as_ref().and_then(|p| p.marked.clone()) {
        page.blank();
        let shown = style.line(&text);
        // The ASCII form may be longer than the text the column counts in.
        let before: String = text.chars().take(column).collect();
        page.push(&format!("  {shown}"));
        page.push(&format!(
            "  {}{}",
            " ".repeat(style.line(&before).chars().count()),
            style.ink(Ink::Bad, "^")
        ));
    }
    if let Some(meant) = file.ask.problem.as_ref().and_then(|p| p.meant.as_ref()) {
        page.labelled("Meant", meant);
    }
    if !diagnosis.pong && diagnosis.stage != Stage::Target {
        ladder(page, diagnosis);
    }
}

fn ladder(page: &mut Page, diagnosis: &Diagnosis) {
    page.blank();
    let style = page.style;
    // What is seen of each rung, and the same in colour.
    let rungs: Vec<(usize, String)> = diagnosis
        .ladder
        .iter()
        .map(|rung| {
            let (mark, detail) = (style.line(words::mark(rung.state)), style.line(&rung.detail));
            let detail = if detail.is_empty() { detail } else { format!(" {detail}") };
            let ink = match rung.state {
                RungState::Good => Ink::Good,
                RungState::Failed => Ink::Bad,
                RungState::NotReached => Ink::Dim,
            };
            let wide = rung.label.len() + 1 + mark.chars().count() + detail.chars().count();
            (wide, format!("{} {}{detail}", rung.label, style.ink(ink, &mark)))
        })
        .collect();
    let whole = |gap: usize| 2 + rungs.iter().map(|(wide, _)| wide + gap).sum::<usize>() - gap;
    let gap = if rungs.is_empty() || whole(3) <= style.width { 3 } else { 2 };
    let (mut line, mut used) = ("  ".to_owned(), 2);
    for (wide, text) in rungs {
        if used > 2 && used + wide > style.width {
            page.push(&line);
            (line, used) = ("  ".to_owned(), 2);
        }
        line.push_str(&text);
        line.push_str(&" ".repeat(gap));
        used += wide + gap;
    }
    page.push(&line);
}

fn titles(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{} ({})", f.title, words::id(f))).collect()
}

fn fault(page: &mut Page, diagnosis: &Diagnosis) {
    page.blank();
    let decided = words::decided(diagnosis);
    if let Some(first) = decided {
        let because: Vec<String> = words::because(first).map(|r| r.says.clone()).collect();
        page.list("Because", &because);
    }
    // Beside a confirmed cause the rest is noise for most readers.
    let settled = decided.is_some_and(|f| f.band == Band::Confirmed);
    let rivals: Vec<String> = diagnosis
        .causes
        .iter()
        .skip(usize::from(decided.is_some()))
        .filter(|f| page.style.verbose || !settled || f.probability >= NOTEWORTHY)
        .map(|f| format!("{:>4}  {} ({})", words::percent(f), f.title, words::id(f)))
        .collect();
    if let Some(fix) = decided.and_then(|f| f.fix.as_ref()) {
        page.fix(fix);
    }
    page.list(if decided.is_some() { "Or else" } else { "Candidates" }, &rivals);
    page.list("Behind", &titles(&diagnosis.behind));
    page.list("Beside", &titles(&diagnosis.warnings));
    ruled_out(page, diagnosis);
    let unknown: Vec<String> =
        diagnosis.blind_spots.iter().map(|b| format!("{}: {}", b.what, b.why)).collect();
    page.list("Unknown", &unknown);
    for (i, next) in diagnosis.next.iter().enumerate() {
        page.step(if i == 0 { "Next" } else { "" }, &next.says, Some(&next.command));
    }
}

fn ruled_out(page: &mut Page, diagnosis: &Diagnosis) {
    if page.style.verbose {
        let items: Vec<String> =
            diagnosis.ruled_out.iter().map(|(id, r)| format!("{id}: {}", r.says)).collect();
        return page.list("Ruled out", &items);
    }
    // One line of ids, as many as fit.
    let mut line = String::new();
    let mut shown = 0;
    for (id, _) in &diagnosis.ruled_out {
        if line.len() + id.len() + 16 > page.room() {
            break;
        }
        line.push_str(if line.is_empty() { "" } else { ", " });
        line.push_str(id);
        shown += 1;
    }
    if shown < diagnosis.ruled_out.len() {
        line.push_str(&format!(" and {} more", diagnosis.ruled_out.len() - shown));
    }
    if !line.is_empty() {
        page.labelled("Ruled out", &line);
    }
}

fn warnings(page: &mut Page, warnings: &[Finding]) {
    for warning in warnings {
        page.blank();
        let mark = page.style.ink(Ink::Warn, "!");
        let text = format!("{} ({}, {})", warning.title, words::id(warning), warning.band.word());
        for (i, line) in page.style.wrap(&text, page.style.width.saturating_sub(4)).iter().enumerate() {
            page.push(&format!("{} {line}", if i == 0 { mark.as_str() } else { " " }));
        }
        let because: Vec<String> = words::because(warning).map(|r| r.says.clone()).collect();
        page.list("Because", &because);
        if let Some(fix) = &warning.fix {
            if page.style.verbose { page.fix(fix) } else { page.labelled("Fix", &fix.title) }
        }
    }
}

fn evidence(page: &mut Page, file: &CaseFile, diagnosis: &Diagnosis) {
    page.blank();
    page.push(&page.style.ink(Ink::Label, "Evidence"));
    for side in [Side::Client, Side::Server] {
        let (name, items) = match side {
            Side::Client => ("seen by the client", file.items()),
            Side::Server => ("seen on the Redis host", file.items()),
        };
        let at = items.iter().find(|i| i.from == side).and_then(|i| i.at.as_deref());
        let name = at.map_or_else(|| name.to_owned(), |at| format!("{name}, {}", page.style.line(at)));
        let items: Vec<_> = items.into_iter().filter(|i| i.from == side && i.state != "not-run").collect();
        if items.is_empty() {
            continue;
        }
        page.push(&format!("  {name}"));
        for item in items {
            let took = item.took_ms.map(|ms| format!(" ({ms:.1} ms)")).unwrap_or_default();
            let text = format!("{}{took}", item.says);
            let lines = page.style.wrap(&text, page.style.width.saturating_sub(20).max(20));
            for (i, line) in lines.iter().enumerate() {
                let id = if i == 0 { item.id } else { "" };
                page.push(&format!("    {} {line}", page.style.ink(Ink::Label, &format!("{id:<15}"))));
            }
            if let Some(by_hand) = item.by_hand.filter(|b| !b.is_empty()) {
                let by_hand = page.style.line(&by_hand);
                page.push(&format!("{:22}$ {}", "", page.style.ink(Ink::Command, &by_hand)));
            }
        }
    }
    page.push(&format!(
        "  looked for {:.1} ms, first obstacle at stage {}",
        file.took_ms,
        diagnosis.stage.word()
    ));
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::diagnosis::diagnose;

    fn page(file: &CaseFile, style: Style) -> String {
        write(style, file, &diagnose(file))
    }

    #[test]
    fn the_cause_is_in_the_first_line_and_one_screen_holds_all() {
        let file = fixtures::bound_to_loopback();
        let text = page(&file, Style::default());
        let first: String =
            text.split("\n  bind-loopback-only").next().unwrap_or_default().replace("\n  ", " ");
        assert_eq!(
            first,
            "✗ redis://10.0.0.5:6379 gives no PONG: Redis listens on 127.0.0.1:6379 only, and you dial 10.0.0.5:6379"
        );
        assert!(text.contains("bind-loopback-only, confirmed"), "{text}");
        assert!(text.contains("port ✗ refused, 0.3 ms"), "{text}");
        assert!(text.lines().count() <= 24, "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn colour_carries_no_meaning() {
        let file = fixtures::bound_to_loopback();
        let plain = page(&file, Style::default());
        let coloured = page(&file, Style { color: true, ..Style::default() });
        let mut stripped = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once("\x1b[") {
            stripped.push_str(before);
            rest = after.split_once('m').map_or("", |(_, r)| r);
        }
        stripped.push_str(rest);
        let lines = |t: &str| t.lines().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(&stripped), lines(&plain));
    }

    #[test]
    fn ascii_when_the_locale_has_no_more() {
        let text = page(&fixtures::bound_to_loopback(), Style { unicode: false, ..Style::default() });
        assert!(text.is_ascii(), "{text}");
        assert!(text.contains("port x refused"), "{text}");
    }

    #[test]
    fn a_pong_is_one_line() {
        assert_eq!(
            page(&fixtures::pong(), Style::default()),
            "✓ redis://10.0.0.5:6379 answers PONG, 0.2 ms\n"
        );
    }

    #[test]
    fn a_malformed_target_is_marked() {
        let file = fixtures::malformed("redis://:p#x@h");
        let text = page(&file, Style::default());
        assert!(text.contains("  redis://:***@h\n"), "{text}");
        assert!(text.contains("\n            ^\n"), "{text}");
        assert!(text.contains("Meant"), "{text}");
    }

    #[test]
    fn nothing_a_terminal_obeys() {
        let file = fixtures::hostile();
        for style in [Style::default(), Style { verbose: true, ..Style::default() }] {
            let text = page(&file, style);
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}
