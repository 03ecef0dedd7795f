//! `perface export`: weights with PyTorch's names as an ONNX file, or those of an ONNX file with PyTorch's names.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use perface::atomic::{self, Overwrite};
use perface_conv::nets;
use perface_train::export;
use perface_train::weights::safetensors::SafeTensors;
use perface_train::weights::{self, NamedTensor};
use serde::Serialize;

use crate::args::Common;
use crate::output::{self, Outcome};

/// Options of `export`.
#[derive(Args)]
#[command(after_help = "Examples:\n  perface export backbone.pth --net r50 --out r50.onnx\n  \
                        perface export w600k_r50.onnx --out w600k_r50.safetensors")]
pub struct Export {
    /// Weights: .pth, .pt, .safetensors or .onnx.
    file: PathBuf,
    /// Network the weights are of: r18, r34, r50, r100, mbf, mbf_large or sface. Not needed for .onnx.
    #[arg(long, value_name = "NAME")]
    net: Option<String>,
    /// What to write: .onnx or .safetensors.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Exported {
    out: PathBuf,
    /// The known network it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<String>,
    parameters: usize,
    width: usize,
}

impl Export {
    pub fn run(&self, common: &Common) -> Result<Outcome> {
        let usage = |reason: String| perface::Error::Usage(reason);
        let (graph, values, net) = if self.file.extension().is_some_and(|e| e == "onnx") {
            let bytes = std::fs::read(&self.file).with_context(|| self.file.display().to_string())?;
            let imported = perface::model::import::import(&self.file.display().to_string(), &bytes)?;
            if (imported.mean, imported.scale) != (0.0, 1.0) {
                let (mean, scale) = (imported.mean, imported.scale);
                eprintln!("perface: (x − {mean}) / {scale} was in the file and is not in what is written");
            }
            (imported.graph, imported.values, imported.known_as.map(str::to_owned))
        } else {
            let name =
                self.net.clone().ok_or_else(|| usage("--net says which network the weights are of".to_owned()))?;
            let graph = nets::by_name(&name).ok_or_else(|| usage(format!("no network is called {name:?}")))?;
            let values = weights::fit(&graph, weights::read(&self.file)?, &self.file)?;
            (graph, values, Some(name))
        };
        let bytes = match self.out.extension().and_then(|e| e.to_str()) {
            Some("onnx") => export::network(&graph, &values)?,
            Some("safetensors") => {
                let tensors = graph.params.iter().zip(&values).map(|(param, data)| NamedTensor {
                    name: param.name.clone(),
                    shape: param.shape.clone(),
                    data: data.clone(),
                });
                SafeTensors { tensors: tensors.collect(), ..Default::default() }.bytes()?
            }
            _ => return Err(usage("--out must end in .onnx or .safetensors".to_owned()).into()),
        };
        atomic::write(&self.out, &bytes, Overwrite::Never)?;
        let exported = Exported {
            out: self.out.clone(),
            net,
            parameters: values.iter().map(Vec::len).sum(),
            width: graph.output_shape().len(),
        };
        output::print(common.json, &exported, |e| {
            let net = e.net.as_deref().unwrap_or("a network of its own");
            format!("{}: {net}, {} parameters, {} values out", e.out.display(), e.parameters, e.width)
        })?;
        Ok(Outcome::Done)
    }
}
