//! Weights from files: PyTorch checkpoints and safetensors. Those of ONNX files come by [`perface::model::import`].
//!
//! A file's kind is told from its content. What comes out is a list of named tensors, which [`fit`] compares with the
//! parameters of a network: the first that is missing, unexpected or of another shape is named.

mod pickle;
mod pth;
pub mod safetensors;

use std::collections::HashMap;
use std::path::Path;

use perface::file::read_limited;
use perface::{Error, Result};
use perface_conv::{Graph, Kind};

use self::safetensors::SafeTensors;

/// Largest file of weights that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 2 << 30;

/// Prefixes that wrappers put before every name: data-parallel training, whole models, BlendSwap's identity encoder.
const PREFIXES: [&str; 6] = ["module.", "backbone.", "model.", "net.", "_orig_mod.", "Z_e.1."];

/// Buffers of PyTorch that nothing here needs: the number of batches a normalisation has seen.
const IGNORED_SUFFIX: &str = "num_batches_tracked";

/// An array with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its name, as in PyTorch's state dict.
    pub name: String,
    /// Length along each axis; empty for a single number.
    pub shape: Vec<usize>,
    /// The values, last axis fastest.
    pub data: Vec<f32>,
}

/// All tensors of a PyTorch checkpoint (`.pth`, `.pt`) or safetensors file; names without the prefixes of wrappers.
///
/// # Errors
/// [`Error::Io`]; [`Error::Malformed`] with the reason if it is no such file or is damaged.
pub fn read(path: &Path) -> Result<Vec<NamedTensor>> {
    let bytes = read_limited(path, MAX_FILE_BYTES)?;
    let zip_or_legacy = bytes.starts_with(b"PK") || bytes.starts_with(b"\x80\x02");
    let tensors = if zip_or_legacy { pth::read(path, &bytes)? } else { SafeTensors::read(path, &bytes)?.tensors };
    Ok(without_prefix(tensors))
}

/// Drop the prefixes that all names have in common with a wrapper.
fn without_prefix(mut tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    while let Some(prefix) = PREFIXES.iter().find(|prefix| {
        let with = tensors.iter().filter(|t| t.name.starts_with(**prefix)).count();
        // A whole model beside the part that is wanted: BlendSwap's file holds a generator too.
        with > 0 && (with == tensors.len() || **prefix == "Z_e.1.")
    }) {
        tensors.retain(|tensor| tensor.name.starts_with(prefix));
        tensors.iter_mut().for_each(|tensor| tensor.name = tensor.name.split_off(prefix.len()));
    }
    tensors
}

/// The values of all parameters of `graph`, in its order, out of the tensors of `source`.
///
/// # Errors
/// [`Error::Malformed`] naming the first parameter that is missing or has another shape, or the first tensor that the
/// network does not know, with how many more there are.
pub fn fit(graph: &Graph, tensors: Vec<NamedTensor>, source: &Path) -> Result<Vec<Vec<f32>>> {
    let malformed = |reason: String| Error::Malformed { path: source.to_owned(), reason };
    let count = tensors.len();
    let mut by_name: HashMap<String, NamedTensor> = tensors.into_iter().map(|t| (t.name.clone(), t)).collect();
    if by_name.len() < count {
        return Err(malformed("two tensors have one name".to_owned()));
    }
    let missing: Vec<&str> =
        graph.params.iter().map(|p| p.name.as_str()).filter(|name| !by_name.contains_key(*name)).collect();
    if let Some(first) = missing.first() {
        let found =
            by_name.keys().min().map_or(String::new(), |name| format!("; it has {count} tensors such as {name}"));
        return Err(malformed(format!("{first} is missing{}{found}", and_more(missing.len()))));
    }
    let mut values = Vec::with_capacity(graph.params.len());
    for param in &graph.params {
        let Some(tensor) = by_name.remove(&param.name) else { continue };
        // A slope or scale may be stored with axes of length one around it.
        let squeezed = |shape: &[usize]| shape.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
        if tensor.shape != param.shape && squeezed(&tensor.shape) != squeezed(&param.shape) {
            let (name, got, want) = (&param.name, &tensor.shape, &param.shape);
            return Err(malformed(format!("{name} has the shape {got:?}, the network wants {want:?}")));
        }
        if !tensor.data.iter().all(|value| value.is_finite()) {
            return Err(malformed(format!("{} is not finite", param.name)));
        }
        if param.kind == Kind::Buffer && param.name.ends_with("running_var") && tensor.data.iter().any(|v| *v < 0.0) {
            return Err(malformed(format!("{} is negative", param.name)));
        }
        values.push(tensor.data);
    }
    let mut unexpected: Vec<&String> = by_name.keys().filter(|name| !name.ends_with(IGNORED_SUFFIX)).collect();
    unexpected.sort();
    match unexpected.first() {
        Some(first) => Err(malformed(format!("{first} is not in this network{}", and_more(unexpected.len())))),
        None => Ok(values),
    }
}

fn and_more(count: usize) -> String {
    if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[usize], value: f32) -> NamedTensor {
        NamedTensor { name: name.to_owned(), shape: shape.to_vec(), data: vec![value; shape.iter().product()] }
    }

    /// Tensors that fit `graph`.
    fn fitting(graph: &Graph) -> Vec<NamedTensor> {
        graph.params.iter().map(|param| tensor(&param.name, &param.shape, 0.5)).collect()
    }

    fn message(tensors: Vec<NamedTensor>) -> String {
        fit(&perface_conv::nets::by_name("mbf").unwrap(), tensors, Path::new("w.pth")).unwrap_err().to_string()
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let graph = perface_conv::nets::by_name("mbf").unwrap();
        let mut tensors = fitting(&graph);
        tensors.push(tensor("layers.0.layers.1.num_batches_tracked", &[], 3.0));
        assert_eq!(fit(&graph, tensors.clone(), Path::new("w")).unwrap().len(), graph.params.len());

        let mut missing = tensors.clone();
        missing.remove(0);
        missing.remove(0);
        assert!(message(missing).contains(&format!("{} is missing (and 1 more)", graph.params[0].name)));
        let mut unexpected = tensors.clone();
        unexpected.push(tensor("fc.weight", &[2], 0.0));
        assert!(message(unexpected).contains("fc.weight is not in this network"));
        let mut misshapen = tensors.clone();
        misshapen[0].shape = vec![1, 2, 3];
        assert!(message(misshapen).contains("has the shape [1, 2, 3], the network wants [128, 3, 3, 3]"));
        let mut poisoned = tensors;
        poisoned[0].data[5] = f32::NAN;
        assert!(message(poisoned).contains("is not finite"));
    }

    #[test]
    fn prefixes_of_wrappers_go() {
        let names = |names: &[&str]| -> Vec<String> {
            let tensors = names.iter().map(|name| tensor(name, &[1], 0.0)).collect();
            without_prefix(tensors).into_iter().map(|t| t.name).collect()
        };
        assert_eq!(names(&["module.backbone.a", "module.backbone.b"]), ["a", "b"]);
        assert_eq!(names(&["module.a", "b"]), ["module.a", "b"], "not all of them");
        assert_eq!(names(&["G.a", "Z_e.1.conv1.weight"]), ["conv1.weight"]);
    }

    #[test]
    fn files_that_are_none_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [&b""[..], b"PK\x03\x04", b"\x80\x02}", b"{\"not\": \"weights\"}"] {
            let path = folder.path().join("w.pth");
            std::fs::write(&path, bytes).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains("w.pth"), "{message}");
        }
        assert!(read(&folder.path().join("absent.pth")).is_err());
    }
}
