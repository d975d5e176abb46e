//! What the sticky assignors remember between generations, as they tell it to the leader in the user data of a
//! subscription.
//!
//! `sticky` (eager) tells what the member had and in which generation, as the Java client writes it: version 1, or 0
//! without the generation; there is no version in front. `cooperative-sticky` tells only the generation, because what is
//! owned stands in the subscription itself; librdkafka writes the form of `sticky` there. Bytes that make no sense are
//! a member that remembers nothing.

use bytes::Bytes;
use ottla_protocol::codec::{Decoder, Encoder, Wire, WireError};
use ottla_protocol::messages::consumer_protocol::TopicPartition;

/// What a member had, and when.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Memory {
    pub(crate) owned: Vec<TopicPartition>,
    pub(crate) generation: Option<i32>,
}

/// The user data of `sticky`.
pub(crate) fn encode_sticky(memory: &Memory) -> Result<Bytes, WireError> {
    let mut encoder = Encoder::new(1, false);
    memory.owned.clone().walk(&mut encoder, false)?;
    memory.generation.unwrap_or(-1).walk(&mut encoder, false)?;
    Ok(encoder.finish().bytes)
}

/// The user data of `cooperative-sticky`.
pub(crate) fn encode_cooperative(generation: Option<i32>) -> Bytes {
    Bytes::copy_from_slice(&generation.unwrap_or(-1).to_be_bytes())
}

/// Reads either.
pub(crate) fn decode(user_data: &Bytes) -> Memory {
    if let Ok(generation) = <[u8; 4]>::try_from(&user_data[..]) {
        // An empty list of `sticky` version 0 is four zeros, too; then there is nothing to remember either way.
        return Memory { owned: Vec::new(), generation: known(i32::from_be_bytes(generation)) };
    }
    read(user_data.clone()).unwrap_or_default()
}

fn read(user_data: Bytes) -> Result<Memory, WireError> {
    let mut decoder = Decoder::new(user_data, 1, false);
    let mut owned: Vec<TopicPartition> = Vec::new();
    owned.walk(&mut decoder, false)?;
    let rest = decoder.into_rest();
    let generation = rest.get(..4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    Ok(Memory { owned, generation: generation.map(i32::from_be_bytes).and_then(known) })
}

fn known(generation: i32) -> Option<i32> {
    (generation >= 0).then_some(generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory {
        let owned = vec![TopicPartition { topic: "flights".into(), partitions: vec![0, 3] }];
        Memory { owned, generation: Some(41) }
    }

    #[test]
    fn sticky_writes_javas_version_1_and_reads_version_0_too() {
        let bytes = encode_sticky(&memory()).expect("fits");
        let java = b"\x00\x00\x00\x01\x00\x07flights\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x29";
        assert_eq!(&bytes[..], java);
        assert_eq!(decode(&bytes), memory());
        assert_eq!(decode(&bytes.slice(..bytes.len() - 4)), Memory { generation: None, ..memory() });
    }

    #[test]
    fn cooperative_sticky_tells_its_generation_alone() {
        assert_eq!(decode(&encode_cooperative(Some(7))).generation, Some(7));
        assert_eq!(decode(&encode_cooperative(None)), Memory::default());
    }

    #[test]
    fn nonsense_is_no_memory() {
        for nonsense in [&b""[..], b"\x7f\xff\xff\xff\x00", b"\x00\x00\x00\x01\x00\x07fli"] {
            assert_eq!(decode(&Bytes::from_static(nonsense)), Memory::default());
        }
    }
}
