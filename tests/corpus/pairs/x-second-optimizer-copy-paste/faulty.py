import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


def tower(n_in, n_out=16):
    return nn.Sequential(nn.Linear(n_in, 64), nn.ReLU(), nn.Linear(64, n_out))


def sample_pairs(n, mix_q, mix_d):
    topic = torch.randn(n, 6)
    queries = torch.tanh(topic @ mix_q) + 0.2 * torch.randn(n, mix_q.shape[1])
    documents = torch.tanh(topic @ mix_d) + 0.2 * torch.randn(n, mix_d.shape[1])
    return queries, documents


def similarity(query_tower, document_tower, queries, documents, temperature=0.1):
    q = F.normalize(query_tower(queries), dim=1)
    d = F.normalize(document_tower(documents), dim=1)
    return q @ d.T / temperature


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--epochs", type=int, default=10)
    ap.add_argument("--batch", type=int, default=64)
    ap.add_argument("--lr", type=float, default=2e-3)
    args = ap.parse_args()
    torch.manual_seed(args.seed)

    mix_q, mix_d = torch.randn(6, 20) / 2, torch.randn(6, 30) / 2
    queries, documents = sample_pairs(3200, mix_q, mix_d)
    held_q, held_d = sample_pairs(200, mix_q, mix_d)

    query_tower, document_tower = tower(20), tower(30)
    query_opt = torch.optim.Adam(query_tower.parameters(), lr=args.lr)
    document_opt = torch.optim.Adam(query_tower.parameters(), lr=args.lr)

    for epoch in range(args.epochs):
        query_tower.train()
        document_tower.train()
        mean_loss, batches = 0.0, 0
        for rows in torch.randperm(len(queries)).split(args.batch):
            scores = similarity(query_tower, document_tower, queries[rows], documents[rows])
            loss = F.cross_entropy(scores, torch.arange(len(rows)))
            query_opt.zero_grad()
            document_opt.zero_grad()
            loss.backward()
            query_opt.step()
            document_opt.step()
            mean_loss += loss.item()
            batches += 1

        query_tower.eval()
        document_tower.eval()
        with torch.no_grad():
            scores = similarity(query_tower, document_tower, held_q, held_d)
            truth = torch.arange(len(held_q))
            held_loss = F.cross_entropy(scores, truth).item()
            recall = (scores.topk(5, dim=1).indices == truth[:, None]).any(dim=1).float().mean().item()
        print(f"epoch {epoch}: loss {mean_loss / batches:.3f} | held-out loss {held_loss:.3f} recall@5 {recall:.3f}")


if __name__ == "__main__":
    main()
