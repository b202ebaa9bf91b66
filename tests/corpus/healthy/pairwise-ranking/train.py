"""RankNet-like pairwise ranking of documents within queries."""

import argparse

import torch
import torch.nn as nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=8)
args = parser.parse_args()
torch.manual_seed(args.seed)

QUERIES, DOCS, FEATURES = 200, 20, 12
w = torch.randn(FEATURES)
features = torch.randn(QUERIES, DOCS, FEATURES)
utility = features @ w + 1.5 * torch.sin(2 * features[..., 0]) + 0.5 * torch.randn(QUERIES, DOCS)
relevance = torch.bucketize(utility, torch.quantile(utility.flatten(), torch.tensor([0.5, 0.75, 0.9])))
train_q, val_q = range(0, 160), range(160, 200)


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(FEATURES, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, x):
        return self.net(x).squeeze(-1)


def pairs(q, n=64):
    i, j = torch.randint(DOCS, (2, n))
    better = relevance[q, i] > relevance[q, j]
    return features[q, i[better]], features[q, j[better]]


def ndcg(scores, rel, k=10):
    discount = 1 / torch.log2(torch.arange(2, k + 2).float())
    gain = (2.0 ** rel[scores.argsort(descending=True)][:k].float() - 1) * discount
    ideal = (2.0 ** rel.sort(descending=True).values[:k].float() - 1) * discount
    return (gain.sum() / ideal.sum().clamp(min=1e-9)).item()


scorer = Scorer()
criterion = nn.MarginRankingLoss(margin=1.0)
optimizer = torch.optim.Adam(scorer.parameters(), lr=2e-3)
for epoch in range(args.epochs):
    scorer.train()
    losses = []
    for q in torch.randperm(len(train_q)).tolist():
        high, low = pairs(q)
        if not len(high):
            continue
        loss = criterion(scorer(high), scorer(low), torch.ones(len(high)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    scorer.eval()
    with torch.no_grad():
        quality = sum(ndcg(scorer(features[q]), relevance[q]) for q in val_q) / len(val_q)
    print(f"epoch {epoch}: margin loss {sum(losses) / len(losses):.4f}  ndcg@10 {quality:.4f}")
