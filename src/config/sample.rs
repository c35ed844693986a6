//! The sample file, `config/milvus.yaml`, written from the table.
//!
//! A key that would hide a more general one (the role's own message limits hide those of
//! all roles) stands there behind a `#`; everything else has its default.

use super::table::{self, Item};

const HEAD: &str = "\
# Every setting that milvus-coord reads, with its default.
#
# A `milvus.yaml` of Milvus 2.3 works as it is; keys of other components are passed over. Each key can
# also be set by an environment variable: the key in capitals, `_` for `.` (ETCD_ENDPOINTS,
# ROOTCOORD_PORT, ROOTCOORD_ACTIVESTANDBY_STRICT), which goes before the file, and by an etcd key
# below <etcd.rootPath>/config/, which goes before both. `milvus-coord config check` shows what
# counts and why.
#
# Lines with a `#` and no blank after it are settings that would hide a more general one, which they
# name; take the `#` away, of the section too, to use one.
";
const WIDTH: usize = 100;

#[derive(Default)]
struct Section {
    name: &'static str,
    item: Option<&'static Item>,
    below: Vec<Section>,
}

impl Section {
    fn insert(&mut self, path: &'static str, item: &'static Item) {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let at = self.below.iter().position(|section| section.name == name).unwrap_or_else(|| {
            self.below.push(Self { name, ..Self::default() });
            self.below.len() - 1
        });
        match rest {
            Some(rest) => self.below[at].insert(rest, item),
            None => self.below[at].item = Some(item),
        }
    }

    /// Whether nothing in it counts unless its `#` is taken away.
    fn is_off(&self) -> bool {
        match self.item {
            Some(item) => !item.fallbacks.is_empty(),
            None => self.below.iter().all(Self::is_off),
        }
    }

    /// `off_at`: where the `#` stands, if a section above is off.
    fn write(&self, depth: usize, off_at: Option<usize>, out: &mut String) {
        let indent = 2 * depth;
        let off_at = off_at.or_else(|| self.is_off().then_some(indent));
        let lead = match off_at {
            Some(column) => format!("{}#{}", " ".repeat(column), " ".repeat(indent - column)),
            None => " ".repeat(indent),
        };
        let Some(item) = self.item else {
            out.push_str(&format!("{lead}{}:\n", self.name));
            for section in &self.below {
                section.write(depth + 1, off_at, out);
            }
            return;
        };
        let value = if item.default.is_empty() { String::new() } else { format!(" {}", item.default) };
        if let [general, ..] = item.fallbacks {
            out.push_str(&format!("{lead}{}:{value}  # as {general}\n", self.name));
            return;
        }
        let margin = " ".repeat(indent);
        for line in wrap(&explanation(item), WIDTH - indent - 2) {
            out.push_str(&format!("{margin}# {line}\n"));
        }
        out.push_str(&format!("{lead}{}:{value}\n", self.name));
    }
}

fn explanation(item: &Item) -> String {
    let mut facts = vec![item.kind.describe()];
    if item.live && !item.local {
        facts.push("a change in etcd counts at once".into());
    }
    if item.local {
        facts.push("a value in etcd does not count".into());
    }
    if item.forbidden {
        facts.push("never changes while processes run".into());
    }
    facts.retain(|fact| !fact.is_empty());
    if facts.is_empty() { item.doc.into() } else { format!("{} ({})", item.doc, facts.join("; ")) }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

/// The text of the sample file.
pub fn sample() -> String {
    let mut root = Section::default();
    for item in table::items() {
        root.insert(item.key, item);
    }
    let mut out = HEAD.to_owned();
    for section in &root.below {
        out.push('\n');
        section.write(0, None, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Config, testing},
        ids::Role,
    };

    #[test]
    fn the_file_in_the_repository_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/milvus.yaml");
        let file = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            file == sample(),
            "config/milvus.yaml is out of date; run: cargo run -- config defaults > config/milvus.yaml"
        );
    }

    #[test]
    fn the_sample_changes_nothing() {
        for role in Role::ALL {
            let nothing = testing::folder("");
            let defaults = Config::load(&testing::sources(&nothing, &[]), role).unwrap();
            let folder = testing::folder(&sample());
            let sampled = Config::load(&testing::sources(&folder, &[]), role).unwrap();
            assert_eq!(sampled.settings, defaults.settings);
        }
    }

    #[test]
    fn every_key_stands_in_it_once_the_hashes_are_gone() {
        let lines = sample()
            .lines()
            .map(|line| {
                let trimmed = line.trim_start();
                match trimmed.strip_prefix('#') {
                    Some(rest) if rest.starts_with(|c: char| c.is_alphabetic()) || is_setting(rest) => {
                        format!("{}{rest}\n", &line[..line.len() - trimmed.len()])
                    }
                    _ => format!("{line}\n"),
                }
            })
            .collect::<String>();
        let store = testing::store(&lines, &[]);
        for known in table::all() {
            let entry = store.resolve(known);
            assert!(matches!(entry.origin, crate::config::Origin::File(..)), "{}", known.item.key);
            assert_eq!(entry.value, known.item.default, "{}", known.item.key);
        }
    }

    /// As below a section that is off; prose has one blank after the `#`.
    fn is_setting(rest: &str) -> bool {
        rest.starts_with("  ") && rest.trim_start().contains(':')
    }
}
