//! How a key is spelled, and when two spellings are the same key.
//!
//! Milvus squeezes every name before it looks it up: lower case, without `/`, `_`
//! and `.`. That is how `ROOT_COORD_ENABLE_ACTIVE_STANDBY`, `rootCoord.enableActiveStandby`
//! and the etcd key `rootCoord/enableActiveStandby` meet. Hyphens stay.

/// The form in which names are compared.
pub(crate) fn squeeze(name: &str) -> String {
    name.to_lowercase().chars().filter(|c| !matches!(c, '/' | '_' | '.')).collect()
}

/// The squeezed form of an environment variable's name, which may begin with `milvus.`.
pub(crate) fn squeeze_variable(name: &str) -> String {
    let lower = name.to_lowercase();
    squeeze(lower.strip_prefix("milvus.").unwrap_or(&lower))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{squeeze, squeeze_variable};

    #[test]
    fn all_spellings_of_a_key_are_one() {
        for spelled in [
            "rootCoord.enableActiveStandby",
            "ROOTCOORD_ENABLEACTIVESTANDBY",
            "ROOT_COORD_ENABLE_ACTIVE_STANDBY",
            "rootCoord/enableActiveStandby",
            "rootcoord.enableactivestandby",
        ] {
            assert_eq!(squeeze(spelled), "rootcoordenableactivestandby");
            assert_eq!(squeeze_variable(spelled), "rootcoordenableactivestandby");
        }
    }

    #[test]
    fn hyphens_stay() {
        assert_eq!(squeeze("a-b.C_d"), "a-bcd");
    }

    #[test]
    fn only_a_dotted_milvus_prefix_is_dropped_and_only_from_variables() {
        assert_eq!(squeeze_variable("Milvus.ETCD_ENDPOINTS"), "etcdendpoints");
        assert_eq!(squeeze_variable("MILVUS_ETCD_ENDPOINTS"), "milvusetcdendpoints");
        assert_eq!(squeeze("milvus.etcd"), "milvusetcd");
    }

    proptest! {
        #[test]
        fn squeezing_twice_changes_nothing(name in any::<String>()) {
            let once = squeeze(&name);
            prop_assert_eq!(squeeze(&once), once);
        }

        #[test]
        fn separators_and_case_never_matter(parts in prop::collection::vec("[a-zA-Z0-9-]{1,8}", 1..5)) {
            let dotted = parts.join(".");
            for separator in ["_", "/", "", "__", "._/"] {
                prop_assert_eq!(squeeze(&parts.join(separator)), squeeze(&dotted));
            }
            prop_assert_eq!(squeeze(&dotted.to_uppercase()), squeeze(&dotted));
        }
    }
}
