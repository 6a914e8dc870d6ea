//! A network like the exported one: categories and numbers with missing values in, quantiles out.

use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::Distribution;
use burn::tensor::activation::relu;
use onnx_export::{Traced, export};

use crate::runtimes::{GRAPH, IDS, NUMBERS, assert_file_same};

const BINS: usize = 6;
const EMBEDDING: usize = 4;
const VOCABULARY: usize = 5;
const HIDDEN: usize = 32;
const QUANTILES: usize = 7;
const FEATURES: usize = NUMBERS + 1;

/// Preprocessing shared by all members, whose outputs are averaged.
#[derive(Module, Debug)]
pub struct Network {
    edges: Tensor<3>,
    inverse_widths: Tensor<3>,
    offsets: Tensor<2, Int>,
    /// Cumulative sum of the outputs, so that quantiles do not cross.
    cumulative: Tensor<2>,
    members: Vec<Member>,
}

#[derive(Module, Debug)]
struct Member {
    categories: Param<Tensor<2>>,
    numbers: Param<Tensor<3>>,
    hidden: Linear,
    head: Linear,
}

impl Network {
    pub fn new() -> Self {
        let device = Device::flex();
        let edges: Vec<f32> = (0..FEATURES * BINS).map(|index| (index % BINS) as f32 * 1.5 - 4.0).collect();
        let cell = |index: usize| if index / QUANTILES <= index % QUANTILES { 1.0 } else { 0.0 };
        let cumulative: Vec<f32> = (0..QUANTILES * QUANTILES).map(cell).collect();
        Self {
            edges: Tensor::from_data(TensorData::new(edges, [1, FEATURES, BINS]), &device),
            inverse_widths: Tensor::full([1, FEATURES, BINS], 1.0 / 1.5, &device),
            offsets: Tensor::from_data([[0, 5, 10]], &device),
            cumulative: Tensor::from_data(TensorData::new(cumulative, [QUANTILES, QUANTILES]), &device),
            members: (0..3).map(|_| Member::new(&device)).collect(),
        }
    }

    /// `[N, IDS]` and `[N, NUMBERS]` to `[N, QUANTILES]`.
    pub fn forward(&self, ids: Tensor<2, Int>, numbers: &Tensor<2>) -> Tensor<2> {
        let numbers = derive_features(numbers); // [N, FEATURES]
        let missing = numbers.clone().is_nan();
        let numbers = numbers.mask_fill(missing, -100.0);
        let ids: Tensor<1, Int> = (ids + self.offsets.clone()).flatten(0, 1); // [N * IDS]
        let bins = self.piecewise_linear(numbers); // [N, FEATURES, BINS]
        let outputs = self.members.iter().map(|member| member.forward(ids.clone(), bins.clone()));
        // [N, K, QUANTILES] -> [N, QUANTILES]
        let mean = Tensor::stack::<3>(outputs.collect(), 1).mean_dim(1).squeeze_dim::<2>(1);
        (mean.matmul(self.cumulative.clone()) + 10.0).exp()
    }

    /// The fraction of each bin that lies below the number.
    fn piecewise_linear(&self, numbers: Tensor<2>) -> Tensor<3> {
        ((numbers.unsqueeze_dim::<3>(2) - self.edges.clone()) * self.inverse_widths.clone()).clamp(0.0, 1.0)
    }
}

/// The difference of the first two numbers in years, and the logarithm of the third.
fn derive_features(numbers: &Tensor<2>) -> Tensor<2> {
    let column = |index: usize| numbers.clone().slice_dim(1, index..=index);
    let age = (column(0) - column(1) * 365.25) / 365.25;
    let logarithm = column(2).clamp(0.0, 1e6).log1p();
    let rest = numbers.clone().select(1, Tensor::from_data([0, 1, 3], &numbers.device()));
    Tensor::cat(vec![age, logarithm, rest], 1)
}

impl Member {
    fn new(device: &Device) -> Self {
        let random = Distribution::Normal(0.0, 0.5);
        let width = IDS * EMBEDDING + FEATURES * EMBEDDING;
        Self {
            categories: Param::from_tensor(Tensor::random([IDS * VOCABULARY, EMBEDDING], random, device)),
            numbers: Param::from_tensor(Tensor::random([FEATURES, BINS, EMBEDDING], random, device)),
            hidden: LinearConfig::new(width, HIDDEN).init(device),
            head: LinearConfig::new(HIDDEN, QUANTILES).init(device),
        }
    }

    fn forward(&self, ids: Tensor<1, Int>, bins: Tensor<3>) -> Tensor<2> {
        let categories = self.categories.val().select(0, ids).reshape([-1, (IDS * EMBEDDING) as i32]);
        // [FEATURES, N, BINS] x [FEATURES, BINS, EMBEDDING] -> [N, FEATURES * EMBEDDING]
        let numbers = relu(bins.swap_dims(0, 1).matmul(self.numbers.val()).swap_dims(0, 1)).flatten(1, 2);
        let hidden = self.hidden.forward(Tensor::cat(vec![categories, numbers], 1));
        let heads = self.head.forward(relu(hidden));
        // The lowest quantile, and the steps above it through a softplus.
        let steps = heads.clone().slice(s![.., 1..]).clamp_max(30.0).exp().log1p();
        Tensor::cat(vec![heads.slice(s![.., 0..1]), steps], 1)
    }
}

/// The forward function passed to the exporter.
pub fn forward_of(network: &Network) -> impl Fn(&Device, &[Traced]) -> Tensor<2> {
    |device, inputs| {
        let [Traced::Int(ids), Traced::Float(numbers)] = inputs else { unreachable!("the inputs of GRAPH") };
        network.clone().to_device(device).forward(ids.clone(), numbers)
    }
}

#[test]
fn a_whole_network_matches_burn() {
    let network = Network::new();
    let file = export(&GRAPH, forward_of(&network)).unwrap();
    assert_file_same("network", &file, &|batch| {
        let (ids, numbers) = batch.tensors();
        network.forward(ids, &numbers).into_data().try_to_vec().unwrap()
    });
}
