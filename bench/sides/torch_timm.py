"""The side of PyTorch and timm, as their own scripts set them up. Run in an environment with both; see `rounds`."""

import time
from pathlib import Path
from typing import Any

from rounds import Round, serve

MODELS = {
    "efficientnet_lite0": "tf_efficientnet_lite0",
    "resnet50": "resnet50",
    "efficientnet_v2_s": "tf_efficientnetv2_s",
    "convnext_tiny": "convnext_tiny",
    "vit_small": "vit_small_patch16_224",
}


def reading(wish: dict[str, Any]) -> Round:
    """JPEG files in class folders to uint8 batches: timm's dataset, PyTorch's DataLoader, a worker a core."""
    import numpy as np
    import torch
    from timm.data import create_dataset

    photos = create_dataset("", root=wish["photos"], transform=lambda image: torch.from_numpy(np.array(image)))
    loader = torch.utils.data.DataLoader(
        photos, batch_size=wish["batch"], num_workers=wish["cores"], persistent_workers=True, prefetch_factor=4
    )

    def once() -> int:
        return sum(len(images) for images, _ in loader)

    once()
    return once


def _model(wish: dict[str, Any]) -> Any:
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model(MODELS[wish["model"].split("/")[-1]], pretrained=False, num_classes=104)
    return model.to(wish.get("device", "cpu"), memory_format=_layout(wish))


def _layout(wish: dict[str, Any]) -> Any:
    import torch

    return torch.contiguous_format if wish.get("layout") == "contiguous" else torch.channels_last


def _images(wish: dict[str, Any], n: int) -> Any:
    import torch

    images = torch.rand(n, 3, wish["size"], wish["size"], device=wish.get("device", "cpu"))
    return images.contiguous(memory_format=_layout(wish))


def _cast(wish: dict[str, Any]) -> Any:
    import torch

    return torch.autocast(wish.get("device", "cpu"), torch.bfloat16, enabled=wish.get("precision") == "bfloat16")


def training(wish: dict[str, Any]) -> Round:
    """A train step on images that are ready in memory: float tensors, no augmentation; AdamW, smoothed labels.

    On a GPU the images lie there, and the optimizer is the fused one.
    """
    import torch

    on_gpu = wish.get("device", "cpu") != "cpu"
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    model, images = _model(wish), _images(wish, wish["batch"])
    labels = torch.randint(0, 104, (wish["batch"],), device=images.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01, fused=on_gpu or None)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    model.train()
    if wish.get("norm", "frozen") == "frozen":
        for part in model.modules():
            if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
                part.eval()

    called = torch.compile(model) if wish["compile"] else model

    def step() -> None:
        with _cast(wish):
            loss = loss_of(called(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def once() -> int:
        for _ in range(wish["steps"]):
            step()
        if on_gpu:
            torch.cuda.synchronize()
        return wish["steps"] * wish["batch"]

    for _ in range(2 if not on_gpu else wish["steps"]):
        step()
    return once


def prediction(wish: dict[str, Any]) -> Round:
    """Class scores of images that are ready in memory as float tensors."""
    import torch

    model, images = _model(wish).eval(), _images(wish, wish["batch"])
    called = torch.compile(model) if wish["compile"] else model

    def once() -> int:
        with torch.inference_mode(), _cast(wish):
            for _ in range(wish["steps"]):
                called(images).float().numpy()
        return wish["steps"] * wish["batch"]

    once()
    return once


def photo(wish: dict[str, Any]) -> Round:
    """Class scores of one photo, from a file of weights, with the model's own transform. Done when it is ready."""
    import timm
    import torch
    from PIL import Image

    model = timm.create_model(MODELS[wish["model"]], num_classes=104)
    model.load_state_dict(torch.load(wish["weights"], weights_only=True))
    look = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.inference_mode():
        print(model.eval()(look(Image.open(wish["photo"]).convert("RGB"))[None]).softmax(1).topk(5))
    return lambda: 1


def exporting(wish: dict[str, Any]) -> Round:
    """Write the model's weights, and the model as ONNX for ONNX Runtime's side."""
    import torch

    size, path = wish["size"], Path(wish["onnx"])
    path.parent.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    model = _model(wish).eval()
    torch.save(model.state_dict(), wish["weights"])
    batch = {0: torch.export.Dim("batch", min=1, max=1024)}
    example = torch.rand(2, 3, size, size)
    torch.onnx.export(model, (example,), str(path), dynamo=True, dynamic_shapes=(batch,), external_data=False)
    print(f"wrote {path} in {time.perf_counter() - begin:.0f} s")
    return lambda: 0


if __name__ == "__main__":
    works = {"input": reading, "train": training, "predict": prediction, "photo": photo, "export": exporting}
    serve(works, ("torch", "timm", "torchvision", "pillow", "numpy"))
