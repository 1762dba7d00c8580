"""Small networks of sequences, images and volumes whose sizes are known only at run time, as text."""

from __future__ import annotations

NETS = {
    "steps": """
model Net:
    dim T
    require T >= 12
    input  x : (m, T, 4)
    target y : (m, 1, 6)
    A = x -> Conv(3, 6, stride = 2, pad = 2, groups = 2, g = tanh) -> MaxPool(3, stride = 2, pad = 1)
    B = A -> Conv(2, 6, pad = same, groups = 3, g = tanh)
    C = x -> AvgPool(3, stride = 2, pad = 1) -> Conv(5, 6, stride = 4, pad = 3, g = tanh)
    D = x -> Conv(2, 6, stride = 3, pad = 3) -> Conv(1, 6, groups = 2) -> ConvTranspose(3, 6, stride = 2, g = tanh)
    y_hat = mean(B, over = T) + max(C, over = T) * mean(D, over = T)
    loss   squared_error(y_hat, y)
    output A
    output C
    output D
    output y_hat
""",
    "depthwise": """
model Net:
    dim T
    require T >= 12
    input  x : (m, T, 4)
    target y : (m, 1, 5)
    A = x -> DepthwiseConv(3, stride = 2, pad = 1, g = tanh) -> SeparableConv(3, 5, pad = same, g = tanh)
    B = sum(A, over = T, window = 3, stride = 2) + min(A, over = T, window = 3, stride = 2)
    C = prod(x, over = T, window = 2, stride = 2) -> DepthwiseConv(4, pad = 4, stride = 3)
    y_hat = mean(B, over = T) + mean(C -> Conv(1, 5), over = T)
    loss   squared_error(y_hat, y)
    output y_hat
""",
    "images": """
model Net:
    dim n_H
    dim n_W
    require n_H >= 8
    require n_W >= 8
    input  X : (m, n_H, n_W, 3)
    target Y : (m, 1, 1, 5)
    A = X -> Conv(3, 4, pad = 1, g = relu) -> BatchNorm()
    B = A -> Conv((3, 2), 6, stride = (2, 1), groups = 2, g = tanh) -> MaxPool(2)
    C = A -> DepthwiseConv(3, stride = 2, pad = 1, g = tanh) -> Conv(1, 5, g = tanh)
    D = B -> AvgPool(3, stride = 1, pad = 1) -> ConvTranspose(2, 5, stride = 2, g = tanh)
    Y_hat = (C -> GlobalAvgPool()) + (D -> GlobalAvgPool())
    loss   squared_error(Y_hat, Y)
    output B
    output Y_hat
""",
    "one image": """
model Net:
    dim n_H
    dim n_W
    require n_H >= 8
    require n_W >= 8
    input  X : (1, n_H, n_W, 3)
    target Y : (1, 1, 1, 4)
    param  V : (3, 3, 3, 4) ~ normal(1)
    param  U : (2, 3, 4, 3) ~ normal(1)
    A = relu(convolve(X, V, stride = 3, pad = same))
    B = tanh(convolve_transpose(A, U, stride = (2, 3), pad = same))
    C = max(convolve(B, V, stride = (4, 1), pad = same), over = (n_H, n_W), window = 2, stride = 1, pad = same)
    Y_hat = mean(C, over = (n_H, n_W))
    loss   squared_error(Y_hat, Y)
    output B
    output Y_hat
""",
    "volumes": """
model Net:
    dim n_D
    dim n_W
    require n_D >= 6
    require n_W >= 6
    input  X : (m, n_D, 5, n_W, 2)
    target Y : (m, 1, 1, 1, 4)
    A = X -> Conv((3, 2, 3), 4, pad = 1, g = tanh)
    B = A -> Conv(2, 4, stride = (1, 2, 2), pad = 1, groups = 2, g = tanh) -> MaxPool(2)
    Y_hat = (B -> GlobalAvgPool()) + (A -> DepthwiseConv(3, stride = 2, g = tanh) -> GlobalAvgPool())
    loss   squared_error(Y_hat, Y)
    output Y_hat
""",
}
STEPS = ({"T": [13, 13, 13]}, {"T": [12, 18, 17, 13, 15]}, {"T": [31]})
"""Each example's size, by dimension: batches for one compilation."""
BATCHES = {
    "steps": STEPS,
    "depthwise": STEPS,
    "images": ({"n_H": [9], "n_W": [8]}, {"n_H": [8, 11, 10], "n_W": [12, 9, 8]}),
    "one image": ({"n_H": 9, "n_W": 8}, {"n_H": 12, "n_W": 19}, {"n_H": 16, "n_W": 11}),
    "volumes": ({"n_D": [7, 6], "n_W": [8, 11]}, {"n_D": [6], "n_W": [6]}),
}
