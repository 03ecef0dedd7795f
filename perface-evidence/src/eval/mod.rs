//! How good the parts are, as records: of triplets, groups, ranks, pairs, pools and splits.

pub mod ceiling;
pub mod cluster;
pub mod group_list;
pub mod groups;
pub mod hubness;
pub mod pairs;
pub mod pool_accuracy;
pub mod pool_spread;
pub mod published;
pub mod similarity;
pub mod splits;
pub mod spread;
pub mod tradeoff;
pub mod triplet;
