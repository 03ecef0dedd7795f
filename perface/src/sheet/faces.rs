//! Sheets of faces: candidates by similarity, a pool by group, photos before and after.

use image::RgbImage;

use super::ink::{self, BLACK, GREY, WHITE, Weight};
use super::{CHOSEN, Cell, Frame, Item, Key, Pages, SheetOptions, pages};
use crate::error::Result;
use crate::pool::{Group, Member, Pool};
use crate::rank::Candidate;

/// Side of a face on these sheets, in pixels: eight fit side by side on a page of the default width.
const FACE_PX: u32 = 132;
/// Room of each of two photos side by side.
const PAIR_PX: (u32, u32) = (290, 300);
/// How many of the most similar candidates are shown, after Fig. 7 of arXiv 2509.20281.
pub const MOST_SHOWN: usize = 2;
/// How many of the least similar candidates are shown, after the same figure.
pub const LEAST_SHOWN: usize = 5;

/// One face of a photo and the candidates of its group.
#[derive(Clone, Debug)]
pub struct RankStrip<'a> {
    /// What stands above, such as the photo, the face's number and its group.
    pub title: String,
    /// The face.
    pub query: RgbImage,
    /// All of the group, least similar first, as [`crate::rank::rank`] gives them.
    pub ranked: &'a [Candidate],
    /// Place in the pool's list of the candidate that was taken, if one was.
    pub chosen: Option<usize>,
}

/// The two ends of `ranked`, which is least similar first: at most `most` of the most similar, most similar first, and
/// at most `least` of the others, least similar last. The least similar have precedence in a small group.
pub fn extremes(ranked: &[Candidate], most: usize, least: usize) -> (Vec<&Candidate>, Vec<&Candidate>) {
    let (lower, upper) = ranked.split_at(least.min(ranked.len()));
    (upper.iter().rev().take(most).collect(), lower.iter().rev().collect())
}

/// Pages with a row for each face: the face, then candidates from most to least similar with their cosine.
///
/// `similarity` is the model's own name of it. `load` gives a candidate's picture; if it fails, an empty one stands in
/// its place.
pub fn rank_pages<'a, L>(
    strips: &'a [RankStrip<'a>],
    similarity: &str,
    load: L,
) -> Pages<impl Iterator<Item = Item> + use<'a, L>>
where
    L: Fn(&Candidate) -> Result<RgbImage> + 'a,
{
    let items = strips.iter().flat_map(move |strip| {
        let mut query = Cell::new(face(&strip.query), vec!["the face".to_owned()]);
        query.heading = Some("photo".to_owned());
        let (most, least) = extremes(strip.ranked, MOST_SHOWN, LEAST_SHOWN);
        let mut cells = vec![query];
        for (heading, end) in [("most similar", most), ("least similar", least)] {
            for (nth, candidate) in end.into_iter().enumerate() {
                let mut cell = candidate_cell(candidate, &load);
                cell.heading = (nth == 0).then(|| heading.to_owned());
                if strip.chosen == Some(candidate.index) {
                    cell.frame = Some(Frame::Chosen);
                    cell.lines.push("TAKEN".to_owned());
                }
                cells.push(cell);
            }
        }
        let members = strip.ranked.len();
        let title = Item::Title(format!("{} - {members} in the group", strip.title));
        std::iter::once(title).chain(cells.into_iter().map(Item::Cell)).chain([Item::NewRow])
    });
    let taken = Key { colour: CHOSEN, dashed: false, meaning: "taken".to_owned() };
    let legend = if strips.iter().any(|strip| strip.chosen.is_some()) { vec![taken] } else { Vec::new() };
    let title = format!("Candidates from most to least similar. Number: {similarity}");
    pages(items, SheetOptions { title, legend, ..SheetOptions::default() })
}

fn candidate_cell(candidate: &Candidate, load: impl Fn(&Candidate) -> Result<RgbImage>) -> Cell {
    Cell::new(face_or_blank(load(candidate)), vec![candidate.id.clone(), format!("{:+.3}", candidate.cosine)])
}

/// Pages of a pool, group by group. `load` gives a member's picture; an empty one stands in for what it cannot read.
pub fn pool_pages<'a, L>(pool: &'a Pool, title: &str, load: L) -> Pages<impl Iterator<Item = Item> + use<'a, L>>
where
    L: Fn(&Member) -> Result<RgbImage> + 'a,
{
    members_pages(pool.members(), title, load)
}

/// As [`pool_pages`], for members that are in no pool yet.
pub fn members_pages<'a, L>(
    members: &'a [Member],
    title: &str,
    load: L,
) -> Pages<impl Iterator<Item = Item> + use<'a, L>>
where
    L: Fn(&Member) -> Result<RgbImage> + 'a,
{
    let load = std::rc::Rc::new(load);
    let items = Group::INTERSECTIONS.into_iter().flat_map(move |group| {
        let count = members.iter().filter(|member| member.group() == group).count();
        let title = Item::Title(format!("{group}: {count}"));
        let load = load.clone();
        let cells = members.iter().filter(move |member| member.group() == group).map(move |member| {
            let source = format!("by {}", member.label_source);
            Item::Cell(Cell::new(face_or_blank(load(member)), vec![member.id.clone(), source]))
        });
        std::iter::once(title).chain(cells)
    });
    pages(items, SheetOptions { title: title.to_owned(), ..SheetOptions::default() })
}

/// A photo before and after, as one cell with `lines` under it.
pub fn pair_cell(before: &RgbImage, after: &RgbImage, lines: Vec<String>) -> Cell {
    let (before, after) = (ink::thumbnail(before, PAIR_PX.0, PAIR_PX.1), ink::thumbnail(after, PAIR_PX.0, PAIR_PX.1));
    let width = before.width() + PAIR_GAP + after.width();
    let height = before.height().max(after.height()) + ink::LINE_PX;
    let mut picture = RgbImage::from_pixel(width, height, WHITE);
    let right = before.width() + PAIR_GAP;
    for (x, words, half) in [(0, "before", before), (right, "after", after)] {
        ink::text(&mut picture, x, 0, words, GREY, Weight::Regular);
        image::imageops::replace(&mut picture, &half, i64::from(x), i64::from(ink::LINE_PX));
    }
    Cell::new(picture, lines)
}

/// Between the two halves of a pair, in pixels.
const PAIR_GAP: u32 = 6;

/// A picture of a face at the size of these sheets.
fn face(picture: &RgbImage) -> RgbImage {
    let small = ink::thumbnail(picture, FACE_PX, FACE_PX);
    if small.dimensions() == (FACE_PX, FACE_PX) {
        return small;
    }
    // Cells of one width, so that the columns of strips stand under each other.
    let mut square = RgbImage::from_pixel(FACE_PX, FACE_PX, WHITE);
    let (x, y) = ((FACE_PX - small.width()) / 2, (FACE_PX - small.height()) / 2);
    image::imageops::replace(&mut square, &small, i64::from(x), i64::from(y));
    square
}

fn face_or_blank(picture: Result<RgbImage>) -> RgbImage {
    match picture {
        Ok(picture) => face(&picture),
        Err(error) => {
            tracing::warn!(%error, "left out of a sheet");
            let mut blank = RgbImage::from_pixel(FACE_PX, FACE_PX, image::Rgb([238; 3]));
            ink::text(&mut blank, 8, FACE_PX / 2 - ink::LINE_PX / 2, "not readable", BLACK, Weight::Regular);
            blank
        }
    }
}
