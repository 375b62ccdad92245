"""A plain temporal CNN on the joints themselves: what a classifier of pictures has to beat."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class TemporalCNN(nn.Module):
    """Convolutions over time, (kernel 5, batch normalisation, ReLU) three times, with a pool by 2
    in between; then the mean over time. channels: J times 3, times the persons."""

    def __init__(
        self, channels: int, classes: int, *, width: int = 96, dropout: float = 0.3
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, pool in ((channels, 2), (width, 2), (width, 1)):
            layers += [
                nn.Conv1d(inputs, width, 5, padding=2, bias=False),
                nn.BatchNorm1d(width),
                nn.ReLU(),
                nn.MaxPool1d(pool),
            ]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, classes))

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b a"]:
        """Logits."""
        return self.classifier(self.features(x).mean(-1))
