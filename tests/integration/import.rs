//! Files into the database: what is taken, what is refused, what is never half done.

use std::io::Write;

use crate::market::{Home, backends, wait_until};

const CARS: &str = "Марка;Модель;Год выпуска;Пробег;Объём;Мощность;КПП;Дата объявления;Цена;Комментарий\n\
    Kia;Rio;2018 г.;83 000 км;1,6;123 л.с.;АКПП;17.03.2026;1 350 000 ₽;битая фара\n\
    Kia;Rio;2018;83000;1598 см³;123;автомат;2026-03-17;1350000;та же машина\n\
    LADA (ВАЗ);2114;1995;96000;1.5;77;МКПП;2026-03-17;120000;\n\
    Kia;Rio;3018;83000;1.6;123;АКПП;2026-03-17;1350000;\n\
    ;Rio;2018;много;1.6;123;АКПП;2026-03-17;1350000;\n";

#[test]
fn a_russian_table_is_read_as_people_write_it_and_a_second_time_changes_nothing() {
    let home = Home::new();
    let file = home.write("cars.csv", CARS);
    let rejects = home.path("rejected.csv");
    let told = home.ok(&["import", &file, "--rejects", rejects.to_str().unwrap()]);
    assert!(told.contains("5 rows, 2 added, 1 repeated in the file, 0 already known, 2 rejected"), "{told}");
    assert!(told.contains("ignored columns: Комментарий"), "{told}");

    let rejected = std::fs::read_to_string(&rejects).unwrap();
    let lines: Vec<&str> = rejected.lines().collect();
    assert_eq!(lines[0].trim_start_matches('\u{feff}'), "file,row,column,value,reason");
    assert!(lines.iter().any(|line| line.contains(",5,year,3018,must be between 1900 and ")), "{rejected}");
    assert!(lines.iter().any(|line| line.contains(",6,mileage,много,must be a number")), "{rejected}");
    assert!(lines.iter().any(|line| line.contains(",6,brand,,is required and is missing")), "{rejected}");

    let told = home.ok(&["import", &file]);
    assert!(told.contains("0 added, 1 repeated in the file, 2 already known"), "{told}");
}

#[test]
fn rejected_rows_of_every_file_and_every_import_are_kept() {
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
    let told = home.ok(&["import", "b/cars.csv", "--rejects", "rejected.csv"]);
    assert!(told.contains("all rejected rows: rejected.2.csv"), "{told}");
    assert_eq!(rows_of("rejected.csv").len(), 2);
    assert_eq!(rows_of("rejected.2.csv"), ["b/cars.csv"]);

    home.ok(&["import", "a/cars.csv", "b/cars.csv"]);
    assert_eq!(rows_of("cars.csv.rejects.csv"), ["a/cars.csv"]);
    assert_eq!(rows_of("cars.csv.rejects.2.csv"), ["b/cars.csv"]);
}

#[test]
fn several_columns_of_one_meaning_are_read_as_one() {
    let home = Home::new();
    let cars = "PK;Марка;Год;Пробег;Город;Регион;Цена;Стоимость\n\
        1;Kia;2018;83000;Тверь;Москва;1350000;\n\
        2;Kia;2018;84000;Тверь;;1350000;1,35 млн\n\
        3;Kia;2018;85000;;;1350000;1400000\n";
    let file = home.write("cars.csv", cars);
    let told = home.ok(&["import", &file]);
    assert!(told.contains("3 rows, 2 added"), "{told}");
    assert!(told.contains("\"Регион\", \"Город\" all denote region: the first nonempty one is used"), "{told}");
    let reason = "price differs between the columns \"Цена\" and \"Стоимость\" (got \"1350000 / 1400000\")";
    assert!(told.contains(&format!("row 4: {reason}")), "{told}");
    assert!(told.contains("ignored columns: PK"), "{told}");
}

#[test]
fn a_compressed_table_and_a_workbook_hold_the_same_listings() {
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
fn a_killed_import_leaves_nothing_behind() {
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
    // Both are of the first rows of the file.
    let small = home.write("small.csv", "brand,year,mileage,price\nKia,2018,0,1350000\nKia,2018,5,1350000\n");
    let told = home.ok(&["import", &small]);
    assert!(told.contains("2 added, 0 repeated in the file, 0 already known"), "{told}");
    let told = home.ok(&["import", &file]);
    assert!(told.contains("199,998 added, 0 repeated in the file, 2 already known"), "{told}");
}
