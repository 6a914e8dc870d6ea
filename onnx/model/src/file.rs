//! The bytes of a model file, as ONNX describes them: decoded once it is clear that this costs no more memory than the
//! file takes.

use prost::Message;
use tract_onnx::pb::ModelProto;

use crate::Error;

/// Bytes that are neither weights nor metadata. A decoded node takes a hundred times the bytes that it takes in the
/// file, if it has next to none; a network of a few hundred nodes takes some 50 KB.
const MAX_STRUCTURE: usize = 1 << 20;
/// Bytes of metadata: a vocabulary of a million keys takes half of it.
const MAX_METADATA: usize = 64 << 20;

/// The numbers of protobuf fields, from `onnx.proto`.
const MODEL_GRAPH: u64 = 7;
const MODEL_METADATA: u64 = 14;
const GRAPH_INITIALIZER: u64 = 5;
const TENSOR_RAW_DATA: u64 = 9;

/// Decodes a model file.
pub(crate) fn decode(file: &[u8]) -> Result<ModelProto, Error> {
    if file.is_empty() {
        return Err(Error::Graph("the file is empty".to_owned()));
    }
    check_sizes(file).ok_or_else(|| Error::NotOnnx("it is not protobuf, or it ends too early".to_owned()))??;
    ModelProto::decode(file).map_err(|error| Error::NotOnnx(error.to_string()))
}

/// `None` where the bytes are not protobuf.
fn check_sizes(file: &[u8]) -> Option<Result<(), Error>> {
    let (mut weights, mut metadata) = (0, 0);
    let mut model = Fields(file);
    while !model.0.is_empty() {
        match model.next()? {
            (MODEL_GRAPH, Some(graph)) => weights += weights_of(graph)?,
            (MODEL_METADATA, Some(entry)) => metadata += entry.len(),
            _ => {}
        }
    }
    let structure = file.len() - weights - metadata;
    let too_large = |what, size, limit| {
        Some(Err(Error::Graph(format!("it has {size} bytes of {what}, and {limit} at most are accepted"))))
    };
    if structure > MAX_STRUCTURE {
        too_large("nodes and tensors without weights", structure, MAX_STRUCTURE)
    } else if metadata > MAX_METADATA {
        too_large("metadata", metadata, MAX_METADATA)
    } else {
        Some(Ok(()))
    }
}

fn weights_of(graph: &[u8]) -> Option<usize> {
    let mut weights = 0;
    let mut graph = Fields(graph);
    while !graph.0.is_empty() {
        if let (GRAPH_INITIALIZER, Some(tensor)) = graph.next()? {
            let mut tensor = Fields(tensor);
            while !tensor.0.is_empty() {
                if let (TENSOR_RAW_DATA, Some(data)) = tensor.next()? {
                    weights += data.len();
                }
            }
        }
    }
    Some(weights)
}

/// The fields of a protobuf message that are still to come.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The number of the next field, and its bytes where it is of those that say how long they are.
    fn next(&mut self) -> Option<(u64, Option<&'a [u8]>)> {
        let key = self.varint()?;
        let content = match key & 7 {
            0 => {
                self.varint()?;
                None
            }
            1 => {
                self.take(8)?;
                None
            }
            2 => {
                let length = self.varint()?.try_into().ok()?;
                Some(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                None
            }
            _ => return None,
        };
        Some((key >> 3, content))
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
        let (taken, left) = self.0.split_at_checked(length)?;
        self.0 = left;
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
    fn weights_may_be_large_and_the_rest_may_not() {
        let weights = TensorProto { raw_data: vec![7; 2 * MAX_STRUCTURE], ..TensorProto::default() };
        let large = file(GraphProto { initializer: vec![weights], ..GraphProto::default() });
        assert!(decode(&large).is_ok());
        // Two bytes each, and a hundred times that once they are decoded.
        let nodes =
            file(GraphProto { node: vec![NodeProto::default(); MAX_STRUCTURE / 2 + 1], ..GraphProto::default() });
        assert!(decode(&nodes).unwrap_err().to_string().contains("without weights"));
    }

    #[test]
    fn what_is_cut_off_or_no_protobuf_is_refused() {
        let whole = file(GraphProto { name: "a graph".to_owned(), ..GraphProto::default() });
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length}");
        }
        assert!(decode(b"PK\x03\x04 this is a workbook").is_err());
        assert!(decode(&[0xff; 40]).is_err());
    }
}
