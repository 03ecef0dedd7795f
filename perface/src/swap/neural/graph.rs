//! What an engine's file takes and gives, read from its graph: which input is the picture and which the identity.

use crate::error::{Error, Result};
use crate::model::card::Role;
use crate::model::onnx::{self, GraphProto, TensorProto, ValueInfoProto, data_type};

use super::card::{self, EngineCard, IDENTITY_PX, Latent};

/// Length of an identity.
pub const IDENTITY_LEN: usize = 512;

/// Names under which InsightFace's and others' files keep the matrix.
const EMAP_NAMES: [&str; 2] = ["buff2fs", "emap"];

/// Element type of half-precision constants.
const FLOAT16: i32 = 10;

/// Which of an engine's two inputs is which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// Place of the picture among the inputs.
    pub picture: usize,
    /// Place of the identity.
    pub identity: usize,
}

/// An input's or output's name and shape; 0 stands for a free dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Value {
    name: String,
    shape: Vec<usize>,
}

impl Value {
    fn of(value: &ValueInfoProto) -> Self {
        let shape = value.value_type.as_ref().and_then(|t| t.tensor_type.as_ref()?.shape.as_ref());
        let dims = shape.into_iter().flat_map(|s| &s.dim);
        let shape = dims.map(|d| usize::try_from(d.dim_value.unwrap_or(0)).unwrap_or(0)).collect();
        Self { name: value.name.clone(), shape }
    }

    /// Whether the shape may be `want`.
    fn fits(&self, want: &[usize]) -> bool {
        self.shape.len() == want.len() && self.shape.iter().zip(want).all(|(g, w)| *g == 0 || g == w)
    }

    fn is_picture(&self) -> bool {
        self.shape.len() == 4
    }

    fn describe(&self) -> String {
        format!("{} {:?}", self.name, self.shape)
    }
}

/// The graph's inputs that are no constants.
fn inputs(graph: &GraphProto) -> Vec<Value> {
    let constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    graph.input.iter().filter(|input| !constant(&input.name)).map(Value::of).collect()
}

fn all(values: &[Value]) -> String {
    values.iter().map(Value::describe).collect::<Vec<_>>().join(", ")
}

fn graph(name: &str, bytes: &[u8]) -> Result<GraphProto> {
    onnx::decode(name, bytes)?.graph.ok_or_else(|| Error::model(name, "the ONNX file holds no graph"))
}

/// Which input of `engine`'s file is which.
///
/// # Errors
/// [`Error::Model`] with the names and shapes found, if there are not exactly a picture of the engine's size and an
/// identity of 512, or if their names say the opposite of their shapes.
pub fn wiring(engine: &EngineCard, bytes: &[u8]) -> Result<Wiring> {
    let graph = graph(engine.name, bytes)?;
    let found = inputs(&graph);
    let side = engine.size_px as usize;
    let wrong = |reason: String| Error::model(engine.name, format!("{reason}; the file's inputs are {}", all(&found)));
    let [first, second] = found.as_slice() else {
        return Err(wrong("an engine takes a picture and an identity".to_owned()));
    };
    let (picture, identity) = match (first.is_picture(), second.is_picture()) {
        (true, false) => (0, 1),
        (false, true) => (1, 0),
        (true, true) => return Err(wrong("it takes two pictures, not a picture and an identity".to_owned())),
        (false, false) => return Err(wrong("it takes no picture".to_owned())),
    };
    let (Some(target), Some(source)) = (found.get(picture), found.get(identity)) else {
        return Err(wrong("an engine takes a picture and an identity".to_owned()));
    };
    if target.name.starts_with("source") || source.name.starts_with("target") {
        return Err(wrong(
            "the names of its inputs are swapped: source is the identity, target the picture".to_owned(),
        ));
    }
    if !target.fits(&[1, 3, side, side]) {
        return Err(wrong(format!("{} is not a picture of [1, 3, {side}, {side}]", target.describe())));
    }
    if !source.fits(&[1, IDENTITY_LEN]) {
        return Err(wrong(format!("{} is not an identity of [1, {IDENTITY_LEN}]", source.describe())));
    }
    Ok(Wiring { picture, identity })
}

/// The 512 × 512 matrix in `engine`'s file, row by row: by its name, else the last constant of that shape.
///
/// # Errors
/// [`Error::Model`] if there is none; programs that optimise files drop it, since the graph does not use it.
pub fn emap(engine: &EngineCard, bytes: &[u8]) -> Result<Vec<f32>> {
    let graph = graph(engine.name, bytes)?;
    let square = |t: &&TensorProto| t.dims == [IDENTITY_LEN as i64, IDENTITY_LEN as i64];
    let named = |t: &&TensorProto| EMAP_NAMES.contains(&t.name.as_str());
    let tensor = graph.initializer.iter().filter(square).find(named);
    tensor
        .or_else(|| graph.initializer.iter().rfind(square))
        .and_then(floats)
        .ok_or_else(|| Error::model(engine.name, "its file has no matrix of 512 × 512 (emap); take the original file"))
}

fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    let values: Vec<f32> = match tensor.data_type {
        data_type::FLOAT if tensor.raw_data.is_empty() => tensor.float_data.clone(),
        data_type::FLOAT => tensor.raw_data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        FLOAT16 => tensor.raw_data.as_chunks::<2>().0.iter().map(|b| half(u16::from_le_bytes(*b))).collect(),
        _ => return None,
    };
    (Some(values.len()) == tensor.len() && values.iter().all(|v| v.is_finite())).then_some(values)
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 != 0 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff) / 1024.0);
    sign * match exponent {
        0 => fraction * 2f32.powi(-14),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1.0 + fraction) * 2f32.powi(e - 15),
    }
}

/// Check a file that is to be kept as `name`, one of [`card::part_names`], before it is.
///
/// # Errors
/// [`Error::Model`] with what the file takes, if that is not what the part must take.
pub fn check(name: &str, bytes: &[u8]) -> Result<()> {
    if let Some(engine) = card::engine(name) {
        wiring(&engine, bytes)?;
        if engine.latent == Latent::Emap {
            emap(&engine, bytes)?;
        }
        return Ok(());
    }
    let Some(part) = card::part(name) else { return Ok(()) };
    let found = inputs(&graph(name, bytes)?);
    let side = part.preprocessing.width_px as usize;
    let want = match part.role {
        Role::Converter => vec![1, IDENTITY_LEN],
        Role::Occlusion => vec![1, side, side, 3],
        Role::Identity | Role::Embedder => vec![1, 3, IDENTITY_PX as usize, IDENTITY_PX as usize],
        _ => vec![1, 3, side, side],
    };
    match found.as_slice() {
        [one] if one.fits(&want) => Ok(()),
        _ => Err(Error::model(name, format!("takes one input of {want:?}; the file's inputs are {}", all(&found)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::{ModelProto, OperatorSetIdProto, encode};

    fn file(inputs: &[(&str, &[i64])], constants: Vec<TensorProto>) -> Vec<u8> {
        encode(&ModelProto {
            ir_version: 8,
            producer_name: String::new(),
            graph: Some(GraphProto {
                input: inputs.iter().map(|(name, dims)| ValueInfoProto::float(name, dims)).collect(),
                initializer: constants,
                ..Default::default()
            }),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        })
    }

    const PICTURE: (&str, &[i64]) = ("target", &[1, 3, 224, 224]);
    const IDENTITY: (&str, &[i64]) = ("source", &[1, 512]);

    fn refusal(inputs: &[(&str, &[i64])]) -> String {
        wiring(&card::engine("simswap-224").unwrap(), &file(inputs, Vec::new())).unwrap_err().to_string()
    }

    #[test]
    fn inputs_are_told_by_their_shapes_in_any_order_and_under_any_name() {
        let engine = card::engine("simswap-224").unwrap();
        let of = |inputs: &[(&str, &[i64])]| wiring(&engine, &file(inputs, Vec::new())).unwrap();
        assert_eq!(of(&[PICTURE, IDENTITY]), Wiring { picture: 0, identity: 1 });
        assert_eq!(of(&[IDENTITY, PICTURE]), Wiring { picture: 1, identity: 0 });
        assert_eq!(of(&[("onnx::Gemm_1", &[1, 512]), ("input", &[1, 3, -1, -1])]), Wiring { picture: 1, identity: 0 });
    }

    #[test]
    fn wrong_and_swapped_inputs_are_named() {
        let swapped = refusal(&[("source", PICTURE.1), ("target", IDENTITY.1)]);
        assert!(swapped.contains("swapped") && swapped.contains("source [1, 3, 224, 224]"), "{swapped}");
        assert!(refusal(&[("target", &[1, 3, 256, 256]), IDENTITY]).contains("target [1, 3, 256, 256] is not"));
        assert!(refusal(&[PICTURE, ("source", &[1, 3, 112, 112])]).contains("two pictures"));
        assert!(refusal(&[PICTURE, ("source", &[1, 128])]).contains("is not an identity"));
        assert!(refusal(&[PICTURE]).contains("a picture and an identity"));
    }

    #[test]
    fn the_matrix_is_found_by_name_or_by_shape() {
        let engine = card::engine("inswapper-128").unwrap();
        let square = |name: &str, value: f32| TensorProto::from_f32(name, &[512, 512], &vec![value; 512 * 512]);
        let inputs: [(&str, &[i64]); 2] = [("target", &[1, 3, 128, 128]), IDENTITY];
        let other = TensorProto::from_f32("w", &[3], &[1.0; 3]);
        for (constants, want) in [
            (vec![square("buff2fs", 2.0), square("later", 3.0)], Some(2.0)),
            (vec![square("a", 1.0), square("b", 4.0), other.clone()], Some(4.0)),
            (vec![other], None),
        ] {
            let found = emap(&engine, &file(&inputs, constants.clone()));
            assert_eq!(found.as_ref().ok().map(|m| m[0]), want);
            assert_eq!(check("inswapper-128", &file(&inputs, constants)).is_ok(), want.is_some());
        }
    }

    #[test]
    fn parts_are_checked_before_they_are_kept() {
        assert!(check("w600k-r50", &file(&[("input.1", &[-1, 3, 112, 112])], Vec::new())).is_ok());
        assert!(check("xseg", &file(&[("input", &[-1, 256, 256, 3])], Vec::new())).is_ok());
        let error = check("bisenet", &file(&[("input", &[1, 3, 112, 112])], Vec::new())).unwrap_err().to_string();
        assert!(error.contains("input [1, 3, 112, 112]"), "{error}");
    }

    #[test]
    fn halves_are_read() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8)] {
            assert_eq!(half(bits), value);
        }
    }
}
