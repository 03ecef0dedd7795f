//! What goes into the part of a network that is fitted: aligned crops, or activations computed once.

use perface::model::card::{Channels, Preprocessing};

/// One row of numbers for each picture, as it is and mirrored.
pub trait Inputs {
    /// Numbers of a row.
    fn width(&self) -> usize;

    /// Write the row of a picture.
    fn fill(&self, picture: usize, mirrored: bool, row: &mut [f32]);
}

/// Activations of a frozen network, in memory: 8 bytes for each number of a row.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Numbers of a row.
    pub width: usize,
    /// Rows of the pictures as they are.
    pub plain: Vec<f32>,
    /// Rows of the mirrored pictures.
    pub mirrored: Vec<f32>,
}

impl Inputs for Rows {
    fn width(&self) -> usize {
        self.width
    }

    fn fill(&self, picture: usize, mirrored: bool, row: &mut [f32]) {
        let rows = if mirrored { &self.mirrored } else { &self.plain };
        if let Some(from) = rows.get(picture * self.width..(picture + 1) * self.width) {
            row.copy_from_slice(from);
        }
    }
}

/// Aligned crops as bytes, prepared as they are asked for.
#[derive(Clone, Debug)]
pub struct Crops {
    preprocessing: Preprocessing,
    pixels: Vec<u8>,
}

impl Crops {
    /// `pixels` holds RGB crops of the size that `preprocessing` says, one after the other.
    pub fn new(preprocessing: Preprocessing, pixels: Vec<u8>) -> Self {
        Self { preprocessing, pixels }
    }

    /// Number of crops.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.width().max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }
}

impl Inputs for Crops {
    fn width(&self) -> usize {
        3 * self.preprocessing.width_px as usize * self.preprocessing.height_px as usize
    }

    fn fill(&self, picture: usize, mirrored: bool, row: &mut [f32]) {
        let (width, plane) = (self.preprocessing.width_px as usize, self.width() / 3);
        let Some(crop) = self.pixels.get(picture * self.width()..(picture + 1) * self.width()) else { return };
        let pixels = crop.as_chunks::<3>().0;
        for (channel, planes) in row.chunks_exact_mut(plane.max(1)).enumerate() {
            let from = match self.preprocessing.channels {
                Channels::Rgb => channel,
                Channels::Bgr => 2 - channel.min(2),
            };
            let mean = self.preprocessing.mean.get(channel).copied().unwrap_or(0.0);
            let lines = planes.chunks_exact_mut(width).zip(pixels.chunks_exact(width));
            for (to, from_pixels) in lines {
                let value = |pixel: &[u8; 3]| (f32::from(pixel[from]) - mean) / self.preprocessing.scale;
                if mirrored {
                    to.iter_mut().zip(from_pixels.iter().rev()).for_each(|(to, pixel)| *to = value(pixel));
                } else {
                    to.iter_mut().zip(from_pixels).for_each(|(to, pixel)| *to = value(pixel));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_become_planes_and_are_mirrored() {
        let preprocessing = Preprocessing {
            width_px: 2,
            height_px: 1,
            channels: Channels::Bgr,
            mean: [1.0; 3],
            scale: 2.0,
            ..Preprocessing::arcface(112)
        };
        let crops = Crops::new(preprocessing, vec![0, 0, 0, 0, 0, 0, 1, 3, 5, 7, 9, 11]);
        let mut row = [0.0; 6];
        crops.fill(1, false, &mut row);
        assert_eq!(row, [2.0, 5.0, 1.0, 4.0, 0.0, 3.0]);
        crops.fill(1, true, &mut row);
        assert_eq!(row, [5.0, 2.0, 4.0, 1.0, 3.0, 0.0]);
        assert_eq!(crops.len(), 2);
    }
}
