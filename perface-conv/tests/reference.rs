//! Every kernel against a plain double-precision walk over the same graph, forward and back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod plain;

use perface_conv::{ConvSpec, Graph, Init, Kind, Level, Mode, Net, NetOptions, Shape, nets};
use plain::{Plain, random};
use proptest::prelude::*;

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |largest: f64, n| largest.max(n.abs()))
}

/// Largest difference, relative to the largest number of the reference, or to `least` if that is larger.
fn distance(ours: &[f32], reference: &[f64], least: f64) -> f64 {
    assert_eq!(ours.len(), reference.len());
    let largest = largest(reference).max(least);
    ours.iter().zip(reference).fold(0.0, |worst: f64, (o, r)| worst.max((f64::from(*o) - r).abs() / largest))
}

/// Run and go back through `graph` here and in double precision; the worst distance of output, gradients and running statistics.
fn compare(graph: &Graph, batch: usize, mode: Mode, level: Option<Level>) -> f64 {
    let mut net = Net::new(graph.clone(), NetOptions { threads: 2, level, seed: 5 }).unwrap();
    for (id, param) in graph.params.iter().enumerate() {
        let mut values = random(param.len(), id as u64 + 1);
        if param.kind == Kind::Buffer && param.name.ends_with("var") {
            values.iter_mut().for_each(|v| *v = v.abs() + 0.5);
        }
        // Scales far from zero keep the kink of the PReLU away from most numbers, as in a trained network.
        if param.shape.len() == 1 && param.name.contains("bn") && param.name.ends_with("weight") {
            values.iter_mut().for_each(|v| *v = 1.0 + 0.5 * *v);
        }
        if param.shape.len() > 1 {
            let scale = 1.0 / (param.len() as f32 / param.shape[0] as f32).sqrt();
            values.iter_mut().for_each(|v| *v *= scale);
        }
        net.set(&param.name, &values).unwrap();
        assert_eq!(net.get(&param.name).unwrap(), values, "{}", param.name);
    }
    let mut plain = Plain::new(graph, |name| net.get(name).unwrap());
    let input = random(batch * graph.input_shape().len(), 77);
    let gradient = random(batch * graph.output_shape().len(), 78);
    let expected = plain.forward(&input, batch, mode);
    let mut worst = distance(net.forward(&input, batch, mode).unwrap(), &expected, 1e-6);
    if mode != Mode::Eval {
        net.backward(&gradient).unwrap();
        let gradients = plain.backward(&gradient);
        // The gradient of a bias before a normalisation is nothing but rounding; it is compared with the size of the others.
        let least = 1e-2 * gradients.iter().map(|gradient| largest(gradient)).fold(0.0, f64::max);
        for (id, param) in graph.params.iter().enumerate() {
            match param.kind {
                Kind::Weight => {
                    let ours = net.gradient(&param.name).unwrap().unwrap();
                    worst = worst.max(distance(&ours, &gradients[id], least));
                }
                _ => assert!(net.gradient(&param.name).unwrap().is_none()),
            }
            if param.kind == Kind::Buffer {
                worst = worst.max(distance(&net.get(&param.name).unwrap(), &plain.params[id], 1e-6));
            }
        }
    }
    worst
}

/// Every instruction set that this machine has.
fn levels() -> impl Iterator<Item = Level> {
    [Level::Avx512, Level::Avx2, Level::Portable].into_iter().filter(|level| level.is_available())
}

fn shape(channels: usize, height: usize, width: usize) -> Shape {
    Shape { channels, height, width }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..Default::default() })]

    #[test]
    fn convolutions_of_any_shape_match_double_precision(
        inputs in 1usize..40, outputs in 1usize..70, height in 3usize..18, width in 3usize..33, kernel in 1usize..4,
        stride in 1usize..3, pad in 0usize..2, batch in 1usize..4,
    ) {
        let mut graph = Graph::new(shape(5, height, width));
        let init = Init::Normal(0.1);
        // A first layer, so that the input of the one under test has a gradient.
        let first = graph.conv("first", 0, ConvSpec { out: inputs, kernel: 1, stride: 1, pad: 0, groups: 1 }, init);
        graph.conv_bias("second", first, ConvSpec { out: outputs, kernel, stride, pad, groups: 1 }, init);
        for level in levels() {
            let worst = compare(&graph, batch, Mode::Train, Some(level));
            prop_assert!(worst < 2e-6, "{level:?}: {worst}");
        }
    }

    #[test]
    fn grouped_convolutions_match_double_precision(
        groups in 1usize..40, per_group in 0usize..3, height in 3usize..18, width in 3usize..33, kernel in 1usize..4,
        stride in 1usize..3, pad in 0usize..2, batch in 1usize..4,
    ) {
        let channels = groups << per_group;
        let mut graph = Graph::new(shape(3, height, width));
        let init = Init::Normal(0.1);
        let first = graph.conv("first", 0, ConvSpec { out: channels, kernel: 1, stride: 1, pad: 0, groups: 1 }, init);
        graph.conv("second", first, ConvSpec { out: channels, kernel, stride, pad, groups }, init);
        for level in levels() {
            let worst = compare(&graph, batch, Mode::Train, Some(level));
            prop_assert!(worst < 2e-6, "{level:?}: {worst}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..Default::default() })]

    #[test]
    fn depthwise_convolutions_match_double_precision(
        channels in 2usize..70, height in 3usize..18, width in 3usize..33, kernel in 1usize..8, stride in 1usize..3,
        pad in 0usize..4, batch in 1usize..4,
    ) {
        prop_assume!(kernel <= height.min(width) && pad < kernel);
        let mut graph = Graph::new(shape(3, height, width));
        let init = Init::Normal(0.1);
        let first = graph.conv("first", 0, ConvSpec { out: channels, kernel: 1, stride: 1, pad: 0, groups: 1 }, init);
        graph.conv_bias("second", first, ConvSpec { out: channels, kernel, stride, pad, groups: channels }, init);
        for level in levels() {
            let worst = compare(&graph, batch, Mode::Train, Some(level));
            prop_assert!(worst < 2e-6, "{level:?}: {worst}");
        }
    }
}

/// A small network with everything that the large ones have: stem, block with and without downsampling, head.
fn small_residual() -> Graph {
    let mut g = Graph::new(shape(3, 14, 14));
    let conv = |out, kernel, stride| ConvSpec { out, kernel, stride, pad: kernel / 2, groups: 1 };
    let init = Init::Normal(0.1);
    let mut x = g.conv("conv1", 0, conv(24, 3, 1), init);
    x = g.batch_norm("bn1", x, 1e-5, Kind::Weight);
    x = g.prelu("prelu", x);
    for (name, out, stride) in [("a", 40, 2), ("b", 40, 1)] {
        let input = x;
        x = g.batch_norm(&format!("{name}.bn1"), x, 1e-5, Kind::Weight);
        x = g.conv(&format!("{name}.conv1"), x, conv(out, 3, 1), init);
        x = g.batch_norm(&format!("{name}.bn2"), x, 1e-5, Kind::Weight);
        x = g.prelu(&format!("{name}.prelu"), x);
        x = g.conv(&format!("{name}.conv2"), x, conv(out, 3, stride), init);
        x = g.batch_norm(&format!("{name}.bn3"), x, 1e-5, Kind::Weight);
        let mut shortcut = input;
        if stride == 2 {
            shortcut = g.conv(&format!("{name}.down.0"), input, conv(out, 1, 2), init);
            shortcut = g.batch_norm(&format!("{name}.down.1"), shortcut, 1e-5, Kind::Weight);
        }
        x = g.add(name, x, shortcut);
    }
    x = g.batch_norm("bn2", x, 1e-5, Kind::Weight);
    x = g.flatten("flatten", x);
    x = g.linear("fc", x, 20, true);
    g.batch_norm("features", x, 1e-5, Kind::Fixed);
    g
}

/// Depthwise parts, a grouped layer, and a kernel that covers the whole picture, as MobileFaceNet has them.
fn small_depthwise() -> Graph {
    let mut g = Graph::new(shape(3, 15, 14));
    let conv = |out, kernel, stride, groups| ConvSpec { out, kernel, stride, pad: kernel / 2, groups };
    let init = Init::Normal(0.1);
    let mut x = g.conv("stem", 0, conv(32, 3, 1, 1), init);
    x = g.batch_norm("bn", x, 1e-3, Kind::Weight);
    x = g.prelu("prelu", x);
    x = g.conv("grouped", x, conv(32, 3, 1, 16), init);
    x = g.batch_norm("grouped.bn", x, 1e-3, Kind::Weight);
    x = g.prelu("grouped.prelu", x);
    x = g.conv("dw", x, conv(32, 3, 2, 32), init);
    x = g.batch_norm("dw.bn", x, 1e-3, Kind::Weight);
    let input = x;
    x = g.prelu("dw.prelu", x);
    x = g.conv("dw2", x, conv(32, 3, 1, 32), init);
    x = g.batch_norm("dw2.bn", x, 1e-3, Kind::Weight);
    x = g.add("sum", x, input);
    x = g.conv("whole", x, ConvSpec { out: 32, kernel: 7, stride: 1, pad: 0, groups: 32 }, init);
    x = g.batch_norm("whole.bn", x, 1e-3, Kind::Weight);
    x = g.prelu("whole.prelu", x);
    x = g.batch_norm("again", x, 1e-3, Kind::Weight);
    x = g.flatten("flatten", x);
    x = g.linear("fc", x, 12, false);
    g.batch_norm("out", x, 1e-3, Kind::Weight);
    g
}

#[test]
fn whole_networks_match_double_precision_in_every_mode() {
    for (name, graph) in [("residual", small_residual()), ("depthwise", small_depthwise())] {
        for mode in [Mode::Train, Mode::TrainFrozenBn, Mode::Eval] {
            for level in levels() {
                let worst = compare(&graph, 5, mode, Some(level));
                assert!(worst < 2e-5, "{name} {mode:?} {level:?}: {worst:e}");
            }
        }
    }
}

#[test]
fn tails_take_up_where_heads_end() {
    let graph = small_residual();
    let cut = graph.nodes.iter().position(|node| node.name == "a").unwrap();
    let mut whole = Net::new(graph.clone(), NetOptions { seed: 3, ..Default::default() }).unwrap();
    let mut head = Net::new(graph.head(cut).unwrap(), NetOptions::default()).unwrap();
    let mut tail = Net::new(graph.tail(cut).unwrap(), NetOptions::default()).unwrap();
    for (name, _, values) in whole.parameters() {
        if tail.graph().param(name).is_some() {
            tail.set(name, &values).unwrap();
        } else {
            head.set(name, &values).unwrap();
        }
    }
    let input = random(2 * 3 * 14 * 14, 1);
    let between = head.forward(&input, 2, Mode::Eval).unwrap().to_vec();
    let ours = tail.forward(&between, 2, Mode::Eval).unwrap().to_vec();
    assert_eq!(ours.as_slice(), whole.forward(&input, 2, Mode::Eval).unwrap());
}

#[test]
fn training_is_the_same_bit_for_bit_with_any_number_of_threads() {
    let graphs = [small_residual(), small_depthwise()];
    for (graph, level) in graphs.iter().flat_map(|graph| levels().map(move |level| (graph, level))) {
        let run = |threads| {
            let mut net = Net::new(graph.clone(), NetOptions { threads, level: Some(level), seed: 9 }).unwrap();
            let input = random(6 * graph.input_shape().len(), 1);
            let gradient = random(6 * graph.output_shape().len(), 2);
            for _ in 0..3 {
                net.forward(&input, 6, Mode::Train).unwrap();
                net.backward(&gradient).unwrap();
                net.sgd(perface_conv::Sgd::default());
            }
            let values: Vec<f32> = net.parameters().flat_map(|(_, _, values)| values).collect();
            values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let one = run(1);
        assert!(one == run(2) && one == run(2) && one == run(3));
    }
}

#[test]
fn what_has_no_kernel_is_refused_when_the_network_is_made() {
    let spec = ConvSpec { out: 32, kernel: 3, stride: 3, pad: 1, groups: 1 };
    let mut graph = Graph::new(shape(3, 9, 9));
    graph.conv("conv", 0, spec, Init::Normal(0.1));
    assert!(Net::new(graph, NetOptions::default()).is_err());
    let mut graph = Graph::new(shape(6, 9, 9));
    graph.conv("conv", 0, ConvSpec { stride: 1, groups: 2, ..spec }, Init::Normal(0.1));
    assert!(Net::new(graph, NetOptions::default()).is_err());
}

#[test]
fn wrong_lengths_and_orders_are_errors() {
    let mut net = Net::new(small_residual(), NetOptions::default()).unwrap();
    assert!(net.backward(&[0.0; 20]).is_err());
    assert!(net.forward(&[0.0; 3], 1, Mode::Eval).is_err());
    assert!(net.forward(&[], 0, Mode::Eval).is_err());
    assert!(net.set("fc.bias", &[0.0; 3]).is_err() && net.set("nothing", &[]).is_err());
    net.forward(&random(2 * 3 * 14 * 14, 1), 2, Mode::Eval).unwrap();
    assert!(net.backward(&[0.0; 40]).is_err());
}

#[test]
fn published_networks_can_be_built() {
    for name in ["r18", "r50", "mbf", "sface"] {
        assert!(Net::new(nets::by_name(name).unwrap(), NetOptions::default()).is_ok(), "{name}");
    }
}
