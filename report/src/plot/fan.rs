//! Prices along something: half of the listings, most of them, and the median.

use std::fmt::Write;

use super::{Axis, Scale, frame, text};
use crate::figures::relations::{PriceAgainst, PriceBin};
use crate::words::{Language, Words};

/// Draws prices along something; nothing where there are too few listings.
pub(crate) fn fan(
    prices: &PriceAgainst,
    label: &Words,
    ticks: Option<Vec<f64>>,
    write: &dyn Fn(Language, f64) -> String,
) -> String {
    let bins = &prices.bins;
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else { return String::new() };
    let low = bins.iter().map(|bin| bin.prices[0]).fold(f64::MAX, f64::min);
    let high = bins.iter().map(|bin| bin.prices[4]).fold(0.0, f64::max);
    let money = |language: Language, price: f64| language.short(price);
    let mut horizontal = Axis::new((first.at, last.at), Scale::Linear, 6, label.clone(), write);
    if let Some(ticks) = ticks {
        horizontal = horizontal.marked(ticks);
    }
    let price = Words::new("цена, ₽ (логарифмическая шкала)", "price, ₽ (logarithmic scale)");
    let vertical = Axis::new((low / 1.3, high * 1.3), Scale::Logarithmic, 6, price, &money);
    let mut drawn = String::new();
    for (along, price) in prices.points.iter().filter(|(_, price)| (low / 1.3..=high * 1.3).contains(price)) {
        if (first.at..=last.at).contains(along) {
            let (x, y) = (horizontal.x(*along), vertical.y(*price));
            let _ = write!(drawn, "<circle class=\"point\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.6\"/>");
        }
    }
    drawn += &band(bins, "most", (0, 4), &horizontal, &vertical);
    drawn += &band(bins, "half", (1, 3), &horizontal, &vertical);
    drawn += "<path class=\"median\" d=\"";
    for (place, bin) in bins.iter().enumerate() {
        let command = if place == 0 { 'M' } else { 'L' };
        let _ = write!(drawn, "{command}{:.1} {:.1}", horizontal.x(bin.at), vertical.y(bin.prices[2]));
    }
    drawn += "\"/>";
    for place in [0, bins.len() / 2, bins.len() - 1] {
        let (bin, is_last) = (&bins[place], place + 1 == bins.len());
        let (x, y) = (horizontal.x(bin.at), vertical.y(bin.prices[2]));
        let anchor = if place == 0 {
            "start"
        } else if is_last {
            "end"
        } else {
            "middle"
        };
        let _ = write!(drawn, "<circle class=\"knot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
        drawn += &text(x, y - 8.0, "value halo", anchor, &Words::each(|language| money(language, bin.prices[2])));
    }
    frame(&horizontal, &vertical, &drawn, label)
}

fn band(bins: &[PriceBin], class: &str, (low, high): (usize, usize), horizontal: &Axis, vertical: &Axis) -> String {
    let there = bins.iter().map(|bin| (bin.at, bin.prices[low]));
    let back = bins.iter().rev().map(|bin| (bin.at, bin.prices[high]));
    let points = there.chain(back).map(|(at, price)| format!("{:.1},{:.1}", horizontal.x(at), vertical.y(price)));
    format!("<polygon class=\"{class}\" points=\"{}\"/>", points.collect::<Vec<_>>().join(" "))
}
