//! One self-contained page with a drawing of the path. No script, no external resource, everything escaped.

use super::junit::xml;
use super::words;
use crate::cause::Category;
use crate::diagnosis::{Diagnosis, Finding, RungState, Stage};
use crate::evidence::{CaseFile, Side};

/// Colours have 4.5:1 contrast on both grounds (WCAG 2.2, 1.4.3); the marks and words carry the meaning.
const CSS: &str = "\
:root{color-scheme:light dark;--good:#18794e;--bad:#c62a2f;--none:#6f6e77;--line:#8884}\
@media(prefers-color-scheme:dark){:root{--good:#4cc38a;--bad:#ff8b8d;--none:#a09fa6}}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;overflow-wrap:anywhere}pre{overflow:auto;padding:.6rem;border:1px solid var(--line);border-radius:6px}\
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:left;\
vertical-align:top;overflow-wrap:anywhere}svg{width:100%;height:auto;font:13px system-ui,sans-serif}\
.good{color:var(--good)}.bad{color:var(--bad)}.none{color:var(--none)}.dim{color:var(--none)}";

/// One station of the drawing.
struct Station {
    name: &'static str,
    state: RungState,
    detail: String,
}

/// The contract's path. The firewall is no stage of the client's ladder: it is drawn as failed when a firewall cause is
/// the one the evidence speaks for, and as passed when a connection came through.
fn stations(diagnosis: &Diagnosis) -> Vec<Station> {
    let rung = |stage| diagnosis.ladder.iter().find(|r| r.stage == stage);
    let of = |name, stage| {
        let rung = rung(stage);
        let state = rung.map_or(RungState::NotReached, |r| r.state);
        Station { name, state, detail: rung.map(|r| r.detail.clone()).unwrap_or_default() }
    };
    let blamed = words::decided(diagnosis).is_some_and(|f| f.cause.meta().category == Category::Firewall);
    let mut port = of("port", Stage::Connect);
    let mut firewall = Station { name: "firewall", state: RungState::NotReached, detail: String::new() };
    if blamed && port.state == RungState::Failed {
        firewall =
            Station { name: "firewall", state: RungState::Failed, detail: std::mem::take(&mut port.detail) };
        port.state = RungState::NotReached;
    } else if port.state == RungState::Good {
        firewall.state = RungState::Good;
    }
    let application = if diagnosis.stage == Stage::Target { RungState::Failed } else { RungState::Good };
    vec![
        Station { name: "application", state: application, detail: String::new() },
        of("name", Stage::Resolve),
        of("route", Stage::Route),
        firewall,
        port,
        of("TLS", Stage::Tls),
        of("protocol", Stage::Protocol),
        of("AUTH", Stage::Auth),
        of("PONG", Stage::Ready),
    ]
}

fn drawing(diagnosis: &Diagnosis) -> String {
    const STEP: usize = 110;
    let stations = stations(diagnosis);
    let told: Vec<String> =
        stations.iter().map(|s| format!("{} {}", s.name, words::state(s.state))).collect();
    let mut out = format!(
        "<svg viewBox=\"0 0 {} 110\" role=\"img\" aria-label=\"{}\">\n",
        STEP * stations.len(),
        xml(&told.join(", "))
    );
    for (i, station) in stations.iter().enumerate() {
        let x = STEP * i + STEP / 2;
        let class = match station.state {
            RungState::Good => "good",
            RungState::Failed => "bad",
            RungState::NotReached => "none",
        };
        if i > 0 {
            let dash = if station.state == RungState::NotReached { " stroke-dasharray=\"4 4\"" } else { "" };
            out.push_str(&format!(
                "<path d=\"M{} 40H{}\" class=\"{class}\" stroke=\"currentColor\" stroke-width=\"2\"{dash}/>",
                x - STEP + 20,
                x - 20
            ));
        }
        let width = if station.state == RungState::Failed { 4 } else { 2 };
        // The detail is cut to what fits below its station; the table has it whole.
        let detail = crate::text::shown_str(&station.detail, 15);
        out.push_str(&format!(
            "<g class=\"{class}\" text-anchor=\"middle\" fill=\"currentColor\">\
             <circle cx=\"{x}\" cy=\"40\" r=\"18\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"{width}\"/>\
             <text x=\"{x}\" y=\"45\">{}</text><text x=\"{x}\" y=\"76\" font-weight=\"bold\">{}</text>\
             <text x=\"{x}\" y=\"94\">{}</text></g>\n",
            words::mark(station.state),
            station.name,
            xml(&detail)
        ));
    }
    out.push_str("</svg>\n");
    out
}

/// Writes the page.
pub fn write(file: &CaseFile, diagnosis: &Diagnosis) -> String {
    let headline = xml(&words::headline(file, diagnosis));
    let (class, mark) = if diagnosis.pong { ("good", "✓") } else { ("bad", "✗") };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{headline}</title>\
         <style>{CSS}</style></head><body>\n<h1><span class=\"{class}\">{mark}</span> {headline}</h1>\n"
    );
    if let Some(standing) = words::standing(diagnosis) {
        out.push_str(&format!("<p><strong>{}</strong></p>\n", xml(&standing)));
    }
    out.push_str(&format!("<p class=\"dim\">target taken from: {}</p>\n", xml(&file.ask.source)));
    if let Some(problem) = &file.ask.problem {
        if let Some((text, column)) = &problem.marked {
            out.push_str(&format!("<pre>{}\n{}^</pre>\n", xml(text), " ".repeat(*column)));
        }
        if let Some(meant) = &problem.meant {
            out.push_str(&format!("<p>Probably meant: <code>{}</code></p>\n", xml(meant)));
        }
    }
    out.push_str(&drawing(diagnosis));
    for (heading, findings) in
        [("Causes", &diagnosis.causes), ("Behind it", &diagnosis.behind), ("Warnings", &diagnosis.warnings)]
    {
        if !findings.is_empty() {
            out.push_str(&format!("<h2>{heading}</h2>\n"));
        }
        findings.iter().for_each(|f| out.push_str(&section(f)));
    }
    list(&mut out, "Unknown", diagnosis.blind_spots.iter().map(|b| format!("{}: {}", b.what, b.why)));
    list(&mut out, "Ruled out", diagnosis.ruled_out.iter().map(|(id, r)| format!("{id}: {}", r.says)));
    if !diagnosis.next.is_empty() {
        out.push_str("<h2>Next</h2>\n");
    }
    for next in &diagnosis.next {
        out.push_str(&format!("<p>{}</p><pre>{}</pre>\n", xml(&next.says), xml(&next.command)));
    }
    out.push_str("<h2>Evidence</h2>\n<table><tr><th>fact<th>from<th>seen<th>by hand</tr>\n");
    for item in file.items().into_iter().filter(|i| i.state != "not-run") {
        let from = if item.from == Side::Client { "client" } else { "server" };
        out.push_str(&format!(
            "<tr><td>{}<td>{from}<td>{}<td><code>{}</code></tr>\n",
            item.id,
            xml(&item.says),
            xml(&item.by_hand.unwrap_or_default())
        ));
    }
    out.push_str(&format!(
        "</table>\n<p class=\"dim\">nopong {}, {:.1} ms</p>\n</body></html>\n",
        xml(&file.nopong),
        file.took_ms
    ));
    out
}

fn list(out: &mut String, heading: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.map(|i| format!("<li>{}</li>", xml(&i))).collect();
    if !items.is_empty() {
        out.push_str(&format!("<h2>{heading}</h2>\n<ul>{}</ul>\n", items.join("\n")));
    }
}

fn section(finding: &Finding) -> String {
    let mut out = format!(
        "<h3>{}</h3>\n<p class=\"dim\">{}, {}, {}</p>\n",
        xml(&finding.title),
        words::id(finding),
        finding.band.word(),
        words::percent(finding)
    );
    let reasons: Vec<String> =
        words::because(finding).map(|r| format!("<li>{}</li>", xml(&r.says))).collect();
    if !reasons.is_empty() {
        out.push_str(&format!("<ul>{}</ul>\n", reasons.join("\n")));
    }
    if let Some(fix) = &finding.fix {
        out.push_str(&format!("<p>Fix: {}</p>\n<ol>", xml(&fix.title)));
        for step in &fix.steps {
            let command =
                step.command.as_deref().map(|c| format!("<pre>{}</pre>", xml(c))).unwrap_or_default();
            out.push_str(&format!("<li>{}{command}</li>\n", xml(&step.says)));
        }
        out.push_str("</ol>\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::write;
    use crate::diagnosis::diagnose;

    #[test]
    fn self_contained_and_nothing_foreign_is_markup() {
        for file in [
            fixtures::hostile(),
            fixtures::bound_to_loopback(),
            fixtures::pong(),
            fixtures::malformed("<b>:x"),
        ] {
            let text = write(&file, &diagnose(&file));
            for forbidden in ["<script", "<b>", " src=", " href=", "url(", "@import", "\x1b"] {
                assert!(!text.contains(forbidden), "{forbidden}: {text}");
            }
        }
    }

    #[test]
    fn the_failed_station_is_marked() {
        let file = fixtures::bound_to_loopback();
        let text = write(&file, &diagnose(&file));
        assert!(text.contains("port failed"), "{text}");
        assert!(text.contains("firewall not reached"), "{text}");
        assert_eq!(text.matches("stroke-width=\"4\"").count(), 1);
    }
}
