//! Read the apparent gender and age of a face.
//!
//! dlib's two networks see the face in dlib's chip: turned level, cut around the eyes and nose, 32 and 64 pixels wide.
//! The chip is fitted to the detector's five landmarks. Four views are averaged, two widths of margin and their mirror
//! images, which takes a tenth off the error of the age.
//!
//! What comes out is how old and of which gender somebody looks to the networks, no more.

use std::sync::Arc;

use image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};

use crate::align::DLIB_FRAME;
use crate::detect::Face;
use crate::embed::input_tensor;
use crate::error::{Error, Result};
use crate::geometry::{Point, Similarity};
use crate::model::builtin::{AGE_SIDE_PX, GENDER_SIDE_PX, age_gender_preprocessing};
use crate::model::{Model, single_output};
use crate::pool::labels::{AgeGroup, Gender, OLDER_FROM_YEARS};
use crate::resample::{self, Border};

/// Margins of the views, in widths of the chip without margin. 0.2 is dlib's own, which the networks were trained with.
const MARGINS: [f64; 2] = [0.1, 0.2];

/// Views of each face: every margin, as it is and mirrored.
const VIEWS: usize = 2 * MARGINS.len();

/// Classes of the age network: whole years from 0 to 80.
const AGE_CLASSES: usize = 81;

/// What class 0 counts for in the mean, in years; the others count for themselves. From the package's manifest.
const YEARS_OF_CLASS_0: f32 = 0.25;

/// First age, in years, of an adult.
const ADULT_FROM_YEARS: usize = 18;

/// A face may be a minor's from this probability of an age under 18.
///
/// Chosen with [`SURELY_ADULT_YEARS`] on omi 1–350: of the settings that find the most of those rated under 18, the one
/// that takes the fewest adults for minors.
pub const MINOR_PROBABILITY: f32 = 0.04;

/// A face that looks at least this old, in years, is an adult's however the probabilities are spread.
pub const SURELY_ADULT_YEARS: f32 = 28.0;

/// How a face looks to the networks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attributes {
    /// Probability of male rather than female, in `[0, 1]`.
    pub p_male: f32,
    /// Mean age, in years, in `[0.25, 80]`.
    pub age_years: f32,
    /// Probability of an age under 18, in `[0, 1]`.
    pub p_under_18: f32,
}

impl Attributes {
    /// The more probable gender.
    pub fn gender(&self) -> Gender {
        if self.p_male >= 0.5 { Gender::Male } else { Gender::Female }
    }

    /// The age group of the mean age.
    pub fn age_group(&self) -> AgeGroup {
        if self.age_years < OLDER_FROM_YEARS { AgeGroup::Young } else { AgeGroup::Older }
    }

    /// Whether this must be treated as the face of somebody under 18. Errs on the side of yes; see
    /// [`MINOR_PROBABILITY`]. About one minor in eleven still passes for an adult.
    pub fn may_be_minor(&self) -> bool {
        self.p_under_18 >= MINOR_PROBABILITY && self.age_years < SURELY_ADULT_YEARS
    }
}

/// Reads gender and age with dlib's networks.
#[derive(Clone)]
pub struct AttributeReader {
    gender: Arc<dyn Model>,
    age: Arc<dyn Model>,
}

impl AttributeReader {
    /// With the gender network, `[N, 3, 32, 32]` to `[N, 2]` (female, male), and the age network, `[N, 3, 64, 64]` to
    /// `[N, 81]`; both end in a softmax.
    pub fn new(gender: Arc<dyn Model>, age: Arc<dyn Model>) -> Self {
        Self { gender, age }
    }

    /// How `face` of `photo` looks.
    ///
    /// # Errors
    /// If a network fails, its output is not as promised, or the landmarks coincide.
    pub fn read(&self, photo: &RgbImage, face: &Face) -> Result<Attributes> {
        let gender = probabilities("gender", self.gender.as_ref(), photo, face, GENDER_SIDE_PX, 2)?;
        let age = probabilities("age", self.age.as_ref(), photo, face, AGE_SIDE_PX, AGE_CLASSES)?;
        let years = |class: usize| if class == 0 { YEARS_OF_CLASS_0 } else { class as f32 };
        Ok(Attributes {
            p_male: gender.iter().skip(1).sum(),
            age_years: age.iter().enumerate().map(|(class, p)| p * years(class)).sum(),
            p_under_18: age.iter().take(ADULT_FROM_YEARS).sum(),
        })
    }
}

/// Probability of each class, the mean over all views of the face.
fn probabilities(
    name: &str,
    model: &dyn Model,
    photo: &RgbImage,
    face: &Face,
    side_px: u32,
    classes: usize,
) -> Result<Vec<f32>> {
    let views = views(photo, face, side_px).ok_or_else(|| Error::model(name, "the landmarks of a face coincide"))?;
    let input = input_tensor(&views.each_ref(), &age_gender_preprocessing(side_px));
    let output = single_output(name, model.run(&[input])?, &[VIEWS, classes])?;
    let mut sums = vec![0.0; classes];
    for view in output.data().chunks_exact(classes) {
        sums.iter_mut().zip(view).for_each(|(sum, p)| *sum += p);
    }
    // One scale for all, so that the sum is 1 whatever the softmax rounds.
    let total: f32 = sums.iter().sum();
    if sums.iter().all(|p| (0.0..=VIEWS as f32 * 1.01).contains(p)) && total > 0.0 {
        Ok(sums.into_iter().map(|p| p / total).collect())
    } else {
        Err(Error::model(name, "the outputs are not probabilities"))
    }
}

fn views(photo: &RgbImage, face: &Face, side_px: u32) -> Option<[RgbImage; VIEWS]> {
    let [narrow, wide] = MARGINS.map(|margin| {
        let to_chip = to_chip(face, side_px, margin)?;
        Some(resample::crop_antialiased(photo, &to_chip, side_px, side_px, Border::Black))
    });
    let (narrow, wide) = (narrow?, wide?);
    let mirrored = [imageops::flip_horizontal(&narrow), imageops::flip_horizontal(&wide)];
    let [mirrored_narrow, mirrored_wide] = mirrored;
    Some([narrow, mirrored_narrow, wide, mirrored_wide])
}

/// From photo pixels to pixels of a chip; `None` if the landmarks coincide.
fn to_chip(face: &Face, side_px: u32, margin: f64) -> Option<Similarity> {
    // dlib lays the centres of the first and last pixel on the chip's edges.
    let scale = f64::from(side_px - 1) / (1.0 + 2.0 * margin);
    let place = |v: f32| ((f64::from(v) + margin) * scale) as f32;
    Similarity::fit(&face.landmarks_px, &DLIB_FRAME.map(|p| Point::new(place(p.x), place(p.y))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Rect;
    use crate::model::Tensor;
    use image::Rgb;

    /// Answers every view with the same row, once the input has the right shape.
    struct Fixed {
        side: usize,
        row: Vec<f32>,
    }

    impl Model for Fixed {
        fn input_shape(&self, _: usize) -> Vec<Option<usize>> {
            vec![None, Some(3), Some(self.side), Some(self.side)]
        }

        fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
            assert_eq!(inputs[0].shape(), [VIEWS, 3, self.side, self.side]);
            Ok(vec![Tensor::new(vec![VIEWS, self.row.len()], self.row.repeat(VIEWS))])
        }
    }

    fn reader(gender: Vec<f32>, age: Vec<f32>) -> AttributeReader {
        AttributeReader::new(Arc::new(Fixed { side: 32, row: gender }), Arc::new(Fixed { side: 64, row: age }))
    }

    fn ages(probabilities: &[(usize, f32)]) -> Vec<f32> {
        let mut row = vec![0.0; AGE_CLASSES];
        probabilities.iter().for_each(|&(class, p)| row[class] = p);
        row
    }

    fn face() -> Face {
        let landmarks_px = DLIB_FRAME.map(|p| Point::new(20.0 + 60.0 * p.x, 20.0 + 60.0 * p.y));
        Face { box_px: Rect::from_xywh(20.0, 20.0, 60.0, 60.0), landmarks_px, score: 0.9 }
    }

    #[test]
    fn years_are_the_mean_over_the_classes() {
        let photo = RgbImage::new(100, 100);
        let row = ages(&[(0, 0.2), (10, 0.3), (17, 0.1), (18, 0.1), (40, 0.3)]);
        let seen = reader(vec![0.25, 0.75], row).read(&photo, &face()).unwrap();
        assert!((seen.age_years - (0.05 + 3.0 + 1.7 + 1.8 + 12.0)).abs() < 1e-4, "{seen:?}");
        assert!((seen.p_under_18 - 0.6).abs() < 1e-6 && (seen.p_male - 0.75).abs() < 1e-6, "{seen:?}");
        assert_eq!((seen.gender(), seen.age_group()), (Gender::Male, AgeGroup::Young));
    }

    #[test]
    fn doubt_about_a_young_face_counts_as_minor() {
        for (age_years, p_under_18, want) in
            [(10.0, 0.99, true), (21.0, 0.05, true), (21.0, 0.01, false), (40.0, 0.05, false)]
        {
            let seen = Attributes { p_male: 0.5, age_years, p_under_18 };
            assert_eq!(seen.may_be_minor(), want, "{seen:?}");
        }
    }

    #[test]
    fn outputs_that_are_no_probabilities_are_refused() {
        let photo = RgbImage::new(100, 100);
        for gender in [vec![f32::NAN, 0.5], vec![-0.5, 1.5], vec![0.0, 0.0], vec![3.0, 4.0], vec![1.0]] {
            let error = reader(gender.clone(), ages(&[(30, 1.0)])).read(&photo, &face()).unwrap_err();
            assert!(error.to_string().contains("gender"), "{gender:?}: {error}");
        }
    }

    #[test]
    fn landmarks_that_coincide_are_refused() {
        let face = Face { landmarks_px: [Point::new(5.0, 5.0); 5], ..face() };
        assert!(reader(vec![0.5, 0.5], ages(&[(30, 1.0)])).read(&RgbImage::new(9, 9), &face).is_err());
    }

    #[test]
    fn a_wider_margin_shows_more_around_the_same_face() {
        // A white square exactly where the frame lies, on black.
        let inside = |v: u32| (20..80).contains(&v);
        let photo =
            RgbImage::from_fn(100, 100, |x, y| if inside(x) && inside(y) { Rgb([255; 3]) } else { Rgb([0; 3]) });
        let [narrow, mirrored, wide, _] = views(&photo, &face(), 64).unwrap();
        let white = |chip: &RgbImage| chip.pixels().filter(|p| p[0] > 127).count() as f32 / (64.0 * 64.0);
        assert!((white(&narrow) - 1.0 / 1.2f32.powi(2)).abs() < 0.03, "{}", white(&narrow));
        assert!((white(&wide) - 1.0 / 1.4f32.powi(2)).abs() < 0.03, "{}", white(&wide));
        assert_eq!(imageops::flip_horizontal(&mirrored), narrow);
    }
}
