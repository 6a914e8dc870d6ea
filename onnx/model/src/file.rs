//! Decodes a model file, after checking that decoding does not take much more memory than the file.

use prost::Message;
use tract_onnx::pb::ModelProto;

use crate::error::Error;

/// The maximum number of bytes other than weights and metadata. A small node takes up to a hundred times its encoded size in
/// memory; a network of a few hundred nodes takes about 50 KB.
const MAX_STRUCTURE_BYTES: usize = 1 << 20;
/// The maximum number of bytes of metadata: a vocabulary of a million keys takes half of it.
const MAX_METADATA_BYTES: usize = 64 << 20;

/// Protobuf field numbers from `onnx.proto`.
const MODEL_GRAPH: u64 = 7;
const MODEL_METADATA: u64 = 14;
const GRAPH_INITIALIZER: u64 = 5;
const TENSOR_RAW_DATA: u64 = 9;

/// Decodes a model file.
pub(crate) fn decode(file: &[u8]) -> Result<ModelProto, Error> {
    if file.is_empty() {
        return Err(Error::graph("the file is empty"));
    }
    let mut counts = ByteCounts::default();
    counts
        .add_model(file)
        .map_err(|NotProtobuf| Error::NotOnnx("it is not protobuf, or it is truncated".to_owned()))?;
    for (what, size, limit) in [
        ("nodes and tensors without weights", counts.structure, MAX_STRUCTURE_BYTES),
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
    metadata: usize,
}

/// The bytes are not those of a protobuf message.
struct NotProtobuf;

impl ByteCounts {
    fn add_model(&mut self, file: &[u8]) -> Result<(), NotProtobuf> {
        let mut fields = Fields(file);
        while let Some((number, content)) = self.next(&mut fields)? {
            match number {
                MODEL_GRAPH => self.add_graph(content)?,
                MODEL_METADATA => self.metadata += content.len(),
                _ => self.structure += content.len(),
            }
        }
        Ok(())
    }

    fn add_graph(&mut self, graph: &[u8]) -> Result<(), NotProtobuf> {
        let mut fields = Fields(graph);
        while let Some((number, content)) = self.next(&mut fields)? {
            match number {
                GRAPH_INITIALIZER => self.add_tensor(content)?,
                _ => self.structure += content.len(),
            }
        }
        Ok(())
    }

    fn add_tensor(&mut self, tensor: &[u8]) -> Result<(), NotProtobuf> {
        let mut fields = Fields(tensor);
        while let Some((number, content)) = self.next(&mut fields)? {
            if number != TENSOR_RAW_DATA {
                self.structure += content.len();
            }
        }
        Ok(())
    }

    /// The next field, whose content has not been counted yet.
    fn next<'a>(&mut self, fields: &mut Fields<'a>) -> Result<Option<(u64, &'a [u8])>, NotProtobuf> {
        if fields.0.is_empty() || self.structure > MAX_STRUCTURE_BYTES {
            return Ok(None);
        }
        let before = fields.0.len();
        let (number, content) = fields.read().ok_or(NotProtobuf)?;
        self.structure += before - fields.0.len() - content.len();
        Ok(Some((number, content)))
    }
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
    use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

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
    fn truncated_files_and_other_formats_are_rejected() {
        let whole = file(GraphProto { name: "a graph".to_owned(), ..GraphProto::default() });
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length}");
        }
        assert!(decode(b"PK\x03\x04 this is a workbook").is_err());
        assert!(decode(&[0xff; 40]).is_err());
    }
}
