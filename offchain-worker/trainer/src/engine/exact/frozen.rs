//! The frozen model in the form that exact arithmetic multiplies with (SPEC.md, section 3).
//!
//! Weights are widened, quantised and dropped one matrix at a time, so that a model in 8 bits never needs its binary32
//! form beside it.

use std::path::Path;

use attune_exact::weights::{quantise4, quantise8, GROUP};
use attune_kernels::{Layout, Right};

use crate::{
    model::{open_weights, parameter_shape},
    spec::ModelSpec,
    weights::Weights,
    BaseFormat, Error, Result,
};

/// A frozen matrix: `[outputs, inputs]`, one scale per output channel.
pub(super) struct Matrix {
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    pub(super) values: Values,
    /// `[outputs]`
    pub(super) scales: Vec<f32>,
}

/// The integers of a frozen matrix.
pub(super) enum Values {
    /// `[outputs, inputs]`
    W8(Vec<i8>),
    /// Nibbles `[outputs, ⌈inputs / 2⌉]` and multipliers `[outputs, ⌈inputs / GROUP⌉]`.
    W4 { nibbles: Vec<u8>, multipliers: Vec<u8> },
}

impl Matrix {
    /// An empty matrix of `inputs` columns, to which parts are added below.
    fn new(inputs: usize, base: BaseFormat) -> Self {
        let values = match base {
            BaseFormat::W8 => Values::W8(Vec::new()),
            BaseFormat::W4 => Values::W4 { nibbles: Vec::new(), multipliers: Vec::new() },
        };
        Self { outputs: 0, inputs, values, scales: Vec::new() }
    }

    /// Adds the output channels of `weights`, `[outputs, inputs]`.
    fn push(&mut self, name: &str, weights: &[f32]) -> Result<()> {
        let refuse =
            |_| Error::Data(format!("the base model's {name} holds a weight that is infinite or NaN"));
        let mut scales = match &mut self.values {
            Values::W8(values) => {
                let mut part = quantise8(weights, self.inputs).map_err(refuse)?;
                values.append(&mut part.values);
                part.scales
            }
            Values::W4 { nibbles, multipliers } => {
                let mut part = quantise4(weights, self.inputs).map_err(refuse)?;
                nibbles.append(&mut part.nibbles);
                multipliers.append(&mut part.multipliers);
                part.scales
            }
        };
        self.outputs += scales.len();
        self.scales.append(&mut scales);
        Ok(())
    }

    /// As the right operand of y = x Wᵀ: one column per output channel.
    pub(super) fn outputs(&self) -> Right<'_> {
        self.right(self.outputs, self.inputs, Layout::NK)
    }

    /// As the right operand of dx = dy W: one column per input.
    pub(super) fn inputs(&self) -> Right<'_> {
        self.right(self.inputs, self.outputs, Layout::KN)
    }

    fn right(&self, columns: usize, depth: usize, layout: Layout) -> Right<'_> {
        match &self.values {
            Values::W8(values) => Right::int8(values, columns, depth, self.inputs, layout),
            Values::W4 { nibbles, multipliers } => {
                Right::nibbles(nibbles, multipliers, GROUP, columns, depth, layout)
            }
        }
    }

    /// One output channel of a matrix in 8 bits, `[inputs]`.
    pub(super) fn row(&self, output: usize) -> &[i8] {
        match &self.values {
            Values::W8(values) => &values[output * self.inputs..(output + 1) * self.inputs],
            Values::W4 { .. } => unreachable!("embedding and output projection are always held in 8 bits"),
        }
    }
}

/// One block.
pub(super) struct Layer {
    /// `[hidden]`
    pub(super) input_norm: Vec<f32>,
    /// Query, key and value projections, one above the other.
    pub(super) qkv: Matrix,
    /// `[query + 2 * kv]`, for shapes that have it.
    pub(super) qkv_bias: Option<Vec<f32>>,
    /// `[hidden, query]`
    pub(super) output: Matrix,
    /// `[hidden]`
    pub(super) post_norm: Vec<f32>,
    /// Gate and up projections, one above the other.
    pub(super) gate_up: Matrix,
    /// `[hidden, intermediate]`
    pub(super) down: Matrix,
}

/// A frozen model.
pub(super) struct Frozen {
    pub(super) spec: ModelSpec,
    embedding: Matrix,
    pub(super) layers: Vec<Layer>,
    /// `[hidden]`
    pub(super) norm: Vec<f32>,
    /// The output projection where it is not the embedding.
    head: Option<Matrix>,
}

impl Frozen {
    /// Loads a Hugging Face directory and quantises it.
    ///
    /// # Errors
    /// Weights that are damaged, incomplete, of another shape, or not finite.
    pub(super) fn load(spec: ModelSpec, model_dir: &Path, base: BaseFormat) -> Result<Self> {
        let source = Source::open(&spec, model_dir, base)?;
        let layers = (0..spec.layers).map(|index| source.layer(index)).collect::<Result<_>>()?;
        let (embedding, head, norm) = (source.embedding()?, source.head()?, source.norm()?);
        Ok(Self { embedding, layers, norm, head, spec })
    }

    /// `[vocab, hidden]`, in 8 bits.
    pub(super) fn embedding(&self) -> &Matrix {
        &self.embedding
    }

    /// The output projection `[vocab, hidden]`, in 8 bits.
    pub(super) fn head(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}

/// A Hugging Face directory whose parts are quantised as they are asked for, so that a GPU can take them one by one.
///
/// Its methods fail with weights that are damaged, incomplete, of another shape, or not finite.
pub(super) struct Source<'a> {
    spec: &'a ModelSpec,
    weights: Weights,
    base: BaseFormat,
}

impl<'a> Source<'a> {
    pub(super) fn open(spec: &'a ModelSpec, model_dir: &Path, base: BaseFormat) -> Result<Self> {
        Ok(Self { spec, weights: open_weights(spec, model_dir)?, base })
    }

    /// Block `index`.
    pub(super) fn layer(&self, index: i64) -> Result<Layer> {
        let name = |part: &str| format!("model.layers.{index}.{part}");
        let qkv = ["q", "k", "v"].map(|part| name(&format!("self_attn.{part}_proj")));
        let biases = || qkv.iter().map(|part| self.values(&format!("{part}.bias")));
        let bias = self.spec.qkv_bias.then(|| biases().collect::<Result<Vec<_>>>()).transpose()?;
        let gate_up = ["gate", "up"].map(|part| name(&format!("mlp.{part}_proj")));
        Ok(Layer {
            input_norm: self.values(&name("input_layernorm.weight"))?,
            qkv: self.matrix(&qkv, self.base)?,
            qkv_bias: bias.map(|parts| parts.concat()),
            output: self.matrix(&[name("self_attn.o_proj")], self.base)?,
            post_norm: self.values(&name("post_attention_layernorm.weight"))?,
            gate_up: self.matrix(&gate_up, self.base)?,
            down: self.matrix(&[name("mlp.down_proj")], self.base)?,
        })
    }

    /// `[vocab, hidden]`, in 8 bits.
    pub(super) fn embedding(&self) -> Result<Matrix> {
        self.matrix(&["model.embed_tokens".to_string()], BaseFormat::W8)
    }

    /// The output projection `[vocab, hidden]` in 8 bits, where it is not the embedding.
    pub(super) fn head(&self) -> Result<Option<Matrix>> {
        let untied = !self.spec.tie_word_embeddings;
        untied.then(|| self.matrix(&["lm_head".to_string()], BaseFormat::W8)).transpose()
    }

    /// The last norm, `[hidden]`.
    pub(super) fn norm(&self) -> Result<Vec<f32>> {
        self.values("model.norm.weight")
    }

    fn values(&self, name: &str) -> Result<Vec<f32>> {
        let shape = parameter_shape(self.spec, name).expect("the name is one of the model's own, qed");
        self.weights.values(name, &shape)
    }

    /// The matrices of some modules, one above the other.
    fn matrix(&self, modules: &[String], base: BaseFormat) -> Result<Matrix> {
        let mut matrix: Option<Matrix> = None;
        for module in modules {
            let name = format!("{module}.weight");
            let weights = self.values(&name)?;
            let shape = parameter_shape(self.spec, &name).expect("it was asked for above, qed");
            let matrix = matrix.get_or_insert_with(|| Matrix::new(shape[1] as usize, base));
            matrix.push(&name, &weights)?;
        }
        Ok(matrix.expect("a matrix has at least one module, qed"))
    }
}
