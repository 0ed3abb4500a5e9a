"""What does not fit together is found from what packages declare, and each finding has its way out."""

import sys
from importlib import metadata

import pytest

from corolla import installation
from corolla.installation import Finding, Need

REAL = metadata.version


@pytest.fixture
def installed(monkeypatch):
    """Return a function that pretends other versions are installed (None: not at all)."""

    def pretend(**versions: str | None) -> None:
        def version(name: str) -> str:
            key = name.replace("-", "_")
            if key not in versions:
                return REAL(name)
            if versions[key] is None:
                raise metadata.PackageNotFoundError(name)
            return str(versions[key])

        monkeypatch.setattr(metadata, "version", version)

    return pretend


def told(*wanted: str) -> list[Finding]:
    found = list(installation.unmet(installation.needs()))
    assert [finding.what.split(" wants ")[1].split(">")[0].split("<")[0] for finding in found] == list(wanted)
    return found


def test_this_environment_fits():
    """The tests' own environment is one that Corolla declares to work in."""
    needs = installation.needs()
    assert [need for need in needs if not need.fits] == []
    pairs = {(need.who.split()[0], need.package) for need in needs}
    assert {("corolla", "jax"), ("corolla", "protobuf"), ("jax", "jaxlib"), ("keras", "numpy")} <= pairs
    assert not {need.package for need in needs} & {"kubernetes", "xprof", "pytest"}  # of other extras


def test_a_jaxlib_of_another_release(installed):
    installed(jaxlib="0.4.30")
    (finding,) = told("jaxlib")
    jax = REAL("jax")
    assert finding.level == "warning" and finding.what.startswith(f"jax {jax} wants jaxlib<={jax},>=")
    assert finding.what.endswith(", installed is 0.4.30: jax refuses to be imported with another")
    assert finding.change.startswith(f"pip install 'jaxlib<={jax},>=")


def test_packages_out_of_the_range_that_was_tried(installed):
    installed(keras="3.12.0", protobuf="8.0.1", numpy="1.26.4")
    found = {finding.what for finding in installation.unmet(installation.needs())}
    own = f"corolla {REAL('corolla')} wants"
    assert f"{own} keras<4,>=3.13.2, installed is 3.12.0: others were not tried" in found
    assert f"{own} protobuf<8,>=5.29, installed is 8.0.1" in found
    assert len(found) == 3  # numpy once, though four packages want another


def test_a_missing_package_breaks(installed):
    installed(simplejpeg=None)
    (finding,) = installation.unmet(installation.needs())
    assert finding == Finding(
        "broken",
        f"corolla {REAL('corolla')} wants simplejpeg, which is not installed",
        "pip install 'simplejpeg<2,>=1.8'",
    )


def test_what_an_extra_brings_must_fit_only_where_it_is(installed):
    """libtpu is pinned by jax[tpu]; without a TPU it is a compiler alone, and any will do."""
    installed(libtpu="0.0.1", jax_cuda12_plugin=None)
    assert ("jax", "libtpu") not in {(need.who.split()[0], need.package) for need in installation.needs()}
    own = [need for need in installation.needs() if need.package == "libtpu"]
    assert [(need.who.split()[0], need.fits) for need in own] == [("corolla", False)]
    assert ("jax", "libtpu", False) in {(n.who.split()[0], n.package, n.fits) for n in installation.needs(tpu=True)}
    assert "jax-cuda12-plugin" not in {need.package for need in installation.needs()}


def test_a_cuda_plugin_of_another_jax(installed):
    installed(jax_cuda12_plugin="0.6.0")
    found = [finding.what for finding in installation.unmet(installation.needs())]
    assert found == [
        f"jax {REAL('jax')} wants jax-cuda12-plugin<={REAL('jax')},>={REAL('jax')}, installed is 0.6.0: "
        "jax leaves a plugin of another version out and works on the CPU"
    ]


def test_one_finding_a_package():
    twice = [Need("a 1", "b", ">=2", None, False), Need("c 1", "b", ">=3", None, False)]
    assert len(list(installation.unmet(twice))) == 1


def test_checksums_in_pure_python(monkeypatch):
    import google_crc32c

    assert list(installation.slow_checksums()) == []
    monkeypatch.setattr(google_crc32c, "implementation", "python")
    (finding,) = installation.slow_checksums()
    assert finding.level == "warning" and finding.change.endswith("--only-binary :all: google-crc32c")


@pytest.mark.parametrize(
    ("asked", "what"),
    [(None, None), ("jax", None), ("torch", "torch is not installed"), ("numpy", "is no backend that Corolla knows")],
)
def test_the_backend_that_is_asked_for(monkeypatch, asked, what):
    if asked and sys.modules.get(asked) is None and asked == "torch" and installation._version("torch"):
        pytest.skip("torch is installed here")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if asked:
        monkeypatch.setenv("KERAS_BACKEND", asked)
    found = list(installation.missing_backend())
    assert [finding.level for finding in found] == (["broken"] if what else [])
    assert not what or (found[0].what.startswith(f"KERAS_BACKEND={asked}") and found[0].what.endswith(what))


@pytest.mark.parametrize(
    ("files", "there"),
    [
        ({}, None),
        ({"sys/bus/pci/devices/0/vendor": "0x1ae0\n", "sys/bus/pci/devices/0/device": "0x0063\n"}, "TPU"),
        (
            {"sys/bus/pci/devices/0/vendor": "0x1ae0\n", "sys/bus/pci/devices/0/device": "0x0042\n"},
            None,
        ),  # a network card
        ({"dev/accel0": ""}, "TPU"),
        ({"dev/nvidia0": ""}, "NVIDIA GPU"),
        ({"proc/driver/nvidia/version": "1"}, "NVIDIA GPU"),
    ],
)
def test_what_the_machine_has_in_it(tmp_path, files, there):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert installation.accelerator(tmp_path) == there


def test_an_accelerator_that_jax_does_not_see(monkeypatch, installed):
    installed(libtpu=None, jax_cuda12_plugin=None, jax_cuda13_plugin=None)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)

    def lines(there: str | None, platform: str = "cpu") -> list[tuple[str, str]]:
        return [(one.what, one.change) for one in installation.unseen_accelerator(there, platform)]

    assert lines(None) == lines("TPU", "tpu") == lines("NVIDIA GPU", "gpu") == []
    what = "this machine has an NVIDIA GPU, but JAX works on the CPU"
    assert lines("NVIDIA GPU") == [(what, "pip install 'corolla[gpu]'")]
    assert lines("TPU")[0][1] == "pip install 'corolla[tpu]'"
    installed(jax_cuda12_plugin="0.10.2")
    assert lines("NVIDIA GPU") == [
        (f"{what}, though jax-cuda12-plugin 0.10.2 is installed", "see whether nvidia-smi works")
    ]
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert lines("NVIDIA GPU") == [(f"{what}: JAX_PLATFORMS=cpu", "unset JAX_PLATFORMS")]
