//! A small forward for each lowering.

use burn::nn::{BatchNormConfig, EmbeddingConfig, LayerNormConfig, LinearConfig};
use burn::prelude::*;
use burn::tensor::activation;

use crate::runtimes::{Forward, IDS, NUMBERS, assert_same};

fn assert_all(cases: &[(&str, Forward<'_>)]) {
    for (name, forward) in cases {
        assert_same(name, *forward);
    }
}

/// A `[rows, columns]` tensor of small numbers where `like` lives.
fn table<const D: usize>(dims: [usize; D], like: &Tensor<2>) -> Tensor<D> {
    let values = (0..dims.iter().product()).map(|place: usize| (place * 29 % 23) as f32 / 10.0 - 1.0).collect();
    Tensor::from_data(TensorData::new::<f32, _>(values, dims), &like.device())
}

/// The numbers without NaN.
fn known(x: Tensor<2>) -> Tensor<2> {
    let missing = x.clone().is_nan();
    x.mask_fill(missing, 0.25)
}

/// Numbers above 0.
fn positive(x: Tensor<2>) -> Tensor<2> {
    known(x).abs() + 0.5
}

#[test]
fn arithmetic() {
    assert_all(&[
        ("add", &|_, x| x.clone() + positive(x)),
        ("add scalar", &|_, x| x + 1.5),
        ("sub", &|_, x| x.clone() - positive(x)),
        ("sub scalar", &|_, x| x - 19000.25),
        ("mul", &|_, x| x.clone() * positive(x)),
        ("mul scalar", &|_, x| x * 0.3),
        ("mul one", &|_, x| x * 1.0),
        ("div", &|_, x| x.clone() / positive(x)),
        ("div scalar", &|_, x| x / 365.25),
        ("add a row", &|_, x| x.clone() + table([1, NUMBERS], &x)),
        ("neg", &|_, x| -x),
        ("abs", &|_, x| x.abs()),
        ("sign", &|_, x| known(x).sign()),
        ("recip", &|_, x| positive(x).recip()),
        ("square", &|_, x| x.powf_scalar(2.0)),
        ("cube", &|_, x| x.powf_scalar(3.0)),
        ("square root by power", &|_, x| positive(x).powf_scalar(0.5)),
        ("power", &|_, x| positive(x).powf_scalar(1.7)),
        ("power of a tensor", &|_, x| positive(x.clone()).powf(known(x) * 0.1)),
    ]);
}

#[test]
fn functions() {
    assert_all(&[
        ("exp", &|_, x| (x * 0.5).exp()),
        ("log", &|_, x| positive(x).log()),
        ("log1p", &|_, x| (positive(x) * 1000.0).log1p()),
        ("sqrt", &|_, x| positive(x).sqrt()),
        ("erf", &|_, x| known(x).erf()),
        ("sin", &|_, x| known(x).sin()),
        ("cos", &|_, x| known(x).cos()),
        ("tanh", &|_, x| known(x).tanh()),
        ("floor", &|_, x| known(x).floor()),
        ("ceil", &|_, x| known(x).ceil()),
        ("round", &|_, x| known(x).round()),
    ]);
}

#[test]
fn activations() {
    assert_all(&[
        ("relu", &|_, x| activation::relu(known(x))),
        ("leaky relu", &|_, x| activation::leaky_relu(known(x), 0.1)),
        ("sigmoid", &|_, x| activation::sigmoid(known(x))),
        ("silu", &|_, x| activation::silu(known(x))),
        ("gelu", &|_, x| activation::gelu(known(x))),
        ("softplus", &|_, x| activation::softplus(known(x) * 4.0, 1.0)),
        ("softplus, beta 2", &|_, x| activation::softplus(known(x), 2.0)),
        ("softmax", &|_, x| activation::softmax(known(x), 1)),
        ("log softmax", &|_, x| activation::log_softmax(known(x), 1)),
    ]);
}

#[test]
fn bounds() {
    assert_all(&[
        ("clamp", &|_, x| known(x).clamp(-1.0, 2.0)),
        ("clamp min", &|_, x| known(x).clamp_min(-1.0)),
        ("clamp max", &|_, x| known(x).clamp_max(2.0)),
        ("max pair", &|_, x| known(x.clone()).max_pair(table([1, NUMBERS], &x))),
        ("min pair", &|_, x| known(x.clone()).min_pair(table([1, NUMBERS], &x))),
        ("clamp of nan", &|_, x| x.clamp(-1.0, 2.0)),
        ("clamp min of nan", &|_, x| (x * 2.0).clamp_min(-1.0)),
        ("relu of nan", &|_, x| activation::relu(x)),
        ("clamp where nan is filled by a tensor", &|_, x| {
            let row = table([1, NUMBERS], &x);
            x.clone().mask_where(x.is_nan(), row).clamp(-1.0, 2.0)
        }),
        ("clamp where another tensor's nan is filled", &|_, x| {
            let other = x.clone() * f32::NAN;
            other.mask_fill(x.is_nan(), 0.0).clamp(-1.0, 2.0)
        }),
        ("clamp where nan is filled in", &|_, x| x.clone().mask_fill(x.greater_elem(0.0), f32::NAN).clamp(-1.0, 2.0)),
        ("clamp integers", &|ids, _| ids.clamp(1, 3).float()),
    ]);
}

#[test]
fn comparisons() {
    assert_all(&[
        ("is nan", &|_, x| x.is_nan().float()),
        ("equal to itself", &|_, x| x.clone().equal(x).float()),
        ("equal", &|_, x| x.clone().equal(known(x)).float()),
        ("not equal", &|_, x| x.clone().not_equal(known(x)).float()),
        ("equal scalar", &|ids, _| ids.equal_elem(0).float()),
        ("not equal scalar", &|ids, _| ids.not_equal_elem(0).float()),
        ("greater", &|_, x| x.clone().greater(table([1, NUMBERS], &x)).float()),
        ("greater scalar", &|_, x| x.greater_elem(0.5).float()),
        ("greater or equal", &|_, x| x.clone().greater_equal(x * 0.5).float()),
        ("greater or equal scalar", &|_, x| x.greater_equal_elem(0.5).float()),
        ("lower", &|_, x| x.clone().lower(table([1, NUMBERS], &x)).float()),
        ("lower scalar", &|_, x| x.lower_elem(0.5).float()),
        ("lower or equal", &|_, x| x.clone().lower_equal(x * 0.5).float()),
        ("lower or equal scalar", &|ids, _| ids.lower_equal_elem(2).float()),
        ("not", &|_, x| x.is_nan().bool_not().float()),
        ("and", &|_, x| x.clone().greater_elem(0.0).bool_and(x.lower_elem(2.0)).float()),
        ("or", &|_, x| x.clone().is_nan().bool_or(x.lower_elem(2.0)).float()),
        ("xor", &|_, x| x.clone().greater_elem(0.0).bool_xor(x.lower_elem(2.0)).float()),
    ]);
}

#[test]
fn masks() {
    assert_all(&[
        ("mask fill", &|_, x| x.clone().mask_fill(x.is_nan(), 0.0)),
        ("mask fill with nan", &|_, x| x.clone().mask_fill(x.greater_elem(0.0), f32::NAN)),
        ("mask where", &|_, x| x.clone().mask_where(x.clone().is_nan(), known(x) * 2.0)),
        ("mask where, a row", &|_, x| {
            let row = table([1, NUMBERS], &x);
            x.clone().mask_where(x.is_nan(), row)
        }),
        ("mask fill integers", &|ids, _| ids.clone().mask_fill(ids.greater_elem(2), 7).float()),
    ]);
}

#[test]
fn types() {
    assert_all(&[
        ("int to float", &|ids, _| ids.float()),
        ("float to int", &|_, x| known(x).int().float()),
        ("bool to int", &|_, x| x.is_nan().int().float()),
        ("integer arithmetic", &|ids, _| (ids * 3 + 1).float()),
        ("integer constants", &|ids, _| {
            let offsets = Tensor::<2, Int>::from_data([[0, 5, 10]], &ids.device());
            (ids + offsets).float()
        }),
        ("bool constant", &|_, x| {
            let mask = Tensor::<2, Bool>::from_data([[true, false, true, false]], &x.device());
            x.mask_fill(mask, 1.0)
        }),
    ]);
}

#[test]
fn layout() {
    assert_all(&[
        ("transpose twice", &|_, x| (x.transpose() * 2.0).transpose()),
        ("permute", &|_, x| x.reshape([0, 2, 2]).permute([0, 2, 1]).reshape([0, 4])),
        ("swap dims of three", &|_, x| {
            let stacked: Tensor<3> = x.unsqueeze_dim::<3>(1);
            stacked.swap_dims(0, 2).swap_dims(0, 1).swap_dims(0, 1).swap_dims(0, 2).flatten(1, 2)
        }),
        ("flatten all and back", &|_, x| {
            let flat: Tensor<1> = x.reshape([-1]);
            flat.reshape([-1, 4])
        }),
        ("unsqueeze and flatten", &|_, x| {
            let wide = x.clone().unsqueeze_dim::<3>(2) * table([1, NUMBERS, 5], &x);
            wide.flatten(1, 2)
        }),
        ("squeeze", &|_, x| x.unsqueeze_dim::<3>(1).squeeze_dim(1)),
        ("slice columns", &|_, x| x.clone().slice([0..x.dims()[0], 1..3])),
        ("slice a column", &|_, x| x.slice_dim(1, 2..3)),
        ("slice to the end", &|_, x| x.slice(s![.., 1..])),
        ("slice from the end", &|_, x| x.slice(s![.., -2..])),
        ("slice with a step", &|_, x| x.slice(s![.., 0..4;2])),
        ("slice everything", &|_, x| x.slice(s![.., ..])),
        ("slice the first row", &|_, x| x.slice(s![0..1, ..])),
        ("select columns", &|_, x| {
            let columns = Tensor::<1, Int>::from_data([3, 0], &x.device());
            x.select(1, columns)
        }),
        ("cat columns", &|ids, x| Tensor::cat(vec![x, ids.float()], 1)),
        ("stack", &|_, x| Tensor::stack::<3>(vec![x.clone(), x * 2.0], 1).flatten(1, 2)),
        ("repeat", &|_, x| x.repeat_dim(1, 3)),
        ("repeat one", &|_, x| x.slice_dim(1, 0..1).repeat_dim(1, 3)),
        ("expand", &|_, x| {
            let [rows, _] = x.dims();
            x.slice_dim(1, 0..1).expand([rows, 5])
        }),
        ("expand to more dimensions", &|_, x| {
            let column: Tensor<3> = x.clone().slice_dim(1, 1..2).unsqueeze_dim(1);
            let [rows, _] = x.dims();
            column.expand([rows, 2, 3]).flatten(1, 2)
        }),
        ("zeros", &|_, x| x.clone() + Tensor::zeros([1, NUMBERS], &x.device())),
        ("ones", &|_, x| x.clone() + Tensor::ones([1, NUMBERS], &x.device())),
        ("full", &|_, x| x.clone() + Tensor::full([1, NUMBERS], 2.5, &x.device())),
        ("as it is", &|_, x| x),
    ]);
}

#[test]
fn tables() {
    assert_all(&[
        ("rows of a stacked table", &|ids, x| {
            let offsets = Tensor::<2, Int>::from_data([[0, 5, 10]], &ids.device());
            let rows: Tensor<1, Int> = (ids + offsets).reshape([-1]);
            table([15, 6], &x).select(0, rows).reshape([-1, (IDS * 6) as i32])
        }),
        ("embedding", &|ids, x| {
            let embedding = EmbeddingConfig::new(5, 6).init(&Device::flex()).load(&x);
            embedding.forward(ids).flatten(1, 2)
        }),
    ]);
}

#[test]
fn linear_maps() {
    assert_all(&[
        ("matmul", &|_, x| known(x.clone()).matmul(table([NUMBERS, 5], &x))),
        ("matmul of three", &|_, x| {
            // [N, F] -> [F, N, B] x [F, B, D] -> [F, N, D] -> [N, F, D] -> [N, F * D]
            let wide = known(x.clone()).unsqueeze_dim::<3>(2) * table([1, NUMBERS, 5], &x);
            wide.swap_dims(0, 1).matmul(table([NUMBERS, 5, 3], &x)).swap_dims(0, 1).flatten(1, 2)
        }),
        ("matmul of members", &|_, x| {
            // [1, N, F] x [K, F, D] -> [K, N, D] -> [1, N, D]
            let members = known(x.clone()).unsqueeze::<3>().matmul(table([3, NUMBERS, 5], &x));
            members.mean_dim(0).squeeze_dim(0)
        }),
        ("linear", &|_, x| {
            let linear = LinearConfig::new(NUMBERS, 6).init(&Device::flex()).load(&x);
            linear.forward(known(x))
        }),
        ("linear without bias", &|_, x| {
            let linear = LinearConfig::new(NUMBERS, 6).with_bias(false).init(&Device::flex()).load(&x);
            linear.forward(known(x))
        }),
        ("linear of three", &|_, x| {
            let linear = LinearConfig::new(2, 6).init(&Device::flex()).load(&x);
            linear.forward(known(x).reshape([0, 2, 2])).flatten(1, 2)
        }),
        ("layer norm", &|_, x| {
            let norm = LayerNormConfig::new(NUMBERS).init(&Device::flex()).load(&x);
            norm.forward(known(x))
        }),
        ("batch norm", &|_, x| {
            let norm = BatchNormConfig::new(NUMBERS).init(&Device::flex()).load(&x);
            norm.forward(known(x))
        }),
    ]);
}

/// Parameters that are the same at each call, on the device of the input.
trait Load: Module {
    fn load(self, like: &Tensor<2>) -> Self {
        struct Fill;
        impl burn::module::ModuleMapper for Fill {
            fn map_float<const D: usize>(
                &mut self,
                param: burn::module::Param<Tensor<D>>,
            ) -> burn::module::Param<Tensor<D>> {
                param.map(|tensor| {
                    let flat = Tensor::<2>::zeros([1, 1], &Device::flex());
                    table(tensor.dims(), &flat)
                })
            }
        }
        self.map(&mut Fill).to_device(&like.device())
    }
}

impl<M: Module> Load for M {}

#[test]
fn reductions() {
    assert_all(&[
        ("sum", &|_, x| known(x).sum_dim(1)),
        ("mean", &|_, x| known(x).mean_dim(1)),
        ("product", &|_, x| known(x).prod_dim(1)),
        ("largest", &|_, x| known(x).max_dim(1)),
        ("smallest", &|_, x| known(x).min_dim(1)),
        ("sum of an inner axis", &|_, x| {
            let wide = known(x.clone()).unsqueeze_dim::<3>(2) * table([1, NUMBERS, 5], &x);
            wide.sum_dim(1).squeeze_dim(1)
        }),
        ("sum of two axes", &|_, x| {
            let wide = known(x.clone()).unsqueeze_dim::<3>(2) * table([1, NUMBERS, 5], &x);
            wide.sum_dims(&[1, 2]).squeeze_dim(2)
        }),
        ("cumulative sum", &|_, x| known(x).cumsum(1)),
    ]);
}
