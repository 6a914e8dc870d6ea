//! A small forward function for each lowering.

use burn::nn::LinearConfig;
use burn::prelude::*;
use burn::tensor::activation;

use crate::runtimes::{Forward, IDS, NUMBERS, assert_same};

fn assert_all(cases: &[(&str, Forward<'_>)]) {
    for (name, forward) in cases {
        assert_same(name, *forward);
    }
}

/// A tensor of small numbers on the device of `like`.
fn table<const D: usize>(dims: [usize; D], like: &Tensor<2>) -> Tensor<D> {
    let values = (0..dims.iter().product()).map(|index: usize| (index * 29 % 23) as f32 / 10.0 - 1.0).collect();
    Tensor::from_data(TensorData::new::<f32, _>(values, dims), &like.device())
}

/// Replaces NaN.
fn fill_nan(x: Tensor<2>) -> Tensor<2> {
    let missing = x.clone().is_nan();
    x.mask_fill(missing, 0.25)
}

/// 1 where the mask is true, 0 elsewhere.
fn indicator(mask: Tensor<2, Bool>, like: &Tensor<2>) -> Tensor<2> {
    fill_nan(like.clone()).mask_fill(mask, 100.0).clamp(99.0, 100.0) - 99.0
}

#[test]
fn arithmetic() {
    assert_all(&[
        ("add", &|_, x| x.clone() + fill_nan(x)),
        ("add scalar", &|_, x| x + 1.5),
        ("add a row", &|_, x| x.clone() + table([1, NUMBERS], &x)),
        ("sub", &|_, x| x.clone() - fill_nan(x) * 0.5),
        ("sub scalar", &|_, x| x - 19000.25),
        ("mul", &|_, x| x.clone() * fill_nan(x)),
        ("mul scalar", &|_, x| x * 0.3),
        ("div scalar", &|_, x| x / 365.25),
        ("exp", &|_, x| (x * 0.5).exp()),
        ("log1p", &|_, x| (fill_nan(x).clamp(0.0, 9.0) * 1000.0).log1p()),
        ("mean", &|_, x| fill_nan(x).mean_dim(1)),
    ]);
}

#[test]
fn bounds() {
    assert_all(&[
        ("relu", &|_, x| activation::relu(fill_nan(x))),
        ("clamp", &|_, x| fill_nan(x).clamp(-1.0, 2.0)),
        ("clamp max", &|_, x| fill_nan(x).clamp_max(2.0)),
        ("clamp of nan", &|_, x| x.clamp(-1.0, 2.0)),
        ("clamp max of nan", &|_, x| (x * 2.0).clamp_max(1.0)),
        ("relu of nan", &|_, x| activation::relu(x)),
        ("clamp where nan is filled by a tensor", &|_, x| {
            let row = table([1, NUMBERS], &x);
            x.clone().mask_where(x.is_nan(), row).clamp(-1.0, 2.0)
        }),
        ("clamp where another tensor's nan is filled", &|_, x| {
            let other = x.clone() * f32::NAN;
            other.mask_fill(x.is_nan(), 0.0).clamp(-1.0, 2.0)
        }),
        ("clamp where nan is filled in", &|_, x| {
            let low = x.clone().lower(table([1, NUMBERS], &x));
            x.mask_fill(low, f32::NAN).clamp(-1.0, 2.0)
        }),
    ]);
}

#[test]
fn masks() {
    assert_all(&[
        ("is nan", &|_, x| indicator(x.clone().is_nan(), &x)),
        ("lower", &|_, x| indicator(x.clone().lower(table([1, NUMBERS], &x)), &x)),
        ("equal scalar", &|ids, x| {
            let first = ids.slice(s![.., 0..1]);
            indicator(first.equal_elem(0), &x.slice(s![.., 0..1]))
        }),
        ("mask fill", &|_, x| x.clone().mask_fill(x.is_nan(), 0.0)),
        ("mask fill with nan", &|_, x| {
            let low = x.clone().lower(table([1, NUMBERS], &x));
            x.mask_fill(low, f32::NAN)
        }),
        ("mask where", &|_, x| x.clone().mask_where(x.clone().is_nan(), fill_nan(x) * 2.0)),
        ("mask where, a row", &|_, x| {
            let row = table([1, NUMBERS], &x);
            x.clone().mask_where(x.is_nan(), row)
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
        ("slice to the end", &|_, x| x.slice(s![.., 1..])),
        ("slice from the end", &|_, x| x.slice(s![.., -2..])),
        ("slice with a step", &|_, x| x.slice(s![.., 0..4;2])),
        ("slice everything", &|_, x| x.slice(s![.., ..])),
        ("slice the first row", &|_, x| x.slice(s![0..1, ..])),
        ("select columns", &|_, x| {
            let columns = Tensor::<1, Int>::from_data([3, 0], &x.device());
            x.select(1, columns)
        }),
        ("cat columns", &|_, x| Tensor::cat(vec![x.clone(), x * 2.0], 1)),
        ("identity", &|_, x| x),
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
        ("rows by computed integers", &|ids, x| {
            // Clamped numbers truncated to integers, and ids of which one is replaced.
            let numbers = fill_nan(x.clone()).slice(s![.., 0..1]).clamp(0.0, 4.0).int();
            let first = ids.clone().slice(s![.., 0..1]);
            let first = first.clone().mask_where(first.equal_elem(2), numbers);
            let rows: Tensor<1, Int> = Tensor::cat(vec![first, ids.slice(s![.., 1..])], 1).reshape([-1]);
            table([5, 6], &x).select(0, rows).reshape([-1, (IDS * 6) as i32])
        }),
    ]);
}

#[test]
fn linear_maps() {
    assert_all(&[
        ("matmul", &|_, x| fill_nan(x.clone()).matmul(table([NUMBERS, 5], &x))),
        ("matmul of three", &|_, x| {
            // [N, F] -> [F, N, B] x [F, B, D] -> [F, N, D] -> [N, F, D] -> [N, F * D]
            let wide = fill_nan(x.clone()).unsqueeze_dim::<3>(2) * table([1, NUMBERS, 5], &x);
            wide.swap_dims(0, 1).matmul(table([NUMBERS, 5, 3], &x)).swap_dims(0, 1).flatten(1, 2)
        }),
        ("matmul of members", &|_, x| {
            // [1, N, F] x [K, F, D] -> [K, N, D] -> [1, N, D]
            let members = fill_nan(x.clone()).unsqueeze::<3>().matmul(table([3, NUMBERS, 5], &x));
            members.mean_dim(0).squeeze_dim(0)
        }),
        ("linear", &|_, x| {
            let linear = with_fixed_parameters(LinearConfig::new(NUMBERS, 6).init(&Device::flex()), &x);
            linear.forward(fill_nan(x))
        }),
    ]);
}

/// The module with fixed parameters, on the device of the input.
fn with_fixed_parameters<M: Module>(module: M, like: &Tensor<2>) -> M {
    struct Fill;
    impl burn::module::ModuleMapper for Fill {
        fn map_float<const D: usize>(
            &mut self,
            param: burn::module::Param<Tensor<D>>,
        ) -> burn::module::Param<Tensor<D>> {
            param.map(|tensor| table(tensor.dims(), &Tensor::zeros([1, 1], &Device::flex())))
        }
    }
    module.map(&mut Fill).to_device(&like.device())
}
