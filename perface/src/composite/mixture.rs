//! How much of each donor goes into one face.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Options;
use crate::lab::Lab;

/// Weights of one face, each list in the people's order: donors, then helpers.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// Of each person's difference from the mean shape; they add up to 0.
    pub shape: Vec<f32>,
    /// Of each donor's texture in the average; not negative, adding up to 1.
    pub texture: Vec<f32>,
    /// Of each person's texture in what is pushed away from the average; they add up to 0.
    pub push: Vec<f32>,
    /// Whose fine structure is seen.
    pub lead: usize,
    /// How many of the people are donors; the rest help.
    group: usize,
}

impl Mixture {
    /// Draws weights for people whose skin has these colours; the first `group` of them are the donors.
    pub fn draw(tones: &[Lab], group: usize, options: &Options, rng: &mut ChaCha8Rng) -> Self {
        let centre = rng.random_range(0..group);
        let texture = tones.iter().enumerate().map(|(i, tone)| {
            let square: f32 = tone.iter().zip(tones[centre]).map(|(a, b)| (a - b) * (a - b)).sum();
            let near = (-0.5 * square / (options.tone_width * options.tone_width)).exp();
            if i < group { near * rng.random_range(0.3..1.0f32) } else { 0.0 }
        });
        let texture = summing_to_one(texture.collect());
        let shape = signed(tones.len(), group, options.shape_spread, options.max_share, rng);
        let push = signed(tones.len(), group, options.texture_spread, options.max_share, rng);
        let mut mixture = Self { shape, texture, push, lead: centre, group };
        mixture.choose_lead();
        mixture
    }

    /// The lead's fine structure must be of this skin, but its owner should have little part in the rest.
    fn choose_lead(&mut self) {
        let part = |i: &usize| self.shape[*i] + self.push[*i];
        let usual = 1.0 / self.group as f32;
        let of_this_skin = (0..self.group).filter(|&i| self.texture[i] > 0.4 * usual);
        if let Some(lead) = of_this_skin.min_by(|a, b| part(a).total_cmp(&part(b))) {
            self.lead = lead;
        }
    }

    /// Takes some of `person` out again.
    pub fn lead_away(&mut self, person: usize, options: &Options) {
        const STEP: f32 = 0.25;
        self.shape[person] -= STEP;
        self.push[person] -= STEP;
        self.texture[person] *= 0.4;
        self.texture = summing_to_one(std::mem::take(&mut self.texture));
        self.shape = scaled(std::mem::take(&mut self.shape), self.group, options.shape_spread);
        self.push = scaled(std::mem::take(&mut self.push), self.group, options.texture_spread);
        self.choose_lead();
    }

    /// Whether person `i` has a part in the face.
    pub fn uses(&self, i: usize) -> bool {
        let part = |weights: &[f32], least: f32| weights.get(i).is_some_and(|w| w.abs() > least);
        part(&self.shape, 0.0) || part(&self.texture, 1e-3) || part(&self.push, 1e-3) || self.lead == i
    }
}

fn summing_to_one(mut weights: Vec<f32>) -> Vec<f32> {
    let total = weights.iter().sum::<f32>().max(1e-6);
    weights.iter_mut().for_each(|w| *w /= total);
    weights
}

/// Of length `spread`, adding up to 0 among the first `group` and among the rest.
fn scaled(mut weights: Vec<f32>, group: usize, spread: f32) -> Vec<f32> {
    let (donors, helpers) = weights.split_at_mut(group);
    for part in [donors, helpers] {
        let mean = part.iter().sum::<f32>() / part.len().max(1) as f32;
        part.iter_mut().for_each(|w| *w -= mean);
    }
    let length = weights.iter().map(|w| w * w).sum::<f32>().sqrt().max(1e-6);
    weights.iter_mut().for_each(|w| *w *= spread / length);
    weights
}

/// `n` random weights, [`scaled`], none larger than `limit` as far as that is possible.
fn signed(n: usize, group: usize, spread: f32, limit: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    const DRAWS: usize = 60;
    let largest = |weights: &[f32]| weights.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    let mut best: Option<Vec<f32>> = None;
    for _ in 0..DRAWS {
        // The sum of uniform numbers is normal enough here.
        let raw = (0..n).map(|_| (0..6).map(|_| rng.random_range(-0.5..0.5f32)).sum()).collect();
        let weights = scaled(raw, group, spread);
        if best.as_ref().is_none_or(|best| largest(&weights) < largest(best)) {
            best = Some(weights);
        }
        if best.as_ref().is_some_and(|best| largest(best) <= limit) {
            break;
        }
    }
    best.unwrap_or_default()
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
            let mixture = Mixture::draw(&tones, 12, &Options::default(), &mut rng);
            assert!(mixture.shape[..12].iter().sum::<f32>().abs() < 1e-4);
            assert_eq!(mixture.texture[12..], [0.0, 0.0]);
            let length = mixture.shape.iter().map(|w| w * w).sum::<f32>().sqrt();
            assert!((length - Options::default().shape_spread).abs() < 1e-4);
            assert!(mixture.shape.iter().all(|w| w.abs() <= 0.5));
            assert!((mixture.texture.iter().sum::<f32>() - 1.0).abs() < 1e-4);
            let dark: f32 = mixture.texture[10..].iter().sum();
            assert!(!(0.02..0.98).contains(&dark), "light and dark skin averaged: {dark}");
        }
    }
}
