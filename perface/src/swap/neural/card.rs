//! The engines people bring: what each wants, how its result is put back, and on which terms.
//!
//! Sources: neuralchen/SimSwap; deepinsight/insightface `model_zoo/inswapper.py`; facefusion 3.8 `face_swapper`. The
//! same weights are wrapped differently by different programs, so a card is of one file, not of one paper.

use serde::Serialize;

use super::template::Template;
use crate::model::card::{ModelCard, Preprocessing, Role};
use crate::model::presets;
use crate::resample::Border;

/// `(value / 255 − mean) / std` for red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scaling {
    /// Subtracted.
    pub mean: [f32; 3],
    /// Divides what is left.
    pub std: [f32; 3],
}

/// 0 to 1.
const PLAIN: Scaling = Scaling { mean: [0.0; 3], std: [1.0; 3] };
/// −1 to 1.
const CENTRED: Scaling = Scaling { mean: [0.5; 3], std: [0.5; 3] };
/// Of ImageNet.
pub const IMAGENET: Scaling = Scaling { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/// How a candidate's face becomes 512 numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Identity {
    /// Name of the network, as in `perface models list`.
    pub model: &'static str,
    /// Where the face lies in its crop.
    pub template: Template,
    /// Side of that crop. Where it is larger than 112, every n-th pixel is taken (PyTorch's nearest neighbour).
    pub crop_px: u32,
    /// What the crop's values become.
    pub scaling: Scaling,
}

/// Side of every identity network's input, in pixels.
pub const IDENTITY_PX: u32 = 112;

/// What happens to an identity before the engine gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Latent {
    /// Scaled to unit norm.
    Unit,
    /// Run through a converter, which is a network of its own, then scaled to unit norm.
    Converted(&'static str),
    /// Scaled, multiplied with the matrix in the engine's own file, scaled again.
    Emap,
}

/// How a result is put back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paste {
    /// The whole crop, cut back by 40 px of the photo and blurred over 41: SimSwap.
    SimSwap,
    /// The whole crop, cut back by a tenth of its size and blurred over a tenth: InsightFace.
    InsightFace,
    /// A box in the crop that fades out over 0.15 of its side: FaceFusion.
    FaceFusion,
}

/// An engine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EngineCard {
    /// Its name, and that of its network in `perface models list`.
    pub name: &'static str,
    /// Where the face lies in its crop.
    pub template: Template,
    /// Side of the crop, in pixels.
    pub size_px: u32,
    /// What lies beyond the photo's edge.
    #[serde(skip)]
    pub border: Border,
    /// What the crop's values become.
    pub input: Scaling,
    /// What the result's values are.
    pub output: Scaling,
    /// Where the identity comes from.
    pub identity: Identity,
    /// What happens to it.
    pub latent: Latent,
    /// How the result is put back.
    pub paste: Paste,
    /// Licence of the weights.
    pub licence: &'static str,
    /// Where the weights come from.
    pub source: &'static str,
}

const SIMSWAP_LICENCE: &str = "CC BY-NC 4.0 (non-commercial)";
const INSIGHTFACE_LICENCE: &str = "non-commercial research only (InsightFace models)";
const FACEFUSION_LICENCE: &str = "FaceFusion's terms for this model; taken as non-commercial until you have read them";

const fn simswap_identity(template: Template, crop_px: u32) -> Identity {
    Identity { model: "simswap-arcface", template, crop_px, scaling: IMAGENET }
}

const W600K: Identity =
    Identity { model: "w600k-r50", template: Template::ArcFace112, crop_px: IDENTITY_PX, scaling: CENTRED };

/// Every engine that is known, by name.
pub fn engines() -> Vec<EngineCard> {
    let simswap = EngineCard {
        name: "simswap-224",
        template: Template::FivePose,
        size_px: 224,
        border: Border::Black,
        input: PLAIN,
        output: PLAIN,
        identity: simswap_identity(Template::FivePose, 224),
        latent: Latent::Unit,
        paste: Paste::SimSwap,
        licence: SIMSWAP_LICENCE,
        source: "neuralchen/SimSwap, checkpoints/people/latest_net_G.pth, by tools/simswap_to_onnx.py",
    };
    let facefusion = EngineCard {
        name: "simswap-256",
        template: Template::Frontal,
        size_px: 256,
        border: Border::Replicate,
        input: IMAGENET,
        output: PLAIN,
        identity: W600K,
        latent: Latent::Converted("crossface-simswap"),
        paste: Paste::FaceFusion,
        licence: SIMSWAP_LICENCE,
        source: "simswap_256.onnx of FaceFusion's models",
    };
    vec![
        simswap.clone(),
        EngineCard {
            name: "simswap-512",
            template: Template::Ffhq,
            size_px: 512,
            identity: simswap_identity(Template::Ffhq, 512),
            source: "neuralchen/SimSwap, checkpoints/512/550000_net_G.pth, by tools/simswap_to_onnx.py",
            ..simswap
        },
        facefusion.clone(),
        EngineCard {
            name: "simswap-unofficial-512",
            size_px: 512,
            input: PLAIN,
            source: "simswap_unofficial_512.onnx of FaceFusion's models",
            ..facefusion.clone()
        },
        EngineCard {
            name: "inswapper-128",
            template: Template::ArcFace128,
            size_px: 128,
            border: Border::Black,
            input: PLAIN,
            latent: Latent::Emap,
            paste: Paste::InsightFace,
            licence: INSIGHTFACE_LICENCE,
            source: "inswapper_128.onnx of InsightFace",
            ..facefusion.clone()
        },
        EngineCard {
            name: "hyperswap-256",
            template: Template::ArcFace128,
            input: CENTRED,
            output: CENTRED,
            latent: Latent::Unit,
            licence: FACEFUSION_LICENCE,
            source: "hyperswap_1a_256.onnx, 1b or 1c of FaceFusion's models",
            ..facefusion
        },
    ]
}

/// The engine called `name`.
pub fn engine(name: &str) -> Option<EngineCard> {
    engines().into_iter().find(|engine| engine.name == name)
}

/// Side of the input of the network that tells parts of a face apart, in pixels.
pub const REGION_PX: u32 = 512;
/// Side of the input of the network that finds what stands before a face, in pixels.
pub const OCCLUSION_PX: u32 = 256;

/// The card under which the file of an engine, or of a part that engines share, is kept; `None` for other names.
pub fn part(name: &str) -> Option<ModelCard> {
    let card = |role: Role, side_px: u32, licence: &str, source: &str| ModelCard {
        name: name.to_owned(),
        role,
        similarity: String::new(),
        preprocessing: Preprocessing::arcface(side_px),
        embedding_len: None,
        same_person: None,
        agreement: None,
        licence: licence.to_owned(),
        source: source.to_owned(),
        sha256: String::new(),
    };
    if let Some(engine) = engine(name) {
        return Some(card(Role::Swapper, engine.size_px, engine.licence, engine.source));
    }
    Some(match name {
        "simswap-arcface" => card(
            Role::Identity,
            IDENTITY_PX,
            SIMSWAP_LICENCE,
            "neuralchen/SimSwap, arcface_checkpoint.tar, by tools/simswap_to_onnx.py",
        ),
        "w600k-r50" => presets::preset(name)?,
        "crossface-simswap" => {
            card(Role::Converter, 1, FACEFUSION_LICENCE, "crossface_simswap.onnx of FaceFusion's models")
        }
        "bisenet" => {
            card(Role::Region, REGION_PX, "MIT; trained on CelebAMask-HQ, non-commercial research", "79999_iter")
        }
        "xseg" => card(Role::Occlusion, OCCLUSION_PX, FACEFUSION_LICENCE, "xseg_1.onnx, 2 or 3 of FaceFusion's models"),
        _ => return None,
    })
}

/// Names for which [`part`] has a card.
pub fn part_names() -> Vec<&'static str> {
    let shared = ["simswap-arcface", "w600k-r50", "crossface-simswap", "bisenet", "xseg"];
    engines().iter().map(|engine| engine.name).chain(shared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_an_engine_names_has_a_card() {
        for engine in engines() {
            assert!(part(engine.name).is_some() && part(engine.identity.model).is_some(), "{}", engine.name);
            if let Latent::Converted(converter) = engine.latent {
                assert!(part(converter).is_some());
            }
        }
        assert!(part_names().iter().all(|name| part(name).is_some()));
        assert!(part("sface").is_none());
    }
}
