//! PyTorch checkpoints: a zip with one pickle and a member for each storage.
//!
//! The pickle is read by [`super::pickle`], which runs nothing. The dictionary of tensors is found whether it stands
//! alone, as insightface's `backbone.pth` does, or under one of the usual keys of a training checkpoint.

use std::io::{Cursor, Read};
use std::path::Path;

use perface::{Error, Result};
use zip::ZipArchive;

use super::pickle::{Program, TensorRef, Value};
use super::{MAX_FILE_BYTES, NamedTensor};

/// First bytes of PyTorch's format before 1.6: a pickle of its magic number.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19";

/// Largest pickle that is read, in bytes; the numbers are not in it.
const MAX_PICKLE_BYTES: u64 = 64 << 20;

/// Keys under which training checkpoints keep the network's tensors.
const WRAPPERS: [&str; 7] =
    ["state_dict", "state_dict_backbone", "model", "backbone", "model_state_dict", "net", "arcface"];

/// How many wrappers may stand in one another.
const MAX_WRAPPERS: usize = 3;

/// All tensors of the checkpoint `bytes`, in its order; integers become floats.
///
/// # Errors
/// [`Error::Malformed`] with the reason if it is no such file, is cut, or a tensor reaches beyond its storage.
pub fn read(path: &Path, bytes: &[u8]) -> Result<Vec<NamedTensor>> {
    let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
    if bytes.starts_with(LEGACY_MAGIC) {
        return Err(malformed(
            "is in PyTorch's format from before 1.6; torch.save(torch.load(file), file) with a newer PyTorch mends that"
                .to_owned(),
        ));
    }
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|e| malformed(format!("no PyTorch checkpoint: {e}")))?;
    let is_pickle = |name: &String| name.ends_with("/data.pkl") || name == "data.pkl";
    let pickle = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).find(is_pickle);
    let pickle = pickle.ok_or_else(|| malformed("no PyTorch checkpoint: the zip holds no data.pkl".to_owned()))?;
    let stem = pickle.strip_suffix("data.pkl").unwrap_or_default().to_owned();
    if let Some(order) = member(&mut archive, &format!("{stem}byteorder"), 16).map_err(&malformed)?
        && order.trim_ascii() != b"little"
    {
        return Err(malformed("was written on a big-endian machine".to_owned()));
    }
    let program = member(&mut archive, &pickle, MAX_PICKLE_BYTES).map_err(&malformed)?.unwrap_or_default();
    let (program, top) = Program::read(&program).map_err(malformed)?;
    let named = tensors_of(&program, &top)
        .ok_or_else(|| malformed("holds no dictionary of tensors, such as a state_dict".to_owned()))?;
    let mut total = 0u64;
    named
        .into_iter()
        .map(|(name, tensor)| {
            let read = read_tensor(&mut archive, &stem, &program, tensor, &mut total);
            let (shape, data) = read.map_err(|reason| malformed(format!("{name}: {reason}")))?;
            Ok(NamedTensor { name, shape, data })
        })
        .collect()
}

/// The member `name`, `None` if there is none.
fn member(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, limit: u64) -> Result<Option<Vec<u8>>, String> {
    let file = match archive.by_name(name) {
        Ok(file) => file,
        Err(zip::result::ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(format!("{name}: {error}")),
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| format!("{name}: {e}"))?;
    if bytes.len() as u64 > limit { Err(format!("{name} is larger than {limit} bytes")) } else { Ok(Some(bytes)) }
}

/// Names and tensors of the dictionary that holds some, itself or under one of [`WRAPPERS`].
fn tensors_of<'a>(program: &'a Program, top: &Value) -> Option<Vec<(String, &'a TensorRef)>> {
    let mut value = top.clone();
    for _ in 0..=MAX_WRAPPERS {
        let Value::Dict(index) = value else { return None };
        let dict = program.dicts.get(index)?;
        let tensors: Vec<_> = dict
            .iter()
            .filter_map(|(key, value)| match value {
                Value::Tensor(tensor) => Some((program.text(key)?.to_owned(), program.tensors.get(*tensor)?)),
                _ => None,
            })
            .collect();
        if !tensors.is_empty() {
            return Some(tensors);
        }
        let under = |wrapper: &&str| {
            dict.iter().find(|(key, v)| program.text(key) == Some(wrapper) && matches!(v, Value::Dict(_)))
        };
        value = WRAPPERS.iter().find_map(under)?.1.clone();
    }
    None
}

fn read_tensor(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    stem: &str,
    program: &Program,
    tensor: &TensorRef,
    total: &mut u64,
) -> Result<(Vec<usize>, Vec<f32>), String> {
    let storage = program.storages.get(tensor.storage).ok_or("its storage is missing")?;
    let (width, convert) = element(&storage.class).ok_or_else(|| format!("{} is not read", storage.class))?;
    let len = tensor.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or("its shape overflows")?;
    let reach = tensor
        .shape
        .iter()
        .zip(&tensor.stride)
        .try_fold(tensor.offset, |at, (&d, &stride)| at.checked_add(d.saturating_sub(1).checked_mul(stride)?));
    if len > 0 && reach.is_none_or(|last| last >= storage.len) {
        return Err("it reaches beyond its storage".to_owned());
    }
    // Views may repeat elements, so the result is bounded by itself and not by the file.
    *total = total.saturating_add(len as u64 * 4);
    if *total > MAX_FILE_BYTES {
        return Err(format!("the tensors have more than {MAX_FILE_BYTES} bytes"));
    }
    let key = format!("{stem}data/{}", storage.key);
    let bytes = member(archive, &key, MAX_FILE_BYTES)?.ok_or_else(|| format!("{key} is missing"))?;
    if storage.len.checked_mul(width).is_none_or(|want| bytes.len() < want) {
        return Err(format!("{key} is cut: {} bytes for {} elements", bytes.len(), storage.len));
    }
    let mut data = Vec::with_capacity(len);
    let mut index = vec![0usize; tensor.shape.len()];
    for _ in 0..len {
        let at = index.iter().zip(&tensor.stride).fold(tensor.offset, |at, (i, stride)| at + i * stride);
        let element = bytes.get(at * width..(at + 1) * width).ok_or("it reaches beyond its storage")?;
        data.push(convert(element));
        for (i, &d) in index.iter_mut().zip(&tensor.shape).rev() {
            *i += 1;
            if *i < d {
                break;
            }
            *i = 0;
        }
    }
    Ok((tensor.shape.clone(), data))
}

/// Bytes of an element and how it becomes a float.
type Element = (usize, fn(&[u8]) -> f32);

fn element(class: &str) -> Option<Element> {
    fn bytes<const N: usize>(from: &[u8]) -> [u8; N] {
        from.try_into().unwrap_or([0; N])
    }
    Some(match class {
        "FloatStorage" => (4, |b| f32::from_le_bytes(bytes(b))),
        "DoubleStorage" => (8, |b| f64::from_le_bytes(bytes(b)) as f32),
        "HalfStorage" => (2, |b| half_to_f32(u16::from_le_bytes(bytes(b)))),
        "BFloat16Storage" => (2, |b| f32::from_bits(u32::from(u16::from_le_bytes(bytes(b))) << 16)),
        "LongStorage" => (8, |b| i64::from_le_bytes(bytes(b)) as f32),
        "IntStorage" => (4, |b| i32::from_le_bytes(bytes(b)) as f32),
        "ByteStorage" | "BoolStorage" => (1, |b| f32::from(b.first().copied().unwrap_or(0))),
        _ => return None,
    })
}

/// IEEE 754 binary16.
pub(super) fn half_to_f32(half: u16) -> f32 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(half & 0x3ff);
    match (half >> 10) & 0x1f {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        exponent => sign * (1.0 + fraction / 1024.0) * 2f32.powi(i32::from(exponent) - 15),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The pickle `{"w": view of storage 0}`, as `torch.save` writes it, inside `wrapper` dictionaries.
    fn pickle(shape: &[u8], stride: &[u8], offset: u8, len: u8, wrapper: Option<&str>) -> Vec<u8> {
        let text = |s: &str| [&b"X"[..], &(s.len() as u32).to_le_bytes(), s.as_bytes()].concat();
        let tuple = |items: &[u8]| {
            let items: Vec<u8> = items.iter().flat_map(|&n| [b'K', n]).collect();
            [b"(", items.as_slice(), b"t"].concat()
        };
        let tensor = [
            &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
            &text("storage"),
            b"ctorch\nFloatStorage\n",
            &text("0"),
            &text("cpu"),
            &[b'K', len],
            b"tQK",
            &[offset],
            &tuple(shape),
            &tuple(stride),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
        .concat();
        let inner = [b"}".as_slice(), &text("w"), &tensor, b"s"].concat();
        let whole = match wrapper {
            Some(key) => [b"}".as_slice(), &text("epoch"), b"K\x03s", &text(key), &inner, b"s"].concat(),
            None => inner,
        };
        [b"\x80\x02".as_slice(), &whole, b"."].concat()
    }

    fn checkpoint(pickle: &[u8], values: &[f32]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        for (name, bytes) in [("net/data.pkl", pickle), ("net/data/0", &data), ("net/version", b"3\n")] {
            zip.start_file(name, stored).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn read_one(bytes: &[u8]) -> Result<NamedTensor> {
        read(Path::new("w.pth"), bytes).map(|mut tensors| tensors.remove(0))
    }

    #[test]
    fn a_transposed_view_is_read_in_its_own_order() {
        let values = [9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let tensor = read_one(&checkpoint(&pickle(&[3, 2], &[1, 3], 1, 7, None), &values)).unwrap();
        assert_eq!((tensor.name.as_str(), tensor.shape.as_slice()), ("w", &[3, 2][..]));
        assert_eq!(tensor.data, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn wrapped_dictionaries_are_found() {
        for wrapper in WRAPPERS {
            let bytes = checkpoint(&pickle(&[2], &[1], 0, 2, Some(wrapper)), &[1.0, 2.0]);
            assert_eq!(read_one(&bytes).unwrap().data, [1.0, 2.0]);
        }
    }

    #[test]
    fn bad_files_are_refused_with_the_reason() {
        let good = pickle(&[3, 2], &[1, 3], 1, 7, None);
        for (bytes, want) in [
            (checkpoint(&good, &[0.0; 6]), "w: net/data/0 is cut: 24 bytes for 7 elements"),
            (checkpoint(&pickle(&[3, 2], &[1, 4], 1, 7, None), &[0.0; 7]), "w: it reaches beyond its storage"),
            (checkpoint(&pickle(&[2], &[1], 0, 2, Some("other")), &[0.0; 2]), "no dictionary of tensors"),
            (checkpoint(b"\x80\x02}", &[]), "cut"),
            (LEGACY_MAGIC.to_vec(), "before 1.6"),
            (b"PK\x03\x04".to_vec(), "no PyTorch checkpoint"),
        ] {
            let message = read_one(&bytes).unwrap_err().to_string();
            assert!(message.contains("w.pth") && message.contains(want), "{message} lacks {want}");
        }
    }

    #[test]
    fn half_floats_of_every_kind_are_read() {
        for (half, want) in [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 2f32.powi(-24)), (0x7bff, 65504.0), (0x0000, 0.0)]
        {
            assert_eq!(half_to_f32(half), want);
        }
        assert!(half_to_f32(0x7e00).is_nan() && half_to_f32(0x7c00).is_infinite());
    }
}
