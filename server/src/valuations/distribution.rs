//! The distribution of the asking prices of a car, between the quantiles of the model.

/// Quantiles of the price, in ascending order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Distribution<'v> {
    /// The shares of such cars that are offered for less.
    pub(crate) levels: &'v [f64],
    /// The prices.
    pub(crate) prices: &'v [f64],
}

impl Distribution<'_> {
    /// The share of such cars that are offered for less than a price. Between the quantiles it is interpolated over the logarithm
    /// of the price; beyond the outer ones it halves, on average, over the distance of the outer two.
    pub(crate) fn share_below(&self, price: f64) -> f64 {
        let points = self.points();
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return 0.5 };
        let log = price.max(f64::MIN_POSITIVE).ln();
        if log < first.1 {
            return tail(first.0, first.1 - log, points.get(1).map(|second| (second.0, second.1 - first.1)));
        }
        if log > last.1 {
            let before = points.len().checked_sub(2).map(|index| points[index]);
            return 1.0 - tail(1.0 - last.0, log - last.1, before.map(|before| (1.0 - before.0, last.1 - before.1)));
        }
        let above = points.iter().position(|point| point.1 >= log).unwrap_or(0).max(1);
        let Some([low, high]) = points.get(above - 1..=above) else { return first.0 };
        interpolate(log, (low.1, low.0), (high.1, high.0))
    }

    /// The price at a level, at most the outer quantiles.
    pub(crate) fn price_at(&self, level: f64) -> f64 {
        let points = self.points();
        let above = points.iter().position(|point| point.0 >= level).unwrap_or(points.len().saturating_sub(1)).max(1);
        let Some([low, high]) = points.get(above - 1..=above) else {
            return self.prices.first().copied().unwrap_or_default();
        };
        interpolate(level.clamp(low.0, high.0), *low, *high).exp()
    }

    /// Half the distance of the quartiles in relation to the median: half of such cars are offered for a price that differs from
    /// the median by less, about.
    pub(crate) fn spread(&self) -> f64 {
        let median = self.price_at(0.5);
        if median > 0.0 { (self.price_at(0.75) - self.price_at(0.25)) / (2.0 * median) } else { 0.0 }
    }

    /// Levels with the logarithm of their prices.
    fn points(&self) -> Vec<(f64, f64)> {
        let log = |price: &f64| price.max(f64::MIN_POSITIVE).ln();
        self.levels.iter().zip(self.prices).map(|(level, price)| (*level, log(price))).collect()
    }
}

/// The share beyond a price at some distance outside of the outer quantile, given the share of the next one and its distance.
fn tail(outer: f64, distance: f64, next: Option<(f64, f64)>) -> f64 {
    match next {
        Some((share, step)) if step > 0.0 && outer > 0.0 => outer * (outer / share).powf(distance / step),
        _ => 0.0,
    }
}

fn interpolate(at: f64, low: (f64, f64), high: (f64, f64)) -> f64 {
    let width = high.0 - low.0;
    if width > 0.0 { low.1 + (high.1 - low.1) * (at - low.0) / width } else { high.1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];
    const PRICES: [f64; 5] = [600.0, 800.0, 1000.0, 1200.0, 1500.0];
    const DISTRIBUTION: Distribution<'static> = Distribution { levels: &LEVELS, prices: &PRICES };

    #[test]
    fn shares_match_the_quantiles_and_rise_between_and_beyond_them() {
        for (level, price) in LEVELS.into_iter().zip(PRICES) {
            assert!((DISTRIBUTION.share_below(price) - level).abs() < 1e-9);
            assert!((DISTRIBUTION.price_at(level) - price).abs() < 1e-9);
        }
        let shares: Vec<f64> = (1..300).map(|step| DISTRIBUTION.share_below(f64::from(step) * 10.0)).collect();
        assert!(shares.windows(2).all(|pair| pair[0] <= pair[1]), "{shares:?}");
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        assert!(shares[0] < 1e-3 && shares[298] > 0.97);
        assert!((DISTRIBUTION.spread() - 0.2).abs() < 1e-9);
    }

    #[test]
    fn a_single_price_has_no_spread() {
        let flat = Distribution { levels: &LEVELS, prices: &[1000.0; 5] };
        assert_eq!((flat.share_below(999.0), flat.share_below(1001.0), flat.spread()), (0.0, 1.0, 0.0));
    }
}
