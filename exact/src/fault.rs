//! Where a training stopped (SPEC.md, section 9).
//!
//! The one idea: a check that fails is a result like any other, so it has one name that every implementation finds: the
//! first sequence that fails, and in it the first operator in the order of execution.

use core::fmt;

use crate::mantissa::NotFinite;

/// Operators of a block's forward pass, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Forward {
    InputNorm,
    Qkv,
    Attention,
    Output,
    PostNorm,
    GateUp,
    Down,
}

/// Operators of a block's backward pass, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Backward {
    Down,
    SwiGlu,
    GateUp,
    PostNorm,
    Output,
    Attention,
    Qkv,
    InputNorm,
}

/// An operator of a step. Layers count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Of a block's forward pass.
    Forward(u32, Forward),
    /// The last norm.
    FinalNorm,
    /// Logits and loss.
    Head,
    /// The gradient at the head's input.
    HeadBackward,
    /// The last norm, backwards.
    FinalNormBackward,
    /// Of a block's backward pass.
    Backward(u32, Backward),
    /// The norm of the step's gradient.
    GradientNorm,
    /// AdamW.
    Update,
}

const FORWARD: [(Forward, &str); 7] = [
    (Forward::InputNorm, "input norm"),
    (Forward::Qkv, "qkv"),
    (Forward::Attention, "attention"),
    (Forward::Output, "output"),
    (Forward::PostNorm, "post norm"),
    (Forward::GateUp, "gate-up"),
    (Forward::Down, "down"),
];

const BACKWARD: [(Backward, &str); 8] = [
    (Backward::Down, "down"),
    (Backward::SwiGlu, "swiglu"),
    (Backward::GateUp, "gate-up"),
    (Backward::PostNorm, "post norm"),
    (Backward::Output, "output"),
    (Backward::Attention, "attention"),
    (Backward::Qkv, "qkv"),
    (Backward::InputNorm, "input norm"),
];

impl Operator {
    /// Operators of a step of a model with `layers` blocks.
    pub fn count(layers: u32) -> u32 {
        15 * layers + 6
    }

    /// The place of the operator in the order of execution, from 0.
    pub fn index(self, layers: u32) -> u32 {
        match self {
            Self::Forward(layer, operator) => 7 * layer + operator as u32,
            Self::FinalNorm => 7 * layers,
            Self::Head => 7 * layers + 1,
            Self::HeadBackward => 7 * layers + 2,
            Self::FinalNormBackward => 7 * layers + 3,
            Self::Backward(layer, operator) => 7 * layers + 4 + 8 * (layers - 1 - layer) + operator as u32,
            Self::GradientNorm => 15 * layers + 4,
            Self::Update => 15 * layers + 5,
        }
    }

    /// The operator at `index`, if there is one.
    pub fn from_index(index: u32, layers: u32) -> Option<Self> {
        let rest = |first: u32| index.checked_sub(first);
        Some(match index {
            i if i < 7 * layers => Self::Forward(i / 7, FORWARD[i as usize % 7].0),
            i if i < 7 * layers + 4 => {
                [Self::FinalNorm, Self::Head, Self::HeadBackward, Self::FinalNormBackward]
                    [rest(7 * layers)? as usize]
            }
            i if i < 15 * layers + 4 => {
                let at = rest(7 * layers + 4)?;
                Self::Backward(layers - 1 - at / 8, BACKWARD[at as usize % 8].0)
            }
            i if i == 15 * layers + 4 => Self::GradientNorm,
            i if i == 15 * layers + 5 => Self::Update,
            _ => return None,
        })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(layer, operator) => {
                write!(f, "{} of block {layer}", FORWARD[*operator as usize].1)
            }
            Self::FinalNorm => write!(f, "final norm"),
            Self::Head => write!(f, "head"),
            Self::HeadBackward => write!(f, "backward head"),
            Self::FinalNormBackward => write!(f, "backward final norm"),
            Self::Backward(layer, operator) => {
                write!(f, "backward {} of block {layer}", BACKWARD[*operator as usize].1)
            }
            Self::GradientNorm => write!(f, "norm of the gradient"),
            Self::Update => write!(f, "AdamW"),
        }
    }
}

/// A check that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The optimizer step, from 0.
    pub step: u64,
    /// The sequence's index in the step, from 0; none for operators that follow all sequences.
    pub sequence: Option<u32>,
    /// What failed.
    pub operator: Operator,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value is infinite, NaN or out of range at step {}", self.step)?;
        if let Some(sequence) = self.sequence {
            write!(f, ", sequence {sequence}")?;
        }
        write!(f, ", in {}", self.operator)
    }
}

impl core::error::Error for Fault {}

/// Names the operator that a check failed in.
pub(crate) trait At<T> {
    fn at(self, operator: Operator) -> Result<T, Operator>;
}

impl<T> At<T> for Result<T, NotFinite> {
    fn at(self, operator: Operator) -> Result<T, Operator> {
        self.map_err(|NotFinite| operator)
    }
}
