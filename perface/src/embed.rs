//! Turn aligned faces into embeddings.

use std::sync::Arc;

use image::RgbImage;

use crate::align::{self, AlignedFace};
use crate::detect::Face;
use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::model::card::{Channels, Layout, ModelCard, Preprocessing};
use crate::model::{Model, Tensor, single_output};

/// Faces run through the network at once.
const BATCH: usize = 16;

/// A face embedder: a network and its card.
#[derive(Clone)]
pub struct Embedder {
    card: ModelCard,
    model: Arc<dyn Model>,
}

impl Embedder {
    /// From a card and its network.
    pub fn new(card: ModelCard, model: Arc<dyn Model>) -> Self {
        Self { card, model }
    }

    /// The network's card.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// `face` of `photo`, cut out as the card says; `None` if its landmarks coincide or nothing of it is inside.
    pub fn align(&self, photo: &RgbImage, face: &Face) -> Option<AlignedFace> {
        let preprocessing = &self.card.preprocessing;
        align::align_as(photo, face, preprocessing.aligner, preprocessing.width_px, preprocessing.height_px)
    }

    /// The embedding of `face` of `photo`, cut out as the card says; `None` as for [`Embedder::align`].
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    pub fn embed_face(&self, photo: &RgbImage, face: &Face) -> Result<Option<Embedding>> {
        self.align(photo, face).map(|aligned| self.embed_one(&aligned)).transpose()
    }

    /// Embeddings of `faces`, in their order.
    ///
    /// # Errors
    /// If a crop has another size than the card's, the network fails, its output is not what the card promises, or an
    /// embedding is zero or not finite.
    pub fn embed(&self, faces: &[AlignedFace]) -> Result<Vec<Embedding>> {
        let mut embeddings = Vec::with_capacity(faces.len());
        let (width, height) = (self.card.preprocessing.width_px, self.card.preprocessing.height_px);
        if let Some(other) = faces.iter().map(|face| face.crop().dimensions()).find(|size| *size != (width, height)) {
            let (w, h) = other;
            return Err(Error::model(&self.card.name, format!("takes {width} × {height} crops, not {w} × {h}")));
        }
        // A network exported for one picture at a time takes no more.
        let one_by_one = self.model.input_shape(0).first().copied().flatten() == Some(1);
        for chunk in faces.chunks(if one_by_one { 1 } else { BATCH }) {
            let crops: Vec<&RgbImage> = chunk.iter().map(AlignedFace::crop).collect();
            let input = input_tensor(&crops, &self.card.preprocessing);
            let length = self.card.embedding_len.unwrap_or(0);
            let output = single_output(&self.card.name, self.model.run(&[input])?, &[chunk.len(), length])?;
            let length = output.shape().get(1).copied().unwrap_or(1).max(1);
            for raw in output.data().chunks_exact(length) {
                let embedding = Embedding::from_raw(raw);
                embeddings.push(
                    embedding.ok_or_else(|| Error::model(&self.card.name, "an embedding is zero or not finite"))?,
                );
            }
        }
        Ok(embeddings)
    }

    /// The embedding of one face.
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    pub fn embed_one(&self, face: &AlignedFace) -> Result<Embedding> {
        let mut embeddings = self.embed(std::slice::from_ref(face))?;
        embeddings.pop().ok_or_else(|| Error::model(&self.card.name, "no embedding came out"))
    }
}

/// Crops of the card's size as `[N, 3, H, W]` or `[N, H, W, 3]`, preprocessed as the card says.
///
/// # Panics
/// If a crop is not of that size.
pub fn input_tensor(crops: &[&RgbImage], preprocessing: &Preprocessing) -> Tensor {
    let (width, height) = (preprocessing.width_px, preprocessing.height_px);
    let plane = width as usize * height as usize;
    let mut data = vec![0.0; crops.len() * 3 * plane];
    for (crop, values) in crops.iter().zip(data.chunks_exact_mut(3 * plane)) {
        assert_eq!(crop.dimensions(), (width, height), "crop does not have the network's input size");
        for channel in 0..3 {
            let from = match preprocessing.channels {
                Channels::Rgb => channel,
                Channels::Bgr => 2 - channel,
            };
            let (mean, scale) = (preprocessing.mean[channel], preprocessing.scale);
            let pixels = crop.as_raw().as_chunks::<3>().0.iter();
            let (first, step) = match preprocessing.layout {
                Layout::Nchw => (channel * plane, 1),
                Layout::Nhwc => (channel, 3),
            };
            let target = values.iter_mut().skip(first).step_by(step);
            for (value, pixel) in target.zip(pixels) {
                *value = (f32::from(pixel[from]) - mean) / scale;
            }
        }
    }
    let (height, width) = (height as usize, width as usize);
    let shape = match preprocessing.layout {
        Layout::Nchw => vec![crops.len(), 3, height, width],
        Layout::Nhwc => vec![crops.len(), height, width, 3],
    };
    Tensor::new(shape, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::builtin::age_gender_preprocessing;

    #[test]
    fn both_layouts_hold_the_same_values() {
        let crop = RgbImage::from_fn(2, 2, |x, y| image::Rgb([10 + x as u8, 20 + y as u8, 30]));
        let planes =
            Preprocessing { channels: Channels::Bgr, mean: [1.0; 3], scale: 2.0, ..age_gender_preprocessing(2) };
        let pixels = Preprocessing { layout: Layout::Nhwc, ..planes.clone() };
        let (planes, pixels) = (input_tensor(&[&crop], &planes), input_tensor(&[&crop], &pixels));
        assert_eq!((planes.shape(), pixels.shape()), (&[1, 3, 2, 2][..], &[1, 2, 2, 3][..]));
        assert_eq!(&planes.data()[..4], [14.5; 4], "blue first");
        for place in 0..4 {
            for channel in 0..3 {
                assert_eq!(planes.data()[channel * 4 + place], pixels.data()[place * 3 + channel]);
            }
        }
    }

    /// Gives as many values as it likes.
    struct Other(usize);

    impl Model for Other {
        fn input_shape(&self, _: usize) -> Vec<Option<usize>> {
            vec![None, Some(3), Some(112), Some(112)]
        }

        fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
            let n = inputs[0].shape()[0];
            Ok(vec![Tensor::new(vec![n, self.0], vec![1.0; n * self.0])])
        }
    }

    #[test]
    fn a_network_of_another_length_than_its_card_is_an_error_that_says_both() {
        let card = crate::model::presets::preset("w600k-mbf").unwrap();
        let photo = RgbImage::from_pixel(200, 200, image::Rgb([90; 3]));
        let face = crate::detect::Face {
            box_px: crate::geometry::Rect::from_xywh(40.0, 40.0, 112.0, 112.0),
            landmarks_px: crate::align::TEMPLATE_PX,
            score: 1.0,
        };
        let aligned = crate::align::align(&photo, &face).unwrap();
        let embed = |length| Embedder::new(card.clone(), Arc::new(Other(length))).embed_one(&aligned);
        assert_eq!(embed(512).unwrap().as_slice().len(), 512);
        let message = embed(128).unwrap_err().to_string();
        assert!(["w600k-mbf", "128", "512"].iter().all(|part| message.contains(part)), "{message}");
    }
}
