//! For every error of our pallets: what is wrong, and what to change. A test holds the table to the metadata, so that
//! no error goes without advice.

/// The advice for an error; `None` for errors of other pallets that have none here.
pub(crate) fn of(pallet: &str, error: &str) -> Option<&'static str> {
    let table: &[(&str, &str)] = match pallet {
        "ProviderStaking" => STAKING,
        "JobEscrow" => ESCROW,
        "ProofOfTraining" => PROOF,
        "Balances" => BALANCES,
        "" => GENERAL,
        _ => return None,
    };
    table.iter().find(|(name, _)| *name == error).map(|(_, advice)| *advice)
}

const GENERAL: &[(&str, &str)] = &[
    ("FundsUnavailable", "the account has not enough free money for that; `attune balance` shows what is free and what is on hold"),
    ("BelowMinimum", "the account would be left with, or receive, less than the existential deposit; send more, or keep more"),
    ("Frozen", "the money is frozen on the account; unfreeze it first"),
    ("NotExpendable", "the account would be emptied while something still rests on it; keep the existential deposit"),
    ("BadOrigin", "this call is not for this account; check which key signs it"),
    ("ConsumerRemaining", "something on chain still rests on the account; end that first"),
    ("Exhausted", "the block is full; send it again"),
];

const BALANCES: &[(&str, &str)] = &[
    (
        "InsufficientBalance",
        "the account has not enough free money; `attune balance` shows what is free and what is on hold",
    ),
    ("LiquidityRestrictions", "the money is frozen or on hold; `attune balance` shows for what"),
    ("ExistentialDeposit", "the amount is below the existential deposit; send more"),
    ("Expendability", "the account would fall below the existential deposit; send less"),
];

const STAKING: &[(&str, &str)] = &[
    ("AlreadyRegistered", "this account is a provider already; `attune providers show` shows it"),
    ("NotAProvider", "there is no such provider; `attune providers list` shows those that are"),
    ("TooManyProviders", "the registry is full; register when another provider has left"),
    ("BadProfile", "the profile's name, endpoint or execution class is empty or has characters that don't print, or class or endpoint is not ASCII; correct it"),
    ("AccountIsOperator", "this account is a provider's operator key; register with another account"),
    ("OperatorInUse", "the operator key belongs to another provider; make a key for this worker alone"),
    ("OperatorIsStash", "the operator key must differ from the provider's own account; make a key for the worker"),
    ("SelfBondTooLow", "the self-bond is, or what would be left of it is, below the minimum; bond more, or exit to take all of it out"),
    ("CommissionUnchanged", "that is the commission already; name another one"),
    ("CommissionRisePending", "a rise of the commission is queued already; wait for it, or lower the commission, which cancels it"),
    ("CommissionRiseTooHigh", "the commission rises by too much at a time; take a smaller step, and the next when it has come into force"),
    ("NotChilled", "the provider is not chilled; there is nothing to undo"),
    ("SlashPending", "a slash of this pool waits for its time, and until then no stake moves from or to it, nor leaves it that was bound when the slash was booked; `attune providers show` shows the block from which anyone may apply it"),
    ("NoSuchSlash", "there is no such slash; it was applied or cancelled, `attune providers show` shows those that wait"),
    ("SlashNotDue", "the slash can still be cancelled; wait for its block, `attune providers show` shows it"),
    ("SlashDue", "the slash can no longer be cancelled; its time for that is over"),
    ("NothingOwed", "nothing is owed to this customer from this pool; check the two accounts"),
    ("StillUnpayable", "the customer still can't receive; send its account at least the existential deposit first"),
    ("CompensationOwed", "the pool still owes a customer its compensation; claim that for it first"),
    ("SameProvider", "both providers are the same; name another one to move to"),
    ("LienOpen", "this stake came from another provider and still answers for it; wait until its lien ends, `attune stake show` shows when"),
    ("NoLien", "this delegation has no lien; there is nothing to settle"),
    ("NotAutoCompound", "this delegator has not allowed others to compound for it; only its own account may"),
    ("IncomeTooLow", "the income is less than the least delegation; wait for more, or claim it (`attune stake claim`)"),
    ("NotActive", "the provider is leaving and takes nothing new; choose another one"),
    ("AlreadyExiting", "the provider is leaving already; wait for the end of the unbonding, then withdraw"),
    ("NotExiting", "the provider is not leaving; only a leaving provider's pool can be cleared by others"),
    ("DelegationToSelf", "a provider adds to its own stake by bonding more; delegate from another account"),
    ("DelegationTooLow", "the delegation is, or what would be left of it is, below the minimum; delegate more, or take all of it out"),
    ("NotADelegator", "this account has delegated nothing to this provider; `attune stake show` shows what it has"),
    ("NotEnoughShares", "this account has fewer shares than that; `attune stake show` shows how many"),
    ("ZeroAmount", "the amount is zero; name one above it"),
    ("TooManyUnbonding", "too many parts of this stake are on their way out; withdraw those that are free, or wait"),
    ("NothingToWithdraw", "nothing can be withdrawn yet; `attune stake show` shows from which block on"),
    ("NothingToClaim", "there is no income to claim; it comes with the next paid milestone"),
    ("NothingToEvict", "there is nothing of this account in this pool, or it can't be moved yet; wait for the unbonding to end"),
    ("StakeBacksBonds", "the stake backs bonds of open jobs; wait until a job ends, or take out less"),
    ("NotEnoughStake", "the pool's free stake is below the job's bond; bond more, or find delegators"),
    ("BondExists", "the job has a bond in this pool already; nothing is left to do"),
    ("HasOpenBonds", "the provider has open jobs; exit when they have ended"),
    ("PoolNotEmpty", "there are delegators, stake or bonds in the pool; evict and withdraw first"),
    ("NotAsked", "this provider is not asked for a heartbeat in this period, or has answered; wait until it is asked again"),
    ("ArithmeticOverflow", "a number left its range; use a smaller amount"),
];

const ESCROW: &[(&str, &str)] = &[
    ("UnknownJob", "there is no such job, or it was pruned; `attune jobs list` shows those that are"),
    ("UnknownModel", "there is no such base model; `attune models list` shows those that are"),
    ("UnknownProvider", "the chosen provider is not registered; `attune providers list` shows those that are"),
    ("InvalidSegments", "a job needs 1 to 128 segments, and at least one in each milestone; correct the milestones"),
    ("InvalidShares", "the milestones' shares must be above 0 and add up to the whole price; correct them"),
    ("InvalidAssurance", "samples or auditors are zero or too many; take 1 to 8 samples and 1 to 4 auditors"),
    ("SamplesAboveSegments", "a milestone has fewer segments than samples are drawn from it; draw fewer samples or make smaller segments"),
    ("InvalidData", "the data set is empty, or its sequence length is out of range; pack the data again"),
    ("InvalidMethod", "rank or alpha is out of range; take a rank of 1 to 1024 and an alpha above 0"),
    ("InvalidHyperParameters", "a hyper-parameter is out of range; correct learning rate, batch, betas, epsilon or steps"),
    ("InvalidTiming", "a time span is zero or too long; correct the open, start or milestone blocks"),
    ("InvalidPrice", "the price is zero or above the job's maximum; offer one within it"),
    ("AuditFeeTooLow", "the audit fee is below the minimum; raise it"),
    ("InvalidArithmetic", "the execution class is empty, or exact arithmetic has version 0; name an arithmetic that providers compute (`attune providers list`)"),
    ("InsufficientBalance", "the free balance doesn't cover the maximum price, the audit budget and the deposit; lower the price or add money"),
    ("NotCustomer", "only the job's customer may do that; sign with the key that ordered it"),
    ("NotAssignedProvider", "only the assigned provider's operator key may do that; sign with the worker's key"),
    ("NotAnOperator", "this key is no provider's operator key; sign with the worker's key, or set it as operator"),
    ("SelfDealing", "a customer can't train its own job; let another provider do it"),
    ("NotChosenProvider", "the customer chose another provider; leave the job to it"),
    ("WrongArithmetic", "the provider doesn't compute in the job's arithmetic; choose one that does (`attune providers list`), or another arithmetic"),
    ("NotAllowedInState", "the job's state doesn't allow that; `attune jobs show` shows where it stands"),
    ("DeadlineOver", "the deadline of the job's state is over; all that is left is to enforce it"),
    ("DeadlineNotOver", "the deadline of the job's state is not over yet; wait for it"),
    ("ProviderExcluded", "this provider had the job before and failed, or gave it up; take another job"),
    ("BidsFull", "enough lower bids are there; bid less"),
    ("BidNotLower", "the bid is not below the provider's present one; bid less, or withdraw that one"),
    ("NoSuchBid", "the provider has no bid for this job; there is nothing to withdraw"),
    ("NotFunder", "only who pays for the job may do that; sign with that key"),
    ("NothingToAdd", "both amounts are zero; name one above it"),
    ("PriceIsFrozen", "a provider is assigned and its price stands; only the audit budget can be added to"),
    ("JobEnded", "the job has ended; `attune jobs show` shows how"),
    ("AlreadyCalledOff", "the job is being cancelled already; it ends with the audits of what is committed"),
    ("CannotCancelSubmitted", "all work is submitted; it is paid as its audits pass, and can't be cancelled any more"),
    ("CannotCancelDisputed", "an auditor found a mismatch; wait for the committee, then cancel"),
    ("NotSponsored", "this sponsor does not pay for this customer; `attune sponsor list` shows who does"),
    ("SponsorshipExpired", "the sponsorship's time is over, or would be; ask the sponsor for a longer one"),
    ("AboveSponsorsJobLimit", "the job would hold more than the sponsor pays for one job; order a smaller one, or ask for a higher limit"),
    ("SponsorExhausted", "the sponsor's limit is used up; wait for refunds, or ask the sponsor for more"),
    ("OwnSponsor", "nobody is its own sponsor; leave the sponsor out to pay yourself"),
    ("NotYourSponsorship", "only its two sides can end a sponsorship before it expires; sign with the key of one of them"),
    ("MilestoneOutOfOrder", "milestones are committed in order, each once; look at the chain's state again"),
    ("MilestoneNotPayable", "the milestone is unknown, or paid already; look at the chain's state again"),
    ("NotAllCommitted", "not all milestones are committed; commit the rest first"),
    ("NotPrunable", "the job ended too recently, or a payment is still owed; wait, or claim what is owed"),
    ("NothingOwed", "nothing is owed to this account for this job; `attune balance` shows what is"),
    ("StillUnpayable", "the payee still can't receive; send the existential deposit to its account first"),
    ("ArithmeticOverflow", "a number left its range; use a smaller amount"),
];

const PROOF: &[(&str, &str)] = &[
    ("UnknownModel", "there is no such base model; `attune models list` shows those that are"),
    ("ModelExists", "a model with these files is registered already; use its id"),
    ("IncompleteModel", "the model lacks a name, an architecture, parameters or files; fill them in"),
    ("TooManyModels", "no model id is left; use a registered model"),
    ("NotModelOwner", "only the account that registered the model can remove it; sign with that key"),
    ("ModelInUse", "an open job uses the model; remove it once that job is closed"),
    ("TooManyJobs", "too many jobs use the model; wait until some are closed"),
    ("UnknownJob", "there is no such job; `attune jobs list` shows those that are"),
    ("JobNotRunning", "the job is not running; `attune jobs show` shows where it stands"),
    ("JobNotLive", "the job's audits are over; nothing is left to do"),
    ("NotOperator", "this key is no provider's operator key; sign with the worker's key"),
    ("NotAssigned", "the job is assigned to another provider; leave it to that one"),
    ("NotAuditor", "this provider is not drawn for this audit, or missed it; nothing is left to do"),
    ("NotCustomer", "only the record's customer may do that; sign with the key that ordered the job"),
    ("UnknownSegment", "the job has no such segment; look at its specification"),
    ("NotNextSegment", "segments are committed in order; commit the next one"),
    (
        "HeldOutLossMissing",
        "the job has held-out rows and this segment must report their loss; evaluate and report it",
    ),
    ("SegmentsMissing", "not all segments are committed; commit the rest first"),
    ("EmptyAdapter", "the adapter has no bytes; export it again"),
    ("MilestoneNotCommitted", "not all segments of the milestone are committed; commit them first"),
    ("AlreadyDrawn", "the milestone's audits are drawn already; nothing is left to do"),
    ("RandomnessTooOld", "there is no randomness yet from after the commitment; try again in the next epoch"),
    (
        "NoEligibleAuditors",
        "no other active provider computes in the job's arithmetic; more providers must join",
    ),
    ("TooManySlots", "the audit has no room for further auditors; let its deadline end it"),
    ("NotDrawn", "the segment is not drawn; look at the job's audits"),
    ("WrongStage", "the audit is in another stage; look at the job's audits"),
    ("TooLate", "the deadline is over; nothing is left to do"),
    ("TooEarly", "the deadline is not over yet; wait for it"),
    ("AlreadyCommitted", "this auditor has committed already; nothing is left to do"),
    ("AlreadyRevealed", "this auditor has revealed already; nothing is left to do"),
    ("TraceDiffers", "trace and nonce don't give the commitment; open with the files of that segment"),
    (
        "VerdictDiffers",
        "root, trace and salt don't give the commitment; reveal with the file of that verdict",
    ),
    ("RecordIncomplete", "the job lacks what its record needs; report this, it is a fault of the chain"),
    ("UnknownRecord", "there is no such record; `attune records list` shows those that are"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use codec::Decode;

    #[test]
    fn every_error_of_our_pallets_has_advice() {
        let bytes = include_bytes!("../metadata/attune.scale");
        let metadata = subxt::Metadata::decode(&mut &bytes[..]).unwrap();
        for pallet in ["ProviderStaking", "JobEscrow", "ProofOfTraining"] {
            let found = metadata.pallet_by_name(pallet).unwrap();
            let missing: Vec<_> = found
                .error_variants()
                .unwrap()
                .iter()
                .filter(|variant| of(pallet, &variant.name).is_none())
                .map(|variant| variant.name.clone())
                .collect();
            assert!(missing.is_empty(), "{pallet}: no advice for {missing:?}");
        }
    }

    #[test]
    fn advice_says_what_to_do() {
        for (name, advice) in GENERAL.iter().chain(BALANCES).chain(STAKING).chain(ESCROW).chain(PROOF) {
            assert!(advice.contains(';'), "{name}: {advice}");
        }
    }

    #[test]
    fn a_foreign_error_has_no_advice_here() {
        assert_eq!(of("Proxy", "NotFound"), None);
        assert_eq!(of("JobEscrow", "NotAnError"), None);
    }
}
