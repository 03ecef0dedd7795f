//! What is known of each network: its file, its preprocessing, its threshold, its licence.
//!
//! A card is the only home of a network's constants. Built-in cards are in [`super::builtin`]; a user's
//! own network brings its card as JSON beside the file.

use serde::{Deserialize, Serialize};

/// What a network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Finds faces with five landmarks.
    Detector,
    /// Turns an aligned face into an embedding.
    Embedder,
    /// Finds the 468 points of the face mesh.
    Mesh,
    /// Estimates gender.
    Gender,
    /// Estimates age.
    Age,
    /// Puts one face in the place of another.
    Swapper,
    /// Turns a face into what a swapper takes; no embedder to compare faces with.
    Identity,
    /// Turns one network's identity into another's.
    Converter,
    /// Tells the parts of a face apart.
    Region,
    /// Finds what stands before a face.
    Occlusion,
}

/// Order of the colour channels a network was trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// Order of a network's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `[N, 3, H, W]`: planes, as PyTorch has it.
    #[default]
    Nchw,
    /// `[N, H, W, 3]`: pixels, as Keras has it.
    Nhwc,
}

/// How a face is cut out for a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aligner {
    /// Five landmarks onto InsightFace's template; see [`crate::align`].
    #[default]
    Arcface,
    /// Eyes levelled, the detector's box, black bars; see [`crate::align::deepface`].
    Deepface,
    /// Five landmarks onto dlib's chip with a margin of a quarter.
    Dlib,
}

impl std::str::FromStr for Aligner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Arcface, Self::Deepface, Self::Dlib];
        let names = || all.map(Self::as_str).join(", ");
        all.into_iter()
            .find(|aligner| aligner.as_str() == text)
            .ok_or_else(|| format!("{text:?} is none of {}", names()))
    }
}

impl Layout {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Aligner {
    /// The name in cards and in keys of cached embeddings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arcface => "arcface",
            Self::Deepface => "deepface",
            Self::Dlib => "dlib",
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How a picture becomes a network's input: `(value − mean) / scale` for each channel of 0–255.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Width of the input, in pixels.
    pub width_px: u32,
    /// Height of the input, in pixels.
    pub height_px: u32,
    /// Order of the channels.
    pub channels: Channels,
    /// Subtracted from each channel, in the order of `channels`.
    pub mean: [f32; 3],
    /// Divides what is left.
    pub scale: f32,
    /// Order of the input's axes.
    #[serde(default, skip_serializing_if = "Layout::is_default")]
    pub layout: Layout,
    /// How the face is cut out, for an embedder.
    #[serde(default, skip_serializing_if = "Aligner::is_default")]
    pub aligner: Aligner,
}

impl Preprocessing {
    /// Of ArcFace's family, and of networks whose files say nothing: `side_px` × `side_px` crops by InsightFace's
    /// template, red first, (value − 127.5) / 127.5, `[N, 3, H, W]`.
    pub fn arcface(side_px: u32) -> Self {
        Self {
            width_px: side_px,
            height_px: side_px,
            channels: Channels::Rgb,
            mean: [127.5; 3],
            scale: 127.5,
            layout: Layout::Nchw,
            aligner: Aligner::Arcface,
        }
    }
}

/// A network's card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// Short name, as on the command line.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What its similarity is called in output, for an embedder: never more than it is.
    pub similarity: String,
    /// How pictures are prepared.
    pub preprocessing: Preprocessing,
    /// Length of the embedding; absent for other roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_len: Option<usize>,
    /// Cosine from which two faces count as one person, and where that number comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_person: Option<Threshold>,
    /// What differences of its similarity mean to people, if that was fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// Licence of the weights.
    pub licence: String,
    /// Where the weights come from.
    pub source: String,
    /// SHA-256 of the file that is run.
    pub sha256: String,
}

/// A decision threshold and its source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The cosine itself: at or above it, the same person.
    pub cosine: f32,
    /// Who says so.
    pub source: String,
}

/// P(people call A closer) = σ((s_A − s_B) / tau).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// The scale, in units of similarity.
    pub tau: f64,
    /// Answers it was fitted to.
    pub n: usize,
    /// Whose answers they are.
    pub source: String,
}

impl Agreement {
    /// Share of people expected to call A closer, in `(0, 1)`, from the similarities of both.
    pub fn share_for_a(&self, similarity_a: f32, similarity_b: f32) -> f64 {
        1.0 / (1.0 + (f64::from(similarity_b - similarity_a) / self.tau).exp())
    }
}

impl ModelCard {
    /// Name of the file this card's network is kept under.
    pub fn file_name(&self) -> String {
        format!("{}.onnx", self.name)
    }
}
