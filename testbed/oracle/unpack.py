"""Unpacks the wheel of Milvus 2.3.5: programs, libraries and a configuration for clusters.

usage: unpack.py WHEEL FOLDER

FOLDER/bin gets the executable and its libraries, FOLDER/conf a milvus.yaml that
fits a cluster on loopback with Kafka. What differs from run to run (ports,
endpoints, folders) is left to the environment of each process.
"""

import lzma
import pathlib
import re
import stat
import sys
import zipfile

DATA = "milvus/data/"

# Field of the template without a default, and what it becomes.
FIELDS = {"etcd_data_dir": "", "local_storage_dir": "", "rocksmq_data_dir": "", "system_log_path": ""}


def fill(template: str) -> str:
    """Replaces `{{ name(type): default }}` by its default."""

    def value(match: re.Match) -> str:
        name, _, default = match.group(1).partition(":")
        name = re.sub(r"\(.*\)", "", name).strip()
        return default.strip() or FIELDS[name]

    return re.sub(r"\{\{(.*?)\}\}", value, template)


def for_cluster(config: str) -> str:
    """Switches the embedded defaults of the template to a cluster with Kafka."""
    wanted = [
        (r"(?m)^(    embed:) *\w+", r"\1 false"),
        (r"(?m)^(  type:) rocksmq", r"\1 kafka"),
        (r"(?m)^(  storageType:) *\w+", r"\1 local"),
        (r"(?m)^(  ip:)[^\n]*", r"\1 127.0.0.1"),
    ]
    for pattern, replacement in wanted:
        config, count = re.subn(pattern, replacement, config)
        if count == 0:
            sys.exit(f"the template of the wheel has no line like {pattern}")
    # With an address of Pulsar present, `default` would choose it.
    config, count = re.subn(r"(?ms)^pulsar:\n(  [^\n]*\n)+", "", config)
    if count != 1:
        sys.exit("the template of the wheel has no section for Pulsar")
    return config


def main() -> None:
    wheel, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    (folder / "bin").mkdir(parents=True)
    (folder / "conf").mkdir()
    with zipfile.ZipFile(wheel) as parts:
        for name in parts.namelist():
            if name.startswith(DATA + "bin/") and name.endswith(".lzma"):
                target = folder / "bin" / pathlib.PurePosixPath(name).name.removesuffix(".lzma")
                target.write_bytes(lzma.decompress(parts.read(name)))
                target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        template = parts.read(DATA + "config.yaml.template").decode()
    (folder / "conf" / "milvus.yaml").write_text(for_cluster(fill(template)))
    # querynode and indexnode do not start without it.
    (folder / "conf" / "glog.conf").touch()


main()
