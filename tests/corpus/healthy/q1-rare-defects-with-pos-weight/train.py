import argparse
from dataclasses import dataclass, field

import torch
import torch.nn as nn
from sklearn.metrics import average_precision_score, roc_auc_score


@dataclass
class History:
    loss: list = field(default_factory=list)
    ap: list = field(default_factory=list)


def parts(n):
    """Ten measurements per part; a defect shows up as an odd pair of them."""
    x = torch.randn(n, 10)
    risk = 2.2 * (x[:, 0] * x[:, 1]) + 1.6 * x[:, 2] - 1.4 * x[:, 3].abs()
    threshold = 3.2
    y = (risk + 0.3 * torch.randn(n) > threshold).float()
    return x, y


def stratified_split(y, share):
    val = torch.zeros(len(y), dtype=torch.bool)
    for c in (0.0, 1.0):
        idx = (y == c).nonzero().squeeze(1)
        idx = idx[torch.randperm(len(idx))]
        val[idx[: int(share * len(idx))]] = True
    return ~val, val


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch-size", type=int, default=128)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    x, y = parts(8000)
    tr, va = stratified_split(y, 0.25)
    x_tr, y_tr, x_va, y_va = x[tr], y[tr], x[va], y[va]
    positives = y_tr.sum()
    print(f"defect share {y_tr.mean().item():.3f}")

    model = nn.Sequential(nn.Linear(10, 48), nn.GELU(), nn.Linear(48, 24), nn.GELU(), nn.Linear(24, 1))
    criterion = nn.BCEWithLogitsLoss(pos_weight=((len(y_tr) - positives) / positives).sqrt())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)

    history = History()
    for epoch in range(args.epochs):
        model.train()
        epoch_loss = 0.0
        for idx in torch.randperm(len(y_tr)).split(args.batch_size):
            logits = model(x_tr[idx]).squeeze(1)
            loss = criterion(logits, y_tr[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item() * len(idx) / len(y_tr)
        model.eval()
        with torch.no_grad():
            logits = model(x_va).squeeze(1)
        ap = average_precision_score(y_va.numpy(), logits.numpy())
        auc = roc_auc_score(y_va.numpy(), logits.numpy())
        recall = (logits[y_va == 1] > 0).float().mean().item()
        history.loss.append(epoch_loss)
        history.ap.append(ap)
        print(
            f"epoch {epoch + 1:2d}  loss {epoch_loss:.4f}  val loss {criterion(logits, y_va).item():.4f}  "
            f"AP {ap:.3f}  AUC {auc:.3f}  recall {recall:.2f}"
        )
    print(f"best average precision {max(history.ap):.3f}")


if __name__ == "__main__":
    main()
