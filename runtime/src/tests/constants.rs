//! Every constant stands in docs/economy.md, with its value and its reason.

use std::collections::BTreeMap;

use crate::{units, Runtime};
use codec::Decode;
use frame_metadata::{v16::RuntimeMetadataV16, RuntimeMetadata, RuntimeMetadataPrefixed};
use scale_info::{PortableRegistry, TypeDef, TypeDefPrimitive};
use sp_io::TestExternalities;

/// What stands in the list, as a line of the table begins: the constant and its value on a public network.
const DOCUMENT: &str = include_str!("../../../docs/economy.md");

/// Constants that are no choice of this runtime's.
const NO_CHOICE: &[(&str, &str)] = &[
    ("System.Version", "says what runtime it is"),
    ("ProviderStaking.PalletId", "names the account of pools"),
    ("Treasury.PalletId", "names the treasury's account"),
    ("Treasury.pot_account", "follows from the name"),
    ("Utility.batched_calls_limit", "follows from the size of a call"),
    ("System.DbWeight", "the SDK's figures for ParityDB"),
    ("System.BlockWeights", "a structure: the table of blocks has the time and the share"),
    ("System.BlockLength", "a structure: the table of blocks has the bytes and the share"),
    ("VoterList.BagThresholds", "200 numbers: the table of bounds says how they are made"),
];

#[test]
fn every_constant_stands_in_the_documentation_with_its_value() {
    let mut missing = Vec::new();
    for (name, value) in TestExternalities::new_empty().execute_with(constants) {
        let line = format!("| `{name}` | {value} | ");
        let reason = DOCUMENT.lines().find_map(|found| found.strip_prefix(&line));
        if reason.is_none_or(|reason| reason.len() < 4) {
            missing.push(line);
        }
    }
    assert!(missing.is_empty(), "docs/economy.md has no such lines:\n{}", missing.join("\n"));
}

/// The constants of all pallets and their values, as a reader wants them.
fn constants() -> BTreeMap<String, String> {
    let metadata = Runtime::metadata_at_version(16).expect("the runtime makes this version");
    let metadata = RuntimeMetadataPrefixed::decode(&mut &metadata[..]).expect("it is metadata");
    let RuntimeMetadata::V16(RuntimeMetadataV16 { types, pallets, .. }) = metadata.1 else {
        unreachable!("it was asked for")
    };
    let mut found = BTreeMap::new();
    for pallet in pallets {
        for constant in pallet.constants {
            let name = format!("{}.{}", pallet.name, constant.name);
            if NO_CHOICE.iter().all(|(listed, _)| *listed != name) {
                found.insert(name, shown(&types, constant.ty.id, &constant.value));
            }
        }
    }
    found
}

/// A value in words: tokens, percent, numbers in groups of three.
fn shown(types: &PortableRegistry, id: u32, value: &[u8]) -> String {
    let found = types.resolve(id).expect("the type is there");
    match &found.type_def {
        TypeDef::Primitive(TypeDefPrimitive::U128) => tokens(decoded(value)),
        TypeDef::Primitive(TypeDefPrimitive::U64) => grouped(decoded::<u64>(value).into()),
        TypeDef::Primitive(TypeDefPrimitive::U32) => grouped(decoded::<u32>(value).into()),
        TypeDef::Primitive(TypeDefPrimitive::U16) => grouped(decoded::<u16>(value).into()),
        TypeDef::Primitive(TypeDefPrimitive::U8) => grouped(decoded::<u8>(value).into()),
        _ if found.path.ident().as_deref() == Some("Permill") => {
            format!("{} %", f64::from(decoded::<u32>(value)) / 10_000.0)
        }
        _ if found.path.ident().as_deref() == Some("Option") && value == [0] => "none".into(),
        _ => format!("0x{}", value.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

fn decoded<Value: Decode>(mut value: &[u8]) -> Value {
    Value::decode(&mut value).expect("it is of the type that the metadata says")
}

/// An amount in ATT.
fn tokens(planck: u128) -> String {
    let att = 10u128.pow(units::DECIMALS);
    let (whole, part) = (grouped(planck / att), planck % att);
    let decimals = format!("{part:012}");
    match decimals.trim_end_matches('0') {
        "" => format!("{whole} ATT"),
        decimals => format!("{whole}.{decimals} ATT"),
    }
}

fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
