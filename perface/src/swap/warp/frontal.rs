//! The target's face as if seen from the front: one small picture in which every face has its features in one place.
//!
//! Pixels lie in the frontal frame of the mean shape, [`PX_PER_FACE`] to a face width; what is looked for in it is laid
//! back over the photo by the `frontal` place each pixel of the raster carries.

use std::sync::LazyLock;

use image::RgbImage;

use super::pose::Point3;
use super::topology::{MEAN_SHAPE, POINTS, TRIANGLES};
use crate::lab::{LabImage, from_srgb, sample};
use crate::plane::Plane;

/// Pixels of one face width.
pub const PX_PER_FACE: f32 = 160.0;
/// The frontal place of the first pixel, in face widths.
const ORIGIN: [f32; 2] = [-0.55, -0.62];
/// Pixels along x and y: forehead to chin.
pub const SIZE: [usize; 2] = [176, 196];

/// The triangle each pixel lies in, and its barycentric weights.
type Place = Option<([usize; 3], [f32; 3])>;

static PLACES: LazyLock<Vec<Place>> = LazyLock::new(|| {
    let mut places: Vec<Place> = vec![None; SIZE[0] * SIZE[1]];
    for t in &TRIANGLES {
        let t = t.map(usize::from);
        let [a, b, c] = t.map(|i| to_px([MEAN_SHAPE[i][0], MEAN_SHAPE[i][1]]));
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
        if area.abs() < 1e-6 {
            continue;
        }
        let range = |k: usize| {
            let (low, high) = (a[k].min(b[k]).min(c[k]).ceil().max(0.0), a[k].max(b[k]).max(c[k]).floor().max(0.0));
            low as usize..=(high as usize).min(SIZE[k] - 1)
        };
        for y in range(1) {
            for x in range(0) {
                let (dx, dy) = (x as f32 - a[0], y as f32 - a[1]);
                let wb = (dx * (c[1] - a[1]) - dy * (c[0] - a[0])) / area;
                let wc = (dy * (b[0] - a[0]) - dx * (b[1] - a[1])) / area;
                if wb >= -1e-4 && wc >= -1e-4 && wb + wc <= 1.0001 {
                    places[y * SIZE[0] + x] = Some((t, [1.0 - wb - wc, wb, wc]));
                }
            }
        }
    }
    places
});

/// Pixel of a frontal place.
pub fn to_px([x, y]: [f32; 2]) -> [f32; 2] {
    [(x - ORIGIN[0]) * PX_PER_FACE, (y - ORIGIN[1]) * PX_PER_FACE]
}

/// Frontal place of a pixel.
pub fn from_px([x, y]: [f32; 2]) -> [f32; 2] {
    [x / PX_PER_FACE + ORIGIN[0], y / PX_PER_FACE + ORIGIN[1]]
}

/// `picture` seen from the front, and where it shows the face (1) and where not (0, black). `mesh` has at least 468
/// points in the picture's pixels.
pub fn view(picture: &RgbImage, mesh: &[Point3]) -> (LabImage, Plane) {
    let mut inside = Plane::filled(SIZE[0], SIZE[1], 0.0);
    let mut pixels = vec![[0.0; 3]; SIZE[0] * SIZE[1]];
    if mesh.len() >= POINTS {
        for ((place, pixel), inside) in PLACES.iter().zip(&mut pixels).zip(inside.values_mut()) {
            let Some((corners, weights)) = place else { continue };
            let at = |k: usize| corners.iter().zip(weights).map(|(&i, w)| w * mesh[i][k]).sum::<f32>();
            *pixel = from_srgb(sample(picture, at(0), at(1)));
            *inside = 1.0;
        }
    }
    (LabImage { width: SIZE[0], height: SIZE[1], pixels }, inside)
}

/// Where a frontal place lies on a mesh of at least 468 points; `None` outside the face.
pub fn on_mesh(place: [f32; 2], mesh: &[Point3]) -> Option<[f32; 2]> {
    let [x, y] = to_px(place);
    let inside = x >= 0.0 && y >= 0.0 && x <= SIZE[0] as f32 - 1.0 && y <= SIZE[1] as f32 - 1.0;
    let (corners, weights) = inside.then(|| PLACES[y.round() as usize * SIZE[0] + x.round() as usize])??;
    let at = |k: usize| corners.iter().zip(weights).map(|(&i, w)| Some(w * mesh.get(i)?[k])).sum::<Option<f32>>();
    Some([at(0)?, at(1)?])
}

/// `plane`, a frontal picture, at a frontal place; 0 outside it.
pub fn at(plane: &Plane, place: [f32; 2]) -> f32 {
    let [x, y] = to_px(place);
    if !(x >= 0.0 && y >= 0.0 && x <= SIZE[0] as f32 - 1.0 && y <= SIZE[1] as f32 - 1.0) {
        return 0.0;
    }
    plane.sample([x, y])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_face_is_seen_from_the_front() {
        // A picture whose red grows downwards, shown on its side.
        let picture = RgbImage::from_fn(300, 300, |x, _| image::Rgb([(x / 2) as u8, 90, 80]));
        let mesh: Vec<Point3> = MEAN_SHAPE.iter().map(|p| [150.0 + 100.0 * p[1], 150.0 - 100.0 * p[0], p[2]]).collect();
        let (view, inside) = view(&picture, &mesh);
        let at = |place: [f32; 2]| {
            let [x, y] = to_px(place);
            let i = y.round() as usize * SIZE[0] + x.round() as usize;
            assert_eq!(inside.values()[i], 1.0);
            view.pixels[i]
        };
        let (brow, chin) = (at([0.0, -0.3]), at([0.0, 0.4]));
        assert!(chin[1] > brow[1] + 10.0, "{brow:?} {chin:?}");
        assert!((at([-0.2, 0.0])[1] - at([0.2, 0.0])[1]).abs() < 1.0);
        assert_eq!(inside.values()[0], 0.0);
    }
}
