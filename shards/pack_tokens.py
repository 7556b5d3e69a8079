#!/usr/bin/env python3
"""Packs text files for training with a tokenizer of one's own: a Hugging Face tokenizer.json or a
SentencePiece model. (Bytes are packed by `loglog data pack`, which needs no tokenizer.)

  pack_tokens.py TEXT... --tokenizer tokenizer.json --separator "<|endoftext|>" --out data/books
  pack_tokens.py TEXT... --tokenizer spm.model --out data/books

Writes llm.c shards train-00000.bin, ..., val-00000.bin, ... and the manifest.json that `loglog data
inspect` checks and bits per byte are reckoned from. Each document is preceded by the separator: the
token of that name, or of a SentencePiece model without --separator its beginning-of-text token.
Documents with the lowest SHA-256 are the validation text, so the split follows from the texts alone
and equal documents are on one side. The folder appears whole or not at all.

Needs the package tokenizers, or sentencepiece: pip install tokenizers sentencepiece.
"""
import argparse
import collections
import hashlib
import json
import os
import pathlib
import re
import struct
import sys
import tempfile
from array import array

LLMC_HEADER_BYTES = 1024
LLMC_MARKS = {2: (20240520, 1), 4: (20240801, 7)}  # bytes of a token: magic, version


def fail(message):
    sys.exit(f"pack_tokens.py: {message}")


class HuggingFace:
    def __init__(self, path, separator):
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(path)
        if separator is None:
            fail(f"{path}: name the token that parts documents with --separator, such as <|endoftext|>")
        self.separator = self.tokenizer.token_to_id(separator)
        self.vocab = max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids


class SentencePiece:
    def __init__(self, path, separator):
        from sentencepiece import SentencePieceProcessor

        self.model = SentencePieceProcessor(model_file=path)
        self.vocab = self.model.get_piece_size()
        if separator is None:
            self.separator = self.model.bos_id() if self.model.bos_id() >= 0 else None
        else:
            found = self.model.piece_to_id(separator)
            self.separator = found if self.model.id_to_piece(found) == separator else None

    def encode(self, text):
        return self.model.encode(text)


def open_tokenizer(path, separator):
    kind = HuggingFace if path.endswith(".json") else SentencePiece
    package = "tokenizers" if kind is HuggingFace else "sentencepiece"
    try:
        tokenizer = kind(path, separator)
    except ImportError:
        fail(f"{path} needs the Python package {package}: pip install {package}")
    except Exception as error:  # what the two packages raise has no common class
        fail(f"{path}: cannot be read as a {'tokenizer.json' if kind is HuggingFace else 'SentencePiece model'}: {error}")
    if tokenizer.separator is None:
        fail(f"{path}: has no token {separator or 'for the beginning of a text'}; name another one with --separator")
    return tokenizer


def documents_of(paths, rule):
    for path in paths:
        try:
            text = pathlib.Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{path}: {error}")
        parts = [text] if rule == "files" else re.split(r"\n[ \t\r]*\n", text)
        yield from (part for part in parts if part.strip())


def write_shard(path, tokens, token_bytes):
    magic, version = LLMC_MARKS[token_bytes]
    header = struct.pack("<iii", magic, version, len(tokens)).ljust(LLMC_HEADER_BYTES, b"\0")
    body = array("H" if token_bytes == 2 else "I", tokens)
    if sys.byteorder == "big":
        body.byteswap()
    contents = header + body.tobytes()
    with open(path, "wb") as file:
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())
    return {"name": os.path.basename(path), "tokens": len(tokens), "bytes": len(contents),
            "sha256": hashlib.sha256(contents).hexdigest()}


def write_set(folder, name, documents, tokenizer, token_bytes, shard_tokens):
    result = {"tokens": 0, "documents": len(documents), "text_bytes": 0, "files": []}
    pending = []

    def flush(least):
        while len(pending) >= least and pending:
            path = os.path.join(folder, f"{name}-{len(result['files']):05d}.bin")
            result["files"].append(write_shard(path, pending[:shard_tokens], token_bytes))
            del pending[:shard_tokens]

    for document in documents:
        ids = [tokenizer.separator, *tokenizer.encode(document)]
        result["tokens"] += len(ids)
        result["text_bytes"] += len(document.encode())
        pending += ids
        flush(shard_tokens)
    flush(1)
    return result


def data_sha256(sets):
    lines = [f"{side} {file['sha256']}\n" for side in ("train", "val") for file in sets[side]["files"]]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def split(documents, val_share):
    """Validation documents first by hash, until they have their share of the bytes."""
    copies = collections.Counter(documents)
    total = sum(len(document.encode()) for document in documents)
    chosen, val_bytes = set(), 0
    for document in sorted(copies, key=lambda text: hashlib.sha256(text.encode()).digest()):
        if val_bytes >= val_share * total:
            break
        chosen.add(document)
        val_bytes += len(document.encode()) * copies[document]
    return ([text for text in documents if text not in chosen],
            [text for text in documents if text in chosen])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="+", metavar="TEXT")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--separator")
    parser.add_argument("--val-share", type=float, default=0.05)
    parser.add_argument("--documents", choices=["files", "blank-lines"], default="files")
    parser.add_argument("--shard-tokens", type=int, default=100_000_000)
    args = parser.parse_args()
    if not 0 < args.val_share < 1:
        fail(f"--val-share is {args.val_share}, and it is a share between 0 and 1")
    if not 1 <= args.shard_tokens <= 1_000_000_000:
        fail(f"--shard-tokens is {args.shard_tokens}, and it is from 1 to 1000000000")
    if os.path.exists(args.out):
        fail(f"{args.out} is there already; name another folder with --out")
    tokenizer = open_tokenizer(args.tokenizer, args.separator)
    train, val = split(list(documents_of(args.texts, args.documents)), args.val_share)
    if not train or not val:
        fail("both sides need a document; give more texts, or --documents blank-lines")
    token_bytes = 2 if tokenizer.vocab <= 1 << 16 else 4
    parent = os.path.dirname(os.path.abspath(args.out))
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as scratch:
        folder = os.path.join(scratch, "packed")
        os.mkdir(folder, 0o755)
        sets = {side: write_set(folder, side, texts, tokenizer, token_bytes, args.shard_tokens)
                for side, texts in (("train", train), ("val", val))}
        with open(args.tokenizer, "rb") as file:
            name = f"{os.path.basename(args.tokenizer)} {hashlib.sha256(file.read()).hexdigest()[:16]}"
        manifest = {
            "format": "loglog-shards", "version": 1, "tokenizer": name, "vocab": tokenizer.vocab,
            "tokens": sets["train"]["tokens"] + sets["val"]["tokens"],
            "documents": sets["train"]["documents"] + sets["val"]["documents"],
            "document_rule": args.documents, "val_share": args.val_share,
            "data_sha256": data_sha256(sets), "sets": sets}
        with open(os.path.join(folder, "manifest.json"), "w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=2, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(folder, args.out)
    print(f"{args.out}: {sets['train']['tokens']} tokens to train, {sets['val']['tokens']} to validate, "
          f"{manifest['documents']} documents; in a spec: model: {{vocab: {tokenizer.vocab}}}")


if __name__ == "__main__":
    main()
