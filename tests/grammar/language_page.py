"""The examples of the language's page, as they stand there."""

# ruff: noqa: E501

from __future__ import annotations

EXAMPLES = {
    "a first file": """\
# Handwritten digits, 8x8 pixels, ten classes.
model Digits:
    hyper units = 64 in {16, 32, 64, 128}

    input  X : (64, m)
    target Y : (10, m) one_hot

    Y_hat = X -> Dense(units, relu) -> Dense(units, relu) -> Dense(10, softmax)

    loss   cross_entropy(Y_hat, Y)
    metric accuracy(Y_hat, Y)
    output Y_hat

data:
    source = csv("digits.csv")
    X      = columns("pixel_*") / 16
    Y      = column("label")
    split  = 0.8, 0.1, 0.1

train:
    optimizer = Adam(lr = 1e-3)
    batch     = 64
    epochs    = 30
""",
    "the blackboard": """\
model DeepNet(n = [64, 32, 16, 10]):
    L = len(n) - 1

    input  X : (n[0], m)
    target Y : (n[L], m) one_hot

    A[0] = X
    for l in 1..L:
        param W[l] : (n[l], n[l-1]) ~ he
        param b[l] : (n[l], 1)      ~ zeros
        Z[l] : (n[l], m) = W[l] @ A[l-1] + b[l]
        A[l] = softmax(Z[l]) if l == L else relu(Z[l])

    loss   cross_entropy(A[L], Y)
    output Y_hat = A[L]
""",
    "einsum, rearrange, split": """\
S   = einsum(Q, K, (d, q, m), (d, k, m) -> (q, k, m))
Q_h = rearrange(Q, (heads * d, m, q) -> (heads, d, m, q))
p, b, c = split(y, (1, 4, 3), over = first)          # undoes concat; there is no other slicing
""",
    "dense layer": """\
layer Dense(n, g = identity):
    input A : (n_in, m, ...)
    param W : (n, n_in)    ~ he
    param b : (n, 1, ...)  ~ zeros
    output g(W @ A + b)
""",
    "functions": """\
function sigmoid(z)                  = 1 / (1 + exp(-z))
function leaky_relu(z, slope = 0.01) = max(slope * z, z)
function softmax(z, over = features) = exp(z) / sum(exp(z), over = over)
function cross_entropy(Y_hat : (...), Y : (...)) = -sum(Y * log(Y_hat), over = features)
""",
    "convolutions": """\
layer Conv(f, n_C, stride = 1, pad = valid, groups = 1, g = identity):
    input A : (m, ..., n_C_prev)
    require n_C_prev % groups == 0, "groups must divide the input channels"
    param W : (f..., n_C_prev / groups, n_C) ~ he
    param b : (1, ..., n_C)                  ~ zeros
    output g(convolve(A, W, stride = stride, pad = pad, groups = groups) + b)

layer MaxPool(f = 2, stride = f, pad = valid):
    input A : (m, ..., n_C)
    output max(A, over = ..., window = f, stride = stride, pad = pad)

layer Flatten():
    input A : (m, ..., c)
    output rearrange(A, (m, ..., c) -> (... * c, m))
""",
    "lstm": """\
layer LSTM(n_a):
    input x : (n_x, m, T)
    param W_c, W_u, W_f, W_o : (n_a, n_a + n_x) ~ glorot
    param b_c, b_u, b_f, b_o : (n_a, 1)         ~ zeros
    a<0> : (n_a, m) = 0
    c<0> : (n_a, m) = 0
    scan t in 1..T:
        ax      = concat(a<t-1>, x<t>, over = first)
        c_tilde = tanh(W_c @ ax + b_c)
        G_u     = sigmoid(W_u @ ax + b_u)
        G_f     = sigmoid(W_f @ ax + b_f)
        G_o     = sigmoid(W_o @ ax + b_o)
        c<t>    = G_u * c_tilde + G_f * c<t-1>
        a<t>    = G_o * tanh(c<t>)
    output a : (n_a, m, T)
    output c : (n_a, m, T)
""",
    "generate": """\
model Writer:
    output s = generate(y, from = y_hat, until = "<EOS>", max = 60, by = beam(width = 3, alpha = 0.7))   # or greedy, sample(temperature = 0.8)
""",
    "optimizer, schedule, initializer, regularizer": """\
optimizer Adam(lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8):
    state v, s ~ zeros
    v := beta1 * v + (1 - beta1) * dW
    s := beta2 * s + (1 - beta2) * dW^2
    W := W - lr * (v / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + eps)

schedule    inverse_decay(lr, rate) = lr / (1 + rate * epoch)
initializer he                      = normal(0, sqrt(2 / fan_in))
regularizer l2(lambda)              = lambda / (2 * m) * sum(W^2, over = all)
""",
    "data and training": """\
data:
    source  = csv("housing.csv")           # parquet, npz, images("cats/"), text("book.txt"), wav("clips/")
    X       = columns(size, bedrooms, age) -> standardize      # images: image, label; text: chars, words; wav: samples, label
    Y       = column(price)
    split   = 0.8, 0.1, 0.1                # train, dev, test; seeded; or by_column(fold), or separate files
    augment = flip(), crop(28), color_shift(20)   # training only

train:
    optimizer  = Momentum(lr = inverse_decay(0.2, rate = 1), beta = 0.9)
    batch      = 64                         # all: batch gradient descent; 1: stochastic
    epochs     = 50                         # or: steps = 1000
    regularize = l2(0.01), l1(1e-5)
    clip       = norm(5)
    early_stop = patience(5, on = dev.loss)  # on = dev.accuracy, best = max
    seed       = 1
""",
}
