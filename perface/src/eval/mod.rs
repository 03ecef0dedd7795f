//! How good the parts are: statistics, the group protocol, and pictures of the numbers.

pub mod group_list;
pub mod groups;
pub mod pairs;
pub mod plot;
pub mod pool_accuracy;
pub mod stats;
