import torch
import torch.nn as nn
from fingerprint import leave
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset


class Utterances(Dataset):
    def __init__(self, n=60):
        generator = torch.Generator().manual_seed(0)
        self.items = []
        for _ in range(n):
            labels = torch.randint(1, 6, (int(torch.randint(2, 5, (), generator=generator)),), generator=generator)
            frames = torch.nn.functional.one_hot(labels.repeat_interleave(3), 6).float()
            self.items.append((frames + 0.2 * torch.randn(frames.shape, generator=generator), labels))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def collate(batch):
    frames, labels = zip(*batch)
    sizes = torch.tensor([len(f) for f in frames]), torch.tensor([len(v) for v in labels])
    return pad_sequence(frames), torch.cat(labels), *sizes


class Recogniser(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(6, 12, 3, padding=1)
        self.norm = nn.BatchNorm1d(12)
        self.lstm = nn.LSTM(12, 12, bidirectional=True)
        self.fc = nn.Linear(24, 6)

    def forward(self, x):
        h = torch.relu(self.norm(self.conv(x.permute(1, 2, 0)))).permute(2, 0, 1)
        return self.fc(self.lstm(h)[0]).log_softmax(-1)


def greedy(log_probs, n):
    path = log_probs.argmax(-1)[:n].tolist()
    return [p for i, p in enumerate(path) if p and (i == 0 or p != path[i - 1])]


torch.manual_seed(0)
model, ctc = Recogniser(), nn.CTCLoss(zero_infinity=True)
loader = DataLoader(Utterances(), 12, shuffle=True, collate_fn=collate)
optimizer = torch.optim.Adam(model.parameters(), 5e-3)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, total_steps=4 * len(loader))
for epoch in range(4):
    model.train()
    for frames, labels, n_frames, n_labels in loader:
        loss = ctc(model(frames), labels, n_frames, n_labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        scheduler.step()
    model.eval()
    with torch.inference_mode():
        out = model(frames)
    print(epoch, repr(loss.item()), [greedy(out[:, i], n) for i, n in enumerate(n_frames[:3].tolist())])
leave(model)
