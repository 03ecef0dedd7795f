//! The learner for graphics cards, run on burn's CPU backend, against the CPU's own engine.
//!
//! `cargo test -p perface-train --features flex --test gpu`: not in the usual tests, since burn takes minutes to build.

#![cfg(feature = "flex")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use perface_conv::{Graph, Kind, Net, NetOptions, nets};
use perface_train::gpu::{Device, GpuLearner};
use perface_train::learner::{Learner, Sgd};
use perface_train::loss::{LossOptions, batch_loss};
use perface_train::network::{BatchNorm, NetworkLearner};
use perface_train::weights::NamedTensor;

const PICTURES: usize = 6;
const SGD: Sgd = Sgd { learning_rate: 0.001, momentum: 0.9, weight_decay: 5e-4, spare_vectors: true };

fn pictures(graph: &Graph) -> Vec<f32> {
    let mut state = 11u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..PICTURES * graph.input_shape().len()).map(|_| next()).collect()
}

/// Weights of a new network, with running statistics that are not those of one.
fn values(graph: &Graph) -> Vec<Vec<f32>> {
    let net = Net::new(graph.clone(), NetOptions { seed: 3, ..Default::default() }).unwrap();
    let moved = |(k, v): (usize, f32)| v + 0.1 * ((k % 7) as f32 / 7.0);
    let params = net.parameters().zip(&graph.params);
    params
        .map(|((_, _, values), param)| match param.kind {
            Kind::Buffer => values.into_iter().enumerate().map(moved).collect(),
            _ => values,
        })
        .collect()
}

/// Largest difference, against the size of the values.
fn off(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(1.0f32, |most, v| most.max(v.abs()));
    got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, f32::max) / largest
}

fn find<'a>(tensors: &'a [NamedTensor], name: &str) -> &'a [f32] {
    &tensors.iter().find(|tensor| tensor.name == name).unwrap().data
}

/// One step of SGD; the loss before it.
fn step(learner: &mut dyn Learner, pictures: &[f32]) -> f64 {
    let embeddings = learner.forward(pictures, PICTURES).unwrap();
    let loss = batch_loss(&embeddings, learner.width(), &[1.0, 1.0], &[], LossOptions { margin: 2.0, anchor: 0.0 });
    learner.backward(&loss.gradient).unwrap();
    learner.step(&SGD);
    loss.value
}

fn both(graph: &Graph, batch_norm: BatchNorm) -> (NetworkLearner, GpuLearner) {
    let values = values(graph);
    let gpu = GpuLearner::new(graph, &values, batch_norm, &Device::flex()).unwrap();
    (NetworkLearner::new(graph, &values, batch_norm).unwrap(), gpu)
}

fn check(name: &str) {
    let graph = nets::by_name(name).unwrap();
    let pictures = pictures(&graph);
    let (mut own, mut gpu) = both(&graph, BatchNorm::Train);
    let in_use = off(&gpu.embed(&pictures, PICTURES).unwrap(), &own.embed(&pictures, PICTURES).unwrap());
    let training = off(&gpu.forward(&pictures, PICTURES).unwrap(), &own.forward(&pictures, PICTURES).unwrap());
    assert!(in_use < 1e-4 && training < 1e-4, "{name}: {in_use:.1e} in use, {training:.1e} in training");
    let (own_values, gpu_values) = (own.parameters().unwrap(), gpu.parameters().unwrap());
    let mut running = 0f32;
    for param in graph.params.iter().filter(|param| param.kind == Kind::Buffer) {
        running = running.max(off(find(&gpu_values, &param.name), find(&own_values, &param.name)));
    }
    assert!(running < 1e-5, "{name}: running statistics {running:.1e}");
    let (mut losses, mut norms) = (0f64, None);
    for _ in 0..5 {
        let (got, want) = (step(&mut gpu, &pictures), step(&mut own, &pictures));
        losses = losses.max((got - want).abs() / want);
        // Of the first step: later ones begin with weights that are a little apart.
        norms.get_or_insert((gpu.gradient_norm(), own.gradient_norm()));
    }
    let (got, want) = norms.unwrap();
    let norm = (got - want).abs() / want;
    eprintln!(
        "{name}: in use {in_use:.1e}, in training {training:.1e}, running {running:.1e}, losses {losses:.1e}, norm of \
         the gradients {norm:.1e}"
    );
    assert!(losses < 1e-3, "{name}: losses {losses:.1e}");
    assert!(norm < 1e-3, "{name}: gradients of norm {got} in place of {want}");
}

#[test]
fn iresnet_18_is_trained_as_on_the_cpu() {
    check("r18");
}

#[test]
fn mobilefacenet_is_trained_as_on_the_cpu() {
    check("mbf");
}

#[test]
fn sface_is_trained_as_on_the_cpu() {
    check("sface");
}

/// The last block of MobileFaceNet.
fn tail() -> Graph {
    let whole = nets::by_name("mbf").unwrap();
    whole.tail(perface_train::network::block_ends(&whole).pop().unwrap()).unwrap()
}

#[test]
fn frozen_statistics_stay_and_gradients_are_those_of_the_cpu() {
    let graph = tail();
    let pictures = pictures(&graph);
    let (mut own, mut gpu) = both(&graph, BatchNorm::Frozen);
    for _ in 0..3 {
        let (got, want) = (step(&mut gpu, &pictures), step(&mut own, &pictures));
        assert!((got - want).abs() < 1e-4 * want, "{got} {want}");
    }
    let before = values(&graph);
    let after = gpu.parameters().unwrap();
    for (param, before) in graph.params.iter().zip(&before) {
        let moved = find(&after, &param.name) != before.as_slice();
        assert_eq!(moved, param.kind == Kind::Weight, "{}", param.name);
        assert!(off(find(&after, &param.name), find(&own.parameters().unwrap(), &param.name)) < 1e-4);
    }
}

#[test]
fn a_run_goes_on_on_the_other_device() {
    let graph = tail();
    let pictures = pictures(&graph);
    let (mut own, mut gpu) = both(&graph, BatchNorm::Train);
    step(&mut gpu, &pictures);
    own.restore(&gpu.parameters().unwrap(), &gpu.velocities().unwrap()).unwrap();
    let (got, want) = (step(&mut gpu, &pictures), step(&mut own, &pictures));
    assert!((got - want).abs() < 1e-4 * want, "{got} {want}");
    for velocity in own.velocities().unwrap() {
        assert!(off(find(&gpu.velocities().unwrap(), &velocity.name), &velocity.data) < 1e-3, "{}", velocity.name);
    }
    let kept = gpu.parameters().unwrap();
    gpu.restore(&kept, &gpu.velocities().unwrap()).unwrap();
    assert!(gpu.parameters().unwrap() == kept);
}

#[test]
fn what_does_not_fit_is_refused() {
    let graph = tail();
    let mut short = values(&graph);
    short.pop();
    assert!(GpuLearner::new(&graph, &short, BatchNorm::Train, &Device::flex()).is_err());
    let (_, mut gpu) = both(&graph, BatchNorm::Train);
    assert!(gpu.forward(&[1.0; 3], 1).is_err());
    assert!(gpu.backward(&[1.0]).is_err(), "no forward pass yet");
    let mut parameters = gpu.parameters().unwrap();
    parameters[0].data.pop();
    let name = parameters[0].name.clone();
    assert!(gpu.restore(&parameters, &[]).unwrap_err().to_string().contains(&name));
}
