"""Write frozen rows as Parquet beside their JSONL, in blocks."""

from pathlib import Path
from typing import Any

BLOCK = 8 << 20


def schema(margin: bool) -> Any:
    import pyarrow as pa

    messages = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    columns = [("prompt", messages), ("chosen", messages), ("rejected", messages)]
    return pa.schema(
        columns + [("margin", pa.float64())] * margin + [("ranking", pa.int64()), ("prompt_id", pa.int64())]
    )


def to_parquet(path: Path, margin: bool) -> Path:
    """PATH.jsonl as PATH.parquet; a block holds the longest line at least."""
    import pyarrow.json as pj
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        longest = max(map(len, file), default=0)
    read = pj.ReadOptions(use_threads=False, block_size=max(BLOCK, 2 * longest))
    parse = pj.ParseOptions(explicit_schema=schema(margin), unexpected_field_behavior="error")
    target = path.with_suffix(".parquet")
    with pq.ParquetWriter(target, schema(margin), compression="zstd") as writer:
        for batch in pj.open_json(path, read_options=read, parse_options=parse):
            writer.write_batch(batch)
    return target
