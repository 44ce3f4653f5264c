//! The figures as an SVG image: bars for the main row, and our own figure at growing sizes.

use std::fmt::{self, Write};

use crate::{Report, rows::Row, subject::Contender};

const WIDTH: f64 = 720.0;
const MARGIN: f64 = 24.0;
/// The position of the bars, and the length of the longest.
const BARS: f64 = 224.0;
const LONGEST: f64 = 312.0;
const LINE: f64 = 26.0;

const STYLE: &str = "\
    .card { fill: #ffffff; stroke: #d0d7de }\
    text { font: 13px -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }\
    .title { font-weight: 600; font-size: 15px }\
    .quiet { fill: #59636e; font-size: 12px }\
    .ours { fill: #1a7f64 }\
    .other { fill: #8c959f }\
    .floor { fill: #c8ced5 }\
    .name { text-anchor: end }\
    .strong { font-weight: 600 }\
    @media (prefers-color-scheme: dark) {\
        .card { fill: #151b23; stroke: #3d444d }\
        text { fill: #f0f6fc }\
        .quiet { fill: #9198a1 }\
        .ours { fill: #3fb68b }\
        .other { fill: #656c76 }\
        .floor { fill: #3d444d }\
    }";

/// The rows that differ only in the amount of other work.
const GROWTH: [(&str, &[&str]); 2] = [
    (
        "One message at a time, with more in flight",
        &[
            "1 in flight",
            "100 in flight",
            "10,000 in flight",
            "30,000 in flight",
        ],
    ),
    (
        "A hundred at once, with more devices, and more in the queue",
        &[
            "1 device",
            "100 devices",
            "1,000 devices",
            "100 devices, 100,000 queued",
        ],
    ),
];

/// One bar.
struct Bar {
    name: String,
    class: &'static str,
    nanos: f64,
    note: String,
}

impl Report {
    /// Returns the image, with its own background so that it is legible on light and dark pages.
    pub(crate) fn svg(&self) -> String {
        let mut body = String::new();
        let height = self.draw(&mut body).expect("writing to a string succeeds");
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" role=\"img\">\n<title>Nanoseconds a message</title>\n<style>{STYLE}</style>\n\
             <rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n{body}</svg>\n",
            WIDTH - 1.0,
            height - 1.0,
        )
    }

    fn draw(&self, out: &mut String) -> Result<f64, fmt::Error> {
        let first = &self.rows[0];
        let mut y = MARGIN + 12.0;
        text(out, MARGIN, y, "title", "What one message costs")?;
        let work = "64 bytes at QoS 1, from accepted to acknowledged, a window of 100, no I/O; nanoseconds on one core";
        text(out, MARGIN, y + 20.0, "quiet", work)?;
        let beside = beside(first);
        let longest = beside.iter().map(|bar| bar.nanos).fold(0.0, f64::max);
        let scale = LONGEST / longest;
        y = bars(out, y + 36.0, &beside, scale)?;

        for (title, names) in GROWTH {
            y += 30.0;
            text(out, MARGIN, y, "title", title)?;
            let rows = self.rows.iter().filter(|row| names.contains(&row.name));
            let grown: Vec<_> = rows.map(alone).collect();
            y = bars(out, y + 14.0, &grown, scale)?;
        }
        text(out, MARGIN, y + 22.0, "quiet", &self.processor)?;
        Ok(y + 40.0)
    }
}

/// Returns our own figure of a row.
fn alone(row: &Row) -> Bar {
    Bar {
        name: row.name.to_owned(),
        class: "ours",
        nanos: row.ours().nanos,
        note: String::new(),
    }
}

/// Returns a row's subjects, the fastest first.
fn beside(row: &Row) -> Vec<Bar> {
    let able = Contender::ALL.into_iter();
    let mut bars: Vec<_> = able
        .filter_map(|contender| {
            let cost = row.cost(contender)?;
            let class = match contender {
                Contender::Floor => "floor",
                Contender::Ours => "ours",
                Contender::Rumqttc | Contender::ProtocolCore => "other",
            };
            let name = match contender {
                Contender::Floor => "bytes copied, no checks".to_owned(),
                _ => contender.name().to_owned(),
            };
            let note = match cost.allocations.round() {
                0.0 => "no allocation".to_owned(),
                count => format!("{count} allocations"),
            };
            Some(Bar {
                name,
                class,
                nanos: cost.nanos,
                note,
            })
        })
        .collect();
    bars.sort_by(|a, b| a.nanos.total_cmp(&b.nanos));
    bars
}

/// Draws bars from `y` downwards, with `scale` per nanosecond, and returns their lower end.
fn bars(out: &mut String, mut y: f64, bars: &[Bar], scale: f64) -> Result<f64, fmt::Error> {
    for bar in bars {
        let Bar {
            name,
            class,
            nanos,
            note,
        } = bar;
        let length = scale * nanos;
        let base = y + 15.0;
        text(out, BARS - 10.0, base, "name", name)?;
        writeln!(
            out,
            "<rect class=\"{class}\" x=\"{BARS}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"18\" rx=\"3\"/>",
            y + 1.0
        )?;
        let after = BARS + length + 8.0;
        text(out, after, base, "strong", &format!("{nanos:.0} ns"))?;
        text(out, after + 58.0, base, "quiet", note)?;
        y += LINE;
    }
    Ok(y)
}

fn text(out: &mut String, x: f64, y: f64, class: &str, text: &str) -> fmt::Result {
    writeln!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
        text.replace('&', "&amp;").replace('<', "&lt;")
    )
}
