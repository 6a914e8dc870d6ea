//! References to cells, such as `B2`.

/// The maximum number of columns and rows of a sheet.
pub(crate) const EXCEL_COLUMNS: u32 = 16_384;
pub(super) const EXCEL_ROWS: u32 = 1_048_576;

/// Parses a row number, which has no sign.
pub(super) fn row_number(text: &str) -> Option<u32> {
    let number: u32 = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()?;
    (1..=EXCEL_ROWS).contains(&number).then_some(number)
}

/// The column index and the row number of a reference such as `AB12`.
pub(crate) fn cell_reference(text: &str) -> Option<(u32, u32)> {
    let row_start = text.find(|c: char| !c.is_ascii_alphabetic())?;
    let (letters, row) = text.split_at(row_start);
    if !(1..=3).contains(&letters.len()) {
        return None;
    }
    let value = |letter: u8| u32::from(letter.to_ascii_uppercase() - b'A') + 1;
    let column = letters.bytes().fold(0, |column, letter| column * 26 + value(letter)) - 1;
    Some((column, row_number(row)?)).filter(|_| column < EXCEL_COLUMNS)
}

/// The letters of a column index.
pub(crate) fn column_letters(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'A' + (rest % 26) as u8));
        rest /= 26;
    }
    letters.iter().rev().collect()
}

/// The reference of a cell such as `B2` from its row number and column index.
pub(crate) fn cell_name(row: u32, column: u32) -> String {
    format!("{}{row}", column_letters(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_written_in_letters() {
        for (column, letters) in [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA"), (16_383, "XFD")] {
            assert_eq!(column_letters(column), letters);
            assert_eq!(cell_reference(&format!("{letters}7")), Some((column, 7)));
        }
    }
}
