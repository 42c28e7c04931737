"""Write frozen rows as Parquet beside their JSONL, in blocks."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

BLOCK = 4 << 20


def messages() -> Any:
    import pyarrow as pa

    return pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def pairs(margin: bool) -> Any:
    import pyarrow as pa

    columns = [("prompt", messages()), ("chosen", messages()), ("rejected", messages())]
    return pa.schema(
        columns + [("margin", pa.float64())] * margin + [("ranking", pa.int64()), ("prompt_id", pa.int64())]
    )


def stepwise(soft: bool) -> Any:
    import pyarrow as pa

    columns = [("prompt", messages()), ("completions", pa.list_(pa.string()))]
    columns += [("labels", pa.list_(pa.float64() if soft else pa.bool_()))]
    return pa.schema([*columns, ("prompt_id", pa.int64()), ("step_labels", pa.int64())])


def outcome() -> Any:
    import pyarrow as pa

    columns = [("prompt", messages()), ("completions", pa.list_(pa.string())), ("label", pa.bool_())]
    return pa.schema([*columns, ("prompt_id", pa.int64())])


def prompts(columns: Sequence[str]) -> Any:
    import pyarrow as pa

    texts = [(name, pa.string()) for name in ("reference", *columns)]
    return pa.schema([("prompt", messages()), *texts, ("prompt_id", pa.int64())])


def to_parquet(path: Path, schema: Any) -> Path:
    """PATH.jsonl as PATH.parquet, a block of whole lines at a time."""
    import pyarrow.json as pj
    import pyarrow.parquet as pq

    parse = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    target = path.with_suffix(".parquet")
    with pq.ParquetWriter(target, schema, compression="zstd") as writer, path.open("rb") as file:
        while lines := file.readlines(BLOCK):
            block = b"".join(lines)
            read = pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
            writer.write_table(pj.read_json(BytesIO(block), read_options=read, parse_options=parse))
    return target
