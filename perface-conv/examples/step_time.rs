//! Time of training steps and of inference: `cargo run --release -p perface-conv --example step_time -- r50 24 5 2`
//! (network, batch, steps, threads). One JSON line on standard output; `tools/bench_train.py` puts PyTorch beside it.

use perface_conv::{Mode, Net, NetOptions, Sgd, nets};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, otherwise: usize| args.get(i).map_or(Ok(otherwise), |text| text.parse::<usize>());
    let name = args.first().map_or("r50", String::as_str);
    let (batch, steps, threads) = (number(1, 24)?, number(2, 5)?, number(3, 2)?);
    let graph = nets::by_name(name).ok_or("no such network")?;
    let width = graph.output_shape().len();
    let mut net = Net::new(graph, NetOptions { threads, ..Default::default() })?;
    let pictures: Vec<f32> = (0..batch * 3 * 112 * 112).map(|i| ((i * 7919 % 1009) as f32 / 504.5) - 1.0).collect();
    let gradient: Vec<f32> = (0..batch * width).map(|i| ((i * 31 % 101) as f32 - 50.0) * 1e-5).collect();
    let mut times = [vec![], vec![], vec![], vec![], vec![]];
    let ms = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
    let mut cpu = [0.0; 3];
    for step in 0..=steps {
        if step == 1 {
            cpu[0] = cpu_ms();
        }
        let start = Instant::now();
        net.forward(&pictures, batch, Mode::Train)?;
        let forward = ms(start);
        net.backward(&gradient)?;
        let backward = ms(start) - forward;
        net.sgd(Sgd { learning_rate: 1e-4, ..Default::default() });
        let all = ms(start);
        let sgd = all - forward - backward;
        if step > 0 {
            times.iter_mut().zip([all, forward, backward, sgd]).for_each(|(times, time)| times.push(time));
        }
    }
    cpu[1] = cpu_ms();
    for step in 0..=steps {
        let start = Instant::now();
        net.forward(&pictures, batch, Mode::Eval)?;
        if step > 0 {
            times[4].push(ms(start));
        }
    }
    cpu[2] = cpu_ms();
    let step_cpu = (cpu[1] - cpu[0]) / steps as f64;
    let eval_cpu = (cpu[2] - cpu[1]) / (steps + 1) as f64;
    let [all, forward, backward, sgd, eval] = times.map(median);
    println!(
        "{{\"engine\": \"perface\", \"level\": \"{:?}\", \"net\": \"{name}\", \"batch\": {batch}, \"threads\": {threads}, \
         \"step_ms\": {all:.1}, \"forward_ms\": {forward:.1}, \"backward_ms\": {backward:.1}, \"sgd_ms\": {sgd:.1}, \
         \"eval_ms\": {eval:.1}, \"step_cpu_ms\": {step_cpu:.0}, \"eval_cpu_ms\": {eval_cpu:.0}, \"peak_mib\": {:.0}}}",
        net.level(),
        peak_mib()
    );
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
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
