//! Cards of embedders whose files users bring: how each must be run, by name.
//!
//! The names with `deepface-` are the systems of Table 1 of arXiv 2509.20281 as DeepFace v0.0.93 runs them: eyes
//! levelled, black bars, blue first, divided by 255, no other normalisation, whatever the network was trained with.
//! Their thresholds are DeepFace's, 1 − its cosine distance. The others are run as their authors do.

use super::builtin::plain;
use super::card::{Aligner, Channels, Layout, ModelCard, Preprocessing, Role, Threshold};

/// What a preset's file is, in one line: name, size of the input, length of the embedding, threshold of the cosine,
/// licence, source.
struct Preset {
    name: &'static str,
    size_px: (u32, u32),
    length: usize,
    cosine: Option<f32>,
    licence: &'static str,
    source: &'static str,
}

/// DeepFace's networks, all but SFace exported from Keras.
const DEEPFACE: [Preset; 8] = [
    Preset {
        name: "deepface-deepid",
        size_px: (47, 55),
        length: 160,
        cosine: Some(0.985),
        licence: "unknown",
        source: "deepid_keras_weights.h5 of DeepFace, by tools/keras_to_onnx.py",
    },
    Preset {
        name: "deepface-vggface",
        size_px: (224, 224),
        length: 4096,
        cosine: Some(0.32),
        licence: "CC BY-NC (VGG)",
        source: "vgg_face_weights.h5 of DeepFace, by tools/keras_to_onnx.py",
    },
    Preset {
        name: "deepface-facenet",
        size_px: (160, 160),
        length: 128,
        cosine: Some(0.60),
        licence: "MIT (code); weights unknown",
        source: "facenet_weights.h5 of DeepFace, by tools/keras_to_onnx.py",
    },
    Preset {
        name: "deepface-facenet512",
        size_px: (160, 160),
        length: 512,
        cosine: Some(0.70),
        licence: "MIT (code); weights unknown",
        source: "facenet512_weights.h5 of DeepFace, by tools/keras_to_onnx.py",
    },
    Preset {
        name: "deepface-openface",
        size_px: (96, 96),
        length: 128,
        cosine: Some(0.90),
        licence: "Apache-2.0",
        source: "openface_weights.h5 of DeepFace, by tools/keras_to_onnx.py",
    },
    Preset {
        name: "deepface-arcface",
        size_px: (112, 112),
        length: 512,
        cosine: Some(0.32),
        licence: "unknown",
        source: "arcface_weights.h5 of DeepFace (IResNet-34), by tools/keras_to_onnx.py",
    },
    Preset {
        name: "deepface-ghostfacenet",
        size_px: (112, 112),
        length: 512,
        cosine: Some(0.35),
        licence: "MIT",
        source: "GhostFaceNet_W1.3_S1_ArcFace.h5 of GhostFaceNets, by tools/keras_to_onnx.py",
    },
    Preset {
        name: "deepface-sface",
        size_px: (112, 112),
        length: 128,
        cosine: Some(0.407),
        licence: "Apache-2.0",
        source: "face_recognition_sface_2021dec.onnx of the OpenCV zoo, cut out as DeepFace does",
    },
];

/// Networks run on crops by InsightFace's template, red first, (value − 127.5) / 127.5.
const ARCFACE: [Preset; 7] = [
    Preset {
        name: "arcface-r50-ms1mv3",
        size_px: (112, 112),
        length: 512,
        cosine: None,
        licence: "non-commercial research",
        source: "ms1mv3_arcface_r50_fp16/backbone.pth of InsightFace, by tools/arcface_to_onnx.py",
    },
    Preset {
        name: "perface",
        size_px: (112, 112),
        length: 512,
        cosine: None,
        licence: "as its backbone's",
        source: "trained on people's judgements, by `perface train` and `perface export`",
    },
    Preset {
        name: "blendface",
        size_px: (112, 112),
        length: 512,
        cosine: None,
        licence: "CC BY-NC-SA 4.0",
        source: "blendface.pt of BlendFace (IResNet-100), by tools/arcface_to_onnx.py",
    },
    Preset {
        name: "w600k-r50",
        size_px: (112, 112),
        length: 512,
        cosine: None,
        licence: "non-commercial research",
        source: "w600k_r50.onnx of InsightFace's buffalo_l",
    },
    Preset {
        name: "w600k-mbf",
        size_px: (112, 112),
        length: 512,
        cosine: None,
        licence: "non-commercial research",
        source: "w600k_mbf.onnx of InsightFace's buffalo_s",
    },
    Preset {
        name: "glint-r100",
        size_px: (112, 112),
        length: 512,
        cosine: None,
        licence: "non-commercial research",
        source: "glintr100.onnx of InsightFace's antelopev2",
    },
    Preset {
        name: "adaface",
        size_px: (112, 112),
        length: 512,
        cosine: None,
        licence: "MIT (code); weights unknown",
        source: "an ONNX export of AdaFace",
    },
];

/// dlib's ResNet on chips by its own frame.
const DLIB: Preset = Preset {
    name: "dlib-resnet",
    size_px: (150, 150),
    length: 128,
    cosine: Some(0.93),
    licence: "CC0-1.0",
    source: "dlib_face_recognition_resnet_model_v1.dat, by tools/dlib_to_onnx.py",
};

/// Mean of the pictures dlib's networks were trained with, red first; dlib divides by 256.
const DLIB_MEAN: [f32; 3] = [122.782, 117.001, 104.298];

/// Cards of all networks that users bring, without a hash: any file may be added under these names.
pub fn presets() -> Vec<ModelCard> {
    let deepface = DEEPFACE.iter().map(|preset| {
        let sface = preset.name == "deepface-sface";
        let (channels, scale) = if sface { (Channels::Rgb, 1.0) } else { (Channels::Bgr, 255.0) };
        let layout = if sface { Layout::Nchw } else { Layout::Nhwc };
        card(preset, |plain| Preprocessing { channels, scale, layout, aligner: Aligner::Deepface, ..plain })
    });
    let arcface = ARCFACE.iter().map(|preset| {
        // AdaFace was trained blue first.
        let channels = if preset.name == "adaface" { Channels::Bgr } else { Channels::Rgb };
        card(preset, |plain| Preprocessing { channels, mean: [127.5; 3], scale: 127.5, ..plain })
    });
    let dlib = card(&DLIB, |plain| Preprocessing { mean: DLIB_MEAN, scale: 256.0, aligner: Aligner::Dlib, ..plain });
    deepface.chain(arcface).chain([dlib]).collect()
}

/// The card of the network that users bring under this name.
pub fn preset(name: &str) -> Option<ModelCard> {
    presets().into_iter().find(|card| card.name == name)
}

fn card(preset: &Preset, complete: impl Fn(Preprocessing) -> Preprocessing) -> ModelCard {
    let source = if preset.name.starts_with("deepface-") { "DeepFace v0.0.93" } else { "DeepFace's for this network" };
    ModelCard {
        name: preset.name.to_owned(),
        role: Role::Embedder,
        similarity: format!("{} cosine", preset.name),
        preprocessing: complete(plain(preset.size_px.0, preset.size_px.1, Channels::Rgb)),
        embedding_len: Some(preset.length),
        same_person: preset.cosine.map(|cosine| Threshold { cosine, source: source.to_owned() }),
        agreement: None,
        licence: preset.licence.to_owned(),
        source: preset.source.to_owned(),
        sha256: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::MAX_WIDTH;
    use crate::model::builtin;

    #[test]
    fn names_are_unique_and_no_built_in_ones() {
        let mut names: Vec<String> = presets().into_iter().map(|card| card.name).collect();
        names.extend(builtin::models().into_iter().map(|model| model.card.name));
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn cards_say_what_deepface_does() {
        let deepid = preset("deepface-deepid").unwrap();
        assert_eq!((deepid.preprocessing.width_px, deepid.preprocessing.height_px), (47, 55));
        assert_eq!((deepid.preprocessing.channels, deepid.preprocessing.scale), (Channels::Bgr, 255.0));
        assert!(presets().iter().all(|card| card.embedding_len.is_some_and(|length| length <= MAX_WIDTH)));
        assert_eq!(preset("nobody"), None);
    }
}
