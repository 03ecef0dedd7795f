//! The candidate's skin alone: what is hair or background in its picture is filled with the skin around it.
//!
//! Worked out once for a picture, in its own pixels. Then halved again and again, so that small faces can be made from it
//! without aliasing.

use image::{RgbImage, Rgba, RgbaImage, imageops};

use super::field::{self, smoothstep};
use super::occlusion::{self, Skin};
use super::pose::{Point3, Pose};
use super::raster::{self, Raster, Texel};
use super::topology::{Part, RADIUS, WIDE_TRIANGLES};
use super::{colour, frontal_wide, masked_by, seen};
use crate::geometry::{Point, Rect};
use crate::lab::{LabImage, to_srgb};
use crate::mesh::Mesh;
use crate::plane::{Plane, grown_together, shrunk_together};

/// Pictures are halved until a side would be shorter than this.
const LEAST_SIDE_PX: u32 = 24;

/// A candidate's skin at several sizes; alpha is how likely the picture itself shows skin there.
#[derive(Clone, Debug)]
pub struct SkinLevels {
    levels: Vec<RgbaImage>,
    /// Where the part of the picture begins that they show, in its pixels.
    origin: [u32; 2],
}

impl SkinLevels {
    /// Of a picture with its mesh; `None` if the mesh is not complete or there is no skin under it.
    pub fn of(picture: &RgbImage, mesh: &Mesh) -> Option<Self> {
        let pose = super::usable(mesh, 0.0).then(|| Pose::of_mesh(&mesh.points_px)).flatten()?;
        let wide = field::widened(&mesh.points_px, &pose);
        // Nothing beyond the last ring is ever shown.
        let around = Rect::around(wide.iter().map(|p| Point::new(p[0], p[1])))?;
        let around = Rect::from_ltrb(around.left - 1.0, around.top - 1.0, around.right + 2.0, around.bottom + 2.0);
        let around = around.clamped(picture.width(), picture.height());
        if around.area() <= 0.0 {
            return None;
        }
        let origin = [around.left.floor() as u32, around.top.floor() as u32];
        let size = [around.right.ceil() as u32, around.bottom.ceil() as u32];
        let [width, height] = [0, 1].map(|k| size[k].saturating_sub(origin[k]).max(1));
        let picture = &imageops::crop_imm(picture, origin[0], origin[1], width, height).to_image();
        let within = |p: &Point3| [p[0] - origin[0] as f32, p[1] - origin[1] as f32, p[2]];
        let places: Vec<Point3> = wide.iter().map(within).collect();
        let texels = places.iter().zip(frontal_wide()).zip(RADIUS.iter()).map(|((p, frontal), &radius)| Texel {
            candidate_px: [p[0], p[1]],
            frontal,
            radius,
            ..Texel::default()
        });
        let size = (picture.width() as usize, picture.height() as usize);
        let raster = raster::paint(size, &WIDE_TRIANGLES, &places, &texels.collect::<Vec<_>>());
        let mut image = seen(&raster, picture, |texel| texel.candidate_px);
        let skin = Skin::of(&image, &raster, pose.scale())?;
        let valid = valid_skin(&skin, &raster, pose.scale());
        let source = masked_by(&raster, |i, part, texel| {
            let usual = part == Part::Skin && texel.radius < 0.97 && texel.frontal[0].abs() < SIDE.0;
            if usual { valid.values()[i] } else { 0.0 }
        });
        colour::fill(&mut image, &valid, &source, pose.scale());
        even_out(&mut image, &raster, pose.scale());
        let mut whole = RgbaImage::new(picture.width(), picture.height());
        let pixels = whole.pixels_mut().zip(picture.pixels()).zip(&raster.pixels).enumerate();
        for (i, ((out, original), shown)) in pixels {
            let [r, g, b] = match shown {
                Some(_) => to_srgb(image.pixels[i]).map(|v| v.round() as u8),
                None => original.0,
            };
            out.0 = [r, g, b, (255.0 * skin.likelihood.values()[i]).round() as u8];
        }
        let mut levels = vec![whole];
        while let Some(last) = levels.last().filter(|p| p.width().min(p.height()) >= 2 * LEAST_SIDE_PX) {
            let half = halved(last);
            levels.push(half);
        }
        Some(Self { levels, origin })
    }

    /// Where the levels begin in the candidate's picture, in its pixels.
    pub fn origin(&self) -> [f32; 2] {
        self.origin.map(|v| v as f32)
    }

    /// The smallest level that still has `scale` pixels for each pixel of the picture, and how many times it was halved.
    pub fn level_for(&self, scale: f32) -> (&RgbaImage, u32) {
        let halvings = if scale > 0.0 { (1.0 / scale).log2().floor().max(0.0) as usize } else { 0 };
        let level = halvings.min(self.levels.len() - 1);
        (&self.levels[level], level as u32)
    }
}

fn halved(picture: &RgbaImage) -> RgbaImage {
    RgbaImage::from_fn(picture.width() / 2, picture.height() / 2, |x, y| {
        let at = |dx: u32, dy: u32| picture.get_pixel(2 * x + dx, 2 * y + dy).0;
        let corners = [at(0, 0), at(1, 0), at(0, 1), at(1, 1)];
        Rgba(std::array::from_fn(|k| ((corners.iter().map(|c| u16::from(c[k])).sum::<u16>() + 2) / 4) as u8))
    })
}

/// Where the candidate's own pixels may be shown, in `[0, 1]`: not its hair and what is behind it, no fringe on the
/// forehead, and not its outline, which is seen at too flat an angle.
fn valid_skin(skin: &Skin, raster: &Raster, face_px: f32) -> Plane {
    let valid = masked_by(raster, |i, _, texel| {
        let [x, y] = texel.frontal;
        let lighter = skin.lighter.values()[i];
        let between_brows = smoothstep(0.1, 0.07, x.abs()) * smoothstep(-0.32, -0.36, y);
        let upper = smoothstep(-0.4, -0.43, y).max(between_brows);
        let even = smoothstep(9.0, 5.0, -lighter).min(smoothstep(16.0, 11.0, lighter));
        let zone = occlusion::hair_zone(texel.frontal, texel.radius);
        let alike = smoothstep(0.5, 0.95, skin.likelihood.values()[i]);
        let outline =
            smoothstep(1.02, 0.95, texel.radius).max(smoothstep(-0.4, -0.43, y)) * smoothstep(SIDE.1, SIDE.0, x.abs());
        (1.0 - zone * (1.0 - alike)) * (1.0 - upper * (1.0 - even)) * outline
    });
    // Pixels beside hair are part hair.
    valid.blurred(0.015 * face_px).map(|v| smoothstep(0.8, 0.99, v))
}

/// Distance to the side, in the frontal frame, from which a picture shows its own outline, and where it shows nothing else: shade and
/// strands of hair, which would leave a streak on a cheek that is seen from another side.
const SIDE: (f32, f32) = (0.385, 0.43);
/// Heights in the frontal frame between which the forehead begins.
const FOREHEAD: (f32, f32) = (-0.39, -0.45);
/// Sizes of the blotches that are taken out of it, as standard deviations of blurs, in face widths: finer is the skin's texture,
/// coarser is its shape.
const BLOTCHES: (f32, f32) = (0.015, 0.13);
/// Share of them that is taken out.
const EVENED: f32 = 0.75;

/// Evens forehead and sides out: hair of the people a face was mixed from leaves blotches and streaks there, which everybody
/// sees where there is none of that hair.
fn even_out(image: &mut LabImage, raster: &Raster, face_px: f32) {
    let zone = masked_by(raster, |_, _, texel| {
        let [x, y] = texel.frontal;
        let side = smoothstep(SIDE.0 - 0.05, SIDE.0, x.abs()) * smoothstep(-0.22, -0.16, y);
        smoothstep(FOREHEAD.0, FOREHEAD.1, y).max(side)
    });
    let size = (image.width, image.height);
    let block = ((face_px / 80.0) as usize).max(1);
    let sums = shrunk_together(size, block, |i| {
        let (w, [l, a, b]) = (zone.values()[i], image.pixels[i]);
        [w, w * l, w * a, w * b]
    });
    let mean = |sigma: f32| {
        let [weight, sums @ ..] = sums.each_ref().map(|sum| sum.blurred(sigma * face_px / block as f32));
        sums.map(|sum| sum.zip(&weight, |s, w| if w > 1e-3 { s / w } else { 0.0 }))
    };
    let (fine, coarse) = (mean(BLOTCHES.0), mean(BLOTCHES.1));
    let [l, a, b] = [0, 1, 2].map(|k: usize| fine[k].zip(&coarse[k], |fine, coarse| fine - coarse));
    grown_together([&l, &a, &b], block, size, |i, blotch| {
        let pixel = &mut image.pixels[i];
        for k in 0..3 {
            pixel[k] -= EVENED * zone.values()[i] * blotch[k];
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::warp::topology::MEAN_SHAPE;

    /// A face of one colour, 200 px wide, before a black wall.
    fn levels() -> SkinLevels {
        let points_px = MEAN_SHAPE.iter().map(|p| [200.0 * p[0] + 150.0, 200.0 * p[1] + 170.0, 200.0 * p[2]]).collect();
        let inside = |x: f32, y: f32| ((x - 150.0) / 100.0).hypot((y - 165.0) / 125.0) < 1.0;
        let picture = RgbImage::from_fn(420, 340, |x, y| {
            image::Rgb(if inside(x as f32, y as f32) { [210, 170, 150] } else { [0; 3] })
        });
        SkinLevels::of(&picture, &Mesh { points_px, presence: 1.0 }).unwrap()
    }

    #[test]
    fn what_is_no_skin_is_filled_with_skin_and_marked() {
        let levels = levels();
        let (whole, _) = levels.level_for(1.0);
        let at = |x: u32, y: u32| whole.get_pixel(x - levels.origin[0], y - levels.origin[1]).0;
        let (cheek, wall) = (at(110, 190), at(150, 36));
        assert!(cheek[3] > 250 && cheek[0].abs_diff(210) < 3, "{cheek:?}");
        assert!(wall[3] < 5 && wall[0] > 190, "{wall:?}");
    }

    #[test]
    fn a_blotch_on_the_forehead_is_faint_and_one_on_the_cheek_is_not() {
        let points_px: Vec<_> =
            MEAN_SHAPE.iter().map(|p| [200.0 * p[0] + 150.0, 200.0 * p[1] + 170.0, 200.0 * p[2]]).collect();
        let blotch = |x: u32, y: u32, at: [f32; 2]| (x as f32 - at[0]).hypot(y as f32 - at[1]) < 8.0;
        let picture = RgbImage::from_fn(300, 340, |x, y| {
            let spotted = blotch(x, y, [150.0, 72.0]) || blotch(x, y, [112.0, 185.0]);
            image::Rgb(if spotted { [222, 182, 162] } else { [210, 170, 150] })
        });
        let levels = SkinLevels::of(&picture, &Mesh { points_px, presence: 1.0 }).unwrap();
        let (whole, _) = levels.level_for(1.0);
        let step =
            |at: [u32; 2]| whole.get_pixel(at[0] - levels.origin[0], at[1] - levels.origin[1]).0[0].abs_diff(210);
        assert!(step([150, 72]) <= 5 && step([112, 185]) >= 11, "{} {}", step([150, 72]), step([112, 185]));
    }

    #[test]
    fn levels_are_halved_until_they_are_fine_enough() {
        let levels = levels();
        assert_eq!(levels.level_for(1.3).1, 0);
        assert_eq!(levels.level_for(0.6).1, 0);
        let width = levels.level_for(1.0).0.width();
        assert!(width < 420, "only the face is kept");
        assert_eq!((levels.level_for(0.3).1, levels.level_for(0.3).0.width()), (1, width / 2));
        assert_eq!(levels.level_for(0.0001).1, 3);
    }
}
