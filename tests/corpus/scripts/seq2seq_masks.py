"""A transformer with padding masks, label smoothing and a warm-up written by hand, then an attention decoder."""

import random

import torch
import torch.nn as nn
import torch.nn.functional as F
from fingerprint import leave
from torch import optim
from torch.nn.utils.rnn import pad_sequence

torch.manual_seed(0)
random.seed(0)
PAD, BOS, EOS, VOCAB = 0, 1, 2, 12


def make_batch(n):
    rows = [torch.tensor([random.randrange(3, VOCAB) for _ in range(random.randint(2, 6))]) for _ in range(n)]
    src = pad_sequence([torch.cat([r, torch.tensor([EOS])]) for r in rows], True, PAD)
    tgt = pad_sequence([torch.cat([torch.tensor([BOS]), r.flip(0), torch.tensor([EOS])]) for r in rows], True, PAD)
    return src, tgt


class Seq2Seq(nn.Module):
    def __init__(self, d=16):
        super().__init__()
        self.emb, self.pos = nn.Embedding(VOCAB, d, padding_idx=PAD), nn.Embedding(10, d)
        self.transformer = nn.Transformer(d, 2, 1, 1, 32, 0.1, batch_first=True)
        self.generator = nn.Linear(d, VOCAB)

    def forward(self, src, tgt):
        mask = nn.Transformer.generate_square_subsequent_mask(tgt.size(1)).isinf()
        embed = lambda t: self.emb(t) + self.pos(torch.arange(t.size(1)))  # noqa: E731
        src_pad, tgt_pad = src == PAD, tgt == PAD
        out = self.transformer(embed(src), embed(tgt), None, mask, None, src_pad, tgt_pad, src_pad)
        return self.generator(out)


class NoamOpt:
    """Not an optimizer: it holds one."""

    def __init__(self, size, warmup, optimizer):
        self.optimizer, self.size, self.warmup, self._step = optimizer, size, warmup, 0

    def step(self):
        self._step += 1
        for p in self.optimizer.param_groups:
            p["lr"] = self.size**-0.5 * min(self._step**-0.5, self._step * self.warmup**-1.5)
        self.optimizer.step()


model = Seq2Seq()
opt = NoamOpt(16, 10, optim.Adam(model.parameters(), lr=0, betas=(0.9, 0.98), eps=1e-9))
criterion = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=0.1)
for step in range(20):
    src, tgt = make_batch(12)
    logits = model(src, tgt[:, :-1])
    loss = criterion(logits.transpose(1, 2), tgt[:, 1:])
    opt.optimizer.zero_grad()
    loss.backward()
    opt.step()
    if step % 5 == 0:
        print(step, repr(loss.item()), opt.optimizer.param_groups[0]["lr"])


class EncoderRNN(nn.Module):
    def __init__(self, hidden=12):
        super().__init__()
        self.embedding, self.gru = nn.Embedding(VOCAB, hidden), nn.GRU(hidden, hidden, batch_first=True)

    def forward(self, input):
        return self.gru(self.embedding(input))


class AttnDecoderRNN(nn.Module):
    def __init__(self, hidden=12):
        super().__init__()
        self.embedding, self.gru = nn.Embedding(VOCAB, hidden), nn.GRU(2 * hidden, hidden, batch_first=True)
        self.out = nn.Linear(hidden, VOCAB)

    def forward(self, token, hidden, encoded):
        query = hidden.permute(1, 0, 2)
        context = torch.bmm(F.softmax(torch.bmm(query, encoded.transpose(1, 2)), -1), encoded)
        output, hidden = self.gru(torch.cat([self.embedding(token), context], 2), hidden)
        return F.log_softmax(self.out(output), dim=-1), hidden


encoder, decoder = EncoderRNN(), AttnDecoderRNN()
encoder_optimizer = optim.SGD(encoder.parameters(), lr=0.1)
decoder_optimizer = optim.SGD(decoder.parameters(), lr=0.1)
nll = nn.NLLLoss(ignore_index=PAD)
for step in range(12):
    src, tgt = make_batch(6)
    encoder_optimizer.zero_grad()
    decoder_optimizer.zero_grad()
    encoded, hidden = encoder(src)
    loss, token = 0, tgt[:, :1]
    teacher_forcing = random.random() < 0.5
    for t in range(1, tgt.size(1)):
        output, hidden = decoder(token, hidden, encoded)
        loss = loss + nll(output.squeeze(1), tgt[:, t])
        token = tgt[:, t : t + 1] if teacher_forcing else output.topk(1)[1].squeeze(-1).detach()
    loss.backward()
    encoder_optimizer.step()
    decoder_optimizer.step()
    print("attention", step, repr(loss.item() / tgt.size(1)))
leave(model, encoder, decoder)
