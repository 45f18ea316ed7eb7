import re

import pytest
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from bodystream.errors import UsageError
from bodystream.models.zoo import ZOO, Entry, PackageFile, find


def test_names_and_hashes_are_unique():
    assert len({entry.name for entry in ZOO}) == len(ZOO)
    assert len({entry.sha256 for entry in ZOO}) == len(ZOO)


@pytest.mark.parametrize("entry", ZOO, ids=lambda entry: entry.name)
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
