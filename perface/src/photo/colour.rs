//! Embedded colour profiles, and the profile that output is tagged with.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};

/// A profile that moves no probe by more than this many levels is sRGB under another name, and rounding.
const SAME_AS_SRGB: u8 = 1;

/// Steps along each axis of the probe lattice.
const PROBE_STEPS: u8 = 6;

/// Where the creation time stands in a profile's header (ICC.1:2022, 7.2.1).
const CREATED_AT: std::ops::Range<usize> = 24..36;

/// Rows of interleaved samples to rows of RGB.
pub(super) type Executor<T> = Arc<dyn TransformExecutor<T> + Send + Sync>;

/// A profile ready to be applied to samples.
pub(super) struct ToSrgb {
    profile: ColorProfile,
    layout: Layout,
    channels: usize,
    in_8_bits: Executor<u8>,
}

impl ToSrgb {
    /// From the bytes of a profile, for samples of `channels` (1 grey, 3 RGB, 4 CMYK).
    ///
    /// `None` if the profile is sRGB or as good as.
    ///
    /// # Errors
    /// In words, if the profile is broken or does not fit the samples.
    pub(super) fn new(icc: &[u8], channels: usize) -> Result<Option<Self>, String> {
        // A profile comes from strangers like the rest of the file; no fault of its reader may end a run.
        catch_unwind(AssertUnwindSafe(|| Self::build(icc, channels))).unwrap_or_else(|_| Err("unreadable".to_owned()))
    }

    fn build(icc: &[u8], samples: usize) -> Result<Option<Self>, String> {
        let profile = ColorProfile::new_from_slice(icc).map_err(|e| format!("unreadable ({e})"))?;
        let (layout, channels) = match (profile.color_space, samples) {
            (DataColorSpace::Rgb, 1 | 3) => (Layout::Rgb, 3),
            (DataColorSpace::Gray, 1) => (Layout::Gray, 1),
            (DataColorSpace::Cmyk, 4) => (Layout::Rgba, 4),
            (space, _) => return Err(format!("made for {space:?}, which the picture is not")),
        };
        let in_8_bits = profile
            .create_transform_8bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, TransformOptions::default())
            .map_err(|e| format!("unusable ({e})"))?;
        let transform = Self { profile, layout, channels, in_8_bits };
        Ok((!transform.is_srgb()?).then_some(transform))
    }

    /// Samples a source pixel has.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// For 8-bit samples.
    pub(super) fn in_8_bits(&self) -> &Executor<u8> {
        &self.in_8_bits
    }

    /// For 16-bit samples; dear to make.
    pub(super) fn in_16_bits(&self) -> Result<Executor<u16>, String> {
        self.profile
            .create_transform_16bit(self.layout, &ColorProfile::new_srgb(), Layout::Rgb, TransformOptions::default())
            .map_err(|e| format!("the colour profile is unusable: {e}"))
    }

    fn is_srgb(&self) -> Result<bool, String> {
        let greys = || 0..=u8::MAX;
        let (probes, expected): (Vec<u8>, Vec<u8>) = match self.channels {
            1 => (greys().collect(), greys().flat_map(|v| [v; 3]).collect()),
            3 => {
                let axis = || (0..PROBE_STEPS).map(|i| i * (u8::MAX / (PROBE_STEPS - 1)));
                let lattice = axis().flat_map(|r| axis().flat_map(move |g| axis().flat_map(move |b| [r, g, b])));
                let probes: Vec<u8> = lattice.chain(greys().flat_map(|v| [v; 3])).collect();
                (probes.clone(), probes)
            }
            _ => return Ok(false),
        };
        let mut out = vec![0; expected.len()];
        self.in_8_bits.transform(&probes, &mut out).map_err(|e| format!("unusable ({e})"))?;
        Ok(out.iter().zip(&expected).all(|(a, b)| a.abs_diff(*b) <= SAME_AS_SRGB))
    }
}

/// An sRGB profile of a few hundred bytes, the same in every run.
pub(super) fn srgb_profile() -> &'static [u8] {
    static PROFILE: OnceLock<Vec<u8>> = OnceLock::new();
    PROFILE.get_or_init(|| {
        let mut profile = ColorProfile::new_srgb();
        profile.cicp = None;
        let mut bytes = profile.encode().unwrap_or_default();
        if let Some(created) = bytes.get_mut(CREATED_AT) {
            created.copy_from_slice(&[7, 208, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]); // 2000-01-01 00:00:00
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(profile: &ColorProfile, rgb: [u8; 3]) -> [u8; 3] {
        let transform = ToSrgb::new(&profile.encode().unwrap(), 3).unwrap().unwrap();
        let mut out = [0; 3];
        transform.in_8_bits().transform(&rgb, &mut out).unwrap();
        out
    }

    #[test]
    fn srgb_needs_no_conversion() {
        assert!(ToSrgb::new(srgb_profile(), 3).unwrap().is_none());
        assert!(ToSrgb::new(srgb_profile(), 1).unwrap().is_none());
    }

    #[test]
    fn display_p3_red_is_beyond_srgb_and_grey_stays() {
        let p3 = ColorProfile::new_display_p3();
        assert_eq!(through(&p3, [255, 0, 0]), [255, 0, 0]);
        assert_eq!(through(&p3, [128; 3]), [128; 3]);
        // By the published matrices: linear P3 red is 1.2249 in sRGB, green −0.0420, blue −0.0197.
        let muted = through(&p3, [160, 80, 80]);
        assert!(muted[0] > 168 && muted[1] < 77, "{muted:?}");
    }

    #[test]
    fn sixteen_bits_agree_with_eight() {
        let adobe = ToSrgb::new(&ColorProfile::new_adobe_rgb().encode().unwrap(), 3).unwrap().unwrap();
        for rgb in [[10u8, 200, 90], [128, 128, 128], [250, 30, 70]] {
            let (mut eight, mut sixteen) = ([0; 3], [0; 3]);
            adobe.in_8_bits().transform(&rgb, &mut eight).unwrap();
            adobe.in_16_bits().unwrap().transform(&rgb.map(|v| u16::from(v) * 257), &mut sixteen).unwrap();
            for (a, b) in eight.iter().zip(sixteen) {
                assert!((f32::from(*a) - f32::from(b) / 257.0).abs() <= 1.0, "{eight:?} {sixteen:?}");
            }
        }
    }

    /// From `tools/photo_colour.py`.
    #[derive(serde::Deserialize)]
    struct Reference {
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        channels: usize,
        icc_base64: String,
        samples: Vec<u8>,
        srgb: Vec<u8>,
    }

    #[test]
    fn profiles_mean_what_little_cms_says() {
        use base64::Engine;
        let text = include_str!("../../../testdata/reference/photo_colour.json");
        let reference: Reference = serde_json::from_str(text).unwrap();
        for case in reference.cases {
            let icc = base64::engine::general_purpose::STANDARD.decode(case.icc_base64).unwrap();
            let transform = ToSrgb::new(&icc, case.channels).unwrap().unwrap();
            let mut out = vec![0; case.srgb.len()];
            transform.in_8_bits().transform(&case.samples, &mut out).unwrap();
            let worst = out.iter().zip(&case.srgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            // The two interpolate between the points of a lattice differently.
            assert!(worst <= if case.channels == 4 { 4 } else { 3 }, "{}: off by {worst}", case.name);
        }
    }

    #[test]
    fn a_broken_or_foreign_profile_is_an_error() {
        assert!(ToSrgb::new(b"not a profile", 3).is_err());
        assert!(ToSrgb::new(&[0; 4096], 3).is_err());
        assert!(ToSrgb::new(srgb_profile(), 4).is_err());
    }

    #[test]
    fn the_tag_is_small_and_never_changes() {
        let profile = srgb_profile();
        assert!((200..1000).contains(&profile.len()), "{}", profile.len());
        assert_eq!(&profile[CREATED_AT][..2], &2000u16.to_be_bytes());
    }
}
