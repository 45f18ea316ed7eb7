"""VNect against a layer table, written by hand from the paper and public ports of the authors' Caffe model.

(arXiv:1705.01583, figure 5; timctho/VNect-tensorflow, XinArkh/VNect.) No public runtime of the model was run.
"""

from pathlib import Path

import torch

from bodystream.export.check import check
from bodystream.export.meta import metadata, origin_of
from bodystream.export.to_onnx import to_onnx
from bodystream.export.wrap_vnect import VnectForExport, vnect_exportable
from bodystream.models.nets.vnect import Vnect, bone_lengths
from bodystream.models.weights.random import fill
from bodystream.models.zoo import find

# Layer: weight, biases, and channels and side of the output for crops of 368 px.
TABLE = {
    "conv1": ((64, 3, 7, 7), 64, (64, 184)),
    "res2a_branch1": ((256, 64, 1, 1), 256, (256, 92)),
    "res2a_branch2a": ((64, 64, 1, 1), 64, (64, 92)),
    "res2a_branch2b": ((64, 64, 3, 3), 64, (64, 92)),
    "res2a_branch2c": ((256, 64, 1, 1), 256, (256, 92)),
    "res2b_branch2a": ((64, 256, 1, 1), 64, (64, 92)),
    "res2b_branch2b": ((64, 64, 3, 3), 64, (64, 92)),
    "res2b_branch2c": ((256, 64, 1, 1), 256, (256, 92)),
    "res2c_branch2a": ((64, 256, 1, 1), 64, (64, 92)),
    "res2c_branch2b": ((64, 64, 3, 3), 64, (64, 92)),
    "res2c_branch2c": ((256, 64, 1, 1), 256, (256, 92)),
    "res3a_branch1": ((512, 256, 1, 1), 512, (512, 46)),
    "res3a_branch2a": ((128, 256, 1, 1), 128, (128, 46)),
    "res3a_branch2b": ((128, 128, 3, 3), 128, (128, 46)),
    "res3a_branch2c": ((512, 128, 1, 1), 512, (512, 46)),
    "res3b_branch2a": ((128, 512, 1, 1), 128, (128, 46)),
    "res3b_branch2b": ((128, 128, 3, 3), 128, (128, 46)),
    "res3b_branch2c": ((512, 128, 1, 1), 512, (512, 46)),
    "res3c_branch2a": ((128, 512, 1, 1), 128, (128, 46)),
    "res3c_branch2b": ((128, 128, 3, 3), 128, (128, 46)),
    "res3c_branch2c": ((512, 128, 1, 1), 512, (512, 46)),
    "res3d_branch2a": ((128, 512, 1, 1), 128, (128, 46)),
    "res3d_branch2b": ((128, 128, 3, 3), 128, (128, 46)),
    "res3d_branch2c": ((512, 128, 1, 1), 512, (512, 46)),
    "res4a_branch1": ((1024, 512, 1, 1), 1024, (1024, 23)),
    "res4a_branch2a": ((256, 512, 1, 1), 256, (256, 23)),
    "res4a_branch2b": ((256, 256, 3, 3), 256, (256, 23)),
    "res4a_branch2c": ((1024, 256, 1, 1), 1024, (1024, 23)),
    "res4b_branch2a": ((256, 1024, 1, 1), 256, (256, 23)),
    "res4b_branch2b": ((256, 256, 3, 3), 256, (256, 23)),
    "res4b_branch2c": ((1024, 256, 1, 1), 1024, (1024, 23)),
    "res4c_branch2a": ((256, 1024, 1, 1), 256, (256, 23)),
    "res4c_branch2b": ((256, 256, 3, 3), 256, (256, 23)),
    "res4c_branch2c": ((1024, 256, 1, 1), 1024, (1024, 23)),
    "res4d_branch2a": ((256, 1024, 1, 1), 256, (256, 23)),
    "res4d_branch2b": ((256, 256, 3, 3), 256, (256, 23)),
    "res4d_branch2c": ((1024, 256, 1, 1), 1024, (1024, 23)),
    "res4e_branch2a": ((256, 1024, 1, 1), 256, (256, 23)),
    "res4e_branch2b": ((256, 256, 3, 3), 256, (256, 23)),
    "res4e_branch2c": ((1024, 256, 1, 1), 1024, (1024, 23)),
    "res4f_branch2a": ((256, 1024, 1, 1), 256, (256, 23)),
    "res4f_branch2b": ((256, 256, 3, 3), 256, (256, 23)),
    "res4f_branch2c": ((1024, 256, 1, 1), 1024, (1024, 23)),
    "res5a_branch1_new": ((1024, 1024, 1, 1), 1024, (1024, 23)),
    "res5a_branch2a_new": ((512, 1024, 1, 1), 512, (512, 23)),
    "res5a_branch2b_new": ((512, 512, 3, 3), 512, (512, 23)),
    "res5a_branch2c_new": ((1024, 512, 1, 1), 1024, (1024, 23)),
    "res5b_branch2a_new": ((256, 1024, 1, 1), 256, (256, 23)),
    "res5b_branch2b_new": ((128, 256, 3, 3), 128, (128, 23)),
    "res5b_branch2c_new": ((256, 128, 1, 1), 256, (256, 23)),
    "res5c_branch1a": ((256, 63, 4, 4), 0, (63, 46)),  # transposed: input channels first
    "res5c_branch2a": ((256, 128, 4, 4), 0, (128, 46)),
    "bn5c_branch2a": ((128,), 128, (128, 46)),
    "res5c_branch2b": ((128, 212, 3, 3), 128, (128, 46)),
    "res5c_branch2c": ((84, 128, 1, 1), 0, (84, 46)),
}


def test_every_layer_is_as_the_table_says():
    with torch.device("meta"):
        net = Vnect().eval()
        found: dict[str, tuple[int, ...]] = {}
        for name, layer in net.named_children():
            layer.register_forward_hook(lambda _, __, out, name=name: found.update({name: tuple(out.shape)}))
        maps = net(torch.empty(2, 3, 368, 368))
    assert [each.shape for each in maps] == [(2, 21, 46, 46)] * 4
    assert found == {name: (2, channels, side, side) for name, (_, _, (channels, side)) in TABLE.items()}
    shapes = {name: tuple(each.shape) for name, each in net.named_parameters()}
    assert shapes == {f"{name}.weight": weight for name, (weight, _, _) in TABLE.items()} | {
        f"{name}.bias": (biases,) for name, (_, biases, _) in TABLE.items() if biases
    }
    assert sum(each.numel() for each in net.parameters()) == 14_615_680
    averages = sorted(name for name, _ in net.named_buffers())
    assert averages == [
        f"bn5c_branch2a.{each}" for each in ("num_batches_tracked", "running_mean", "running_var")
    ]


def test_lengths_of_bones_by_hand():
    deltas = torch.tensor([3.0, 0, 4, 2, 12, 1]).reshape(1, 6, 1, 1)  # (3, 4, 12) and (0, 2, 1)
    assert bone_lengths(deltas).flatten().tolist() == [13.0, torch.tensor(5.0).sqrt().item()]


def test_lengths_come_after_the_deltas_that_come_after_the_features():
    net = Vnect().eval()
    fill(net, 0)
    seen: dict[str, torch.Tensor] = {}
    net.res5c_branch1a.register_forward_hook(lambda _, __, out: seen.update(deltas=out))
    net.res5c_branch2b.register_forward_hook(lambda _, given, __: seen.update(given=given[0]))
    net.res5c_branch2c.register_forward_hook(lambda _, __, out: seen.update(maps=out))
    with torch.inference_mode():
        out = net(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.4)
    assert (seen["given"][:, :128] >= 0).all()
    assert torch.equal(seen["given"][:, 128:191], seen["deltas"])
    assert torch.equal(seen["given"][:, 191:], bone_lengths(seen["deltas"]))
    for number, each in enumerate(out):
        assert torch.equal(each, seen["maps"][:, 21 * number : 21 * number + 21])


def test_pixels_are_less_four_tenths_in_their_own_order():
    net = Vnect()
    seen: list[torch.Tensor] = []
    module = VnectForExport(net)
    module.net.conv1.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    pixels = torch.tensor([255, 102, 0], dtype=torch.uint8).expand(1, 16, 16, 3)
    with torch.inference_mode():
        module(pixels)
    assert torch.allclose(seen[0][0, :, 0, 0], torch.tensor([0.6, 0.0, -0.4]), atol=1e-6)


def test_the_exported_file_agrees_with_torch(tmp_path: Path):
    net = Vnect()
    fill(net, 0)
    exportable = vnect_exportable(net, side=64)
    path = tmp_path / "vnect.onnx"
    to_onnx(exportable, path, metadata("vnect", exportable.module, origin_of([find("picodet-s")])))
    assert len(check(path, exportable, (0, 1, 3)).findings) == 2 + 3 * 2 * 4
