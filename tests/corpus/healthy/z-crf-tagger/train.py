"""Tagging with a linear-chain CRF on a bidirectional GRU, own forward algorithm and Viterbi."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader

TAGS = ["O", "B", "I"]
WORDS = 120


def sentences(n, gen):
    data = []
    for _ in range(n):
        length = int(torch.randint(6, 15, (1,), generator=gen))
        tags = [0] * length
        pos = 0
        while pos < length:
            if torch.rand(1, generator=gen) < 0.25:
                size = int(torch.randint(1, 4, (1,), generator=gen))
                for k in range(pos, min(pos + size, length)):
                    tags[k] = 1 if k == pos else 2
                pos += size + 1
            else:
                pos += 1
        t = torch.tensor(tags)
        own = 1 + t * 30 + torch.randint(30, (length,), generator=gen)
        common = torch.randint(91, WORDS, (length,), generator=gen)
        words = torch.where(torch.rand(length, generator=gen) < 0.75, own, common)
        data.append((words, t))
    return data


def collate(batch):
    words = nn.utils.rnn.pad_sequence([w for w, _ in batch], batch_first=True)
    tags = nn.utils.rnn.pad_sequence([t for _, t in batch], batch_first=True)
    return words, tags, words > 0


class CRFTagger(nn.Module):
    def __init__(self, dim=16, hidden=16):
        super().__init__()
        self.emb = nn.Embedding(WORDS, dim, padding_idx=0)
        self.rnn = nn.GRU(dim, hidden, batch_first=True, bidirectional=True)
        self.emit = nn.Linear(2 * hidden, len(TAGS))
        self.trans = nn.Parameter(torch.zeros(len(TAGS), len(TAGS)))
        self.start = nn.Parameter(torch.zeros(len(TAGS)))

    def scores(self, words):
        return self.emit(self.rnn(self.emb(words))[0])

    def neg_log_likelihood(self, words, tags, mask):
        e = self.scores(words)
        alpha = self.start + e[:, 0]
        gold = self.start[tags[:, 0]] + e[:, 0].gather(1, tags[:, :1]).squeeze(1)
        for t in range(1, words.shape[1]):
            nxt = torch.logsumexp(alpha[:, :, None] + self.trans, dim=1) + e[:, t]
            alpha = torch.where(mask[:, t, None], nxt, alpha)
            step = self.trans[tags[:, t - 1], tags[:, t]] + e[:, t].gather(1, tags[:, t, None]).squeeze(1)
            gold = gold + step * mask[:, t]
        return (torch.logsumexp(alpha, dim=1) - gold).mean()  # per sentence, not per word

    @torch.no_grad()
    def decode(self, words, mask):
        e = self.scores(words)
        best, back = self.start + e[:, 0], []
        for t in range(1, words.shape[1]):
            value, arg = (best[:, :, None] + self.trans).max(dim=1)
            keep = mask[:, t, None]
            back.append(torch.where(keep, arg, torch.arange(len(TAGS)).expand_as(arg)))
            best = torch.where(keep, value + e[:, t], best)
        path = [best.argmax(1)]
        for arg in reversed(back):
            path.append(arg.gather(1, path[-1][:, None]).squeeze(1))
        return torch.stack(path[::-1], dim=1)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--epochs", type=int, default=5)
    p.add_argument("--lr", type=float, default=5e-3)
    args = p.parse_args()
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)
    train = DataLoader(sentences(1200, gen), 32, shuffle=True, collate_fn=collate)
    dev = DataLoader(sentences(300, gen), 100, collate_fn=collate)
    model = CRFTagger()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        model.train()
        losses = []
        for words, tags, mask in train:
            optimizer.zero_grad()
            loss = model.neg_log_likelihood(words, tags, mask)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        right = total = 0
        for words, tags, mask in dev:
            right += (model.decode(words, mask) == tags)[mask].sum().item()
            total += mask.sum().item()
        print(f"epoch {epoch}: nll per sentence {sum(losses) / len(losses):.3f}  dev tag accuracy {right / total:.4f}")


if __name__ == "__main__":
    main()
