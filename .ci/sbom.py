"""The bill of materials of the binary: every crate that is built for it, and the C libraries that some of them carry.

Which crates there are is taken from `cargo tree`, which resolves features as a build does: `cargo metadata`, and tools that read
nothing else, also name optional crates that no build of ours compiles. Their licences are those of `cargo metadata`, their digests
those of Cargo.lock. The standard library is named as one. A crate that only build scripts and macros use is `excluded`: it runs where the binary is built.

The same sources give the same document, byte for byte. It is read back and compared before it has its name.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from datetime import datetime, timezone
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"

# Crates that carry somebody else's library: its name, licence, who made it (CPE), and where its version stands.
CARRIED = {
    "openssl-src": ("openssl", "Apache-2.0", "openssl:openssl", lambda crate, folder: crate["version"].split("+")[1]),
    "pq-src": ("libpq", "PostgreSQL", "postgresql:postgresql", lambda crate, folder: crate["version"].split("+libpq-")[1]),
    "libsqlite3-sys": ("sqlite", "blessing", "sqlite:sqlite", lambda crate, folder: of_sqlite(folder)),
}
# Crates that compile C code of their own, or only look for a compiler.
OWN_C_CODE = {"ring", "openssl-sys"}


def of_sqlite(folder):
    return re.search(r'#define SQLITE_VERSION\s+"([^"]+)"', (folder / "sqlite3/sqlite3.h").read_text())[1]


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments, "--locked"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def tree(target, edges):
    """(name, version) of our own crate and of all that these edges lead to."""
    lines = cargo("tree", "--edges", edges, "--target", target, "--prefix", "none", "--format", "{p}").splitlines()
    return {(name, version.removeprefix("v")) for name, version, *_ in (line.split() for line in lines if line)}


class Sources:
    """What cargo knows of the crates that are built for `target`."""

    def __init__(self, target, rust):
        self.rust = rust
        metadata = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", target))
        built = tree(target, "normal,build")
        self.linked = tree(target, "normal,no-proc-macro")
        self.root = metadata["resolve"]["root"]
        by_id = {crate["id"]: crate for crate in metadata["packages"]}
        self.crates = {i: crate for i, crate in by_id.items() if (crate["name"], crate["version"]) in built}
        self.edges = {}
        for node in metadata["resolve"]["nodes"]:
            led_to = (d["pkg"] for d in node["deps"] if any(kind["kind"] != "dev" for kind in d["dep_kinds"]))
            self.edges[node["id"]] = [i for i in led_to if i in self.crates]
        self.lock = {(p["name"], p["version"]): p for p in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
        missing = built - {(crate["name"], crate["version"]) for crate in self.crates.values()}
        if missing:
            raise SystemExit(f"sbom: cargo metadata does not know {sorted(missing)}")


def document(sources, target):
    licences = LicenseFactory()
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, (ROOT / "Cargo.lock").read_text() + target))
    # No time of making, unless one is asked for: it would be all that differs.
    bom.metadata.timestamp = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), timezone.utc)
    components = {}
    for i, crate in sources.crates.items():
        name, version = crate["name"], crate["version"]
        if i == sources.root:
            purl = PackageURL("generic", None, name, version)
        else:
            purl = PackageURL("cargo", None, name, version)
        # Old crates have a slash for "or".
        licence = re.sub(r"\s*/\s*", " OR ", crate["license"])
        locked = sources.lock[name, version]
        component = Component(
            name=name,
            version=version,
            type=ComponentType.APPLICATION if i == sources.root else ComponentType.LIBRARY,
            bom_ref=purl.to_string(),
            purl=purl,
            description=crate["description"],
            licenses=[licences.make_from_string(licence)],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=locked["checksum"])] if "checksum" in locked else [],
            scope=ComponentScope.REQUIRED if (name, version) in sources.linked else ComponentScope.EXCLUDED,
        )
        if crate["repository"]:
            component.external_references.add(
                ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(crate["repository"]))
            )
        if i == sources.root:
            component.components.add(standard_library(licences, sources.rust))
        elif name in CARRIED:
            component.components.add(carried(licences, crate, purl))
        elif any(d["name"] == "cc" for d in crate["dependencies"]) and name not in OWN_C_CODE:
            raise SystemExit(f"sbom: {name} compiles C code; say in .ci/sbom.py whose it is")
        components[i] = component
        if i == sources.root:
            bom.metadata.component = component
        else:
            bom.components.add(component)
    for i, component in components.items():
        bom.register_dependency(component, [components[to] for to in sources.edges[i]])
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2) + "\n"


def carried(licences, crate, purl):
    name, licence, maker, version_of = CARRIED[crate["name"]]
    version = version_of(crate, Path(crate["manifest_path"]).parent)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{purl.to_string()}#{name}",
        purl=PackageURL("generic", None, name, version),
        cpe=f"cpe:2.3:a:{maker}:{version}:*:*:*:*:*:*:*",
        licenses=[licences.make_from_string(licence)],
        scope=ComponentScope.REQUIRED,
    )


def standard_library(licences, version):
    """Comes with the compiler, and brings crates of its own that Cargo.lock does not name."""
    purl = PackageURL("generic", None, "rust-std", version)
    return Component(
        name="rust-std",
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        cpe=f"cpe:2.3:a:rust-lang:rust:{version}:*:*:*:*:*:*:*",
        licenses=[licences.make_from_string("MIT OR Apache-2.0")],
        scope=ComponentScope.REQUIRED,
    )


def mistakes(text, target, binary):
    """What is wrong with a document, by its schema, by Cargo.lock and `cargo tree`, and by a binary that it is of."""
    found = [f"not CycloneDX: {error}" for error in JsonStrictValidator(SchemaVersion.V1_6).validate_str(text, all_errors=True) or ()]
    read = json.loads(text)
    told = {(c["name"], c["version"]): c for c in [read["metadata"]["component"], *read["components"]]}
    lock = {(p["name"], p["version"]): p for p in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    for crate in sorted(tree(target, "normal,build") - told.keys()):
        found.append(f"{' '.join(crate)} is built and not in the document")
    for crate, component in told.items():
        locked = lock.get(crate)
        if locked is None:
            found.append(f"{' '.join(crate)} is not in Cargo.lock")
            continue
        if locked.get("source", REGISTRY) != REGISTRY:
            found.append(f"{' '.join(crate)} is from {locked['source']}, and called one of crates.io")
        digests = [h["content"] for h in component.get("hashes", [])]
        if digests != ([locked["checksum"]] if "checksum" in locked else []):
            found.append(f"{' '.join(crate)} has another digest than Cargo.lock says")
        if not component.get("licenses"):
            found.append(f"{' '.join(crate)} has no licence")
    for carrier, (name, *_) in CARRIED.items():
        if not any(c["name"] == carrier and [x["name"] for x in c.get("components", [])] == [name] for c in read["components"]):
            found.append(f"{name} is missing, which {carrier} carries")
    if binary:
        # Where panics come from stands in a release binary as …/NAME-VERSION/src/….rs; what the standard library brings, below /rust.
        places = re.findall(rb"(?<!/rust/deps)/([A-Za-z][A-Za-z0-9_-]*)-(\d+\.\d+\.\d+[0-9A-Za-z.+-]*)/(?:\./)?src/", binary.read_bytes())
        seen = {(name.decode(), version.decode()) for name, version in places}
        linked = {crate for crate, component in told.items() if component["scope"] == "required"}
        if len(seen) < 50:
            found.append(f"{binary} names only {len(seen)} crates; is it a release binary of ours?")
        found.extend(f"{' '.join(crate)} is in {binary} and not in the document as linked" for crate in sorted(seen - linked))
    return found


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--output", type=Path, default=ROOT / "target/sbom/cnx.cdx.json")
    arguments.add_argument("--binary", type=Path)
    given = arguments.parse_args()
    compiler = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    target, rust = (re.search(rf"^{name}: (\S+)", compiler, re.MULTILINE)[1] for name in ("host", "release"))
    sources = Sources(target, rust)
    text = document(sources, target)
    wrong = mistakes(text, target, given.binary)
    for mistake in wrong:
        print(f"sbom: {mistake}", file=sys.stderr)
    if wrong:
        return 1
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(text)
    print(f"{given.output}: {len(sources.crates) - 1} crates, {len(CARRIED)} C libraries")
    return 0


if __name__ == "__main__":
    sys.exit(main())
