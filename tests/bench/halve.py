r"""Networks in fp16, for a GPU, made of published ones; and a card for them.

    make bench BENCH=halve ARGS="--model dwpose --from FOLDER --into half"

`--from` is where the published files are, `--model` the name or the file of their card. What is
made can be pulled once `calibration.py` has written into its card how far off it is.

onnxruntime's converter does the work: weights and what is computed in between become float16;
what has no kernel for it, or would lose too much, stays in float32, as do inputs and outputs.
"""

from __future__ import annotations

import argparse
import graphlib
import json
import sys
from hashlib import sha256
from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from posewatch.models.cards import TopDownCard, card
from posewatch.models.check import check_file


def halved(published: bytes) -> bytes:
    """A network in fp16; inputs and outputs stay as they are."""
    model = onnx.load_from_string(published)
    for place, node in enumerate(model.graph.node):
        node.name = f"{place}/{node.name}"  # what the converter adds is called after them
    model = convert_float_to_float16(model, keep_io_types=True)
    in_order(model.graph)
    onnx.checker.check_model(model)
    made: bytes = model.SerializeToString(deterministic=True)
    return made


def in_order(graph: onnx.GraphProto) -> None:
    """Put each node once and where what it needs is there: the converter does neither."""
    nodes = {node.output[0]: node for node in graph.node}
    makers = {name: node.output[0] for node in nodes.values() for name in node.output}
    needs = {
        made: [makers[name] for name in node.input if name in makers]
        for made, node in nodes.items()
    }
    copies = [
        onnx.NodeProto.FromString(nodes[made].SerializeToString())
        for made in graphlib.TopologicalSorter(needs).static_order()
    ]
    del graph.node[:]
    graph.node.extend(copies)


def main() -> None:
    """Write the networks and the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="dwpose", help="the card of the published networks")
    parser.add_argument("--from", dest="folder", type=Path, required=True, help="their files")
    parser.add_argument("--into", type=Path, required=True, help="folder for what is made")
    options = parser.parse_args()
    full = card(options.model)
    if not isinstance(full, TopDownCard):
        raise SystemExit("only networks that are published as ONNX can be halved")
    options.into.mkdir(parents=True, exist_ok=True)
    networks = []
    for network in full.networks:
        published = options.folder / network.member
        check_file(published, network.size, network.sha256, hint="Is --from the right folder?")
        data = halved(published.read_bytes())
        member = f"{published.stem}-fp16.onnx"
        (options.into / member).write_bytes(data)
        told = {"member": member, "size": len(data), "sha256": sha256(data).hexdigest()}
        networks.append(network.model_dump(mode="json") | told)
    own = full.model_dump(mode="json", exclude={"source", "calibration"})
    own |= {"name": f"{full.name}-fp16", "title": f"{full.title}, in fp16", "networks": networks}
    path = options.into / f"{own['name']}.json"
    path.write_text(TopDownCard.model_validate_json(json.dumps(own)).model_dump_json(indent=2))
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
