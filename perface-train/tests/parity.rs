//! The trainer against PyTorch: forward passes, running statistics and ten steps of SGD, by `tools/train_reference.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use perface::model::store::Store;
use perface::model::{Runtime, Tensor};
use perface_conv::{Graph, Kind, Mode, Net, NetOptions, Op, nets};
use perface_train::export;
use perface_train::learner::{Learner, Sgd};
use perface_train::loss::{LossOptions, batch_loss};
use perface_train::network::{BatchNorm, NetworkLearner};
use serde::Deserialize;

const PICTURES: usize = 6;

#[derive(Deserialize)]
struct Reference {
    eval: Vec<Vec<f32>>,
    train: Vec<Vec<f32>>,
    running: BTreeMap<String, Vec<f32>>,
    losses: Vec<f64>,
}

fn reference(net: &str, path: &str) -> Reference {
    let all: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    serde_json::from_value(all[net].clone()).unwrap()
}

/// SplitMix64 of FNV-1a(name) + k, in [−1, 1): the formula of the script.
fn uniform(name: &str, count: usize) -> Vec<f64> {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let value = |k: usize| {
        let mut z = seed.wrapping_add((k as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
    };
    (0..count).map(value).collect()
}

fn values(graph: &Graph) -> Vec<Vec<f32>> {
    let slopes: Vec<usize> =
        graph.nodes.iter().filter_map(|n| if let Op::PRelu { weight } = n.op { Some(weight) } else { None }).collect();
    let one = |(id, param): (usize, &perface_conv::Param)| -> Vec<f32> {
        let name = param.name.as_str();
        let fan_in: usize = param.shape.iter().skip(1).product();
        let scaled = |u: f64| match () {
            () if param.shape.len() > 1 => u * (3.0 / fan_in as f64).sqrt(),
            () if name.ends_with("running_var") => 1.0 + 0.5 * u,
            () if name.ends_with("running_mean") || name.ends_with("bias") => 0.1 * u,
            () if param.kind == Kind::Fixed => 1.0,
            () if slopes.contains(&id) => 0.25 + 0.1 * u,
            () => 1.0 + 0.1 * u,
        };
        uniform(name, param.len()).into_iter().map(|u| scaled(u) as f32).collect()
    };
    graph.params.iter().enumerate().map(one).collect()
}

fn pictures() -> Vec<f32> {
    uniform("pictures", PICTURES * 3 * 112 * 112).into_iter().map(|u| u as f32).collect()
}

/// Largest difference of the first values of each row, against the size of the values.
fn off(got: &[f32], want: &[Vec<f32>]) -> f32 {
    let width = got.len() / want.len();
    let largest = want.iter().flatten().fold(1.0f32, |most, v| most.max(v.abs()));
    let rows = got.chunks(width).zip(want);
    rows.flat_map(|(got, want)| got.iter().zip(want)).map(|(g, w)| (g - w).abs()).fold(0.0, f32::max) / largest
}

/// Of the networks that are small enough for every run of the tests.
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/reference/train.json");

fn check(name: &str, path: &str) {
    let reference = reference(name, path);
    let graph = nets::by_name(name).unwrap();
    let (values, pictures) = (values(&graph), pictures());
    let mut net = Net::new(graph.clone(), NetOptions::default()).unwrap();
    for (param, values) in graph.params.iter().zip(&values) {
        net.set(&param.name, values).unwrap();
    }
    let evaluated = net.forward(&pictures, PICTURES, Mode::Eval).unwrap().to_vec();
    eprintln!("{name} eval: {:.1e}", off(&evaluated, &reference.eval));
    assert!(off(&evaluated, &reference.eval) < 1e-4, "{name} eval: {}", off(&evaluated, &reference.eval));
    let exported = export::network(&graph, &values).unwrap();
    let store = Store::open(None, false, Arc::new(|_| {})).unwrap();
    let own = Runtime::Own { others: Box::new(Runtime::Rten) };
    for runtime in [Runtime::Rten, own].into_iter().chain(store.runtime("ort").ok()) {
        let input = Tensor::new(vec![PICTURES, 3, 112, 112], pictures.clone());
        let output = runtime.load(name, exported.clone()).unwrap().run(&[input]).unwrap().remove(0);
        let off = off(output.data(), &reference.eval);
        eprintln!("{name} as ONNX in {}: {off:.1e}", runtime.name());
        assert!(off < 1e-4, "{name} as ONNX in {}: {off}", runtime.name());
    }
    let trained = net.forward(&pictures, PICTURES, Mode::Train).unwrap().to_vec();
    eprintln!("{name} train: {:.1e}", off(&trained, &reference.train));
    assert!(off(&trained, &reference.train) < 1e-4, "{name} train: {}", off(&trained, &reference.train));
    let mut worst = 0f32;
    for (key, want) in &reference.running {
        let got = net.get(key).unwrap();
        for (got, want) in [got[0], got[got.len() - 1]].iter().zip(want) {
            worst = worst.max((got - want).abs() / want.abs().max(1.0));
            assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{key}: {got} {want}");
        }
    }
    eprintln!("{name} running statistics: {worst:.1e}");
    let mut worst = 0f64;
    let mut learner = NetworkLearner::new(&graph, &values, BatchNorm::Train).unwrap();
    let sgd = Sgd { learning_rate: 0.001, momentum: 0.9, weight_decay: 5e-4, spare_vectors: false };
    for (step, want) in reference.losses.iter().enumerate() {
        let embeddings = learner.forward(&pictures, PICTURES).unwrap();
        let options = LossOptions { margin: 2.0, anchor: 0.0 };
        let loss = batch_loss(&embeddings, learner.width(), &[1.0, 1.0], &[], options);
        worst = worst.max((loss.value - want).abs() / want);
        assert!((loss.value - want).abs() <= 1e-3 * want, "{name} step {step}: {} {want}", loss.value);
        learner.backward(&loss.gradient).unwrap();
        learner.step(&sgd);
    }
    eprintln!("{name} losses of {} steps: {worst:.1e}", reference.losses.len());
}

#[test]
fn iresnet_18_agrees_with_pytorch() {
    check("r18", REFERENCE);
}

#[test]
fn mobilefacenet_agrees_with_pytorch() {
    check("mbf", REFERENCE);
}

/// By hand, since it takes a minute: `python3 tools/train_reference.py r50.json --nets r50`, then
/// `PERFACE_TRAIN_REFERENCE=r50.json cargo test --release -p perface-train --test parity -- --ignored --nocapture`.
#[test]
#[ignore = "needs a reference that is made by hand"]
fn iresnet_50_agrees_with_pytorch() {
    match std::env::var("PERFACE_TRAIN_REFERENCE") {
        Ok(path) => check("r50", &path),
        Err(_) => eprintln!("skipped: PERFACE_TRAIN_REFERENCE is not set"),
    }
}
