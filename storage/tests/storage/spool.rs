use domain::feature::{CATEGORICAL, NUMERIC};
use proptest::prelude::*;
use storage::{Spool, SpoolWriter, TabularBatch};

/// Rows with arbitrary numbers, including missing ones.
fn rows() -> impl Strategy<Value = TabularBatch> {
    (0..40_usize).prop_flat_map(|rows| {
        let numbers = prop_oneof![any::<f32>(), Just(f32::NAN)];
        (
            prop::collection::vec(any::<i32>(), rows * CATEGORICAL.len()),
            prop::collection::vec(numbers, rows * NUMERIC.len()),
            prop::collection::vec(any::<f32>(), rows),
        )
            .prop_map(|(ids, numbers, log_prices)| TabularBatch { ids, numbers, log_prices })
    })
}

/// The bits of the numbers, so that NaN equals itself.
fn bits(rows: &TabularBatch) -> (Vec<i32>, Vec<u32>, Vec<u32>) {
    let bits = |numbers: &[f32]| numbers.iter().map(|number| number.to_bits()).collect();
    (rows.ids.clone(), bits(&rows.numbers), bits(&rows.log_prices))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn blocks_round_trip_in_any_order(
        blocks in prop::collection::vec(rows(), 1..12),
        indices in prop::collection::vec(any::<prop::sample::Index>(), 1..30),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.arrow");
        let mut writer = SpoolWriter::create(&path).unwrap();
        for block in &blocks {
            writer.write(block.clone()).unwrap();
        }
        let mut spool = writer.finish().unwrap();
        let mut opened = Spool::open(&path).unwrap().unwrap();
        for index in indices {
            let index = index.index(blocks.len());
            prop_assert_eq!(bits(&spool.read_block(index).unwrap()), bits(&blocks[index]));
            prop_assert_eq!(bits(&opened.read_block(index).unwrap()), bits(&blocks[index]));
        }
        prop_assert!(spool.read_block(blocks.len()).is_err());
    }
}

#[test]
fn an_unfinished_spool_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.arrow");
    let mut writer = SpoolWriter::create(&path).unwrap();
    writer.write(TabularBatch::default()).unwrap();
    drop(writer);
    assert!(Spool::open(&path).unwrap().is_none());
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.arrow");
    std::fs::write(&path, b"ARROW1 but nothing else").unwrap();
    assert!(Spool::open(&path).unwrap_err().to_string().contains("spool.arrow"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn corrupted_rows_are_never_returned(
        blocks in prop::collection::vec(rows(), 1..4),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 50),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.arrow");
        let mut writer = SpoolWriter::create(&path).unwrap();
        for block in &blocks {
            writer.write(block.clone()).unwrap();
        }
        writer.finish().unwrap();
        let whole = std::fs::read(&path).unwrap();
        for (position, bit) in flips {
            let mut bytes = whole.clone();
            bytes[position.index(whole.len())] ^= 1 << bit;
            std::fs::write(&path, bytes).unwrap();
            let Ok(Some(mut spool)) = Spool::open(&path) else { continue };
            for (index, block) in blocks.iter().enumerate() {
                // Some bits are unused, such as the padding between columns.
                if let Ok(read) = spool.read_block(index) {
                    prop_assert_eq!(bits(&read), bits(block));
                }
            }
        }
    }
}

#[test]
fn corrupted_blocks_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.arrow");
    let mut writer = SpoolWriter::create(&path).unwrap();
    let rows = TabularBatch {
        ids: vec![7; 100 * CATEGORICAL.len()],
        numbers: vec![f32::NAN; 100 * NUMERIC.len()],
        log_prices: vec![13.0; 100],
    };
    writer.write(rows).unwrap();
    writer.finish().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let price = bytes.windows(4).rposition(|bytes| bytes == 13.0_f32.to_le_bytes()).unwrap();
    bytes[price] = 1;
    std::fs::write(&path, bytes).unwrap();
    let error = Spool::open(&path).unwrap().unwrap().read_block(0).unwrap_err();
    assert!(matches!(error, storage::Error::DamagedSpool { .. }), "{error}");
}
