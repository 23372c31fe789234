"""Loops that numba compiles for the CPU: exp, and the LSTM of a quantized variant (`engine.run_lstm` is its reference).

Documents are run four at a time, so that each recurrent weight is read once for four. Rounding is that of
`levels.to_levels`: adding and taking away 1.5 * 2**23 rounds a float32 below 2**22 half to even.
"""

from typing import Any

import numpy as np
from numba import njit

from core.quantization.products import ZERO_POINT

GROUP = 4
_ROUND = np.float32(1.5 * 2**23)
_ZERO = np.float32(0)
_ONE, _HALF = np.float32(1), np.float32(0.5)
_ZERO_POINT = np.float32(ZERO_POINT)
LOWEST = np.float32(-87)  # exp of it is the last above float32's smallest normal number
_CHUNK = 512
# Cephes' expf (S. L. Moshier): log2(e), ln 2 as the sum of two, and the polynomial of (exp(r) - 1 - r) / r^2.
_LOG2_E, _LN2, _LN2_REST = np.float32(1.44269504088896341), np.float32(0.693359375), np.float32(-2.12194440e-4)
_P = tuple(np.float32(p) for p in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1))


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
def _multiply(sums: Any, hidden: Any, weight: Any) -> None:
    """sums (4, N) = hidden (4, K) @ weight (K, N), K a multiple of 4; on integers below 2**24 in any order exact."""
    a, b, c, d = sums[0], sums[1], sums[2], sums[3]
    sums[:] = _ZERO
    for k in range(0, len(weight), 4):
        w, x, y, z = weight[k], weight[k + 1], weight[k + 2], weight[k + 3]
        aw, ax, ay, az = hidden[0, k], hidden[0, k + 1], hidden[0, k + 2], hidden[0, k + 3]
        bw, bx, by, bz = hidden[1, k], hidden[1, k + 1], hidden[1, k + 2], hidden[1, k + 3]
        cw, cx, cy, cz = hidden[2, k], hidden[2, k + 1], hidden[2, k + 2], hidden[2, k + 3]
        dw, dx, dy, dz = hidden[3, k], hidden[3, k + 1], hidden[3, k + 2], hidden[3, k + 3]
        for n in range(weight.shape[1]):
            p, q, r, s = w[n], x[n], y[n], z[n]
            a[n] += aw * p + ax * q + ay * r + az * s
            b[n] += bw * p + bx * q + by * r + bz * s
            c[n] += cw * p + cx * q + cy * r + cz * s
            d[n] += dw * p + dx * q + dy * r + dz * s


@njit(nogil=True, cache=True)
def _level(value: Any, scale: Any, low: Any, high: Any) -> Any:
    return (min(max(value / scale, low), high) + _ROUND) - _ROUND


@njit(nogil=True, cache=True)
def _gates(gates: Any, places: Any, sums: Any, lane: Any, inputs: Any, word: Any, constants: Any) -> None:
    """Turn one document's integer sums (4, H) into the values (4, H) of the quantized gates."""
    rescale, bias, grids, tables = constants
    for gate in range(4):
        scale, low, high = grids[gate, 0], grids[gate, 1], grids[gate, 2]
        for n in range(gates.shape[1]):
            total = (inputs[word, gate, n] + sums[lane, gate, n] * rescale[gate, n]) + bias[gate, n]
            places[gate, n] = np.uint32(_level(total, scale, low, high) - low)
    for gate in range(4):
        for n in range(gates.shape[1]):
            gates[gate, n] = tables[gate, places[gate, n]]


@njit(nogil=True, cache=True)
def _cell(hidden: Any, row: Any, cell: Any, lane: Any, gates: Any, places: Any, constants: Any) -> None:
    """Update one document's levels of cell (H,) and hidden state (H,), in place."""
    grids, tables, size = constants[2], constants[3], gates.shape[1]
    scale, low, high = grids[4, 0], grids[4, 1], grids[4, 2]
    for n in range(size):
        kept = _level(gates[1, n] * (cell[lane, n] * scale), scale, low, high)
        added = _level(gates[0, n] * gates[2, n], scale, low, high)
        level = min(max(kept + added, low), high)
        cell[lane, n] = level
        places[0, n] = np.uint32(level - low)
    for n in range(size):
        gates[0, n] = tables[4, places[0, n]]
    scale, low, high = grids[5, 0], grids[5, 1], grids[5, 2]
    for n in range(size):
        hidden[row, n] = _level(gates[3, n] * gates[0, n], scale, low, high)


@njit(nogil=True, cache=True)
def _keep(states: Any, row: Any, hidden: Any, lane: Any, constants: Any) -> None:
    scale = constants[2][5, 0]
    for n in range(states.shape[1]):
        states[row, n] = hidden[lane, n] * scale


@njit(nogil=True, cache=True)
def advance(
    states: Any,
    hidden: Any,
    cell: Any,
    sums: Any,
    ids: Any,
    rows: Any,
    step: Any,
    begin: Any,
    end: Any,
    place: Any,
    inputs: Any,
    constants: Any,
) -> None:
    """Take documents ids[rows] one step on, their recurrent sums (n, 4, H) given; see `scan`.

    hidden (n, H) holds levels plus 128 as bytes, cell (n, H) levels.
    """
    size = states.shape[1]
    gates, places = np.empty((4, size), np.float32), np.empty((4, size), np.uint32)
    levels = np.empty((1, size), np.float32)
    for lane in range(len(rows)):
        d = rows[lane]
        _gates(gates, places, sums, lane, inputs, ids[d, step], constants)
        _cell(levels, 0, cell, lane, gates, places, constants)
        for n in range(size):
            hidden[lane, n] = np.uint8(levels[0, n] + _ZERO_POINT)
        if step >= begin[d]:
            _keep(states, place[d] + step - begin[d], levels, 0, constants)


@njit(nogil=True, cache=True)
def scan(
    states: Any,
    ids: Any,
    rows: Any,
    begin: Any,
    end: Any,
    place: Any,
    inputs: Any,
    recurrent: Any,
    constants: Any,
) -> None:
    """Run the documents ids[rows], GROUP at a time; write states begin[d]..end[d] of document d from place[d] on.

    states (M, H); ids (B, T); rows (n,); begin, end, place (B,); inputs (V, 4, H), the input products by word;
    recurrent (K, 4H), integer levels, K the next multiple of GROUP from H on, the rest 0. The constants:
    rescale, bias (4, H); grids (6, 3), scale, lowest and highest level of the four gate accumulators, the cell
    state and the hidden state; tables (5, 256), the values of the four gates and of tanh(cell) by level, the
    lowest first.
    """
    size = states.shape[1]
    hidden, cell = np.zeros((GROUP, len(recurrent)), np.float32), np.zeros((GROUP, size), np.float32)
    sums, gates = np.empty((GROUP, 4, size), np.float32), np.empty((4, size), np.float32)
    flat, places = sums.reshape(GROUP, 4 * size), np.empty((4, size), np.uint32)
    for first in range(0, len(rows), GROUP):
        group = rows[first : first + GROUP]
        hidden[:] = _ZERO
        cell[:] = _ZERO
        for step in range(end[group].max()):
            _multiply(flat, hidden, recurrent)
            for lane in range(len(group)):
                d = group[lane]
                if step < end[d]:
                    _gates(gates, places, sums, lane, inputs, ids[d, step], constants)
                    _cell(hidden, lane, cell, lane, gates, places, constants)
                    if step >= begin[d]:
                        _keep(states, place[d] + step - begin[d], hidden, lane, constants)


@njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def exponentiate(values: Any, bits: Any) -> None:
    """Turn values (n,), at most 88, into exp(values) within 1e-7 of it, those below LOWEST as if they were LOWEST.

    `bits` is the same memory as int32, whose exponent field takes the power of two. That waits in a buffer of its own:
    the compiler makes vectors of a loop only if what it writes and what it reads lie apart.
    """
    powers = np.empty(_CHUNK, np.int32)
    for start in range(0, len(values), _CHUNK):
        part, whole = values[start : start + _CHUNK], bits[start : start + _CHUNK]
        for n in range(len(part)):
            x = part[n]
            x = LOWEST if x < LOWEST else x
            power = (x * _LOG2_E + _ROUND) - _ROUND
            r = (x - power * _LN2) - power * _LN2_REST
            p = ((((_P[0] * r + _P[1]) * r + _P[2]) * r + _P[3]) * r + _P[4]) * r + _HALF
            part[n] = p * (r * r) + r + _ONE
            powers[n] = np.int32(power) << np.int32(23)
        for n in range(len(part)):
            whole[n] += powers[n]
