//! Measure how alike people find two faces, and publish photos without showing who is on them.
//!
//! The line is `photo → detect → align → embed → group → rank → swap → check → report`; each
//! arrow is a module, each noun a public type. A module uses only those listed above it.

pub mod blend;
pub mod composite;
pub mod detect;
pub mod error;
pub mod geometry;
pub mod lab;
pub mod mesh;
pub mod model;
pub mod plane;
pub mod swap;

pub use error::{Error, Result};
