//! Times training steps and inference, one at a time as `tools/bench_train.py` asks for them, with the share of each kernel.
//!
//! `echo "step step eval" | tr ' ' '\n' | cargo run --release -p perface-conv --example step_time -- r50 24 2`
//! (network, batch, threads). Each line of input is `step`, `eval`, `peak` or `copy`; each line of output one JSON record, with
//! milliseconds, 10⁹ operations and 10⁹ bytes of each kind of kernel.

use perface_conv::{Level, Mode, Net, NetOptions, Sgd, Work, measure_bandwidth, measure_peak, nets};
use std::io::BufRead;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, otherwise: usize| args.get(i).map_or(Ok(otherwise), |text| text.parse::<usize>());
    let name = args.first().map_or("r50", String::as_str);
    let (batch, threads) = (number(1, 24)?, number(2, 2)?);
    let level = match args.get(3).map(String::as_str) {
        Some("avx2") => Some(Level::Avx2),
        Some("portable") => Some(Level::Portable),
        _ => None,
    };
    let graph = nets::by_name(name).ok_or("no such network")?;
    let width = graph.output_shape().len();
    let mut net = Net::new(graph, NetOptions { threads, level, seed: 0 })?;
    let pictures: Vec<f32> = (0..batch * 3 * 112 * 112).map(|i| ((i * 7919 % 1009) as f32 / 504.5) - 1.0).collect();
    let gradient: Vec<f32> = (0..batch * width).map(|i| ((i * 31 % 101) as f32 - 50.0) * 1e-5).collect();
    for line in std::io::stdin().lock().lines() {
        let (start, cpu) = (Instant::now(), cpu_ms());
        let (mut peak, mut copy) = (0.0, 0.0);
        match line?.trim() {
            "step" => {
                net.forward(&pictures, batch, Mode::Train)?;
                net.backward(&gradient)?;
                net.sgd(Sgd { learning_rate: 1e-4, ..Default::default() });
            }
            "eval" => {
                net.forward(&pictures, batch, Mode::Eval)?;
            }
            "peak" => peak = measure_peak(net.level(), threads)?,
            "copy" => copy = measure_bandwidth(net.level(), threads)?,
            other => return Err(format!("{other}: not a command").into()),
        }
        let (ms, cpu) = (start.elapsed().as_secs_f64() * 1e3, cpu_ms() - cpu);
        let t = net.take_timings();
        let kernel =
            |name: &str, work: Work| format!("\"{name}\": [{:.1}, {:.3}, {:.4}]", work.ms, work.gflop, work.gbyte);
        let kernels = [
            kernel("forward", t.forward),
            kernel("input_gradient", t.input_gradient),
            kernel("weight_gradient", t.weight_gradient),
            kernel("depthwise", t.depthwise),
            kernel("pointwise", t.pointwise),
        ];
        println!(
            "{{\"ms\": {ms:.1}, \"cpu_ms\": {cpu:.0}, \"peak_gflops\": {peak:.1}, \"copy_gbytes\": {copy:.2}, \
             \"mib\": {:.0}, \"level\": \"{:?}\", \"kernels\": {{{}}}}}",
            peak_mib(),
            net.level(),
            kernels.join(", "),
        );
    }
    Ok(())
}

/// Processor time of the whole process, from Linux; a busy machine stretches wall time, not this.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |i: usize| fields.get(i).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) * 10.0
}

/// Most memory the process ever held, from Linux; 0 elsewhere.
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()).map_or(0.0, |kib| kib / 1024.0)
}
