//! Pages of the evaluations: what is shown of each record, in which order.

pub mod curves;
pub mod page;
pub mod scatter;

use std::path::Path;

use image::RgbImage;

use self::page::EvaluationPage;
use crate::eval::groups::{GroupEvaluation, three_decimals};
use crate::eval::hubness::RankEvaluation;
use crate::eval::pairs::Verification;
use crate::eval::similarity::SimilarityEvaluation;
use crate::eval::splits::{BeforeAfter, SPLIT_NAMES, SplitsEvaluation};
use crate::eval::spread::{Spread, Variance};
use crate::eval::triplet::{Case, DERIVED_NOTE, TripletEvaluation, p_value};
use perface::error::Result;
use perface::photo::{self, Limits};
use perface::pool::Group;
use perface::sheet::{Cell, Frame, Item, Key, SheetOptions, ink, pages};
use perface::triplets::Side;

/// Room of a face among the worked examples, in pixels.
const EXAMPLE_PX: u32 = 200;
/// Room of the words under it, in pixels: a model's name and a cosine.
const EXAMPLE_WORDS_PX: u32 = 240;
/// Width of the sheet of examples, in pixels: three faces.
const EXAMPLES_WIDTH_PX: u32 = 3 * 262 + 28;
/// Largest height of a picture in a page, in pixels.
const MAX_HEIGHT_PX: u32 = 8000;
/// Room of a face in a strip, in pixels.
const STRIP_PX: u32 = 132;

/// The page of triplets: Table 1, worked examples as in Table 2, scatter plots as in Fig. 4, the noise ceiling.
/// `examples` are shown with their pictures from `folder`.
pub fn triplet_page(result: &TripletEvaluation, examples: &[&Case], folder: &Path) -> EvaluationPage {
    let stamp = result.derived.then(|| DERIVED_NOTE.to_owned());
    let mut page = EvaluationPage::new("Agreement with people on which face is closer", stamp);
    page.text(format!("{}.", result.subject()));
    let rows = result.models.iter().map(|model| {
        let a = model.accuracy;
        let clustered = model.clustered.map_or("–".to_owned(), |c| format!("[{:.3}, {:.3}]", c.low, c.high));
        vec![
            model.name.clone(),
            format!("{:.3}", a.value),
            format!("{}/{}", a.hits, a.n),
            format!("[{:.3}, {:.3}]", a.low, a.high),
            clustered,
            model.ties.to_string(),
            p_value(model.p_chance),
        ]
    });
    page.table(
        &["model", "accuracy", "right", "95 % Wilson", "95 % clustered", "ties", "p of a coin"],
        rows.collect(),
        "Share of triplets on which the model finds the face people chose strictly more similar; equal ones are wrong. \
         Wilson's interval takes triplets for independent; the clustered one resamples targets and source triplets.",
    );
    let comparisons = result.comparisons.iter().map(|c| {
        let interval =
            c.difference.map_or("–".to_owned(), |d| format!("{:+.3} [{:+.3}, {:+.3}]", d.estimate, d.low, d.high));
        let (first, second) = (c.only_first.to_string(), c.only_second.to_string());
        vec![format!("{} against {}", c.second, c.first), interval, second, first, p_value(c.p_mcnemar)]
    });
    let comparisons: Vec<Vec<String>> = comparisons.collect();
    if !comparisons.is_empty() {
        page.table(
            &["models", "difference, 95 % clustered", "only the one right", "only the other right", "McNemar p"],
            comparisons,
            "Two models on the same triplets.",
        );
    }
    page.figures([(
        "accuracy".to_owned(),
        scatter::triplet_accuracies(result),
        "Accuracy. Wide bars: Wilson; thin lines: clustered.".to_owned(),
    )]);
    page.figures(result.models.iter().enumerate().filter_map(|(index, model)| {
        let caption = format!("{}: every triplet; above the dashed line Y = X the model agrees.", model.name);
        Some((format!("scatter-{}", model.name), scatter::triplet_scatter(result, index)?, caption))
    }));
    if let Some(ceiling) = &result.ceiling {
        page.heading("How far people agree").text(ceiling.to_text());
    }
    if !examples.is_empty() {
        page.heading("Worked examples");
        let names = result.models.iter().map(|model| model.name.clone());
        let head: Vec<String> = ["sample".to_owned(), "people chose".to_owned()].into_iter().chain(names).collect();
        let rows = examples.iter().map(|case| {
            let votes =
                format!("{} ({} to {})", case.chosen, case.votes_a.max(case.votes_b), case.votes_a.min(case.votes_b));
            let cosines = case.cosines.iter().enumerate().map(|(model, [a, b])| {
                format!("{a:.3} / {b:.3} {}", if case.right(model) { "right" } else { "wrong" })
            });
            [case.sample_id.clone(), votes].into_iter().chain(cosines).collect()
        });
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        page.table(&head, rows.collect(), "Cosine of the reference with a / with b.");
        let stamp = result.derived.then_some("DERIVED JUDGEMENTS");
        page.picture("examples", examples_picture(result, examples, folder, stamp), "The same triplets as pictures.");
    }
    page
}

/// A sheet with a row for each triplet: the reference, a and b; the face people chose is framed.
fn examples_picture(result: &TripletEvaluation, examples: &[&Case], folder: &Path, stamp: Option<&str>) -> RgbImage {
    let items = examples.iter().flat_map(|case| {
        let title = Item::Title(format!("sample {}", case.sample_id));
        let votes = |side| if side == Side::A { case.votes_a } else { case.votes_b };
        let faces =
            [("C, reference", &case.reference, None), ("A", &case.a, Some(Side::A)), ("B", &case.b, Some(Side::B))];
        let cells = faces.into_iter().map(|(name, file, side)| {
            let mut lines = vec![match side {
                None => name.to_owned(),
                Some(side) => format!("{name}: {} of {} votes", votes(side), case.votes_a + case.votes_b),
            }];
            if let Some(side) = side {
                lines.extend(result.models.iter().zip(&case.cosines).map(|(model, [a, b])| {
                    format!("{} {:+.3}", ink::shortened(&model.name, 170), if side == Side::A { a } else { b })
                }));
            }
            let mut cell = Cell::new(thumbnail(&folder.join(file), EXAMPLE_PX), lines);
            cell.frame = (side == Some(case.chosen)).then_some(Frame::Chosen);
            cell.min_width_px = EXAMPLE_WORDS_PX;
            Item::Cell(cell)
        });
        std::iter::once(title).chain(cells.collect::<Vec<_>>()).chain([Item::NewRow])
    });
    let title = stamp.map_or("Worked examples".to_owned(), |stamp| format!("Worked examples - {stamp}"));
    let legend =
        vec![Key { colour: Frame::Chosen.colour(), dashed: false, meaning: "the face people chose".to_owned() }];
    let options = SheetOptions { title, legend, width_px: EXAMPLES_WIDTH_PX, max_height_px: MAX_HEIGHT_PX };
    first_page(items, options)
}

fn first_page(items: impl IntoIterator<Item = Item>, options: SheetOptions) -> RgbImage {
    pages(items, options).next().unwrap_or_else(|| RgbImage::from_pixel(1, 1, ink::WHITE))
}

/// The picture in `path`, small; a grey one where it cannot be read.
fn thumbnail(path: &Path, side: u32) -> RgbImage {
    photo::read(path, &Limits::default())
        .map(|photo| ink::thumbnail(&photo.pixels, side, side))
        .unwrap_or_else(|_| RgbImage::from_pixel(side, side, ink::GREY))
}

/// One model's groups: its name, the result by the chosen definition, all definitions, and how its cosines spread.
pub struct ModelGroups<'a> {
    /// The model's name.
    pub name: &'a str,
    /// The result with one group distance.
    pub evaluation: &'a GroupEvaluation,
    /// Results with every definition, if they were asked for.
    pub definitions: &'a [GroupEvaluation],
    /// Within and between groups.
    pub spread: &'a Spread,
}

/// The page of groups: Table 4 with what it leaves out, Fig. 6, the definitions side by side.
pub fn groups_page(models: &[ModelGroups<'_>]) -> EvaluationPage {
    let mut page = EvaluationPage::new("Does similarity find the group?", None);
    if let Some(first) = models.first() {
        let counts = |counts: [usize; 4]| counts.map(|n| n.to_string()).join(" + ");
        page.text(format!(
            "Gallery {}, queries {} (young male, young female, older male, older female). For each query three choices are \
             made independently: of two genders, of two age groups, of four groups. Group distance {}.",
            counts(first.evaluation.gallery),
            counts(first.evaluation.queries),
            first.evaluation.definition
        ));
    }
    for model in models {
        page.heading(model.name);
        let share = |p: perface::summary::Proportion| format!("{:.3} [{:.3}, {:.3}]", p.value, p.low, p.high);
        let e = model.evaluation;
        let rows = e.classes.iter().map(|row| {
            let shares = [row.precision, row.recall, row.accuracy, row.auc_hard, row.auc_score].map(three_decimals);
            std::iter::once(row.class.to_string().replace('-', " ")).chain(shares).collect()
        });
        page.table(
            &["class", "precision", "recall", "accuracy", "AUC hard", "AUC ranking"],
            rows.collect(),
            "Each class against the rest, as in the paper's Table 4. \"AUC hard\" is (TPR + TNR) / 2 of the choices, what the \
             paper prints; \"AUC ranking\" is the area under the ROC curve. Accuracy counts rightly rejected queries.",
        );
        let rows = [
            ("gender, of two", e.gender),
            ("age group, of two", e.age),
            ("group, of four", e.four_way),
            ("its gender", e.four_way_gender),
            ("its age group", e.four_way_age),
        ];
        page.table(
            &["choice", "right, 95 % Wilson", "of"],
            rows.map(|(name, p)| vec![name.to_owned(), share(p), p.n.to_string()]).into(),
            format!("How often the choice is right. Ties, decided for the first group: {}.", e.ties),
        );
        let rows = Group::INTERSECTIONS.iter().zip(e.confusion).map(|(group, row)| {
            std::iter::once(group.to_string().replace('-', " ")).chain(row.map(|n| n.to_string())).collect()
        });
        page.table(
            &["true, down; chosen, across", "young male", "young female", "older male", "older female"],
            rows.collect(),
            "Confusion of the choice among four.",
        );
        if !model.definitions.is_empty() {
            let rows = model.definitions.iter().map(|row| {
                let shares = [row.gender, row.age, row.four_way, row.four_way_gender, row.four_way_age];
                std::iter::once(row.definition.to_string()).chain(shares.map(|p| format!("{:.3}", p.value))).collect()
            });
            page.table(
                &["group distance", "gender", "age", "four", "its gender", "its age"],
                rows.collect(),
                "Every reading of \"upper limit of the 95 % interval of distances\", and plain summaries.",
            );
        }
        let s = model.spread;
        let variance = |name: &str, v: Variance| {
            let figures = [v.within, v.between, v.explained].map(|value| format!("{value:.4}"));
            std::iter::once(name.to_owned()).chain(figures).collect::<Vec<_>>()
        };
        page.table(
            &["groups", "variance within", "variance between", "share explained"],
            vec![
                variance("two genders", s.by_gender),
                variance("two age groups", s.by_age),
                variance("four groups", s.by_intersection),
            ],
            "Variance of the descriptors, gallery and queries together.",
        );
    }
    page.heading("Similarity within and between groups");
    page.figures(models.iter().map(|model| {
        let caption = format!(
            "{}: cosines of the queries with gallery faces of their own group (above) and of others.",
            model.name
        );
        (format!("groups-{}", model.name), curves::spread(model.name, model.spread), caption)
    }));
    page
}

/// The page of rankings: strips as in Fig. 7, and how often candidates repeat. `shown` queries are drawn with pictures
/// from `folder`.
pub fn rank_page(result: &RankEvaluation, shown: usize, folder: &Path) -> EvaluationPage {
    let mut page = EvaluationPage::new("Candidates of the chosen group", None);
    page.text(format!(
        "{}; every query is put into the nearest group and ranked against its faces.",
        result.similarity
    ));
    let rows = result.groups.iter().map(|row| {
        vec![
            row.group.replace('-', " "),
            row.queries.to_string(),
            row.candidates.to_string(),
            row.used.to_string(),
            format!("{:.1} %", 100.0 * row.most_used),
            format!("{:.2} of {:.2}", row.entropy_bits, row.most_bits),
            row.skewness.map_or("–".to_owned(), |s| format!("{s:.2}")),
        ]
    });
    page.table(
        &["group", "queries", "candidates", "ever used", "most used gets", "entropy, bits", "skewness"],
        rows.collect(),
        format!(
            "How the least similar candidate spreads over a group. Few used, little entropy and a large skewness (of how \
             often each is among the {} least similar) mean that a few faces stand in for most people.",
            result.k
        ),
    );
    page.figures([(
        "hubness".to_owned(),
        curves::uses(&result.groups),
        "Share of a group's queries that get each candidate.".to_owned(),
    )]);
    page.heading("The two most and the five least similar");
    let strips = result.queries.iter().take(shown).flat_map(|query| {
        let cell = |name: &str, line: String, heading: Option<&str>| {
            let mut cell = Cell::new(thumbnail(&folder.join(name), STRIP_PX), vec![line]);
            cell.heading = heading.map(str::to_owned);
            Item::Cell(cell)
        };
        let title = Item::Title(format!("{}: {}", query.query, query.group));
        let mut items = vec![title, cell(&query.query, "query".to_owned(), Some("photo"))];
        let most = query
            .most
            .iter()
            .enumerate()
            .map(|(nth, (name, cosine))| cell(name, format!("{cosine:+.3}"), (nth == 0).then_some("most similar")));
        let least = query.least.iter().rev().enumerate().map(|(nth, (name, cosine))| {
            cell(name, format!("{cosine:+.3}"), (nth == 0).then_some("least similar, least at the right"))
        });
        items.extend(most.chain(least).collect::<Vec<_>>());
        items.push(Item::NewRow);
        items
    });
    let options = SheetOptions {
        title: format!("Candidates by {}", result.similarity),
        max_height_px: MAX_HEIGHT_PX,
        ..SheetOptions::default()
    };
    page.picture("strips", first_page(strips, options), format!("The first {shown} queries."));
    page
}

/// The page of pairs: verification of one or several models.
pub fn pairs_page(models: &[Verification]) -> EvaluationPage {
    let mut page = EvaluationPage::new("One person or two?", None);
    if let Some(first) = models.first() {
        page.text(format!("{} pairs of one person, {} of two.", first.same, first.different));
    }
    let dash = || "–".to_owned();
    let rows = models.iter().map(|m| {
        let decision = |d: &Option<crate::eval::pairs::Decision>| {
            d.map_or_else(dash, |d| format!("{:.4} at {:.3}", d.accuracy.value, d.cosine))
        };
        let tar = |far: f64| m.tar_at_far.iter().find(|t| t.far == far).map_or_else(dash, |t| format!("{:.4}", t.tar));
        vec![
            m.model.clone(),
            m.auc.map_or_else(dash, |auc| format!("{auc:.4}")),
            m.eer.map_or_else(dash, |eer| format!("{:.4}", eer.rate)),
            m.folds.as_ref().map_or_else(dash, |f| format!("{:.4} ± {:.4}", f.mean, f.standard_error)),
            decision(&m.at_threshold),
            decision(&m.at_best),
            tar(1e-2),
            tar(1e-3),
            m.skipped.to_string(),
        ]
    });
    page.table(
        &[
            "model",
            "AUC",
            "EER",
            "ten folds",
            "own threshold",
            "best of one half, on the other",
            "TAR@FAR .01",
            "TAR@FAR .001",
            "left out",
        ],
        rows.collect(),
        "Ten folds: mean accuracy ± standard error, each fold at the threshold best on the other nine.",
    );
    let curves_of: Vec<&Verification> = models.iter().collect();
    page.figures([("roc".to_owned(), curves::roc(&curves_of), "ROC curves.".to_owned())]);
    page.figures(models.iter().map(|model| {
        let caption = format!("{}: cosines of same and of different pairs.", model.model);
        (format!("pairs-{}", model.model), curves::pair_histograms(model), caption)
    }));
    page
}

/// The page of rated pairs.
pub fn similarity_page(models: &[SimilarityEvaluation]) -> EvaluationPage {
    let stamp = models.iter().any(|m| m.derived).then(|| crate::eval::similarity::DERIVED_NOTE.to_owned());
    let mut page = EvaluationPage::new("Cosine and people's ratings", stamp);
    let rows = models.iter().map(|m| {
        let show = |c: Option<crate::eval::similarity::Correlation>| {
            c.map_or(["–".to_owned(), "–".to_owned()], |c| [format!("{:.3}", c.value), p_value(c.p)])
        };
        let interval = m.spearman_clustered.map_or("–".to_owned(), |i| format!("[{:.3}, {:.3}]", i.low, i.high));
        let [rho, rho_p] = show(m.spearman);
        let [tau, tau_p] = show(m.kendall);
        vec![m.model.clone(), rho, interval, rho_p, tau, tau_p, m.n.to_string(), m.skipped.to_string()]
    });
    page.table(
        &["model", "Spearman rho", "95 % clustered", "p", "Kendall tau-b", "p", "pairs", "left out"],
        rows.collect(),
        "Rank correlation. p takes pairs for independent; the interval resamples faces.",
    );
    page.figures(models.iter().map(|model| {
        (format!("ratings-{}", model.model), curves::ratings(model), format!("{}: every pair.", model.model))
    }));
    page
}

/// The page of training runs: Table 3 and Fig. 5. `cases` are test triplets by split.
pub fn splits_page(result: &SplitsEvaluation, cases: &[(String, Vec<BeforeAfter>)]) -> EvaluationPage {
    let stamp = result.derived.then(|| DERIVED_NOTE.to_owned());
    let mut page = EvaluationPage::new("Training on each split", stamp);
    let rows = result
        .rows
        .iter()
        .map(|row| std::iter::once(row.training.clone()).chain(row.splits.map(SplitsEvaluation::cell)).collect());
    let note = if result.same_tests { "" } else { " The runs were not all tested on the same triplets." };
    page.table(
        &["trained on", SPLIT_NAMES[0], SPLIT_NAMES[1], SPLIT_NAMES[2]],
        rows.collect(),
        format!("Mean ± sample standard deviation over runs, as in the paper's Table 3.{note}"),
    );
    page.figures([("splits".to_owned(), curves::splits(result), "The same as a plot.".to_owned())]);
    page.figures(cases.iter().map(|(split, cases)| {
        let caption = format!("Split [{split}]: how far the chosen face is ahead, before and after training.");
        (format!("before-after-{split}"), curves::before_after(&format!("[{split}]"), cases), caption)
    }));
    page
}

/// Read the worked examples' sample ids from `examples.csv`, a list with the column `sample_id`.
///
/// # Errors
/// [`perface::Error::Io`]; [`perface::Error::Malformed`] if the column is missing.
pub fn read_examples(path: &Path) -> Result<Vec<String>> {
    let table = perface::table::Table::read(path, &perface::table::ColumnNames::default(), &["sample_id"])?;
    table.rows().map(|row| row.parse("sample_id")).collect()
}
