//! Plots that are drawn here, as SVG: bars of stacked parts. Nothing but numbers and our own words stands in them; colours are classes of the
//! style sheet, so that the Content-Security-Policy holds, each with a pattern of its own in the key beside it.

use super::Moment;
use crate::base::time::Timestamp;

/// Units of the drawing: its width for each bar, of which the bar takes eight, and its height.
const STEP: i64 = 10;
const HEIGHT: i64 = 100;

/// One kind of what is stacked.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name, in English.
    pub name: &'static str,
    /// How much of it there is in each bar.
    pub values: Vec<i64>,
}

impl Part {
    /// All of it.
    pub fn sum(&self) -> i64 {
        self.values.iter().sum()
    }
}

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Which part it is: its colour is that of the class `plot-N`.
    pub part: usize,
    /// From the left.
    pub x: i64,
    /// From the top.
    pub y: i64,
    /// How high.
    pub height: i64,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Its id in the page.
    pub id: &'static str,
    /// What it shows, in English.
    pub title: &'static str,
    /// What is stacked, from the bottom.
    pub parts: Vec<Part>,
    /// When each bar begins.
    pub begins: Vec<Timestamp>,
}

impl Plot {
    /// The sum of every bar.
    fn sums(&self) -> Vec<i64> {
        let sum = |at: usize| self.parts.iter().filter_map(|part| part.values.get(at)).sum();
        (0..self.begins.len()).map(sum).collect()
    }

    /// The highest bar.
    pub fn most(&self) -> i64 {
        self.sums().into_iter().max().unwrap_or_default()
    }

    /// Everything.
    pub fn sum(&self) -> i64 {
        self.sums().into_iter().sum()
    }

    /// What it shows, in a sentence, for whoever does not see it.
    pub fn told(&self) -> String {
        format!(
            "{} requests in all, at most {} in one bar. The table below has the numbers.",
            self.sum(),
            self.most()
        )
    }

    /// How wide the drawing is.
    pub fn width(&self) -> i64 {
        wide(self.begins.len())
    }

    /// The rectangles.
    pub fn bars(&self) -> Vec<Bar> {
        let most = self.most().max(1);
        let mut bars = Vec::new();
        for at in 0..self.begins.len() {
            let mut below = 0;
            for (part, of) in self.parts.iter().enumerate() {
                let value = of.values.get(at).copied().unwrap_or_default();
                if value <= 0 {
                    continue;
                }
                // From sums, so that what is stacked ends where the sum does.
                let (from, to) =
                    (scaled(below, most), scaled(below + value, most).max(scaled(below, most) + 1));
                below += value;
                bars.push(Bar { part: part + 1, x: wide(at) + 1, y: HEIGHT - to, height: to - from });
            }
        }
        bars
    }

    /// When it begins.
    pub fn first(&self) -> Option<Moment> {
        self.begins.first().copied().map(Moment)
    }

    /// When its last bar begins.
    pub fn last(&self) -> Option<Moment> {
        self.begins.last().copied().map(Moment)
    }

    /// A row of the table beside it for each bar that is not empty, the newest first: when, how much of each part, and in all.
    pub fn rows(&self) -> Vec<(Moment, Vec<i64>, i64)> {
        let value = |part: &Part, at: usize| part.values.get(at).copied().unwrap_or_default();
        let row = |(at, begins): (usize, &Timestamp)| {
            let values: Vec<i64> = self.parts.iter().map(|part| value(part, at)).collect();
            let sum = values.iter().sum();
            (Moment(*begins), values, sum)
        };
        self.begins.iter().enumerate().rev().map(row).filter(|(_, _, sum)| *sum > 0).collect()
    }
}

/// The requests of a key in the last hours, as small as a word.
#[derive(Clone, Debug)]
pub struct Spark {
    /// How many in each hour, the present one last.
    pub hours: Vec<i64>,
}

impl Spark {
    /// All of them.
    pub fn sum(&self) -> i64 {
        self.hours.iter().sum()
    }

    /// The most in one hour.
    pub fn most(&self) -> i64 {
        self.hours.iter().copied().max().unwrap_or_default()
    }

    /// How wide the drawing is.
    pub fn width(&self) -> i64 {
        wide(self.hours.len())
    }

    /// The rectangles.
    pub fn bars(&self) -> Vec<Bar> {
        let most = self.most().max(1);
        let bar = |(at, value): (usize, &i64)| {
            let height = scaled(*value, most).max(1);
            Bar { part: 1, x: wide(at) + 1, y: HEIGHT - height, height }
        };
        self.hours.iter().enumerate().filter(|(_, value)| **value > 0).map(bar).collect()
    }
}

fn wide(bars: usize) -> i64 {
    i64::try_from(bars).unwrap_or_default().saturating_mul(STEP)
}

fn scaled(value: i64, most: i64) -> i64 {
    value.saturating_mul(HEIGHT) / most.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_each_other_and_the_highest_fills_the_plot() {
        let begins = vec![Timestamp::from_secs(0), Timestamp::from_secs(3600), Timestamp::from_secs(7200)];
        let part = |values: [i64; 3]| Part { name: "Reads", values: values.to_vec() };
        let plot = Plot { id: "x", title: "x", parts: vec![part([3, 0, 30]), part([1, 0, 10])], begins };
        assert_eq!((plot.most(), plot.sum(), plot.width()), (40, 44, 30));
        let bars = plot.bars();
        assert_eq!(bars.len(), 4, "what is nothing is not drawn: {bars:?}");
        assert_eq!(bars[2], Bar { part: 1, x: 21, y: 25, height: 75 });
        assert_eq!(bars[3], Bar { part: 2, x: 21, y: 0, height: 25 });
        assert!(bars.iter().all(|bar| bar.height >= 1 && bar.y >= 0), "however little, it is seen: {bars:?}");
        assert_eq!(plot.rows().len(), 2);
        let none = Plot { parts: Vec::new(), ..plot };
        assert!(none.bars().is_empty() && none.most() == 0);
    }

    #[test]
    fn a_spark_is_as_high_as_its_busiest_hour() {
        let spark = Spark { hours: vec![0, 1, 2, 1_000_000] };
        let bars = spark.bars();
        assert_eq!((bars.len(), bars[0].height, bars[2].height), (3, 1, 100));
    }
}
