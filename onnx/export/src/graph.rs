//! The description of the graph by the caller: names, inputs and metadata.

use burn::tensor::{Int, Tensor};

/// The names, inputs and metadata of the file.
#[derive(Clone, Copy, Debug)]
pub struct Graph<'a> {
    /// The name of the graph.
    pub name: &'a str,
    /// The name and version of the program that exports.
    pub producer: (&'a str, &'a str),
    /// The inputs, in the order in which `forward` receives them.
    pub inputs: &'a [Input<'a>],
    /// The name of the output.
    pub output: &'a str,
    /// Keys and values of the file's `metadata_props`.
    pub metadata: &'a [(&'a str, String)],
}

/// An input of shape `[N, columns]`; all inputs share `N`.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Integers, such as ids.
    Int64 {
        /// The name in the file.
        name: &'a str,
        /// The second dimension.
        columns: usize,
    },
    /// Real numbers.
    Float32 {
        /// The name in the file.
        name: &'a str,
        /// The second dimension.
        columns: usize,
    },
}

impl<'a> Input<'a> {
    pub(crate) fn name(&self) -> &'a str {
        match self {
            Self::Int64 { name, .. } | Self::Float32 { name, .. } => name,
        }
    }

    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::Int64 { columns, .. } | Self::Float32 { columns, .. } => *columns,
        }
    }
}

/// An input of `forward`: a tensor on the recording device.
#[derive(Clone, Debug)]
pub enum Traced {
    /// For [`Input::Int64`].
    Int(Tensor<2, Int>),
    /// For [`Input::Float32`].
    Float(Tensor<2>),
}
