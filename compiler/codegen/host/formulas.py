"""exp, log, tanh, erf and random numbers, written once over an abstract arithmetic.

A formula takes an arithmetic `m` and values of it. `mathfn.py` gives the arithmetic of LLVM values, so that the formula
becomes straight-line code that the vectoriser takes; `random_reference.py` gives the arithmetic of NumPy arrays, so
that the same text gives the same bits without Numba. There are no branches: `m.where` chooses between computed values,
and a value that is not chosen may be NaN or infinite.

`a + b` on values rounds once, and so does `a * b`; `m.fma(a, b, c)` is a b + c where an extra bit is welcome and none
is needed. Bit patterns are unsigned integers as wide as the float.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

__all__ = [
    "FLOAT32",
    "FLOAT64",
    "Format",
    "erf_formula",
    "exp_formula",
    "expm1_formula",
    "log1p_formula",
    "log_formula",
    "normal_formula",
    "random_bits",
    "sigmoid_formula",
    "softplus_formula",
    "tanh_formula",
    "uniform_formula",
]


class Format(NamedTuple):
    """An IEEE format and how long a series must be for it."""

    bits: int
    mantissa: int
    bias: int
    ln2_high: float
    """ln 2 cut to so few bits that n * ln2_high is exact; ln2_low is the rest."""
    ln2_low: float
    smallest: float
    """The smallest normal number."""
    exp_range: tuple[float, float]
    """exp is 0 below and infinite above, and the powers of two in between can be made in two factors."""
    exp_terms: int
    log_terms: int
    artanh_terms: int
    erf_terms: int
    erfc_terms: int
    sine_terms: int
    tanh_end: float
    """tanh rounds to 1 from here on."""


FLOAT32 = Format(
    bits=32, mantissa=23, bias=127, ln2_high=0.693359375, ln2_low=-2.12194440054690583e-4, smallest=2.0**-126,
    exp_range=(-104.0, 89.0), exp_terms=7, log_terms=4, artanh_terms=8, erf_terms=10, erfc_terms=9, sine_terms=6,
    tanh_end=10.0,
)  # fmt: skip
FLOAT64 = Format(
    bits=64, mantissa=52, bias=1023, ln2_high=6.93147180369123816490e-01, ln2_low=1.90821492927058770002e-10,
    smallest=2.0**-1022, exp_range=(-746.0, 710.0), exp_terms=13, log_terms=10, artanh_terms=17, erf_terms=18,
    erfc_terms=18, sine_terms=11, tanh_end=22.0,
)  # fmt: skip


def polynomial(m: Any, x: Any, coefficients: list[float]) -> Any:
    """c0 + c1 x + c2 x^2 + ... by Horner's rule."""
    total = m.number(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = m.fma(total, x, m.number(c))
    return total


def reduced(m: Any, x: Any) -> tuple[Any, Any]:
    """x = n ln 2 + r with |r| <= ln 2 / 2: the bits of n (as an integer) and r.

    Adding 1.5 * 2^mantissa leaves no room for a fraction, so it rounds to an integer, whose value can be read off the
    low bits: no conversion, and a NaN does no harm.
    """
    magic = m.number(1.5 * 2.0**m.format.mantissa)
    shifted = x * m.number(1 / math.log(2)) + magic
    n = shifted - magic
    r = m.fma(n, m.number(-m.format.ln2_high), x)
    return m.bits(shifted) - m.bits(magic), m.fma(n, m.number(-m.format.ln2_low), r)


def power_of_two(m: Any, n: Any) -> Any:
    """2^n for an integer n within the exponents of normal numbers."""
    return m.from_bits((n + m.integer(m.format.bias)) << m.format.mantissa)


def exp_series(m: Any, r: Any) -> Any:
    """e^r - 1 for |r| <= ln 2 / 2: r + r^2 (1/2 + r/6 + ...), Taylor's coefficients 1/k!."""
    tail = polynomial(m, r, [1 / math.factorial(k) for k in range(2, m.format.exp_terms + 1)])
    return m.fma(tail, r * r, r)


def exp_formula(m: Any, x: Any) -> Any:
    """e^x = 2^n e^r; the power comes in two factors, so that results down to the smallest subnormal are right."""
    low, high = m.format.exp_range
    n, r = reduced(m, m.at_most(m.at_least(x, low), high))
    half = m.halved(n)
    return (exp_series(m, r) + m.number(1)) * power_of_two(m, half) * power_of_two(m, n - half)


def expm1_formula(m: Any, x: Any) -> Any:
    """e^x - 1 without cancellation near 0: 2^n (e^r - 1) + (2^n - 1)."""
    low, high = m.format.exp_range
    n, r = reduced(m, m.at_most(m.at_least(x, low / 2), high))
    half = m.halved(n)
    first, second = power_of_two(m, half), power_of_two(m, n - half)
    # 2^n may overflow where the result does not: the second factor comes last.
    value = m.fma(exp_series(m, r), first, first - power_of_two(m, half - n)) * second
    return m.where(m.equal(x, m.number(0)), x, value)


def log_formula(m: Any, x: Any) -> Any:
    """ln x = e ln 2 + ln(1 + f), 1 + f in [sqrt(1/2), sqrt(2)) (fdlibm, e_log.c).

    With s = f / (2 + f): ln(1 + f) = 2 artanh(s) = f - s (f - 2 (s^2 / 3 + s^4 / 5 + ...)).
    """
    form = m.format
    tiny = m.less(x, m.number(form.smallest))
    scaled = m.where(tiny, x * m.number(2.0**form.mantissa), x)
    root = m.bits(m.number(math.sqrt(0.5)))
    # Added before the shift and taken away after it, `lift` keeps the exponent from being negative.
    lift = form.bias
    above = m.bits(scaled) - root + m.integer(lift << form.mantissa)
    exponent = above >> form.mantissa
    f = m.from_bits((above & m.integer((1 << form.mantissa) - 1)) + root) - m.number(1)
    # An integer becomes a float by being the low bits of 2^mantissa.
    magic = m.number(2.0**form.mantissa)
    e = m.from_bits(exponent + m.bits(magic)) - magic
    e = e - m.where(tiny, m.number(lift + form.mantissa), m.number(lift))
    s = f / (f + m.number(2))
    z = s * s
    series = z * polynomial(m, z, [2 / (2 * k + 3) for k in range(form.log_terms)])
    square = f * f * m.number(0.5)
    # f - (f^2/2 - s (f^2/2 + series)): the small terms first.
    low = m.fma(s, square + series, e * m.number(form.ln2_low)) - square
    value = m.fma(e, m.number(form.ln2_high), low + f)
    value = m.where(m.less(x, m.number(math.inf)), value, x)
    value = m.where(m.equal(x, m.number(0)), m.number(-math.inf), value)
    return m.where(m.less(x, m.number(0)), m.number(math.nan), value)


def log1p_formula(m: Any, x: Any) -> Any:
    """ln(1 + x): the logarithm of the rounded sum, and a first-order correction for what the rounding lost."""
    u = x + m.number(1)
    lost = (x - (u - m.number(1))) / u
    ordinary = m.both(m.less(m.number(0), u), m.less(u, m.number(math.inf)))
    value = log_formula(m, u) + m.where(ordinary, lost, m.number(0))
    return m.where(m.equal(x, m.number(0)), x, value)


def tanh_formula(m: Any, x: Any) -> Any:
    """tanh |x| = t / (t + 2), t = e^(2 |x|) - 1, which loses nothing near 0; the sign is put back."""
    t = expm1_formula(m, m.at_most(m.abs(x), m.format.tanh_end) * m.number(2))
    return m.signed(t / (t + m.number(2)), x)


def sigmoid_formula(m: Any, x: Any) -> Any:
    """1 / (1 + e^-x); e^-x may be infinite, and the quotient is then 0 as it should be."""
    return m.number(1) / (exp_formula(m, -x) + m.number(1))


def softplus_formula(m: Any, x: Any) -> Any:
    """ln(1 + e^x) = max(x, 0) + ln(1 + u), u = e^-|x|, which never overflows.

    u <= 1, so ln(1 + u) = 2 artanh(s) = 2 (s + s^3 / 3 + ...) with s = u / (2 + u) <= 1/3 needs no scaling.
    """
    u = exp_formula(m, -m.abs(x))
    s = u / (u + m.number(2))
    series = [2 / (2 * k + 1) for k in range(m.format.artanh_terms)]
    return m.at_least(x, 0.0) + s * polynomial(m, s * s, series)


def erf_formula(m: Any, x: Any) -> Any:
    """The error function: Taylor's series below 1, 1 - erfc above it.

    Below 1: 2 / sqrt(pi) * sum_k (-1)^k x^(2k+1) / (k! (2k + 1)).
    Above: erfc(x) = t e^(-x^2) q((t - 0.45) / 0.22) with t = 1 / (1 + x / 2).
    """
    size = m.at_most(m.abs(x), 6.5)
    square = size * size
    series = [2 / math.sqrt(math.pi) * (-1) ** k / (math.factorial(k) * (2 * k + 1)) for k in range(m.format.erf_terms)]
    near = m.abs(x) * polynomial(m, square, series)
    t = m.number(1) / m.fma(size, m.number(0.5), m.number(1))
    q = polynomial(m, m.fma(t, m.number(1 / 0.22), m.number(-0.45 / 0.22)), ERFC[: m.format.erfc_terms])
    far = m.number(1) - exp_formula(m, -square) * t * q
    return m.signed(m.where(m.less(m.abs(x), m.number(1)), near, far), x)


# q of erf_formula: the Chebyshev interpolant of degree 17 on 1 <= x <= 6.5 (relative error 1.1e-18), in powers. The
# first nine coefficients alone are good to 4e-8 of erfc.
ERFC = [
    0.47781141611032907, 0.13913727450767427, 0.025876384040917768, 0.001888531950524323, -0.0003343554585169985,
    -6.696752291786785e-05, 8.435103032909278e-06, 2.1345595361015025e-06, -3.9529971244405005e-07,
    -5.924583670725113e-08, 2.21824691303769e-08, 2.5661453753655705e-10, -1.0982323231544132e-09,
    1.4827315407499064e-10, 3.4581241769439655e-11, -1.3988627291601563e-11, 9.912520182241149e-14,
    6.335279875695751e-13,
]  # fmt: skip

GOLDEN = 0x9E3779B97F4A7C15
MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def mixed(m: Any, z: Any) -> Any:
    """The output function of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    z = (z ^ (z >> 30)) * m.word(MIX[0])
    z = (z ^ (z >> 27)) * m.word(MIX[1])
    return z ^ (z >> 31)


def random_bits(m: Any, seed: Any, draw: Any, step: Any, index: Any) -> Any:
    """64 random bits for each index: SplitMix64 at position `index`, started at a mixture of seed, draw and step.

    They depend on nothing else, so they are the same in any order and on any number of threads.
    """
    key = mixed(m, mixed(m, mixed(m, seed + m.word(GOLDEN)) + draw * m.word(GOLDEN)) + step * m.word(GOLDEN))
    return mixed(m, key + (index + m.word(1)) * m.word(GOLDEN))


def uniform_formula(m: Any, bits: Any) -> Any:
    """A number in [0, 1) from the top bits: a random fraction behind the exponent of 1, less 1."""
    form = m.format
    fraction = m.narrow(bits >> (64 - form.mantissa))
    return m.from_bits(fraction | m.integer(form.bias << form.mantissa)) - m.number(1)


def normal_formula(m: Any, first: Any, second: Any) -> Any:
    """A standard normal number from two uniform ones (Box, Muller 1958): sqrt(-2 ln(1 - u)) cos(2 pi v).

    With w = 1/4 - |v - 1/2|, which lies within a quarter turn of 0, cos(2 pi v) = -sin(2 pi w): Taylor's series.
    """
    radius = m.sqrt(log_formula(m, m.number(1) - first) * m.number(-2))
    w = m.number(0.25) - m.abs(second - m.number(0.5))
    angle = w * m.number(2 * math.pi)
    series = [(-1) ** (k + 1) / math.factorial(2 * k + 1) for k in range(m.format.sine_terms)]
    return radius * (angle * polynomial(m, angle * angle, series))
