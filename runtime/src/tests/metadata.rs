//! The metadata that the typed client is made from, and its hash, which wallets sign.

#[path = "../../examples/metadata/digest.rs"]
mod digest;

use super::{chain, transaction};
use crate::{
    configs::system::Ss58Prefix,
    metadata_hash::{CheckMetadataHash, Mode, METADATA_HASH},
    units, AccountId, Executive, Hash, Runtime, RuntimeCall, Signature, System, TransactionExtensions,
    UncheckedExtrinsic, METADATA_VERSION, VERSION,
};
use codec::{Decode, Encode};
use merkleized_metadata::ExtraInfo;
use sp_core::{sr25519, Pair};
use sp_runtime::{
    generic::ExtrinsicFormat,
    traits::TransactionExtension,
    transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidity},
};

/// The metadata in the repository, which the client is compiled against.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../chain-client/metadata/attune.scale");

/// How both files are made again.
const AGAIN: &str =
    "SKIP_WASM_BUILD=1 cargo run -p attune-runtime --example metadata -- chain-client/metadata/attune.scale";

#[test]
fn the_committed_metadata_is_this_runtimes() {
    let committed = std::fs::read(COMMITTED).unwrap_or_else(|error| panic!("{COMMITTED}: {error}"));
    let current = Runtime::metadata_at_version(METADATA_VERSION).expect("the runtime makes this version");
    assert!(
        committed == *current,
        "the runtime has changed since its metadata was committed; write it again with\n{AGAIN}"
    );
}

/// The hash as a wallet makes it of what the chain tells it.
fn hash_of(version: u32, decimals: u8, symbol: &str) -> [u8; 32] {
    let metadata = Runtime::metadata_at_version(digest::VERSION).expect("the runtime makes this version");
    let extra = ExtraInfo {
        spec_version: version,
        spec_name: VERSION.spec_name.to_string(),
        base58_prefix: Ss58Prefix::get(),
        decimals,
        token_symbol: symbol.into(),
    };
    digest::digest(&metadata, extra).expect("it is metadata of that version")
}

#[test]
fn the_committed_hash_is_that_of_this_runtimes_metadata() {
    let decimals = units::DECIMALS.try_into().expect("a few");
    let hash = hash_of(VERSION.spec_version, decimals, units::SYMBOL);
    assert!(
        hash == METADATA_HASH,
        "the runtime or its version has changed since the hash of its metadata was committed; write it again with\n\
         {AGAIN}"
    );
    // What a wallet shows is in the hash.
    assert_ne!(hash_of(VERSION.spec_version + 1, decimals, units::SYMBOL), hash);
    assert_ne!(hash_of(VERSION.spec_version, decimals - 1, units::SYMBOL), hash);
    assert_ne!(hash_of(VERSION.spec_version, decimals, "DOT"), hash);
}

/// A transaction of Alice as it comes from a wallet that has signed `signed` as the metadata's hash.
fn from_a_wallet(mode: Mode, signed: Option<[u8; 32]>) -> Vec<u8> {
    let pair = sr25519::Pair::from_string("//Alice", None).expect("the path is valid");
    let alice = AccountId::from(pair.public());
    let call: RuntimeCall = frame_system::Call::remark { remark: vec![7] }.into();
    let ExtrinsicFormat::Signed(_, mut extensions) = transaction(&alice, call.clone()).0.format else {
        unreachable!("it is signed")
    };
    extensions.9 = CheckMetadataHash { mode };
    let mut implicit = extensions.implicit().expect("the chain knows them all");
    implicit.9 = signed;
    let payload = (&call, &extensions, implicit).encode();
    let signature: Signature = pair.sign(&payload).into();
    UncheckedExtrinsic::new_signed(call, alice.into(), signature, extensions).encode()
}

fn validate(bytes: &[u8]) -> TransactionValidity {
    let transaction = UncheckedExtrinsic::decode(&mut &bytes[..]).expect("it is well formed");
    Executive::validate_transaction(TransactionSource::External, transaction, Hash::zero())
}

#[test]
fn a_wallet_that_signs_this_metadatas_hash_is_believed_and_no_other() {
    chain("development").execute_with(|| {
        System::set_block_number(1);
        let mut other = METADATA_HASH;
        other[31] ^= 1;
        let refused = Err(InvalidTransaction::BadProof.into());
        let believed = validate(&from_a_wallet(Mode::Enabled, Some(METADATA_HASH)));
        assert!(believed.is_ok(), "{believed:?}");
        assert_eq!(validate(&from_a_wallet(Mode::Enabled, Some(other))), refused);
        assert_eq!(validate(&from_a_wallet(Mode::Enabled, None)), refused);
        // Who doesn't ask for the check signs that there is none.
        let unasked = validate(&from_a_wallet(Mode::Disabled, None));
        assert!(unasked.is_ok(), "{unasked:?}");
        assert_eq!(validate(&from_a_wallet(Mode::Disabled, Some(METADATA_HASH))), refused);
    });
}

#[test]
fn wallets_find_the_extensions_that_they_know() {
    assert_eq!(CheckMetadataHash { mode: Mode::Disabled }.encode(), [0]);
    assert_eq!(CheckMetadataHash { mode: Mode::Enabled }.encode(), [1]);
    let known: Vec<_> =
        TransactionExtensions::metadata().iter().map(|extension| extension.identifier).collect();
    assert_eq!(
        known,
        [
            "AuthorizeCall",
            "CheckNonZeroSender",
            "CheckSpecVersion",
            "CheckTxVersion",
            "CheckGenesis",
            "CheckMortality",
            "CheckNonce",
            "CheckWeight",
            "ChargeTransactionPayment",
            "CheckMetadataHash",
            "WeightReclaim",
        ]
    );
}
