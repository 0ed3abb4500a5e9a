"""The side of PyTorch and timm, as their own scripts set them up. Run in an environment with both; see `rounds`."""

import time
from pathlib import Path
from typing import Any

from rounds import HELD, TOLD, Round, macro_f1, serve

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
        if not wish.get("keep"):
            return sum(len(images) for images, _ in loader)
        HELD.append(torch.cat([images for images, _ in loader]))
        return len(HELD[0])

    once()
    HELD.clear()
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


def finetuning(wish: dict[str, Any]) -> Round:
    """What timm's train script does, in its own functions: loader, AdamW, cosine with warm-up, smoothed labels.

    From the same published weights, on JPEG files in class folders. Crops of at least half a photo as Corolla's, which
    learn faster here than the script's 8 %. Done when it is ready: when validation photos reach the target, or after
    as many epochs as the schedule has.
    """
    import torch
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2

    torch.manual_seed(0)
    model = _pretrained(wish)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=5e-4, weight_decay=0.05)
    epochs = wish["timm_epochs"]
    schedule, _ = create_scheduler_v2(
        optimizer, "cosine", num_epochs=epochs, warmup_epochs=1, warmup_lr=1e-6, warmup_prefix=True, min_lr=1e-6
    )
    fed, seen = (_loader(wish, split, model) for split in ("train", "val"))
    loss_of = LabelSmoothingCrossEntropy(0.1)
    TOLD.update(macro_f1=0.0, epochs=0)
    while TOLD["macro_f1"] < wish["target"] and TOLD["epochs"] < epochs:
        schedule.step(TOLD["epochs"])
        model.train()
        for images, labels in fed:
            loss = loss_of(model(images.contiguous(memory_format=_layout(wish))), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        TOLD.update(macro_f1=_score(model, seen, wish), epochs=TOLD["epochs"] + 1)
        print(TOLD, flush=True)
    return lambda: 1


def _pretrained(wish: dict[str, Any]) -> Any:
    """timm's model with the published tensors, which stand in the same order as timm's own."""
    import torch

    model = _model(wish)
    published = list(torch.load(wish["published"], weights_only=True).values())
    own = [name for name in model.state_dict() if not name.startswith("classifier")]
    assert len(published) - 2 == len(own)  # all but its own classifier's kernel and bias
    model.load_state_dict(dict(zip(own, published[:-2], strict=True)), strict=False)
    return model


def _loader(wish: dict[str, Any], split: str, model: Any) -> Any:
    import timm
    import torch

    learns = split == "train"
    root, numbers = wish[f"{split}_photos"], {str(label): label for label in range(104)}
    photos = timm.data.create_dataset("", root=root, class_map=numbers, is_training=learns)
    found = timm.data.resolve_model_data_config(model)
    return timm.data.create_loader(
        photos, input_size=found["input_size"], mean=found["mean"], std=found["std"], crop_pct=1.0, batch_size=32,
        is_training=learns, scale=(0.5, 1.0), color_jitter=0.0, num_workers=wish["cores"], use_prefetcher=False,
        device=torch.device("cpu"),
    )  # fmt: skip


def _score(model: Any, seen: Any, wish: dict[str, Any]) -> float:
    import torch

    model.eval()
    with torch.inference_mode():
        found = [(model(images.contiguous(memory_format=_layout(wish))).argmax(1), labels) for images, labels in seen]
    predicted, labels = (torch.cat(each).numpy() for each in zip(*found, strict=True))
    return macro_f1(labels, predicted)


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
    serve({**works, "finetune": finetuning}, ("torch", "timm", "torchvision", "pillow", "numpy"))
