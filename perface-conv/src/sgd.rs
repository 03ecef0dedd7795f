//! Stochastic gradient descent with momentum, as PyTorch defines it.

use crate::net::{Net, is_trained};
use crate::tensor::Buffer;
use rayon::prelude::*;

/// Settings of one step.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    /// Step size.
    pub learning_rate: f32,
    /// Share of the old step that is kept.
    pub momentum: f32,
    /// Added to the gradient, times the value.
    pub weight_decay: f32,
    /// Leave vectors (scales, shifts, slopes, biases) out of weight decay.
    pub skip_vector_decay: bool,
}

impl Default for Sgd {
    /// The paper's: 0.01, 0.9, 5e-4.
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.9, weight_decay: 5e-4, skip_vector_decay: false }
    }
}

/// Numbers that one task moves.
const CHUNK: usize = 1 << 16;

impl Net {
    /// Move every trained parameter that has a gradient: `m ← momentum · m + g + weight_decay · p` (the first time `m ← g + …`),
    /// `p ← p − learning_rate · m`.
    pub fn sgd(&mut self, sgd: Sgd) {
        for (id, param) in self.graph.params.iter().enumerate() {
            let Some(gradient) = &self.gradients[id] else { continue };
            if !is_trained(param.kind) {
                continue;
            }
            let decay = if sgd.skip_vector_decay && param.shape.len() == 1 { 0.0 } else { sgd.weight_decay };
            let length = self.values[id].len();
            // A momentum of zero makes the first step PyTorch's `m ← g`.
            let momentum = self.momenta[id].get_or_insert_with(|| Buffer::zeros(length)).as_mut_slice();
            let (gradient, values) = (gradient.as_slice(), self.values[id].as_mut_slice());
            self.threads.install(|| {
                let chunks = values.par_chunks_mut(CHUNK).zip(momentum.par_chunks_mut(CHUNK));
                chunks.zip(gradient.par_chunks(CHUNK)).for_each(|((values, momentum), gradient)| {
                    for ((value, momentum), gradient) in values.iter_mut().zip(momentum).zip(gradient) {
                        *momentum = sgd.momentum * *momentum + (gradient + decay * *value);
                        *value -= sgd.learning_rate * *momentum;
                    }
                });
            });
        }
    }

    /// Euclidean norm of the gradients of all trained parameters together.
    pub fn gradient_norm(&self) -> f64 {
        let trained = self.graph.params.iter().zip(&self.gradients).filter(|(param, _)| is_trained(param.kind));
        let square = |gradient: &Buffer| gradient.as_slice().iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
        trained.filter_map(|(_, gradient)| gradient.as_ref()).map(square).sum::<f64>().sqrt()
    }

    /// Multiply all gradients by `factor`.
    pub fn scale_gradients(&mut self, factor: f32) {
        for gradient in self.gradients.iter_mut().flatten() {
            gradient.as_mut_slice().iter_mut().for_each(|g| *g *= factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Graph, Kind, Mode, NetOptions, Shape};

    #[test]
    fn a_scale_that_is_never_moved_does_not_count_in_the_norm() {
        let mut graph = Graph::new(Shape { channels: 3, height: 1, width: 1 });
        let flat = graph.flatten("flatten", 0);
        let linear = graph.linear("fc", flat, 4, true);
        graph.batch_norm("features", linear, 1e-5, Kind::Fixed);
        let mut net = Net::new(graph, NetOptions::default()).unwrap();
        let inputs: Vec<f32> = (0..15).map(|n| ((n * 7) % 11) as f32 / 5.0).collect();
        net.forward(&inputs, 5, Mode::Train).unwrap();
        let gradient: Vec<f32> = (0..20).map(|n| ((n * 5) % 13) as f32 - 6.0).collect();
        net.backward(&gradient).unwrap();
        let square =
            |name: &str| net.gradient(name).unwrap().unwrap().iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
        let trained = ["fc.weight", "fc.bias", "features.bias"].map(square).iter().sum::<f64>();
        assert!((net.gradient_norm().powi(2) - trained).abs() < 1e-6 * trained);
    }
}
