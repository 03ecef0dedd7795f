//! One training pass on given numbers, for `tools/gradient_precision.py`: all parameters in the order of the graph, pictures and the
//! output's gradient go in as little-endian f32, the gradients of all weights come out (zeros for buffers), output first.
//!
//! `cargo run --release -p perface-conv --example gradients -- r18 8 names` prints the parameters' names instead.

use perface_conv::{Mode, Net, NetOptions, nets};
use std::io::{Read, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let name = args.first().ok_or("which network?")?;
    let batch: usize = args.get(1).ok_or("how many pictures?")?.parse()?;
    let graph = nets::by_name(name).ok_or("no such network")?;
    let params = graph.params.clone();
    if args.len() > 2 {
        params.iter().for_each(|param| println!("{}", param.name));
        return Ok(());
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    let numbers: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    let mut rest = numbers.as_slice();
    let mut take = |count: usize| -> Result<Vec<f32>, String> {
        let (first, after) = rest.split_at_checked(count).ok_or("too few numbers")?;
        rest = after;
        Ok(first.to_vec())
    };
    let (input, output) = (graph.input_shape().len(), graph.output_shape().len());
    let mut net = Net::new(graph, NetOptions::default())?;
    for param in &params {
        net.set(&param.name, &take(param.len())?)?;
    }
    let (pictures, gradient) = (take(batch * input)?, take(batch * output)?);
    let mut result = net.forward(&pictures, batch, Mode::Train)?.to_vec();
    net.backward(&gradient)?;
    for param in &params {
        result.extend(net.gradient(&param.name)?.unwrap_or_else(|| vec![0.0; param.len()]));
    }
    let bytes: Vec<u8> = result.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::io::stdout().lock().write_all(&bytes)?;
    Ok(())
}
