//! What is known about similarity and about anonymised photos, and how: evaluations, studies with people, audits.
//!
//! Everything here reads what [`perface`] makes and sends nothing back into it: numbers are records that can be written
//! as JSON, and pages are drawn from records. A module uses only those listed above it.

pub mod eval;
pub mod splits;

pub mod pages;

pub mod study;

pub mod audit;
