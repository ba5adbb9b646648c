//! The accounts that the test presets know.
//!
//! Their secrets are derivations of the well-known development phrase, so that every tool has them by name:
//! `//Alice`, `//Provider1//operator`. The runtime cannot derive keys, so it keeps the public halves; a test
//! derives each again and compares.

use sp_core::hex2array;

/// A validator of the test presets.
pub struct Validator {
    /// The derivation path of its consensus keys.
    pub name: &'static str,
    /// Its account: `name//stash`.
    pub stash: [u8; 32],
    /// Its sr25519 key for BABE.
    pub babe: [u8; 32],
    /// Its ed25519 key for GRANDPA.
    pub grandpa: [u8; 32],
}

/// The administrator's account: `//Alice`.
pub const ALICE: [u8; 32] = hex2array!("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d");

/// The validators, in the order in which presets take them.
pub const VALIDATORS: [Validator; 3] = [
    Validator {
        name: "//Alice",
        stash: hex2array!("be5ddb1579b72e84524fc29e78609e3caf42e85aa118ebfe0b0ad404b5bdd25f"),
        babe: hex2array!("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"),
        grandpa: hex2array!("88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee"),
    },
    Validator {
        name: "//Bob",
        stash: hex2array!("fe65717dad0447d715f660a0a58411de509b42e6efb8375f562f58a554d5860e"),
        babe: hex2array!("8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48"),
        grandpa: hex2array!("d17c2d7823ebf260fd138f2d7e27d114c0145d968b5ff5006125f2414fadae69"),
    },
    Validator {
        name: "//Charlie",
        stash: hex2array!("1e07379407fecc4b89eb7dbd287c2c781cfb1907a96947a3eb18e4f8e7198625"),
        babe: hex2array!("90b5ab205c6974c9ea841be688864633dc9ca8a357843eeacf2314649965fe22"),
        grandpa: hex2array!("439660b36c6c03afafca027b910b4fecf99801834c62a5e6006f27d978de234f"),
    },
];

/// Every endowed account: its derivation path and its sr25519 public key.
pub const ACCOUNTS: [(&str, [u8; 32]); 30] = [
    ("//Alice", hex2array!("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")),
    ("//Bob", hex2array!("8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48")),
    ("//Charlie", hex2array!("90b5ab205c6974c9ea841be688864633dc9ca8a357843eeacf2314649965fe22")),
    ("//Dave", hex2array!("306721211d5404bd9da88e0204360a1a9ab8b87c66c1bc2fcdd37f3c2222cc20")),
    ("//Eve", hex2array!("e659a7a1628cdd93febc04a4e0646ea20e9f5f0ce097d9a05290d4a9e054df4e")),
    ("//Ferdie", hex2array!("1cbd2d43530a44705ad088af313e18f80b53ef16b36177cd4b77b846f2a5f07c")),
    ("//Alice//stash", hex2array!("be5ddb1579b72e84524fc29e78609e3caf42e85aa118ebfe0b0ad404b5bdd25f")),
    ("//Bob//stash", hex2array!("fe65717dad0447d715f660a0a58411de509b42e6efb8375f562f58a554d5860e")),
    ("//Charlie//stash", hex2array!("1e07379407fecc4b89eb7dbd287c2c781cfb1907a96947a3eb18e4f8e7198625")),
    ("//Dave//stash", hex2array!("e860f1b1c7227f7c22602f53f15af80747814dffd839719731ee3bba6edc126c")),
    ("//Eve//stash", hex2array!("8ac59e11963af19174d0b94d5d78041c233f55d2e19324665bafdfb62925af2d")),
    ("//Ferdie//stash", hex2array!("101191192fc877c24d725b337120fa3edc63d227bbc92705db1e2cb65f56981a")),
    ("//Provider1", hex2array!("688a585b8d45e6a77b2056aabeb72de2e12404d82b9ae22874982c1c9044dc1c")),
    ("//Provider2", hex2array!("cad679560341a4d8b0138365e87ebdecb88a0277b4260b0dfcef8e732a93ee56")),
    ("//Provider3", hex2array!("28559021bd910438cc5b1cc8684cb2e8c395f677eac49a350d3639608192a153")),
    ("//Provider4", hex2array!("dad49297742f9591271f5faac07550f70ab41d04906a11221e7b54a5d5beb865")),
    ("//Provider5", hex2array!("cc7ecb1f7d90be128478d13786f03925b456a493c01cb6805e68fecbe8b85f4f")),
    ("//Provider6", hex2array!("9e1ec6a238409027f72c4d0772c7a237314faf336cc523fb0c8bb8a2926da21c")),
    ("//Provider1//operator", hex2array!("b66ea900b2352802d1a436df790630fb90d8dd1cf742a3453bc2cb8455defc0f")),
    ("//Provider2//operator", hex2array!("fa26656db6e91f663c961984e7e96bc1bac9e0ac19cb91078b4446801cf5ca5b")),
    ("//Provider3//operator", hex2array!("c6057df3b07c559f3329176d84d50542759f2806c67af7f9f4f228c6671a5251")),
    ("//Provider4//operator", hex2array!("dacede26a357e67c9e68de736307cb87f4e38b5fbc61657482943e2ae9714c12")),
    ("//Provider5//operator", hex2array!("489b4d79277d80065f00282b815282d6f4c6d114c74b00fa42c29893c0323767")),
    ("//Provider6//operator", hex2array!("f25951f1576d32cdec416da81575e85241030ca05885c20eb694adc0162eb846")),
    ("//Customer", hex2array!("e048f00f9dbc10ab2127793aa53a3d4e8d86576cade5baaad5d0e980fda7e703")),
    ("//Customer2", hex2array!("9c8a9f778a29e8cd0570183646438405bd365041a7855adeddc92838bb248379")),
    ("//Delegator1", hex2array!("7ac53de8ac099bc926c31c06b9e7eca23469f9d19e6490d57dc7d7b2fa379f4e")),
    ("//Delegator2", hex2array!("24d1fa3bfe366d5dd91213916d228d59ce9b02a7631b7bf3ca0e366782acf132")),
    ("//Delegator3", hex2array!("d64bf3ea192e67e4b4bc71ffd52ef322ba89c8d1c068b58a5a56e0a510daec56")),
    ("//Challenger", hex2array!("f2f368f3db355e706a665f744ce3f0a04a7d2a6fb8b809b483cbac3246783c3f")),
];
