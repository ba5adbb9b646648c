//! The shapes of our events as text: what `docs/events.md` holds and a test compares.
//!
//! Programs outside read events by index, name, and the order and types of fields. A change of one of them breaks those
//! programs without a word; here it becomes a difference in a file, which somebody has to commit on purpose. So the text
//! has all that decides how the bytes of an event are read: also the types that fields are made of.

use crate::{composition, Runtime};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Write;
use frame_support::traits::PalletInfoAccess;
use scale_info::{
    form::PortableForm, Field, MetaType, PortableRegistry, Registry, TypeDef, TypeDefPrimitive, TypeInfo,
    Variant,
};

/// How to write the file again.
pub const COMMAND: &str = "SKIP_WASM_BUILD=1 cargo run -p attune-runtime --example events -- docs/events.md";

/// The shapes of the events of our pallets, in the order of the pallets' indices.
pub fn text() -> String {
    let mut shapes = Shapes::default();
    shapes.add::<composition::ProviderStaking, pallet_provider_staking::Event<Runtime>>();
    shapes.add::<composition::JobEscrow, pallet_job_escrow::Event<Runtime>>();
    shapes.add::<composition::ProofOfTraining, pallet_proof_of_training::Event<Runtime>>();
    shapes.add::<composition::ValidatorElection, pallet_validator_election::Event<Runtime>>();
    shapes.text()
}

/// A pallet's index and name, and the id of its event type.
type PalletEvents = (usize, String, u32);

/// The events of pallets, and all types that they are made of.
#[derive(Default)]
struct Shapes {
    registry: Registry,
    pallets: Vec<PalletEvents>,
}

impl Shapes {
    fn add<P: PalletInfoAccess, E: TypeInfo + 'static>(&mut self) {
        let id = self.registry.register_type(&MetaType::new::<E>()).id;
        self.pallets.push((P::index(), P::name().to_string(), id));
    }

    fn text(self) -> String {
        let types: PortableRegistry = self.registry.into();
        let mut text = String::new();
        let mut push = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        push("# The events of our pallets\n");
        push("Written by a program, compared by a test: a change here is a change of what other programs read. To write it");
        push("again after a change that is meant:\n");
        push(&alloc::format!("    {COMMAND}\n"));
        push("A pallet's number is its index in the runtime, an event's its index in the pallet; both are in the bytes. Fields");
        push("stand in their order. Amounts are in planck.");

        let mut named = BTreeSet::new();
        for (index, name, id) in &self.pallets {
            push(&alloc::format!("\n## {index} {name}\n"));
            push("| | event | fields | |\n|---|---|---|---|");
            for variant in variants(&types, *id) {
                let Variant { name, index, .. } = variant;
                let fields = fields(&types, &variant.fields, &mut named);
                let meaning = variant.docs.join(" ").trim().replace('|', "\\|");
                push(&alloc::format!("| {index} | `{name}` | {fields} | {meaning} |"));
            }
        }

        push("\n## Types of fields\n");
        push(
            "Numbers are little-endian, of the width in their name; `AccountId32` and `H256` are 32 bytes.\n",
        );
        let mut all = BTreeMap::new();
        while let Some(id) = named.pop_first() {
            let shape = shape(&types, id, &mut named);
            named.retain(|id| !all.contains_key(id));
            all.insert(id, shape);
            named.retain(|id| !all.contains_key(id));
        }
        let mut lines: Vec<_> = all.into_iter().map(|(id, shape)| (name_of(&types, id), shape)).collect();
        lines.sort();
        push("| type | made of |\n|---|---|");
        for (name, shape) in lines {
            push(&alloc::format!("| `{name}` | {shape} |"));
        }
        text
    }
}

fn variants(types: &PortableRegistry, id: u32) -> &[Variant<PortableForm>] {
    match types.resolve(id).map(|found| &found.type_def) {
        Some(TypeDef::Variant(found)) => &found.variants,
        _ => &[],
    }
}

/// Fields as a list of names and types; what they are made of goes into `named`.
fn fields(types: &PortableRegistry, fields: &[Field<PortableForm>], named: &mut BTreeSet<u32>) -> String {
    let each = |field: &Field<PortableForm>| {
        note(types, field.ty.id, named);
        let ty = name_of(types, field.ty.id);
        match &field.name {
            Some(name) => alloc::format!("`{name}: {ty}`"),
            None => alloc::format!("`{ty}`"),
        }
    };
    fields.iter().map(each).collect::<Vec<_>>().join(", ")
}

/// Remembers a type whose shape has to be told, and those in it that have no name of their own.
fn note(types: &PortableRegistry, id: u32, named: &mut BTreeSet<u32>) {
    let Some(found) = types.resolve(id) else { return };
    match &found.type_def {
        TypeDef::Primitive(_) | TypeDef::BitSequence(_) => {}
        TypeDef::Sequence(items) => note(types, items.type_param.id, named),
        TypeDef::Array(items) => note(types, items.type_param.id, named),
        TypeDef::Compact(inner) => note(types, inner.type_param.id, named),
        TypeDef::Tuple(parts) => parts.fields.iter().for_each(|part| note(types, part.id, named)),
        TypeDef::Composite(_) | TypeDef::Variant(_) => match found.path.ident().as_deref() {
            Some("Option") => {
                let inner = found.type_params.iter().filter_map(|param| param.ty);
                inner.for_each(|inner| note(types, inner.id, named));
            }
            Some("AccountId32" | "H256") => {}
            _ => {
                named.insert(id);
            }
        },
    }
}

/// A type's name, without the path of its module.
fn name_of(types: &PortableRegistry, id: u32) -> String {
    let Some(found) = types.resolve(id) else { return "?".into() };
    let name = |id: u32| name_of(types, id);
    match &found.type_def {
        TypeDef::Primitive(primitive) => primitive_name(primitive).into(),
        TypeDef::Sequence(items) => alloc::format!("[{}]", name(items.type_param.id)),
        TypeDef::Array(items) => alloc::format!("[{}; {}]", name(items.type_param.id), items.len),
        TypeDef::Compact(inner) => alloc::format!("Compact<{}>", name(inner.type_param.id)),
        TypeDef::Tuple(parts) => {
            let parts: Vec<_> = parts.fields.iter().map(|part| name(part.id)).collect();
            alloc::format!("({})", parts.join(", "))
        }
        TypeDef::BitSequence(_) => "bits".into(),
        TypeDef::Composite(_) | TypeDef::Variant(_) => {
            let params: Vec<_> =
                found.type_params.iter().filter_map(|param| param.ty).map(|ty| name(ty.id)).collect();
            let mut text = found.path.ident().unwrap_or_default();
            if !params.is_empty() {
                // Writing to a string doesn't fail.
                let _ = write!(text, "<{}>", params.join(", "));
            }
            text
        }
    }
}

/// What a type is made of.
fn shape(types: &PortableRegistry, id: u32, named: &mut BTreeSet<u32>) -> String {
    match types.resolve(id).map(|found| &found.type_def) {
        Some(TypeDef::Composite(found)) => fields(types, &found.fields, named),
        Some(TypeDef::Variant(found)) => {
            let each = |variant: &Variant<PortableForm>| {
                let parts = fields(types, &variant.fields, named);
                let parts = if parts.is_empty() { parts } else { alloc::format!(" ({parts})") };
                alloc::format!("{} `{}`{parts}", variant.index, variant.name)
            };
            found.variants.iter().map(each).collect::<Vec<_>>().join(", ")
        }
        _ => name_of(types, id),
    }
}

fn primitive_name(primitive: &TypeDefPrimitive) -> &'static str {
    match primitive {
        TypeDefPrimitive::Bool => "bool",
        TypeDefPrimitive::Char => "char",
        TypeDefPrimitive::Str => "str",
        TypeDefPrimitive::U8 => "u8",
        TypeDefPrimitive::U16 => "u16",
        TypeDefPrimitive::U32 => "u32",
        TypeDefPrimitive::U64 => "u64",
        TypeDefPrimitive::U128 => "u128",
        TypeDefPrimitive::U256 => "u256",
        TypeDefPrimitive::I8 => "i8",
        TypeDefPrimitive::I16 => "i16",
        TypeDefPrimitive::I32 => "i32",
        TypeDefPrimitive::I64 => "i64",
        TypeDefPrimitive::I128 => "i128",
        TypeDefPrimitive::I256 => "i256",
    }
}
