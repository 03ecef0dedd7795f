//! How good the parts are: statistics, the group protocol, and pictures of the numbers.

pub mod ceiling;
pub mod cluster;
pub mod group_list;
pub mod groups;
pub mod hubness;
pub mod pairs;
pub mod plot;
pub mod pool_accuracy;
pub mod pool_spread;
pub mod published;
pub mod similarity;
pub mod splits;
pub mod spread;
pub mod stats;
pub mod tradeoff;
pub mod triplet;
