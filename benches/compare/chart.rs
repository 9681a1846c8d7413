//! The rows of a comparison as a chart: a line for each engine, both axes logarithmic.

use std::fmt::Write as _;

use crate::report::{self, Row};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 250.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Names keep so far apart.
const LINE: f64 = 15.0;

/// Colours that are told apart by people who are colour-blind, too (Okabe and Ito).
const COLOURS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555"];

/// Where an engine's line runs.
struct Line<'a> {
    engine: &'a str,
    points: Vec<(f64, f64)>,
}

/// Returns the chart.
pub(crate) fn svg(rows: &[Row]) -> String {
    let scale = Scale::of(rows);
    let mut lines: Vec<Line<'_>> = report::engines(rows)
        .into_iter()
        .map(|engine| {
            let own = rows.iter().filter(|row| row.engine == engine);
            Line { engine, points: own.map(|row| scale.point(row)).collect() }
        })
        // One point is no line.
        .filter(|line| line.points.len() > 1)
        .collect();
    lines.sort_by(|a, b| last(a).1.total_cmp(&last(b).1));

    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Time of one decision by the number of policies</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">Time of one decision by the number of \
         policies</text>\n"
    );
    scale.write_axes(&mut text);
    let mut label = TOP - LINE;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<String> =
            line.points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let is_own = line.engine.contains("stagedoor");
        let width = if is_own { 2.5 } else { 1.5 };
        let (x, y) = last(line);
        label = y.max(label + LINE);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>\n\
             <path d=\"M{x:.1} {y:.1}L{:.1} {label:.1}\" stroke=\"{colour}\" stroke-width=\"0.5\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            points.join(" "),
            WIDTH - RIGHT + 14.0,
            WIDTH - RIGHT + 18.0,
            label + 4.0,
            line.engine
        );
    }
    text.push_str("</svg>\n");
    text
}

fn last(line: &Line<'_>) -> (f64, f64) {
    line.points.last().copied().unwrap_or_default()
}

/// The powers of ten at the ends of both axes.
struct Scale {
    n: (f64, f64),
    ns: (f64, f64),
}

impl Scale {
    fn of(rows: &[Row]) -> Self {
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            let (low, high) =
                values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
            let low = low.max(1.0).log10().floor();
            (low, high.max(1.0).log10().ceil().max(low + 1.0))
        };
        Self {
            n: ends(&mut rows.iter().map(|row| row.n as f64)),
            ns: ends(&mut rows.iter().map(|row| row.ns_per_decision)),
        }
    }

    fn point(&self, row: &Row) -> (f64, f64) {
        (self.x((row.n as f64).log10()), self.y(row.ns_per_decision.log10()))
    }

    fn x(&self, power: f64) -> f64 {
        let (low, high) = self.n;
        LEFT + (power - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, power: f64) -> f64 {
        let (low, high) = self.ns;
        HEIGHT - BOTTOM - (power - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
    }

    fn write_axes(&self, text: &mut String) {
        for power in self.ns.0 as i32..=self.ns.1 as i32 {
            let y = self.y(f64::from(power));
            let _ = writeln!(
                text,
                "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"#ddd\"/>\n\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                report::time(10_f64.powi(power))
            );
        }
        for power in self.n.0 as i32..=self.n.1 as i32 {
            let x = self.x(f64::from(power));
            let _ = writeln!(
                text,
                "<path d=\"M{x:.1} {TOP}V{}\" stroke=\"#eee\"/>\n\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 20.0,
                10_f64.powi(power)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_with_two_sizes_has_a_line() {
        let row = |engine: &str, n, ns| Row::new(engine, "rust", n, ns, 0);
        let rows =
            [row("a", 10, 100.0), row("a", 1_000, 1e5), row("b", 10, 1e3), row("b", 1_000, 9.0)];
        let drawn = svg(&rows);
        assert_eq!(drawn.matches("<polyline").count(), 2);
        assert!(drawn.contains(">a</text>") && drawn.contains("100 µs</text>"), "{drawn}");
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        assert_eq!(svg(&[row("a", 10, 100.0)]).matches("<polyline").count(), 0);
    }
}
