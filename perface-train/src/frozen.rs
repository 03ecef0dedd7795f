//! Activations of a network that is not changed, computed once for every picture and its mirror image.

use perface::model::card::Preprocessing;
use perface::model::{Model, Tensor};
use perface::parallel::in_parallel;
use perface::{Error, Result};

use crate::inputs::{Crops, Inputs, Rows};

/// Crops run through the network at once.
const BATCH: usize = 16;

/// Outputs of `model` for all of `crops`, plain and mirrored, on all cores. Rows that belong to pictures without a
/// crop are as meaningless as their crops.
///
/// # Errors
/// If the network fails, or gives rows of another width than `width` (0 for any).
pub fn rows(name: &str, model: &dyn Model, crops: &Crops, size: &Preprocessing, width: usize) -> Result<Rows> {
    let (height_px, width_px) = (size.height_px as usize, size.width_px as usize);
    let pictures: Vec<usize> = (0..crops.len()).collect();
    // A network exported for one picture at a time takes no more.
    let batch = if model.input_shape(0).first().copied().flatten() == Some(1) { 1 } else { BATCH };
    let batches: Vec<(&[usize], bool)> = [false, true]
        .into_iter()
        .flat_map(|mirrored| pictures.chunks(batch).map(move |chunk| (chunk, mirrored)))
        .collect();
    let outputs = in_parallel(&batches, |(chunk, mirrored)| -> Result<(usize, Vec<f32>)> {
        let mut data = vec![0.0; chunk.len() * crops.width()];
        for (row, picture) in data.chunks_exact_mut(crops.width()).zip(*chunk) {
            crops.fill(*picture, *mirrored, row);
        }
        let outputs = model.run(&[Tensor::new(vec![chunk.len(), 3, height_px, width_px], data)])?;
        let output = perface::model::single_output(name, outputs, &[chunk.len(), width])?;
        let found = output.shape().get(1).copied().unwrap_or(0);
        Ok((found, output.into_data()))
    });
    let mut rows = Rows::default();
    for ((_, mirrored), output) in batches.iter().zip(outputs) {
        let (found, data) = output?;
        rows.width = found;
        if *mirrored { rows.mirrored.extend(data) } else { rows.plain.extend(data) }
    }
    if rows.plain.iter().chain(&rows.mirrored).all(|value| value.is_finite()) {
        Ok(rows)
    } else {
        Err(Error::model(name, "its output is not finite"))
    }
}

/// Scale every row to unit norm; a row of zeros stays one.
pub fn normalise(rows: &mut [f32], width: usize) {
    for row in rows.chunks_exact_mut(width.max(1)) {
        let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if norm > 0.0 {
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crops::CROP_BYTES;

    /// Returns the first value of each picture's three planes.
    struct Corner;

    impl Model for Corner {
        fn input_shape(&self, _: usize) -> Vec<Option<usize>> {
            vec![None, Some(3), Some(112), Some(112)]
        }

        fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
            let planes = inputs[0].data().chunks_exact(112 * 112).map(|plane| plane[0]);
            Ok(vec![Tensor::new(vec![inputs[0].shape()[0], 3], planes.collect())])
        }
    }

    #[test]
    fn rows_stand_in_the_order_of_the_pictures() {
        let mut pixels = vec![0u8; 20 * CROP_BYTES];
        for (picture, crop) in pixels.chunks_exact_mut(CROP_BYTES).enumerate() {
            crop[0] = picture as u8;
            crop[3 * 111] = 100 + picture as u8;
        }
        let size = Preprocessing::arcface(112);
        let rows = rows("corner", &Corner, &Crops::new(size.clone(), pixels), &size, 3).unwrap();
        for picture in 0..20 {
            let value = |byte: usize| (byte as f32 - 127.5) / 127.5;
            assert_eq!(rows.plain[picture * 3], value(picture));
            assert_eq!(rows.mirrored[picture * 3], value(100 + picture), "the last column comes first");
        }
    }

    #[test]
    fn rows_get_unit_norm() {
        let mut rows = [3.0, 4.0, 0.0, 0.0];
        normalise(&mut rows, 2);
        assert_eq!(rows, [0.6, 0.8, 0.0, 0.0]);
    }
}
