//! Measure how alike people find two faces, and publish photos without showing who is on them.
//!
//! The line is `photo → detect → align → embed → group → rank → swap → check → report`; each
//! arrow is a module, each noun a public type. A module uses only those listed above it.

pub mod atomic;
pub mod error;
pub mod file;
pub mod geometry;

pub mod photo;
pub mod tree;

pub mod model;
pub mod summary;
pub mod draw;
pub mod table;
pub mod embedding;
pub mod pool;
pub mod group;
pub mod rank;
pub mod eval;

pub mod cover;
pub mod detect;

pub mod report;

pub mod anonymize;
pub mod batch;

pub use error::{Error, Result};
