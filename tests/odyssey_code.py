"""The code of a repository like that of the Odyssey 2024 baseline: WavLM, attentive statistics, a regression head.

It is as code for transformers 4 was: a configuration with `__init__`, a model without `post_init`.
"""

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, WavLMConfig, WavLMModel


class SERConfig(PreTrainedConfig):
    model_type = "ser"

    def __init__(self, ssl=None, hidden_dim=8, num_classes=3, mean=0.0, std=1.0, sampling_rate=16000, **kwargs):
        self.ssl = ssl
        self.hidden_dim = hidden_dim
        self.num_classes = num_classes
        self.mean = mean
        self.std = std
        self.sampling_rate = sampling_rate
        super().__init__(**kwargs)


class Pooling(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.sap_linear = nn.Linear(width, width)
        self.attention = nn.Parameter(torch.zeros(width, 1))

    def forward(self, states):
        weights = (self.sap_linear(states).tanh() @ self.attention).softmax(dim=1)
        mean = (states * weights).sum(dim=1)
        return torch.cat([mean, ((states**2 * weights).sum(dim=1) - mean**2).clamp(min=1e-5).sqrt()], dim=1)


class Head(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = 2 * config.ssl["hidden_size"]
        layers = [nn.Linear(width, config.hidden_dim), nn.LayerNorm(config.hidden_dim), nn.ReLU(), nn.Dropout(0.5)]
        self.fc = nn.ModuleList([nn.Sequential(*layers)])
        self.out = nn.Sequential(nn.Linear(config.hidden_dim, config.num_classes))

    def forward(self, pooled):
        return self.out(self.fc[0](pooled))


class SERModel(PreTrainedModel):
    config_class = SERConfig

    def __init__(self, config):
        super().__init__(config)
        self.ssl_model = WavLMModel(WavLMConfig(**config.ssl))
        self.pool_model = Pooling(config.ssl["hidden_size"])
        self.ser_model = Head(config)

    def forward(self, x, mask):
        return self.ser_model(self.pool_model(self.ssl_model(x, attention_mask=mask).last_hidden_state))
