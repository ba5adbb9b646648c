//! View functions with subxt 0.51. Its own `view_functions().call` sends the arguments, and reads the answer, without the
//! length and the result that the chain's API wraps around them; so this takes subxt's types and its check of them, and
//! calls that API itself.

use crate::{
    attune::{self, runtime_types::frame_support::view_functions::ViewFunctionId},
    At,
};
use anyhow::{anyhow, Context, Result};
use subxt::{ext::scale_decode::DecodeAsType, view_functions::Payload};

/// Half of a view function's id: the pallet's part, then the function's.
const HALF: usize = 16;

/// Calls a view function.
pub(crate) async fn call<P: Payload>(at: &At, payload: P) -> Result<P::ReturnType> {
    let (pallet, function) = (payload.pallet_name().to_owned(), payload.function_name().to_owned());
    let functions = at.view_functions();
    functions.validate(&payload)?;
    let encoded = functions.encode_args(&payload)?;
    let (prefix, rest) = encoded.split_at(HALF);
    let (suffix, arguments) = rest.split_at(HALF);
    let id = ViewFunctionId { prefix: prefix.try_into()?, suffix: suffix.try_into()? };

    let api = attune::runtime_apis().runtime_view_function();
    let answer = at.runtime_apis().call(api.execute_view_function(id, arguments.to_vec())).await?;
    let answer = answer.map_err(|error| anyhow!("{pallet}.{function}: {error:?}"))?;
    let metadata = at.metadata_ref();
    let found = metadata.pallet_by_name(&pallet).and_then(|found| found.view_function_by_name(&function));
    let found = found.with_context(|| format!("the node has no {pallet}.{function}"))?;
    Ok(P::ReturnType::decode_as_type(&mut &answer[..], found.output_ty(), metadata.types())?)
}
