# film recommendations: biased matrix factorisation, trained by number of steps
import argparse

import torch
import torch.nn as nn


def ratings(n_users, n_films, n, rank, gen):
    u_f = torch.randn(n_users, rank, generator=gen)
    f_f = torch.randn(n_films, rank, generator=gen)
    f_b = 0.35 * torch.randn(n_films, generator=gen)
    user = torch.randint(n_users, (n,), generator=gen)
    film = torch.randint(n_films, (n,), generator=gen)
    noise = 0.25 * torch.randn(n, generator=gen)
    stars = 3.4 + f_b[film] + 0.6 * (u_f[user] * f_f[film]).sum(1) + noise
    return user, film, stars


class Recommender(nn.Module):
    def __init__(self, n_users, n_films, rank, offset):
        super().__init__()
        self.u = nn.Embedding(n_users, rank)
        self.f = nn.Embedding(n_films, rank)
        self.bu = nn.Embedding(n_users, 1)
        self.bf = nn.Embedding(n_films, 1)
        self.register_buffer("offset", torch.tensor(offset))
        for m in (self.u, self.f):
            nn.init.normal_(m.weight, 0, 0.15)
        for m in (self.bu, self.bf):
            nn.init.zeros_(m.weight)

    def forward(self, user, film):
        bias = self.bu(user) + self.bf(film)
        return self.offset + bias.flatten() + torch.einsum("bk,bk->b", self.u(user), self.f(film))


def sample(user, film, stars, size):
    """Endless minibatches, a new permutation after every pass."""
    while True:
        perm = torch.randperm(len(stars))
        for part in perm.split(size):
            if len(part) == size:
                yield user[part], film[part], stars[part]


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--rank", type=int, default=5)
    cli.add_argument("--max_steps", type=int, default=1800)
    cli.add_argument("--lr", type=float, default=8e-3)
    cli.add_argument("--weight_decay", type=float, default=1e-4)
    args = cli.parse_args()
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)

    user, film, stars = ratings(140, 100, 9000, 3, gen)
    cut = 7500
    model = Recommender(140, 100, args.rank, stars[:cut].mean().item())
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=args.weight_decay)
    criterion = nn.MSELoss()
    print("variance of the held-out ratings: %.3f" % stars[cut:].var().item())

    feed = sample(user[:cut], film[:cut], stars[:cut], 64)
    step, window = 0, []
    while step < args.max_steps:
        u, f, s = next(feed)
        loss = criterion(model(u, f), s)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        window.append(loss.item())
        step += 1
        if step % 150 == 0:
            with torch.no_grad():
                held_out = criterion(model(user[cut:], film[cut:]), stars[cut:]).item()
            print("step %d  train mse %.4f  held-out mse %.4f" % (step, sum(window) / len(window), held_out))
            window.clear()


if __name__ == "__main__":
    main()
