"""The network, in torch: for training and export only, never imported on the robot.

What it costs, per environment step, on two shared cores (torch 2.13, float32, best of 15): `nano`, a rollout
forward of 256 environments, and two epochs of forward and backward in batches of 4,096.

| context tokens | forward | forward + backward | rollout + 2 epochs |
|---|---|---|---|
| proprioception | 7.1 us | 10.7 us | 29 us |
| proprioception, command | 8.1 us | 15.5 us | 39 us |

Chosen by measurement (one / two context tokens): attention over few keys as multiply-and-sum 31 / 40 us, as a fused
kernel 43 / 85, as einsum 65 for two; LayerNorm 31, RMSNorm 46; GELU 31, ReLU 29, SiLU 41; bfloat16 autocast 46.
torch.compile gains 15 % at one token and 4 % at two, and compiles for half a minute: too long in four minutes.
"""
