"""Measures what `kinglet convert` loses of a sentence encoder, beside what it prints.

Each row of the table is a conversion with some options. `prints` is what the conversion says of the texts that it
measures on; `here` is what `kinglet verify` finds on `sentences.txt`, which no conversion sees.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

ROWS = [
    [],
    ["--activations", "a8"],
    ["--flash", "18M"],
    ["--flash", "16.6M"],
    ["--weights", "int4", "--tables", "int4"],
]
SENTENCES = pathlib.Path(__file__).parent / "sentences.txt"


def answer(program, *arguments):
    result = subprocess.run([program, *arguments, "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(result.stdout)


def cosines(fidelity):
    return f"{fidelity['cosine_mean']:.5f} / {fidelity['cosine_min']:.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="a folder, such as that of all-MiniLM-L6-v2")
    parser.add_argument("--program", default="target/release/kinglet", help="the program `kinglet`")
    parser.add_argument("--options", help="one row, with these options; all rows otherwise")
    arguments = parser.parse_args()
    rows = ROWS if arguments.options is None else [arguments.options.split()]
    print("| options | bytes | prints | here | loss here, of the printed one |\n|---|---|---|---|---|")
    for options in rows:
        with tempfile.TemporaryDirectory() as folder:
            blob = f"{folder}/model.kinglet"
            printed = answer(arguments.program, "convert", arguments.checkpoint, "--output", blob, *options)["fidelity"]
            size = pathlib.Path(blob).stat().st_size
            here = answer(arguments.program, "verify", blob, arguments.checkpoint, "--input", str(SENTENCES))["fidelity"]
        ratio = (1 - here["cosine_mean"]) / (1 - printed["cosine_mean"])
        name = f"`{' '.join(options)}`" if options else "none"
        print(f"| {name} | {size:,} | {cosines(printed)} | {cosines(here)} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
