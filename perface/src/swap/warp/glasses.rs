//! Glasses: found, and kept in front of the new face.
//!
//! In the frontal view of the target (see [`super::frontal`]) a rim is a thin line, darker or brighter than the skin on
//! both sides (black-hat and top-hat: the picture closed, or opened, along rows and columns, against itself). Around each
//! eye the best closed line is found by dynamic programming over polar coordinates; a nose bridge is the best line
//! from side to side between the eyes. Skin has such lines too, but not below both eyes and across the nose at once.

use super::field::smoothstep;
use super::frontal::{self, PX_PER_FACE, SIZE};
use crate::lab::LabImage;
use crate::plane::Plane;

/// Where lenses have their middle, in the frontal frame: a little below the pupils.
const LENS_MIDDLES: [[f32; 2]; 2] = [[-0.235, -0.195], [0.235, -0.195]];
/// Radii a rim may have, in face widths.
const RADII: (f32, f32) = (0.085, 0.25);
/// Directions around an eye, the first to the right, then clockwise on screen.
const DIRECTIONS: usize = 64;
/// Radii tried.
const STEPS: usize = 27;
/// Half the widest rim, in face widths.
const HALF_RIM: f32 = 0.036;
/// Cost of a step outwards or inwards between neighbouring directions, in L\*.
const BEND: f32 = 2.0;

/// What speaks for glasses.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Contrast, in L\*, of the line below each eye that three quarters of its length exceed.
    pub below: [f32; 2],
    /// The same across the bridge of the nose.
    pub bridge: f32,
    /// Lightness just below each eye as a share of the cheeks'.
    pub lens: [f32; 2],
    /// Radius of the line in each direction, in face widths.
    rims: [[f32; DIRECTIONS]; 2],
    /// Height of the bridge's line at each column, as a frontal y.
    bridge_line: Vec<(f32, f32)>,
    lines: Lines,
}

impl Evidence {
    /// Of the frontal view of a face.
    pub fn of(view: &LabImage) -> Self {
        let lines = Lines::of(view);
        let rims = LENS_MIDDLES.map(|middle| closed_line(&lines.any, middle));
        let below = [0, 1].map(|eye| {
            let arc = (DIRECTIONS / 10)..=(DIRECTIONS * 4 / 10);
            quarter(arc.map(|d| frontal::at(&lines.any, on_line(eye, &rims[eye], d as f32))).collect())
        });
        let bridge_line = bridge_line(&lines.level);
        let bridge = quarter(bridge_line.iter().map(|&(x, y)| frontal::at(&lines.level, [x, y])).collect());
        let lightness = |places: &mut dyn Iterator<Item = [f32; 2]>| {
            let mut values: Vec<f32> = places.map(|p| frontal::at(&lines.lightness, p)).collect();
            values.sort_by(f32::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(0.0)
        };
        let grid = |x: (f32, f32), y: (f32, f32)| {
            (0..100).map(move |k| {
                let at = |(low, high): (f32, f32), step: usize| low + (high - low) * step as f32 / 9.0;
                [at(x, k % 10), at(y, k / 10)]
            })
        };
        let both = |y| grid((-0.33, -0.15), y).chain(grid((0.15, 0.33), y));
        let cheeks = lightness(&mut both((0.0, 0.1))).max(1.0);
        let under_eye = (-0.185, -0.13);
        let lens = [(-0.32, -0.15), (0.15, 0.32)].map(|x| lightness(&mut grid(x, under_eye)) / cheeks);
        Self { below, bridge, lens, rims, bridge_line, lines }
    }

    /// Whether the lenses are dark: sunglasses.
    pub fn are_dark(&self) -> bool {
        self.lens.iter().all(|&share| share < DARK_LENS)
    }

    /// Whether there are glasses.
    pub fn found(&self) -> bool {
        let (weak, strong) = (self.below[0].min(self.below[1]), self.below[0].max(self.below[1]));
        let rims = weak > STRONG_RIM || (self.bridge > BRIDGE && weak + 0.5 * strong + self.bridge > ENOUGH);
        self.bridge > STRONG_BRIDGE || rims || self.are_dark()
    }

    /// Where the rims run, as closed lines of frontal places around each eye.
    pub fn outlines(&self) -> [Vec<[f32; 2]>; 2] {
        [0, 1].map(|eye| (0..DIRECTIONS).map(|d| on_line(eye, &self.rims[eye], d as f32)).collect())
    }

    /// The height of the bridge between the lenses, as a frontal y.
    pub fn bridge_height(&self) -> f32 {
        let heights = self.bridge_line.iter().map(|&(_, y)| y);
        heights.sum::<f32>() / self.bridge_line.len().max(1) as f32
    }

    /// What to keep of the glasses, in the frontal view: all of them, and the arms alone.
    pub fn kept(&self) -> [Plane; 2] {
        let lines = &self.lines;
        let dark = self.are_dark();
        // Where the line is much fainter than most of the rim there is none: half-rims, or a wrinkle.
        let typical = [0, 1].map(|eye| {
            let along = (0..DIRECTIONS).map(|d| frontal::at(&lines.wide, on_line(eye, &self.rims[eye], d as f32)));
            let mut along: Vec<f32> = along.collect();
            along.sort_by(f32::total_cmp);
            0.6 * along[DIRECTIONS * 3 / 4]
        });
        let mut arms = Plane::filled(SIZE[0], SIZE[1], 0.0);
        let values = (0..SIZE[0] * SIZE[1]).map(|i| {
            let place = frontal::from_px([(i % SIZE[0]) as f32, (i / SIZE[0]) as f32]);
            let line = lines.any.values()[i];
            let eye = usize::from(place[0] > 0.0);
            let middle = LENS_MIDDLES[eye];
            let (dx, dy) = (place[0] - middle[0], place[1] - middle[1]);
            let direction = dy.atan2(dx) / std::f32::consts::TAU * DIRECTIONS as f32;
            let rim = radius_at(&self.rims[eye], direction);
            let radius = dx.hypot(dy);
            let strength = frontal::at(&lines.wide, on_line(eye, &self.rims[eye], direction)).max(typical[eye]);
            let near_rim = smoothstep(HALF_RIM, 0.55 * HALF_RIM, (radius - rim).abs());
            let mut keep = near_rim * contrast(line, strength);
            // The bridge between the lenses.
            if let Some(&(_, y)) =
                self.bridge_line.iter().min_by(|a, b| (a.0 - place[0]).abs().total_cmp(&(b.0 - place[0]).abs()))
                && place[0].abs() < 0.16
            {
                let near = smoothstep(HALF_RIM, 0.5 * HALF_RIM, (place[1] - y).abs());
                keep = keep.max(near * contrast(line, self.bridge.max(4.0)));
            }
            // The arms, from the lenses to the ears.
            if dx.abs() > 0.0 && place[0].abs() > middle[0].abs() && radius > rim {
                let near = smoothstep(0.1, 0.06, (place[1] + 0.22).abs());
                let arm = near * contrast(lines.level.values()[i], 8.0);
                arms.values_mut()[i] = arm;
                keep = keep.max(arm);
            }
            if dark {
                keep = keep.max(smoothstep(rim + 0.02, rim - 0.005, radius));
            }
            keep
        });
        let all = Plane::from_values(SIZE[0], SIZE[1], values.collect());
        [all, arms]
    }
}

/// Skin below the eyes darker than this share of the cheeks' lightness lies behind sunglasses.
const DARK_LENS: f32 = 0.62;
/// Contrast, in L\*, that a bridge alone must have, and one together with rims.
const STRONG_BRIDGE: f32 = 10.0;
const BRIDGE: f32 = 4.6;
/// Contrast that rims alone must have: bags below the eyes reach 9.
const STRONG_RIM: f32 = 13.0;
/// Rims and bridge have together at least this contrast.
const ENOUGH: f32 = 14.0;

/// The share of `strength` a line has, as a matte.
fn contrast(line: f32, strength: f32) -> f32 {
    smoothstep(0.2, 0.55, line / strength.max(3.0))
}

/// The value a quarter of `values` lies below.
fn quarter(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 4).copied().unwrap_or(0.0)
}

fn place(eye: usize, direction: f32, radius: f32) -> [f32; 2] {
    let angle = direction / DIRECTIONS as f32 * std::f32::consts::TAU;
    let [x, y] = LENS_MIDDLES[eye];
    [x + radius * angle.cos(), y + radius * angle.sin()]
}

fn radius_at(rim: &[f32; DIRECTIONS], direction: f32) -> f32 {
    let direction = direction.rem_euclid(DIRECTIONS as f32);
    let low = direction as usize % DIRECTIONS;
    rim[low] + direction.fract() * (rim[(low + 1) % DIRECTIONS] - rim[low])
}

fn on_line(eye: usize, rim: &[f32; DIRECTIONS], direction: f32) -> [f32; 2] {
    place(eye, direction, radius_at(rim, direction))
}

/// How much of a thin line each pixel of the view is, in L\*.
#[derive(Clone, Debug, PartialEq)]
struct Lines {
    lightness: Plane,
    /// Lines of any direction.
    any: Plane,
    /// The same, as strong as the strongest nearby.
    wide: Plane,
    /// Lines that run from side to side.
    level: Plane,
}

impl Lines {
    fn of(view: &LabImage) -> Self {
        let lightness = Plane::from_values(view.width, view.height, view.pixels.iter().map(|p| p[0]).collect());
        let half = (HALF_RIM * PX_PER_FACE).round() as usize;
        let hats = |along_rows: bool| {
            let closed = extreme(&extreme(&lightness, half, along_rows, f32::max), half, along_rows, f32::min);
            let opened = extreme(&extreme(&lightness, half, along_rows, f32::min), half, along_rows, f32::max);
            let dark = closed.zip(&lightness, |c, v| c - v);
            dark.zip(&lightness.zip(&opened, |v, o| v - o), |dark, bright| dark.max(0.6 * bright))
        };
        let level = hats(false);
        let any = hats(true).zip(&level, f32::max);
        let wide = extreme(&extreme(&any, 2, true, f32::max), 2, false, f32::max);
        Self { lightness, any, wide, level }
    }
}

/// The largest or smallest value among `half` neighbours on each side, along rows or columns: by windows of doubling
/// length.
fn extreme(plane: &Plane, half: usize, along_rows: bool, pick: fn(f32, f32) -> f32) -> Plane {
    let (width, height) = (plane.width(), plane.height());
    let mut ahead = plane.values().to_vec();
    let shifted = |values: &[f32], by: usize| -> Vec<f32> {
        let mut out = values.to_vec();
        for y in 0..height {
            for x in 0..width {
                let other =
                    if along_rows { y * width + (x + by).min(width - 1) } else { (y + by).min(height - 1) * width + x };
                let i = y * width + x;
                out[i] = pick(values[i], values[other]);
            }
        }
        out
    };
    // `ahead` covers `reach` pixels from each pixel on.
    let (mut reach, wanted) = (1, 2 * half + 1);
    while reach < wanted {
        let by = reach.min(wanted - reach);
        ahead = shifted(&ahead, by);
        reach += by;
    }
    let values = (0..width * height).map(|i| {
        let (x, y) = (i % width, i / width);
        if along_rows { ahead[y * width + x.saturating_sub(half)] } else { ahead[y.saturating_sub(half) * width + x] }
    });
    Plane::from_values(width, height, values.collect())
}

/// The closed line of greatest contrast around a lens's middle: its radius in each direction.
fn closed_line(lines: &Plane, middle: [f32; 2]) -> [f32; DIRECTIONS] {
    let radius = |step: usize| RADII.0 + (RADII.1 - RADII.0) * step as f32 / (STEPS - 1) as f32;
    let value = |direction: usize, step: usize| {
        let angle = direction as f32 / DIRECTIONS as f32 * std::f32::consts::TAU;
        let at = [middle[0] + radius(step) * angle.cos(), middle[1] + radius(step) * angle.sin()];
        frontal::at(lines, at).min(25.0)
    };
    // Two rounds, so that the second begins where the first ends.
    let mut best = vec![[0.0f32; STEPS]; 2 * DIRECTIONS];
    let mut from = vec![[0usize; STEPS]; 2 * DIRECTIONS];
    for k in 0..2 * DIRECTIONS {
        for step in 0..STEPS {
            let own = value(k % DIRECTIONS, step);
            if k == 0 {
                best[0][step] = own;
                continue;
            }
            let reach = step.saturating_sub(2)..=(step + 2).min(STEPS - 1);
            let score = |s: usize| best[k - 1][s] - BEND * s.abs_diff(step) as f32;
            let before = reach.max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(step);
            best[k][step] = own + score(before);
            from[k][step] = before;
        }
    }
    let last = &best[2 * DIRECTIONS - 1];
    let mut step = (0..STEPS).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap_or(0);
    let mut line = [0.0; DIRECTIONS];
    for k in (1..2 * DIRECTIONS).rev() {
        if (DIRECTIONS / 2..DIRECTIONS * 3 / 2).contains(&k) {
            line[k % DIRECTIONS] = radius(step);
        }
        step = from[k][step];
    }
    line
}

/// The line of greatest contrast across the bridge of the nose, as frontal places.
fn bridge_line(level: &Plane) -> Vec<(f32, f32)> {
    const COLUMNS: usize = 13;
    const ROWS: usize = 22;
    let x = |column: usize| -0.06 + 0.12 * column as f32 / (COLUMNS - 1) as f32;
    let y = |row: usize| -0.29 + 0.16 * row as f32 / (ROWS - 1) as f32;
    let mut best = vec![[0.0f32; ROWS]; COLUMNS];
    let mut from = vec![[0usize; ROWS]; COLUMNS];
    for column in 0..COLUMNS {
        for row in 0..ROWS {
            let own = frontal::at(level, [x(column), y(row)]).min(25.0);
            let mut before = (row, 0.0);
            if let Some(last) = column.checked_sub(1) {
                let score = |r: usize| best[last][r] - BEND * r.abs_diff(row) as f32;
                let reach = row.saturating_sub(2)..=(row + 2).min(ROWS - 1);
                let r = reach.max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap_or(row);
                before = (r, score(r));
            }
            best[column][row] = own + before.1;
            from[column][row] = before.0;
        }
    }
    let last = &best[COLUMNS - 1];
    let mut row = (0..ROWS).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap_or(0);
    let mut line = Vec::with_capacity(COLUMNS);
    for column in (0..COLUMNS).rev() {
        line.push((x(column), y(row)));
        row = from[column][row];
    }
    line
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A view of even skin, with `draw` saying how light each frontal place is.
    pub fn view(draw: impl Fn([f32; 2]) -> f32) -> LabImage {
        let pixels = (0..SIZE[0] * SIZE[1])
            .map(|i| [draw(frontal::from_px([(i % SIZE[0]) as f32, (i / SIZE[0]) as f32])), 12.0, 15.0]);
        LabImage { width: SIZE[0], height: SIZE[1], pixels: pixels.collect() }
    }

    /// Eyes and brows alone.
    fn bare([x, y]: [f32; 2]) -> f32 {
        let brow = (y + 0.35).abs() < 0.03 && (0.1..0.4).contains(&x.abs());
        let eye = ((x.abs() - 0.23) / 0.1).hypot((y + 0.215) / 0.03) < 1.0;
        if brow || eye { 25.0 } else { 65.0 }
    }

    pub fn rims([x, y]: [f32; 2]) -> f32 {
        let rim = ((x.abs() - 0.235).hypot(y + 0.195) - 0.15).abs() < 0.015;
        let bridge = x.abs() < 0.1 && (y + 0.23).abs() < 0.015;
        if rim || bridge { 20.0 } else { bare([x, y]) }
    }

    #[test]
    fn rims_are_found_and_kept_but_not_what_is_seen_through_them() {
        let evidence = Evidence::of(&view(rims));
        assert!(evidence.found() && !evidence.are_dark(), "{:?} {}", evidence.below, evidence.bridge);
        let [kept, arms] = evidence.kept();
        assert!(frontal::at(&arms, [0.235, -0.045]) < 0.1, "the rim is no arm");
        assert!(frontal::at(&kept, [0.235, -0.045]) > 0.9, "rim");
        assert!(frontal::at(&kept, [0.0, -0.23]) > 0.9, "bridge");
        assert!(frontal::at(&kept, [0.235, -0.14]) < 0.1, "skin behind the lens");
        assert!(frontal::at(&kept, [0.3, 0.05]) < 0.1, "cheek");
    }

    #[test]
    fn a_face_without_glasses_has_none() {
        let evidence = Evidence::of(&view(bare));
        assert!(!evidence.found(), "{:?} {}", evidence.below, evidence.bridge);
    }

    #[test]
    fn dark_lenses_are_kept_whole() {
        let evidence = Evidence::of(&view(|at| {
            let lens = (at[0].abs() - 0.235).hypot(at[1] + 0.195) < 0.16;
            if lens { 12.0 } else { rims(at) }
        }));
        assert!(evidence.found() && evidence.are_dark(), "{:?}", evidence.lens);
        assert!(frontal::at(&evidence.kept()[0], [0.235, -0.15]) > 0.9);
    }
}
