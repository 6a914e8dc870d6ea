//! The XML of a valued sheet: unchanged to the byte except for the new cells.

use std::io::Cursor;

use quick_xml::events::Event;
use tables::{Options, Source, value_table};

use crate::fixtures::{SHEET, parts_of, repeat, with_part, zip_of};
use crate::value::{price, valued, valuer};

const HEADER: &str = "<c t=\"inlineStr\"><is><t>brand</t></is></c><c t=\"inlineStr\"><is><t>year</t></is></c>\
    <c t=\"inlineStr\"><is><t>mileage</t></is></c>";
const KIA: &str = "<c t=\"inlineStr\"><is><t>Kia</t></is></c><c><v>2018</v></c><c><v>5</v></c>";

/// Values a sheet and returns its XML, asserting that it is well-formed.
fn spliced(sheet: &str) -> String {
    let (output, _) = valued("cars.xlsx", &with_part(SHEET, sheet.as_bytes()));
    let (_, xml) = parts_of(&output).into_iter().find(|(name, _)| name == SHEET).unwrap();
    let xml = String::from_utf8(xml).unwrap();
    let mut reader = quick_xml::Reader::from_str(&xml);
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => return xml,
            Event::Start(tag) | Event::Empty(tag) => tag.attributes().for_each(|attribute| drop(attribute.unwrap())),
            _ => {}
        }
    }
}

/// The error for an invalid sheet.
fn reject(sheet: &str) -> String {
    let input = with_part(SHEET, sheet.as_bytes());
    let source = Source::bytes("cars.xlsx", &input);
    let error = value_table(source, Cursor::new(Vec::new()), Options::default(), &valuer(&price)).unwrap_err();
    error.to_string()
}

fn sheet(rows: &str) -> String {
    format!("<worksheet><sheetData>{rows}</sheetData></worksheet>")
}

fn text(reference: &str, format: &str, text: &str) -> String {
    format!("<c r=\"{reference}\"{format} t=\"inlineStr\"><is><t xml:space=\"preserve\">{text}</t></is></c>")
}

fn titles(row: u32, format: &str) -> String {
    let titles = ["predict_value", "predict_low", "predict_high", "predict_status"];
    ["D", "E", "F", "G"]
        .iter()
        .zip(titles)
        .map(|(column, title)| text(&format!("{column}{row}"), format, title))
        .collect()
}

fn prices(row: u32) -> String {
    let cell = |column: &str, price: u32| format!("<c r=\"{column}{row}\"><v>{price}</v></c>");
    cell("D", 50) + &cell("E", 49) + &cell("F", 51) + &text(&format!("G{row}"), "", "ok")
}

fn widths(columns: std::ops::Range<usize>) -> String {
    let width = |column: usize| {
        let width = [15, 15, 15, 40][column - 4];
        format!("<col min=\"{column}\" max=\"{column}\" width=\"{width}\" customWidth=\"1\"/>")
    };
    columns.map(width).collect()
}

#[test]
fn other_content_is_unchanged() {
    let output = spliced(&format!(
        "<?xml version=\"1.0\"?>\n<worksheet a='\"'><!-- & --><dimension b='\"' ref=\"A1:C5\"/><sheetData>\n\
         <row r=\"1\" spans=\"1:3\" ht='\"20&quot;'><c r=\"A1\" t='str'  ><v>a&#x41;<![CDATA[<]]></v></c><c r=\"E1\" s=\"9\"/></row>\
         <row r=\"2\" >{HEADER}<c s=\"7\"/></row><row>{KIA}</row><row r=\"4\"/>\
         <row r=\"5\"><c r=\"A5\" s=\"3\"/><c r=\"C5\"><f>B3&amp;\"x\"</f><v>5</v></c><c r=\"D5\" s=\"1\"></c> <c s=\"2\"/>\
         <c r=\"H5\" s=\"1\"/></row></sheetData>\r\n<mergeCells/></worksheet>\n"
    ));
    let status = text("G5", "", "brand is required and is missing; year is required and is missing");
    let expected = format!(
        "<?xml version=\"1.0\"?>\n<worksheet a='\"'><!-- & --><dimension ref=\"A1:G5\" b='\"'/><cols>{}</cols><sheetData>\n\
         <row r=\"1\" ht='\"20&quot;'><c r=\"A1\" t='str'  ><v>a&#x41;<![CDATA[<]]></v></c><c r=\"E1\" s=\"9\"/></row>\
         <row r=\"2\" >{HEADER}{}</row><row>{KIA}{}</row><row r=\"4\"/>\
         <row r=\"5\"><c r=\"A5\" s=\"3\"/><c r=\"C5\"><f>B3&amp;\"x\"</f><v>5</v></c>{status}\
         <c r=\"H5\" s=\"1\"/></row></sheetData>\r\n<mergeCells/></worksheet>\n",
        widths(4..8),
        titles(2, ""),
        prices(3),
    );
    assert_eq!(output, expected);
}

#[test]
fn titles_copy_the_format_of_adjacent_headers() {
    let header = HEADER.replacen("<c ", "<c s='3' ", 3);
    let output = spliced(&sheet(&format!("<row>{header}</row><row>{KIA}</row>")));
    assert!(output.contains(&titles(1, " s=\"3\"")), "{output}");
    for format in ["s='0\" t=\"str'", "s=\"&lt;\"", "s=\"-1\"", "s=''"] {
        let header = HEADER.replacen("<c ", &format!("<c {format} "), 3);
        let output = spliced(&sheet(&format!("<row>{header}</row><row>{KIA}</row>")));
        assert!(output.contains(&titles(1, "")) && output.contains(&header), "{output}");
    }
}

#[test]
fn namespace_prefixes_are_kept() {
    let header =
        format!("<row>{HEADER}</row><row>{KIA}</row>").replace("</", "</x:").replace('<', "<x:").replace("<x:/", "</");
    let output = spliced(&format!("<x:worksheet xmlns:x=\"y\"><x:sheetData>{header}</x:sheetData></x:worksheet>"));
    assert!(output.contains("<x:c r=\"D2\"><x:v>50</x:v></x:c>"), "{output}");
    assert_eq!(output.matches("<x:col ").count(), 4);
    let mixed = reject(&sheet(&format!("<row>{HEADER}</row><y:row xmlns:y=\"y\">{KIA}</y:row>")));
    assert!(mixed.contains("rows of a sheet have different namespace prefixes"), "{mixed}");
}

#[test]
fn new_columns_are_never_hidden() {
    let with = |cols: &str| {
        spliced(&format!(
            "<worksheet><cols>{cols}</cols><sheetData><row>{HEADER}</row><row>{KIA}</row></sheetData></worksheet>"
        ))
    };
    let wide = "<col min=\"1\" max=\"16384\" width=\"9\"/>";
    for (cols, expected) in [
        (wide.to_owned(), wide.to_owned()),
        ("<col min='1' max='2'/>".to_owned(), format!("<col min='1' max='2'/>{}", widths(4..8))),
        ("<col min='1' max='5' width='2'/>".to_owned(), format!("<col min='1' max='5' width='2'/>{}", widths(6..8))),
        (
            "<col min='3' max='16384' hidden='1' a='\"'/>".to_owned(),
            format!(
                "<col min=\"3\" max=\"3\" hidden='1' a='\"'/>{}<col min=\"8\" max=\"16384\" hidden='1' a='\"'/>",
                widths(4..8)
            ),
        ),
        ("<col min='9' max='4294967295'/>".to_owned(), "<col min='9' max='4294967295'/>".to_owned()),
        ("<col min='5' max='6' hidden='true'/>".to_owned(), format!("{}{}", widths(5..7), widths(7..8))),
    ] {
        let output = with(&cols);
        assert!(output.contains(&format!("<cols>{expected}</cols>")), "{output}");
    }
    let empty =
        spliced(&format!("<worksheet><cols/><sheetData><row>{HEADER}</row><row>{KIA}</row></sheetData></worksheet>"));
    assert!(empty.starts_with(&format!("<worksheet><cols>{}</cols><sheetData>", widths(4..8))), "{empty}");
}

#[test]
fn new_columns_avoid_merged_cells_below_the_headers() {
    let with = |merged: &str| {
        let merged = format!("<mergeCells><mergeCell ref=\"{merged}\"/></mergeCells>");
        spliced(&format!(
            "<worksheet><sheetData><row/><row>{HEADER}</row><row>{KIA}</row></sheetData>{merged}</worksheet>"
        ))
    };
    assert!(with("A3:F3").contains("<c r=\"G3\"><v>50</v></c>"));
    for elsewhere in ["A1:F1", "A3:XFD3", "A3:B3", "x"] {
        assert!(with(elsewhere).contains("<c r=\"D3\"><v>50</v></c>"), "{elsewhere}");
    }
}

#[test]
fn inconsistent_row_numbers_are_rejected() {
    let rav4 = KIA.replace("Kia", "Toyota").replace('5', "9");
    for rows in [
        format!("<row r=\"2\">{KIA}</row><row r=\"2\">{rav4}</row>"),
        format!("<row r=\"3\">{KIA}</row><row r=\"2\">{rav4}</row>"),
        format!("<row r=\"4294967298\">{KIA}</row>"),
        format!("<row r=\"2\"><c r=\"A3\"/>{KIA}</row>"),
        format!("<row r=\"2\">{KIA}<c r=\"A2\"><v>1</v></c></row>"),
        format!("<row r=\"2\" r=\"3\">{KIA}</row>"),
        format!("<row r=\"2\" a=\"<\">{KIA}</row>"),
    ] {
        let error = reject(&sheet(&format!("<row r=\"1\">{HEADER}</row>{rows}")));
        assert!(error.contains("damaged"), "{error}");
    }
}

#[test]
fn cdata_is_supported() {
    let kia = KIA.replace("Kia", "<![CDATA[Kia]]>").replace("<v>5</v>", "<v><![CDATA[5]]></v>");
    let output = spliced(&sheet(&format!("<row>{HEADER}</row><row>{kia}</row>")));
    assert!(output.contains(&format!("{kia}{}", prices(2))), "{output}");
}

/// Some programs write part names with backslashes.
#[test]
fn backslashes_in_part_names_are_supported_and_kept() {
    let input = with_part(SHEET, sheet(&format!("<row>{HEADER}</row><row>{KIA}</row>")).as_bytes());
    let parts: Vec<_> = parts_of(&input).into_iter().map(|(name, bytes)| (name.replace('/', "\\"), bytes)).collect();
    let (output, summary) = valued("cars.xlsx", &zip_of(&parts));
    assert_eq!(summary.valued, 1);
    assert!(parts_of(&output).iter().zip(&parts).all(|((written, _), (read, _))| written == read));
}

#[test]
fn oversized_rows_are_rejected() {
    let noise = repeat(4_000, |id| format!("{:x}", id.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let comment = format!("<!-- {noise} -->");
    let long = format!("<row>{}</row>", comment.repeat(80));
    let error = reject(&sheet(&format!("<row>{HEADER}</row>{long}")));
    assert!(error.contains("a row of the sheet is larger than 4 MiB"), "{error}");
    let between = format!("<row>{HEADER}</row>{}<row>{KIA}</row>", comment.repeat(80));
    assert!(reject(&sheet(&between)).contains("larger than 4 MiB"));
    let behind = format!("{}{}", "<a>b</a>".repeat(100_000), "</worksheet>");
    let output = spliced(&sheet(&format!("<row>{HEADER}</row><row>{KIA}</row>")).replace("</worksheet>", &behind));
    assert!(output.ends_with(&format!("</sheetData>{behind}")));
}
