//! The graph in double precision, written down as the formulas stand: slow, and nothing in common with the kernels.

use perface_conv::{ConvSpec, Graph, Mode, Op, Shape};

/// Numbers in (−1, 1) that depend on `seed` alone.
pub fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

pub struct Plain<'a> {
    graph: &'a Graph,
    pub params: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
    /// Mean and inverse deviation of each normalisation node.
    statistics: Vec<Vec<[f64; 2]>>,
    batch: usize,
    mode: Mode,
}

impl<'a> Plain<'a> {
    pub fn new(graph: &'a Graph, get: impl Fn(&str) -> Vec<f32>) -> Self {
        let double = |name: &str| get(name).into_iter().map(f64::from).collect();
        let params = graph.params.iter().map(|param| double(&param.name)).collect();
        let nodes = graph.nodes.len();
        Self { graph, params, values: vec![vec![]; nodes], statistics: vec![vec![]; nodes], batch: 0, mode: Mode::Eval }
    }

    pub fn forward(&mut self, input: &[f32], batch: usize, mode: Mode) -> Vec<f64> {
        (self.batch, self.mode) = (batch, mode);
        for id in 0..self.graph.nodes.len() {
            let node = &self.graph.nodes[id];
            let x = node.inputs.first().map_or(&[][..], |&i| &self.values[i]);
            let from = node.inputs.first().map_or(node.shape, |&i| self.graph.nodes[i].shape);
            let value = match &node.op {
                Op::Input => input.iter().map(|&v| f64::from(v)).collect(),
                Op::Conv { weight, bias, spec } => {
                    let mut y = vec![0.0; batch * node.shape.len()];
                    let w = &self.params[*weight];
                    taps(*spec, from, node.shape, batch, |i, k, o| y[o] += x[i] * w[k]);
                    if let Some(bias) = bias {
                        each(node.shape, batch, |at, c| y[at] += self.params[*bias][c]);
                    }
                    y
                }
                Op::BatchNorm { weight, bias, running_mean, running_var, eps, momentum } => {
                    let (mut mean, mut var) = (vec![0.0; from.channels], vec![0.0; from.channels]);
                    let samples = (batch * from.height * from.width) as f64;
                    if mode == Mode::Train {
                        each(from, batch, |at, c| mean[c] += x[at] / samples);
                        each(from, batch, |at, c| var[c] += (x[at] - mean[c]).powi(2) / samples);
                    } else {
                        mean.copy_from_slice(&self.params[*running_mean]);
                        var.copy_from_slice(&self.params[*running_var]);
                    }
                    let inverse: Vec<f64> = var.iter().map(|v| 1.0 / (v + f64::from(*eps)).sqrt()).collect();
                    let (gamma, beta) = (&self.params[*weight], &self.params[*bias]);
                    let mut y = vec![0.0; x.len()];
                    each(from, batch, |at, c| y[at] = (x[at] - mean[c]) * inverse[c] * gamma[c] + beta[c]);
                    self.statistics[id] = mean.iter().zip(&inverse).map(|(m, i)| [*m, *i]).collect();
                    if mode == Mode::Train {
                        let share = f64::from(*momentum);
                        for c in 0..from.channels {
                            let unbiased = var[c] * samples / (samples - 1.0);
                            self.params[*running_mean][c] += share * (mean[c] - self.params[*running_mean][c]);
                            self.params[*running_var][c] += share * (unbiased - self.params[*running_var][c]);
                        }
                    }
                    y
                }
                Op::PRelu { weight } => {
                    let mut y = x.to_vec();
                    each(from, batch, |at, c| y[at] = x[at].max(0.0) + self.params[*weight][c] * x[at].min(0.0));
                    y
                }
                Op::Add => x.iter().zip(&self.values[node.inputs[1]]).map(|(a, b)| a + b).collect(),
                Op::Dropout { .. } | Op::Flatten => x.to_vec(),
                Op::Linear { weight, bias } => {
                    let mut y = vec![0.0; batch * node.shape.channels];
                    for (at, y) in y.iter_mut().enumerate() {
                        let (image, o) = (at / node.shape.channels, at % node.shape.channels);
                        *y = bias.map_or(0.0, |bias| self.params[bias][o]);
                        for i in 0..from.len() {
                            *y += x[image * from.len() + i] * self.params[*weight][o * from.len() + i];
                        }
                    }
                    y
                }
            };
            self.values[id] = value;
        }
        self.values.last().unwrap().clone()
    }

    /// Gradients of all parameters.
    pub fn backward(&self, gradient: &[f32]) -> Vec<Vec<f64>> {
        let batch = self.batch;
        let mut params: Vec<Vec<f64>> = self.params.iter().map(|p| vec![0.0; p.len()]).collect();
        let mut nodes: Vec<Vec<f64>> = self.values.iter().map(|v| vec![0.0; v.len()]).collect();
        *nodes.last_mut().unwrap() = gradient.iter().map(|&g| f64::from(g)).collect();
        for id in (1..nodes.len()).rev() {
            let node = &self.graph.nodes[id];
            let g = std::mem::take(&mut nodes[id]);
            let from = self.graph.nodes[node.inputs[0]].shape;
            let x = &self.values[node.inputs[0]];
            let mut dx = vec![0.0; x.len()];
            match &node.op {
                Op::Conv { weight, bias, spec } => {
                    let w = &self.params[*weight];
                    taps(*spec, from, node.shape, batch, |i, k, o| {
                        dx[i] += g[o] * w[k];
                        params[*weight][k] += g[o] * x[i];
                    });
                    if let Some(bias) = bias {
                        each(node.shape, batch, |at, c| params[*bias][c] += g[at]);
                    }
                }
                Op::BatchNorm { weight, bias, .. } => {
                    let (statistics, gamma) = (&self.statistics[id], &self.params[*weight]);
                    let normal = |at: usize, c: usize| (x[at] - statistics[c][0]) * statistics[c][1];
                    let samples = (batch * from.height * from.width) as f64;
                    each(from, batch, |at, c| {
                        params[*weight][c] += g[at] * normal(at, c);
                        params[*bias][c] += g[at];
                    });
                    each(from, batch, |at, c| {
                        let mut d = g[at];
                        if self.mode == Mode::Train {
                            d -= params[*bias][c] / samples + normal(at, c) * params[*weight][c] / samples;
                        }
                        dx[at] = d * gamma[c] * statistics[c][1];
                    });
                }
                Op::PRelu { weight } => each(from, batch, |at, c| {
                    dx[at] = if x[at] > 0.0 { g[at] } else { g[at] * self.params[*weight][c] };
                    params[*weight][c] += g[at] * x[at].min(0.0);
                }),
                Op::Add => {
                    nodes[node.inputs[1]].iter_mut().zip(&g).for_each(|(d, g)| *d += g);
                    dx.copy_from_slice(&g);
                }
                Op::Linear { weight, bias } => {
                    for (at, g) in g.iter().enumerate() {
                        let (image, o) = (at / node.shape.channels, at % node.shape.channels);
                        for i in 0..from.len() {
                            dx[image * from.len() + i] += g * self.params[*weight][o * from.len() + i];
                            params[*weight][o * from.len() + i] += g * x[image * from.len() + i];
                        }
                        if let Some(bias) = bias {
                            params[*bias][o] += g;
                        }
                    }
                }
                _ => dx.copy_from_slice(&g),
            }
            nodes[node.inputs[0]].iter_mut().zip(&dx).for_each(|(d, dx)| *d += dx);
        }
        params
    }
}

/// Index and channel of every number of a batch.
fn each(shape: Shape, batch: usize, mut visit: impl FnMut(usize, usize)) {
    let pixels = shape.height * shape.width;
    (0..batch * shape.len()).for_each(|at| visit(at, at / pixels % shape.channels));
}

/// Indices of input, weight and output of every product of a convolution.
fn taps(spec: ConvSpec, from: Shape, to: Shape, batch: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let (group_in, group_out) = (from.channels / spec.groups, to.channels / spec.groups);
    for image in 0..batch {
        for o in 0..to.channels {
            for y in 0..to.height {
                for x in 0..to.width {
                    for i in 0..group_in {
                        for ky in 0..spec.kernel {
                            for kx in 0..spec.kernel {
                                let (iy, ix) = (y * spec.stride + ky, x * spec.stride + kx);
                                let (Some(iy), Some(ix)) = (iy.checked_sub(spec.pad), ix.checked_sub(spec.pad)) else {
                                    continue;
                                };
                                if iy < from.height && ix < from.width {
                                    let channel = o / group_out * group_in + i;
                                    visit(
                                        ((image * from.channels + channel) * from.height + iy) * from.width + ix,
                                        ((o * group_in + i) * spec.kernel + ky) * spec.kernel + kx,
                                        ((image * to.channels + o) * to.height + y) * to.width + x,
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
