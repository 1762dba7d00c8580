"""Data: headers at check time, then files to arrays, with the preprocessing that was fitted on the training split.

- `headers`        what `dlc check` may know without reading a row (imports no numpy): what `opening` finds in a CSV, a
                   Parquet file, an NPZ, a text or a folder of images, held against the declarations by `origins`
- `reading`        files to values: `csvfile`, `parquetfile`, `pixels`, `textfile`
- `tokens`         texts to characters and words; `vocabulary` knows their classes, `text_columns` makes the columns
- `sequences`      examples of their own lengths, padded to the longest of each batch
- `dataset`        `load` for a spec's own data, `apply` for new files
- `preprocessing`  what was fitted: it is saved with the model, and applied again
- `arrays`         the Python API's own arrays, held against the declarations

Inside, every array is *physical*: examples first, then the declared axes in their order, C-contiguous. `X : (64, m)`
is stored as (examples, 64). A `one_hot` input or target has lost its class axis and holds int64 class numbers.
"""
