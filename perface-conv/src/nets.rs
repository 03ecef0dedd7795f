//! The face networks, with the names of their published checkpoints.
//!
//! IResNet and MobileFaceNet follow InsightFace's `recognition/arcface_torch/backbones`; SFace follows the OpenCV Zoo's ONNX file,
//! whose names `conv_1_conv2d_weight…` are written with dots here.

use crate::graph::{ConvSpec, Graph, Init, Kind, NodeId, Shape};

/// All networks read aligned crops of 112 × 112 pixels.
const CROP: Shape = Shape { channels: 3, height: 112, width: 112 };
/// PyTorch's default, used by IResNet and MobileFaceNet.
const EPS: f32 = 1e-5;

/// Blocks per stage of IResNet-18.
pub const IRESNET_18: [usize; 4] = [2, 2, 2, 2];
/// Blocks per stage of IResNet-34.
pub const IRESNET_34: [usize; 4] = [3, 4, 6, 3];
/// Blocks per stage of IResNet-50.
pub const IRESNET_50: [usize; 4] = [3, 4, 14, 3];
/// Blocks per stage of IResNet-100.
pub const IRESNET_100: [usize; 4] = [3, 13, 30, 3];

/// A network by its usual name: `r18`, `r34`, `r50`, `r100`, `mbf`, `mbf_large`, `sface`.
pub fn by_name(name: &str) -> Option<Graph> {
    Some(match name {
        "r18" => iresnet(IRESNET_18, 0.0),
        "r34" => iresnet(IRESNET_34, 0.0),
        "r50" => iresnet(IRESNET_50, 0.0),
        "r100" => iresnet(IRESNET_100, 0.0),
        "mbf" => mobilefacenet([1, 4, 6, 2], 2),
        "mbf_large" => mobilefacenet([2, 8, 12, 4], 4),
        "sface" => sface(),
        _ => return None,
    })
}

fn square(out: usize, kernel: usize, stride: usize) -> ConvSpec {
    ConvSpec { out, kernel, stride, pad: kernel / 2, groups: 1 }
}

/// IResNet: `[N, 3, 112, 112]` → `[N, 512]`, not normalised. `dropout` stands before `fc`.
pub fn iresnet(blocks: [usize; 4], dropout: f32) -> Graph {
    let mut g = Graph::new(CROP);
    let init = Init::Normal(0.1);
    let mut x = g.conv("conv1", 0, square(64, 3, 1), init);
    x = g.batch_norm("bn1", x, EPS, Kind::Weight);
    x = g.prelu("prelu", x);
    for (stage, (&count, out)) in blocks.iter().zip([64, 128, 256, 512]).enumerate() {
        for block in 0..count {
            let name = format!("layer{}.{block}", stage + 1);
            x = basic_block(&mut g, &name, x, out, if block == 0 { 2 } else { 1 });
        }
    }
    x = g.batch_norm("bn2", x, EPS, Kind::Weight);
    x = g.flatten("flatten", x);
    x = g.dropout("dropout", x, dropout);
    x = g.linear("fc", x, 512, true);
    g.batch_norm("features", x, EPS, Kind::Fixed);
    g
}

/// BN → conv → BN → PReLU → conv (stride) → BN, plus the input; no activation after the sum.
fn basic_block(g: &mut Graph, name: &str, input: NodeId, out: usize, stride: usize) -> NodeId {
    let init = Init::Normal(0.1);
    let mut x = g.batch_norm(&format!("{name}.bn1"), input, EPS, Kind::Weight);
    x = g.conv(&format!("{name}.conv1"), x, square(out, 3, 1), init);
    x = g.batch_norm(&format!("{name}.bn2"), x, EPS, Kind::Weight);
    x = g.prelu(&format!("{name}.prelu"), x);
    x = g.conv(&format!("{name}.conv2"), x, square(out, 3, stride), init);
    x = g.batch_norm(&format!("{name}.bn3"), x, EPS, Kind::Weight);
    let mut shortcut = input;
    if stride != 1 {
        shortcut = g.conv(&format!("{name}.downsample.0"), input, square(out, 1, stride), init);
        shortcut = g.batch_norm(&format!("{name}.downsample.1"), shortcut, EPS, Kind::Weight);
    }
    g.add(name, x, shortcut)
}

/// Kaiming's normal for a convolution's fan-out, as MobileFaceNet is initialised.
fn kaiming(spec: ConvSpec) -> Init {
    Init::Normal((2.0 / (spec.out * spec.kernel * spec.kernel / spec.groups).max(1) as f32).sqrt())
}

/// Convolution and batch normalisation, `layers.0` and `layers.1`.
fn linear_block(g: &mut Graph, name: &str, input: NodeId, spec: ConvSpec) -> NodeId {
    let x = g.conv(&format!("{name}.layers.0"), input, spec, kaiming(spec));
    g.batch_norm(&format!("{name}.layers.1"), x, EPS, Kind::Weight)
}

/// The same and a PReLU, `layers.2`.
fn conv_block(g: &mut Graph, name: &str, input: NodeId, spec: ConvSpec) -> NodeId {
    let x = linear_block(g, name, input, spec);
    g.prelu(&format!("{name}.layers.2"), x)
}

/// 1×1 to `wide` channels, depthwise 3×3, 1×1 to `out`; the numbered parts stand under `{name}.layers`.
fn depthwise(g: &mut Graph, name: &str, input: NodeId, out: usize, wide: usize, stride: usize) -> NodeId {
    let x = conv_block(g, &format!("{name}.layers.0"), input, square(wide, 1, 1));
    let spec = ConvSpec { groups: wide, ..square(wide, 3, stride) };
    let x = conv_block(g, &format!("{name}.layers.1"), x, spec);
    linear_block(g, &format!("{name}.layers.2"), x, square(out, 1, 1))
}

/// MobileFaceNet: `[N, 3, 112, 112]` → `[N, 512]`. Published with `scale` 2 and `blocks` 1, 4, 6, 2.
pub fn mobilefacenet(blocks: [usize; 4], scale: usize) -> Graph {
    let mut g = Graph::new(CROP);
    let (narrow, wide) = (64 * scale, 128 * scale);
    let mut x = conv_block(&mut g, "layers.0", 0, square(narrow, 3, 2));
    if blocks[0] == 1 {
        x = conv_block(&mut g, "layers.1", x, ConvSpec { groups: 64, ..square(narrow, 3, 1) });
    } else {
        x = residuals(&mut g, "layers.1", x, blocks[0], narrow, 128);
    }
    // The depthwise widths do not grow with the scale.
    x = depthwise(&mut g, "layers.2", x, narrow, 128, 2);
    x = residuals(&mut g, "layers.3", x, blocks[1], narrow, 128);
    x = depthwise(&mut g, "layers.4", x, wide, 256, 2);
    x = residuals(&mut g, "layers.5", x, blocks[2], wide, 256);
    x = depthwise(&mut g, "layers.6", x, wide, 512, 2);
    x = residuals(&mut g, "layers.7", x, blocks[3], wide, 256);
    x = conv_block(&mut g, "conv_sep", x, square(512, 1, 1));
    let whole = ConvSpec { out: 512, kernel: 7, stride: 1, pad: 0, groups: 512 };
    x = linear_block(&mut g, "features.layers.0", x, whole);
    x = g.flatten("features.layers.1", x);
    x = g.linear("features.layers.2", x, 512, false);
    g.batch_norm("features.layers.3", x, EPS, Kind::Weight);
    g
}

fn residuals(g: &mut Graph, name: &str, mut x: NodeId, count: usize, channels: usize, wide: usize) -> NodeId {
    for block in 0..count {
        let name = format!("{name}.layers.{block}");
        let branch = depthwise(g, &name, x, channels, wide, 1);
        x = g.add(&name, branch, x);
    }
    x
}

/// Output channels and stride of SFace's thirteen depthwise-separable layers.
const SFACE_LAYERS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

/// SFace: `[N, 3, 112, 112]`, pixels already (x − 127.5) / 128, → `[N, 128]`.
pub fn sface() -> Graph {
    let mut g = Graph::new(CROP);
    let layer = |g: &mut Graph, name: &str, input: NodeId, spec: ConvSpec| {
        let x = g.conv(&format!("{name}.conv2d"), input, spec, kaiming(spec));
        let x = g.batch_norm(&format!("{name}.batchnorm"), x, 1e-3, Kind::Weight);
        g.prelu(&format!("{name}.relu"), x)
    };
    let mut x = layer(&mut g, "conv_1", 0, square(32, 3, 1));
    let mut channels = 32;
    for (index, (out, stride)) in SFACE_LAYERS.into_iter().enumerate() {
        let number = index + 2;
        let spec = ConvSpec { groups: channels, ..square(channels, 3, stride) };
        x = layer(&mut g, &format!("conv_{number}_dw"), x, spec);
        x = layer(&mut g, &format!("conv_{number}"), x, square(out, 1, 1));
        channels = out;
    }
    x = g.batch_norm("bn1", x, 2e-5, Kind::Weight);
    x = g.dropout("dropout", x, 0.4);
    x = g.flatten("flatten", x);
    x = g.linear("pre_fc1", x, 128, true);
    g.batch_norm("fc1", x, 2e-5, Kind::Weight);
    g
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(graph: &Graph) -> (usize, usize) {
        let weights = graph.params.iter().filter(|param| param.kind != Kind::Buffer);
        (weights.map(|param| param.len()).sum(), graph.params.len())
    }

    #[test]
    fn networks_have_as_many_parameters_as_their_checkpoints() {
        // State dict keys less `num_batches_tracked` (one for each batch normalisation).
        assert_eq!(counts(&by_name("r18").unwrap()), (24_025_600, 187 - 31));
        assert_eq!(counts(&by_name("r50").unwrap()).0, 43_590_848);
        assert_eq!(counts(&by_name("r100").unwrap()).0, 65_156_160);
        assert_eq!(counts(&by_name("mbf").unwrap()).0, 2_059_520);
        assert_eq!(counts(&by_name("mbf_large").unwrap()).0, 6_314_880);
        assert!(by_name("r49").is_none());
    }

    #[test]
    fn outputs_have_the_published_sizes() {
        for (name, width) in [("r18", 512), ("mbf", 512), ("sface", 128)] {
            let graph = by_name(name).unwrap();
            assert_eq!(graph.output_shape(), Shape { channels: width, height: 1, width: 1 }, "{name}");
        }
    }

    #[test]
    fn names_are_those_of_the_checkpoints() {
        let graph = by_name("mbf").unwrap();
        for name in
            ["layers.3.layers.0.layers.1.layers.0.weight", "features.layers.2.weight", "conv_sep.layers.2.weight"]
        {
            assert!(graph.param(name).is_some(), "{name}");
        }
        assert!(by_name("r50").unwrap().param("layer1.0.downsample.1.running_var").is_some());
    }
}
