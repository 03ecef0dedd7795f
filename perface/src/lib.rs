//! Measure how alike people find two faces, and publish photos without showing who is on them.
//!
//! The line is `photo → detect → align → embed → group → rank → swap → check → report`; each
//! arrow is a module, each noun a public type. A module uses only those listed above it.

pub mod error;
pub mod file;
pub mod geometry;
pub mod model;
pub mod summary;
pub mod draw;
pub mod table;
pub mod embedding;
pub mod pool;
pub mod group;
pub mod rank;
pub mod eval;

pub use error::{Error, Result};
