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
parser.add_argument("--openvino", action="store_true", help="run the encoder in OpenVINO, too")
parser.add_argument("--ctranslate2", metavar="FOLDER", help="one that ct2-transformers-converter wrote, to be run, too")
parser.add_argument("--kinglet", default="target/release/kinglet", help="the program")
parser.add_argument("--lengths", type=int, nargs="+", default=[8, 32, 128, 256])
parser.add_argument("--rounds", type=int, default=5, help="turns of each; the ratio is the median of theirs")
parser.add_argument("--runs", type=int, default=9, help="runs in a turn, of which the median counts")
parser.add_argument("--kernels", help="Kinglet's kernel set, where it is not to be the fastest")
arguments = parser.parse_args()


def tokens(length):
    return numpy.arange(length) % 20_000 + 1_000


def feed(names, length):
    values = {"input_ids": tokens(length), "attention_mask": numpy.ones(length)}
    return {name: values.get(name, numpy.zeros(length)).astype(numpy.int64)[None] for name in names}


def onnx_runtime():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(arguments.onnx, options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return lambda length: session.run(None, feed(names, length))


def openvino():
    from openvino import Core

    options = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    model = Core().compile_model(arguments.onnx, "CPU", options)
    names = [entry.any_name for entry in model.inputs]
    request = model.create_infer_request()
    return lambda length: request.infer(feed(names, length))


def ctranslate2():
    from ctranslate2 import Encoder

    encoder = Encoder(arguments.ctranslate2, inter_threads=1, intra_threads=1)
    # A view of the result waits until it is there.
    return lambda length: numpy.array(encoder.forward_batch([tokens(length).tolist()]).last_hidden_state)


def median_time(run, length):
    """Milliseconds."""
    run(length)
    times = []
    for _ in range(arguments.runs):
        start = time.perf_counter()
        run(length)
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


engines = {"ONNX Runtime": onnx_runtime()}
if arguments.openvino:
    engines["OpenVINO"] = openvino()
if arguments.ctranslate2:
    engines["CTranslate2"] = ctranslate2()

print("| tokens | | its time | Kinglet | ratio, of turns: median (least, most) | kernels |\n|---|---|---|---|---|---|")
for length in arguments.lengths:
    turns = [
        ({name: median_time(run, length) for name, run in engines.items()}, *kinglet(length))
        for _ in range(arguments.rounds)
    ]
    for name in engines:
        ratios = sorted(ours / theirs[name] for theirs, ours, _ in turns)
        theirs, ours = (statistics.median(times) for times in zip(*((theirs[name], ours) for theirs, ours, _ in turns)))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}, {ratios[-1]:.2f})"
        print(f"| {length} | {name} | {theirs:.2f} ms | {ours:.2f} ms | {spread} | {turns[0][2]} |", flush=True)
