# Cross-validation, everything at the top level: models and optimizers come and go in loops.
import numpy as np
import torch
from fingerprint import leave
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

np.random.seed(0)
torch.manual_seed(0)
x, y = load_breast_cancer(return_X_y=True)
scores = []
for fold, (train, valid) in enumerate(KFold(3, shuffle=True).split(x)):
    scaler = StandardScaler().fit(x[train])
    xt, xv = (torch.tensor(scaler.transform(x[i]), dtype=torch.float32) for i in (train, valid))
    yt, yv = (torch.tensor(y[i], dtype=torch.float32).unsqueeze(1) for i in (train, valid))
    model = torch.nn.Sequential(
        torch.nn.Linear(30, 12), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(12, 1), torch.nn.Sigmoid()
    )
    criterion = torch.nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    best, best_state, since = np.inf, None, 0
    for epoch in range(20):
        model.train()
        for idx in np.array_split(np.random.permutation(len(xt)), 8):
            optimizer.zero_grad()
            loss = criterion(model(xt[idx]), yt[idx])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val = criterion(model(xv), yv).item()
        if val < best:
            best, since = val, 0
            best_state = {k: v.clone() for k, v in model.state_dict().items()}
        else:
            since += 1
            if since == 3:
                print("early stopping, epoch", epoch)
                break
    model.load_state_dict(best_state)
    with torch.no_grad():
        auc = roc_auc_score(yv.numpy(), model(xv).numpy())
    scores.append(auc)
    print(f"fold {fold} val {best!r} auc {auc!r}")
print("mean", repr(float(np.mean(scores))))
leave(model, scores)
