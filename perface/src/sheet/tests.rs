use std::cell::{Cell as Counter, RefCell};
use std::path::Path;

use image::Rgb;
use proptest::prelude::*;

use super::faces::{RankStrip, extremes, members_pages, pair_cell, rank_pages};
use super::found::{FoundPhoto, found_pages, with_boxes};
use super::*;
use crate::detect::Face;
use crate::error::Error;
use crate::geometry::{Point, Rect};
use crate::photo::{self, Limits};
use crate::pool::{AgeGroup, Gender, LabelSource, Member};
use crate::rank::Candidate;

/// Write to the folder named by `PERFACE_PLOTS`, to be looked at.
fn show(name: &str, page: &RgbImage) {
    if let Some(folder) = std::env::var_os("PERFACE_PLOTS") {
        page.save(Path::new(&folder).join(name)).unwrap();
    }
}

fn patch(width: u32, height: u32, shade: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([shade, (x % 256) as u8, (y % 256) as u8]))
}

fn has(page: &RgbImage, colour: Rgb<u8>) -> bool {
    page.pixels().any(|pixel| *pixel == colour)
}

fn cells(n: usize) -> Vec<Item> {
    (0..n).map(|nth| Item::Cell(Cell::new(patch(180, 120, 200), vec![format!("photo {nth}")]))).collect()
}

fn face_at(left: f32, top: f32, side: f32) -> Face {
    let p = |x: f32, y: f32| Point::new(left + x * side, top + y * side);
    Face {
        box_px: Rect::from_xywh(left, top, side, side * 1.2),
        landmarks_px: [p(0.3, 0.45), p(0.7, 0.45), p(0.5, 0.65), p(0.35, 0.9), p(0.65, 0.9)],
        score: 0.93,
    }
}

fn found(name: &str, faces: Result<Vec<Face>, String>) -> FoundPhoto {
    FoundPhoto { path: name.into(), name: name.to_owned(), faces }
}

fn member(id: &str, gender: Gender) -> Member {
    Member {
        id: id.to_owned(),
        file: format!("{id}.png"),
        gender,
        age_group: AgeGroup::Young,
        label_source: LabelSource::Csv,
        source: String::new(),
        licence: String::new(),
        attribution: String::new(),
        contributors: Vec::new(),
        other: Vec::new(),
    }
}

#[test]
fn every_cell_is_on_some_page_and_no_page_is_too_high() {
    let options = SheetOptions { width_px: 620, max_height_px: 700, ..Default::default() };
    let mark = Rgb([1, 2, 3]);
    let items = (0..40).map(|_| Item::Cell(Cell::new(RgbImage::from_pixel(180, 120, mark), vec!["x".to_owned()])));
    let all: Vec<RgbImage> = pages(items, options).collect();
    assert!(all.len() > 2);
    assert!(all.iter().all(|page| page.height() <= 700 && page.width() == 620));
    let shown: usize = all.iter().map(|page| page.pixels().filter(|pixel| **pixel == mark).count()).sum();
    assert_eq!(shown, 40 * 180 * 120);
}

#[test]
fn a_page_is_drawn_only_when_it_is_asked_for() {
    let taken = Counter::new(0usize);
    let items = cells(1000).into_iter().inspect(|_| taken.set(taken.get() + 1));
    let mut sheet = pages(items, SheetOptions { width_px: 620, max_height_px: 700, ..Default::default() });
    sheet.next().unwrap();
    assert!(taken.get() < 30, "{}", taken.get());
}

#[test]
fn an_empty_sheet_is_one_page_with_its_title() {
    let all: Vec<RgbImage> =
        pages(Vec::new(), SheetOptions { title: "Nothing".to_owned(), ..Default::default() }).collect();
    assert_eq!(all.len(), 1);
    assert!(has(&all[0], ink::BLACK));
}

#[test]
fn photos_without_a_face_come_first_and_pictures_are_read_page_by_page() {
    let photos: Vec<FoundPhoto> = (0..60)
        .map(|nth| match nth {
            50 => found("broken.jpg", Err("broken.jpg: is empty".to_owned())),
            59 => found("none.jpg", Ok(Vec::new())),
            _ => found(&format!("{nth}.jpg"), Ok(vec![face_at(120.0, 80.0, 90.0)])),
        })
        .collect();
    let read = RefCell::new(Vec::new());
    let mut sheet = found_pages(&photos, |photo| {
        read.borrow_mut().push(photo.name.clone());
        Ok(patch(400, 300, 90))
    });
    let first = sheet.next().unwrap();
    show("sheet_found.png", &first);
    assert_eq!(read.borrow().first().map(String::as_str), Some("none.jpg"));
    assert!(read.borrow().len() < 20, "one page at a time");
    assert!(has(&first, WARNING));
    let rest = sheet.count();
    assert!(rest >= 4, "{rest}");
    assert_eq!(read.borrow().len(), 59, "each photo that can be read is read once");
}

#[test]
fn a_photo_that_cannot_be_read_again_is_said_and_the_rest_goes_on() {
    let photos = [found("gone.jpg", Ok(vec![face_at(9.0, 9.0, 40.0)])), found("there.jpg", Ok(Vec::new()))];
    let sheet: Vec<RgbImage> = found_pages(&photos, |photo| match photo.name.as_str() {
        "gone.jpg" => Err(Error::Usage("gone.jpg: No such file".to_owned())),
        _ => Ok(patch(50, 50, 9)),
    })
    .collect();
    assert_eq!(sheet.len(), 1);
    show("sheet_gone.png", &sheet[0]);
}

#[test]
fn small_faces_are_shown_large() {
    let photo = patch(3000, 2000, 60);
    let large = with_boxes(&photo, &[face_at(700.0, 500.0, 60.0)]);
    let usual = with_boxes(&photo, &[face_at(700.0, 500.0, 600.0)]);
    assert!(large.width() > 2 * usual.width(), "{:?} {:?}", large.dimensions(), usual.dimensions());
    assert!(has(&large, CHOSEN) && has(&usual, CHOSEN) && has(&usual, WARNING));
}

#[test]
fn boxes_far_outside_a_photo_are_drawn_without_harm() {
    for (left, side) in [(-1e30, 2e30), (1e30, 5.0), (f32::NAN, 4.0), (3.0, f32::INFINITY), (-40.0, 30.0)] {
        assert_eq!(with_boxes(&patch(64, 48, 0), &[face_at(left, 2.0, side)]).dimensions(), (64, 48));
    }
}

#[test]
fn a_strip_runs_from_most_to_least_similar() {
    let ranked: Vec<Candidate> =
        (0..9).map(|index| Candidate { index, id: format!("c{index}"), cosine: index as f32 / 10.0 }).collect();
    let ids = |end: Vec<&Candidate>| end.iter().map(|face| face.index).collect::<Vec<_>>();
    let (most, least) = extremes(&ranked, 2, 5);
    assert_eq!((ids(most), ids(least)), (vec![8, 7], vec![4, 3, 2, 1, 0]));
    let (most, least) = extremes(&ranked[..6], 2, 5);
    assert_eq!((ids(most), ids(least)), (vec![5], vec![4, 3, 2, 1, 0]), "none twice");
    let (most, least) = extremes(&[], 2, 5);
    assert!(most.is_empty() && least.is_empty());
}

#[test]
fn the_taken_candidate_is_framed() {
    let ranked: Vec<Candidate> = (0..9)
        .map(|index| Candidate { index, id: format!("young-female-{index:03}"), cosine: index as f32 / 10.0 - 0.3 })
        .collect();
    let mut strips = vec![RankStrip {
        title: "photo.jpg, face 1: young-female".to_owned(),
        query: patch(112, 112, 128),
        ranked: &ranked,
        chosen: Some(2),
    }];
    let load = |candidate: &Candidate| match candidate.index {
        1 => Err(Error::Usage("gone".to_owned())),
        // Never 0, or the shades would hold the colour of the frame.
        index => Ok(patch(384, 384, index as u8 * 20 + 5)),
    };
    let page = rank_pages(&strips, "SFace identity cosine", load).next().unwrap();
    show("sheet_rank.png", &page);
    assert!(has(&page, CHOSEN));
    strips[0].chosen = None;
    assert!(!has(&rank_pages(&strips, "SFace identity cosine", load).next().unwrap(), CHOSEN));
}

#[test]
fn a_pool_is_shown_group_by_group() {
    let members: Vec<Member> = (0..30)
        .map(|nth| member(&format!("face-{nth:02}"), if nth % 3 == 0 { Gender::Male } else { Gender::Female }))
        .collect();
    let read = Counter::new(0);
    let sheet: Vec<RgbImage> = members_pages(&members, "A pool of 30", |_| {
        read.set(read.get() + 1);
        Ok(patch(384, 384, 77))
    })
    .collect();
    show("sheet_pool.png", &sheet[0]);
    assert_eq!((sheet.len(), read.get()), (1, 30));
}

#[test]
fn a_pair_shows_both_photos() {
    let (before, after) = (Rgb([9, 200, 9]), Rgb([200, 9, 200]));
    let cell = pair_cell(
        &RgbImage::from_pixel(900, 600, before),
        &RgbImage::from_pixel(300, 600, after),
        vec!["holiday.jpg".to_owned(), "3 faces replaced".to_owned()],
    );
    let page = pages([Item::Cell(cell)], SheetOptions::default()).next().unwrap();
    show("sheet_pair.png", &page);
    assert!(has(&page, before) && has(&page, after));
}

#[test]
fn real_photos_make_a_sheet() {
    let data = std::env::var("PERFACE_TESTDATA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data").to_owned());
    let folder = Path::new(&data).join("robust/compreface");
    if !folder.is_dir() {
        eprintln!("skipped: no test data at {}", folder.display());
        return;
    }
    let photos: Vec<FoundPhoto> = ["000_5.jpg", "001_A.jpg", "017_0.jpg"]
        .into_iter()
        .map(|name| FoundPhoto { path: folder.join(name), name: name.to_owned(), faces: Ok(Vec::new()) })
        .collect();
    let load = |photo: &FoundPhoto| photo::read(&photo.path, &Limits::default()).map(|photo| photo.pixels);
    let sheet: Vec<RgbImage> = found_pages(&photos, load).collect();
    show("sheet_real.png", &sheet[0]);
    assert!(sheet[0].height() > 200);
}

proptest! {
    #[test]
    fn any_cells_and_sizes_make_pages(
        sizes in proptest::collection::vec((1u32..700, 1u32..900, 0usize..7, any::<bool>()), 0..12),
        width_px in any::<u32>().prop_map(|w| w % 900), max_height_px in 0u32..900, title in ".{0,60}",
    ) {
        let items = sizes.iter().flat_map(|&(width, height, lines, titled)| {
            let mut cell = Cell::new(RgbImage::new(width, height), vec![title.clone(); lines]);
            cell.heading = titled.then(|| title.clone());
            let begins = titled.then(|| Item::Title(title.clone()));
            begins.into_iter().chain([Item::Cell(cell)])
        });
        let options = SheetOptions { title: title.clone(), width_px, max_height_px, ..Default::default() };
        let count = pages(items, options).count();
        prop_assert!((1..=sizes.len().max(1)).contains(&count));
    }
}
