//! How good the parts are: statistics, the group protocol, and pictures of the numbers.

pub mod group_list;
pub mod groups;
// plot
pub mod pool_accuracy;
pub mod stats;
