"""Packs two texts with tokenizers made here and reads the shards back: the ids are the tokenizer's, a
separator precedes each document, documents are on one side of the split whatever their order,
`loglog data inspect` finds the folder sound, and wrong use is refused with the fix.

  pack_tokens_test.py LOGLOG

Skips (77) where the package tokenizers is not installed: deploy/setup.sh --test --cuda installs it. The
part about SentencePiece runs where that package is installed as well.
"""
import array
import json
import pathlib
import subprocess
import sys
import tempfile

import environment

environment.enter("transformers", "LOGLOG_TRANSFORMERS_PYTHON")
try:
    from tokenizers import Tokenizer, models, pre_tokenizers
except ImportError:
    print("skipped: no tokenizers; deploy/setup.sh --test --cuda installs them")
    sys.exit(77)

PACK = pathlib.Path(__file__).resolve().parents[2] / "shards/pack_tokens.py"
WORDS = [f"w{i}" for i in range(40)]
DOCUMENTS = [" ".join(WORDS[(i * k) % 40] for k in range(1, 30)) for i in range(1, 31)]


def pack(*arguments):
    return subprocess.run([sys.executable, PACK, *map(str, arguments)], capture_output=True, text=True)


def read(folder, side):
    tokens = []
    for path in sorted(folder.glob(f"{side}-*.bin")):
        data = path.read_bytes()
        header = array.array("i", data[:12])
        assert header.tolist()[:2] == [20240520, 1], header
        body = array.array("H", data[1024:])
        assert header[2] == len(body)
        tokens += body
    return tokens


def documents(tokens, separator):
    assert tokens[0] == separator
    parts = []
    for token in tokens:
        if token == separator:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def check_hugging_face(folder, loglog):
    vocabulary = {word: i for i, word in enumerate([*WORDS, "<end>", "<unk>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "a.txt").write_text("\n\n".join(DOCUMENTS))
    (folder / "b.txt").write_text("\n \n".join(reversed(DOCUMENTS)))
    common = ["--tokenizer", folder / "tokenizer.json", "--documents", "blank-lines", "--val-share", "0.2",
              "--shard-tokens", "200"]
    split = {}
    for name in ("a", "b"):
        done = pack(folder / f"{name}.txt", *common, "--separator", "<end>", "--out", folder / name)
        assert done.returncode == 0, done.stderr
        manifest = json.loads((folder / name / "manifest.json").read_text())
        assert manifest["vocab"] == 42
        for side in ("train", "val"):
            tokens = read(folder / name, side)
            parts = documents(tokens, vocabulary["<end>"])
            split[name, side] = sorted(parts)
            of_side = manifest["sets"][side]
            assert of_side["documents"] == len(parts) and of_side["tokens"] == len(tokens)
            texts = [" ".join(WORDS[token] for token in part) for part in parts]
            assert set(texts) <= set(DOCUMENTS)
            assert of_side["text_bytes"] == sum(len(text) for text in texts)
        assert 6 <= len(split[name, "val"]) <= 9, len(split[name, "val"])
        assert len(split[name, "train"]) + len(split[name, "val"]) == len(DOCUMENTS)
        inspected = subprocess.run([loglog, "data", "inspect", folder / name, "-o", "json"],
                                   capture_output=True, text=True)
        assert inspected.returncode == 0, inspected.stderr
    assert split["a", "val"] == split["b", "val"] and split["a", "train"] == split["b", "train"]
    refused = pack(folder / "a.txt", *common, "--separator", "<end>", "--out", folder / "a")
    assert refused.returncode == 1 and "is there already; name another folder" in refused.stderr
    refused = pack(folder / "a.txt", *common, "--separator", "<end>", "--shard-tokens", "0", "--out", folder / "c")
    assert refused.returncode == 1 and "--shard-tokens is 0, and it is from 1 to" in refused.stderr
    refused = pack(folder / "a.txt", *common, "--out", folder / "c")
    assert "name the token that parts documents with --separator" in refused.stderr
    refused = pack(folder / "a.txt", *common, "--separator", "<none>", "--out", folder / "c")
    assert "has no token <none>" in refused.stderr
    assert not (folder / "c").exists()


def check_sentencepiece(folder, loglog):
    try:
        import sentencepiece
    except ImportError:
        print("no sentencepiece here: that half was not run")
        return
    (folder / "text").write_text("\n".join(DOCUMENTS))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"), model_prefix=str(folder / "spm"), vocab_size=40, model_type="bpe",
        minloglevel=2)
    done = pack(folder / "a.txt", "--tokenizer", folder / "spm.model", "--documents", "blank-lines", "--out",
                folder / "spm")
    assert done.returncode == 0, done.stderr
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    parts = [part for side in ("train", "val") for part in documents(read(folder / "spm", side), model.bos_id())]
    assert sorted(model.decode(part) for part in parts) == sorted(DOCUMENTS)
    assert subprocess.run([loglog, "data", "inspect", folder / "spm"], capture_output=True).returncode == 0


def main():
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        check_hugging_face(folder, sys.argv[1])
        check_sentencepiece(folder, sys.argv[1])


if __name__ == "__main__":
    main()
