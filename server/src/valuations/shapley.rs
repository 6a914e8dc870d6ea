//! Shapley values: how much each player of a game contributes to its worth (Shapley 1953).

/// The contribution of a player.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Contribution {
    /// The mean worth of the coalitions that the player joins, weighted as by Shapley.
    pub(crate) without: f64,
    /// Their mean worth with the player.
    pub(crate) with: f64,
}

impl Contribution {
    /// The Shapley value.
    pub(crate) fn amount(self) -> f64 {
        self.with - self.without
    }

    /// The same in relation to the worth without the player: at least −1 if no worth is negative.
    pub(crate) fn effect(self) -> f64 {
        if self.without > 0.0 { self.with / self.without - 1.0 } else { 0.0 }
    }
}

/// The contribution of each player, by enumeration of all coalitions. `worth[mask]` is the worth of the coalition of the players
/// whose bits are set, so there are 2^`players` of them.
pub(crate) fn contributions(players: usize, worth: &[f64]) -> Vec<Contribution> {
    let weights = weights(players);
    let contribution = |player: usize| {
        let bit = 1 << player;
        let mut contribution = Contribution::default();
        for mask in (0_usize..worth.len()).filter(|mask| mask & bit == 0) {
            let weight = weights[mask.count_ones() as usize];
            contribution.without += weight * worth[mask];
            contribution.with += weight * worth[mask | bit];
        }
        contribution
    };
    (0..players).map(contribution).collect()
}

/// The weight of a coalition by its size, `s! (n − s − 1)! / n!`.
fn weights(players: usize) -> Vec<f64> {
    let mut weights = Vec::with_capacity(players);
    #[expect(clippy::cast_precision_loss, reason = "a handful of players")]
    for size in 0..players {
        weights.push(match weights.last() {
            None => 1.0 / players as f64,
            Some(last) => last * size as f64 / (players - size) as f64,
        });
    }
    weights
}

/// Rounds numbers to integers that add up to `total`, which is their sum but for rounding: by largest remainder.
pub(crate) fn round_to_total(numbers: &[f64], total: i64) -> Vec<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "amounts of money in cents are far below 2^53")]
    let mut rounded: Vec<i64> = numbers.iter().map(|number| number.floor() as i64).collect();
    let mut by_remainder: Vec<usize> = (0..numbers.len()).collect();
    let remainder = |index: &usize| numbers[*index] - numbers[*index].floor();
    by_remainder.sort_by(|a, b| remainder(b).total_cmp(&remainder(a)));
    let mut left = total - rounded.iter().sum::<i64>();
    // Rounding errors of the numbers themselves may leave a few units more than there are numbers, or fewer than none.
    while left != 0 && !by_remainder.is_empty() {
        let unit = left.signum();
        let by_remainder = by_remainder.iter();
        let order: Vec<&usize> = if unit > 0 { by_remainder.collect() } else { by_remainder.rev().collect() };
        for index in order {
            if left != 0 {
                rounded[*index] += unit;
                left -= unit;
            }
        }
    }
    rounded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A game with interactions of all orders.
    fn worth(players: usize) -> Vec<f64> {
        (0..1_u32 << players)
            .map(|mask| {
                let bits = f64::from(mask.count_ones());
                100.0 * (0.3 * bits - 0.1 * f64::from(mask % 5)).exp() + f64::from(mask % 7)
            })
            .collect()
    }

    /// Adds the contributions of all orders in which the remaining players may join; returns the number of orders.
    fn add_orders(joined: usize, players: usize, worth: &[f64], sums: &mut [f64]) -> f64 {
        let mut orders = 0.0;
        for player in (0..players).filter(|player| joined & (1 << player) == 0) {
            let next = joined | (1 << player);
            let orders_after = add_orders(next, players, worth, sums);
            sums[player] += orders_after * (worth[next] - worth[joined]);
            orders += orders_after;
        }
        f64::max(orders, 1.0)
    }

    #[test]
    fn contributions_add_up_and_equal_the_mean_over_all_orders() {
        for players in 0..=6 {
            let worth = worth(players);
            let contributions = contributions(players, &worth);
            let sum: f64 = contributions.iter().map(|contribution| contribution.amount()).sum();
            assert!((sum - (worth[worth.len() - 1] - worth[0])).abs() < 1e-9, "{players} players");
            let mut sums = vec![0.0; players];
            let orders = add_orders(0, players, &worth, &mut sums);
            for (contribution, sum) in contributions.iter().zip(sums) {
                assert!((contribution.amount() - sum / orders).abs() < 1e-9, "{players} players: {contribution:?}");
            }
        }
    }

    #[test]
    fn eight_players_share_what_they_add_and_no_effect_is_below_minus_one() {
        let worth = worth(8);
        let contributions = contributions(8, &worth);
        let sum: f64 = contributions.iter().map(|contribution| contribution.amount()).sum();
        assert!((sum - (worth[255] - worth[0])).abs() < 1e-9);
        // One player makes the car worthless.
        let worthless: Vec<f64> = (0..256).map(|mask| if mask & 4 == 0 { worth[mask] } else { 0.0 }).collect();
        let effects: Vec<f64> = super::contributions(8, &worthless).into_iter().map(Contribution::effect).collect();
        assert!((effects[2] + 1.0).abs() < 1e-12);
        assert!(effects.iter().all(|effect| *effect >= -1.0 && effect.is_finite()), "{effects:?}");
    }

    #[test]
    fn rounded_numbers_add_up() {
        assert_eq!(round_to_total(&[0.4, 0.4, 0.2], 1), [1, 0, 0]);
        assert_eq!(round_to_total(&[-1.5, 2.25, -0.75], 0), [-1, 2, -1]);
        assert_eq!(round_to_total(&[1.0, 2.0], 2), [1, 1], "the total is one less than the sum");
        assert_eq!(round_to_total(&[], 0), Vec::<i64>::new());
    }
}
