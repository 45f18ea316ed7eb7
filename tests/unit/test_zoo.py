import re
from itertools import groupby

import pytest
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from bodystream.errors import UsageError
from bodystream.export.prepare import NETWORKS
from bodystream.models.systems import NAMES
from bodystream.models.zoo import ZOO, Address, Entry, PackageFile, find

OURS = [entry for entry in ZOO if not entry.notice]
PUBLISHED = [entry for entry in ZOO if entry.notice]  # by other projects, under terms of theirs


def test_names_hashes_and_addresses_are_unique():
    assert len({entry.name for entry in ZOO}) == len(ZOO)
    known = [entry.sha256 for entry in ZOO if entry.sha256]
    assert len(set(known)) == len(known)
    addresses = [str(entry.origin) for entry in PUBLISHED]
    assert len(set(addresses)) == len(addresses)


def test_uses_stand_together():
    uses = [entry.stage for entry in ZOO]
    assert len(list(groupby(uses))) == len(set(uses))


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_what_others_publish_is_complete(entry: Entry):
    assert entry.system in NAMES
    assert isinstance(entry.origin, Address) and entry.origin.url.startswith("https://")
    assert entry.bytes is None
    assert entry.paper and entry.input and entry.note
    if "torchvision" in entry.note:  # its files' names end in the first digits of their sha256
        assert entry.origin.url.endswith(f"-{entry.sha256}.pth") and len(entry.sha256) == 8
        assert entry.megabytes is not None
    else:
        assert entry.sha256 == ""
        assert not entry.md5 or entry.origin.url.endswith(f"_{entry.md5}.pkl")
        assert bool(entry.md5) == (entry.stage == "rcnn")
        assert entry.licence.startswith("CC-BY-SA-3.0")


def test_densepose_is_not_for_commerce_and_says_so():
    for entry in PUBLISHED:
        assert entry.commercial == (entry.stage != "densepose")
        assert entry.commercial != entry.notice.startswith("not for commercial use: ")


def test_nothing_under_terms_of_others_is_in_the_default_path():
    used = {name for network in NETWORKS.values() for name in network.weights}
    assert used  # what `run` prepares where nothing is asked for
    for entry in map(find, used):
        assert entry.commercial and not entry.notice
    assert all(entry.commercial for entry in OURS)


@pytest.mark.parametrize("entry", OURS, ids=lambda entry: entry.name)
def test_every_entry_is_complete(entry: Entry):
    assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
    assert entry.bytes > 0
    assert entry.licence in {"Apache-2.0", "BSD-3-Clause"}  # nothing AGPL, nothing non-commercial
    assert entry.input
    assert entry.stage == "clip" or entry.paper


@pytest.mark.parametrize("entry", [e for e in ZOO if isinstance(e.origin, PackageFile)], ids=lambda e: e.name)
def test_the_archive_is_a_file_of_its_package_and_version(entry: Entry):
    archive = entry.origin.archive
    parse = parse_wheel_filename if archive.file.endswith(".whl") else parse_sdist_filename
    name, version = parse(archive.file)[:2]
    assert (name, str(version)) == (archive.package, archive.version)
    assert archive.bytes > entry.bytes / 10


def test_the_cached_name_has_the_suffix_of_the_file_in_the_archive():
    assert find("picodet-s-graph").file == "picodet-s-graph.pdmodel"
    assert find("blazepose-lite").file == "blazepose-lite.tflite"  # a zip in the archive, then the file in it
    assert find("vtest").file == "vtest.avi"
    assert find("pose2sim-single-keypoints").file == "pose2sim-single-keypoints.whl"  # the archive itself


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(UsageError, match=r"no weights or clip called 'picodet'; known: picodet-s, .*vtest"):
        find("picodet")
