//! Measure how alike people find two faces, and publish photos without showing who is on them.
//!
//! The line is `photo → detect → align → embed → group → rank → swap → check → report`; each
//! arrow is a module, each noun a public type. A module uses only those listed above it.

pub mod draw;
pub mod embedding;
pub mod error;
pub mod eval;
pub mod file;
pub mod geometry;
pub mod group;
pub mod model;
pub mod pool;
pub mod rank;
pub mod summary;
pub mod table;

pub use error::{Error, Result};
