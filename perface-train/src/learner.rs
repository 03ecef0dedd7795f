//! What is fitted: a function from a picture's input to an embedding, with its gradient and its optimiser.
//!
//! The optimiser is PyTorch's SGD: to each gradient `weight_decay` times the parameter is added, the velocity becomes
//! `momentum` times itself plus that (the first step's is the gradient alone), and the parameter moves by
//! `learning_rate` times the velocity.

use perface::{Error, Result};

use crate::weights::NamedTensor;

/// One step of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// By how much parameters move.
    pub learning_rate: f32,
    /// How much of the last step is kept.
    pub momentum: f32,
    /// Pull of every parameter towards zero.
    pub weight_decay: f32,
    /// Spare normalisations, slopes and biases the pull.
    pub spare_vectors: bool,
}

/// Names of velocities in a checkpoint begin with this.
pub const VELOCITY: &str = "momentum/";

/// A function that can be fitted. Inputs are rows of one picture each.
pub trait Learner {
    /// Length of an embedding.
    fn width(&self) -> usize;

    /// Embeddings `[n, width]` of `n` inputs as they are used later, not normalised.
    ///
    /// # Errors
    /// If the inputs do not fit.
    fn embed(&mut self, inputs: &[f32], n: usize) -> Result<Vec<f32>>;

    /// Embeddings `[n, width]` of `n` inputs in training.
    ///
    /// # Errors
    /// If the inputs do not fit.
    fn forward(&mut self, inputs: &[f32], n: usize) -> Result<Vec<f32>>;

    /// Gradients of the parameters, from those of the embeddings of the last [`Learner::forward`].
    ///
    /// # Errors
    /// If there was none.
    fn backward(&mut self, gradient: &[f32]) -> Result<()>;

    /// Euclidean norm of all gradients together.
    fn gradient_norm(&self) -> f64;

    /// Multiply all gradients.
    fn scale_gradients(&mut self, by: f32);

    /// Move the parameters.
    fn step(&mut self, sgd: &Sgd);

    /// Parameters and running statistics by name, in a fixed order.
    ///
    /// # Errors
    /// If they lie on a device that fails.
    fn parameters(&self) -> Result<Vec<NamedTensor>>;

    /// Velocities under the names of their parameters; none before the first step.
    ///
    /// # Errors
    /// See [`Learner::parameters`].
    fn velocities(&self) -> Result<Vec<NamedTensor>>;

    /// Take back what [`Learner::parameters`] and [`Learner::velocities`] gave, the latter possibly empty.
    ///
    /// # Errors
    /// [`Error::Usage`] naming what does not fit.
    fn restore(&mut self, parameters: &[NamedTensor], velocities: &[NamedTensor]) -> Result<()>;
}

/// A linear map without a shift; cosines of what comes out are compared.
#[derive(Clone, Debug)]
pub struct LinearHead {
    from: usize,
    width: usize,
    weight: Vec<f32>,
    gradient: Vec<f32>,
    velocity: Option<Vec<f32>>,
    inputs: Vec<f32>,
}

impl LinearHead {
    /// Name of its one parameter.
    pub const WEIGHT: &str = "head.weight";

    /// The matrix `weight` `[width, from]`, row by row.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is empty or does not have that many values.
    pub fn new(from: usize, width: usize, weight: Vec<f32>) -> Result<Self> {
        if weight.is_empty() || weight.len() != from * width {
            return Err(Error::Usage(format!("a head of {from} to {width} values has {} weights", weight.len())));
        }
        let gradient = vec![0.0; weight.len()];
        Ok(Self { from, width, weight, gradient, velocity: None, inputs: Vec::new() })
    }

    /// The matrix, row by row.
    pub fn weight(&self) -> &[f32] {
        &self.weight
    }

    fn tensor(&self, data: &[f32]) -> NamedTensor {
        NamedTensor { name: Self::WEIGHT.to_owned(), shape: vec![self.width, self.from], data: data.to_vec() }
    }
}

impl Learner for LinearHead {
    fn width(&self) -> usize {
        self.width
    }

    fn embed(&mut self, inputs: &[f32], n: usize) -> Result<Vec<f32>> {
        if inputs.len() != n * self.from {
            return Err(Error::Usage(format!("{} values for {n} inputs of {}", inputs.len(), self.from)));
        }
        let rows = inputs.chunks_exact(self.from);
        Ok(rows.flat_map(|row| self.weight.chunks_exact(self.from).map(|weights| dot(weights, row))).collect())
    }

    fn forward(&mut self, inputs: &[f32], n: usize) -> Result<Vec<f32>> {
        let embeddings = self.embed(inputs, n)?;
        self.inputs.clear();
        self.inputs.extend_from_slice(inputs);
        Ok(embeddings)
    }

    fn backward(&mut self, gradient: &[f32]) -> Result<()> {
        if gradient.len() / self.width != self.inputs.len() / self.from || self.inputs.is_empty() {
            return Err(Error::Usage("there was no forward pass of as many inputs".to_owned()));
        }
        self.gradient.fill(0.0);
        for (row, gradient) in self.inputs.chunks_exact(self.from).zip(gradient.chunks_exact(self.width)) {
            for (into, g) in self.gradient.chunks_exact_mut(self.from).zip(gradient).filter(|(_, g)| **g != 0.0) {
                into.iter_mut().zip(row).for_each(|(into, x)| *into += g * x);
            }
        }
        Ok(())
    }

    fn gradient_norm(&self) -> f64 {
        self.gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt()
    }

    fn scale_gradients(&mut self, by: f32) {
        self.gradient.iter_mut().for_each(|g| *g *= by);
    }

    fn step(&mut self, sgd: &Sgd) {
        let first = self.velocity.is_none();
        let velocity = self.velocity.get_or_insert_with(|| vec![0.0; self.weight.len()]);
        for ((weight, gradient), velocity) in self.weight.iter_mut().zip(&self.gradient).zip(velocity) {
            let gradient = gradient + sgd.weight_decay * *weight;
            *velocity = if first { gradient } else { sgd.momentum * *velocity + gradient };
            *weight -= sgd.learning_rate * *velocity;
        }
    }

    fn parameters(&self) -> Result<Vec<NamedTensor>> {
        Ok(vec![self.tensor(&self.weight)])
    }

    fn velocities(&self) -> Result<Vec<NamedTensor>> {
        Ok(self.velocity.iter().map(|velocity| self.tensor(velocity)).collect())
    }

    fn restore(&mut self, parameters: &[NamedTensor], velocities: &[NamedTensor]) -> Result<()> {
        let fitting = |tensors: &[NamedTensor]| match tensors {
            [one] if one.name == Self::WEIGHT && one.data.len() == self.weight.len() => Ok(one.data.clone()),
            _ => Err(Error::Usage(format!("{} of {} by {} is wanted", Self::WEIGHT, self.width, self.from))),
        };
        let velocity = if velocities.is_empty() { None } else { Some(fitting(velocities)?) };
        (self.weight, self.velocity) = (fitting(parameters)?, velocity);
        Ok(())
    }
}

/// Sum of products over sixteen lanes in a fixed order: fast, and the same every time.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_maps_and_its_gradient_is_the_outer_product() {
        let mut head = LinearHead::new(2, 3, vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0]).unwrap();
        assert_eq!(head.forward(&[2.0, 3.0, -1.0, 4.0], 2).unwrap(), [2.0, 3.0, 5.0, -1.0, 4.0, 3.0]);
        head.backward(&[1.0, 0.0, 2.0, 0.0, 1.0, 0.0]).unwrap();
        assert_eq!(head.gradient, [2.0, 3.0, -1.0, 4.0, 4.0, 6.0]);
        assert!((head.gradient_norm() - 82f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn steps_are_those_of_pytorch() {
        // torch.optim.SGD([w], lr=.1, momentum=.9, weight_decay=.01) with w = 1 and gradients 2, 3: worked out by hand.
        let mut head = LinearHead::new(1, 1, vec![1.0]).unwrap();
        let sgd = Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.01, spare_vectors: false };
        let mut weights = Vec::new();
        for gradient in [2.0, 3.0] {
            head.forward(&[1.0], 1).unwrap();
            head.backward(&[gradient]).unwrap();
            head.step(&sgd);
            weights.push(head.weight()[0]);
        }
        let first = 1.0 - 0.1 * 2.01;
        let second = first - 0.1 * (0.9 * 2.01 + 3.0 + 0.01 * first);
        assert!((weights[0] - first).abs() < 1e-6 && (weights[1] - second).abs() < 1e-6, "{weights:?}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(LinearHead::new(2, 2, vec![0.0; 3]).is_err());
        let mut head = LinearHead::new(2, 1, vec![0.0; 2]).unwrap();
        assert!(head.forward(&[1.0; 3], 1).is_err());
        assert!(head.backward(&[1.0]).is_err(), "no forward pass yet");
        let other = NamedTensor { name: "fc.weight".to_owned(), shape: vec![1, 2], data: vec![0.0; 2] };
        assert!(head.restore(&[other], &[]).unwrap_err().to_string().contains("head.weight"));
    }
}
