//! The figure: a panel for each cost, over the number of peers. What does not depend on their number is a level line.

use super::figures::Figures;

/// A panel: its title, its unit and its lines.
struct Panel {
    title: &'static str,
    lines: &'static [Line],
}

/// A line: its name and its figure.
type Line = (&'static str, fn(&Figures) -> f64);

const PANELS: [Panel; 6] = [
    Panel {
        title: "bytes of an idle peer",
        lines: &[("asked for", |f| f.idle_bytes), ("resident", |f| f.resident_bytes)],
    },
    Panel {
        title: "µs of a turn with 10 active peers",
        lines: &[("always the same", |f| f.times.turn_same_ns / 1e3), ("any", |f| f.times.turn_any_ns / 1e3)],
    },
    Panel { title: "ns of a heartbeat", lines: &[("ping and pong", |f| f.times.ping_ns)] },
    Panel { title: "ns of a receiver of a broadcast", lines: &[("chat of 64 B", |f| f.times.broadcast_ns)] },
    Panel { title: "µs of a connect", lines: &[("handshake and join", |f| f.times.connect_ns / 1e3)] },
    Panel { title: "µs of a disconnect", lines: &[("close and leave", |f| f.times.disconnect_ns / 1e3)] },
];

const COLUMNS: usize = 3;
const PANEL: (f64, f64) = (330.0, 210.0);
/// Of the drawing in its panel: left, top, width, height.
const AREA: (f64, f64, f64, f64) = (56.0, 42.0, 224.0, 120.0);

/// The figure as SVG.
pub(crate) fn draw(all: &[Figures]) -> String {
    let (width, height) = (PANEL.0 * COLUMNS as f64, PANEL.1 * PANELS.len().div_ceil(COLUMNS) as f64);
    let panels: String = PANELS.iter().enumerate().map(|(index, panel)| draw_panel(index, panel, all)).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"The cost of a peer, from 1,000 to 1,000,000 peers\">\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n{panels}</svg>\n"
    )
}

fn draw_panel(index: usize, panel: &Panel, all: &[Figures]) -> String {
    let (left, top, width, height) = AREA;
    let most = panel.lines.iter().flat_map(|(_, figure)| all.iter().map(figure)).fold(0.0, f64::max);
    let step = round_step(most / 3.0);
    let end = (most / step).ceil().max(1.0) * step;
    let x = |peers: usize| left + width * ((peers as f64).log10() - 3.0) / 3.0;
    let y = |figure: f64| top + height * (1.0 - figure / end);

    let mut svg = format!(
        "<g transform=\"translate({} {})\">\n<text class=\"title\" x=\"{left}\" y=\"24\">{}</text>\n",
        (index % COLUMNS) as f64 * PANEL.0,
        (index / COLUMNS) as f64 * PANEL.1,
        panel.title
    );
    for number in 0..=(end / step).round() as usize {
        let value = number as f64 * step;
        let (at, label) = (y(value), if step < 1.0 { format!("{value:.1}") } else { format!("{value:.0}") });
        svg += &format!("<path class=\"grid\" d=\"M{left} {at:.1}h{width}\"/>\n");
        svg += &format!("<text class=\"end\" x=\"{}\" y=\"{:.1}\">{label}</text>\n", left - 8.0, at + 4.0);
    }
    for (peers, label) in [(1_000, "1k"), (10_000, "10k"), (100_000, "100k"), (1_000_000, "1M peers")] {
        svg += &format!("<text class=\"middle\" x=\"{:.1}\" y=\"{}\">{label}</text>\n", x(peers), top + height + 18.0);
    }
    for (line, (name, figure)) in panel.lines.iter().enumerate() {
        let points: Vec<String> = all.iter().map(|f| format!("{:.1} {:.1}", x(f.peers), y(figure(f)))).collect();
        svg += &format!("<path class=\"line{line}\" d=\"M{}\"/>\n", points.join("L"));
        for f in all {
            let (cx, cy) = (x(f.peers), y(figure(f)));
            let tip = format!("{name}, {} peers: {:.1}", f.peers, figure(f));
            svg += &format!(
                "<circle class=\"dot{line}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\"><title>{tip}</title></circle>\n"
            );
        }
        let (at, base) = (left + 130.0 * line as f64, top + height + 38.0);
        svg += &format!("<circle class=\"dot{line}\" cx=\"{}\" cy=\"{}\" r=\"4\"/>\n", at + 4.0, base - 4.0);
        svg += &format!("<text x=\"{}\" y=\"{base}\">{name}</text>\n", at + 13.0);
    }
    svg + "</g>\n"
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-3).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|&step| step >= least).unwrap_or(power)
}

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#444}.title{font-weight:600;fill:#111}\
.end{text-anchor:end}.middle{text-anchor:middle}.page{fill:#fff}.grid{stroke:#ddd}path{fill:none}\
.line0,.line1{stroke-width:2}.line0{stroke:#0b62c4}.dot0{fill:#0b62c4}.line1{stroke:#c2570c}.dot1{fill:#c2570c}\
@media(prefers-color-scheme:dark){text{fill:#bbb}.title{fill:#eee}.page{fill:#15181c}.grid{stroke:#33383e}\
.line0{stroke:#6cb2ff}.dot0{fill:#6cb2ff}.line1{stroke:#ff9d57}.dot1{fill:#ff9d57}}";
