//! May weights be used for what somebody has in mind?
//!
//! A licence is read by its name. What is not known to allow commercial use does not allow it.

use serde::{Deserialize, Serialize};

use super::card::ModelCard;
use crate::error::{Error, Result};

/// What results are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// Anything, selling included.
    #[default]
    Commercial,
    /// Research that earns nothing.
    Research,
}

/// Licences that allow commercial use, by the beginning of their names.
const FREE: [&str; 10] =
    ["mit", "apache-2.0", "apache 2.0", "bsd", "cc0", "cc by 4.0", "cc-by-4.0", "public domain", "isc", "unlicense"];

/// Words that restrict what would else be free.
const RESTRICTIONS: [&str; 3] = ["non-commercial", "noncommercial", "research"];

/// Whether `licence` allows commercial use, as far as its name says.
pub fn allows_commercial(licence: &str) -> bool {
    let licence = licence.to_lowercase();
    FREE.iter().any(|free| licence.starts_with(free)) && !RESTRICTIONS.iter().any(|word| licence.contains(word))
}

/// Refuse weights whose licence does not allow `purpose`.
///
/// # Errors
/// [`Error::Usage`] that names the network, its licence and the remedy.
pub fn check<'a>(cards: impl IntoIterator<Item = &'a ModelCard>, purpose: Use) -> Result<()> {
    let refused = cards.into_iter().find(|card| purpose == Use::Commercial && !allows_commercial(&card.licence));
    match refused {
        None => Ok(()),
        Some(card) => Err(Error::Usage(format!(
            "{} must not be used commercially, as far as is known: its licence is \"{}\". With --use research it runs; \
             results are then for research alone",
            card.name, card.licence
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::builtin;
    use crate::swap::neural::card;

    #[test]
    fn what_is_fetched_by_itself_is_free_and_what_engines_need_is_not() {
        for builtin in builtin::models() {
            assert!(allows_commercial(&builtin.card.licence), "{}: {}", builtin.card.name, builtin.card.licence);
        }
        for name in card::part_names() {
            assert!(!allows_commercial(&card::part(name).unwrap().licence), "{name}");
        }
    }

    #[test]
    fn the_unknown_is_not_free() {
        for licence in ["unknown", "", "CC BY-NC 4.0", "mine", "MIT for code, weights for research", "CC BY-SA"] {
            assert!(!allows_commercial(licence), "{licence}");
        }
    }

    #[test]
    fn a_refusal_names_network_licence_and_remedy() {
        let part = card::part("inswapper-128").unwrap();
        let reason = check([&part], Use::Commercial).unwrap_err().to_string();
        assert!(
            reason.contains("inswapper-128") && reason.contains("non-commercial") && reason.contains("--use research")
        );
        assert!(check([&part], Use::Research).is_ok());
    }
}
