//! Where a run stands, on disk: safetensors with the parameters, the velocities and, as text, the position.
//!
//! Numbers of the position are written bit by bit, so that a run that goes on makes the same decisions.

use std::collections::BTreeMap;
use std::path::Path;

use perface::atomic::{self, Overwrite};
use perface::file::read_limited;
use perface::{Error, Result};

use crate::learner::{Learner, VELOCITY};
use crate::trainer::{Epoch, Position};
use crate::weights::safetensors::SafeTensors;
use crate::weights::{MAX_FILE_BYTES, NamedTensor};

/// A checkpoint that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Parameters and running statistics.
    pub parameters: Vec<NamedTensor>,
    /// Velocities; none before the first step.
    pub velocities: Vec<NamedTensor>,
    /// Where the run stands.
    pub position: Position,
    /// What the run was started with; a run with other settings must not go on from it.
    pub settings: String,
}

impl Checkpoint {
    /// Of a learner as it is.
    ///
    /// # Errors
    /// What the learner returns.
    pub fn of(learner: &dyn Learner, position: &Position, settings: &str) -> Result<Self> {
        Ok(Self {
            parameters: learner.parameters()?,
            velocities: learner.velocities()?,
            position: position.clone(),
            settings: settings.to_owned(),
        })
    }

    /// Write it, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let velocities = self
            .velocities
            .iter()
            .map(|velocity| NamedTensor { name: format!("{VELOCITY}{}", velocity.name), ..velocity.clone() });
        let position = &self.position;
        let epochs: Vec<String> = position
            .epochs
            .iter()
            .map(|epoch| [epoch.loss, epoch.active, epoch.val_accuracy].map(bits).join(" "))
            .collect();
        let metadata = [
            ("settings", self.settings.clone()),
            ("epochs", epochs.join("\n")),
            ("batch", position.batch.to_string()),
            ("sums", [position.loss_sum, position.active_sum].map(bits).join(" ")),
            ("best_epoch", position.best_epoch.map_or(String::new(), |best| best.to_string())),
        ];
        let tensors = self.parameters.iter().cloned().chain(velocities).collect();
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        atomic::write(path, &SafeTensors { tensors, metadata }.bytes()?, Overwrite::Always)
    }

    /// Read one.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] if it is cut or no checkpoint.
    pub fn read(path: &Path) -> Result<Self> {
        let SafeTensors { tensors, metadata } = SafeTensors::read(path, &read_limited(path, MAX_FILE_BYTES)?)?;
        let (velocities, parameters): (Vec<_>, Vec<_>) =
            tensors.into_iter().partition(|tensor| tensor.name.starts_with(VELOCITY));
        let velocities = velocities.into_iter().map(|mut tensor| {
            tensor.name = tensor.name.split_off(VELOCITY.len());
            tensor
        });
        let position = position(&metadata).ok_or_else(|| Error::Malformed {
            path: path.to_owned(),
            reason: "is no checkpoint of a training run".to_owned(),
        })?;
        let settings = metadata.get("settings").cloned().unwrap_or_default();
        Ok(Self { parameters, velocities: velocities.collect(), position, settings })
    }
}

fn bits(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

fn position(metadata: &BTreeMap<String, String>) -> Option<Position> {
    let numbers = |text: &str| -> Option<Vec<f64>> {
        text.split(' ').map(|hex| u64::from_str_radix(hex, 16).ok().map(f64::from_bits)).collect()
    };
    let epoch = |line: &str| match numbers(line)?.as_slice() {
        [loss, active, val_accuracy] => Some(Epoch { loss: *loss, active: *active, val_accuracy: *val_accuracy }),
        _ => None,
    };
    let epochs: Vec<Epoch> = metadata.get("epochs")?.lines().map(epoch).collect::<Option<_>>()?;
    let sums = numbers(metadata.get("sums")?)?;
    let [loss_sum, active_sum] = sums.as_slice() else { return None };
    let best_epoch = match metadata.get("best_epoch")?.as_str() {
        "" => None,
        text => Some(text.parse().ok().filter(|best: &usize| *best < epochs.len())?),
    };
    let batch = metadata.get("batch")?.parse().ok()?;
    Some(Position { epochs, batch, loss_sum: *loss_sum, active_sum: *active_sum, best_epoch })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let tensor = |value: f32| NamedTensor { name: "w".to_owned(), shape: vec![2], data: vec![value, -value] };
        let epoch = Epoch { loss: 0.1 + 0.2, active: 1.0 / 3.0, val_accuracy: f64::NAN };
        Checkpoint {
            parameters: vec![tensor(1.0)],
            velocities: vec![tensor(f32::MIN_POSITIVE)],
            position: Position {
                epochs: vec![epoch; 2],
                batch: 7,
                loss_sum: 1e-300,
                active_sum: 0.7,
                best_epoch: Some(1),
            },
            settings: "{\"lr\": 0.01}".to_owned(),
        }
    }

    #[test]
    fn every_bit_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        for checkpoint in [sample(), Checkpoint { parameters: sample().parameters, ..Default::default() }] {
            checkpoint.write(&path).unwrap();
            // NaN differs from itself, so the text is compared.
            assert_eq!(format!("{:?}", Checkpoint::read(&path).unwrap()), format!("{checkpoint:?}"));
        }
    }

    #[test]
    fn a_cut_checkpoint_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        sample().write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for len in [0, 7, 100, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..len]).unwrap();
            assert!(Checkpoint::read(&path).unwrap_err().to_string().contains("last.safetensors"));
        }
        let foreign = SafeTensors { tensors: sample().parameters, ..Default::default() };
        std::fs::write(&path, foreign.bytes().unwrap()).unwrap();
        assert!(Checkpoint::read(&path).unwrap_err().to_string().contains("no checkpoint"));
    }
}
