//! A YAML file as flat settings with line numbers.
//!
//! Mappings become dotted keys; a list becomes its items joined by commas; an empty
//! mapping is nothing. Anchors, aliases and merge keys work. A key that stands twice
//! in one mapping is an error: which one counts would be a guess. The parser's events
//! are read one by one, so nesting costs no stack, and depth and size are bounded.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::scalar;

/// Deeper than any configuration; also bounds the recursion over the finished tree.
const MAX_DEPTH: usize = 64;
/// Aliases can multiply a small file; this and the next bound what comes of it.
const MAX_SETTINGS: usize = 20_000;
const MAX_BYTES: usize = 16 << 20;

/// One setting of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Dotted, spelled as in the file.
    pub(crate) path: String,
    /// As text.
    pub(crate) value: String,
    /// Where its key stands, from 1.
    pub(crate) line: usize,
}

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// From 1.
    pub(crate) line: usize,
    /// What, and what would be right.
    pub(crate) what: String,
}

#[derive(Debug)]
enum Shape {
    Scalar { raw: String, plain: bool },
    List(Vec<Rc<Node>>),
    Map(Vec<Pair>),
}

#[derive(Debug)]
struct Node {
    shape: Shape,
    line: usize,
    /// Levels below it, aliases followed.
    depth: usize,
}

#[derive(Clone, Debug)]
struct Pair {
    key: String,
    line: usize,
    value: Rc<Node>,
}

/// A list or mapping that is still open.
struct Open {
    anchor: usize,
    line: usize,
    depth: usize,
    filling: Filling,
}

enum Filling {
    List(Vec<Rc<Node>>),
    Map { pairs: Vec<Pair>, key: Option<(String, usize)>, seen: HashMap<String, usize>, merged: Vec<Pair> },
}

/// Reads a file's text. All flaws that can be told apart are returned together.
pub(crate) fn read(text: &str) -> Result<Vec<Setting>, Vec<Flaw>> {
    let mut reading = Reading::default();
    reading.parse(text.strip_prefix('\u{feff}').unwrap_or(text));
    if !reading.flaws.is_empty() {
        return Err(reading.flaws);
    }
    let mut flat = Flat::default();
    if let Some(root) = reading.root {
        match &root.shape {
            Shape::Map(pairs) => flat.map("", pairs).map_err(|flaw| vec![flaw])?,
            Shape::Scalar { raw, plain: true } if scalar::plain_text(raw).is_empty() => {}
            _ => {
                let what =
                    "the file must begin with a mapping (`section:`), not with a value or a list".into();
                return Err(vec![Flaw { line: root.line, what }]);
            }
        }
    }
    Ok(flat.settings)
}

#[derive(Default)]
struct Reading {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    documents: usize,
    flaws: Vec<Flaw>,
}

impl Reading {
    fn flaw(&mut self, line: usize, what: impl Into<String>) {
        self.flaws.push(Flaw { line, what: what.into() });
    }

    fn parse(&mut self, text: &str) {
        let mut parser = Parser::new_from_str(text);
        while let Some(next) = parser.next_event() {
            match next {
                Ok((event, span)) => {
                    if !self.event(event, span) {
                        return;
                    }
                }
                Err(error) => {
                    let marker = error.marker();
                    let what = format!("not valid YAML, column {}: {}", marker.col() + 1, error.info());
                    self.flaw(marker.line(), what);
                    return;
                }
            }
        }
    }

    /// Returns whether reading on makes sense.
    fn event(&mut self, event: Event<'_>, span: Span) -> bool {
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) => self.documents += 1,
            Event::Scalar(raw, style, anchor, tag) => {
                let plain = is_plain(style, tag.as_deref());
                let node = Node { shape: Shape::Scalar { raw: raw.into_owned(), plain }, line, depth: 0 };
                return self.place(Rc::new(node), anchor);
            }
            Event::SequenceStart(anchor, _) => return self.begin(anchor, line, Filling::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                let filling =
                    Filling::Map { pairs: Vec::new(), key: None, seen: HashMap::new(), merged: Vec::new() };
                return self.begin(anchor, line, filling);
            }
            Event::SequenceEnd | Event::MappingEnd => return self.end(),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => return self.place(node, 0),
                None => {
                    self.flaw(line, "an alias (`*name`) must not stand inside what it names");
                    return false;
                }
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn begin(&mut self, anchor: usize, line: usize, filling: Filling) -> bool {
        if self.open.len() >= MAX_DEPTH {
            self.flaw(line, format!("nested more than {MAX_DEPTH} levels deep"));
            return false;
        }
        self.open.push(Open { anchor, line, depth: 0, filling });
        true
    }

    fn end(&mut self) -> bool {
        let Some(open) = self.open.pop() else { return false };
        let shape = match open.filling {
            Filling::List(items) => Shape::List(items),
            Filling::Map { mut pairs, seen, merged, .. } => {
                pairs.extend(merged.into_iter().filter(|pair| !seen.contains_key(&pair.key.to_lowercase())));
                Shape::Map(pairs)
            }
        };
        self.place(Rc::new(Node { shape, line: open.line, depth: open.depth }), open.anchor)
    }

    fn place(&mut self, node: Rc<Node>, anchor: usize) -> bool {
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let Some(open) = self.open.last_mut() else { return self.place_root(node) };
        open.depth = open.depth.max(node.depth + 1);
        if open.depth > MAX_DEPTH {
            let line = open.line;
            self.flaw(line, format!("nested more than {MAX_DEPTH} levels deep"));
            return false;
        }
        let fault = match &mut open.filling {
            Filling::List(items) => {
                items.push(node);
                None
            }
            Filling::Map { pairs, key, seen, merged } => match key.take() {
                None => begin_pair(&node, key, seen),
                Some((name, line)) if name == "<<" => merge(&node, merged).map_err(|what| (line, what)).err(),
                Some((name, line)) => {
                    pairs.push(Pair { key: name, line, value: node });
                    None
                }
            },
        };
        if let Some((line, what)) = fault {
            self.flaw(line, what);
        }
        true
    }

    fn place_root(&mut self, node: Rc<Node>) -> bool {
        if self.documents <= 1 {
            self.root = Some(node);
            return true;
        }
        if matches!(&node.shape, Shape::Scalar { raw, plain: true } if scalar::plain_text(raw).is_empty()) {
            return true;
        }
        self.flaw(node.line, "a second YAML document begins (`---`); only the first one would count");
        false
    }
}

fn is_plain(style: ScalarStyle, tag: Option<&Tag>) -> bool {
    match tag {
        None => style == ScalarStyle::Plain,
        Some(tag) => tag.is_yaml_core_schema() && tag.suffix != "str" && tag.suffix != "binary",
    }
}

/// Takes `node` as a key. An error still leaves a key behind, so that its value finds its place.
fn begin_pair(
    node: &Node,
    key: &mut Option<(String, usize)>,
    seen: &mut HashMap<String, usize>,
) -> Option<(usize, String)> {
    let Shape::Scalar { raw, .. } = &node.shape else {
        *key = Some((String::new(), node.line));
        return Some((node.line, "a key must be plain text, not a list or a mapping".into()));
    };
    *key = Some((raw.clone(), node.line));
    if raw == "<<" {
        return None;
    }
    let first = seen.insert(raw.to_lowercase(), node.line)?;
    Some((node.line, format!("the key `{raw}` stands here twice; the first one is in line {first}")))
}

fn merge(node: &Rc<Node>, merged: &mut Vec<Pair>) -> Result<(), String> {
    match &node.shape {
        Shape::Map(pairs) => {
            for pair in pairs {
                if !merged.iter().any(|known| known.key.eq_ignore_ascii_case(&pair.key)) {
                    merged.push(pair.clone());
                }
                if merged.len() > MAX_SETTINGS {
                    return Err(format!("more than {MAX_SETTINGS} settings"));
                }
            }
            Ok(())
        }
        Shape::List(items) if items.iter().all(|item| matches!(item.shape, Shape::Map(_))) => {
            items.iter().try_for_each(|item| merge(item, merged))
        }
        _ => Err("`<<` must be followed by a mapping or a list of mappings".into()),
    }
}

#[derive(Default)]
struct Flat {
    settings: Vec<Setting>,
    bytes: usize,
}

impl Flat {
    fn map(&mut self, prefix: &str, pairs: &[Pair]) -> Result<(), Flaw> {
        for pair in pairs {
            let path = if prefix.is_empty() { pair.key.clone() } else { format!("{prefix}.{}", pair.key) };
            match &pair.value.shape {
                Shape::Map(below) => self.map(&path, below)?,
                Shape::Scalar { .. } => {
                    let value = item_text(&pair.value);
                    self.account(value.len(), pair.line)?;
                    self.push(path, value, pair.line)?;
                }
                Shape::List(items) => {
                    let value = self.list(items, pair.line)?;
                    self.push(path, value, pair.line)?;
                }
            }
        }
        Ok(())
    }

    /// Milvus begins to set commas after the first item that is not empty.
    fn list(&mut self, items: &[Rc<Node>], line: usize) -> Result<String, Flaw> {
        let mut joined = String::new();
        for item in items {
            let text = item_text(item);
            self.account(text.len() + 1, line)?;
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(&text);
        }
        Ok(joined)
    }

    fn account(&mut self, bytes: usize, line: usize) -> Result<(), Flaw> {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            return Err(Flaw { line, what: format!("more than {MAX_BYTES} bytes of values") });
        }
        Ok(())
    }

    fn push(&mut self, path: String, value: String, line: usize) -> Result<(), Flaw> {
        if self.settings.len() >= MAX_SETTINGS {
            return Err(Flaw { line, what: format!("more than {MAX_SETTINGS} settings") });
        }
        self.settings.push(Setting { path, value, line });
        Ok(())
    }
}

/// What is not a plain value counts as empty within a list, as Milvus has it.
fn item_text(node: &Node) -> String {
    match &node.shape {
        Shape::Scalar { raw, plain: true } => scalar::plain_text(raw),
        Shape::Scalar { raw, plain: false } => raw.clone(),
        Shape::List(_) | Shape::Map(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Setting, read};

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str, usize)]) {
        let settings = read(text).unwrap();
        let actual: Vec<_> = settings.iter().map(|s| (&*s.path, &*s.value, s.line)).collect();
        assert_eq!(actual, expected);
    }

    #[track_caller]
    fn flaw(text: &str, line: usize, part: &str) {
        let flaws = read(text).unwrap_err();
        assert!(flaws.iter().any(|f| f.line == line && f.what.contains(part)), "{flaws:?}");
    }

    #[test]
    fn mappings_become_dotted_keys_with_their_lines() {
        check(
            "etcd:\n  endpoints: a:2379\n  ssl:\n    enabled: false # comment\nrootCoord.port: 53_100\n",
            &[
                ("etcd.endpoints", "a:2379", 2),
                ("etcd.ssl.enabled", "false", 4),
                ("rootCoord.port", "53100", 5),
            ],
        );
    }

    #[test]
    fn lists_join_null_is_empty_and_quotes_keep_the_text() {
        check(
            "a: [0, 0, 7.0]\nb:\n  - x:1\n  - 'y'\nc:\nd: ~\ne: \"1.30\"\nf: !!str 1.30\ng: {}\nh: []\ni: ['', b]\n",
            &[
                ("a", "0,0,7", 1),
                ("b", "x:1,y", 2),
                ("c", "", 5),
                ("d", "", 6),
                ("e", "1.30", 7),
                ("f", "1.30", 8),
                ("h", "", 10),
                ("i", "b", 11),
            ],
        );
    }

    #[test]
    fn anchors_aliases_and_merge_keys_work() {
        check(
            "base: &base {port: 1, ip: x}\nrootCoord:\n  <<: *base\n  port: 2\n",
            &[
                ("base.port", "1", 1),
                ("base.ip", "x", 1),
                ("rootCoord.port", "2", 4),
                ("rootCoord.ip", "x", 1),
            ],
        );
    }

    #[test]
    fn nothing_is_no_setting() {
        for text in ["", "\n# only a comment\n", "---\n", "~", "{}", "\u{feff}", "---\n...\n---\n"] {
            check(text, &[]);
        }
    }

    #[test]
    fn a_key_twice_is_an_error_that_names_both_lines() {
        flaw("a:\n  port: 1\n  PORT: 2\n", 3, "line 2");
        flaw("a: 1\nb: 2\na: 3\n", 3, "line 1");
    }

    #[test]
    fn broken_text_is_an_error_with_its_line() {
        flaw("a: 1\nb: [1, 2\n", 3, "not valid YAML");
        flaw("a:\n\tb: 1\n", 2, "not valid YAML");
        flaw("- a\n", 1, "mapping");
        flaw("just text\n", 1, "mapping");
        flaw("? [a]\n: b\n", 1, "plain text");
        flaw("a: 1\n---\nb: 2\n", 3, "second YAML document");
        flaw("a: &x [*x]\n", 1, "");
        flaw("<<: 5\n", 1, "`<<`");
    }

    #[test]
    fn every_duplicate_is_reported_not_only_the_first() {
        assert_eq!(read("a: 1\na: 2\nb: 3\nb: 4\n").unwrap_err().len(), 2);
    }

    #[test]
    fn bombs_end_in_an_error() {
        assert!(read(&"[".repeat(100_000)).is_err());
        let chain: String = (1..200).map(|i| format!("k{i}: &a{i} [*a{}]\n", i - 1)).collect();
        assert!(read(&format!("k0: &a0 [x]\n{chain}")).is_err());
        let wide: String = (1..9)
            .map(|i| {
                format!(
                    "k{i}: &a{i} {{{}}}\n",
                    (0..10).map(|j| format!("x{j}: *a{}, ", i - 1)).collect::<String>()
                )
            })
            .collect();
        flaw(&format!("k0: &a0 {{x: 1}}\n{wide}"), 1, "settings");
        let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(100_000), "*a, ".repeat(10_000));
        flaw(&long, 2, "bytes");
    }

    fn printable() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop::sample::select(vec![
                "a", "b: ", "- ", "\n", "  ", "[", "]", "{", "}", ",", ": ", "&x ", "*x", "<<: ", "'", "\"",
                "|\n", ">", "#", "---\n", "!!str ", "? ", "\t", "%", "é", "\u{0}", "1.0",
            ]),
            0..40,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn no_text_can_make_it_panic(text in prop_oneof![any::<String>(), printable()]) {
            let _ = read(&text);
        }

        #[test]
        fn what_is_written_is_read(pairs in prop::collection::btree_map("[a-z]{1,6}", "[ -~]{0,12}", 0..8)) {
            let text: String = pairs.iter().map(|(k, v)| format!("{k}: '{}'\n", v.replace('\'', "''"))).collect();
            let expected: Vec<_> = pairs
                .into_iter()
                .enumerate()
                .map(|(i, (path, value))| Setting { path, value, line: i + 1 })
                .collect();
            prop_assert_eq!(read(&text).unwrap(), expected);
        }
    }
}
