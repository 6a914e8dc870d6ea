//! Importing files: accepted and rejected rows, and atomicity.

use std::io::Write;

use crate::market::{Home, backends, wait_until};

const CARS: &str = "Марка;Модель;Год выпуска;Пробег;Объём;Мощность;КПП;Дата объявления;Цена;Комментарий\n\
    Kia;Rio;2018 г.;83 000 км;1,6;123 л.с.;АКПП;17.03.2026;1 350 000 ₽;битая фара\n\
    Kia;Rio;2018;83000;1598 см³;123;автомат;2026-03-17;1350000;та же машина\n\
    LADA (ВАЗ);2114;1995;96000;1.5;77;МКПП;2026-03-17;120000;\n\
    Kia;Rio;3018;83000;1.6;123;АКПП;2026-03-17;1350000;\n\
    ;Rio;2018;много;1.6;123;АКПП;2026-03-17;1350000;\n";

#[test]
fn a_russian_table_is_imported_once() {
    let home = Home::new();
    let file = home.write("cars.csv", CARS);
    let rejects = home.path("rejected.csv");
    let output = home.ok(&["import", &file, "--rejects", rejects.to_str().unwrap()]);
    assert!(output.contains("5 rows, 2 added, 1 repeated in the file, 0 already known, 2 rejected"), "{output}");
    assert!(output.contains("ignored columns: Комментарий"), "{output}");

    let rejected = std::fs::read_to_string(&rejects).unwrap();
    let lines: Vec<&str> = rejected.lines().collect();
    assert_eq!(lines[0].trim_start_matches('\u{feff}'), "file,row,column,value,reason");
    assert!(lines.iter().any(|line| line.contains(",5,year,3018,must be between 1900 and ")), "{rejected}");
    assert!(lines.iter().any(|line| line.contains(",6,mileage,много,must be a number")), "{rejected}");
    assert!(lines.iter().any(|line| line.contains(",6,brand,,is required and is missing")), "{rejected}");

    let output = home.ok(&["import", &file]);
    assert!(output.contains("0 added, 1 repeated in the file, 2 already known"), "{output}");
}

#[test]
fn rejected_rows_of_all_imports_are_kept() {
    let home = Home::new();
    let table = |mileage: &str| format!("brand,year,mileage,price\nKia,2018,{mileage},1350000\nKia,1700,1,1350000\n");
    for (number, folder) in ["a", "b"].iter().enumerate() {
        std::fs::create_dir(home.path(folder)).unwrap();
        home.write(&format!("{folder}/cars.csv"), table(&number.to_string()));
    }
    let rows_of = |name: &str| {
        let text = std::fs::read_to_string(home.path(name)).unwrap();
        text.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect::<Vec<_>>()
    };

    home.ok(&["import", "a/cars.csv", "b/cars.csv", "--rejects", "rejected.csv"]);
    assert_eq!(rows_of("rejected.csv"), ["a/cars.csv", "b/cars.csv"]);
    let output = home.ok(&["import", "b/cars.csv", "--rejects", "rejected.csv"]);
    assert!(output.contains("all rejected rows: rejected.2.csv"), "{output}");
    assert_eq!(rows_of("rejected.csv").len(), 2);
    assert_eq!(rows_of("rejected.2.csv"), ["b/cars.csv"]);

    home.ok(&["import", "a/cars.csv", "b/cars.csv"]);
    assert_eq!(rows_of("cars.csv.rejects.csv"), ["a/cars.csv"]);
    assert_eq!(rows_of("cars.csv.rejects.2.csv"), ["b/cars.csv"]);
}

#[test]
fn columns_with_the_same_meaning_are_merged() {
    let home = Home::new();
    let cars = "PK;Марка;Год;Пробег;Город;Регион;Цена;Стоимость\n\
        1;Kia;2018;83000;Тверь;Москва;1350000;\n\
        2;Kia;2018;84000;Тверь;;1350000;1,35 млн\n\
        3;Kia;2018;85000;;;1350000;1400000\n";
    let file = home.write("cars.csv", cars);
    let output = home.ok(&["import", &file]);
    assert!(output.contains("3 rows, 2 added"), "{output}");
    assert!(output.contains("\"Регион\", \"Город\" all denote region: the first nonempty one is used"), "{output}");
    let reason = "price differs between the columns \"Цена\" and \"Стоимость\" (got \"1350000 / 1400000\")";
    assert!(output.contains(&format!("row 4: {reason}")), "{output}");
    assert!(output.contains("ignored columns: PK"), "{output}");
}

#[test]
fn compressed_tables_and_workbooks_can_be_imported() {
    let home = Home::new();
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    compressed.write_all("brand,year,mileage,price\nKia,2018,83000,1350000\n".as_bytes()).unwrap();
    let file = home.write("cars.csv.gz", compressed.finish().unwrap());
    assert!(home.ok(&["import", &file]).contains("1 added"));

    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    sheet.write_row(0, 0, ["brand", "year", "mileage", "price"]).unwrap();
    sheet.write_row(1, 0, ["Kia"]).unwrap();
    sheet.write_row(1, 1, [2018.0, 83000.0, 1_350_000.0]).unwrap();
    let file = home.path("cars.xlsx");
    workbook.save(&file).unwrap();
    assert!(home.ok(&["import", file.to_str().unwrap()]).contains("0 added, 0 repeated in the file, 1 already known"));
}

#[test]
fn a_killed_import_leaves_no_rows() {
    let home = Home::new();
    let mut rows = String::from("brand,year,mileage,price\n");
    rows.extend((0..200_000).map(|number| format!("Kia,2018,{number},1350000\n")));
    let file = home.write("many.csv", rows);
    let mut import = home.command(&["import", &file]).spawn().unwrap();
    wait_until("the import copies rows", || {
        assert!(import.try_wait().unwrap().is_none(), "the import ended before it was killed");
        !backends(&home, &["COPY"]).is_empty()
    });
    import.kill().unwrap();
    assert!(!import.wait().unwrap().success());
    // Both rows are among the first of the file.
    let small = home.write("small.csv", "brand,year,mileage,price\nKia,2018,0,1350000\nKia,2018,5,1350000\n");
    let output = home.ok(&["import", &small]);
    assert!(output.contains("2 added, 0 repeated in the file, 0 already known"), "{output}");
    let output = home.ok(&["import", &file]);
    assert!(output.contains("199,998 added, 0 repeated in the file, 2 already known"), "{output}");
}
