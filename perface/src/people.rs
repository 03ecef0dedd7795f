//! Name people by a picture of them, and boxes of faces brought from elsewhere.
//!
//! A face counts as one of the named people where the recognisers agree; where they do not, it is replaced, whichever
//! way round the order was given: a face too many that is replaced can be put right, one that is left cannot.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::detect::Face;
use crate::embedding::Embedding;
use crate::error::Result;
use crate::geometry::{Point, Rect};
use crate::table::{ColumnNames, Table};

/// Whom to replace.
#[derive(Clone, Debug, Default)]
pub enum Whom {
    /// Everyone.
    #[default]
    Everyone,
    /// Everyone but these people, each with one descriptor for each recogniser.
    Except(Vec<Vec<Embedding>>),
    /// Only these.
    Only(Vec<Vec<Embedding>>),
}

impl Whom {
    /// Places of the faces to leave. `faces` has one list of descriptors for each face, empty where none could be made;
    /// such a face is never left. `thresholds` are the recognisers' cosines for one person.
    pub fn left(&self, faces: &[&[Embedding]], thresholds: &[f32]) -> BTreeSet<usize> {
        let votes = |face: &[Embedding], person: &Vec<Embedding>| {
            let votes = face.iter().zip(person).zip(thresholds).map(|((a, b), t)| a.cosine(b) >= *t);
            votes.fold((true, false), |(all, any), vote| (all && vote, any || vote))
        };
        let leaves = |face: &[Embedding]| match self {
            _ if face.is_empty() => false,
            Self::Everyone => false,
            Self::Except(people) => people.iter().any(|person| votes(face, person).0),
            Self::Only(people) => !people.iter().any(|person| votes(face, person).1),
        };
        faces.iter().enumerate().filter(|(_, face)| leaves(face)).map(|(place, _)| place).collect()
    }
}

/// A face somebody else found.
#[derive(Clone, Debug, PartialEq)]
pub struct BroughtFace {
    /// The face; its landmarks are where they are on an upright face if none were brought.
    pub face: Face,
    /// Whether landmarks were brought. Without them it can be covered, but not replaced.
    pub has_landmarks: bool,
}

/// Columns of the landmarks, x and y of each in the order of [`Face::landmarks_px`].
const LANDMARKS: [&str; 10] = [
    "left_eye_x",
    "left_eye_y",
    "right_eye_x",
    "right_eye_y",
    "nose_x",
    "nose_y",
    "left_mouth_x",
    "left_mouth_y",
    "right_mouth_x",
    "right_mouth_y",
];

/// Where landmarks lie in the box of an upright face: means over YuNet's finds on the test portraits.
const USUAL: [(f32, f32); 5] = [(0.29, 0.40), (0.71, 0.40), (0.50, 0.60), (0.33, 0.78), (0.67, 0.78)];

/// Read `faces.csv`: columns image (relative to `folder`), left_px, top_px, right_px, bottom_px, and perhaps ten of
/// landmarks. By picture.
///
/// # Errors
/// [`crate::Error::Malformed`] with file and line for a box that is none.
pub fn read_faces(path: &Path, names: &ColumnNames, folder: &Path) -> Result<HashMap<PathBuf, Vec<BroughtFace>>> {
    let table = Table::read(path, names, &["image", "left_px", "top_px", "right_px", "bottom_px"])?;
    let has_landmarks = LANDMARKS.iter().all(|column| table.header().iter().any(|name| name == column));
    let mut faces: HashMap<PathBuf, Vec<BroughtFace>> = HashMap::new();
    for row in table.rows() {
        let edge = |name: &str| row.parse::<f32>(name);
        let box_px = Rect::from_ltrb(edge("left_px")?, edge("top_px")?, edge("right_px")?, edge("bottom_px")?);
        let finite = [box_px.left, box_px.top, box_px.right, box_px.bottom].iter().all(|v| v.is_finite());
        if !finite || box_px.area() <= 0.0 {
            return Err(row.error("is no box: right and bottom must be larger than left and top"));
        }
        let usual = USUAL.map(|(x, y)| Point::new(box_px.left + x * box_px.width(), box_px.top + y * box_px.height()));
        let mut landmarks_px = usual;
        if has_landmarks {
            for (point, columns) in landmarks_px.iter_mut().zip(LANDMARKS.as_chunks::<2>().0) {
                *point = Point::new(edge(columns[0])?, edge(columns[1])?);
            }
            if landmarks_px.iter().any(|p| !p.x.is_finite() || !p.y.is_finite()) {
                return Err(row.error("has a landmark that is no place"));
            }
        }
        let face = Face { box_px, landmarks_px, score: 1.0 };
        faces.entry(folder.join(row.get("image"))).or_default().push(BroughtFace { face, has_landmarks });
    }
    Ok(faces)
}

/// Two boxes that share this much are of one face.
const SAME_FACE_IOU: f32 = 0.3;

/// Those of `brought` that are none of the faces `found`.
pub fn unknown<'a>(brought: &'a [BroughtFace], found: &[Face]) -> Vec<&'a BroughtFace> {
    brought.iter().filter(|b| found.iter().all(|f| f.box_px.iou(&b.face.box_px) < SAME_FACE_IOU)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(degrees: f32) -> Embedding {
        Embedding::from_raw(&[degrees.to_radians().cos(), degrees.to_radians().sin()]).unwrap()
    }

    #[test]
    fn where_recognisers_disagree_a_face_is_replaced() {
        let thresholds = [0.5, 0.5];
        // Both say yes, only one does, none does, and nothing is known.
        let (both, one, none): (Vec<_>, Vec<_>, Vec<_>) =
            (vec![at(5.0), at(5.0)], vec![at(5.0), at(90.0)], vec![at(90.0), at(90.0)]);
        let faces: [&[Embedding]; 4] = [&both, &one, &none, &[]];
        let person = vec![vec![at(0.0), at(0.0)]];
        assert!(Whom::Everyone.left(&faces, &thresholds).is_empty());
        assert_eq!(Whom::Except(person.clone()).left(&faces, &thresholds), BTreeSet::from([0]));
        assert_eq!(Whom::Only(person).left(&faces, &thresholds), BTreeSet::from([2]));
    }

    #[test]
    fn brought_boxes_are_read_and_bad_ones_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("faces.csv");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_faces(&path, &ColumnNames::default(), Path::new("photos"))
        };
        let head = "image,left_px,top_px,right_px,bottom_px";
        let faces = read(&format!("{head}\na.jpg,10,20,110,220\n")).unwrap();
        let [face] = faces[Path::new("photos/a.jpg")].as_slice() else { panic!("{faces:?}") };
        assert_eq!((face.face.box_px, face.has_landmarks), (Rect::from_ltrb(10.0, 20.0, 110.0, 220.0), false));
        assert_eq!(face.face.landmarks_px[2], Point::new(60.0, 140.0));
        for bad in ["a.jpg,10,20,5,220", "a.jpg,10,NaN,50,220", "a.jpg,x,1,2,3"] {
            let message = read(&format!("{head}\n{bad}\n")).unwrap_err().to_string();
            assert!(message.contains("faces.csv"), "{message}");
        }
        let with = read(&format!("{head},{}\na.jpg,0,0,9,9,1,2,3,4,5,6,7,8,9,1\n", LANDMARKS.join(","))).unwrap();
        let face = &with[Path::new("photos/a.jpg")][0];
        assert!(face.has_landmarks && face.face.landmarks_px[1] == Point::new(3.0, 4.0));
        assert_eq!(unknown(&with[Path::new("photos/a.jpg")], std::slice::from_ref(&face.face)).len(), 0);
        assert_eq!(unknown(&with[Path::new("photos/a.jpg")], &[]).len(), 1);
    }
}
