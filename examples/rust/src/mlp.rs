//! The Unitree Go2 walking policy: a multilayer perceptron, in plain loops.

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Deserialize;

/// A perceptron with ELU between its layers.
#[derive(Debug)]
pub(crate) struct Mlp {
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    /// Row-major: a row for each output.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// What `config.json` says.
#[derive(Debug, Deserialize)]
struct Config {
    #[serde(rename = "type")]
    kind: String,
    activation: String,
    layers: Vec<usize>,
}

impl Mlp {
    /// Builds the network that `config` describes. Its tensors are named as PyTorch's
    /// `nn.Sequential` names them, which numbers the activations, too: `actor.0.weight` of shape
    /// `[outputs, inputs]`, `actor.0.bias`, `actor.2.weight`, …
    ///
    /// # Errors
    /// Says what does not fit.
    pub(crate) fn new<'t>(
        config: &[u8],
        tensor: impl Fn(&str) -> Option<TensorView<'t>>,
    ) -> Result<Self, String> {
        let config: Config =
            serde_json::from_slice(config).map_err(|error| format!("config.json: {error}"))?;
        if (config.kind.as_str(), config.activation.as_str()) != ("mlp", "elu") {
            return Err(format!("not an ELU perceptron: {config:?}"));
        }
        let read = |name: String, shape: &[usize]| match tensor(&name) {
            Some(view) => floats(&view, shape).map_err(|why| format!("{name:?}: {why}")),
            None => Err(format!("no tensor {name:?}")),
        };
        let widths = config.layers.windows(2).enumerate();
        let layers = widths.map(|(i, widths)| {
            let (inputs, outputs) = (widths[0], widths[1]);
            Ok(Layer {
                weight: read(format!("actor.{}.weight", 2 * i), &[outputs, inputs])?,
                bias: read(format!("actor.{}.bias", 2 * i), &[outputs])?,
            })
        });
        Ok(Self {
            layers: layers.collect::<Result<_, String>>()?,
        })
    }

    /// The action for one observation.
    pub(crate) fn act(&self, observation: &[f32]) -> Vec<f32> {
        let Some((last, hidden)) = self.layers.split_last() else {
            return observation.to_vec();
        };
        let activate = |x: Vec<f32>, layer: &Layer| layer.apply(&x).into_iter().map(elu).collect();
        last.apply(&hidden.iter().fold(observation.to_vec(), activate))
    }
}

impl Layer {
    /// Sums in f64, so that the order of summation does not show in the f32 result.
    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let rows = self.weight.chunks_exact(x.len()).zip(&self.bias);
        rows.map(|(row, bias)| {
            let products = row
                .iter()
                .zip(x)
                .map(|(w, x)| f64::from(*w) * f64::from(*x));
            (products.sum::<f64>() + f64::from(*bias)) as f32
        })
        .collect()
    }
}

fn elu(x: f32) -> f32 {
    if x > 0.0 { x } else { x.exp_m1() }
}

fn floats(view: &TensorView<'_>, shape: &[usize]) -> Result<Vec<f32>, String> {
    if (view.dtype(), view.shape()) != (Dtype::F32, shape) {
        let (dtype, found) = (view.dtype(), view.shape());
        return Err(format!(
            "{dtype} of shape {found:?}, expected F32 of {shape:?}"
        ));
    }
    let (values, _) = view.data().as_chunks();
    Ok(values
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &[u8] = br#"{"type": "mlp", "activation": "elu", "layers": [2, 2, 1]}"#;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn network(first: &[f32]) -> Result<Mlp, String> {
        let data = [
            bytes(first),
            bytes(&[0.5, 0.0]),
            bytes(&[2.0, 10.0]),
            bytes(&[1.0]),
        ];
        Mlp::new(CONFIG, |name| {
            let (at, shape) = match name {
                "actor.0.weight" => (0, vec![data[0].len() / 8, 2]),
                "actor.0.bias" => (1, vec![2]),
                "actor.2.weight" => (2, vec![1, 2]),
                "actor.2.bias" => (3, vec![1]),
                _ => return None,
            };
            TensorView::new(Dtype::F32, shape, &data[at]).ok()
        })
    }

    #[test]
    fn it_computes_what_the_layers_say() {
        let network = network(&[1.0, 2.0, 3.0, -4.0]).unwrap();
        // Hidden: 1 + 2·1 + 0.5 = 3.5 and 3 − 4·1 = −1, of which ELU makes e⁻¹ − 1.
        let expected = 2.0 * 3.5 + 10.0 * ((-1.0_f32).exp() - 1.0) + 1.0;
        let action = network.act(&[1.0, 1.0]);
        assert!(
            (action[0] - expected).abs() < 1e-6,
            "{action:?}, expected {expected}"
        );
    }

    #[test]
    fn a_tensor_of_another_shape_is_refused() {
        let error = network(&[1.0, 2.0]).unwrap_err();
        assert_eq!(
            error,
            r#""actor.0.weight": F32 of shape [1, 2], expected F32 of [2, 2]"#
        );
    }
}
