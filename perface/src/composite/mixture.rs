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
    /// The skin's colour.
    pub tone: Lab,
    /// How many of the people are donors; the rest help.
    group: usize,
}

impl Mixture {
    /// Draws weights for people whose skin has these colours; the first `group` of them are the donors, and the face
    /// gets the skin colour of donor `centre`.
    pub fn draw(tones: &[Lab], group: usize, centre: usize, options: &Options, rng: &mut ChaCha8Rng) -> Self {
        let width = tone_width(tones, group, centre, options.tone_width);
        let texture = tones.iter().enumerate().map(|(i, tone)| {
            let near = nearness(tone, &tones[centre], width);
            // Squared, so that a few have most of the say: an average of everybody is like everybody.
            if i < group { near * rng.random_range(0.1..1.0f32).powi(2) } else { 0.0 }
        });
        let texture = summing_to_one(texture.collect());
        let shape = signed(tones.len(), group, options.shape_spread, options.max_share, rng);
        let push = signed(tones.len(), group, options.texture_spread, options.max_share, rng);
        let mut mixture = Self { shape, texture, push, lead: centre, tone: tones[centre], group };
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
        const STEP: f32 = 0.35;
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

/// How much skin of colour `tone` has to say where `wanted` is wanted, in `[0, 1]`.
fn nearness(tone: &Lab, wanted: &Lab, width: f32) -> f32 {
    let square: f32 = tone.iter().zip(wanted).map(|(a, b)| (a - b) * (a - b)).sum();
    (-0.5 * square / (width * width)).exp()
}

/// `width`, or as much wider as is needed that no few donors of a rare tone make the texture alone.
fn tone_width(tones: &[Lab], group: usize, centre: usize, width: f32) -> f32 {
    const LEAST_DONORS: f32 = 4.0;
    const STEP: f32 = 1.25;
    const STEPS: usize = 12;
    let mut width = width;
    for _ in 0..STEPS {
        let near = tones[..group].iter().map(|tone| nearness(tone, &tones[centre], width));
        let (sum, squares) = near.fold((0.0f32, 0.0f32), |(sum, squares), w| (sum + w, squares + w * w));
        // As many donors as have an equal say would give this.
        if sum * sum >= LEAST_DONORS * squares {
            break;
        }
        width *= STEP;
    }
    width
}

/// Donors whose skin colours the faces get, one for each of `count`: half way between how often tones occur among the
/// donors and an even spread from the darkest to the lightest.
pub fn tone_slots(tones: &[Lab], count: usize) -> Vec<usize> {
    let ita = |tone: &Lab| (tone[0] - 50.0).atan2(tone[2].max(1e-3)).to_degrees();
    let mut sorted: Vec<(f32, usize)> = tones.iter().enumerate().map(|(i, tone)| (ita(tone), i)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let wanted = |slot: usize| {
        let share = (slot as f32 + 0.5) / count as f32;
        let usual = sorted[((share * sorted.len() as f32) as usize).min(sorted.len() - 1)].0;
        0.5 * usual + 0.5 * (first.0 + share * (last.0 - first.0))
    };
    let nearest = |wanted: f32| {
        let away = |ita: f32| (ita - wanted).abs();
        sorted.iter().min_by(|a, b| away(a.0).total_cmp(&away(b.0))).map(|(_, i)| *i)
    };
    (0..count).filter_map(|slot| nearest(wanted(slot))).collect()
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
            let mixture = Mixture::draw(&tones, 12, 3, &Options::default(), &mut rng);
            assert!(mixture.shape[..12].iter().sum::<f32>().abs() < 1e-4);
            assert_eq!(mixture.texture[12..], [0.0, 0.0]);
            let length = mixture.shape.iter().map(|w| w * w).sum::<f32>().sqrt();
            assert!((length - Options::default().shape_spread).abs() < 1e-4);
            assert!(mixture.shape.iter().all(|w| w.abs() <= 1.25 * Options::default().max_share));
            assert!((mixture.texture.iter().sum::<f32>() - 1.0).abs() < 1e-4);
            let dark: f32 = mixture.texture[10..].iter().sum();
            assert!(!(0.02..0.98).contains(&dark), "light and dark skin averaged: {dark}");
        }
    }

    #[test]
    fn a_rare_tone_borrows_texture_and_keeps_its_colour() {
        let tones: Vec<Lab> = (0..12).map(|i| [if i < 10 { 70.0 } else { 35.0 }, 14.0, 18.0]).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mixture = Mixture::draw(&tones, 12, 11, &Options::default(), &mut rng);
        assert_eq!(mixture.tone, tones[11]);
        let light: f32 = mixture.texture[..10].iter().sum();
        assert!(light > 0.2, "two people alone: {light}");
    }

    #[test]
    fn slots_go_from_dark_to_light_and_ask_for_the_rare_tone() {
        let tones: Vec<Lab> = [30.0, 68.0, 70.0, 71.0, 72.0, 73.0, 74.0, 80.0].map(|l| [l, 14.0, 18.0]).to_vec();
        let slots = tone_slots(&tones, 6);
        assert_eq!(slots.len(), 6);
        assert!(slots.is_sorted(), "{slots:?}");
        // By how often tones occur, the dark one in eight would get a slot in six by luck alone.
        assert_eq!(slots[0], 0);
        assert!(slots[5] >= 6 && slots.iter().filter(|i| (1..7).contains(*i)).count() >= 3, "{slots:?}");
        assert!(tone_slots(&[], 6).is_empty());
    }
}
