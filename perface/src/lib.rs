//! Measure how alike people find two faces, and publish photos without showing who is on them.
//!
//! The line is `photo → detect → align → embed → group → rank → swap → check → report`; each
//! arrow is a module, each noun a public type. A module uses only those listed above it.

pub mod atomic;
mod bilinear;
pub mod draw;
pub mod error;
pub mod file;
pub mod geometry;
pub mod lab;
pub mod parallel;
pub mod plane;
pub mod stats;
pub mod summary;
pub mod table;
pub mod triplets;

pub mod ink;
pub mod metadata;
pub mod photo;
pub mod resample;
pub mod tree;
pub mod turn;

pub mod model;

pub mod detect;

pub mod align;
pub mod embed;
pub mod embedding;
pub mod mesh;

pub mod group;
pub mod pool;
pub mod rank;

pub mod natural;
pub mod originals;
pub mod same_person;

pub mod blend;
pub mod swap;

pub mod composite;

pub mod attribute;
pub mod candidates;
pub mod cover;
pub mod replace;
pub mod sheet;

pub mod plot;
pub mod report;

pub mod people;

pub mod anonymize;
pub mod batch;
pub mod settle;

pub use error::{Error, Result};
