//! Accounts of the chain: sr25519 keys in the signing context `substrate`, so that keys and signatures are those of
//! `subxt_signer::sr25519` and of every Substrate wallet. The library underneath is the one that they use.

use crate::{Signer, Verifier};
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey, PublicKey, Signature};

const CONTEXT: &[u8] = b"substrate";

/// Signs with a key made from a 32-byte seed. The key is wiped from memory on drop.
pub struct Sr25519Signer(Keypair);

impl Sr25519Signer {
    /// The key of a seed, as `subxt_signer::sr25519::Keypair::from_secret_key` makes it.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mini = MiniSecretKey::from_bytes(seed).expect("a seed of 32 bytes always makes a key; qed");
        Self(mini.expand_to_keypair(ExpansionMode::Ed25519))
    }
}

impl std::fmt::Debug for Sr25519Signer {
    /// Shows the public key only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sr25519Signer({})", hex::encode(self.account()))
    }
}

impl Signer for Sr25519Signer {
    fn account(&self) -> [u8; 32] {
        self.0.public.to_bytes()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign_simple(CONTEXT, message).to_bytes()
    }
}

/// Checks sr25519 signatures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sr25519Verifier;

impl Verifier for Sr25519Verifier {
    fn verify(&self, account: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        let (Ok(key), Ok(signature)) = (PublicKey::from_bytes(account), Signature::from_bytes(signature))
        else {
            return false;
        };
        key.verify_simple(CONTEXT, message, &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    #[test]
    fn keys_are_those_of_the_chain() {
        // The well-known development account //Alice.
        let seed = bytes("e5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a");
        let alice = Sr25519Signer::from_seed(&seed);
        assert_eq!(
            alice.account(),
            bytes("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")
        );
        assert!(Sr25519Verifier.verify(&alice.account(), b"text", &alice.sign(b"text")));
    }

    #[test]
    fn a_signature_made_by_the_wallet_library_is_accepted() {
        // The example of polkadot-js's documentation of signatureVerify, signed by //Bob.
        let account = bytes("8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48");
        let message = b"This is a text message";
        let signature = bytes(concat!(
            "2aeaa98e26062cf65161c68c5cb7aa31ca050cb5bdd07abc80a475d2a2eebc7b",
            "7a9c9546fbdff971b29419ddd9982bf4148c81a49df550154e1674a6b58bac84"
        ));
        assert!(Sr25519Verifier.verify(&account, message, &signature));
    }

    #[test]
    fn another_text_key_or_signature_is_refused() {
        let (a, b) = (Sr25519Signer::from_seed(&[1; 32]), Sr25519Signer::from_seed(&[2; 32]));
        let signature = a.sign(b"text");
        let mut bent = signature;
        bent[3] ^= 1;
        assert!(!Sr25519Verifier.verify(&a.account(), b"other", &signature));
        assert!(!Sr25519Verifier.verify(&b.account(), b"text", &signature));
        assert!(!Sr25519Verifier.verify(&a.account(), b"text", &bent));
        assert!(!Sr25519Verifier.verify(&a.account(), b"text", &[0; 64]));
        assert!(!Sr25519Verifier.verify(&[0xff; 32], b"text", &signature));
    }
}
