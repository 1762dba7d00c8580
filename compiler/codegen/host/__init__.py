"""What every generated Numba module stands on: the matrix tile, kernels by address, threads, vector mathematics.

| file                  | what a generated module takes from it                                             |
|-----------------------|-----------------------------------------------------------------------------------|
| `machine.py`          | `Host`: the vector width and tile sizes of this CPU                               |
| `address.py`          | typed access, calls and atomic operations on plain integer addresses              |
| `tile.py`             | `matmul_panel`, `transpose`: LLVM vector code behind every matrix product         |
| `plain.py`            | the same two in scalar loops: the meaning of `tile.py`, on any CPU                |
| `convolution.py`      | `convolve_rows`, `input_gradient_rows`, `filter_gradient_rows`                    |
| `correlation.py`      | how the first two are cut into panels, blocks and rows; `windows.py`: into tiles  |
| `correlation_panel.py`| their vector code, written with `rows.py`; `border.py`: images of few channels    |
| `filter_gradient.py`  | the third                                                                         |
| `depthwise.py`        | the three where each channel has a filter of its own                              |
| `plain_convolution.py`| the same in scalar loops                                                          |
| `pooling.py`          | `pool_rows`, `pool_gradient_rows`: folds over sliding windows, as vector code     |
| `plain_windows.py`    | the same in scalar loops                                                          |
| `channelwise.py`      | what those on each channel alone are written with; `strips.py`: how windows slide |
| `kernels.py`          | `@kernel`: compiled once, kept on disk, called by symbol                          |
| `machine_code.py`     | from a Python function to an object file: Numba's front end, LLVM once            |
| `objects.py`          | object files on disk and in this process, without Numba                           |
| `pool.py`, `launch.py`| `Pool`, `launch`: the units of a kernel shared out among threads                  |
| `formulas.py`         | exp, log, tanh, erf ... and random numbers, written once over abstract arithmetic |
| `mathfn.py`           | those formulas as LLVM code, which the vectoriser takes                           |
| `random_reference.py` | the random formulas in NumPy: the same bits without Numba                         |

The files import nothing of dlc but each other, so that a standalone module can carry them along.

Conventions. An address is an int64 that counts bytes. A matrix is rows of contiguous elements; its row length (leading
dimension) counts elements and is at least the number of columns rounded up to 16. What lies in that padding is never
read for a result.
"""
