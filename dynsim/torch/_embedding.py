"""nn.Embedding without a table."""

from __future__ import annotations

import torch

from ._base import Particles
from ._relation import relation


class DynEmbedding(Particles):
    """An embedding whose entries are the relation of tokens and axes; only the rows that are asked for are made.

    W[token, axis] = sum_h lambda_h phi(q_in[h, axis], q_out[h, token]) + sum_r left[token, r] right[r, axis]

    Parameters
    ----------
    num_embeddings, embedding_dim, padding_idx
        As of `torch.nn.Embedding`; the row of `padding_idx` is 0.
    copies, dim, kernel, rank
        As of `DynLinear`.

    Examples
    --------
    >>> import torch
    >>> layer = DynEmbedding(10, 4, copies=2, dim=3)
    >>> rows = layer(torch.tensor([[1, 2], [1, 9]]))
    >>> rows.shape, torch.equal(rows[0, 0], rows[1, 0])
    (torch.Size([2, 2, 4]), True)
    """

    def __init__(
        self, num_embeddings, embedding_dim, padding_idx=None, copies=2, dim=8, kernel=None, rank=0, device=None,
        dtype=None,
    ):  # fmt: skip
        super().__init__((1, 1, num_embeddings, embedding_dim), copies, dim, kernel, rank, "half", device, dtype)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else range(num_embeddings)[padding_idx]

    @property
    def weight(self):
        """The whole table, made anew."""
        return self.materialize()

    def materialize(self):
        """Return the table (num_embeddings, embedding_dim), differentiable."""
        return self._rows(torch.arange(self.num_embeddings, device=self.strengths.device))

    def forward(self, tokens):
        """Map whole numbers (...) to (..., embedding_dim)."""
        asked, inverse = torch.unique(tokens, return_inverse=True)
        return self._rows(asked)[inverse]

    def _rows(self, tokens):
        rows = relation(self.kernel, self.places_in, self.places_out[:, :, tokens], self.strengths)[0, 0]
        if self.left is not None:
            rows = rows + self.left[0, tokens] @ self.right[:, 0]
        if self.padding_idx is None:
            return rows
        return rows.masked_fill((tokens == self.padding_idx)[:, None], 0.0)

    def extra_repr(self):
        """What `print(module)` says."""
        return f"{self.num_embeddings}, {self.embedding_dim}, {self._particles_repr()}"
