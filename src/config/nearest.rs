//! Which known key a misspelled one was probably meant to be.

use super::{elsewhere, key::squeeze, table};

/// The nearest key that is near enough to be worth a word.
pub(crate) fn nearest(key: &str) -> Option<String> {
    // The chart's values say `rootCoordinator` where the file says `rootCoord`.
    let squeezed = squeeze(key).replace("coordinator", "coord");
    let read = table::items().flat_map(|item| std::iter::once(item.key).chain(item.aliases.iter().copied()));
    let limit = (squeezed.len() / 6).clamp(1, 3);
    read.chain(elsewhere::keys())
        .map(|known| (strsim::damerau_levenshtein(&squeezed, &squeeze(known)), known))
        .filter(|(distance, _)| *distance <= limit)
        // The first of equals: what this program reads goes before what others do.
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known.into())
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_find_their_key() {
        for (slip, key) in [
            ("rootCoord.prot", "rootCoord.port"),
            ("ETCD_ENDPOINT", "etcd.endpoints"),
            ("etcd.rootpaht", "etcd.rootPath"),
            ("rootCoord.enableActiveStandy", "rootCoord.enableActiveStandby"),
            ("rootCoordinator.activeStandby.enabled", "rootCoord.activeStandby.enabled"),
            ("common.activeStandby.leaseSecond", "common.activeStandby.leaseSeconds"),
            ("proxy.maxTaskNumm", "proxy.maxTaskNum"),
        ] {
            assert_eq!(nearest(slip).as_deref(), Some(key), "{slip}");
        }
    }

    #[test]
    fn what_resembles_nothing_finds_nothing() {
        for other in ["", "x", "my.own.section", "LOGNAME", "COMMON_HOME"] {
            assert_eq!(nearest(other), None, "{other}");
        }
    }
}
