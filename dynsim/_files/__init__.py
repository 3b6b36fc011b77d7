"""Files: outputs are written whole or claimed before they grow; inputs are checked, and nothing in them is believed."""

from ._attributes import attribute
from ._digests import digest, expect_sealed, seal
from ._hdf5 import (
    Stored,
    another_kind,
    claim_hdf5,
    dataset,
    expect_claim,
    expect_group,
    holds,
    open_hdf5,
    reading,
    replacing_hdf5,
)
from ._inputs import DAMAGE, damaged, expect_input, expect_stored, lacks_memory, reason
from ._json_texts import LARGEST_JSON, expect_table, from_json, read_json, read_json_lines, to_json, write_json
from ._outputs import SetAside, expect_output, making_folder, process_exists, replacing, unwritable, write_whole
from ._signals import terminable, uninterrupted
from ._toml_texts import from_toml

__all__ = [
    "DAMAGE", "LARGEST_JSON", "SetAside", "Stored", "another_kind", "attribute", "claim_hdf5", "damaged", "dataset",
    "digest", "expect_claim", "expect_group", "expect_input", "expect_output", "expect_sealed", "expect_stored",
    "expect_table", "from_json", "from_toml", "holds", "lacks_memory", "making_folder", "open_hdf5",
    "process_exists", "read_json", "read_json_lines", "reading", "reason", "replacing", "replacing_hdf5", "seal",
    "terminable", "to_json", "uninterrupted", "unwritable", "write_json", "write_whole",
]  # fmt: skip
