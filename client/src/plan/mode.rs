//! In which arithmetic a job is computed, and whether enough providers compute it.

use std::collections::BTreeMap;

use anyhow::{bail, Context as _, Result};
use attune_chain_client::types::ProviderInfo;
use attune_primitives::{
    job::{ArithmeticMode, ExecutionClass},
    provider::ProviderProfile,
};

use super::Wishes;
use crate::{
    arithmetic::{self, Wanted},
    output::clean_bytes,
};

/// The wished arithmetic, in which someone must train and someone else audit.
pub(super) fn choose_mode(wishes: &Wishes, providers: &[ProviderInfo]) -> Result<ArithmeticMode> {
    let chosen = wishes.provider.map(|wanted| {
        let found = providers.iter().find(|provider| provider.account == wanted);
        found.with_context(|| format!("{wanted} is not a registered provider; see `attune providers list`"))
    });
    let chosen = chosen.transpose()?;
    let active: Vec<&ProviderProfile> =
        providers.iter().filter(|provider| provider.active).map(|provider| &provider.profile).collect();
    if active.is_empty() {
        bail!("no provider is registered that takes work; see `attune providers list`");
    }
    let mut classes: BTreeMap<&ExecutionClass, usize> = BTreeMap::new();
    for profile in &active {
        *classes.entry(&profile.class).or_default() += 1;
    }
    let mode = match &wishes.arithmetic {
        Wanted::Exact(base) => arithmetic::exact(*base),
        Wanted::Class(Some(name)) => {
            let bounded = name.clone().into_bytes().try_into();
            let class = bounded.map_err(|_| anyhow::anyhow!("an execution class has at most 64 bytes"))?;
            ArithmeticMode::ClassExact { class }
        }
        Wanted::Class(None) => {
            let of_most =
                || classes.iter().max_by_key(|(_, count)| **count).map(|(class, _)| (*class).clone());
            let class = chosen.map(|provider| provider.profile.class.clone()).or_else(of_most);
            ArithmeticMode::ClassExact { class: class.expect("someone is active, qed") }
        }
    };
    let able = active.iter().filter(|profile| profile.computes(&mode)).count();
    if able < 2 {
        bail!("{}", too_few(&mode, able, active.len(), &classes));
    }
    if let Some(provider) = chosen.filter(|provider| !provider.profile.computes(&mode)) {
        bail!(
            "{} doesn't compute {}; it is of class {} and computes {} of exact arithmetic. Choose another --provider, or \
             --arithmetic class",
            clean_bytes(&provider.profile.name),
            arithmetic::show(&mode),
            clean_bytes(&provider.profile.class),
            arithmetic::exact_of(&provider.profile)
        );
    }
    Ok(mode)
}

fn too_few(
    mode: &ArithmeticMode,
    able: usize,
    active: usize,
    classes: &BTreeMap<&ExecutionClass, usize>,
) -> String {
    let classes: Vec<String> =
        classes.iter().map(|(class, count)| format!("{} ({count})", clean_bytes(class))).collect();
    let other = match mode {
        ArithmeticMode::Exact { .. } => {
            "take --arithmetic class, or wait until more providers have a worker that computes it"
        }
        ArithmeticMode::ClassExact { .. } => "take another --class, or exact arithmetic, which has none",
    };
    format!(
        "{} is computed by {able} of {active} provider(s) that take work; one must train and at least one other audit: \
         {other}. Classes with providers: {}",
        arithmetic::show(mode),
        classes.join(", ")
    )
}
