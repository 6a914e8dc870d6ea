//! Errors of modules that cannot be exported.

use burn::prelude::*;
use onnx_export::{ExportError, Graph, Input, export};

use crate::runtimes::{Forward, GRAPH, NUMBERS, export_forward};

fn error(forward: Forward<'_>) -> ExportError {
    export_forward(forward).unwrap_err()
}

#[test]
fn an_operation_without_lowering_is_named() {
    let error = error(&|_, x| x.sort(1));
    assert!(matches!(&error, ExportError::Unsupported { operation } if operation == "NumericFloat::Sort"), "{error}");
    assert!(error.to_string().contains("NumericFloat::Sort has no lowering"));
}

#[test]
fn an_inequality_of_two_tensors_is_refused() {
    let error = error(&|_, x| x.clone().mask_fill(x.clone().not_equal(x * 2.0), 0.0));
    assert!(matches!(&error, ExportError::Unsupported { operation } if operation == "BaseFloat::NotEqual"), "{error}");
}

#[test]
fn a_slice_backwards_is_refused() {
    assert!(matches!(error(&|_, x| x.slice(s![.., ..;-1])), ExportError::Unsupported { .. }));
}

#[test]
fn two_dynamic_dimensions_are_refused() {
    let error = error(&|_, x| {
        // [N, F, 1] * [1, 1, N] -> [N, F, N] -> [N * F, N]
        let row = x.clone().mean_dim(1).transpose();
        let [rows, columns] = x.dims();
        (x.unsqueeze_dim::<3>(2) * row.unsqueeze::<3>()).reshape([rows * columns, rows])
    });
    assert!(matches!(error, ExportError::TwoDynamicDimensions { .. }), "{error}");
}

#[test]
fn a_dimension_that_is_no_multiple_of_the_batch_is_refused() {
    let error = error(&|_, x| Tensor::cat(vec![x.clone(), Tensor::zeros([1, NUMBERS], &x.device())], 0));
    let ExportError::Dimension { first, second, .. } = error else { panic!("{error}") };
    assert_eq!((first, second), (vec![1020, 4], vec![1022, 4]));
}

#[test]
fn a_forward_that_depends_on_the_batch_is_refused() {
    let error = error(&|_, x| if x.dims()[0] > 1020 { x.exp() } else { x.abs() });
    let ExportError::Diverged { first, second, .. } = error else { panic!("{error}") };
    assert_eq!((&*first, &*second), ("NumericFloat::Abs", "Float::Exp"));
}

#[test]
fn a_parameter_that_depends_on_the_batch_is_refused() {
    let error = error(&|_, x| x.clone() / x.dims()[0] as f32);
    assert!(matches!(error, ExportError::Diverged { .. }), "{error}");
}

#[test]
fn tensors_of_the_batch_made_inside_are_refused() {
    let forwards: [Forward<'_>; 2] = [
        &|_, x| x.clone() + Tensor::<1, Int>::arange(0..x.dims()[0] as i64, &x.device()).float().unsqueeze_dim::<2>(1),
        &|_, x| {
            let [rows, columns] = x.dims();
            x.clone() + Tensor::from_data(TensorData::new(vec![1.0_f32; rows * columns], [rows, columns]), &x.device())
        },
    ];
    for forward in forwards {
        let error = error(forward);
        assert!(matches!(error, ExportError::BatchSized { .. }), "{error}");
    }
}

#[test]
fn other_float_types_are_refused() {
    let error = error(&|_, x| Tensor::<2>::from_data([[1.0]], (&x.device(), burn::tensor::DType::F64)).exp());
    assert!(matches!(error, ExportError::Type { .. }), "{error}");
}

#[test]
fn a_result_of_another_device_is_refused() {
    let error = error(&|_, _| Tensor::zeros([1, 1], &Device::flex()));
    assert!(matches!(error, ExportError::Device), "{error}");
}

#[test]
fn names_must_differ_and_not_look_like_inner_ones() {
    for [input, output] in [["x", "x"], ["", "y"], ["/Add_0", "y"]] {
        let inputs = [Input::Float32 { name: input, columns: NUMBERS }];
        let graph = Graph { inputs: &inputs, output, ..GRAPH };
        let result = export(&graph, |_, _| unreachable!("names come first"));
        assert!(matches!(result, Err(ExportError::Name { .. })));
    }
}
