//! Errors of modules that cannot be exported.

use burn::prelude::*;
use onnx_export::{ExportError, Graph, Input, export};

use crate::runtimes::{Forward, GRAPH, NUMBERS, export_forward};

fn error(forward: Forward<'_>) -> ExportError {
    export_forward(forward).unwrap_err()
}

#[test]
fn unsupported_operations_are_named() {
    let error = error(&|_, x| x.sort(1));
    assert!(matches!(&error, ExportError::Unsupported { operation } if operation == "NumericFloat::Sort"), "{error}");
    assert!(error.to_string().contains("NumericFloat::Sort has no lowering"));
}

#[test]
fn tensor_inequality_is_rejected() {
    let error = error(&|_, x| x.clone().mask_fill(x.clone().not_equal(x * 2.0), 0.0));
    assert!(matches!(&error, ExportError::Unsupported { operation } if operation == "BaseFloat::NotEqual"), "{error}");
}

#[test]
fn reverse_slices_are_rejected() {
    assert!(matches!(error(&|_, x| x.slice(s![.., ..;-1])), ExportError::Unsupported { .. }));
}

#[test]
fn two_dynamic_dimensions_are_rejected() {
    let error = error(&|_, x| {
        // [N, F, 1] * [1, 1, N] -> [N, F, N] -> [N * F, N]
        let row = x.clone().mean_dim(1).transpose();
        let [rows, columns] = x.dims();
        (x.unsqueeze_dim::<3>(2) * row.unsqueeze::<3>()).reshape([rows * columns, rows])
    });
    assert!(matches!(error, ExportError::TwoDynamicDimensions { .. }), "{error}");
}

#[test]
fn dimensions_must_be_multiples_of_the_batch() {
    let error = error(&|_, x| Tensor::cat(vec![x.clone(), Tensor::zeros([1, NUMBERS], &x.device())], 0));
    let ExportError::Dimension { first, second, .. } = error else { panic!("{error}") };
    assert_eq!((first, second), (vec![1020, 4], vec![1022, 4]));
}

#[test]
fn control_flow_on_the_batch_size_is_rejected() {
    let error = error(&|_, x| if x.dims()[0] > 1020 { x.exp() } else { x.abs() });
    let ExportError::Diverged { first, second, .. } = error else { panic!("{error}") };
    assert_eq!((&*first, &*second), ("NumericFloat::Abs", "Float::Exp"));
}

#[test]
fn parameters_that_depend_on_the_batch_size_are_rejected() {
    let error = error(&|_, x| x.clone() / x.dims()[0] as f32);
    assert!(matches!(error, ExportError::Diverged { .. }), "{error}");
}

#[test]
fn batch_sized_constants_are_rejected() {
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
fn other_float_types_are_rejected() {
    let error = error(&|_, x| Tensor::<2>::from_data([[1.0]], (&x.device(), burn::tensor::DType::F64)).exp());
    assert!(matches!(error, ExportError::Type { .. }), "{error}");
}

#[test]
fn results_on_another_device_are_rejected() {
    let error = error(&|_, _| Tensor::zeros([1, 1], &Device::flex()));
    assert!(matches!(error, ExportError::Device), "{error}");
}

#[test]
fn names_must_be_unique_and_not_reserved() {
    for [input, output] in [["x", "x"], ["", "y"], ["/Add_0", "y"]] {
        let inputs = [Input::Float32 { name: input, columns: NUMBERS }];
        let graph = Graph { inputs: &inputs, output, ..GRAPH };
        let result = export(&graph, |_, _| unreachable!("names are checked first"));
        assert!(matches!(result, Err(ExportError::Name { .. })));
    }
}
