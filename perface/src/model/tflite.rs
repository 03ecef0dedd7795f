//! placeholder
use super::onnx::ModelProto;
use crate::error::{Error, Result};
/// x
pub fn to_onnx(name: &str, _bytes: &[u8]) -> Result<ModelProto> {
    Err(Error::model(name, "not yet"))
}
