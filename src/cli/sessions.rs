//! The flags of `serve` for sessions and rooms.

use frameloop::chat::hub::options::Options;

use super::values::{parse_count, parse_size, parse_time};

/// Sets what a flag names. `None` if it is none of these.
pub(crate) fn set(options: &mut Options, flag: &str, value: &str) -> Option<Result<(), String>> {
    let Options { resume_window, presence_grace, hello_timeout, batch_interval, .. } = options;
    Some(match flag {
        "resume-window" => parse_time(value).map(|time| *resume_window = time),
        "presence-grace" => parse_time(value).map(|time| *presence_grace = time),
        "hello-timeout" => parse_time(value).map(|time| *hello_timeout = time),
        "batch-interval" => parse_time(value).map(|time| *batch_interval = Some(time)),
        "rooms-per-session" => parse_count(value, 1).map(|count| options.rooms_per_session = count),
        "max-rooms" => parse_count(value, 1).map(|count| options.rooms_max = count),
        "state-bytes" => parse_size(value).map(|bytes| options.state_bytes = bytes),
        "history" => parse_count(value, 0).map(|count| options.history = count),
        "history-bytes" => parse_size(value).map(|bytes| options.history_bytes = bytes),
        "rate" => parse_count(value, 1).map(|count| options.rate = Some(count as u32)),
        "max-per-user" => parse_count(value, 1).map(|count| options.connections_per_user_max = Some(count)),
        "memory-limit" => parse_size(value).map(|bytes| options.memory_limit = bytes),
        _ => return None,
    })
}

/// All of them.
pub(crate) const FLAGS: [&str; 12] = [
    "resume-window",
    "presence-grace",
    "hello-timeout",
    "rooms-per-session",
    "max-rooms",
    "state-bytes",
    "history",
    "history-bytes",
    "memory-limit",
    "batch-interval",
    "rate",
    "max-per-user",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_flag_sets_what_it_names() {
        let mut options = Options::default();
        for (flag, value) in
            FLAGS.into_iter().zip(["1s", "2s", "3s", "4", "5", "6KiB", "7", "8KiB", "9MiB", "10ms", "11", "12"])
        {
            assert_eq!(set(&mut options, flag, value), Some(Ok(())), "{flag}");
        }
        let Options { resume_window, presence_grace, hello_timeout, batch_interval, .. } = options;
        let times = [1000, 2000, 3000].map(Duration::from_millis);
        assert_eq!([resume_window, presence_grace, hello_timeout], times);
        assert_eq!(batch_interval, Some(Duration::from_millis(10)));
        assert_eq!((options.rooms_per_session, options.rooms_max, options.history), (4, 5, 7));
        assert_eq!((options.state_bytes, options.history_bytes, options.memory_limit), (6144, 8192, 9 << 20));
        assert_eq!((options.rate, options.connections_per_user_max), (Some(11), Some(12)));
        assert_eq!(set(&mut options, "listen", "1"), None);
        assert_eq!((set(&mut options, "history", "0"), options.history), (Some(Ok(())), 0), "no history");
        assert!(set(&mut options, "history", "-1").unwrap().unwrap_err().contains("'-1' is no number from 0"));
        assert!(set(&mut options, "max-rooms", "0").unwrap().unwrap_err().contains("'0' is no number from 1"));
    }

    #[test]
    fn the_help_names_each_flag() {
        assert!(FLAGS.iter().all(|flag| crate::cli::HELP.contains(&format!("\n  --{flag} "))));
    }
}
