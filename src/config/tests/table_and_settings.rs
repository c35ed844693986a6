//! The table holds what is read, and nothing else.

use super::*;

#[test]
fn everything_in_the_table_is_read_by_some_role() {
    let store = store("", &[]);
    let mut reader = Reader::new(&store);
    for role in Role::ALL {
        Settings::read_with(&mut reader, role);
    }
    for known in table::all() {
        let read_as_fallback = table::all()
            .iter()
            .any(|other| reader.seen.contains(other.item.key) && other.fallbacks.contains(&known.names[0]));
        assert!(reader.seen.contains(known.item.key) || read_as_fallback, "nothing reads {}", known.item.key);
    }
}
