"""Measures a decoder in Node, with WebAssembly's vectors, and with the native scalar kernels by turns."""

import argparse
import json
import statistics
import subprocess

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("module", help="the command line as a module for WASI")
parser.add_argument("blob", help="a decoder, in this folder or in one beneath")
parser.add_argument("--kinglet", default="target/release/kinglet", help="the native program")
parser.add_argument("--tokens", type=int, default=64, help="tokens from an empty cache")
parser.add_argument("--runs", type=int, default=50, help="runs in a turn, of which the best counts")
parser.add_argument("--rounds", type=int, default=5, help="turns of each; the ratio is the median of theirs")
arguments = parser.parse_args()


def speed(program, *options):
    """Tokens a second, and the name of the kernel set."""
    words = ["bench", arguments.blob, "--run", "generate", "--lengths", str(arguments.tokens), "--runs", str(arguments.runs)]
    words += ["--json", *options]
    printed = subprocess.run([*program, *words], check=True, capture_output=True, text=True).stdout
    measured = json.loads(printed)["bench"][0]
    return 1e3 * arguments.tokens / measured["milliseconds_best"], measured["kernels"]


# The compiler that Node begins with knows no vectors well.
node = ["node", "--no-warnings", "--no-liftoff", "xtask/wasi.mjs", arguments.module]
turns = [(speed(node), speed([arguments.kinglet], "--kernels", "scalar")) for _ in range(arguments.rounds)]
ratios = sorted(node / native for (node, _), (native, _) in turns)
for side, name in enumerate(["Node", "native"]):
    print(f"{name}, {turns[0][side][1]}: {statistics.median(turn[side][0] for turn in turns):,.0f} tokens a second")
print(f"ratio, of turns: {statistics.median(ratios):.2f} ({ratios[0]:.2f}, {ratios[-1]:.2f})")
