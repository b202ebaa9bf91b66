import os

import numpy as np
import torch
import torch.autograd as autograd
import torch.nn as nn
from fingerprint import leave
from torch.autograd import Variable

os.makedirs("images", exist_ok=True)
np.random.seed(6)
torch.manual_seed(6)
latent_dim, n_critic, lambda_gp, n_epochs = 4, 3, 10, 2
Tensor = torch.FloatTensor


def block(in_feat, out_feat, normalize=True):
    layers = [nn.Linear(in_feat, out_feat)]
    if normalize:
        layers.append(nn.BatchNorm1d(out_feat, 0.8))
    layers.append(nn.LeakyReLU(0.2, inplace=True))
    return layers


generator = nn.Sequential(*block(latent_dim, 16, normalize=False), *block(16, 16), nn.Linear(16, 2))
discriminator = nn.Sequential(nn.Linear(2, 24), nn.LeakyReLU(0.2, inplace=True), nn.Linear(24, 1))
ring = np.random.rand(256) * 2 * np.pi
data = torch.from_numpy(np.stack([np.cos(ring), np.sin(ring)], 1).astype(np.float32))
dataloader = torch.utils.data.DataLoader(data, batch_size=32, shuffle=True)
optimizer_G = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))


def compute_gradient_penalty(D, real_samples, fake_samples):
    alpha = Tensor(np.random.random((real_samples.size(0), 1)))
    interpolates = (alpha * real_samples + ((1 - alpha) * fake_samples)).requires_grad_(True)
    d_interpolates = D(interpolates)
    fake = Variable(Tensor(real_samples.shape[0], 1).fill_(1.0), requires_grad=False)
    gradients = autograd.grad(
        outputs=d_interpolates,
        inputs=interpolates,
        grad_outputs=fake,
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    return ((gradients.view(gradients.size(0), -1).norm(2, dim=1) - 1) ** 2).mean()


batches_done = 0
for epoch in range(n_epochs):
    for i, real_imgs in enumerate(dataloader):
        optimizer_D.zero_grad()
        z = Variable(Tensor(np.random.normal(0, 1, (real_imgs.shape[0], latent_dim))))
        fake_imgs = generator(z)
        real_validity, fake_validity = discriminator(real_imgs), discriminator(fake_imgs)
        gradient_penalty = compute_gradient_penalty(discriminator, real_imgs.data, fake_imgs.data)
        d_loss = -torch.mean(real_validity) + torch.mean(fake_validity) + lambda_gp * gradient_penalty
        d_loss.backward()
        optimizer_D.step()
        optimizer_G.zero_grad()
        if i % n_critic == 0:
            fake_imgs = generator(z)
            g_loss = -torch.mean(discriminator(fake_imgs))
            g_loss.backward()
            optimizer_G.step()
            print("[Epoch %d] [Batch %d] [D loss: %r] [G loss: %r]" % (epoch, i, d_loss.item(), g_loss.item()))
            np.save("images/%d.npy" % batches_done, fake_imgs.data[:5].numpy())
            batches_done += n_critic
leave(generator, discriminator)
