"""Models of the Hub that bring their own code and have no class in `transformers`, implemented from their papers and the keys of their
configurations, so that they can be run and saved like models of `transformers`."""

import math

import torch
from torch import nn
from transformers import BertConfig, BertModel, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput


def slopes(heads):
    """The ALiBi slope of each head (arXiv 2108.12409)."""
    def of_power(count):
        return [2.0 ** (-8.0 * term / count) for term in range(1, count + 1)]

    power = 2 ** math.floor(math.log2(heads))
    return torch.tensor(of_power(power) + of_power(2 * power)[::2][:heads - power])


class Part(nn.Module):
    """A module with named submodules."""

    def __init__(self, /, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


class JinaBertModel(PreTrainedModel):
    """JinaBERT (arXiv 2310.19923)."""

    config_class = BertConfig
    base_model_prefix = "bert"

    def __init__(self, config):
        super().__init__(config)
        hidden, inner = config.hidden_size, config.intermediate_size
        norm = lambda: nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        linear = lambda: nn.Linear(hidden, hidden)
        self.embeddings = Part(word_embeddings=nn.Embedding(config.vocab_size, hidden),
                               token_type_embeddings=nn.Embedding(config.type_vocab_size, hidden), LayerNorm=norm())
        self.encoder = Part(layer=nn.ModuleList([Part(
            attention=Part(self=Part(query=linear(), key=linear(), value=linear()), output=Part(dense=linear(), LayerNorm=norm())),
            mlp=Part(gated_layers=nn.Linear(hidden, 2 * inner, bias=False), wo=nn.Linear(inner, hidden), layernorm=norm()),
        ) for _ in range(config.num_hidden_layers)]))
        self.post_init()

    def forward(self, input_ids, token_type_ids):
        heads, length = self.config.num_attention_heads, input_ids.shape[-1]
        x = self.embeddings.word_embeddings(input_ids) + self.embeddings.token_type_embeddings(token_type_ids)
        x = self.embeddings.LayerNorm(x)
        at = torch.arange(length)
        bias = -slopes(heads)[:, None, None] * (at[:, None] - at[None, :]).abs()
        activation = {"geglu": nn.functional.gelu, "reglu": nn.functional.relu}[self.config.feed_forward_type]
        for layer in self.encoder.layer:
            own, after, mlp = layer.attention.self, layer.attention.output, layer.mlp
            split = lambda rows: rows.view(1, length, heads, -1).transpose(1, 2)
            query, key, value = split(own.query(x)), split(own.key(x)), split(own.value(x))
            scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + bias
            mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(1, length, -1)
            x = after.LayerNorm(after.dense(mixed) + x)
            gate, other = mlp.gated_layers(x).chunk(2, -1)
            x = mlp.layernorm(mlp.wo(activation(gate) * other) + x)
        return BaseModelOutput(last_hidden_state=x)


class JinaBertForMaskedLM(PreTrainedModel):
    """JinaBERT with BERT's masked-token head."""

    config_class = BertConfig
    base_model_prefix = "bert"

    def __init__(self, config):
        super().__init__(config)
        hidden = config.hidden_size
        self.bert = JinaBertModel(config)
        transform = Part(dense=nn.Linear(hidden, hidden), LayerNorm=nn.LayerNorm(hidden, eps=config.layer_norm_eps))
        self.cls = Part(predictions=Part(transform=transform))
        self.cls.predictions.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.post_init()

    def forward(self, **arguments):
        predictions = self.cls.predictions
        x = self.bert(**arguments).last_hidden_state
        x = predictions.transform.LayerNorm(ACT2FN[self.config.hidden_act](predictions.transform.dense(x)))
        return MaskedLMOutput(logits=x @ self.bert.embeddings.word_embeddings.weight.T + predictions.bias)


class HF_ColBERT(PreTrainedModel):
    """ColBERT: a unit vector for each token from BERT (arXiv 2004.12832)."""

    config_class = BertConfig
    base_model_prefix = "bert"

    def __init__(self, config):
        super().__init__(config)
        self.bert = BertModel(config)
        self.linear = nn.Linear(config.hidden_size, 16, bias=False)
        self.post_init()

    def forward(self, **arguments):
        vectors = self.linear(self.bert(**arguments).last_hidden_state)
        return BaseModelOutput(last_hidden_state=nn.functional.normalize(vectors, dim=-1))
