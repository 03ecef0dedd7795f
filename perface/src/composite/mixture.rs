//! How much of each donor goes into one face.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Options;
use crate::lab::Lab;

/// Weights of one face, each list in the donors' order.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// Of each donor's difference from the mean shape; they add up to 0.
    pub shape: Vec<f32>,
    /// Of each donor's texture in the average; not negative, adding up to 1.
    pub texture: Vec<f32>,
    /// Of each donor's texture in what is pushed away from the average; they add up to 0.
    pub push: Vec<f32>,
    /// Whose fine structure is seen.
    pub lead: usize,
}

impl Mixture {
    /// Draws weights for donors whose skin has these colours.
    pub fn draw(tones: &[Lab], options: &Options, rng: &mut ChaCha8Rng) -> Self {
        let n = tones.len();
        let centre = rng.random_range(0..n);
        let near = tones.iter().map(|tone| {
            let square: f32 = tone.iter().zip(tones[centre]).map(|(a, b)| (a - b) * (a - b)).sum();
            (-0.5 * square / (options.tone_width * options.tone_width)).exp()
        });
        let mut texture: Vec<f32> = near.map(|w| w * rng.random_range(0.3..1.0f32)).collect();
        let total: f32 = texture.iter().sum();
        texture.iter_mut().for_each(|w| *w /= total.max(1e-6));
        // The lead's fine structure must be of this skin, but its owner should not be the strongest in the shape.
        let shape = signed(n, options.shape_spread, options.max_share, rng);
        let push = signed(n, options.texture_spread, options.max_share, rng);
        let push: Vec<f32> = centred(push.iter().zip(&texture).map(|(p, t)| p * (t * n as f32).min(1.0)).collect());
        let lead = (0..n)
            .filter(|&i| texture[i] * n as f32 > 0.5)
            .min_by(|&a, &b| shape[a].abs().total_cmp(&shape[b].abs()))
            .unwrap_or(centre);
        Self { shape, texture, push, lead }
    }

    /// Whether donor `i` has a part in the face.
    pub fn uses(&self, i: usize) -> bool {
        let part = |weights: &[f32], least: f32| weights.get(i).is_some_and(|w| w.abs() > least);
        part(&self.shape, 0.0) || part(&self.texture, 1e-3) || part(&self.push, 1e-3) || self.lead == i
    }
}

/// `n` random weights with sum 0 and length `spread`, none larger than `limit` as far as that is possible.
fn signed(n: usize, spread: f32, limit: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    const DRAWS: usize = 60;
    let largest = |weights: &[f32]| weights.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    let mut best: Option<Vec<f32>> = None;
    for _ in 0..DRAWS {
        // The sum of uniform numbers is normal enough here.
        let raw = (0..n).map(|_| (0..6).map(|_| rng.random_range(-0.5..0.5f32)).sum()).collect();
        let mut weights: Vec<f32> = centred(raw);
        let length = weights.iter().map(|w| w * w).sum::<f32>().sqrt().max(1e-6);
        weights.iter_mut().for_each(|w| *w *= spread / length);
        if best.as_ref().is_none_or(|best| largest(&weights) < largest(best)) {
            best = Some(weights);
        }
        if best.as_ref().is_some_and(|best| largest(best) <= limit) {
            break;
        }
    }
    best.unwrap_or_default()
}

fn centred(mut weights: Vec<f32>) -> Vec<f32> {
    let mean = weights.iter().sum::<f32>() / weights.len().max(1) as f32;
    weights.iter_mut().for_each(|w| *w -= mean);
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn weights_keep_their_promises() {
        let tones: Vec<Lab> = (0..14).map(|i| [if i < 10 { 70.0 } else { 35.0 }, 14.0, 18.0]).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..50 {
            let mixture = Mixture::draw(&tones, &Options::default(), &mut rng);
            assert!(mixture.shape.iter().sum::<f32>().abs() < 1e-4);
            let length = mixture.shape.iter().map(|w| w * w).sum::<f32>().sqrt();
            assert!((length - Options::default().shape_spread).abs() < 1e-4);
            assert!(mixture.shape.iter().all(|w| w.abs() <= 0.5));
            assert!((mixture.texture.iter().sum::<f32>() - 1.0).abs() < 1e-4);
            let dark: f32 = mixture.texture[10..].iter().sum();
            assert!(!(0.02..0.98).contains(&dark), "light and dark skin averaged: {dark}");
        }
    }
}
