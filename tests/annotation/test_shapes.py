"""Files of every kind and rows of every shape are recognised; what cannot be read says why."""

import gzip
import json
import os
from itertools import islice
from pathlib import Path

import pytest

from annotation.importing.cells import BadFile, BadRow
from annotation.importing.columns import check, guess
from annotation.importing.readers import Source, sniff
from annotation.importing.shapes import items

SHARED = Path(os.environ.get("STUDIO_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


def rows_of(path, format=""):
    return [value for _, value in Source(path, format)]


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(row, **mapping):
    return list(items(row, guess([row]) | mapping))


# ---- shapes ----


def test_a_prompt_with_completions_as_text_or_objects():
    [item] = read({"prompt": "Hi?", "completions": ["a", {"text": "b", "source": "gpt"}, {"content": "c"}]})
    assert [c.text for c in item.completions] == ["a", "b", "c"] and item.completions[1].source == "gpt"
    assert item.messages == [{"role": "user", "content": "Hi?"}] and item.rankings == []


def test_trl_rows_arrive_ranked_with_strings_messages_or_an_implicit_prompt():
    chat = [{"role": "user", "content": "Hi?"}]
    good, bad = [{"role": "assistant", "content": "good"}], [{"role": "assistant", "content": "bad"}]
    for row in (
        {"prompt": "Hi?", "chosen": "good", "rejected": "bad"},
        {"prompt": chat, "chosen": good, "rejected": bad},
        {"prompt": chat, "chosen": chat + good, "rejected": chat + bad},
        {"chosen": chat + good, "rejected": chat + bad},
        {"chosen": "\n\nHuman: Hi?\n\nAssistant: good", "rejected": "\n\nHuman: Hi?\n\nAssistant: bad"},
    ):
        [item] = read(row)
        assert item.messages == chat and [c.text for c in item.completions] == ["good", "bad"], row
        assert item.rankings == [[1, 2]]


def test_sharegpt_pairs():
    row = {
        "conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Hi?"}],
        "chosen": {"from": "gpt", "value": "good"},
        "rejected": {"from": "gpt", "value": "bad"},
    }
    assert guess([row])["shape"] == "sharegpt"
    [item] = read(row)
    assert [m["role"] for m in item.messages] == ["system", "user"] and item.rankings == [[1, 2]]


def test_a_tree_gives_every_ranked_reply_group():
    reply = {"text": "b", "role": "assistant", "rank": 1}
    follow = {"text": "And?", "role": "prompter", "replies": [{"text": t, "role": "assistant"} for t in "xy"]}
    best = {"text": "a", "role": "assistant", "rank": 0, "replies": [follow]}
    first, second = read({"prompt": {"text": "Hi?", "role": "prompter", "message_id": "m", "replies": [reply, best]}})
    assert first.rankings == [[2, 1]] and first.metadata == {"id": "m"}
    assert [m["content"] for m in second.messages] == ["Hi?", "a", "And?"] and second.rankings == []


def test_prompts_alone_with_a_reference_a_criterion_and_metadata():
    [item] = read({"question": "2 + 2?", "answer": 4, "category": "math", "metadata": '{"a": 1}', "id": 9})
    assert (item.reference, item.criterion, item.metadata) == ("4", "math", {"a": 1, "id": 9})


def test_completions_over_numbered_columns():
    row = {"prompt": "Hi?", "response_1": "a", "response_2": "b", "response_3": ""}
    [item] = read(row)
    assert [(c.text, c.source) for c in item.completions] == [("a", "response_1"), ("b", "response_2")]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"prompt": "", "completions": ["a"]}, "prompt is empty"),
        ({"prompt": "Hi?", "completions": "a"}, "completions is text; it should be a list"),
        ({"prompt": "Hi?", "completions": ["a", None]}, "completion 2 is missing"),
        ({"prompt": "Hi?", "completions": [b"\x00"]}, "completion 1 is binary"),
        ({"prompt": "Hi\x00", "completions": []}, "NUL"),
        ({"prompt": "Hi?", "completions": ["a"] * 51}, "51 completions; the most is 50"),
        ({"prompt": "x" * 1_000_001, "completions": []}, "1,000,001 characters; the most is 1,000,000"),
        ({"prompt": "Hi?", "chosen": "a", "rejected": "a"}, "the same text"),
        ({"prompt": "Hi?", "chosen": "a", "rejected": " "}, "rejected is empty"),
        (
            {"prompt": [{"role": "assistant", "content": "a"}], "chosen": "a", "rejected": "b"},
            "ends with the assistant",
        ),
        ({"prompt": [{"role": "system", "content": "a"}], "chosen": "a", "rejected": "b"}, "no message by a user"),
        ({"prompt": [{"role": "wizard", "content": "a"}], "chosen": "a", "rejected": "b"}, "the role 'wizard'"),
        ({"prompt": [{"role": "user", "content": [{"type": "image"}]}], "chosen": "a", "rejected": "b"}, "not text"),
        ({"chosen": "a", "rejected": "b"}, "there is no prompt"),
        ({"prompt": "Hi?", "completions": ["a", "b"], "rankings": [[1]]}, "a rank from 1"),
        ({"prompt": "Hi?", "metadata": "[1]", "completions": []}, "metadata is a list"),
        ({"prompt": {"text": "Hi?"}}, "object"),
    ],
)
def test_a_bad_row_says_why(row, why):
    with pytest.raises(BadRow, match=why.replace("(", r"\(")) if why != "object" else pytest.raises(BadRow):
        read(row)


def test_a_mapping_that_does_not_fit_says_which_column_is_missing():
    assert check({"shape": "prompts", "prompt": "question"}, ["prompt"]) == (
        "There is no column 'question'; the file has prompt."
    )
    assert "Choose the column that holds the rejected" in check({"shape": "preference", "chosen": "a"}, ["a"])
    assert "no known shape" in check({}, ["a"])


# ---- files ----


def test_the_format_is_known_by_content_not_by_name(tmp_path):
    for name, content, format in [
        ("a.csv", '{"prompt": "x"}\n', "jsonl"),
        ("a.jsonl", '[{"prompt": "x"}]', "json"),
        ("a.parquet", "prompt,answer\nx,y\n", "csv"),
        ("a.json", "What is this?\n", "lines"),
        ("../../etc", '\ufeff{"prompt": "x"}\n', "jsonl"),
    ]:
        assert sniff(write(tmp_path, Path(name).name, content)) == format


def test_bad_lines_do_not_end_a_jsonl_file(tmp_path):
    lines = [b'{"prompt": "a"}', b"{oops", b'{"prompt": "caf\xe9"}', b"[" * 100_000, b'{"x": NaN}', b'{"prompt": "b"}']
    found = dict(Source(write(tmp_path, "a", b"\n".join(lines))))
    assert [line for line, value in found.items() if not isinstance(value, BadRow)] == [1, 6]
    assert "not JSON" in str(found[2]) and "nested too deeply" in str(found[4]) and "NaN" in str(found[5])
    assert str(found[3]) == "byte 16 (0xe9) is not UTF-8; save the file as UTF-8"


def test_a_large_array_is_read_item_by_item(tmp_path):
    values = [{"prompt": "é" * 1000, "n": n} for n in range(3000)]
    path = write(tmp_path, "a", json.dumps(values, indent=1, ensure_ascii=False))
    assert rows_of(path) == values
    assert rows_of(write(tmp_path, "b", "[1, 2.5e3 ,\n 33]")) == [1, 2500.0, 33]
    assert rows_of(write(tmp_path, "c", "[]")) == []


def test_an_array_that_breaks_off_says_after_which_row(tmp_path):
    for text in ('[{"a": 1}, {"a": ', '[{"a": 1}, {"a": 2} {"a": 3}]', '[{"a": 1}, nope]'):
        source = iter(Source(write(tmp_path, "a", text)))
        assert next(source) == (1, {"a": 1})
        with pytest.raises(BadFile, match="after row [12]"):
            list(source)


def test_csv_with_quoted_newlines_a_bom_and_a_million_characters_in_a_cell(tmp_path):
    text = '\ufeffprompt;reference\n"two\nlines, ""quoted""";x\n' + "y" * 1_000_000 + ";z\n"
    first, second = Source(write(tmp_path, "a", text))
    assert first == (2, {"prompt": 'two\nlines, "quoted"', "reference": "x"})
    assert second[0] == 4 and len(second[1]["prompt"]) == 1_000_000


def test_bad_csv_rows_are_told_by_line(tmp_path):
    path = write(tmp_path, "a", b'prompt,answer\nok,1\nonly\ncaf\xe9,2\nlast,"3')
    found = dict(Source(path))
    assert found[2] == {"prompt": "ok", "answer": "1"}
    assert str(found[3]) == "has 1 cells; the header has 2"
    assert "line 4, byte 4 (0xe9) is not UTF-8" in str(found[4])
    assert "a quote is opened and not closed" in str(found[5])
    with pytest.raises(BadFile, match="same name"):
        rows_of(write(tmp_path, "b", "prompt,prompt\na,b\n"))


def test_gzip_is_read_and_one_that_ends_early_says_so(tmp_path):
    lines = b"".join(b'{"prompt": "%d", "x": "%s"}\n' % (n, b"y" * (n % 97)) for n in range(20_000))
    packed = gzip.compress(lines)
    assert len(rows_of(write(tmp_path, "a.gz", packed))) == 20_000
    source = iter(Source(write(tmp_path, "b.gz", packed[: len(packed) // 2])))
    assert next(source)[1]["prompt"] == "0"
    with pytest.raises(BadFile, match="damaged or ends early"):
        list(source)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b" \n\n ", "blank"),
        (b"\x7fELF\x00\x01\x02", "binary"),
        ("prompt\nx".encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"PK\x03\x04\x00\x00", "binary"),
        (b"\x1f\x8b\x08\x00broken", "gzip"),
    ],
)
def test_what_is_no_file_of_rows_is_refused_with_what_to_do(tmp_path, content, why):
    with pytest.raises(BadFile, match=why):
        rows_of(write(tmp_path, "a", content))


def test_parquet_and_one_cut_short(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"prompt": f"p{n}", "completions": ["a", "b"]} for n in range(3000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert rows_of(tmp_path / "a.parquet") == rows
    whole = (tmp_path / "a.parquet").read_bytes()
    for cut in (len(whole) - 1, len(whole) // 2, 8):
        with pytest.raises(BadFile, match="damaged or ends early"):
            rows_of(write(tmp_path, "b", whole[:cut]))


def test_a_folder_that_datasets_saved(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [{"prompt": f"p{n}", "chosen": "a", "rejected": "b"} for n in range(2500)]
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "one")
    assert rows_of(tmp_path / "one") == rows
    split = datasets.Dataset.from_list(rows).train_test_split(0.5, shuffle=False)
    split.save_to_disk(tmp_path / "two")
    assert sorted(map(str, rows_of(tmp_path / "two"))) == sorted(map(str, rows))
    (tmp_path / "bare").mkdir()
    with pytest.raises(BadFile, match="no Arrow, Parquet or JSONL"):
        rows_of(tmp_path / "bare")


@pytest.mark.skipif(not SHARED.exists(), reason="the public data files are not on this machine")
@pytest.mark.parametrize(
    ("name", "shape", "prompts", "rankings"),
    [
        ("openassistant/en_100_tree.jsonl", "tree", 214, 212),
        ("preference-pairs/dpo_en_demo.json", "sharegpt", 299, 299),
        ("pandalm/testset-v1.json", "completions", 992, 0),
        ("gsm8k/train.jsonl", "prompts", 2000, 0),
        ("human-eval/HumanEval.jsonl.gz", "prompts", 164, 0),
    ],
)
def test_public_files_are_recognised(name, shape, prompts, rankings):
    mapping = guess(value for _, value in islice(Source(SHARED / name), 50))
    assert mapping["shape"] == shape
    found = []
    for _, value in Source(SHARED / name):
        try:
            found += items(value, mapping)
        except BadRow:
            continue
    assert (len(found), sum(len(item.rankings) for item in found)) == (prompts, rankings)
