//! The four pixels around a place between pixel centres, and what each counts for.
//!
//! Written out in plain loops: this is the innermost of all that is done to pixels.

/// The pixels around a place, as numbers row by row, and their weights, which sum to 1.
#[derive(Clone, Copy, Debug)]
pub struct Corners {
    at: [usize; 4],
    weights: [f32; 4],
}

impl Corners {
    /// Of (x, y), pixel centres at whole numbers, in a picture of `width` × `height` pixels, neither of them 0; outside, the
    /// border goes on.
    #[inline(always)]
    pub fn of([x, y]: [f32; 2], width: usize, height: usize) -> Self {
        let (x, y) = (x.clamp(0.0, width as f32 - 1.0), y.clamp(0.0, height as f32 - 1.0));
        let (left, top) = (x as usize, y as usize);
        let (fx, fy) = (x - left as f32, y - top as f32);
        let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
        let at = [top * width + left, top * width + right, bottom * width + left, bottom * width + right];
        Self { at, weights: [(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy] }
    }

    /// The weighted mean of one value of each pixel.
    #[inline(always)]
    pub fn mean(&self, values: &[f32]) -> f32 {
        let mut sum = 0.0;
        for k in 0..4 {
            sum += self.weights[k] * values[self.at[k]];
        }
        sum
    }

    /// The weighted mean of `N` values of each pixel.
    #[inline(always)]
    pub fn mean_of<const N: usize>(&self, pixels: &[[f32; N]]) -> [f32; N] {
        let mut sum = [0.0; N];
        for k in 0..4 {
            let (pixel, weight) = (&pixels[self.at[k]], self.weights[k]);
            for channel in 0..N {
                sum[channel] += weight * pixel[channel];
            }
        }
        sum
    }

    /// The weighted mean of `N` bytes of each pixel, from 0 to 255.
    #[inline(always)]
    pub fn mean_of_bytes<const N: usize>(&self, pixels: &[[u8; N]]) -> [f32; N] {
        let mut sum = [0.0; N];
        for k in 0..4 {
            let (pixel, weight) = (&pixels[self.at[k]], self.weights[k]);
            for channel in 0..N {
                sum[channel] += weight * f32::from(pixel[channel]);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_place_between_pixels_is_their_mean_and_the_border_goes_on() {
        let values = [0.0, 10.0, 20.0, 30.0];
        assert_eq!(Corners::of([0.5, 0.5], 2, 2).mean(&values), 15.0);
        assert_eq!(Corners::of([1.0, 0.0], 2, 2).mean(&values), 10.0);
        assert_eq!(Corners::of([7.0, -3.0], 2, 2).mean(&values), 10.0);
        assert_eq!(Corners::of([f32::INFINITY, 0.25], 2, 2).mean(&values), 15.0);
    }

    proptest! {
        #[test]
        fn a_linear_picture_is_sampled_exactly(x in 0f32..6.0, y in 0f32..4.0) {
            let pixels: Vec<[f32; 2]> = (0..35).map(|i| [(i % 7) as f32, (i / 7) as f32]).collect();
            let [at_x, at_y] = Corners::of([x, y], 7, 5).mean_of(&pixels);
            prop_assert!((at_x - x).abs() < 1e-5 && (at_y - y).abs() < 1e-5);
            let bytes: Vec<[u8; 1]> = (0..35).map(|i| [10 * (i % 7) as u8]).collect();
            prop_assert!((Corners::of([x, y], 7, 5).mean_of_bytes(&bytes)[0] - 10.0 * x).abs() < 1e-3);
        }
    }
}
