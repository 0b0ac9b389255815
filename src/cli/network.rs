//! The flags that say who may connect.

use std::net::SocketAddr;

use frameloop::server::Config;

use super::values::parse_count;

/// Sets what a flag with a value names. `None` if it is none of these.
pub(crate) fn set(config: &mut Config, flag: &str, value: &str) -> Option<Result<(), String>> {
    Some(match flag {
        "origin" => value
            .split(',')
            .try_for_each(|origin| config.origins.allow(origin.trim()).map_err(|error| error.to_string())),
        "max-per-ip" => parse_count(value, 1).map(|count| config.connections_per_address_max = Some(count)),
        "accept-rate" => parse_count(value, 1).map(|count| config.accept_rate = Some(count as u32)),
        "trusted-proxy" => value.split(',').try_for_each(|range| {
            let network = range.trim().parse().map_err(|error| format!("{error}"))?;
            config.trusted_proxies.push(network);
            Ok(())
        }),
        _ => return None,
    })
}

/// All of them.
pub(crate) const FLAGS: [&str; 4] = ["origin", "max-per-ip", "accept-rate", "trusted-proxy"];

/// What goes with what.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    if config.proxy_protocol && config.trusted_proxies.is_empty() {
        return Err(
            "--proxy-protocol: --trusted-proxy must say who may speak for others, such as 10.0.0.0/8".to_owned()
        );
    }
    Ok(())
}

/// One line that says what is open to everybody on which addresses: those that others than this machine can reach. `None` if
/// nothing is. All pages can reach any address of a server, since a browser on its machine may show them.
pub(crate) fn openness(addresses: &[SocketAddr], open: &[&str]) -> Option<String> {
    let reachable = addresses.iter().filter(|address| !address.ip().to_canonical().is_loopback());
    let reachable: Vec<String> = reachable.map(SocketAddr::to_string).collect();
    if reachable.is_empty() {
        let is_any_page = open.contains(&ANY_PAGE);
        return is_any_page.then(|| "open to every page that a browser on this machine shows: --origin '*'".to_owned());
    }
    (!open.is_empty()).then(|| format!("open to everybody on {}: {}", reachable.join(", "), open.join(", ")))
}

/// What [`openness`] says of `--auth none`.
pub(crate) const ANY_CLIENT: &str = "any client, without a token (--auth none)";

/// What [`openness`] says of echo, which knows no users.
pub(crate) const ANY_CLIENT_OF_ECHO: &str = "any client, for echo asks nobody who it is";

/// What [`openness`] says of `--origin '*'`.
pub(crate) const ANY_PAGE: &str = "any page (--origin '*')";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_sets_what_it_names() {
        let mut config = Config::default();
        for (flag, value) in FLAGS.into_iter().zip(["https://a.example, null", "2", "3", "10.0.0.0/8, ::1"]) {
            assert_eq!(set(&mut config, flag, value), Some(Ok(())), "{flag}");
        }
        assert_eq!(set(&mut config, "trusted-proxy", "192.0.2.1"), Some(Ok(())), "once more");
        assert_eq!((config.connections_per_address_max, config.accept_rate), (Some(2), Some(3)));
        let networks: Vec<String> = config.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "::1/128", "192.0.2.1/32"]);
        assert!(!config.origins.is_any());
        assert_eq!(set(&mut config, "origin", "*"), Some(Ok(())), "beside the other");
        assert!(config.origins.is_any());
        assert_eq!(set(&mut config, "listen", "1"), None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (flag, value, names) in [
            ("origin", "wss://a", "'wss://a' is no origin"),
            ("max-per-ip", "0", "'0' is no number from 1"),
            ("accept-rate", "x", "'x' is no number from 1"),
            ("trusted-proxy", "10.0.0.0/8,10.0.0.1/8", "'10.0.0.1/8' has bits set behind the first 8: give 10.0.0.0/8"),
            ("trusted-proxy", "", "'' is no range of addresses"),
        ] {
            let error = set(&mut Config::default(), flag, value).unwrap().unwrap_err();
            assert!(error.starts_with(names), "{error}");
        }
        let mut config = Config { proxy_protocol: true, ..Config::default() };
        assert!(check(&config).unwrap_err().contains("--trusted-proxy"));
        assert_eq!(set(&mut config, "trusted-proxy", "::/0"), Some(Ok(())));
        assert_eq!(check(&config), Ok(()));
    }

    #[test]
    fn what_is_open_is_named_with_the_addresses_that_others_can_reach() {
        let addresses = ["127.0.0.1:1", "0.0.0.0:2", "[::1]:3", "[2001:db8::1]:4"].map(|text| text.parse().unwrap());
        let line = openness(&addresses, &[ANY_PAGE, "more"]);
        let expected = "open to everybody on 0.0.0.0:2, [2001:db8::1]:4: any page (--origin '*'), more";
        assert_eq!(line.as_deref(), Some(expected));
        assert_eq!(openness(&addresses, &[]), None);
        let loopback = [addresses[0], addresses[2]];
        assert_eq!(openness(&loopback, &[ANY_CLIENT]), None, "only this machine");
        let line = openness(&loopback, &[ANY_CLIENT, ANY_PAGE]);
        assert_eq!(line.as_deref(), Some("open to every page that a browser on this machine shows: --origin '*'"));
    }

    #[test]
    fn the_help_names_each_flag() {
        assert!(FLAGS.iter().all(|flag| crate::cli::HELP.contains(&format!("\n  --{flag} "))));
    }
}
