//! The safetensors format: a JSON header of names, types, shapes and byte ranges, then the bytes.

use std::collections::BTreeMap;
use std::path::Path;

use perface::{Error, Result};
use serde::{Deserialize, Serialize};

use super::NamedTensor;
use super::pth::half_to_f32;

/// Largest header that is read, in bytes; the reference implementation draws the same line.
const MAX_HEADER_BYTES: usize = 100 << 20;

/// Key of the header under which free text stands.
const METADATA: &str = "__metadata__";

#[derive(Serialize, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

/// A file's tensors, by their place in it, and its free text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SafeTensors {
    /// Tensors in the order of their bytes.
    pub tensors: Vec<NamedTensor>,
    /// Free text by key.
    pub metadata: BTreeMap<String, String>,
}

impl SafeTensors {
    /// Read a file of floats (`F32`, `F16`, `BF16`, `F64`) and whole numbers (`I64`, `I32`, `U8`), which become floats.
    ///
    /// # Errors
    /// [`Error::Malformed`] with the reason: cut, a header that is no such, a range that does not fit its shape.
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes).map_err(|reason| Error::Malformed { path: path.to_owned(), reason })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (length, rest) = bytes.split_at_checked(8).ok_or("no safetensors file: it is cut")?;
        let length = u64::from_le_bytes(length.try_into().map_err(|_| "cut")?);
        let length = usize::try_from(length).ok().filter(|l| *l <= MAX_HEADER_BYTES && *l <= rest.len());
        let (header, data) = rest
            .split_at_checked(length.ok_or("no safetensors file, or cut in its header")?)
            .ok_or("the file is cut")?;
        let header: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(header).map_err(|e| format!("the header is not as safetensors writes it: {e}"))?;
        let mut found = Self::default();
        let mut at = Vec::new();
        for (name, value) in header {
            if name == METADATA {
                found.metadata = serde_json::from_value(value).map_err(|e| format!("{METADATA}: {e}"))?;
                continue;
            }
            let entry: Entry = serde_json::from_value(value).map_err(|e| format!("{name}: {e}"))?;
            let (from, to) = entry.data_offsets;
            let raw =
                data.get(from..to).ok_or_else(|| format!("{name}: the file is cut: it has no bytes {from}..{to}"))?;
            let values = floats(&entry.dtype, raw).ok_or_else(|| format!("{name}: {} is not read", entry.dtype))?;
            let len = entry.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            if len != Some(values.len()) {
                return Err(format!("{name}: {} values for the shape {:?}", values.len(), entry.shape));
            }
            at.push((from, found.tensors.len()));
            found.tensors.push(NamedTensor { name, shape: entry.shape, data: values });
        }
        at.sort_unstable();
        let mut tensors: Vec<Option<NamedTensor>> = found.tensors.into_iter().map(Some).collect();
        found.tensors = at.iter().filter_map(|(_, index)| tensors.get_mut(*index)?.take()).collect();
        Ok(found)
    }

    /// The file's bytes; floats of 32 bits, in the order given.
    ///
    /// # Errors
    /// [`Error::Usage`] if a name stands there twice.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut header = serde_json::Map::new();
        if !self.metadata.is_empty() {
            header.insert(METADATA.to_owned(), serde_json::json!(self.metadata));
        }
        let mut end = 0;
        for tensor in &self.tensors {
            let from = end;
            end += tensor.data.len() * 4;
            let entry = serde_json::json!(Entry {
                dtype: "F32".to_owned(),
                shape: tensor.shape.clone(),
                data_offsets: (from, end),
            });
            if header.insert(tensor.name.clone(), entry).is_some() {
                return Err(Error::Usage(format!("two tensors are called {:?}", tensor.name)));
            }
        }
        let mut header = serde_json::Value::Object(header).to_string().into_bytes();
        // The data begin at a multiple of eight bytes, as other readers map them into memory.
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = Vec::with_capacity(8 + header.len() + end);
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header);
        for tensor in &self.tensors {
            bytes.extend(tensor.data.iter().flat_map(|value| value.to_le_bytes()));
        }
        Ok(bytes)
    }
}

fn floats(dtype: &str, raw: &[u8]) -> Option<Vec<f32>> {
    fn all<const N: usize>(raw: &[u8], convert: impl Fn([u8; N]) -> f32) -> Option<Vec<f32>> {
        let (chunks, rest) = raw.as_chunks::<N>();
        rest.is_empty().then(|| chunks.iter().map(|chunk| convert(*chunk)).collect())
    }
    match dtype {
        "F32" => all(raw, f32::from_le_bytes),
        "F64" => all(raw, |b| f64::from_le_bytes(b) as f32),
        "F16" => all(raw, |b| half_to_f32(u16::from_le_bytes(b))),
        "BF16" => all(raw, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16)),
        "I64" => all(raw, |b| i64::from_le_bytes(b) as f32),
        "I32" => all(raw, |b| i32::from_le_bytes(b) as f32),
        "U8" | "BOOL" => all(raw, |[b]| f32::from(b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> SafeTensors {
        let tensor = |name: &str, shape: &[usize], data: &[f32]| NamedTensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            data: data.to_vec(),
        };
        SafeTensors {
            tensors: vec![tensor("z", &[2, 2], &[1.0, -2.0, f32::MIN_POSITIVE, 4.0]), tensor("a", &[], &[7.0])],
            metadata: BTreeMap::from([("epoch".to_owned(), "3".to_owned())]),
        }
    }

    #[test]
    fn a_file_is_read_back_bit_for_bit_and_in_order() {
        let bytes = sample().bytes().unwrap();
        assert_eq!(SafeTensors::read(Path::new("w"), &bytes).unwrap(), sample());
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(header % 8, 0);
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = sample().bytes().unwrap();
        for len in 0..bytes.len() {
            let error = SafeTensors::read(Path::new("w.safetensors"), &bytes[..len]).unwrap_err().to_string();
            assert!(error.contains("w.safetensors"), "{len} bytes: {error}");
        }
    }

    #[test]
    fn a_shape_that_does_not_fit_is_named() {
        let text = br#"{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#;
        let bytes = [&(text.len() as u64).to_le_bytes()[..], text, &[0; 8]].concat();
        let error = SafeTensors::read(Path::new("w"), &bytes).unwrap_err().to_string();
        assert!(error.contains("x: 2 values for the shape [3]"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), len in 0u64..130) {
            let _ = SafeTensors::read(Path::new("w"), &bytes);
            let _ = SafeTensors::read(Path::new("w"), &[&len.to_le_bytes()[..], &bytes].concat());
        }
    }
}
