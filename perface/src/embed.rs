//! Turn aligned faces into embeddings.

use std::sync::Arc;

use image::RgbImage;

use crate::align::AlignedFace;
use crate::embedding::Embedding;
use crate::error::{Error, Result};
use crate::model::card::{Channels, ModelCard, Preprocessing};
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

    /// Embeddings of `faces`, in their order.
    ///
    /// # Errors
    /// If the network fails, its output is not what the card promises, or an embedding is zero or not finite.
    pub fn embed(&self, faces: &[AlignedFace]) -> Result<Vec<Embedding>> {
        let mut embeddings = Vec::with_capacity(faces.len());
        for chunk in faces.chunks(BATCH) {
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

/// Crops of the card's size as `[N, 3, H, W]`, preprocessed as the card says.
///
/// # Panics
/// If a crop is not of that size.
pub fn input_tensor(crops: &[&RgbImage], preprocessing: &Preprocessing) -> Tensor {
    let (width, height) = (preprocessing.width_px, preprocessing.height_px);
    let plane = width as usize * height as usize;
    let mut data = vec![0.0; crops.len() * 3 * plane];
    for (crop, planes) in crops.iter().zip(data.chunks_exact_mut(3 * plane)) {
        assert_eq!(crop.dimensions(), (width, height), "crop does not have the network's input size");
        for channel in 0..3 {
            let from = match preprocessing.channels {
                Channels::Rgb => channel,
                Channels::Bgr => 2 - channel,
            };
            let (mean, scale) = (preprocessing.mean[channel], preprocessing.scale);
            let target = &mut planes[channel * plane..(channel + 1) * plane];
            for (value, pixel) in target.iter_mut().zip(crop.as_raw().as_chunks::<3>().0) {
                *value = (f32::from(pixel[from]) - mean) / scale;
            }
        }
    }
    Tensor::new(vec![crops.len(), 3, height as usize, width as usize], data)
}
