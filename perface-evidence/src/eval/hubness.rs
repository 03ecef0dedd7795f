//! How STEP 2 spreads its choices: which candidates it takes over and over.
//!
//! Least similar to one face is least similar to many: in a space of many dimensions some points are extreme for almost
//! every query (hubness; Radovanović and others, J. Machine Learning Research 11, 2010). Who always takes the least
//! similar face then publishes the same few faces, and can be guessed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use perface::error::{Error, Result};
use perface::table::csv_text;

/// One query: the group it was put into and the candidates of that group, least similar first.
#[derive(Clone, Debug, Serialize)]
pub struct RankedQuery {
    /// The query's picture.
    pub query: String,
    /// The chosen group.
    pub group: String,
    /// Pictures and cosines of the least similar candidates, least similar first.
    pub least: Vec<(String, f32)>,
    /// Pictures and cosines of the most similar candidates, most similar first.
    pub most: Vec<(String, f32)>,
}

/// How often the candidates of one group were taken as the least similar.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupUse {
    /// The group.
    pub group: String,
    /// Queries put into it.
    pub queries: usize,
    /// Candidates it has.
    pub candidates: usize,
    /// Candidates that were least similar to some query.
    pub used: usize,
    /// Share of queries that get the candidate used most.
    pub most_used: f64,
    /// Entropy of the choice, in bits.
    pub entropy_bits: f64,
    /// The most it could be: log2 of queries or candidates, whichever are fewer.
    pub most_bits: f64,
    /// Skewness of how often each candidate is among the k least similar: 0 if all are alike, large if few are hubs.
    /// `None` where all are exactly alike.
    pub skewness: Option<f64>,
    /// How often each was taken, most used first.
    pub counts: Vec<(String, usize)>,
}

/// Rankings of many queries.
#[derive(Clone, Debug, Serialize)]
pub struct RankEvaluation {
    /// Version of this record.
    pub schema: u32,
    /// The model's name.
    pub model: String,
    /// What its similarity is called.
    pub similarity: String,
    /// Among how many of the least similar a candidate counts for the skewness.
    pub k: usize,
    /// Each group that some query was put into.
    pub groups: Vec<GroupUse>,
    /// Each query.
    pub queries: Vec<RankedQuery>,
}

/// Count how often each candidate was taken. `candidates` says how many each group has.
///
/// # Errors
/// [`Error::Usage`] without queries.
pub fn evaluate(
    model: (&str, &str),
    queries: Vec<RankedQuery>,
    candidates: &BTreeMap<String, usize>,
    k: usize,
) -> Result<RankEvaluation> {
    if queries.is_empty() {
        return Err(Error::Usage("there are no queries to rank for".to_owned()));
    }
    let mut by_group: BTreeMap<&str, Vec<&RankedQuery>> = BTreeMap::new();
    for query in &queries {
        by_group.entry(&query.group).or_default().push(query);
    }
    let groups = by_group
        .iter()
        .map(|(group, queries)| group_use(group, queries, candidates.get(*group).copied().unwrap_or(0), k))
        .collect();
    Ok(RankEvaluation { schema: 1, model: model.0.to_owned(), similarity: model.1.to_owned(), k, groups, queries })
}

fn group_use(group: &str, queries: &[&RankedQuery], candidates: usize, k: usize) -> GroupUse {
    let count = |most: usize| {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, _) in queries.iter().flat_map(|query| query.least.iter().take(most)) {
            *counts.entry(name).or_default() += 1;
        }
        counts
    };
    let first = count(1);
    let total = first.values().sum::<usize>().max(1) as f64;
    let entropy_bits = first.values().map(|n| *n as f64 / total).map(|p| -p * p.log2()).sum::<f64>().max(0.0);
    let mut counts: Vec<(String, usize)> = first.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut occurrences: Vec<f64> = count(k).values().map(|n| *n as f64).collect();
    occurrences.resize(candidates.max(occurrences.len()), 0.0);
    GroupUse {
        group: group.to_owned(),
        queries: queries.len(),
        candidates,
        used: counts.len(),
        most_used: counts.first().map_or(0.0, |(_, n)| *n as f64 / total),
        entropy_bits,
        most_bits: (queries.len().min(candidates).max(1) as f64).log2(),
        skewness: skewness(&occurrences),
        counts,
    }
}

/// The third standardised moment, with divisor n; `None` where all values are alike.
fn skewness(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let moment = |power: i32| values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / n;
    let variance = moment(2);
    (variance > 0.0).then(|| moment(3) / variance.powf(1.5))
}

impl RankEvaluation {
    /// As text.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{}, least similar candidate of the chosen group\n{:<14}{:>9}{:>12}{:>7}{:>15}{:>18}{:>14}\n",
            self.similarity, "group", "queries", "candidates", "used", "most used gets", "entropy, bits", "skewness"
        );
        for row in &self.groups {
            let skewness = row.skewness.map_or("–".to_owned(), |s| format!("{s:.2}"));
            let entropy = format!("{:.2} of {:.2}", row.entropy_bits, row.most_bits);
            let most = format!("{:.1} %", 100.0 * row.most_used);
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{:<14}{:>9}{:>12}{:>7}{most:>15}{entropy:>18}{skewness:>14}",
                row.group, row.queries, row.candidates, row.used
            );
        }
        let _ = writeln!(text, "skewness: of how often each candidate is among the {} least similar", self.k);
        text
    }

    /// Each query with its least similar candidate.
    ///
    /// # Errors
    /// If a row cannot be written as CSV.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let head = ["query", "group", "least_similar", "cosine"].map(str::to_owned);
        csv_text(
            &head,
            self.queries.iter().filter_map(|query| {
                let (name, cosine) = query.least.first()?;
                Some(vec![query.query.clone(), query.group.clone(), name.clone(), cosine.to_string()])
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: usize, least: &[&str]) -> RankedQuery {
        RankedQuery {
            query: format!("q{name}"),
            group: "male".to_owned(),
            least: least.iter().map(|name| ((*name).to_owned(), 0.0)).collect(),
            most: Vec::new(),
        }
    }

    fn judged(firsts: &[&str], candidates: usize) -> GroupUse {
        let queries = firsts.iter().enumerate().map(|(i, first)| query(i, &[first])).collect();
        let sizes = BTreeMap::from([("male".to_owned(), candidates)]);
        evaluate(("m", "m cosine"), queries, &sizes, 1).unwrap().groups.remove(0)
    }

    #[test]
    fn even_choices_have_full_entropy_and_no_skew() {
        let even = judged(&["a", "b", "c", "d"], 4);
        assert_eq!((even.used, even.entropy_bits, even.most_bits, even.skewness), (4, 2.0, 2.0, None));
    }

    #[test]
    fn one_hub_has_no_entropy_and_a_long_tail() {
        let hub = judged(&["a", "a", "a", "a"], 10);
        assert_eq!((hub.used, hub.most_used, hub.entropy_bits), (1, 1.0, 0.0));
        // Nine zeros and a four: skewness (n − 2) / √(n − 1).
        assert!((hub.skewness.unwrap() - 8.0 / 3.0).abs() < 1e-12);
        assert_eq!(hub.counts, [("a".to_owned(), 4)]);
    }

    #[test]
    fn no_queries_are_an_error() {
        assert!(evaluate(("m", "m"), Vec::new(), &BTreeMap::new(), 5).is_err());
    }
}
