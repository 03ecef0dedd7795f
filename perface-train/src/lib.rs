//! Fit face networks to people's judgements of similarity.

pub mod loss;
pub mod weights;
