"""Measures encoding of texts of several lengths, alternately with ONNX Runtime and with `kinglet bench`, on one thread each."""

import argparse
import json
import statistics
import subprocess
import time

import numpy
import onnxruntime

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("onnx", help="an encoder with input_ids, attention_mask and perhaps token_type_ids")
parser.add_argument("blob", help="one of the same shape")
parser.add_argument("--kinglet", default="target/release/kinglet", help="the program")
parser.add_argument("--lengths", type=int, nargs="+", default=[8, 32, 128, 256])
parser.add_argument("--rounds", type=int, default=5, help="turns of each; the ratio is the median of theirs")
parser.add_argument("--runs", type=int, default=9, help="runs in a turn, of which the median counts")
parser.add_argument("--kernels", help="Kinglet's kernel set, where it is not to be the fastest")
arguments = parser.parse_args()

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(arguments.onnx, options, providers=["CPUExecutionProvider"])
inputs = [entry.name for entry in session.get_inputs()]


def onnx(length):
    """Milliseconds of one run."""
    values = {"input_ids": numpy.arange(length) % 20_000 + 1_000, "attention_mask": numpy.ones(length)}
    feed = {name: values.get(name, numpy.zeros(length)).astype(numpy.int64)[None] for name in inputs}
    session.run(None, feed)
    times = []
    for _ in range(arguments.runs):
        start = time.perf_counter()
        session.run(None, feed)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def kinglet(length):
    """Milliseconds of one run, and the name of the kernel set."""
    words = [arguments.kinglet, "bench", arguments.blob, "--json", "--lengths", str(length), "--runs", str(arguments.runs)]
    if arguments.kernels:
        words += ["--kernels", arguments.kernels]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    measured = json.loads(printed)["bench"][0]
    return measured["milliseconds"], measured["kernels"]


print("| tokens | ONNX Runtime | Kinglet | ratio, of turns: median (least, most) | kernels |\n|---|---|---|---|---|")
for length in arguments.lengths:
    turns = [(onnx(length), *kinglet(length)) for _ in range(arguments.rounds)]
    ratios = sorted(ours / theirs for theirs, ours, _ in turns)
    theirs, ours = (statistics.median(turn[side] for turn in turns) for side in (0, 1))
    spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}, {ratios[-1]:.2f})"
    print(f"| {length} | {theirs:.2f} ms | {ours:.2f} ms | {spread} | {turns[0][2]} |", flush=True)
