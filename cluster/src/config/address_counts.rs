//! Numbers by address, the form of `max.connections.per.ip.overrides`: `10.0.0.1:5,[::1]:7`.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Reads the pairs. Host names are not looked up, and so are not addresses.
pub(super) fn parse(text: &str) -> Result<BTreeMap<IpAddr, usize>, String> {
    let pair = |entry: &str| {
        let (address, count) = entry.rsplit_once(':')?;
        let address = address.trim().trim_start_matches('[').trim_end_matches(']');
        Some((address.parse().ok()?, count.trim().parse().ok()?))
    };
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(|entry| pair(entry).ok_or_else(|| format!("{entry:?} is not ADDRESS:COUNT"))).collect()
}
