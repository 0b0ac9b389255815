//! What flags take: addresses, times, sizes and numbers, each from one text.

use std::time::Duration;

use log::LevelFilter;

pub(crate) fn parse_listen(value: &str) -> Result<String, String> {
    let url = value.strip_prefix("ws://").or_else(|| value.strip_prefix("wss://"));
    let address = url.map_or(value, |url| url.strip_suffix('/').unwrap_or(url));
    let parts =
        address.rsplit_once(':').filter(|(host, port)| !host.is_empty() && !host.contains('/') && is_number(port));
    match parts.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(value.to_owned()),
        _ => Err(format!("'{value}' is no HOST:PORT, with a port from 0 to 65535, such as localhost:8765 or [::]:80")),
    }
}

pub(crate) fn parse_time(value: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 60 * 60_000)];
    match parse_quantity(value, &units) {
        Some(millis @ 1..=TIME_MILLIS_MAX) => Ok(Duration::from_millis(millis)),
        Some(_) => Err(format!("'{value}' is out of range, give 1ms to 24h")),
        None => Err(format!("'{value}' is no time; give a number with ms, s, m or h, such as 30s")),
    }
}

pub(crate) fn parse_size(value: &str) -> Result<usize, String> {
    let units = [("KiB", 1024), ("MiB", MIB), ("GiB", 1024 * MIB), ("", 1)];
    match parse_quantity(value, &units) {
        Some(bytes @ 1..=SIZE_BYTES_MAX) => Ok(bytes as usize),
        Some(_) => Err(format!("'{value}' is out of range, give 1 to 64GiB")),
        None => {
            Err(format!("'{value}' is no size; give a number of bytes, or one with KiB, MiB or GiB, such as 64KiB"))
        }
    }
}

/// A number and one of the units; `None` if it is anything else.
fn parse_quantity(value: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = value.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(end);
    let &(_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    if number.is_empty() { None } else { Some(number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(factor)) }
}

pub(crate) fn parse_misses(value: &str) -> Result<u8, String> {
    let misses = value.parse().ok().filter(|&misses: &u8| misses > 0 && is_number(value));
    misses.ok_or_else(|| format!("'{value}' is no number from 1 to 255"))
}

pub(crate) fn parse_count(value: &str, least: u32) -> Result<usize, String> {
    let count = value.parse().ok().filter(|&count: &u32| count >= least && is_number(value));
    count.map(|count| count as usize).ok_or_else(|| format!("'{value}' is no number from {least} to {}", u32::MAX))
}

/// Digits only: no sign.
pub(crate) fn is_number(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_digit())
}

pub(crate) fn parse_level(value: &str) -> Result<LevelFilter, String> {
    match value {
        "off" => Ok(LevelFilter::Off),
        "error" => Ok(LevelFilter::Error),
        "warn" => Ok(LevelFilter::Warn),
        "info" => Ok(LevelFilter::Info),
        "debug" => Ok(LevelFilter::Debug),
        _ => Err(format!("'{value}' is no level; give off, error, warn, info or debug")),
    }
}

const MIB: u64 = 1024 * 1024;

const SIZE_BYTES_MAX: u64 = 64 * 1024 * MIB;
const TIME_MILLIS_MAX: u64 = 24 * 60 * 60_000;
