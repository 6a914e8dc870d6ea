//! Decodes a model file, after checking that decoding does not take much more memory than the file.

use prost::Message;
use tract_onnx::pb::ModelProto;

use crate::error::Error;

/// The maximum number of bytes other than weights and metadata. A small node takes up to a hundred times its encoded size in
/// memory; a network of a few hundred nodes takes about 50 KB.
const MAX_STRUCTURE_BYTES: usize = 1 << 20;
/// The maximum number of bytes of metadata: a vocabulary of a million keys takes half of it.
const MAX_METADATA_BYTES: usize = 64 << 20;
/// The maximum number of bytes of lists in attributes and tensors: the trees of a foreign model. Five thousand trees of 63
/// leaves take about 25 MB. An empty text takes two bytes here and a dozen times that in memory.
const MAX_LIST_BYTES: usize = 32 << 20;

/// Protobuf field numbers from `onnx.proto`.
const MODEL_GRAPH: u64 = 7;
const MODEL_METADATA: u64 = 14;
const GRAPH_NODE: u64 = 1;
const GRAPH_INITIALIZER: u64 = 5;
const NODE_ATTRIBUTE: u64 = 5;
const ATTRIBUTE_TENSOR: u64 = 5;
/// The floats, integers and texts of an attribute.
const ATTRIBUTE_LISTS: [u64; 3] = [7, 8, 9];
const TENSOR_RAW_DATA: u64 = 9;
/// The floats, 32-bit and 64-bit integers of a tensor that has no raw data.
const TENSOR_LISTS: [u64; 3] = [4, 5, 7];

/// Decodes a model file of Probeg, which has no long lists.
pub(crate) fn decode(file: &[u8]) -> Result<ModelProto, Error> {
    decode_with(file, 0)
}

/// Decodes an ONNX file of any origin, which may have trees in its attributes. This may take more memory than a file of Probeg,
/// so it is only for the command that imports the file.
pub(crate) fn decode_foreign(file: &[u8]) -> Result<ModelProto, Error> {
    decode_with(file, MAX_LIST_BYTES)
}

/// Decodes a file with at most this many bytes of lists beyond those that count as structure.
fn decode_with(file: &[u8], max_list_bytes: usize) -> Result<ModelProto, Error> {
    if file.is_empty() {
        return Err(Error::graph("the file is empty"));
    }
    let mut counts = ByteCounts::default();
    counts
        .add_model(file)
        .map_err(|NotProtobuf| Error::NotOnnx("it is not protobuf, or it is truncated".to_owned()))?;
    let lists = counts.lists.saturating_sub(max_list_bytes);
    for (what, size, limit) in [
        ("nodes and tensors without weights", counts.structure + lists, MAX_STRUCTURE_BYTES),
        ("metadata", counts.metadata, MAX_METADATA_BYTES),
    ] {
        if size > limit {
            return Err(Error::graph(format!("it has more than {limit} bytes of {what}")));
        }
    }
    ModelProto::decode(file).map_err(|error| Error::NotOnnx(error.to_string()))
}

/// The numbers of bytes of a file by purpose. Counting stops at the limit.
#[derive(Default)]
struct ByteCounts {
    structure: usize,
    lists: usize,
    metadata: usize,
}

/// The bytes are not those of a protobuf message.
struct NotProtobuf;

impl ByteCounts {
    fn add_model(&mut self, file: &[u8]) -> Result<(), NotProtobuf> {
        self.add_message(file, |counts, field| match field.number {
            MODEL_GRAPH => counts.add_graph(field.content),
            MODEL_METADATA => {
                counts.structure += field.size - field.content.len();
                counts.metadata += field.content.len();
                Ok(())
            }
            _ => counts.add_structure(field),
        })
    }

    fn add_graph(&mut self, graph: &[u8]) -> Result<(), NotProtobuf> {
        self.add_message(graph, |counts, field| match field.number {
            GRAPH_NODE => counts.add_node(field.content),
            GRAPH_INITIALIZER => counts.add_tensor(field.content),
            _ => counts.add_structure(field),
        })
    }

    fn add_node(&mut self, node: &[u8]) -> Result<(), NotProtobuf> {
        self.structure += HEAD_BYTES;
        self.add_message(node, |counts, field| match field.number {
            NODE_ATTRIBUTE => counts.add_attribute(field.content),
            _ => counts.add_structure(field),
        })
    }

    fn add_attribute(&mut self, attribute: &[u8]) -> Result<(), NotProtobuf> {
        self.structure += HEAD_BYTES;
        self.add_message(attribute, |counts, field| match field.number {
            ATTRIBUTE_TENSOR => counts.add_tensor(field.content),
            number if ATTRIBUTE_LISTS.contains(&number) => {
                counts.lists += field.size;
                Ok(())
            }
            _ => counts.add_structure(field),
        })
    }

    fn add_tensor(&mut self, tensor: &[u8]) -> Result<(), NotProtobuf> {
        self.structure += HEAD_BYTES;
        self.add_message(tensor, |counts, field| match field.number {
            TENSOR_RAW_DATA => {
                counts.structure += field.size - field.content.len();
                Ok(())
            }
            number if TENSOR_LISTS.contains(&number) => {
                counts.lists += field.size;
                Ok(())
            }
            _ => counts.add_structure(field),
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "as the other arms of the callers")]
    fn add_structure(&mut self, field: &Field<'_>) -> Result<(), NotProtobuf> {
        self.structure += field.size;
        Ok(())
    }

    /// Calls `add` with each field of a message.
    fn add_message(
        &mut self,
        message: &[u8],
        mut add: impl FnMut(&mut Self, &Field<'_>) -> Result<(), NotProtobuf>,
    ) -> Result<(), NotProtobuf> {
        let mut fields = Fields(message);
        while !fields.0.is_empty() && self.structure <= MAX_STRUCTURE_BYTES {
            let before = fields.0.len();
            let (number, content) = fields.read().ok_or(NotProtobuf)?;
            add(self, &Field { number, content, size: before - fields.0.len() })?;
        }
        Ok(())
    }
}

/// The size of the tag and the length before a message; more for a message of at least 128 bytes.
const HEAD_BYTES: usize = 2;

/// A field of a protobuf message.
struct Field<'a> {
    number: u64,
    /// The content, if it is length-delimited.
    content: &'a [u8],
    /// The number of bytes, including those before the content.
    size: usize,
}

/// The remaining fields of a protobuf message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The number of the next field, and its content if it is length-delimited.
    fn read(&mut self) -> Option<(u64, &'a [u8])> {
        let key = self.varint()?;
        let content = match key & 7 {
            0 => self.varint().map(|_| &[][..])?,
            1 => self.take(8).map(|_| &[][..])?,
            2 => {
                let length = self.varint()?.try_into().ok()?;
                self.take(length)?
            }
            5 => self.take(4).map(|_| &[][..])?,
            _ => return None,
        };
        Some((key >> 3, content)).filter(|(number, _)| *number > 0)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return None };
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

    use super::*;

    fn file(graph: GraphProto) -> Vec<u8> {
        ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
    }

    #[test]
    fn only_weights_may_be_large() {
        let weights = TensorProto { raw_data: vec![7; 2 * MAX_STRUCTURE_BYTES], ..TensorProto::default() };
        let large = file(GraphProto { initializer: vec![weights], ..GraphProto::default() });
        assert!(decode(&large).is_ok());
        // Two bytes each, and a hundred times that after decoding.
        let nodes =
            file(GraphProto { node: vec![NodeProto::default(); MAX_STRUCTURE_BYTES / 2 + 1], ..GraphProto::default() });
        assert!(decode(&nodes).unwrap_err().to_string().contains("without weights"));
    }

    #[test]
    fn only_foreign_files_may_have_long_lists() {
        let attribute = |ints: usize| AttributeProto { ints: vec![300; ints], ..AttributeProto::default() };
        let of_trees = |ints: usize| {
            let node = NodeProto { attribute: vec![attribute(ints)], ..NodeProto::default() };
            file(GraphProto { node: vec![node], ..GraphProto::default() })
        };
        assert!(decode(&of_trees(1 << 20)).is_err());
        assert!(decode_foreign(&of_trees(1 << 20)).is_ok());
        assert!(decode_foreign(&of_trees(17 << 20)).is_err());
        // A short list is decoded in either case.
        assert!(decode(&of_trees(1000)).is_ok());
    }

    #[test]
    fn truncated_files_and_other_formats_are_rejected() {
        let whole = file(GraphProto { name: "a graph".to_owned(), ..GraphProto::default() });
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length}");
        }
        assert!(decode(b"PK\x03\x04 this is a workbook").is_err());
        assert!(decode(&[0xff; 40]).is_err());
    }
}
