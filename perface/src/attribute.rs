//! Apparent gender and age.
use crate::detect::Face;
use crate::error::Result;
use crate::pool::{AgeGroup, Gender};
use image::RgbImage;
/// x
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    /// x
    pub p_male: f32,
    /// x
    pub age_years: f32,
}
impl Attributes {
    /// x
    pub fn gender(&self) -> Gender {
        if self.p_male >= 0.5 { Gender::Male } else { Gender::Female }
    }
    /// x
    pub fn age_group(&self) -> AgeGroup {
        if self.age_years < 35.0 { AgeGroup::Young } else { AgeGroup::Older }
    }
    /// x
    pub fn may_be_minor(&self) -> bool {
        self.age_years < 14.0
    }
}
/// x
#[derive(Clone)]
pub struct AttributeReader;
impl AttributeReader {
    /// x
    pub fn new(_g: std::sync::Arc<dyn crate::model::Model>, _a: std::sync::Arc<dyn crate::model::Model>) -> Self {
        Self
    }
    /// x
    pub fn read(&self, _photo: &RgbImage, _face: &Face) -> Result<Attributes> {
        Ok(Attributes { p_male: 0.5, age_years: 30.0 })
    }
}
