//! Networks run by ONNX Runtime, loaded from its own shared library where one is found.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;

use super::{Model, Tensor};
use crate::error::{Error, Result};

/// Environment variable that names the shared library.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Path of ONNX Runtime's shared library: where [`LIBRARY_VARIABLE`] says, or in the `onnxruntime` package of the
/// active Python environment.
///
/// # Errors
/// [`Error::Usage`] if the variable names no file.
pub fn find_library() -> Result<Option<PathBuf>> {
    if let Some(named) = std::env::var_os(LIBRARY_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from) {
        if !named.is_file() {
            return Err(Error::Usage(format!("{LIBRARY_VARIABLE} names {}, which is no file", named.display())));
        }
        return Ok(Some(named));
    }
    let Some(environment) = std::env::var_os("VIRTUAL_ENV") else { return Ok(None) };
    let pythons = std::fs::read_dir(Path::new(&environment).join("lib")).into_iter().flatten().flatten();
    Ok(pythons.filter_map(|python| library_in(&python.path().join("site-packages/onnxruntime/capi"))).next())
}

fn library_in(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("libonnxruntime.so") || name == "libonnxruntime.dylib" || name == "onnxruntime.dll"
        })
        .collect();
    found.sort();
    found.pop()
}

/// The process's one environment; the first library that is asked for is the one that is loaded.
fn environment(library: &Path) -> Result<&'static Environment> {
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    let start = || -> Result<Environment, String> {
        let builder = ort::init_from(library).map_err(|e| format!("{}: {e}", library.display()))?;
        builder.build().map_err(|e| e.to_string())
    };
    ENVIRONMENT.get_or_init(start).as_ref().map_err(|reason| Error::model("ONNX Runtime", reason))
}

/// A network loaded by ONNX Runtime.
pub struct OrtModel {
    name: String,
    library: PathBuf,
    onnx: Vec<u8>,
    input_shapes: Vec<Vec<Option<usize>>>,
    /// A session serves one caller at a time; one more is opened for each caller that finds none free.
    free: Mutex<Vec<Session>>,
}

impl OrtModel {
    /// From the bytes of an ONNX file; `name` stands in errors.
    ///
    /// # Errors
    /// [`Error::Model`] if the library cannot be loaded or refuses the graph.
    pub fn load(library: &Path, name: &str, onnx: Vec<u8>) -> Result<Self> {
        let session = open(library, name, &onnx)?;
        let input_shapes = session
            .inputs()
            .iter()
            .map(|input| {
                let shape = input.dtype().tensor_shape();
                shape.into_iter().flat_map(|s| s.iter()).map(|&d| usize::try_from(d).ok()).collect()
            })
            .collect();
        Ok(Self {
            name: name.to_owned(),
            library: library.to_owned(),
            onnx,
            input_shapes,
            free: Mutex::new(vec![session]),
        })
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(library: &Path, name: &str, onnx: &[u8]) -> Result<Session> {
    let refused = |e: ort::Error| Error::model(name, e);
    let builder = Session::builder(environment(library)?).map_err(refused)?;
    let mut builder = builder.with_intra_threads(1).map_err(|e| Error::model(name, e))?;
    builder.commit_from_memory(onnx).map_err(refused)
}

impl Model for OrtModel {
    fn input_shape(&self, index: usize) -> Vec<Option<usize>> {
        self.input_shapes.get(index).cloned().unwrap_or_default()
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let refused = |e: ort::Error| Error::model(&self.name, e);
        if inputs.len() != self.input_shapes.len() {
            let want = self.input_shapes.len();
            return Err(Error::model(&self.name, format!("takes {want} inputs, got {}", inputs.len())));
        }
        let free = self.sessions().pop();
        let mut session = match free {
            Some(session) => session,
            None => open(&self.library, &self.name, &self.onnx)?,
        };
        let values = inputs
            .iter()
            .map(|tensor| Ok(TensorRef::from_array_view((tensor.shape(), tensor.data())).map_err(refused)?.into()))
            .collect::<Result<Vec<ort::session::SessionInputValue>>>()?;
        let outputs = session.run(values.as_slice()).map_err(refused)?;
        let tensors = outputs
            .values()
            .map(|value| {
                let (shape, data) = value.try_extract_tensor::<f32>().map_err(refused)?;
                let shape = shape.iter().map(|&d| usize::try_from(d).unwrap_or(0)).collect();
                Ok(Tensor::new(shape, data.to_vec()))
            })
            .collect();
        drop(outputs);
        self.sessions().push(session);
        tensors
    }
}
