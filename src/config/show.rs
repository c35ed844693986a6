//! The answer to ShowConfigurations: which keys it lists, and how their values look.
//!
//! As in Milvus, every key stands there in each form in which a source has it: squeezed,
//! and dotted in lower case for a file's, verbatim for the others. Values are the
//! effective ones. Unlike Milvus, secrets are masked, and so is any environment variable
//! that is no setting but whose name happens to begin like one.

use std::collections::BTreeSet;

use super::{elsewhere, key::squeeze, origin::Origin, secret, store::ConfigStore, table};
use crate::ids::Role;

/// What global keys begin with. No dot is needed, so the squeezed forms match too.
const GLOBAL: [&str; 12] = [
    "metastore",
    "localstorage",
    "etcd",
    "tikv",
    "minio",
    "pulsar",
    "kafka",
    "rocksmq",
    "log",
    "grpc",
    "common",
    "quotaandlimits",
];

impl ConfigStore {
    /// The keys that contain `pattern` and are global or the role's, with their effective
    /// values, in the order of their names.
    pub fn show(&self, pattern: &str, role: Role) -> Vec<(String, String)> {
        let pattern = pattern.to_lowercase();
        let own = format!("{}.", role.name());
        let wanted = |form: &str| {
            form.contains(&pattern)
                && (form.starts_with(&own) || GLOBAL.iter().any(|prefix| form.starts_with(prefix)))
        };
        self.forms()
            .into_iter()
            .filter(|form| wanted(form))
            .filter_map(|form| self.shown(&form).map(|value| (form, value)))
            .collect()
    }

    fn forms(&self) -> BTreeSet<String> {
        let changing = self.changing.read();
        let fixed = self.fixed.load();
        let layers = std::iter::once(changing.dynamic.layer()).chain(fixed.iter());
        let mut forms: BTreeSet<String> = changing.overlay.keys().cloned().collect();
        for layer in layers {
            forms.extend(layer.forms.iter().chain(layer.entries.keys()).cloned());
        }
        forms
    }

    fn shown(&self, form: &str) -> Option<String> {
        let squeezed = squeeze(form);
        let entry = self.find(&squeezed)?;
        let stray = matches!(entry.origin, Origin::Variable(_)) && !self.is_setting(&squeezed);
        Some(if stray && !entry.value.is_empty() {
            secret::MASK.into()
        } else if secret::is_secret(&entry.spelled) {
            secret::shown(&entry.spelled, &entry.value)
        } else {
            secret::shown(form, &entry.value)
        })
    }

    /// Whether Milvus knows the key, or a file has it.
    fn is_setting(&self, squeezed: &str) -> bool {
        table::by_name(squeezed).is_some()
            || elsewhere::knows(squeezed)
            || self.fixed.load().iter().skip(1).any(|layer| layer.entries.contains_key(squeezed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::store;

    #[track_caller]
    fn check(store: &ConfigStore, pattern: &str, expected: &[(&str, &str)]) {
        let shown = store.show(pattern, Role::QueryCoord);
        let shown: Vec<_> = shown.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn global_keys_come_in_both_forms_and_role_keys_in_one() {
        let store = store(
            "common:\n  session:\n    ttl: 30\nqueryCoord:\n  port: 19531\nrootCoord:\n  port: 1\n",
            &[],
        );
        check(&store, "Session.TTL", &[("common.session.ttl", "30")]);
        check(&store, "ttl", &[("common.session.ttl", "30"), ("commonsessionttl", "30")]);
        check(&store, "port", &[("querycoord.port", "19531")]);
    }

    #[test]
    fn values_are_the_effective_ones() {
        let store =
            store("queryCoord:\n  port: 19531\n", &[("QUERYCOORD_PORT", "43531"), ("ETCD_ROOT_PATH", "r")]);
        check(&store, "", &[("etcdrootpath", "r"), ("querycoord.port", "43531")]);
        store.load_dynamic([("queryCoord/port".into(), "5".into())]);
        store.set("common.MetricsPort", "9092");
        check(&store, "port", &[("commonmetricsport", "9092"), ("querycoord.port", "5")]);
        store.hide("queryCoord.port");
        check(&store, "port", &[("commonmetricsport", "9092")]);
    }

    #[test]
    fn secrets_are_masked_in_every_form_and_from_every_source() {
        let file = "minio:\n  accessKeyID: hunter2\n  secretAccessKey: hunter2\nkafka:\n  saslPassword: hunter2\n  \
                    producer:\n    sasl.jaas.config: hunter2\npulsar:\n  address: pulsar://me:hunter2@p:1\n";
        let environment =
            [("ETCD_AUTH_PASSWORD", "hunter2"), ("LOGSHIPPER_KEY", "hunter2"), ("common.x", "hunter2")];
        let store = store(file, &environment);
        store.load_dynamic([
            ("etcd/auth/password".into(), "hunter2".into()),
            ("logpassword".into(), "hunter2".into()),
        ]);
        let shown = store.show("", Role::RootCoord);
        assert!(shown.iter().any(|(key, _)| key == "etcdauthpassword"));
        assert!(shown.iter().any(|(key, value)| key == "logshipperkey" && value == secret::MASK));
        assert!(shown.iter().any(|(key, value)| key == "pulsar.address" && value == "pulsar://******@p:1"));
        assert!(!format!("{shown:?}").contains("hunter2"), "{shown:?}");
    }
}
