//! Embedded colour profiles, and the profile that output is tagged with.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};

/// A profile that moves no probe by more than this, in 16 bits, is sRGB under another name: half a level of
/// 8 bits, with room for the rounding of profiles' own numbers.
const SAME_AS_SRGB: u16 = 257 * 3 / 4;

/// Steps along each axis of the probe lattice.
const PROBE_STEPS: u16 = 5;

/// Where the creation time stands in a profile's header (ICC.1:2022, 7.2.1).
const CREATED_AT: std::ops::Range<usize> = 24..36;

/// A profile ready to be applied to rows of 16-bit samples.
pub(super) struct ToSrgb {
    executor: Arc<dyn TransformExecutor<u16> + Send + Sync>,
    channels: usize,
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
        let executor = profile
            .create_transform_16bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, TransformOptions::default())
            .map_err(|e| format!("unusable ({e})"))?;
        let transform = Self { executor, channels };
        Ok((!transform.is_srgb()?).then_some(transform))
    }

    /// Samples a source pixel has.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// One row, interleaved, to RGB.
    pub(super) fn row(&self, source: &[u16], target: &mut [u16]) -> Result<(), String> {
        self.executor.transform(source, target).map_err(|e| format!("the colour profile could not be applied: {e}"))
    }

    fn is_srgb(&self) -> Result<bool, String> {
        let step = u16::MAX / (PROBE_STEPS - 1);
        let axis = || (0..PROBE_STEPS).map(move |i| i * step);
        let (probes, expected): (Vec<u16>, Vec<u16>) = match self.channels {
            1 => {
                let greys: Vec<u16> = (0..=u8::MAX).map(|v| u16::from(v) * 257).collect();
                let tripled = greys.iter().flat_map(|&v| [v; 3]).collect();
                (greys, tripled)
            }
            3 => {
                let mut probes: Vec<u16> =
                    axis().flat_map(|r| axis().flat_map(move |g| axis().flat_map(move |b| [r, g, b]))).collect();
                probes.extend((0..=u8::MAX).flat_map(|v| [u16::from(v) * 257; 3]));
                (probes.clone(), probes)
            }
            _ => return Ok(false),
        };
        let mut out = vec![0; expected.len()];
        self.row(&probes, &mut out)?;
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

    fn through(profile: &ColorProfile, rgb: [u16; 3]) -> [u16; 3] {
        let transform = ToSrgb::new(&profile.encode().unwrap(), 3).unwrap().unwrap();
        let mut out = [0; 3];
        transform.row(&rgb, &mut out).unwrap();
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
        assert_eq!(through(&p3, [65535, 0, 0]), [65535, 0, 0]);
        let grey = through(&p3, [32896; 3]);
        assert!(grey.iter().all(|v| v.abs_diff(32896) < 257), "{grey:?}");
        let muted = through(&p3, [40000, 20000, 20000]);
        assert!(muted[0] > 40600 && muted[1] < 19800, "{muted:?}");
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
