//! The result of a run: a table for people, or one line of JSON.

use std::fmt::Write as _;

use super::histogram::Histogram;
use super::measure::Faults;
use super::options::{Kind, Options};

/// All that a run found out.
#[derive(Debug)]
pub(crate) struct Report<'o> {
    pub(crate) options: &'o Options,
    /// How long was measured.
    pub(crate) seconds: f64,
    pub(crate) latencies: Histogram,
    pub(crate) faults: Faults,
    /// Connections that came about and that were there at the end, and the seconds to open them; not of churn.
    pub(crate) opened: Option<(usize, usize, f64)>,
    pub(crate) server_cpu_ns_per_message: Option<f64>,
    pub(crate) client_cpu_ns_per_message: Option<f64>,
    /// The share of the time in which the client had nothing to do.
    pub(crate) client_waited: f64,
    pub(crate) server_bytes_per_connection: Option<f64>,
    /// With compression: payload bytes of a message on the wire, sent and received, in the mean.
    pub(crate) wire_bytes: Option<(f64, f64)>,
}

impl Report<'_> {
    /// Messages that were measured; of `idle` none, its latencies are those of opening.
    fn messages(&self) -> u64 {
        if self.options.kind == Kind::Idle { 0 } else { self.latencies.total() }
    }

    fn rate(&self) -> f64 {
        self.messages() as f64 / self.seconds.max(1e-9)
    }

    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        let options = self.options;
        let has_in_flight = matches!(options.kind, Kind::Echo | Kind::Chat);
        let mut line = format!(
            "{{\"load\":\"{}\",\"url\":{},\"connections\":{},\"size\":{},\"in_flight\":{},\"seconds\":{:.3}",
            options.kind.word(),
            quote(&options.target.url),
            options.connections,
            options.size,
            or_null(has_in_flight.then_some(options.in_flight)),
            self.seconds
        );
        let bytes_per_second = self.rate() * options.size as f64;
        let _ = write!(
            line,
            ",\"messages\":{},\"rate\":{:.1},\"bytes_per_second\":{bytes_per_second:.0},\"latency_us\":{{",
            self.messages(),
            self.rate()
        );
        for (name, share) in SHARES {
            let _ =
                write!(line, "\"{}\":{},", name.replace('.', "_"), or_null(self.in_us(self.latencies.quantile(share))));
        }
        let faults = &self.faults;
        let _ = write!(
            line,
            "\"max\":{}}},\"errors\":{},\"first_error\":{},\"lost\":{},\"unsent\":{},\"duplicated\":{},\"reordered\":{}",
            or_null(self.in_us(self.latencies.max())),
            faults.errors,
            faults.first_error.as_deref().map_or("null".to_owned(), quote),
            faults.lost,
            faults.unsent,
            faults.duplicated,
            faults.reordered
        );
        let _ = write!(
            line,
            ",\"text\":{},\"fragments\":{}",
            or_null(options.content.text_word().map(quote)),
            or_null((options.kind == Kind::Echo).then_some(options.fragments)),
        );
        let rounded = |value: Option<f64>| or_null(value.map(|value| format!("{value:.1}")));
        let _ = write!(
            line,
            ",\"server_cpu_ns_per_message\":{},\"server_bytes_per_connection\":{},\"client_cpu_ns_per_message\":{}\
             ,\"client_idle\":{:.3},\"offered_rate\":{},\"rooms\":{},\"senders\":{},\"opened\":{},\"stayed\":{},\"open_seconds\":{}\
             ,\"compressed\":{},\"sent_bytes_per_message\":{},\"received_bytes_per_message\":{}}}",
            rounded(self.server_cpu_ns_per_message),
            rounded(self.server_bytes_per_connection),
            rounded(self.client_cpu_ns_per_message),
            self.client_waited,
            or_null(options.rate),
            or_null(options.rooms),
            or_null((options.kind == Kind::Chat).then_some(options.senders)),
            or_null(self.opened.map(|(opened, _, _)| opened)),
            or_null(self.opened.map(|(_, stayed, _)| stayed)),
            or_null(self.opened.map(|(_, _, seconds)| format!("{seconds:.3}"))),
            options.is_compressed,
            rounded(self.wire_bytes.map(|(sent, _)| sent)),
            rounded(self.wire_bytes.map(|(_, received)| received))
        );
        line
    }

    /// A few lines.
    pub(crate) fn table(&self) -> String {
        let Options { kind, target, size, in_flight, connections, .. } = self.options;
        let mut rows = vec![(kind.word(), target.url.clone())];
        match self.opened {
            Some((opened, stayed, seconds)) => rows.push((
                "connections",
                format!("{opened} of {connections} opened in {seconds:.3} s, {stayed} at the end"),
            )),
            None => rows.push(("connections", format!("{connections} at a time"))),
        }
        let [messages, rate] = [self.messages(), self.rate().round() as u64].map(with_commas);
        let (seconds, bytes) = (self.seconds, self.bytes());
        match kind {
            Kind::Echo => rows.push((
                "messages",
                format!("{messages} of {bytes} in {seconds:.3} s, {in_flight} in flight per connection"),
            )),
            Kind::Chat => rows.push((
                "deliveries",
                format!(
                    "{messages} of {bytes} in {seconds:.3} s, {} senders{}, {in_flight} in flight each",
                    self.options.senders,
                    self.options.rooms.map_or(String::new(), |rooms| format!(" in each of {rooms} rooms"))
                ),
            )),
            Kind::Churn => rows.push(("cycles", format!("{messages} in {seconds:.3} s, an echo of {bytes} each"))),
            Kind::Idle => rows.push(("held", format!("{seconds:.3} s"))),
        }
        if *kind != Kind::Idle {
            let offered = self.options.rate.map_or(String::new(), |rate| {
                let broadcasts = if *kind == Kind::Chat { " broadcasts" } else { "" };
                format!(", with {}{broadcasts}/s due", with_commas(rate as u64))
            });
            let megabytes = self.rate() * *size as f64 / 1e6;
            rows.push(("rate", format!("{rate}/s{offered}, {megabytes:.1} MB/s")));
        }
        if self.latencies.total() > 0 {
            let name = if *kind == Kind::Idle { "to open" } else { "latency" };
            let parts = SHARES.map(|(name, share)| format!("{name} {}", time(self.latencies.quantile(share))));
            rows.push((name, format!("{}   max {}", parts.join("   "), time(self.latencies.max()))));
        }
        if let Some((sent, received)) = self.wire_bytes {
            rows.push(("on the wire", format!("{sent:.0} bytes of payload per message sent, {received:.0} received")));
        }
        if let Some(ns) = self.server_cpu_ns_per_message {
            rows.push(("server", format!("{} of CPU time per message", time(ns as u64))));
        }
        if let Some(ns) = self.client_cpu_ns_per_message {
            let idle = self.client_waited * 100.0;
            rows.push((
                "this client",
                format!("{} of CPU time per message, idle {idle:.0} % of the time", time(ns as u64)),
            ));
        }
        if let Some(bytes) = self.server_bytes_per_connection {
            rows.push(("memory", format!("{bytes:.0} bytes of the server per connection")));
        }
        let Faults { errors, first_error, lost, unsent, duplicated, reordered } = &self.faults;
        rows.push(("lost", format!("{lost}, unsent {unsent}, duplicated {duplicated}, reordered {reordered}")));
        let first =
            first_error.as_deref().map_or(String::new(), |error| format!("; the first: {}", error.escape_debug()));
        rows.push(("errors", format!("{errors}{first}")));
        rows.iter().fold(String::new(), |table, (name, text)| format!("{table}{name:<13}{text}\n"))
    }

    /// What a message is.
    fn bytes(&self) -> String {
        let Options { size, content, fragments, .. } = self.options;
        let text = content.text_word().map_or(String::new(), |word| format!(" of {word} text"));
        let frames = if *fragments > 1 { format!(" in {fragments} frames") } else { String::new() };
        format!("{size} bytes{text}{frames}")
    }

    fn in_us(&self, ns: u64) -> Option<String> {
        (self.latencies.total() > 0).then(|| format!("{:.1}", ns as f64 / 1e3))
    }
}

/// A JSON string (RFC 8259 §7).
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            char if char < ' ' => drop(write!(quoted, "\\u{:04x}", char as u32)),
            char => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

fn or_null(value: Option<impl ToString>) -> String {
    value.map_or("null".to_owned(), |value| value.to_string())
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    String::from_utf8_lossy(&groups.join(&b',')).into_owned()
}

/// A time with three digits or so.
fn time(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..100_000 => format!("{:.1} us", ns as f64 / 1e3),
        100_000..10_000_000 => format!("{} us", ns / 1_000),
        10_000_000..10_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{:.1} s", ns as f64 / 1e9),
    }
}

const SHARES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];
