//! The axes of a plot.

use maud::{Markup, html};

use crate::area::{BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH};
use crate::text::{Anchor, FormatNumber, Text};

/// The scale of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal distances mean equal differences.
    Linear,
    /// Equal distances mean equal ratios. Falls back to linear if the axis includes numbers of 0 or below.
    Logarithmic,
}

/// An axis of a plot.
pub(crate) struct Axis<'a> {
    low: f64,
    high: f64,
    scale: Scale,
    ticks: Vec<f64>,
    label: &'a Text,
    format: FormatNumber<'a>,
}

impl<'a> Axis<'a> {
    /// An axis from `low` to `high` with about `tick_count` ticks at round numbers.
    pub(crate) fn new(
        (low, high): (f64, f64),
        scale: Scale,
        tick_count: usize,
        label: &'a Text,
        format: FormatNumber<'a>,
    ) -> Self {
        let scale = if low > 0.0 { scale } else { Scale::Linear };
        // Widen an empty range.
        let (low, high) =
            if high > low { (low, high) } else { (low - 0.5 * low.abs().max(1.0), low + 0.5 * low.abs().max(1.0)) };
        let scale = if low > 0.0 { scale } else { Scale::Linear };
        let ticks = match scale {
            Scale::Linear => linear_ticks(low, high, tick_count),
            Scale::Logarithmic => logarithmic_ticks(low, high, tick_count),
        };
        Self { low, high, scale, ticks, label, format }
    }

    /// The same axis with explicit ticks.
    pub(crate) fn with_ticks(mut self, ticks: Vec<f64>) -> Self {
        self.ticks = ticks;
        self
    }

    /// The relative position of a number, clamped to 0..1.
    fn position(&self, number: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (number - self.low) / (self.high - self.low),
            Scale::Logarithmic => (number.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    pub(crate) fn x(&self, number: f64) -> f64 {
        LEFT + self.position(number) * (WIDTH - LEFT - RIGHT)
    }

    pub(crate) fn y(&self, number: f64) -> f64 {
        HEIGHT - BOTTOM - self.position(number) * (HEIGHT - TOP - BOTTOM)
    }

    /// The label of the axis.
    pub(crate) fn label(&self) -> &Text {
        self.label
    }

    pub(crate) fn draw_horizontal(&self) -> Markup {
        let base = HEIGHT - BOTTOM;
        html! {
            path class="axis" d=(format!("M{LEFT} {base}H{:.1}", WIDTH - RIGHT)) {}
            @for tick in &self.ticks {
                path class="axis" d=(format!("M{:.1} {base}v4", self.x(*tick))) {}
                ((self.format)(*tick).draw(self.x(*tick), base + 17.0, "tick", Anchor::Middle))
            }
            (self.label.draw((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6.0, "label", Anchor::Middle))
        }
    }

    pub(crate) fn draw_vertical(&self) -> Markup {
        html! {
            @for tick in &self.ticks {
                path class="grid" d=(format!("M{LEFT} {:.1}H{:.1}", self.y(*tick), WIDTH - RIGHT)) {}
                ((self.format)(*tick).draw(LEFT - 6.0, self.y(*tick) + 4.0, "tick", Anchor::End))
            }
            (self.label.draw(4.0, 11.0, "label", Anchor::Start))
        }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = (high - low) / count.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(rough);
    let first = (low / step - 1e-9).ceil();
    (0..=2 * count + 2).map(|tick| (first + tick as f64) * step).filter(|tick| *tick <= high + step * 1e-9).collect()
}

fn logarithmic_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let powers = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
    let steps: [&[f64]; 4] = [&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
    let mut ticks = Vec::new();
    for step in steps {
        ticks = powers.clone().flat_map(|power| step.iter().map(move |step| step * 10_f64.powi(power))).collect();
        ticks.retain(|tick| (low..=high).contains(tick));
        if ticks.len() <= count + 1 {
            break;
        }
    }
    if ticks.len() < 3 {
        return linear_ticks(low, high, count);
    }
    // Thin out the ticks if there are too many powers of ten.
    let stride = ticks.len().div_ceil(count.max(1) + 1).max(1);
    ticks.into_iter().step_by(stride).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_range() {
        assert_eq!(linear_ticks(0.0, 100.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(linear_ticks(2003.2, 2024.0, 4), [2010.0, 2020.0]);
        assert_eq!(logarithmic_ticks(90_000.0, 6e6, 5), [1e5, 2e5, 5e5, 1e6, 2e6, 5e6]);
        assert_eq!(logarithmic_ticks(90_000.0, 6e7, 5), [1e5, 3e5, 1e6, 3e6, 1e7, 3e7]);
        assert!(logarithmic_ticks(1.0, 1e12, 5).len() <= 6);
        assert_eq!(logarithmic_ticks(0.75, 1.3, 3).len(), 3, "a narrow range has ticks too");
    }

    #[test]
    fn an_empty_range_is_widened() {
        let format = |number: f64| Text::plain(number.to_string());
        for number in [0.0, 5.0, -5.0, 1e12] {
            let label = Text::plain("");
            let axis = Axis::new((number, number), Scale::Logarithmic, 5, &label, &format);
            assert!(axis.x(number).is_finite() && axis.y(number).is_finite());
        }
    }
}
