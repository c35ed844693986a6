//! What a tick looks like in a channel.

use bytes::Bytes;
use milvus_proto::{
    common::{MsgBase, MsgType},
    msg::TimeTickMsg,
};
use prost::Message as _;

use crate::{ids::ServerId, tso::hybrid::Timestamp};

/// A tick of that time by that rootcoord: a bare `TimeTickMsg`, as consumers parse it.
pub fn encode_tick(ts: Timestamp, source: ServerId) -> Bytes {
    let base = MsgBase {
        msg_type: MsgType::TimeTick.into(),
        timestamp: ts.0,
        source_id: source.0,
        ..MsgBase::default()
    };
    TimeTickMsg { base: Some(base) }.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_has_the_bytes_that_milvus_sends() {
        let ts = 470_607_366_129_451_018_u64;
        let mut expected = vec![0x0a, 0x0f, 0x08, 0xb0, 0x09, 0x18];
        prost::encoding::encode_varint(ts, &mut expected);
        expected.extend([0x20, 0x03]);
        assert_eq!(expected.len(), 17);
        assert_eq!(encode_tick(Timestamp(ts), ServerId(3)), expected);
    }
}
